package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/internal/wait"
)

// A box is larger than a message: its chunks are written under a name of their own, and
// then that name in the box's place. Whoever takes another's place deletes its chunks.

func boxSubject(locator string) string { return "ward.box." + locator }

func boxParts(locator, name string) func(n int) string {
	return func(n int) string { return fmt.Sprintf("ward.boxpart.%s.%s.%d", locator, name, n) }
}

// PutBox stores a recovery box in the place of the one before, which is deleted. Locator
// is lower-case letters and digits.
func (s *Store) PutBox(ctx context.Context, locator string, box []byte) error {
	if err := s.putBox(ctx, locator, box); err != nil {
		return fmt.Errorf("store recovery box: %w", err)
	}
	return nil
}

func (s *Store) putBox(ctx context.Context, locator string, box []byte) error {
	m := nats.NewMsg(boxSubject(locator))
	m.Data = []byte(rand.Text())
	if err := s.putParts(ctx, boxParts(locator, string(m.Data)), box); err != nil {
		return err
	}
	for {
		before, err := s.newest(ctx, s.household, m.Subject)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		var seq uint64
		if err == nil {
			seq = before.Sequence
		}
		_, err = s.publish(ctx, m, jetstream.WithExpectLastSequencePerSubject(seq))
		switch {
		case isTaken(err):
			// By another box, or by this one, whose acknowledgement was lost.
			err = wait.For(ctx, pause)
		case err == nil && before != nil && string(before.Data) != string(m.Data):
			return s.purgeBox(ctx, boxParts(locator, string(before.Data)))
		default:
			return err
		}
		if err != nil {
			return err
		}
	}
}

func (s *Store) purgeBox(ctx context.Context, subject func(int) string) error {
	for n := range maxParts {
		err := s.again(ctx, func(ctx context.Context) error {
			return s.household.Purge(ctx, jetstream.WithPurgeSubject(subject(n)))
		})
		if err != nil {
			return fmt.Errorf("delete the box before: %w", err)
		}
	}
	return nil
}

// Box is the newest box at a locator, or ErrNotFound.
func (s *Store) Box(ctx context.Context, locator string) ([]byte, error) {
	for {
		m, err := s.newest(ctx, s.household, boxSubject(locator))
		if errors.Is(err, ErrNotFound) {
			return nil, ErrNotFound
		}
		var box []byte
		if err == nil {
			box, err = s.parts(ctx, boxParts(locator, string(m.Data)))
		}
		if errors.Is(err, ErrNotFound) {
			// Another took its place meanwhile, or its chunks are lost.
			now, e := s.newest(ctx, s.household, boxSubject(locator))
			if e == nil && now.Sequence != m.Sequence {
				continue
			}
			err = errors.Join(errors.New("its chunks are missing"), e)
		}
		if err != nil {
			return nil, fmt.Errorf("read recovery box: %w", err)
		}
		return box, nil
	}
}
