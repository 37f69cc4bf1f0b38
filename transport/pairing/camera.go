package pairing

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const nonceSize = 16

// Device is what pairing needs of the camera that it runs on.
type Device interface {
	// Ownership is the record in force; nil for none.
	Ownership() *ownership.Ownership
	// Accept countersigns a record and puts it in force. It is on the disk when this
	// returns.
	Accept(s *ownership.Signed, now time.Time) (*ownership.Ownership, error)
}

// CameraOptions is what a camera brings to a pairing.
type CameraOptions struct {
	Device Device
	// Key is the device's key.
	Key crypto.Signer
	// Protection says how well the key is kept, Firmware which version runs (1 to 64
	// printable ASCII characters), Acquired how the camera is free.
	Protection seal.Protection
	Firmware   string
	Acquired   ownership.Acquired
	// ClockRight says that the camera's wall clock can be trusted.
	ClockRight bool
	// Save is given each new state, and must have it on the disk when it returns nil. A
	// state is a secret until the pairing is over.
	Save func(state []byte) error
}

// Camera is the camera's side of one pairing. It is not safe for concurrent use. Times
// that are given to it come from one process's time.Now, whose monotonic clock counts.
type Camera struct {
	side
	set      CameraOptions
	key      []byte // SubjectPublicKeyInfo
	deadline time.Time
}

// NewCamera begins a pairing with a code that the camera saw. A code that is not to be
// used is an *Error.
func NewCamera(code *Code, set CameraOptions, now time.Time) (*Camera, error) {
	c, err := newCamera(set)
	if err != nil {
		return nil, err
	}
	if err := set.fresh(code, now); err != nil {
		return nil, fmt.Errorf("begin pairing: %w", err)
	}
	w := wireHello{
		Label: labelHello, Transcript: code.keys.start, Key: c.key, Nonce: make([]byte, nonceSize),
		Protection: uint64(set.Protection), Firmware: set.Firmware, Acquired: uint64(set.Acquired),
	}
	rand.Read(w.Nonce)
	if set.Acquired != ownership.AcquiredPaired {
		had := set.Device.Ownership()
		if had == nil {
			return nil, fmt.Errorf("begin pairing: released or reset, but no ownership is known")
		}
		hash := had.Hash()
		w.Known = &wireKnown{Epoch: had.Record.Epoch, Hash: hash[:]}
	}
	if _, err := w.terms(); err != nil {
		return nil, fmt.Errorf("begin pairing: %w", err)
	}
	payload, err := statement.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("begin pairing: %w", err)
	}
	out, err := say(set.Key, code.keys.camera, w)
	if err != nil {
		return nil, err
	}
	c.deadline = now.Add(Patience)
	return c, c.become(memory{
		Label: labelCamera, Phase: PhaseBegun, Text: code.text, Rendezvous: code.keys.rendezvous, Owner: code.Owner[:],
		Start: code.keys.start, Transcript: next(code.keys.start, out), CameraKey: code.keys.camera, OwnerKey: code.keys.owner,
		Hello: payload, Out: out,
	})
}

// fresh refuses a code by its dates, if the camera can tell.
func (set *CameraOptions) fresh(code *Code, now time.Time) error {
	left := code.Expires.Sub(now.Round(0))
	switch {
	case !set.ClockRight:
		return nil
	case left < -clockSlack:
		return refuse(ReasonExpired, "the code expired at %s", code.Expires.Format(time.RFC3339))
	case left > MaxCodeLife+clockSlack:
		return refuse(ReasonBadField, "the code expires at %s", code.Expires.Format(time.RFC3339))
	}
	return nil
}

// RestoreCamera goes on from a saved state, with new patience.
func RestoreCamera(state []byte, set CameraOptions, now time.Time) (*Camera, error) {
	m, err := remember(state, labelCamera)
	if err != nil {
		return nil, err
	}
	c, err := newCamera(set)
	if err != nil {
		return nil, err
	}
	c.m, c.deadline = m, now.Add(Patience)
	return c, nil
}

func newCamera(set CameraOptions) (*Camera, error) {
	key, err := statement.SPKI(set.Key.Public())
	if err != nil {
		return nil, fmt.Errorf("begin pairing: %w", err)
	}
	return &Camera{side: side{save: set.Save}, set: set, key: key}, nil
}

// Receive takes a message. An *Error says why one is refused, which Failure tells from
// the end of the pairing. After any other error (of the device, or of saving) nothing has
// changed, and the message may be given again.
func (c *Camera) Receive(msg []byte, now time.Time) error {
	if c.took(msg) {
		return nil
	}
	return c.count(c.receive(msg, now), c.fail)
}

func (c *Camera) receive(msg []byte, now time.Time) error {
	if err := c.Tick(now); err != nil {
		return err
	}
	if c.m.Phase == PhaseFailed || c.m.Phase == PhaseDone {
		return refuse(ReasonOver, "it is %s", c.m.Phase)
	}
	st, err := hear(c.m.OwnerKey, msg)
	if err != nil {
		return err
	}
	switch label := statement.Label(st.Payload); {
	case label == labelOffer && c.m.Phase == PhaseBegun:
		return c.offer(st, msg, now)
	case label == labelAbort && c.m.Phase == PhaseBegun:
		return c.abort(st, msg)
	case label == labelDone && c.m.Phase == PhaseAgreed:
		return c.done(st, msg)
	}
	return unexpected(st)
}

