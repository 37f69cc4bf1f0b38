package pairing

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// Keys are what pairing needs of an owner.
type Keys interface {
	// Root is the key that the code's owner ID is the hash of.
	Root() crypto.Signer
	// Newest is the newest record that this owner has seen of a device; nil for none.
	Newest(device seal.ID) (*ownership.Signed, error)
	// Draft gives the recipients, the viewers and the time of a record that takes a camera
	// on these terms. What follows from the terms is filled in.
	Draft(t Terms, now time.Time) (ownership.Record, error)
}

// Owner is the owner's side of one pairing. It is not safe for concurrent use.
type Owner struct {
	side
	keys Keys
}

// NewOwner begins a pairing with a code that the owner made. Save is given each new
// state, and must have it on the disk when it returns nil. A state is a secret.
func NewOwner(code *Code, keys Keys, save func(state []byte) error) (*Owner, error) {
	id, err := seal.IDOf(keys.Root().Public())
	if err != nil {
		return nil, fmt.Errorf("begin pairing: %w", err)
	}
	if id != code.Owner {
		return nil, fmt.Errorf("begin pairing: the code is of owner %s, these are the keys of %s", code.Owner.Short(), id.Short())
	}
	o := &Owner{side: side{save: save}, keys: keys}
	return o, o.become(memory{
		Label: labelOwner, Phase: PhaseBegun, Text: code.text, Rendezvous: code.keys.rendezvous, Owner: code.Owner[:],
		Expires: uint64(code.Expires.Unix()), Start: code.keys.start, Transcript: code.keys.start,
		CameraKey: code.keys.camera, OwnerKey: code.keys.owner,
	})
}

// RestoreOwner goes on from a saved state.
func RestoreOwner(state []byte, keys Keys, save func(state []byte) error) (*Owner, error) {
	m, err := remember(state, labelOwner)
	if err != nil {
		return nil, err
	}
	return &Owner{side: side{m: m, save: save}, keys: keys}, nil
}

// Receive takes a message. An *Error says why one is refused, which Failure tells from
// the end of the pairing; a ReasonRival is for the person. After any other error (of the
// keys, or of saving) nothing has changed, and the message may be given again.
func (o *Owner) Receive(msg []byte, now time.Time) error {
	if o.took(msg) {
		return nil
	}
	return o.count(o.receive(msg, now), o.fail)
}

func (o *Owner) receive(msg []byte, now time.Time) error {
	if err := o.Tick(now); err != nil {
		return err
	}
	if o.m.Phase == PhaseFailed {
		return refuse(ReasonOver, "nothing came of it")
	}
	st, err := hear(o.m.CameraKey, msg)
	if err != nil {
		return err
	}
	switch label := statement.Label(st.Payload); {
	case label == labelHello:
		return o.hello(st, msg, now)
	case label == labelAccept && o.m.Phase != PhaseBegun:
		return o.accept(st, msg)
	case label == labelAbort && o.m.Phase == PhaseAgreed:
		return o.abort(st, msg)
	}
	return unexpected(st)
}

// hello answers the first device that has the code, and notes a second.
func (o *Owner) hello(st *statement.Statement, msg []byte, now time.Time) error {
	var w wireHello
	if err := read(st, &w); err != nil {
		return err
	}
	terms, err := w.terms()
	if err != nil {
		return err
	}
	if err := follows(w.Transcript, o.m.Start); err != nil {
		return err
	}
	if err := signed(st, w.Key); err != nil {
		return err
	}
	if o.m.Phase == PhaseBegun {
		return o.offer(st, msg, terms, now)
	}
	if id := o.Device(); terms.Device == id {
		return refuse(ReasonSecondHello, "device %s began again", id.Short())
	}
	if o.m.Rival == nil {
		m := o.m
		m.Rival = terms.Device[:]
		if err := o.become(m); err != nil {
			return err
		}
	}
	return refuse(ReasonRival, "device %s has the code too", terms.Device.Short())
}

// offer makes the record and the message that carries it.
func (o *Owner) offer(st *statement.Statement, msg []byte, terms Terms, now time.Time) error {
	newest, err := o.keys.Newest(terms.Device)
	if err != nil {
		return fmt.Errorf("look up device %s: %w", terms.Device.Short(), err)
	}
	if terms, err = terms.after(newest); err != nil {
		return errors.Join(err, o.fail(ReasonOf(err)))
	}
	draft, err := o.keys.Draft(terms, now)
	if err != nil {
		return fmt.Errorf("draft ownership record: %w", err)
	}
	root := o.keys.Root()
	if draft.OwnerKey, err = statement.SPKI(root.Public()); err != nil {
		return fmt.Errorf("draft ownership record: %w", err)
	}
	draft.Owner = seal.ID(o.m.Owner)
	record, err := ownership.Sign(root, terms.apply(draft))
	if err != nil {
		return err
	}
	transcript := next(o.m.Start, msg)
	out, err := say(root, o.m.OwnerKey, wireOffer{Label: labelOffer, Transcript: transcript, Carried: record.Bytes()})
	if err != nil {
		return err
	}
	m := o.m.taking(msg)
	m.Phase, m.Text, m.Hello, m.Record = PhaseAgreed, "", st.Payload, record.Bytes()
	m.Called, m.Transcript, m.Out = transcript, next(transcript, out), out
	return o.become(m)
}

