// Package store is what a hub keeps: items, ownership records, when a device was
// last heard, and evidence, all in JetStream streams.
//
// It owns the streams, their subjects, and the rules that what stands in a place
// is never replaced and that what it has acknowledged is written. It never
// verifies a signature: what is put here has been verified. Subjects are made of
// signed values alone, and whose a thing is is read in its signed header whenever it is
// given out: there is no table that could say otherwise (docs/ref/hub-protocol.md, "What
// a hub keeps").
package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// The streams.
const (
	streamItems    = "LENSWARD_ITEMS"
	streamBodies   = "LENSWARD_BODIES"
	streamRecords  = "LENSWARD_RECORDS"
	streamOwned    = "LENSWARD_OWNED"
	streamSeen     = "LENSWARD_SEEN"
	streamEvidence = "LENSWARD_EVIDENCE"
)

// MaxMessage is the largest message that is written, in bytes, headers included.
const MaxMessage = 136 << 10

const (
	chunkSize = 128 << 10 // bytes of a clip's body in one message

	tailItems   = 256 << 10 // items that the tail knows: 9 MB with 13,000 owners
	memoRecords = 16 << 10  // ownership records that are kept in memory

	evidenceMessages = 100_000
	evidenceBytes    = 32 << 20
)

var (
	// ErrNotFound means that nothing stands in the place that was asked for.
	ErrNotFound = errors.New("not found")
	// ErrFork means that something else stands in the place already.
	ErrFork = errors.New("the place is taken by another")
	// ErrRollBack means that the device has a newer ownership record.
	ErrRollBack = errors.New("the device has a newer ownership record")
)

// Options say how long things are kept, how often, and by whom.
type Options struct {
	// Retention is how long items are kept; 0 is for ever.
	Retention time.Duration
	// Replicas is how many servers keep each stream: 1 alone, which 0 is too, and 3 in
	// a cluster.
	Replicas int
	// Node names the hub among those that share the streams: letters, digits and
	// hyphens. Empty is "hub".
	Node string
	// Log gets what is being waited for; nil for nothing.
	Log *slog.Logger
}

// Store is a hub's storage. Its methods may be called at once from many
// goroutines, and every one of them waits for the broker no longer than its ctx.
type Store struct {
	options  Options
	run      string // names this run of the node
	js       jetstream.JetStream
	items    jetstream.Stream
	bodies   jetstream.Stream
	records  jetstream.Stream
	owned    jetstream.Stream
	seen     jetstream.Stream
	evidence jetstream.Stream
	courier  // the streams of what is neither item nor record
	bell     bell[seal.ID]
	tail     *tail
	parsed   memo[string, *ownership.Ownership] // records that were read, by their hash
	known    memo[recordKey, struct{}]          // records that are in their stream
}

// Open makes the streams, or finds them as they were left. In a cluster it waits until
// there is a majority to keep them, and until this node has what the others have: only
// then may another be stopped.
func Open(ctx context.Context, js jetstream.JetStream, o Options) (*Store, error) {
	o.Replicas = max(1, o.Replicas)
	if o.Node == "" {
		o.Node = "hub"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		options: o, run: rand.Text(), js: js, tail: newTail(tailItems),
		parsed: memo[string, *ownership.Ownership]{most: memoRecords}, known: memo[recordKey, struct{}]{most: memoRecords},
	}
	for _, k := range s.streams() {
		var err error
		if *k.stream, err = s.openStream(ctx, k.config); err != nil {
			return nil, fmt.Errorf("open stream %s: %w", k.config.Name, err)
		}
	}
	if o.Replicas > 1 {
		if err := s.catchUp(ctx); err != nil {
			return nil, fmt.Errorf("catch up with the cluster: %w", err)
		}
	}
	st, err := s.itemsState(ctx)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.tail.begin(st.FirstSeq, st.LastSeq)
	return s, nil
}

// kept is a stream and where the store has it.
type kept struct {
	config jetstream.StreamConfig
	stream *jetstream.Stream
}

// streams are those that a store keeps, in the order in which they are made.
func (s *Store) streams() []kept {
	items := s.once(streamItems, "ward.item.>")
	bodies := s.latest(streamBodies, "ward.body.>")
	items.MaxAge, bodies.MaxAge = s.options.Retention, s.options.Retention
	evidence := s.latest(streamEvidence, "ward.fork.>", "ward.report.>")
	evidence.MaxMsgs, evidence.MaxBytes = evidenceMessages, evidenceBytes

	return append(s.courier.streams(s.latest), []kept{
		{items, &s.items},
		{bodies, &s.bodies},
		{s.once(streamRecords, "ward.record.>"), &s.records},
		{s.latest(streamOwned, "ward.owned.*.*"), &s.owned},
		{s.latest(streamSeen, "ward.seen.*", "ward.alive.*"), &s.seen},
		{evidence, &s.evidence},
	}...)
}

// latest configures a stream that keeps the newest message of each subject.
func (s *Store) latest(name string, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Subjects: subjects, Storage: jetstream.FileStorage, AllowDirect: true, Replicas: s.options.Replicas,
		MaxMsgsPerSubject: 1, Discard: jetstream.DiscardOld,
	}
}

// once configures a stream that keeps the first message of each subject.
func (s *Store) once(name string, subjects ...string) jetstream.StreamConfig {
	c := s.latest(name, subjects...)
	c.Discard, c.DiscardNewPerSubject = jetstream.DiscardNew, true
	return c
}

// openStream makes a stream, finds it, or changes it to c. The other nodes of a cluster
// may be doing the same, or not be there yet.
func (s *Store) openStream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	if s.options.Replicas == 1 {
		return s.js.CreateOrUpdateStream(ctx, c)
	}
	told := false
	var st jetstream.Stream
	err := s.again(ctx, func(ctx context.Context) (err error) {
		st, err = s.openOnce(ctx, c)
		if err != nil && !told {
			s.options.Log.Info("waiting for a majority of the cluster", "stream", c.Name, "err", err)
			told = true
		}
		return err
	})
	return st, err
}

func (s *Store) openOnce(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, glance)
	defer cancel()
	// What is being made by another node answers nothing but another request to make it.
	st, err := s.js.CreateStream(ctx, c)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return s.js.UpdateStream(ctx, c)
	}
	return st, err
}

// create writes a message to a subject that must be free, and returns its number in the
// stream. It returns ErrFork if the subject is not; the caller looks whether the same
// stands there.
func (s *Store) create(ctx context.Context, m *nats.Msg, expect ...jetstream.PublishOpt) (uint64, error) {
	if len(expect) == 0 {
		expect = []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(0)}
	}
	seq, err := s.publish(ctx, m, expect...)
	if isTaken(err) {
		return 0, ErrFork
	}
	return seq, err
}

// isTaken tells the broker's "the condition does not hold" from failures. A cluster says
// so as well while another write to the same subject is on its way.
func isTaken(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
