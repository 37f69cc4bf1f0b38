// Package ownership is the answer to "whose camera is this?": a record that the
// owner signs and the device countersigns. docs/ref/ownership.md is the
// specification.
//
// It owns the record's format, the rules of one record following another, and
// the check that both sides signed. It never stores or sends a record and never
// trusts whoever delivers one: the owner's ID is the hash of the key that signed
// it, the device's ID that of the key that accepted it. It depends on the
// standard library, age, COSE and CBOR alone.
package ownership

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// Limits, in bytes.
const (
	// MaxOwnership bounds a record with its acceptance.
	MaxOwnership = 64 << 10
	// MaxRecord bounds the owner's half.
	MaxRecord = 60 << 10
	// MaxAcceptance bounds the device's half.
	MaxAcceptance = 2 << 10
)

// Errors that a caller decides by. Each is wrapped with what was being checked.
var (
	// ErrInvalid means that a record breaks a rule of its form.
	ErrInvalid = errors.New("invalid ownership record")
	// ErrSignature means that the owner's or the device's signature does not verify.
	ErrSignature = errors.New("signature of the ownership record does not verify")
	// ErrRollBack means that a record is not newer than the one that is known.
	ErrRollBack = errors.New("ownership record is not newer than the known one")
	// ErrSuccession means that a record does not follow the one that is known.
	ErrSuccession = errors.New("ownership record does not follow the known one")
)

// Signed is an owner-signed record that the device has not accepted yet.
type Signed struct {
	// Record is what the owner signed.
	Record Record

	statement *statement.Statement
}

// Ownership is a record with both signatures.
type Ownership struct {
	Signed
	// Acceptance is what the device signed.
	Acceptance Acceptance

	acceptance *statement.Statement
	raw        []byte
}

// Acceptance is the device's half: that it took this very record.
type Acceptance struct {
	Record     seal.Hash
	Device     seal.ID
	Boot       uint64
	Protection seal.Protection
	Accepted   time.Time
	Firmware   string
}

// wirePair is the array of both statements.
type wirePair struct {
	_          struct{} `cbor:",toarray"`
	Record     []byte
	Acceptance []byte
}

// wireAcceptance is the acceptance's CBOR map.
type wireAcceptance struct {
	Label      string `cbor:"0,keyasint"`
	Record     []byte `cbor:"1,keyasint"`
	Device     []byte `cbor:"2,keyasint"`
	Boot       uint64 `cbor:"3,keyasint"`
	Protection uint64 `cbor:"4,keyasint"`
	Accepted   int64  `cbor:"5,keyasint"`
	Firmware   string `cbor:"6,keyasint"`
}

const labelAcceptance = "lensward/acceptance/1"

// Sign signs a record with the owner's root key, which must be the one it names.
func Sign(owner crypto.Signer, r Record) (*Signed, error) {
	spki, err := statement.SPKI(owner.Public())
	if err != nil {
		return nil, fmt.Errorf("sign ownership record: %w", err)
	}
	if !bytes.Equal(spki, r.OwnerKey) {
		return nil, fmt.Errorf("sign ownership record: the key is not the owner's that it names: %w", ErrInvalid)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("sign ownership record: %w", err)
	}
	b, err := statement.Sign(owner, r.wire())
	if err != nil {
		return nil, fmt.Errorf("sign ownership record: %w", err)
	}
	return ParseSigned(b)
}

// ParseSigned reads the owner's half. It checks the form; Verify checks the signature.
func ParseSigned(b []byte) (*Signed, error) {
	st, rest, err := statement.Parse(b, MaxRecord)
	if err != nil {
		return nil, fmt.Errorf("read ownership record: %w", err)
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("read ownership record: %d bytes too many: %w", len(rest), ErrInvalid)
	}
	r, err := parseRecord(st.Payload)
	if err != nil {
		return nil, fmt.Errorf("read ownership record: %w", err)
	}
	return &Signed{Record: r, statement: st}, nil
}

// Bytes is the owner's half as it travels.
func (s *Signed) Bytes() []byte { return s.statement.Envelope }

// Hash is SHA-256 of the signed record: its name in items and later records.
func (s *Signed) Hash() seal.Hash { return sha256.Sum256(s.statement.Payload) }

// Verify checks that both IDs are the hashes of their keys and that the owner's
// key signed.
func (s *Signed) Verify() error {
	if seal.KeyID(s.Record.OwnerKey) != s.Record.Owner {
		return fmt.Errorf("verify ownership record: owner ID is not the hash of the owner key: %w", ErrInvalid)
	}
	if seal.KeyID(s.Record.DeviceKey) != s.Record.Device {
		return fmt.Errorf("verify ownership record: device ID is not the hash of the device key: %w", ErrInvalid)
	}
	pub, err := statement.ParseKey(s.Record.OwnerKey)
	if err != nil {
		return fmt.Errorf("verify ownership record: owner key: %w", err)
	}
	if err := s.statement.Verify(pub); err != nil {
		return fmt.Errorf("verify ownership record: %w: %w", ErrSignature, err)
	}
	return nil
}

