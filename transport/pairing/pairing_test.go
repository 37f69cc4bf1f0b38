package pairing_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/seal"
)

// pair carries a pairing through.
func pair(t testing.TB, who *owner, d *device, now time.Time) *ownership.Ownership {
	t.Helper()
	code := who.code(t, now)
	o, c := who.begin(t, code), d.begin(t, code, now)
	must(t, talk(o, c, now))
	wantPhases(t, o, pairing.PhaseDone, c, pairing.PhaseDone)
	own, err := o.Ownership()
	must(t, err)
	if own == nil || own.Hash() != d.owned.Hash() || own.Record.Owner != idOf(t, who.key) || own.Record.Device != idOf(t, d.key) {
		t.Fatal("owner and camera have not the same ownership")
	}
	who.newest[own.Record.Device] = &own.Signed
	return own
}

func TestLifeOfACamera(t *testing.T) {
	now := time.Now()
	first, second, d := newOwner(t), newOwner(t), newDevice(t)
	one := pair(t, first, d, now)
	if one.Record.Epoch != 1 || one.Record.Acquired != ownership.AcquiredPaired || !one.Record.Previous.IsZero() {
		t.Errorf("the first record: %+v", one.Record)
	}
	d.how = ownership.AcquiredReleased
	two := pair(t, second, d, now)
	if two.Record.Epoch != 2 || two.Record.Acquired != ownership.AcquiredReleased || two.Record.Previous != one.Hash() {
		t.Errorf("after a release: %+v", two.Record)
	}
	d.how = ownership.AcquiredReset
	three := pair(t, first, d, now)
	if three.Record.Epoch != 3 || three.Record.Acquired != ownership.AcquiredReset || three.Record.Previous != two.Hash() {
		t.Errorf("after a reset: %+v", three.Record)
	}
	// Its memory is lost, and its key is not.
	d.how, d.owned = ownership.AcquiredPaired, nil
	four := pair(t, first, d, now)
	if four.Record.Epoch != 4 || four.Record.Previous != three.Hash() {
		t.Errorf("after it forgot: %+v", four.Record)
	}
	// To another owner it looks new.
	d.owned = nil
	if five := pair(t, newOwner(t), d, now); five.Record.Epoch != 1 {
		t.Errorf("of an owner who has not seen it: %+v", five.Record)
	}
}

func TestCameraThatWasPutBack(t *testing.T) {
	now := time.Now()
	who, other, d := newOwner(t), newOwner(t), newDevice(t)
	old := pair(t, who, d, now)
	d.how = ownership.AcquiredReset
	pair(t, other, d, now)
	pair(t, who, d, now)
	d.owned = old // a copy of its memory from then
	code := who.code(t, now)
	o, c := who.begin(t, code), d.begin(t, code, now)
	wantReason(t, talk(o, c, now), pairing.ReasonRolledBack)
	wantPhases(t, o, pairing.PhaseFailed, c, pairing.PhaseFailed)
	wantReason(t, c.Failure(), pairing.ReasonRolledBack)
	if d.owned.Hash() != old.Hash() {
		t.Error("its ownership changed")
	}
}

func TestNothingIsLeftOfTheCode(t *testing.T) {
	now := time.Now()
	who, d := newOwner(t), newDevice(t)
	code := who.code(t, now)
	o, c := who.begin(t, code), d.begin(t, code, now)
	if o.Code() == nil || c.Code() == nil || c.Rendezvous() != code.Rendezvous() {
		t.Fatal("the code is not there while it is needed")
	}
	if !bytes.Contains(d.state, []byte(code.Text())) {
		t.Fatal("this test looks for the wrong thing")
	}
	must(t, o.Receive(c.Send(), now))
	must(t, c.Receive(o.Send(), now))
	for name, state := range map[string][]byte{"owner": who.state, "camera": d.state} {
		if bytes.Contains(state, []byte(code.Text())) || bytes.Contains(state, []byte("LENSWARD1:")) {
			t.Errorf("the code is in the state of the %s after the camera accepted", name)
		}
	}
	if o.Code() != nil || c.Code() != nil || c.Rendezvous() != code.Rendezvous() {
		t.Error("the code was not forgotten")
	}
}