// accept ends the pairing well.
func (o *Owner) accept(st *statement.Statement, msg []byte) error {
	var w wireOffer
	if err := read(st, &w); err != nil {
		return err
	}
	if err := follows(w.Transcript, o.m.Transcript); err != nil {
		return err
	}
	own, err := ownership.Parse(w.Carried)
	if err != nil {
		return refuse(ReasonBadRecord, "%v", err)
	}
	if own.Record.Device != o.Device() {
		return refuse(ReasonWrongDevice, "accepted by device %s", own.Record.Device.Short())
	}
	if err := signed(st, own.Record.DeviceKey); err != nil {
		return err
	}
	m, err := o.owning(own)
	if err != nil {
		return err
	}
	transcript := next(o.m.Transcript, msg)
	out, err := say(o.keys.Root(), o.m.OwnerKey, wireDone{Label: labelDone, Transcript: transcript})
	if err != nil {
		return err
	}
	m = m.taking(msg)
	m.Transcript, m.Out = transcript, out
	return o.become(m)
}

// owning is the state with an ownership that must be the offer's, accepted.
func (o *Owner) owning(own *ownership.Ownership) (memory, error) {
	if err := own.Verify(); err != nil {
		return o.m, refuse(ReasonWrongRecord, "%v", err)
	}
	offered, err := ownership.ParseSigned(o.m.Record)
	if err != nil {
		return o.m, err
	}
	if own.Hash() != offered.Hash() {
		return o.m, refuse(ReasonWrongRecord, "the record that was accepted is not the one that was offered")
	}
	m := o.m
	m.Phase, m.Ownership = PhaseDone, own.Bytes()
	return m, nil
}

// Learn takes an ownership that came by another way than a message, such as from the
// hub. If it is the one that was offered, with the device's acceptance, the pairing is
// done; anything else is an *Error and changes nothing.
func (o *Owner) Learn(own *ownership.Ownership) error {
	switch o.m.Phase {
	case PhaseBegun:
		return refuse(ReasonUnexpected, "nothing was offered yet")
	case PhaseFailed:
		return refuse(ReasonOver, "nothing came of it")
	}
	m, err := o.owning(own)
	if err != nil || o.m.Phase == PhaseDone {
		return err
	}
	return o.become(m)
}

// abort takes the camera's word that it will not accept.
func (o *Owner) abort(st *statement.Statement, msg []byte) error {
	var w wireAbort
	if err := read(st, &w); err != nil {
		return err
	}
	if err := w.check(); err != nil {
		return err
	}
	if id := seal.KeyID(w.Key); id != o.Device() {
		return refuse(ReasonWrongDevice, "aborted by device %s", id.Short())
	}
	if err := signed(st, w.Key); err != nil {
		return err
	}
	if !bytes.Equal(w.Transcript, o.m.Called) {
		return refuse(ReasonSecondHello, "device %s began again, and gave up", o.Device().Short())
	}
	return o.over(msg, w.Reason)
}

// Tick fails the pairing if the code has expired and no camera has come. It is to be
// called now and then; before each message it is called anyway.
func (o *Owner) Tick(now time.Time) error {
	if o.m.Phase == PhaseBegun && now.Unix() >= int64(o.m.Expires) {
		return o.fail(ReasonExpired)
	}
	return nil
}

// Cancel ends a pairing to which no camera has come. Later it is an *Error: the camera
// may have accepted.
func (o *Owner) Cancel() error {
	if o.m.Phase != PhaseBegun {
		return refuse(ReasonUnexpected, "it cannot be cancelled any more")
	}
	return o.fail(ReasonCancelled)
}

// fail ends the pairing and tells the camera. The error is the failure itself.
func (o *Owner) fail(reason Reason) error {
	root := o.keys.Root()
	key, err := statement.SPKI(root.Public())
	if err != nil {
		return fmt.Errorf("abort pairing: %w", err)
	}
	return o.end(root, key, o.m.OwnerKey, o.m.Start, reason)
}

// Device is the device that was taken; zero before that.
func (o *Owner) Device() seal.ID {
	t, err := o.Terms()
	if err != nil {
		return seal.ID{}
	}
	return t.Device
}

// Terms are what the device that was taken said of itself.
func (o *Owner) Terms() (Terms, error) {
	var w wireHello
	if err := statement.Unmarshal(o.m.Hello, &w); err != nil {
		return Terms{}, fmt.Errorf("no device was taken: %w", err)
	}
	return w.terms()
}

// Rival is another device that has the code too; zero if none is known.
func (o *Owner) Rival() seal.ID {
	if o.m.Rival == nil {
		return seal.ID{}
	}
	return seal.ID(o.m.Rival)
}

// Ownership is what came of the pairing, once it is done; else nil.
func (o *Owner) Ownership() (*ownership.Ownership, error) {
	if o.m.Ownership == nil {
		return nil, nil
	}
	return ownership.Parse(o.m.Ownership)
}