// Accept countersigns a record that verifies, on the device. Accepted and the
// rest of a are the device's; Record and Device are filled in.
func (s *Signed) Accept(device crypto.Signer, a Acceptance) (*Ownership, error) {
	if err := s.Verify(); err != nil {
		return nil, fmt.Errorf("accept ownership record: %w", err)
	}
	id, err := seal.IDOf(device.Public())
	if err != nil {
		return nil, fmt.Errorf("accept ownership record: %w", err)
	}
	if id != s.Record.Device {
		return nil, fmt.Errorf("accept ownership record: it is for device %s, this is %s: %w", s.Record.Device.Short(), id.Short(), ErrInvalid)
	}
	h := s.Hash()
	acc, err := statement.Sign(device, wireAcceptance{
		Label: labelAcceptance, Record: h[:], Device: id[:], Boot: a.Boot,
		Protection: uint64(a.Protection), Accepted: a.Accepted.UnixMilli(), Firmware: a.Firmware,
	})
	if err != nil {
		return nil, fmt.Errorf("accept ownership record: %w", err)
	}
	raw, err := statement.Marshal(wirePair{Record: s.Bytes(), Acceptance: acc})
	if err != nil {
		return nil, fmt.Errorf("accept ownership record: %w", err)
	}
	return Parse(raw)
}

// Parse reads both halves. It checks the form; Verify checks the signatures.
func Parse(b []byte) (*Ownership, error) {
	if len(b) > MaxOwnership {
		return nil, fmt.Errorf("read ownership: %d bytes, at most %d: %w", len(b), MaxOwnership, ErrInvalid)
	}
	var pair wirePair
	if err := statement.Unmarshal(b, &pair); err != nil {
		return nil, fmt.Errorf("read ownership: %w", err)
	}
	signed, err := ParseSigned(pair.Record)
	if err != nil {
		return nil, err
	}
	st, rest, err := statement.Parse(pair.Acceptance, MaxAcceptance)
	if err != nil {
		return nil, fmt.Errorf("read acceptance: %w", err)
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("read acceptance: %d bytes too many: %w", len(rest), ErrInvalid)
	}
	acc, err := parseAcceptance(st.Payload)
	if err != nil {
		return nil, fmt.Errorf("read acceptance: %w", err)
	}
	return &Ownership{Signed: *signed, Acceptance: acc, acceptance: st, raw: bytes.Clone(b)}, nil
}

func parseAcceptance(payload []byte) (Acceptance, error) {
	var w wireAcceptance
	if err := statement.Unmarshal(payload, &w); err != nil {
		return Acceptance{}, err
	}
	var a Acceptance
	switch {
	case w.Label != labelAcceptance:
		return a, fmt.Errorf("label %q: %w", w.Label, ErrInvalid)
	case len(w.Record) != len(a.Record) || len(w.Device) != len(a.Device):
		return a, fmt.Errorf("record hash or device ID is not 32 bytes: %w", ErrInvalid)
	case w.Boot < 1 || w.Boot > statement.MaxInt || w.Accepted < 0 || w.Accepted > statement.MaxInt:
		return a, fmt.Errorf("boot counter or time is out of range: %w", ErrInvalid)
	case w.Protection < 1 || w.Protection > 2:
		return a, fmt.Errorf("key protection %d is not known: %w", w.Protection, ErrInvalid)
	case !isPlain(w.Firmware):
		return a, fmt.Errorf("firmware version: %w", ErrInvalid)
	}
	copy(a.Record[:], w.Record)
	copy(a.Device[:], w.Device)
	a.Boot, a.Protection, a.Firmware = w.Boot, seal.Protection(w.Protection), w.Firmware
	a.Accepted = time.UnixMilli(w.Accepted).UTC()
	return a, nil
}

// Bytes is the ownership as it travels and is stored.
func (o *Ownership) Bytes() []byte { return o.raw }

// Verify checks everything that Signed.Verify does and that this device
// accepted this very record.
func (o *Ownership) Verify() error {
	if err := o.Signed.Verify(); err != nil {
		return err
	}
	if o.Acceptance.Record != o.Hash() || o.Acceptance.Device != o.Record.Device {
		return fmt.Errorf("verify ownership: the acceptance is of another record or device: %w", ErrInvalid)
	}
	pub, err := statement.ParseKey(o.Record.DeviceKey)
	if err != nil {
		return fmt.Errorf("verify ownership: device key: %w", err)
	}
	if err := o.acceptance.Verify(pub); err != nil {
		return fmt.Errorf("verify ownership: acceptance: %w: %w", ErrSignature, err)
	}
	return nil
}

// Follows checks that a record may take the place of the one that is known:
// the next revision of the same ownership, or the first of the next epoch. Both
// must have been verified. Known may be nil.
func (s *Signed) Follows(known *Signed) error {
	r := s.Record
	if known == nil {
		return nil
	}
	k := known.Record
	switch {
	case r.Device != k.Device:
		return fmt.Errorf("another device: %w", ErrSuccession)
	case r.Epoch < k.Epoch, r.Epoch == k.Epoch && r.Revision <= k.Revision:
		return fmt.Errorf("epoch %d revision %d, known %d and %d: %w", r.Epoch, r.Revision, k.Epoch, k.Revision, ErrRollBack)
	case r.Epoch == k.Epoch && r.Owner != k.Owner:
		return fmt.Errorf("another owner in the same epoch: %w", ErrSuccession)
	case r.Epoch == k.Epoch && r.Revision != k.Revision+1,
		r.Epoch != k.Epoch && (r.Epoch != k.Epoch+1 || r.Revision != 1):
		return fmt.Errorf("epoch %d revision %d does not come next after %d and %d: %w", r.Epoch, r.Revision, k.Epoch, k.Revision, ErrSuccession)
	case r.Previous != known.Hash():
		return fmt.Errorf("it names another record as the previous one: %w", ErrSuccession)
	}
	return nil
}
