package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/transport/seal"
)

const (
	maxStatements = 4096 // of one owner
	maxCards      = 256  // of one owner
	maxParts      = 4    // chunks of a statement's keys, or of a box
)

// ErrTooMany means that an owner has as many as it may.
var ErrTooMany = errors.New("there are too many already")

// Household is a verified household statement, as far as the store looks at it.
type Household struct {
	Owner  seal.ID
	Serial uint64
	// Hash is the statement's name, Envelope what was signed, Keys what follows it; nil
	// where they were taken away.
	Hash     seal.Hash
	Envelope []byte
	Keys     []byte
}

func householdSubject(owner seal.ID, serial string) string {
	return "ward.household." + owner.String() + "." + serial
}

func cardSubject(owner seal.ID, member string) string {
	return "ward.card." + owner.String() + "." + member
}

func keysSubject(h seal.Hash) func(n int) string {
	return func(n int) string { return fmt.Sprintf("ward.keys.%s.%d", h, n) }
}

// PutHousehold stores a statement under its serial, once. Same says that what stands
// there is the same statement: it is given its envelope, and decides by what was signed.
// ErrFork means that another stands there, ErrTooMany that the owner has too many.
func (s *Store) PutHousehold(ctx context.Context, h Household, same func(envelope []byte) bool) error {
	if err := s.putHousehold(ctx, h, same); err != nil {
		return fmt.Errorf("store household statement %d of %s: %w", h.Serial, h.Owner.Short(), err)
	}
	return nil
}

func (s *Store) putHousehold(ctx context.Context, h Household, same func(envelope []byte) bool) error {
	m := nats.NewMsg(householdSubject(h.Owner, strconv.FormatUint(h.Serial, 10)))
	m.Data = h.Envelope
	stands, err := s.last(ctx, s.household, m.Subject)
	switch {
	case errors.Is(err, ErrNotFound):
		serials, err := s.serials(ctx, h.Owner)
		if err != nil {
			return err
		}
		if len(serials) >= maxStatements {
			return ErrTooMany
		}
	case err != nil:
		return err
	case !same(stands.Data):
		return ErrFork
	}
	// Keys are under the statement's own hash: those of a fork are in nobody's way.
	if err := s.putParts(ctx, keysSubject(h.Hash), h.Keys); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	_, err = s.createOnce(ctx, m, func() (bool, error) {
		stands, err := s.newest(ctx, s.household, m.Subject)
		return err == nil && same(stands.Data), err
	})
	return err
}

// serials are those of an owner's statements, lowest first.
func (s *Store) serials(ctx context.Context, owner seal.ID) ([]uint64, error) {
	names, err := s.names(ctx, s.household, householdSubject(owner, ""))
	if err != nil {
		return nil, err
	}
	out := make([]uint64, 0, len(names))
	for _, name := range names {
		n, err := strconv.ParseUint(name, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("household statement with serial %.40q: %w", name, err)
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out, nil
}

// names are what follows a prefix, one word each, in a stream's subjects, sorted.
func (s *Store) names(ctx context.Context, st jetstream.Stream, prefix string) ([]string, error) {
	info, err := s.info(ctx, st, jetstream.WithSubjectFilter(prefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("list %s*: %w", prefix, err)
	}
	out := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		out = append(out, strings.TrimPrefix(subject, prefix))
	}
	slices.Sort(out)
	return out, nil
}

// Households are an owner's statements with a serial above after, in the order of their
// serials, each with its keys as far as they are there: at most limit of them, and no
// more once there are so many bytes.
func (s *Store) Households(ctx context.Context, owner seal.ID, after uint64, limit, bytes int, hash func(envelope []byte) (seal.Hash, error)) ([][]byte, error) {
	serials, err := s.serials(ctx, owner)
	if err != nil {
		return nil, fmt.Errorf("read household of %s: %w", owner.Short(), err)
	}
	var out [][]byte
	for _, serial := range serials {
		if serial <= after {
			continue
		}
		b, err := s.statement(ctx, householdSubject(owner, strconv.FormatUint(serial, 10)), hash)
		if err != nil {
			return nil, fmt.Errorf("read household statement %d of %s: %w", serial, owner.Short(), err)
		}
		if bytes -= len(b); len(out) == limit || bytes < 0 && len(out) > 0 {
			break
		}
		out = append(out, b)
	}
	return out, nil
}

func (s *Store) statement(ctx context.Context, subject string, hash func([]byte) (seal.Hash, error)) ([]byte, error) {
	m, err := s.last(ctx, s.household, subject)
	if err != nil {
		return nil, err
	}
	h, err := hash(m.Data)
	if err != nil {
		return nil, err
	}
	keys, err := s.parts(ctx, keysSubject(h))
	if errors.Is(err, ErrNotFound) {
		return m.Data, nil
	}
	return append(slices.Clip(m.Data), keys...), err
}

// putParts writes bytes in chunks, the first one last: where it is, all are.
func (s *Store) putParts(ctx context.Context, subject func(int) string, b []byte) error {
	for n := (len(b) - 1) / chunkSize; n >= 0 && len(b) > 0; n-- {
		m := nats.NewMsg(subject(n))
		m.Data = b[n*chunkSize : min(len(b), (n+1)*chunkSize)]
		if _, err := s.publish(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// parts are bytes that putParts wrote, or ErrNotFound.
func (s *Store) parts(ctx context.Context, subject func(int) string) ([]byte, error) {
	var out []byte
	for n := range maxParts {
		m, err := s.last(ctx, s.household, subject(n))
		if errors.Is(err, ErrNotFound) && n > 0 {
			return out, nil // the one before was full, and the last
		}
		if err != nil {
			return nil, err
		}
		out = append(out, m.Data...)
		if len(m.Data) < chunkSize {
			break
		}
	}
	return out, nil
}

// PutCard stores a verified card of a member's key in the place of an older one. Decide
// is given the one that is there, nil if there is none, and says whether to write; its
// error is returned. ErrTooMany means that the owner has too many.
func (s *Store) PutCard(ctx context.Context, owner, member seal.ID, card []byte, decide func(known []byte) (bool, error)) error {
	err := s.replace(ctx, s.household, cardSubject(owner, member.String()), func(known *jetstream.RawStreamMsg) ([]byte, error) {
		var before []byte
		if known != nil {
			before = known.Data
		} else if names, err := s.names(ctx, s.household, cardSubject(owner, "")); err != nil {
			return nil, err
		} else if len(names) >= maxCards {
			return nil, ErrTooMany
		}
		write, err := decide(before)
		if !write {
			return nil, err
		}
		return card, err
	})
	if err != nil {
		return fmt.Errorf("store card of member %s: %w", member.Short(), err)
	}
	return nil
}

// Cards are the newest card of each member's key, as far as this owner's members sent any.
func (s *Store) Cards(ctx context.Context, owner seal.ID) ([][]byte, error) {
	names, err := s.names(ctx, s.household, cardSubject(owner, ""))
	if err != nil {
		return nil, fmt.Errorf("read cards of %s: %w", owner.Short(), err)
	}
	var out [][]byte
	for _, name := range names[:min(len(names), maxCards)] {
		m, err := s.last(ctx, s.household, cardSubject(owner, name))
		if err != nil {
			return nil, fmt.Errorf("read card of %s: %w", owner.Short(), err)
		}
		out = append(out, m.Data)
	}
	return out, nil
}
