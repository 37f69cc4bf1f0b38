package ownership

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// Label is entry 0 of every ownership record.
const Label = "lensward/ownership/1"

const (
	maxRecipients = 8
	maxViewers    = 64
)

// Role says what a key on the viewer list may do.
type Role uint8

// The roles. The values are on the wire.
const (
	RoleOwner  Role = 1 // everything, as the owner's own phone
	RoleViewer Role = 2 // look and command
	RoleGuest  Role = 3 // look, until a date
)

// String is the role's name.
func (r Role) String() string {
	switch r {
	case RoleOwner:
		return "owner"
	case RoleViewer:
		return "viewer"
	case RoleGuest:
		return "guest"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// RecipientKind says what a recipient is for.
type RecipientKind uint8

// The kinds of recipient. The values are on the wire.
const (
	RecipientHousehold RecipientKind = 1 // what the household's members open with
	RecipientRecovery  RecipientKind = 2 // what is kept on paper
)

// Acquired says how the ownership came about. The values are on the wire.
type Acquired uint8

// The ways to come by a camera.
const (
	AcquiredPaired   Acquired = 1 // it had no owner
	AcquiredReleased Acquired = 2 // the owner before released it
	AcquiredReset    Acquired = 3 // somebody held its button
)

// Record says whose a device is. The owner signs it.
type Record struct {
	Device    seal.ID
	DeviceKey []byte // SubjectPublicKeyInfo, DER
	Owner     seal.ID
	OwnerKey  []byte // SubjectPublicKeyInfo, DER
	// Epoch counts the device's ownerships, Revision the changes within one, both from 1.
	Epoch, Revision uint64
	// Previous is the hash of the record before, zero where none is known.
	Previous seal.Hash
	Acquired Acquired
	Created  time.Time
	// Recipients are whom the device encrypts to, 1 to 8, all post-quantum or none.
	Recipients []Recipient
	// Viewers are the keys that may sign in and command, at most 64.
	Viewers []Viewer
}

// Recipient is an age recipient: age1pq1… (ML-KEM-768 with X25519) or age1… (X25519).
type Recipient struct {
	Kind RecipientKind `cbor:"1,keyasint"`
	Age  string        `cbor:"2,keyasint"`
}

// Viewer is a key that may look.
type Viewer struct {
	Key  []byte `cbor:"1,keyasint"` // SubjectPublicKeyInfo, DER
	Name string `cbor:"2,keyasint"` // for people, 1 to 64 characters
	Role Role   `cbor:"3,keyasint"`
	// Until is when the key's rights end, in milliseconds since 1970; 0 is never.
	Until int64 `cbor:"4,keyasint,omitempty"`
}

// wireRecord is the record's CBOR map.
type wireRecord struct {
	Label      string      `cbor:"0,keyasint"`
	Device     []byte      `cbor:"1,keyasint"`
	DeviceKey  []byte      `cbor:"2,keyasint"`
	Owner      []byte      `cbor:"3,keyasint"`
	OwnerKey   []byte      `cbor:"4,keyasint"`
	Epoch      uint64      `cbor:"5,keyasint"`
	Revision   uint64      `cbor:"6,keyasint"`
	Previous   []byte      `cbor:"7,keyasint,omitempty"`
	Acquired   Acquired    `cbor:"8,keyasint"`
	Created    int64       `cbor:"9,keyasint"`
	Recipients []Recipient `cbor:"10,keyasint"`
	Viewers    []Viewer    `cbor:"11,keyasint,omitempty"`
}

func (r Record) wire() wireRecord {
	w := wireRecord{
		Label: Label, Device: r.Device[:], DeviceKey: r.DeviceKey, Owner: r.Owner[:], OwnerKey: r.OwnerKey,
		Epoch: r.Epoch, Revision: r.Revision, Acquired: r.Acquired, Created: r.Created.UnixMilli(),
		Recipients: r.Recipients, Viewers: r.Viewers,
	}
	if !r.Previous.IsZero() {
		w.Previous = r.Previous[:]
	}
	return w
}

func parseRecord(payload []byte) (Record, error) {
	if l := statement.Label(payload); l != Label {
		return Record{}, fmt.Errorf("label %q: %w", l, ErrInvalid)
	}
	var w wireRecord
	if err := statement.Unmarshal(payload, &w); err != nil {
		return Record{}, err
	}
	r := Record{
		DeviceKey: w.DeviceKey, OwnerKey: w.OwnerKey, Epoch: w.Epoch, Revision: w.Revision,
		Acquired: w.Acquired, Recipients: w.Recipients, Viewers: w.Viewers,
	}
	if len(w.Device) != len(r.Device) || len(w.Owner) != len(r.Owner) {
		return Record{}, fmt.Errorf("device or owner ID is not 32 bytes: %w", ErrInvalid)
	}
	copy(r.Device[:], w.Device)
	copy(r.Owner[:], w.Owner)
	if w.Previous != nil {
		if len(w.Previous) != len(r.Previous) || copy(r.Previous[:], w.Previous) == 0 || r.Previous.IsZero() {
			return Record{}, fmt.Errorf("previous record's hash is not 32 bytes, or zero: %w", ErrInvalid)
		}
	}
	if w.Created < 0 || w.Created > statement.MaxInt {
		return Record{}, fmt.Errorf("creation time is out of range: %w", ErrInvalid)
	}
	r.Created = time.UnixMilli(w.Created).UTC()
	if err := r.check(); err != nil {
		return Record{}, err
	}
	return r, nil
}

// check holds a record against its rules.
func (r Record) check() error {
	if _, err := statement.ParseKey(r.DeviceKey); err != nil {
		return fmt.Errorf("device key: %w: %w", ErrInvalid, err)
	}
	if _, err := statement.ParseKey(r.OwnerKey); err != nil {
		return fmt.Errorf("owner key: %w: %w", ErrInvalid, err)
	}
	if r.Epoch < 1 || r.Epoch > statement.MaxInt || r.Revision < 1 || r.Revision > statement.MaxInt {
		return fmt.Errorf("epoch %d or revision %d is out of range: %w", r.Epoch, r.Revision, ErrInvalid)
	}
	if r.Acquired < AcquiredPaired || r.Acquired > AcquiredReset {
		return fmt.Errorf("acquired in way %d, which is not known: %w", r.Acquired, ErrInvalid)
	}
	if r.Previous.IsZero() && r.Revision > 1 {
		return fmt.Errorf("revision %d names no previous record: %w", r.Revision, ErrInvalid)
	}
	if err := r.checkRecipients(); err != nil {
		return err
	}
	return r.checkViewers()
}

func (r Record) checkRecipients() error {
	if n := len(r.Recipients); n < 1 || n > maxRecipients {
		return fmt.Errorf("%d recipients, 1 to %d: %w", n, maxRecipients, ErrInvalid)
	}
	household := false
	for _, p := range r.Recipients {
		if p.Kind != RecipientHousehold && p.Kind != RecipientRecovery {
			return fmt.Errorf("recipient of kind %d, which is not known: %w", p.Kind, ErrInvalid)
		}
		household = household || p.Kind == RecipientHousehold
	}
	if !household {
		return fmt.Errorf("no household recipient: %w", ErrInvalid)
	}
	to, err := r.AgeRecipients()
	if err != nil {
		return err
	}
	// age refuses to mix post-quantum and other recipients: better here than at the first picture.
	if _, err := age.Encrypt(io.Discard, to...); err != nil {
		return fmt.Errorf("recipients: %w: %w", ErrInvalid, err)
	}
	return nil
}

// AgeRecipients are the recipients in age's form.
func (r Record) AgeRecipients() ([]age.Recipient, error) {
	var out []age.Recipient
	for _, p := range r.Recipients {
		var to age.Recipient
		var err error
		if strings.HasPrefix(p.Age, "age1pq1") {
			to, err = age.ParseHybridRecipient(p.Age)
		} else {
			to, err = age.ParseX25519Recipient(p.Age)
		}
		if err != nil {
			return nil, fmt.Errorf("recipient: %w: %w", ErrInvalid, err)
		}
		out = append(out, to)
	}
	return out, nil
}

func (r Record) checkViewers() error {
	if len(r.Viewers) > maxViewers {
		return fmt.Errorf("%d viewers, at most %d: %w", len(r.Viewers), maxViewers, ErrInvalid)
	}
	seen := make(map[string]bool)
	for _, v := range r.Viewers {
		if err := v.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if seen[string(v.Key)] {
			return fmt.Errorf("a viewer is listed twice: %w", ErrInvalid)
		}
		seen[string(v.Key)] = true
	}
	return nil
}

// Equal says whether two entries say the same.
func (v Viewer) Equal(w Viewer) bool {
	return bytes.Equal(v.Key, w.Key) && v.Name == w.Name && v.Role == w.Role && v.Until == w.Until
}

// Check holds a viewer's entry against its rules.
func (v Viewer) Check() error {
	if _, err := statement.ParseKey(v.Key); err != nil {
		return fmt.Errorf("viewer key: %w", err)
	}
	if v.Role < RoleOwner || v.Role > RoleGuest || v.Until < 0 || v.Until > statement.MaxInt {
		return errors.New("viewer's role or date is out of range")
	}
	if v.Role == RoleGuest && v.Until == 0 {
		return errors.New("a guest without a date")
	}
	if !isPlain(v.Name) {
		return errors.New("viewer's name is not 1 to 64 characters of plain text")
	}
	return nil
}

// Binding is what a device seals under while this record is in force.
func (s *Signed) Binding() (seal.Binding, error) {
	to, err := s.Record.AgeRecipients()
	if err != nil {
		return seal.Binding{}, err
	}
	return seal.Binding{Owner: s.Record.Owner, Epoch: s.Record.Epoch, Record: s.Hash(), Recipients: to}, nil
}

// MayView says whether a key may look at the time given: the owner's own, or a
// listed viewer's whose date has not passed.
func (r Record) MayView(spki []byte, at time.Time) bool {
	if string(spki) == string(r.OwnerKey) {
		return true
	}
	for _, v := range r.Viewers {
		if string(v.Key) == string(spki) {
			return v.Until == 0 || at.UnixMilli() < v.Until
		}
	}
	return false
}

// isPlain allows valid UTF-8 of 1 to 64 characters, none of them a control character.
func isPlain(s string) bool {
	n := utf8.RuneCountInString(s)
	if !utf8.ValidString(s) || n < 1 || n > 64 {
		return false
	}
	for _, c := range s {
		if unicode.IsControl(c) {
			return false
		}
	}
	return true
}