// offer takes the record if it is the owner's whom the code names, on the camera's terms.
func (c *Camera) offer(st *statement.Statement, msg []byte, now time.Time) error {
	var w wireOffer
	if err := read(st, &w); err != nil {
		return err
	}
	if err := follows(w.Transcript, c.m.Transcript); err != nil {
		return err
	}
	record, err := ownership.ParseSigned(w.Carried)
	if err != nil {
		return refuse(ReasonBadRecord, "%v", err)
	}
	if err := record.Verify(); err != nil {
		return refuse(ReasonBadRecord, "%v", err)
	}
	if record.Record.Owner != seal.ID(c.m.Owner) {
		return refuse(ReasonWrongOwner, "the record is owner %s's", record.Record.Owner.Short())
	}
	if err := signed(st, record.Record.OwnerKey); err != nil {
		return err
	}
	if err := c.agrees(record.Record); err != nil {
		return errors.Join(err, c.fail(ReasonWrongRecord))
	}
	own, err := c.owned(record, now)
	if err != nil {
		return err
	}
	transcript := next(c.m.Transcript, msg)
	out, err := say(c.set.Key, c.m.CameraKey, wireOffer{Label: labelAccept, Transcript: transcript, Carried: own.Bytes()})
	if err != nil {
		return err
	}
	m := c.m.taking(msg)
	m.Phase, m.Text, m.CameraKey, m.Hello = PhaseAgreed, "", nil, nil
	m.Transcript, m.Out = next(transcript, out), out
	if err := c.become(m); err != nil {
		return err
	}
	c.deadline = now.Add(Patience)
	return nil
}

// agrees holds a record against what the hello asked for.
func (c *Camera) agrees(r ownership.Record) error {
	var w wireHello
	if err := statement.Unmarshal(c.m.Hello, &w); err != nil {
		return fmt.Errorf("read own hello: %w", err)
	}
	terms, err := w.terms()
	if err != nil {
		return fmt.Errorf("read own hello: %w", err)
	}
	return terms.check(r)
}

// owned has the record in force: it may be already, if the power was cut between that and
// the pairing's own state.
func (c *Camera) owned(s *ownership.Signed, now time.Time) (*ownership.Ownership, error) {
	if own := c.set.Device.Ownership(); own != nil && own.Hash() == s.Hash() {
		return own, nil
	}
	own, err := c.set.Device.Accept(s, now)
	if err != nil {
		return nil, fmt.Errorf("pair with owner %s: %w", s.Record.Owner.Short(), err)
	}
	return own, nil
}

// abort takes the owner's word that it is over.
func (c *Camera) abort(st *statement.Statement, msg []byte) error {
	var w wireAbort
	if err := read(st, &w); err != nil {
		return err
	}
	if err := w.check(); err != nil {
		return err
	}
	if err := follows(w.Transcript, c.m.Start); err != nil {
		return err
	}
	if id := seal.KeyID(w.Key); id != seal.ID(c.m.Owner) {
		return refuse(ReasonWrongOwner, "aborted by owner %s", id.Short())
	}
	if err := signed(st, w.Key); err != nil {
		return err
	}
	return c.over(msg, w.Reason)
}

// done takes the owner's word that it has the ownership.
func (c *Camera) done(st *statement.Statement, msg []byte) error {
	var w wireDone
	if err := read(st, &w); err != nil {
		return err
	}
	if err := follows(w.Transcript, c.m.Transcript); err != nil {
		return err
	}
	own := c.set.Device.Ownership()
	if own == nil || !bytes.Equal(own.Record.Owner[:], c.m.Owner) {
		return refuse(ReasonWrongOwner, "another ownership is in force by now")
	}
	if err := signed(st, own.Record.OwnerKey); err != nil {
		return err
	}
	return c.become(c.m.taking(msg).finished())
}

// finished is the camera's state when nothing more is to be said.
func (m memory) finished() memory {
	m.Phase, m.Text, m.CameraKey, m.OwnerKey, m.Hello, m.Out = PhaseDone, "", nil, nil, nil, nil
	return m
}

// Tick ends what has lasted too long: a camera that calls fails, one that has accepted is
// done. It is to be called at Deadline; before each message it is called anyway.
func (c *Camera) Tick(now time.Time) error {
	if now.Before(c.deadline) {
		return nil
	}
	switch c.m.Phase {
	case PhaseBegun:
		return c.fail(ReasonExpired)
	case PhaseAgreed:
		return c.become(c.m.finished())
	default:
		return nil
	}
}

// Deadline is when Tick has something to do, unless something comes before.
func (c *Camera) Deadline() time.Time { return c.deadline }

// Cancel ends a pairing that was not accepted. Later it is an *Error.
func (c *Camera) Cancel() error {
	if c.m.Phase != PhaseBegun {
		return refuse(ReasonUnexpected, "it cannot be cancelled any more")
	}
	if err := c.fail(ReasonCancelled); err != nil {
		return err
	}
	return refuse(ReasonUnexpected, "the camera has its owner already")
}

// fail ends the pairing and tells the owner; it returns the failure. What the camera says
// there is final, so it looks first whether the record is in force already, and only the
// pairing's own state was not saved: then the pairing is done, and fail returns nil.
func (c *Camera) fail(reason Reason) error {
	own := c.set.Device.Ownership()
	if own != nil && own.Record.Owner == seal.ID(c.m.Owner) && c.agrees(own.Record) == nil {
		return c.become(c.m.finished())
	}
	return c.end(c.set.Key, c.key, c.m.CameraKey, c.m.Transcript, reason)
}
