// Package household is who looks at an owner's cameras, and for whom the cameras
// encrypt: a chain of statements that the owner's root key signs.
// docs/ref/household.md is the specification.
//
// It owns the statements' form and succession, the periods whose identities come and go,
// how an identity gets to a member (a card, an age file), and the recovery sheet with its
// box. It never stores or sends anything, keeps no clock, and never decides who may become
// a member: it is told.
package household

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const (
	// Label is entry 0 of a statement.
	Label = "lensward/household/1"
	// MaxEnvelope bounds a statement's envelope, in bytes.
	MaxEnvelope = 96 << 10
	// MaxKeys bounds what follows it, in bytes.
	MaxKeys = 160 << 10
	// MaxMembers bounds a household.
	MaxMembers = 32
	// MaxPeriods bounds the periods whose identities are kept at a time.
	MaxPeriods = 256
)

// Errors that a caller decides by, beside those of package statement.
var (
	// ErrLabel means that it is a statement of another kind or version.
	ErrLabel = errors.New("not a statement of a known version")
	// ErrField means that a field breaks its rule.
	ErrField = errors.New("a field breaks its rule")
	// ErrOwner means that it is of another owner.
	ErrOwner = errors.New("it is another owner's")
	// ErrKeys means that a statement's keys are not those that it was signed with, or do
	// not hold what they should.
	ErrKeys = errors.New("the statement's keys are not what they should be")
	// ErrRollBack means that something is not newer than what is known.
	ErrRollBack = errors.New("it is older than what is known")
	// ErrFork means that the owner's root key signed two histories.
	ErrFork = errors.New("two different statements in one place: the owner's key signed two histories")
	// ErrGap means that statements between the known one and this one are missing.
	ErrGap = errors.New("statements in between are missing")
	// ErrSuccession means that a statement changes what none may.
	ErrSuccession = errors.New("the statement does not follow from the one before")
	// ErrLocked means that an identity which is needed is not there.
	ErrLocked = errors.New("no identity that opens it is there")
)

// Signed is a statement whose form, owner and signature were checked. It is read-only.
type Signed struct {
	Statement

	hash     seal.Hash
	envelope []byte
	keys     []byte // nil where they were taken away
}

// Verify reads a statement of this owner, with its keys or without. Its errors are
// ErrLabel, ErrField, ErrOwner, ErrKeys and those of package statement.
func Verify(b []byte, owner seal.ID) (*Signed, error) {
	s, err := verify(b, owner)
	if err != nil {
		return nil, fmt.Errorf("read household statement: %w", err)
	}
	return s, nil
}

func verify(b []byte, owner seal.ID) (*Signed, error) {
	if len(b) > MaxEnvelope+MaxKeys {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(b), MaxEnvelope+MaxKeys, statement.ErrTooLarge)
	}
	env, rest, err := statement.Parse(b, MaxEnvelope)
	if err != nil {
		return nil, err
	}
	st, err := parseStatement(env.Payload)
	if err != nil {
		return nil, err
	}
	if st.Owner != owner || seal.KeyID(st.OwnerKey) != owner {
		return nil, fmt.Errorf("of owner %s: %w", st.Owner.Short(), ErrOwner)
	}
	key, err := statement.ParseKey(st.OwnerKey)
	if err != nil {
		return nil, err
	}
	if err := env.Verify(key); err != nil {
		return nil, err
	}
	s := &Signed{Statement: st, hash: sha256.Sum256(env.Payload), envelope: bytes.Clone(env.Envelope)}
	if len(rest) == 0 {
		return s, nil
	}
	if uint64(len(rest)) != st.keysSize || sha256.Sum256(rest) != st.keysHash {
		return nil, fmt.Errorf("%d bytes of keys: %w", len(rest), ErrKeys)
	}
	s.keys = bytes.Clone(rest)
	return s, nil
}

// sign makes a statement with its keys.
func sign(root crypto.Signer, st Statement, keys []byte) (*Signed, error) {
	st.keysSize, st.keysHash = uint64(len(keys)), sha256.Sum256(keys)
	if err := st.check(); err != nil {
		return nil, err
	}
	env, err := statement.Sign(root, st.wire())
	if err != nil {
		return nil, err
	}
	return verify(append(env, keys...), st.Owner)
}

// Hash is SHA-256 of what was signed: the statement's name.
func (s *Signed) Hash() seal.Hash { return s.hash }

// Bytes is the statement with its keys, as far as they are there.
func (s *Signed) Bytes() []byte { return append(bytes.Clone(s.envelope), s.keys...) }

// Envelope is the statement without its keys.
func (s *Signed) Envelope() []byte { return s.envelope }

// HasKeys says whether the keys are there.
func (s *Signed) HasKeys() bool { return s.keys != nil }
