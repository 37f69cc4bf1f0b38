package pairing_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

var errCut = errors.New("the power was cut")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// steady signs deterministically (RFC 6979), so that one message has one form.
type steady struct{ *ecdsa.PrivateKey }

func (s steady) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return s.PrivateKey.Sign(nil, digest, crypto.SHA256)
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return steady{k}
}

func spki(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	b, err := statement.SPKI(key.Public())
	must(t, err)
	return b
}

func idOf(t testing.TB, key crypto.Signer) seal.ID { t.Helper(); return seal.KeyID(spki(t, key)) }

// owner has an owner's keys and disk.
type owner struct {
	key       crypto.Signer
	recipient string
	newest    map[seal.ID]*ownership.Signed
	disk
}

func newOwner(t testing.TB) *owner {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	must(t, err)
	return &owner{key: newKey(t), recipient: id.Recipient().String(), newest: map[seal.ID]*ownership.Signed{}}
}

func (o *owner) Root() crypto.Signer { return o.key }

func (o *owner) Newest(device seal.ID) (*ownership.Signed, error) { return o.newest[device], nil }

func (o *owner) Draft(_ pairing.Terms, now time.Time) (ownership.Record, error) {
	return ownership.Record{Created: now, Recipients: []ownership.Recipient{{Kind: ownership.RecipientHousehold, Age: o.recipient}}}, nil
}

func (o *owner) code(t testing.TB, now time.Time) *pairing.Code {
	t.Helper()
	c, err := pairing.NewCode(idOf(t, o.key), now.Add(pairing.CodeLife), nil, nil)
	must(t, err)
	return c
}

func (o *owner) begin(t testing.TB, code *pairing.Code) *pairing.Owner {
	t.Helper()
	p, err := pairing.NewOwner(code, o, o.save)
	must(t, err)
	return p
}

func (o *owner) restart(t testing.TB) *pairing.Owner {
	t.Helper()
	p, err := pairing.RestoreOwner(o.state, o, o.save)
	must(t, err)
	return p
}

// device is a camera's key, disk and ownership.
type device struct {
	key   crypto.Signer
	how   ownership.Acquired
	owned *ownership.Ownership
	// accepts is what becomes of the next Accept, if anything does.
	accepts fault
	disk
}

func newDevice(t testing.TB) *device {
	t.Helper()
	return &device{key: newKey(t), how: ownership.AcquiredPaired}
}

func (d *device) Ownership() *ownership.Ownership { return d.owned }

func (d *device) Accept(s *ownership.Signed, now time.Time) (*ownership.Ownership, error) {
	if d.owned != nil {
		if err := s.Follows(&d.owned.Signed); err != nil {
			return nil, err
		}
	}
	o, err := s.Accept(d.key, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: now, Firmware: "1.0"})
	if err != nil {
		return nil, err
	}
	switch d.accepts {
	case faultLost:
		return nil, errCut
	case faultKept:
		d.owned = o
		return nil, errCut
	}
	d.owned = o
	return o, nil
}

func (d *device) options() pairing.CameraOptions {
	return pairing.CameraOptions{
		Device: d, Key: d.key, Protection: seal.ProtectionFile, Firmware: "1.0", Acquired: d.how, ClockRight: true, Save: d.save,
	}
}

func (d *device) begin(t testing.TB, code *pairing.Code, now time.Time) *pairing.Camera {
	t.Helper()
	c, err := pairing.NewCamera(code, d.options(), now)
	must(t, err)
	return c
}

func (d *device) restart(t testing.TB, now time.Time) *pairing.Camera {
	t.Helper()
	c, err := pairing.RestoreCamera(d.state, d.options(), now)
	must(t, err)
	return c
}

// fault is what can become of a durable write beside success.
type fault uint8

const (
	faultNone fault = 0
	faultLost fault = 1 // it failed and is not there
	faultKept fault = 2 // it failed and is there all the same
)

// disk keeps a side's state.
type disk struct {
	state []byte
	saves fault
}

func (d *disk) save(state []byte) error {
	if d.saves != faultLost {
		d.state = state
	}
	if d.saves != faultNone {
		return errCut
	}
	return nil
}

// receiver is either side.
type receiver interface {
	Receive(msg []byte, now time.Time) error
	Send() []byte
	Phase() pairing.Phase
}

// talk carries messages between both sides, each to the other, until nothing new is said.
func talk(o, c receiver, now time.Time) error {
	var errs []error
	for range 4 {
		for _, way := range []struct{ from, to receiver }{{c, o}, {o, c}} {
			if msg := way.from.Send(); msg != nil {
				errs = append(errs, way.to.Receive(msg, now))
			}
		}
	}
	return errors.Join(errs...)
}

// wantReason checks why something was refused.
func wantReason(t testing.TB, err error, want pairing.Reason) {
	t.Helper()
	if got := pairing.ReasonOf(err); got != want {
		t.Errorf("refused for %q (%v), want %q", got, err, want)
	}
}

func wantPhases(t testing.TB, o *pairing.Owner, owner pairing.Phase, c *pairing.Camera, camera pairing.Phase) {
	t.Helper()
	if o.Phase() != owner || c.Phase() != camera {
		t.Errorf("the owner's side is %s (%v), the camera's %s (%v); want %s and %s", o.Phase(), o.Failure(), c.Phase(), c.Failure(), owner, camera)
	}
}
