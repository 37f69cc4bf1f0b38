package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/transport/seal"
)

// streamRegister holds which device used which claim token, and which devices are revoked.
const streamRegister = "LENSWARD_REGISTER"

const (
	claimSubject   = "ward.claim."
	revokedSubject = "ward.revoked."
	maxStanding    = 256 // bytes
)

// Register is what is remembered of who was let in and who was shut out. Its methods may
// be called at once from many goroutines.
type Register struct {
	store  *Store
	stream jetstream.Stream
	next   uint64 // the first message that Load has not read
}

// Standing is whether a device is revoked.
type Standing struct {
	Device  seal.ID
	Revoked bool
}

// standing is the form of a Standing in the stream; its subject has the device.
type standing struct {
	Revoked bool `json:"revoked"`
}

// Register opens the stream, or makes it.
func (s *Store) Register(ctx context.Context) (*Register, error) {
	st, err := s.openStream(ctx, s.latest(streamRegister, claimSubject+"*", revokedSubject+"*"))
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", streamRegister, err)
	}
	return &Register{store: s, stream: st, next: 1}, nil
}

// Claim notes that a device uses the token of this hash, if none has, and gives the
// device that was first.
func (r *Register) Claim(ctx context.Context, token [sha256.Size]byte, device seal.ID) (seal.ID, error) {
	m := nats.NewMsg(claimSubject + hex.EncodeToString(token[:]))
	m.Data = []byte(device.String())
	holder := device
	_, err := r.store.createOnce(ctx, m, func() (bool, error) {
		first, err := r.store.newest(ctx, r.stream, m.Subject)
		if err == nil {
			holder, err = seal.ParseID(string(first.Data))
		}
		if err != nil {
			return false, fmt.Errorf("look who claimed: %w", err)
		}
		return true, nil
	})
	if err != nil {
		return seal.ID{}, fmt.Errorf("note claim of device %s: %w", device.Short(), err)
	}
	return holder, nil
}

// PutStanding notes for good whether a device is revoked.
func (r *Register) PutStanding(ctx context.Context, st Standing) error {
	m := nats.NewMsg(revokedSubject + st.Device.String())
	var err error
	if m.Data, err = json.Marshal(standing{st.Revoked}); err == nil {
		_, err = r.store.publish(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("note standing of device %s: %w", st.Device.Short(), err)
	}
	return nil
}

// Load calls see with the standing of each device that has one, as the stream's leader
// knows them. It is called once, before Watch.
func (r *Register) Load(ctx context.Context, see func(Standing)) error {
	for {
		m, err := r.store.following(ctx, r.stream, r.next, revokedSubject+"*")
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("load who is revoked: %w", err)
		}
		st, err := parseStanding(m.Subject, m.Data)
		if err != nil {
			return fmt.Errorf("load who is revoked: %w", err)
		}
		see(st)
		r.next = m.Sequence + 1
	}
}

// Watch calls see with what this and the other nodes note after Load, in its order, until
// ctx ends. Without other nodes it only waits.
func (r *Register) Watch(ctx context.Context, see func(Standing)) error {
	if r.store.options.Replicas == 1 {
		<-ctx.Done()
		return nil
	}
	from := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{revokedSubject + "*"}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.next,
	}
	err := r.store.read(ctx, r.stream, from, func(m jetstream.Msg) {
		st, err := parseStanding(m.Subject(), m.Data())
		if err != nil {
			r.store.options.Log.Error("standing of a device dropped", "subject", m.Subject(), "err", err)
			return
		}
		see(st)
	})
	if err != nil {
		return fmt.Errorf("watch who is revoked: %w", err)
	}
	return nil
}

func parseStanding(subject string, b []byte) (Standing, error) {
	name, ok := strings.CutPrefix(subject, revokedSubject)
	if !ok || len(b) > maxStanding {
		return Standing{}, fmt.Errorf("read standing at %.128q: %d bytes, at most %d", subject, len(b), maxStanding)
	}
	id, err := seal.ParseID(name)
	if err != nil {
		return Standing{}, fmt.Errorf("read standing at %.128q: %w", subject, err)
	}
	var v standing
	if err := json.Unmarshal(b, &v); err != nil {
		return Standing{}, fmt.Errorf("read standing at %.128q: %w", subject, err)
	}
	return Standing{Device: id, Revoked: v.Revoked}, nil
}
