package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/transport/seal"
)

// maxSeen bounds what is kept of a device's presence or a node's life, in bytes.
const maxSeen = 256

// seen is what is kept of a device's presence: whether its session is up, and which run
// of which node says so. A node's sign of life has the node and run alone.
type seen struct {
	Online bool   `json:"online,omitempty"`
	Node   string `json:"node"`
	Run    string `json:"run"`
}

func parseSeen(b []byte) (seen, error) {
	var v seen
	if len(b) == 0 { // as it was written before there were clusters
		return v, nil
	}
	if len(b) > maxSeen {
		return v, fmt.Errorf("%d bytes, at most %d", len(b), maxSeen)
	}
	return v, json.Unmarshal(b, &v)
}

func (s *Store) seenMessage(subject string, online bool) (*nats.Msg, error) {
	b, err := json.Marshal(seen{Online: online, Node: s.options.Node, Run: s.run})
	if err != nil {
		return nil, err
	}
	m := nats.NewMsg(subject)
	m.Data = b
	return m, nil
}

func seenSubject(device seal.ID) string { return "ward.seen." + device.String() }

// PutSeen notes that a device was heard now, and whether its session is up. The number
// that it returns stands for this note: where after is one, nothing is noted if there
// has been another since, such as that the device is online elsewhere.
func (s *Store) PutSeen(ctx context.Context, device seal.ID, online bool, after uint64) (uint64, error) {
	m, err := s.seenMessage(seenSubject(device), online)
	if err == nil {
		var only []jetstream.PublishOpt
		if after > 0 {
			only = append(only, jetstream.WithExpectLastSequencePerSubject(after))
		}
		after, err = s.publish(ctx, m, only...)
	}
	if isTaken(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("note that device %s was heard: %w", device.Short(), err)
	}
	return after, nil
}

// Seen is when a device was last noted as heard; the zero time if never.
func (s *Store) Seen(ctx context.Context, device seal.ID) (time.Time, error) {
	m, err := s.last(ctx, s.seen, seenSubject(device))
	if errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look when device %s was heard: %w", device.Short(), err)
	}
	return m.Time, nil
}

// PutAlive gives a sign of life to the other nodes. It returns nil only once a majority
// of them has it.
func (s *Store) PutAlive(ctx context.Context) error {
	m, err := s.seenMessage("ward.alive."+s.options.Node, false)
	if err == nil {
		_, err = s.publish(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("give a sign of life: %w", err)
	}
	return nil
}

// Sight is what a node says: that a device's session is up at it or is not, or,
// without a device, that the node is alive.
type Sight struct {
	Device    seal.ID // zero for a sign of life
	Online    bool
	Node, Run string
	Time      time.Time
	Note      uint64 // as PutSeen returned it
}

// Watch calls see with what all nodes said last, and then with what they say, in the
// order in which it was written, until ctx ends. Without other nodes it only waits.
func (s *Store) Watch(ctx context.Context, see func(Sight)) error {
	if s.options.Replicas == 1 {
		<-ctx.Done()
		return nil
	}
	err := s.read(ctx, s.seen, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}, func(m jetstream.Msg) {
		sight, err := parseSight(m)
		if err != nil {
			s.options.Log.Warn("word of another node dropped", "subject", m.Subject(), "err", err)
			return
		}
		see(sight)
	})
	if err != nil {
		return fmt.Errorf("watch the other nodes: %w", err)
	}
	return nil
}

func parseSight(m jetstream.Msg) (Sight, error) {
	v, err := parseSeen(m.Data())
	if err != nil {
		return Sight{}, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return Sight{}, err
	}
	out := Sight{Online: v.Online, Node: v.Node, Run: v.Run, Time: meta.Timestamp, Note: meta.Sequence.Stream}
	if device, ok := strings.CutPrefix(m.Subject(), "ward.seen."); ok {
		out.Device, err = seal.ParseID(device)
	}
	return out, err
}
