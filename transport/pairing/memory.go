package pairing

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/lensward/lensward/transport/statement"
)

// The labels of the saved states.
const (
	labelOwner  = "lensward/pairing-owner-state/1"
	labelCamera = "lensward/pairing-camera-state/1"
)

// memory is a side's whole state as it is saved. It is replaced, never changed in
// place. What a side does not need, or needs no more, is empty.
type memory struct {
	Label      string   `cbor:"0,keyasint"`
	Phase      Phase    `cbor:"1,keyasint"`
	Text       string   `cbor:"2,keyasint,omitempty"` // the code, while it may be used
	Rendezvous string   `cbor:"3,keyasint"`
	Owner      []byte   `cbor:"4,keyasint"`           // ID
	Expires    uint64   `cbor:"5,keyasint,omitempty"` // owner: seconds since 1970
	Start      []byte   `cbor:"6,keyasint"`           // T0
	Called     []byte   `cbor:"7,keyasint,omitempty"` // owner: T1
	Transcript []byte   `cbor:"8,keyasint"`
	CameraKey  []byte   `cbor:"9,keyasint,omitempty"`
	OwnerKey   []byte   `cbor:"10,keyasint,omitempty"`
	Out        []byte   `cbor:"11,keyasint,omitempty"` // the message to send
	Taken      [][]byte `cbor:"12,keyasint,omitempty"` // hashes of the messages that were taken
	Hello      []byte   `cbor:"13,keyasint,omitempty"` // the payload
	Record     []byte   `cbor:"14,keyasint,omitempty"` // owner: the one that was offered
	Ownership  []byte   `cbor:"15,keyasint,omitempty"` // owner: the one that came of it
	Rival      []byte   `cbor:"16,keyasint,omitempty"` // owner: ID of a second device
	Reason     Reason   `cbor:"17,keyasint,omitempty"` // why it failed,
	Theirs     bool     `cbor:"18,keyasint,omitempty"` // as the other side said
}

// remember reads a saved state.
func remember(b []byte, label string) (memory, error) {
	var m memory
	if len(b) > MaxState {
		return m, fmt.Errorf("read pairing state: %d bytes, at most %d", len(b), MaxState)
	}
	if err := statement.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("read pairing state: %w", err)
	}
	switch {
	case m.Label != label:
		return m, fmt.Errorf("read pairing state: label %.40q, not %q", m.Label, label)
	case m.Phase < PhaseBegun || m.Phase > PhaseFailed:
		return m, fmt.Errorf("read pairing state: phase %d", m.Phase)
	case len(m.Owner) != sha256.Size || len(m.Start) != sha256.Size || len(m.Transcript) != sha256.Size:
		return m, fmt.Errorf("read pairing state: an ID or hash is not 32 bytes")
	case m.Rival != nil && len(m.Rival) != sha256.Size:
		return m, fmt.Errorf("read pairing state: the second device's ID is not 32 bytes")
	}
	return m, nil
}

// side is what owner and camera have in common.
type side struct {
	m       memory
	save    func(state []byte) error
	refused int
}

// become saves a new state and takes it. When that fails, the old one stands.
func (s *side) become(m memory) error {
	b, err := statement.Marshal(m)
	if err != nil {
		return fmt.Errorf("save pairing state: %w", err)
	}
	if err := s.save(b); err != nil {
		return fmt.Errorf("save pairing state: %w", err)
	}
	s.m = m
	return nil
}

// count takes what came of a message: a side that has refused too many before it agreed
// to anything fails, as fail does it.
func (s *side) count(err error, fail func(Reason) error) error {
	if ReasonOf(err) == "" || s.m.Phase != PhaseBegun {
		return err
	}
	if s.refused++; s.refused < MaxRefused {
		return err
	}
	return errors.Join(err, fail(ReasonTooMany))
}

// Phase is how far this side has come.
func (s *side) Phase() Phase { return s.m.Phase }

// Send is the message to send now, and again every few seconds; nil for none. It is the
// side's own and must not be changed.
func (s *side) Send() []byte { return s.m.Out }

// Rendezvous is the code's.
func (s *side) Rendezvous() string { return s.m.Rendezvous }

// Failure is why it failed: an *Error, or nil.
func (s *side) Failure() error {
	if s.m.Phase != PhaseFailed {
		return nil
	}
	return &Error{Reason: s.m.Reason, Theirs: s.m.Theirs}
}

// Code is the code while it may still be used, else nil.
func (s *side) Code() *Code {
	c, err := ParseCode(s.m.Text)
	if err != nil {
		return nil // it was forgotten
	}
	return c
}

// took says whether this very message was taken before.
func (s *side) took(msg []byte) bool {
	h := sha256.Sum256(msg)
	return slices.ContainsFunc(s.m.Taken, func(t []byte) bool { return bytes.Equal(t, h[:]) })
}

// taking is the state with a message added to those that were taken.
func (m memory) taking(msg []byte) memory {
	h := sha256.Sum256(msg)
	m.Taken = append(slices.Clone(m.Taken), h[:])
	return m
}

// failing is the state after a failure: without the code and all that follows from it.
// An abort, if any, is all that is left to say.
func (m memory) failing(reason Reason, abort []byte) memory {
	return memory{
		Label: m.Label, Phase: PhaseFailed, Rendezvous: m.Rendezvous, Owner: m.Owner, Start: m.Start, Transcript: m.Transcript,
		Taken: m.Taken, Hello: m.Hello, Out: abort, Reason: reason,
	}
}

// end fails the pairing and has an abort sent, signed by this side's signer. It returns
// the failure, or what kept it from being saved. An abort that cannot be signed is not
// sent: the pairing is over all the same.
func (s *side) end(signer crypto.Signer, spki, key, transcript []byte, reason Reason) error {
	out, err := say(signer, key, wireAbort{Label: labelAbort, Transcript: transcript, Key: spki, Reason: reason})
	if err != nil {
		out = nil
	}
	if err := s.become(s.m.failing(reason, out)); err != nil {
		return err
	}
	return s.Failure()
}

// over fails the pairing as the other side said.
func (s *side) over(msg []byte, reason Reason) error {
	m := s.m.taking(msg).failing(reason, nil)
	m.Theirs = true
	if err := s.become(m); err != nil {
		return err
	}
	return s.Failure()
}