func TestTime(t *testing.T) {
	now := time.Now()
	who, d := newOwner(t), newDevice(t)
	code := who.code(t, now)
	if _, err := pairing.NewCamera(code, d.options(), now.Add(time.Hour)); pairing.ReasonOf(err) != pairing.ReasonExpired {
		t.Errorf("an old code: %v", err)
	}
	if _, err := pairing.NewCamera(code, d.options(), now.Add(-2*time.Hour)); pairing.ReasonOf(err) != pairing.ReasonBadField {
		t.Errorf("a code for too long: %v", err)
	}
	set := d.options()
	set.ClockRight = false
	if _, err := pairing.NewCamera(code, set, now.AddDate(-40, 0, 0)); err != nil {
		t.Errorf("a camera that does not know the time: %v", err)
	}

	o, c := who.begin(t, code), d.begin(t, code, now)
	must(t, o.Tick(now.Add(pairing.CodeLife-2*time.Second)))
	must(t, c.Tick(now.Add(pairing.Patience-time.Second)))
	wantReason(t, o.Receive(c.Send(), now.Add(pairing.CodeLife)), pairing.ReasonExpired)
	wantReason(t, c.Receive(o.Send(), now.Add(pairing.CodeLife)), pairing.ReasonExpired)
	wantPhases(t, o, pairing.PhaseFailed, c, pairing.PhaseFailed)
	wantReason(t, o.Receive([]byte("x"), now), pairing.ReasonOver)

	// The offer is lost: the camera gives up, and says so to an owner who waits.
	o, c = who.begin(t, who.code(t, now)), nil
	c = d.begin(t, o.Code(), now)
	must(t, o.Receive(c.Send(), now))
	must(t, o.Tick(now.AddDate(1, 0, 0)))
	if c.Deadline() != now.Add(pairing.Patience) {
		t.Errorf("the deadline is %v after the beginning", c.Deadline().Sub(now))
	}
	wantReason(t, c.Tick(c.Deadline()), pairing.ReasonExpired)
	wantReason(t, o.Receive(c.Send(), now), pairing.ReasonExpired)
	wantPhases(t, o, pairing.PhaseFailed, c, pairing.PhaseFailed)

	// The accept is lost: the ownership stands, and the hub brings it.
	o = who.begin(t, who.code(t, now))
	c = d.begin(t, o.Code(), now)
	must(t, o.Receive(c.Send(), now))
	must(t, c.Receive(o.Send(), now))
	wantPhases(t, o, pairing.PhaseAgreed, c, pairing.PhaseAgreed)
	late := c.Send()
	must(t, c.Tick(c.Deadline()))
	wantPhases(t, o, pairing.PhaseAgreed, c, pairing.PhaseDone)
	must(t, o.Learn(d.owned))
	wantPhases(t, o, pairing.PhaseDone, c, pairing.PhaseDone)
	must(t, o.Learn(d.owned))
	must(t, o.Receive(late, now)) // and here it comes
	if own, err := o.Ownership(); err != nil || own.Hash() != d.owned.Hash() {
		t.Errorf("the ownership is %v, %v", own, err)
	}
}

func TestLearnTakesOnlyWhatWasOffered(t *testing.T) {
	now := time.Now()
	who, d := newOwner(t), newDevice(t)
	foreign := pair(t, newOwner(t), newDevice(t), now)
	earlier := pair(t, who, newDevice(t), now)
	o := who.begin(t, who.code(t, now))
	wantReason(t, o.Learn(earlier), pairing.ReasonUnexpected)
	c := d.begin(t, o.Code(), now)
	must(t, o.Receive(c.Send(), now))
	wantReason(t, o.Learn(earlier), pairing.ReasonWrongRecord)
	wantReason(t, o.Learn(foreign), pairing.ReasonWrongRecord)
	if o.Phase() != pairing.PhaseAgreed {
		t.Errorf("phase %s", o.Phase())
	}
}

