package store

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/internal/wait"
)

// createOnce writes a message to a subject where the same may stand already. Same says of
// what stands there whether it does, and returns ErrNotFound if nothing does. The message's
// number is returned, 0 if the same stood there; ErrFork if another does.
func (s *Store) createOnce(ctx context.Context, m *nats.Msg, same func() (bool, error)) (uint64, error) {
	for {
		seq, err := s.create(ctx, m)
		if !errors.Is(err, ErrFork) {
			return seq, err
		}
		is, err := same()
		switch {
		case err == nil && is:
			return 0, nil
		case err == nil:
			return 0, ErrFork
		case !errors.Is(err, ErrNotFound):
			return 0, err
		}
		// What takes the place is on its way there, and may yet come to nothing.
		if err := wait.For(ctx, pause); err != nil {
			return 0, err
		}
	}
}

// replace writes what change makes of the newest message at a subject, which is nil if
// there is none; nil leaves it. Change is called again if somebody else was quicker.
func (s *Store) replace(ctx context.Context, st jetstream.Stream, subject string, change func(known *jetstream.RawStreamMsg) ([]byte, error)) error {
	for {
		known, err := s.newest(ctx, st, subject)
		var seq uint64
		switch {
		case err == nil:
			seq = known.Sequence
		case errors.Is(err, ErrNotFound):
			known = nil
		default:
			return err
		}
		m := nats.NewMsg(subject)
		if m.Data, err = change(known); err != nil || m.Data == nil {
			return err
		}
		_, err = s.publish(ctx, m, jetstream.WithExpectLastSequencePerSubject(seq))
		if !isTaken(err) {
			return err
		}
		// By somebody else, or by this very message, whose acknowledgement was lost.
		if err := wait.For(ctx, pause); err != nil {
			return err
		}
	}
}
