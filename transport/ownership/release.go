package ownership

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const (
	// LabelRelease is entry 0 of a release.
	LabelRelease = "lensward/release/1"
	// MaxRelease bounds a release, in bytes.
	MaxRelease = 1 << 10
)

// ErrRight means that a record takes a device to which its owner has no right: nobody
// released it to them, and nobody held its button.
var ErrRight = errors.New("the camera was neither released to this owner nor reset")

// Release is an owner's signed word that a device may become another's. It is good for
// one record of it alone: the next revision takes it back.
type Release struct {
	Device seal.ID
	// Owner is who gives it away, Epoch and Record are of the record in force.
	Owner  seal.ID
	Epoch  uint64
	Record seal.Hash
	// To is who may have it, zero for anyone.
	To seal.ID
	// Expires is by when the new record must have been accepted, in whole milliseconds.
	Expires time.Time

	raw []byte
}

// wireRelease is the release's CBOR map.
type wireRelease struct {
	Label    string `cbor:"0,keyasint"`
	Device   []byte `cbor:"1,keyasint"`
	Owner    []byte `cbor:"2,keyasint"`
	OwnerKey []byte `cbor:"3,keyasint"`
	Epoch    uint64 `cbor:"4,keyasint"`
	Record   []byte `cbor:"5,keyasint"`
	To       []byte `cbor:"6,keyasint,omitempty"`
	Expires  int64  `cbor:"7,keyasint"`
}

// SignRelease releases the device of the record in force, with the root key of the owner
// whom it names.
func SignRelease(owner crypto.Signer, known *Signed, to seal.ID, expires time.Time) (*Release, error) {
	k := known.Record
	spki, err := statement.SPKI(owner.Public())
	if err != nil {
		return nil, fmt.Errorf("sign release: %w", err)
	}
	if !bytes.Equal(spki, k.OwnerKey) {
		return nil, fmt.Errorf("sign release: the key is not the owner's of the record: %w", ErrInvalid)
	}
	hash := known.Hash()
	w := wireRelease{
		Label: LabelRelease, Device: k.Device[:], Owner: k.Owner[:], OwnerKey: spki,
		Epoch: k.Epoch, Record: hash[:], Expires: expires.UnixMilli(),
	}
	if !to.IsZero() {
		w.To = to[:]
	}
	b, err := statement.Sign(owner, w)
	if err != nil {
		return nil, fmt.Errorf("sign release: %w", err)
	}
	return ParseRelease(b)
}

// ParseRelease reads a release and checks that the owner whom it names signed it. Whether
// that is the device's owner says Frees.
func ParseRelease(b []byte) (*Release, error) {
	r, err := parseRelease(b)
	if err != nil {
		return nil, fmt.Errorf("read release: %w", err)
	}
	return r, nil
}

func parseRelease(b []byte) (*Release, error) {
	if len(b) > MaxRelease {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(b), MaxRelease, statement.ErrTooLarge)
	}
	st, rest, err := statement.Parse(b, MaxRelease)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("%d bytes after its end: %w", len(rest), statement.ErrMalformed)
	}
	if l := statement.Label(st.Payload); l != LabelRelease {
		return nil, fmt.Errorf("label %.40q: %w", l, ErrInvalid)
	}
	var w wireRelease
	if err := statement.Unmarshal(st.Payload, &w); err != nil {
		return nil, err
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	key, err := statement.ParseKey(w.OwnerKey)
	if err != nil {
		return nil, err
	}
	if err := st.Verify(key); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	r := &Release{
		Device: seal.ID(w.Device), Owner: seal.ID(w.Owner), Epoch: w.Epoch, Record: seal.Hash(w.Record),
		Expires: time.UnixMilli(w.Expires).UTC(), raw: bytes.Clone(b),
	}
	copy(r.To[:], w.To)
	return r, nil
}

// check holds the fields against their rules.
func (w *wireRelease) check() error {
	for _, id := range [][]byte{w.Device, w.Owner, w.Record} {
		if len(id) != len(seal.ID{}) {
			return fmt.Errorf("an ID or hash of %d bytes: %w", len(id), ErrInvalid)
		}
	}
	if w.To != nil && (len(w.To) != len(seal.ID{}) || seal.ID(w.To).IsZero()) {
		return fmt.Errorf("the new owner's ID is not 32 bytes, or zero: %w", ErrInvalid)
	}
	if seal.KeyID(w.OwnerKey) != seal.ID(w.Owner) {
		return fmt.Errorf("owner ID is not the hash of the owner key: %w", ErrInvalid)
	}
	if w.Epoch < 1 || w.Epoch >= statement.MaxInt || w.Expires < 1 || w.Expires > statement.MaxInt {
		return fmt.Errorf("epoch %d or expiry %d is out of range: %w", w.Epoch, w.Expires, ErrInvalid)
	}
	return nil
}

// Bytes is the release as it travels.
func (r *Release) Bytes() []byte { return r.raw }

// Frees says whether a release is of the record in force and has not expired. Now is the
// latest time that is known to have come: a device whose clock was not set has a floor
// and takes that.
func (r *Release) Frees(known *Signed, now time.Time) error {
	k := known.Record
	switch {
	case r.Device != k.Device:
		return fmt.Errorf("the release is of device %s: %w", r.Device.Short(), ErrRight)
	case r.Owner != k.Owner:
		return fmt.Errorf("the release is by owner %s, the camera is owner %s's: %w", r.Owner.Short(), k.Owner.Short(), ErrRight)
	case r.Epoch != k.Epoch || r.Record != known.Hash():
		return fmt.Errorf("the release is of another record than the one in force: %w", ErrRight)
	case !now.Before(r.Expires):
		return fmt.Errorf("the release expired on %s: %w", r.Expires.Format(time.DateTime), ErrRight)
	}
	return nil
}

// Right is by what a device changes hands. The zero Right is none.
type Right struct {
	// Release is the newest that the device has, nil for none.
	Release *Release
	// Reset says that somebody held the device's button.
	Reset bool
}

// Succeeds is what a device checks before it accepts a record, which must have been
// verified: it is the first of a device without an owner (known is nil), the next
// revision, or the first of the next epoch and its owner has a right to it. Beside the
// errors of Follows there is ErrRight.
func (s *Signed) Succeeds(known *Signed, by Right, now time.Time) error {
	r := s.Record
	if known == nil {
		if r.Acquired != AcquiredPaired {
			return fmt.Errorf("acquired in way %d, and the camera had no owner: %w", r.Acquired, ErrRight)
		}
		return nil
	}
	if err := s.Follows(known); err != nil {
		return err
	}
	switch {
	case r.Epoch == known.Record.Epoch:
		return nil
	case r.Acquired == AcquiredReset && by.Reset:
		return nil
	case r.Acquired != AcquiredReleased || by.Release == nil:
		return fmt.Errorf("owner %s, acquired in way %d: %w", r.Owner.Short(), r.Acquired, ErrRight)
	case !by.Release.To.IsZero() && by.Release.To != r.Owner:
		return fmt.Errorf("released to owner %s, not to %s: %w", by.Release.To.Short(), r.Owner.Short(), ErrRight)
	}
	return by.Release.Frees(known, now)
}