func TestCancel(t *testing.T) {
	now := time.Now()
	who, d := newOwner(t), newDevice(t)
	o := who.begin(t, who.code(t, now))
	c := d.begin(t, o.Code(), now)
	wantReason(t, o.Cancel(), pairing.ReasonCancelled)
	wantReason(t, c.Receive(o.Send(), now), pairing.ReasonCancelled)
	wantPhases(t, o, pairing.PhaseFailed, c, pairing.PhaseFailed)

	o = who.begin(t, who.code(t, now))
	c = d.begin(t, o.Code(), now)
	must(t, o.Receive(c.Send(), now))
	wantReason(t, o.Cancel(), pairing.ReasonUnexpected)
	wantReason(t, c.Cancel(), pairing.ReasonCancelled)
	wantReason(t, o.Receive(c.Send(), now), pairing.ReasonCancelled)
	wantPhases(t, o, pairing.PhaseFailed, c, pairing.PhaseFailed)

	// In force, but the pairing's own state was not saved: nothing to cancel.
	o = who.begin(t, who.code(t, now))
	c = d.begin(t, o.Code(), now)
	must(t, o.Receive(c.Send(), now))
	d.saves = faultLost
	if err := c.Receive(o.Send(), now); err == nil {
		t.Fatal("the state was not saved, and that was no error")
	}
	d.saves = faultNone
	wantReason(t, c.Cancel(), pairing.ReasonUnexpected)
	wantPhases(t, o, pairing.PhaseAgreed, c, pairing.PhaseDone)
	if c.Send() != nil {
		t.Error("it still says something")
	}
}

func TestTwoDevicesWithOneCode(t *testing.T) {
	now := time.Now()
	who, d, stranger := newOwner(t), newDevice(t), newDevice(t)
	o := who.begin(t, who.code(t, now))
	code := o.Code()
	c, rival := d.begin(t, code, now), stranger.begin(t, code, now)
	must(t, o.Receive(c.Send(), now))
	wantReason(t, o.Receive(rival.Send(), now), pairing.ReasonRival)
	wantReason(t, rival.Receive(o.Send(), now), pairing.ReasonWrongTranscript)
	must(t, talk(o, c, now))
	wantPhases(t, o, pairing.PhaseDone, c, pairing.PhaseDone)
	wantReason(t, o.Receive(rival.Send(), now), pairing.ReasonRival)
	o = who.restart(t)
	if o.Rival() != idOf(t, stranger.key) || stranger.owned != nil {
		t.Errorf("rival %s", o.Rival().Short())
	}

	// The same device again is none, and has no second try.
	again := newDevice(t)
	again.key = d.key
	wantReason(t, o.Receive(again.begin(t, code, now).Send(), now), pairing.ReasonSecondHello)
}

// A flood of what is refused ends a pairing that has not come to an agreement, and no
// other.
func TestTooMany(t *testing.T) {
	now := time.Now()
	who, d := newOwner(t), newDevice(t)
	o := who.begin(t, who.code(t, now))
	c := d.begin(t, o.Code(), now)
	flood := func(r receiver) (err error) {
		for range pairing.MaxRefused {
			err = r.Receive(bytes.Repeat([]byte{7}, 99), now)
		}
		return err
	}
	must(t, o.Receive(c.Send(), now))
	wantReason(t, flood(o), pairing.ReasonBadMAC)
	wantReason(t, flood(c), pairing.ReasonBadMAC)
	wantPhases(t, o, pairing.PhaseAgreed, c, pairing.PhaseFailed)
	wantReason(t, c.Failure(), pairing.ReasonTooMany)
	wantReason(t, o.Receive(c.Send(), now), pairing.ReasonTooMany)
	wantPhases(t, o, pairing.PhaseFailed, c, pairing.PhaseFailed)
	o = who.begin(t, who.code(t, now))
	if err := flood(o); o.Phase() != pairing.PhaseFailed {
		t.Errorf("after a flood: %v", err)
	}
}

