package pairing_test

import (
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/lensward/lensward/internal/waystest"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// meeting is a pairing under attack.
type meeting struct {
	who    *owner
	d      *device
	code   *pairing.Code
	before *ownership.Ownership // what the device had
}

// meet adds a pairing to an explorer. The camera can lose its state once.
func (e *explorer) meet(t *testing.T, who *owner, d *device) meeting {
	t.Helper()
	m := meeting{who, d, who.code(t, e.now), d.owned}
	d.begin(t, m.code, e.now)
	again := d.state
	o, c := who.begin(t, m.code), d.begin(t, m.code, e.now)
	e.add(party{name: "owner", owner: who}, o)
	e.add(party{name: "camera", device: d, again: again}, c)
	return m
}

// sound checks what must hold in every state of a pairing whose code nobody else saw.
func (m meeting) sound(t *testing.T, o *pairing.Owner, c condition) {
	t.Helper()
	changed := c.owned != nil && (m.before == nil || c.owned.Hash() != m.before.Hash())
	if changed && (c.owned.Record.Owner != m.code.Owner || c.owned.Record.Device != idOf(t, m.d.key)) {
		t.Errorf("the camera belongs to %s", c.owned.Record.Owner.Short())
	}
	if id := o.Device(); !id.IsZero() && id != idOf(t, m.d.key) {
		t.Errorf("the owner took device %s", id.Short())
	}
	own, err := o.Ownership()
	must(t, err)
	switch o.Phase() {
	case pairing.PhaseBegun:
		if changed {
			t.Error("the camera accepted what was not offered")
		}
	case pairing.PhaseDone:
		if !changed || own.Hash() != c.owned.Hash() {
			t.Error("the owner is done, and the camera has another ownership")
		}
	case pairing.PhaseFailed:
		if changed || pairing.ReasonOf(o.Failure()) == "" {
			t.Errorf("the owner failed (%v), and the camera accepted: %v", o.Failure(), changed)
		}
	}
	if c.phase == pairing.PhaseAgreed && !changed {
		t.Error("the camera says that it accepted, and has not")
	}
}

// ends lets an honest courier take over: whatever came before, both sides end, and agree.
func (m meeting) ends(t *testing.T, o *pairing.Owner, c *pairing.Camera, now time.Time) {
	t.Helper()
	_ = talk(o, c, now)
	_ = c.Tick(now.AddDate(1, 0, 0))
	told := pairing.ReasonOf(o.Receive(c.Send(), now))
	_ = talk(o, c, now)
	_ = o.Tick(now.AddDate(1, 0, 0))
	_ = talk(o, c, now)
	changed := m.d.owned != nil && (m.before == nil || m.d.owned.Hash() != m.before.Hash())
	if changed && o.Phase() == pairing.PhaseAgreed {
		must(t, o.Learn(m.d.owned)) // as the hub has it
	}
	own, err := o.Ownership()
	must(t, err)
	switch {
	case o.Phase() == pairing.PhaseDone && changed && own.Hash() == m.d.owned.Hash() && c.Phase() != pairing.PhaseFailed:
	case o.Phase() == pairing.PhaseFailed && !changed && c.Phase() == pairing.PhaseFailed:
		if pairing.ReasonOf(o.Failure()) == "" || pairing.ReasonOf(c.Failure()) == "" {
			t.Errorf("failed without a reason: %v, %v", o.Failure(), c.Failure())
		}
	case o.Phase() == pairing.PhaseAgreed && !changed && c.Phase() == pairing.PhaseFailed && told == pairing.ReasonSecondHello:
		// The camera lost its state, and the owner was told that it began anew.
	default:
		t.Errorf("in the end the owner is %s (%v), the camera %s (%v), accepted: %v", o.Phase(), o.Failure(), c.Phase(), c.Failure(), changed)
	}
}

// recorded carries a pairing through and returns all that was said.
func recorded(t *testing.T, who *owner, d *device, now time.Time) (said [][]byte) {
	t.Helper()
	code := who.code(t, now)
	o, c := who.begin(t, code), d.begin(t, code, now)
	said = append(said, c.Send())
	must(t, o.Receive(c.Send(), now))
	said = append(said, o.Send())
	must(t, c.Receive(o.Send(), now))
	said = append(said, c.Send())
	must(t, o.Receive(c.Send(), now))
	said = append(said, o.Send())
	must(t, c.Receive(o.Send(), now))
	own, err := o.Ownership()
	must(t, err)
	who.newest[own.Record.Device] = &own.Signed
	return said
}

// Two pairings at once, over a courier that has everything that was said in earlier
// pairings of the same owners and cameras, and does all that it can: it gives every message
// to every party, spoilt, again, late, crosswise, back to who said it, in any order or
// never; it cuts power at each durable write; it lets time pass; people cancel; a camera
// loses its state. All states that can be reached are reached.
func TestCourierThatDoesEverything(t *testing.T) {
	now := time.Now()
	a, b, d1, d2 := newOwner(t), newOwner(t), newDevice(t), newDevice(t)
	old := recorded(t, b, d1, now) // d1 was the other one's camera, and is reset
	d1.how = ownership.AcquiredReset
	aborted := a.begin(t, a.code(t, now)) // and this owner has tried before
	old = append(old, d1.begin(t, aborted.Code(), now).Send())
	wantReason(t, aborted.Cancel(), pairing.ReasonCancelled)
	old = append(old, aborted.Send())

	// What one pairing's parties do depends on the other only by what the courier knows,
	// so each is explored with all that the other can ever say known from the start.
	one, two := newExplorer(t), newExplorer(t)
	first, second := one.meet(t, a, d1), two.meet(t, b, d2)
	for _, e := range []*explorer{one, two} {
		e.forges = func(msg []byte) [][]byte { return [][]byte{resigned(t, msg)} }
	}
	one.everything(t, first, old)
	ones := one.msgs[len(old):]
	two.everything(t, second, slices.Concat(old, ones))
	twos := two.msgs[len(old)+len(ones):]
	one.everything(t, first, slices.Concat(old, twos))
}

// everything explores a pairing whose code nobody else saw.
func (e *explorer) everything(t *testing.T, m meeting, old [][]byte) {
	ended := map[[2]int]bool{}
	worlds := e.explore(old, func(at []int) {
		if key := [2]int{at[0], at[1]}; !ended[key] {
			ended[key] = true
			o, c := e.wake(0, at[0]).(*pairing.Owner), e.wake(1, at[1]).(*pairing.Camera)
			m.sound(t, o, e.parties[1].states[at[1]])
			m.ends(t, o, c, e.now)
		}
	})
	if len(ended) < 50 {
		t.Errorf("%d states of both parties: this explores nothing", len(ended))
	}
	t.Logf("%d states of owner and camera, %d with what the courier has seen, %d inputs tried; of all schedules, %.3g have up to 12 actions",
		len(ended), len(worlds), e.deliveries, new(big.Float).SetInt(waystest.Count(worlds, 12, func(w *world) (int, map[string]int) { return w.loop, w.next })))
}

// resigned is a message with another signature, by who has nothing to do with it: the
// same payload, signed by another key, with the MAC as it was.
func resigned(t *testing.T, msg []byte) []byte {
	st, _, err := statement.Parse(msg[:len(msg)-32], len(msg))
	must(t, err)
	envelope, err := statement.Sign(newKey(t), rawPayload(st.Payload))
	must(t, err)
	return append(envelope, msg[len(msg)-32:]...)
}

// rawPayload is CBOR that is there already.
type rawPayload []byte

// MarshalCBOR is the payload itself.
func (r rawPayload) MarshalCBOR() ([]byte, error) { return r, nil }

// One pairing whose code somebody filmed, who is the courier too: what they cannot do is to
// have the camera, to end the pairing, or to stand in for a camera that was taken. What
// they can do is come first, and then the camera's own hello names them.
func TestCourierThatFilmedTheCode(t *testing.T) {
	now := time.Now()
	who, d := newOwner(t), newDevice(t)
	e := newExplorer(t)
	m := e.meet(t, who, d)
	f := forge(t, string(m.code.Text()))
	thief, fake := newOwner(t), newDevice(t) // the filmer's own
	var honest [][]byte
	e.forges = func(msg []byte) [][]byte {
		honest = append(honest, msg)
		return f.all(t, m, thief, fake, honest)
	}
	first, rivals := 0, 0
	worlds := e.explore([][]byte{f.hello(t, fake.key)}, func(at []int) {
		o := e.wake(0, at[0]).(*pairing.Owner)
		c := e.parties[1].states[at[1]]
		if c.owned != nil && c.owned.Record.Owner != m.code.Owner {
			t.Errorf("the camera belongs to %s", c.owned.Record.Owner.Short())
		}
		if o.Device() == idOf(t, fake.key) {
			first++
			if c.owned != nil {
				t.Error("the owner took the filmer's camera, and the camera accepted")
			}
			err := o.Receive(e.msgs[e.parties[1].states[0].out], now) // the camera's hello
			wantReason(t, err, pairing.ReasonRival)
			if o.Rival() != idOf(t, d.key) {
				t.Errorf("the second device is %s", o.Rival().Short())
			}
			return
		}
		if !o.Rival().IsZero() {
			rivals++
		}
		m.sound(t, o, c)
		m.ends(t, o, e.wake(1, at[1]).(*pairing.Camera), now)
	})
	if first == 0 || rivals == 0 {
		t.Errorf("the filmer was first %d times and second %d times: this explores nothing", first, rivals)
	}
	t.Logf("%d worlds, %d deliveries; the filmer's camera came first in %d", len(worlds), e.deliveries, first)
}

// recordFor is the first record of a device, signed by an owner.
func recordFor(t *testing.T, by *owner, dev *device) *ownership.Signed {
	t.Helper()
	draft, err := by.Draft(pairing.Terms{}, time.Unix(1_800_000_000, 0))
	must(t, err)
	draft.OwnerKey, draft.DeviceKey = spki(t, by.key), spki(t, dev.key)
	draft.Owner, draft.Device = seal.KeyID(draft.OwnerKey), seal.KeyID(draft.DeviceKey)
	draft.Epoch, draft.Revision, draft.Acquired = 1, 1, ownership.AcquiredPaired
	s, err := ownership.Sign(by.key, draft)
	must(t, err)
	return s
}

// all is what who has the code can say, knowing what was said so far.
func (f forger) all(t *testing.T, m meeting, thief *owner, fake *device, said [][]byte) (out [][]byte) {
	last := said[len(said)-1]
	transcripts := [][]byte{f.start, f.after(last), f.after(said...)}
	for _, at := range transcripts {
		stolen := recordFor(t, thief, m.d)
		out = append(out,
			f.offer(t, thief.key, at, stolen.Bytes()),
			f.done(t, thief.key, at),
			f.abort(t, thief.key, thief.key, f.owner, at, pairing.ReasonCancelled),
			f.abort(t, thief.key, m.who.key, f.owner, at, pairing.ReasonCancelled), // in the owner's name
			f.abort(t, fake.key, fake.key, f.camera, at, pairing.ReasonExpired),
			f.abort(t, fake.key, m.d.key, f.camera, at, pairing.ReasonExpired), // in the camera's name
		)
		if s := offered(last); s != nil { // the owner's true record, carried by somebody else
			out = append(out, f.offer(t, thief.key, at, s.Bytes()))
			if s.Record.Device == idOf(t, fake.key) {
				own, err := s.Accept(fake.key, ownership.Acceptance{Boot: 1, Protection: 1, Accepted: time.Now(), Firmware: "1.0"})
				must(t, err)
				out = append(out, f.accept(t, fake.key, at, own.Bytes()), f.accept(t, fake.key, f.after(f.hello(t, fake.key), last), own.Bytes()))
			}
		}
		own, err := stolen.Accept(m.d.key, ownership.Acceptance{Boot: 1, Protection: 1, Accepted: time.Now(), Firmware: "1.0"})
		must(t, err)
		out = append(out, f.accept(t, fake.key, at, own.Bytes()))
	}
	return out
}

// offered is the record in an offer, nil if the message is none.
func offered(msg []byte) *ownership.Signed {
	st, _, err := statement.Parse(msg[:len(msg)-32], len(msg))
	if err != nil || statement.Label(st.Payload) != "lensward/pairing-offer/1" {
		return nil
	}
	var w struct {
		Label      string `cbor:"0,keyasint"`
		Transcript []byte `cbor:"1,keyasint"`
		Carried    []byte `cbor:"2,keyasint"`
	}
	if statement.Unmarshal(st.Payload, &w) != nil {
		return nil
	}
	s, err := ownership.ParseSigned(w.Carried)
	if err != nil {
		return nil
	}
	return s
}
