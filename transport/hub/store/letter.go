package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// LetterKind is what a letter is. The values are in subjects and in the viewer API.
type LetterKind string

// The kinds of letter, of each of which a device has one at most.
const (
	LetterRecord  LetterKind = "record"
	LetterRelease LetterKind = "release"
)

// letterKinds are all of them.
func letterKinds() []LetterKind { return []LetterKind{LetterRecord, LetterRelease} }

// maxLetter bounds what is kept of a letter, in bytes.
const maxLetter = 96 << 10

// Letter is what an owner tells a device, or what became of it.
type Letter struct {
	Kind  LetterKind
	Owner seal.ID
	// Epoch is the ownership's that it is about.
	Epoch uint64
	// Created is when a record was made, by its owner's clock, in milliseconds since
	// 1970; 0 for a release.
	Created int64
	// Hash is SHA-256 of its bytes, Bytes nil once it is answered.
	Hash  seal.Hash
	Bytes []byte
	// Sent and Answered are when the hub took it and had an answer, in seconds since
	// 1970; Answered is 0 until then.
	Sent, Answered int64
	OK             bool
	Reason         string // why it was not taken
}

// storedLetter is a letter in its stream.
type storedLetter struct {
	Owner    seal.ID   `json:"owner"`
	Epoch    uint64    `json:"epoch"`
	Created  int64     `json:"created,omitempty"`
	Hash     seal.Hash `json:"hash"`
	Bytes    []byte    `json:"letter,omitempty"`
	Sent     int64     `json:"sent"`
	Answered int64     `json:"answered,omitempty"`
	OK       bool      `json:"ok,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}

func letterSubject(device seal.ID, kind LetterKind) string {
	return fmt.Sprintf("ward.letter.%s.%s", device, kind)
}

func parseLetter(kind LetterKind, b []byte) (*Letter, error) {
	if len(b) > maxLetter {
		return nil, fmt.Errorf("%d bytes, at most %d", len(b), maxLetter)
	}
	var v storedLetter
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	if v.Answered == 0 && seal.Hash(sha256.Sum256(v.Bytes)) != v.Hash {
		return nil, errors.New("its hash is another's")
	}
	return &Letter{
		Kind: kind, Owner: v.Owner, Epoch: v.Epoch, Created: v.Created, Hash: v.Hash, Bytes: v.Bytes,
		Sent: v.Sent, Answered: v.Answered, OK: v.OK, Reason: v.Reason,
	}, nil
}

func (l *Letter) encode() ([]byte, error) {
	return json.Marshal(storedLetter{
		Owner: l.Owner, Epoch: l.Epoch, Created: l.Created, Hash: l.Hash, Bytes: l.Bytes,
		Sent: l.Sent, Answered: l.Answered, OK: l.OK, Reason: l.Reason,
	})
}

// Letters are the newest letter of each kind for a device.
func (s *Store) Letters(ctx context.Context, device seal.ID) ([]*Letter, error) {
	// Most devices have none, and one look tells.
	if _, err := s.last(ctx, s.letters, letterSubject(device, "*")); errors.Is(err, ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("look for letters to device %s: %w", device.Short(), err)
	}
	var out []*Letter
	for _, kind := range letterKinds() {
		l, err := s.letter(ctx, device, kind)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// letter is the newest of one kind, or ErrNotFound.
func (s *Store) letter(ctx context.Context, device seal.ID, kind LetterKind) (*Letter, error) {
	m, err := s.newest(ctx, s.letters, letterSubject(device, kind))
	var l *Letter
	if err == nil {
		l, err = parseLetter(kind, m.Data)
	}
	if errors.Is(err, ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read %s letter to device %s: %w", kind, device.Short(), err)
	}
	return l, nil
}

// PutLetter makes a letter the newest of its kind for a device. The same again, while it
// is not answered, changes nothing. ErrRollBack means that it was created before the one
// that waits.
func (s *Store) PutLetter(ctx context.Context, device seal.ID, l Letter) error {
	return s.changeLetter(ctx, device, l.Kind, func(known *Letter) (*Letter, error) {
		if known != nil && known.Answered == 0 && known.Owner == l.Owner && known.Epoch == l.Epoch {
			switch {
			case known.Hash == l.Hash:
				return nil, nil
			case l.Created < known.Created:
				return nil, ErrRollBack
			}
		}
		return &l, nil
	})
}

// AnswerLetter keeps a device's answer in the place of the letter with that hash. It
// returns false if that letter is not there, or was answered.
func (s *Store) AnswerLetter(ctx context.Context, device seal.ID, h seal.Hash, at int64, ok bool, reason string) (found bool, err error) {
	for _, kind := range letterKinds() {
		err := s.changeLetter(ctx, device, kind, func(known *Letter) (*Letter, error) {
			if known == nil || known.Hash != h || known.Answered != 0 {
				return nil, nil
			}
			found = true
			known.Bytes, known.Answered, known.OK, known.Reason = nil, at, ok, reason
			return known, nil
		})
		if err != nil {
			return false, err
		}
	}
	return found, nil
}

// changeLetter writes what change makes of the newest letter, nil if there is none; nil
// leaves it. Change is called again if somebody else was quicker.
func (s *Store) changeLetter(ctx context.Context, device seal.ID, kind LetterKind, change func(*Letter) (*Letter, error)) error {
	err := s.replace(ctx, s.letters, letterSubject(device, kind), func(m *jetstream.RawStreamMsg) ([]byte, error) {
		var known *Letter
		if m != nil {
			var err error
			if known, err = parseLetter(kind, m.Data); err != nil {
				return nil, err
			}
		}
		next, err := change(known)
		if err != nil || next == nil {
			return nil, err
		}
		return next.encode()
	})
	if err != nil {
		return fmt.Errorf("keep %s letter to device %s: %w", kind, device.Short(), err)
	}
	return nil
}

// NewestRecord is a device's newest ownership record, of whatever owner, or ErrNotFound.
func (s *Store) NewestRecord(ctx context.Context, device seal.ID) (*ownership.Ownership, error) {
	m, err := s.newest(ctx, s.records, deviceRecords(device.String()))
	if errors.Is(err, ErrNotFound) {
		return nil, ErrNotFound
	}
	var o *ownership.Ownership
	if err == nil {
		o, err = ownership.Parse(m.Data)
	}
	if err != nil {
		return nil, fmt.Errorf("read newest ownership record of device %s: %w", device.Short(), err)
	}
	return o, nil
}
