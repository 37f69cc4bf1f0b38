// Package store is what a hub keeps: items, ownership records, when a device was
// last heard, and evidence, all in JetStream streams.
//
// It owns the streams, their subjects, and the rules that what stands in a place
// is never replaced and that what it has acknowledged is written. It never
// verifies a signature: what is put here has been verified. Subjects are made of
// signed values alone, so that there is no table to say whose anything is
// (docs/ref/hub-protocol.md, "What a hub keeps").
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/transport/seal"
)

// The streams.
const (
	streamItems    = "LENSWARD_ITEMS"
	streamBodies   = "LENSWARD_BODIES"
	streamRecords  = "LENSWARD_RECORDS"
	streamSeen     = "LENSWARD_SEEN"
	streamEvidence = "LENSWARD_EVIDENCE"
)

// MaxMessage is the largest message that is written, in bytes, headers included.
const MaxMessage = 136 << 10

const (
	chunkSize = 128 << 10 // bytes of a clip's body in one message

	evidenceMessages = 100_000
	evidenceBytes    = 256 << 20
)

var (
	// ErrNotFound means that nothing stands in the place that was asked for.
	ErrNotFound = errors.New("not found")
	// ErrFork means that something else stands in the place already.
	ErrFork = errors.New("the place is taken by another")
	// ErrRollBack means that the device has a newer ownership record.
	ErrRollBack = errors.New("the device has a newer ownership record")
)

// Options say how long things are kept.
type Options struct {
	// Retention is how long items are kept; 0 is for ever.
	Retention time.Duration
}

// Store is a hub's storage. Its methods may be called at once from many
// goroutines, and every one of them waits for the broker no longer than its ctx.
type Store struct {
	js       jetstream.JetStream
	items    jetstream.Stream
	bodies   jetstream.Stream
	records  jetstream.Stream
	seen     jetstream.Stream
	evidence jetstream.Stream
	bell     bell
}

// Open makes the streams, or finds them as they were left.
func Open(ctx context.Context, js jetstream.JetStream, o Options) (*Store, error) {
	s := &Store{js: js, bell: bell{rings: make(map[seal.ID]*ring)}}
	once := func(name string, subjects ...string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Subjects: subjects, Storage: jetstream.FileStorage, AllowDirect: true,
			MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
		}
	}
	latest := func(name string, subjects ...string) jetstream.StreamConfig {
		c := once(name, subjects...)
		c.Discard, c.DiscardNewPerSubject = jetstream.DiscardOld, false
		return c
	}
	items := once(streamItems, "ward.item.>")
	bodies := latest(streamBodies, "ward.body.>")
	items.MaxAge, bodies.MaxAge = o.Retention, o.Retention
	evidence := latest(streamEvidence, "ward.fork.>", "ward.report.>")
	evidence.MaxMsgs, evidence.MaxBytes = evidenceMessages, evidenceBytes

	for _, st := range []struct {
		config jetstream.StreamConfig
		dst    *jetstream.Stream
	}{
		{items, &s.items}, {bodies, &s.bodies}, {once(streamRecords, "ward.record.>"), &s.records},
		{latest(streamSeen, "ward.seen.>"), &s.seen}, {evidence, &s.evidence},
	} {
		var err error
		if *st.dst, err = js.CreateOrUpdateStream(ctx, st.config); err != nil {
			return nil, fmt.Errorf("open stream %s: %w", st.config.Name, err)
		}
	}
	return s, nil
}

// create writes a message to a subject that must be free. It returns ErrFork if
// it is not; the caller looks whether the same stands there.
func (s *Store) create(ctx context.Context, m *nats.Msg, expect ...jetstream.PublishOpt) error {
	if len(expect) == 0 {
		expect = []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(0)}
	}
	_, err := s.js.PublishMsg(ctx, m, expect...)
	if isTaken(err) {
		return ErrFork
	}
	return err
}

// isTaken tells the broker's "the condition does not hold" from failures.
func isTaken(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// last is the newest message at a subject, which may hold wildcards, or ErrNotFound.
func last(ctx context.Context, st jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	m, err := st.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNotFound
	}
	return m, err
}