// Power cuts: every durable write of every step fails, both ways, and its machine is
// started again or not; then the two go on. Either both sides have the ownership in the
// end, or neither has.
func TestPowerCuts(t *testing.T) {
	now := time.Now()
	cuts := 0
	for step := range 5 {
		for _, f := range []fault{faultLost, faultKept} {
			for _, accept := range []bool{false, true} {
				for _, restart := range []bool{false, true} {
					cuts++
					who, d := newOwner(t), newDevice(t)
					o := who.begin(t, who.code(t, now))
					c := d.begin(t, o.Code(), now)
					for at := range 8 {
						who.saves, d.saves, d.accepts = faultNone, faultNone, faultNone
						if at == step && accept {
							d.accepts = f
						} else if at == step {
							who.saves, d.saves = f, f
						}
						from, to := receiver(c), receiver(o)
						if at%2 == 1 {
							from, to = o, c
						}
						if msg := from.Send(); msg != nil {
							_ = to.Receive(msg, now) // the cut
						}
						who.saves, d.saves, d.accepts = faultNone, faultNone, faultNone
						if at == step && restart {
							o, c = who.restart(t), d.restart(t, now)
						}
					}
					wantPhases(t, o, pairing.PhaseDone, c, pairing.PhaseDone)
					own, err := o.Ownership()
					must(t, err)
					if own.Hash() != d.owned.Hash() {
						t.Error("two ownerships")
					}
				}
			}
		}
	}
	t.Logf("%d cuts", cuts)
}

func TestKeysOfTheWrongOwner(t *testing.T) {
	code := newOwner(t).code(t, time.Now())
	if _, err := pairing.NewOwner(code, newOwner(t), func([]byte) error { return nil }); err == nil {
		t.Error("began with the keys of another owner than the code's")
	}
}

func TestStatesThatAreNone(t *testing.T) {
	who, d := newOwner(t), newDevice(t)
	o := who.begin(t, who.code(t, time.Now()))
	d.begin(t, o.Code(), time.Now())
	if _, err := pairing.RestoreOwner(d.state, who, who.save); err == nil {
		t.Error("a camera's state was taken for an owner's")
	}
	if _, err := pairing.RestoreCamera(who.state, d.options(), time.Now()); err == nil {
		t.Error("an owner's state was taken for a camera's")
	}
	if _, err := pairing.RestoreOwner(make([]byte, pairing.MaxState+1), who, who.save); err == nil {
		t.Error("a state beyond the limit was read")
	}
}

func TestTermsAreTold(t *testing.T) {
	now := time.Now()
	who, d := newOwner(t), newDevice(t)
	o := who.begin(t, who.code(t, now))
	if _, err := o.Terms(); err == nil || !o.Device().IsZero() {
		t.Error("terms of nobody")
	}
	must(t, o.Receive(d.begin(t, o.Code(), now).Send(), now))
	terms, err := o.Terms()
	must(t, err)
	if terms.Device != idOf(t, d.key) || o.Device() != terms.Device || terms.Firmware != "1.0" || terms.Protection != seal.ProtectionFile {
		t.Errorf("%+v", terms)
	}
}

// Each side pairs with one that is made by the specification alone.
func TestSpecification(t *testing.T) {
	now := time.Now()
	who, d := newOwner(t), newDevice(t)
	code := who.code(t, now)
	f := forge(t, string(code.Text()))

	o := who.begin(t, code)
	hello := f.hello(t, d.key)
	must(t, o.Receive(hello, now))
	offer := o.Send()
	own, err := d.Accept(offered(offer), now)
	must(t, err)
	must(t, o.Receive(f.accept(t, d.key, f.after(hello, offer), own.Bytes()), now))
	if o.Phase() != pairing.PhaseDone {
		t.Errorf("the owner's side is %s", o.Phase())
	}

	d = newDevice(t)
	c := d.begin(t, code, now)
	hello = c.Send()
	offer = f.offer(t, who.key, f.after(hello), recordFor(t, who, d).Bytes())
	must(t, c.Receive(offer, now))
	must(t, c.Receive(f.done(t, who.key, f.after(hello, offer, c.Send())), now))
	if c.Phase() != pairing.PhaseDone || d.owned.Record.Owner != code.Owner {
		t.Errorf("the camera is %s", c.Phase())
	}

	c = newDevice(t).begin(t, code, now)
	wantReason(t, c.Receive(f.abort(t, who.key, who.key, f.owner, f.start, pairing.ReasonCancelled), now), pairing.ReasonCancelled)
	o = who.begin(t, code)
	must(t, o.Receive(hello, now))
	wantReason(t, o.Receive(f.abort(t, d.key, d.key, f.camera, f.after(hello), pairing.ReasonExpired), now), pairing.ReasonExpired)
}
