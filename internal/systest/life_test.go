package systest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport"
	members "github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// estate is a camera in a bubble that changes hands, and a courier that keeps every letter.
type estate struct {
	*bubble
	mu      sync.Mutex
	answers []transport.Answer
	letters [][]byte // that were ever sent
	refused int      // letters, so far
}

func newEstate(b *bubble) *estate {
	e := &estate{bubble: b}
	b.courier.broker.Watch("lensward/1/+/answer", func(_ string, msg []byte) {
		var a transport.Answer
		if err := json.Unmarshal(msg, &a); err != nil {
			b.t.Error(err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.answers = append(e.answers, a)
	})
	return e
}

// send has the courier bring a letter, and gives the answer.
func (e *estate) send(letter []byte) transport.Answer {
	e.t.Helper()
	e.mu.Lock()
	before := len(e.answers)
	e.mu.Unlock()
	e.letters = append(e.letters, letter)
	e.courier.answer(e.agent.Device().ID(), transport.Message{
		Type: transport.Letter, Hash: sha256.Sum256(letter), Letter: base64.RawURLEncoding.EncodeToString(letter),
	})
	time.Sleep(10 * time.Second)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.answers) != before+1 || e.answers[before].Hash != sha256.Sum256(letter) {
		e.t.Fatalf("answers to a letter: %+v", e.answers[before:])
	}
	return e.answers[before]
}

// replay has the courier send again all that it ever had, in another session, and wants
// nothing to change.
func (e *estate) replay() {
	e.t.Helper()
	was, free := e.agent.Known().Hash(), e.freedom()
	old := slices.Clone(e.letters)
	sessions := e.agent.Stats().Delivery.Sessions
	e.courier.broker.Drop(e.agent.Device().ID().String())
	for range 7200 {
		time.Sleep(time.Second)
		if e.agent.Stats().Delivery.Sessions > sessions {
			break
		}
	}
	for _, l := range old {
		if a := e.send(l); !a.OK {
			e.refused++
		}
	}
	e.letters = old
	if e.agent.Known().Hash() != was || e.freedom() != free {
		e.t.Fatalf("old letters changed the camera: free in way %d, was %d", e.freedom(), free)
	}
}

func (e *estate) freedom() ownership.Acquired {
	how, err := e.agent.Device().Free(time.Now())
	if err != nil {
		return 0
	}
	return how
}

// revise is the next revision by the household's present keys.
func (e *estate) revise(k *keyring.Keyring) []byte {
	e.t.Helper()
	draft, err := k.Draft(e.agent.DeviceKey(), &e.agent.Known().Signed, time.Now())
	must(e.t, err)
	s, err := ownership.Sign(k.Root(), draft)
	must(e.t, err)
	return s.Bytes()
}

func (e *estate) release(k *keyring.Keyring, to seal.ID) []byte {
	e.t.Helper()
	must(e.t, k.Keep(e.agent.Known()))
	r, err := k.Release(e.agent.Device().ID(), to, time.Now().AddDate(0, 0, 14))
	must(e.t, err)
	return r.Bytes()
}

// takeOver is a pairing by k, as the camera's hello would ask.
func (e *estate) takeOver(k *keyring.Keyring) (*ownership.Ownership, error) {
	e.t.Helper()
	known := e.agent.Known()
	draft, err := k.Draft(e.agent.DeviceKey(), nil, time.Now())
	must(e.t, err)
	draft.Epoch, draft.Previous, draft.Acquired = known.Record.Epoch+1, known.Hash(), max(e.freedom(), ownership.AcquiredReleased)
	s, err := ownership.Sign(k.Root(), draft)
	must(e.t, err)
	return e.agent.Pair(s)
}

// quiet wants nothing but checkpoints to come for a while.
func (e *estate) quiet(what string) {
	e.t.Helper()
	time.Sleep(time.Minute) // what was under way is ended
	before := len(e.courier.arrived())
	events := e.agent.Stats().Recorder.Events
	time.Sleep(10 * time.Minute)
	for _, h := range e.courier.arrived()[before:] {
		if h.Kind != seal.KindCheckpoint {
			e.t.Errorf("%s, the camera sent a %s", what, h.Kind)
		}
	}
	if n := e.agent.Stats().Recorder.Events; n != events {
		e.t.Errorf("%s, %d events were recorded", what, n-events)
	}
}

// apart makes something that is not delivered while the hub is away.
func (e *estate) apart() {
	e.t.Helper()
	e.courier.fail(e.agent.Device().ID(), true)
	time.Sleep(3 * time.Minute)
	if st := e.agent.Stats().Spool; st.Depth < 5 {
		e.t.Fatalf("only %d items wait", st.Depth)
	}
}

// reunite brings the hub back and waits until nothing waits.
func (e *estate) reunite() {
	e.t.Helper()
	e.courier.fail(e.agent.Device().ID(), false)
	for range 7200 {
		time.Sleep(time.Second)
		if st := e.agent.Stats(); st.Spool.Depth == 0 && st.Delivery.State == transport.Delivering {
			return
		}
	}
	e.t.Fatalf("not delivered in two hours: %+v", e.agent.Stats().Delivery)
}

// account holds all that came against whose it is: each epoch is opened by its owner, by
// no other, and its chain has no hole that its owner was not told of. It gives how many
// items each epoch has, and why what is missing was dropped.
func (e *estate) account(owners map[uint64]*keyring.Keyring) (items map[uint64]int, why map[string]int) {
	e.t.Helper()
	items, why = map[uint64]int{}, map[string]int{}
	audit := seal.NewAudit()
	last := map[uint64]*seal.Item{}
	e.courier.mu.Lock()
	defer e.courier.mu.Unlock()
	for _, it := range e.courier.items {
		h := it.Header
		items[h.Epoch]++
		must(e.t, audit.Add(h, it.Hash()))
		for epoch, k := range owners {
			body, err := it.Open(k.Household()...)
			if (err == nil) != (k == owners[h.Epoch]) {
				e.t.Errorf("%s: the owner of epoch %d opens it: %v", h.Ref(), epoch, err)
			}
			if epoch == h.Epoch && h.Kind == seal.KindGap {
				g, err := seal.ParseGap(body)
				must(e.t, err)
				must(e.t, audit.Explain(h, g))
			}
		}
		if l := last[h.Epoch]; l == nil || h.Seq > l.Header.Seq {
			last[h.Epoch] = it
		}
	}
	for _, m := range audit.Missing() {
		if !m.Dropped {
			e.t.Errorf("missing and not explained: %+v", m)
		}
		why[m.Reason]++
	}
	for epoch, it := range last {
		if epoch < e.agent.Known().Record.Epoch && it.Header.Kind != seal.KindGap {
			e.t.Errorf("the last item of epoch %d is a %s", epoch, it.Header.Kind)
		}
	}
	return items, why
}

// TestLifeOfACamera pairs a camera, shares it, releases it, takes that back, gives it away,
// resets it, and has it come back, with a courier that repeats every letter it ever had.
func TestLifeOfACamera(t *testing.T) {
	film := drawReel(t, 192, 112)
	synctest.Test(t, func(t *testing.T) {
		e := newEstate(startBubble(t, film, nil))
		a := e.keys
		b, err := keyring.New(filepath.Join(t.TempDir(), "b"))
		must(t, err)
		time.Sleep(3 * time.Minute)
		e.settle()

		// Shared: what is sealed from then on is for the member too.
		jo, err := keyring.Join(filepath.Join(t.TempDir(), "jo"), a.Owner())
		must(t, err)
		card, err := jo.Card()
		must(t, err)
		c, err := members.VerifyCard(card, a.Owner())
		must(t, err)
		must(t, a.Keep(e.agent.Known()))
		s, err := a.Change(members.Change{Add: []members.Invitation{{Card: c, Name: "Jo", Role: ownership.RoleViewer}}}, time.Now())
		must(t, err)
		before := len(e.courier.arrived())
		if got := e.send(e.revise(a)); !got.OK || e.agent.Known().Record.Revision != 2 {
			t.Fatalf("sharing: %+v", got)
		}
		time.Sleep(3 * time.Minute)
		_, err = jo.Take(s.Bytes(), time.Now())
		must(t, err)
		shared := 0
		for _, h := range e.courier.arrived()[before:] {
			if h.Record == e.agent.Known().Hash() {
				_, err := e.courier.items[h.Ref()].Open(jo.Household()...)
				must(t, err)
				shared++
			}
		}
		if shared == 0 {
			t.Error("nothing came for the member")
		}

		// Released, and taken back.
		if got := e.send(e.release(a, seal.ID{})); !got.OK || e.freedom() != ownership.AcquiredReleased {
			t.Fatalf("release: %+v", got)
		}
		e.quiet("released")
		e.replay()
		if got := e.send(e.revise(a)); !got.OK || e.freedom() != 0 {
			t.Fatalf("taking back: %+v", got)
		}
		e.replay()
		if _, err := e.takeOver(b); err == nil {
			t.Error("B took a camera whose release was taken back")
		}
		events := e.agent.Stats().Recorder.Events
		time.Sleep(3 * time.Minute)
		if n := e.agent.Stats().Recorder.Events; n == events {
			t.Error("nothing was recorded after the release was taken back")
		}

		// Given to B while the hub is away: what waits is dropped, and A is told.
		release := e.release(a, b.Owner())
		e.apart()
		must(t, e.agent.Device().TakeLetter(release, time.Now()))
		e.letters = append(e.letters, release)
		time.Sleep(time.Minute)
		if _, err := e.takeOver(a); err == nil {
			t.Error("A took what was released to B")
		}
		bs, err := e.takeOver(b)
		must(t, err)
		time.Sleep(3 * time.Minute)
		e.reunite()
		time.Sleep(2 * time.Minute)
		e.replay()
		owners := map[uint64]*keyring.Keyring{1: a, 2: b}
		items, why := e.account(owners)
		if items[2] < 10 || why["ownership"] == 0 || bs.Record.Acquired != ownership.AcquiredReleased {
			t.Errorf("%v items came, missing %v", items, why)
		}

		// Reset by the button, and paired by A again.
		e.apart()
		must(t, e.agent.Reset())
		time.Sleep(time.Minute)
		if e.agent.Stats().Spool.Depth != 1 {
			t.Errorf("after the reset %d items wait", e.agent.Stats().Spool.Depth)
		}
		e.reunite()
		e.quiet("reset")
		if got := e.send(e.revise(b)); got.OK || got.Reason != "no-right" {
			t.Errorf("B's revision after the reset: %+v", got)
		}
		e.replay()
		as, err := e.takeOver(a)
		must(t, err)
		time.Sleep(3 * time.Minute)
		e.replay()
		items, why = e.account(map[uint64]*keyring.Keyring{1: a, 2: b, 3: a})
		if items[3] < 10 || why["ownership"] < 2 || as.Record.Acquired != ownership.AcquiredReset {
			t.Errorf("%v items came, missing %v", items, why)
		}
		st := e.agent.Stats()
		e.stop()
		if st.Spool.Disowned < 10 || e.refused < 10 {
			t.Errorf("%d items were dropped with their ownership, %d old letters refused", st.Spool.Disowned, e.refused)
		}
		t.Logf("items of each epoch: %v; ranges missing, by reason: %v; %d dropped with their ownership; %d old letters were sent again and refused, %d letters answered",
			items, why, st.Spool.Disowned, e.refused, len(e.answers))
	})
}
