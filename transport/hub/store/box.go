package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
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
	name := rand.Text()
	if err := s.putParts(ctx, boxParts(locator, name), box); err != nil {
		return err
	}
	before := name
	err := s.replace(ctx, s.household, boxSubject(locator), func(known *jetstream.RawStreamMsg) ([]byte, error) {
		before = name
		if known != nil {
			before = string(known.Data)
		}
		return []byte(name), nil
	})
	if err != nil || before == name {
		return err
	}
	return s.purgeBox(ctx, boxParts(locator, before))
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
