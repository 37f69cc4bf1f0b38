package viewer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// house is one owner with one camera at an honest hub.
func house(t *testing.T) (*fakeHub, *person, *camera) {
	t.Helper()
	hub, owner := newFakeHub(t), newPerson(t)
	cam := newCamera(t, owner)
	hub.records = [][]byte{cam.latest.Bytes()}
	return hub, owner, cam
}

// Over a real connection, from an honest hub: everything is there, once.
func TestHonestHub(t *testing.T) {
	hub, owner, cam := house(t)
	server := httptest.NewServer(hub)
	defer server.Close()
	items := append(cam.visit(), cam.sayJSON(seal.KindCheckpoint, seal.Checkpoint{Cause: "periodic", Uptime: 7}))
	items = append(items, cam.visit()...)
	hub.take(items...)
	v := owner.look(hub, func(o *Options) { o.HubURL, o.HTTPClient = server.URL, server.Client() })
	var d diary
	d.sync(t, v)
	d.wantOpened(t, items...)
	if string(d.opened[0].Body) != "jpeg of "+cam.id.Short() {
		t.Errorf("the thumbnail's body is %q", d.opened[0].Body)
	}
	s := v.Summary()
	if s.Verified != 9 || s.Opened != 9 || s.Withheld != 0 || s.WronglyShown != 0 || s.Waiting != 0 || len(s.Missing) != 0 {
		t.Errorf("summary %+v", s)
	}
	f := v.Footage()
	if len(f) != 2 || len(f[0].Thumbnails) != 1 || len(f[0].Clips) != 2 || !f[0].Clips[1].Last || f[0].Record == nil || f[0].Record.Parts != 2 {
		t.Errorf("footage %+v", f)
	}
	c := v.Cameras()
	if len(c) != 1 || c[0].Device != cam.id || c[0].Revision != 1 || c[0].Checkpoint == nil || c[0].Checkpoint.Uptime != 7 {
		t.Errorf("cameras %+v", c)
	}
	if len(d.pinned) != 1 {
		t.Errorf("%d records pinned", len(d.pinned))
	}

	before := hub.count("/api/v1/items/")
	d.sync(t, v)
	d.wantOpened(t, items...)
	if n := hub.count("/api/v1/items/"); n != before {
		t.Errorf("%d items were fetched again", n-before)
	}
}

// The incident: rows and items are somebody else's half of the time. Every
// owner gets all that is their own and nothing else, and every answer that was
// another owner's is withheld with its proof.
func TestMixUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub(t)
		chance := rand.New(rand.NewPCG(1, 2))
		var owners []*person
		own := map[seal.ID][]*seal.Item{}
		for range 4 {
			p := newPerson(t)
			owners = append(owners, p)
			for range 2 {
				cam := newCamera(t, p)
				hub.records = append(hub.records, cam.latest.Bytes())
				for range 5 {
					items := cam.visit()
					own[p.id] = append(own[p.id], items...)
					hub.take(items...)
				}
			}
		}
		strangers := map[seal.ID]int{} // answers of another owner's, by who asked
		mixed := func(it *seal.Item) *seal.Item {
			if chance.Float64() < 0.5 {
				return it
			}
			other := hub.items[chance.IntN(len(hub.items))]
			if other.Header.Owner != it.Header.Owner {
				strangers[it.Header.Owner]++
			}
			return other
		}
		hub.lieRow = func(_ uint64, it *seal.Item) *seal.Item { return mixed(it) }
		hub.lieItem = func(_ seal.Ref, it *seal.Item) []byte {
			if it == nil {
				return nil
			}
			return mixed(it).Bytes()
		}
		for _, p := range owners {
			var d diary
			v := p.look(hub)
			d.sync(t, v)
			d.sync(t, v) // what was lost to chance
			d.wantOpened(t, own[p.id]...)
			misrouted := 0
			for _, w := range d.withheld {
				if w.Misrouted == "" {
					continue
				}
				misrouted++
				proof, err := seal.ParseEnvelope(w.Proof)
				if err != nil || proof.VerifyEnvelope() != nil || proof.Header.Owner == p.id {
					t.Errorf("withheld %s: no proof: %v", w.Reason, err)
				}
			}
			if misrouted != strangers[p.id] {
				t.Errorf("%d strangers' answers, %d withheld", strangers[p.id], misrouted)
			}
			s := v.Summary()
			if s.WronglyShown != 0 || s.Opened != uint64(len(own[p.id])) || s.Verified != s.Opened || s.Waiting != 0 || len(s.Missing) != 0 {
				t.Errorf("summary %+v", s)
			}
			reported := map[seal.Hash]bool{}
			for _, r := range hub.reports {
				it, err := seal.ParseEnvelope(r.envelope)
				if err != nil || r.owner == p.id && it.Header.Owner == p.id || r.reason != seal.ReasonWrongOwner {
					t.Errorf("report %s of an item of the reporter's own: %v", r.reason, err)
					continue
				}
				if r.owner == p.id {
					if reported[it.Hash()] {
						t.Error("reported twice")
					}
					reported[it.Hash()] = true
				}
			}
			if uint64(len(reported)) != s.Reported || s.Reported == 0 {
				t.Errorf("%d reports came, %d were made", len(reported), s.Reported)
			}
		}
	})
}

// Run follows what happens, survives an outage, and ends with its context.
func TestRunFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, owner, cam := house(t)
		ctx, cancel := context.WithCancel(t.Context())
		v := owner.look(hub)
		var d diary
		done := make(chan error)
		go func() { done <- v.Run(ctx, d.note) }()
		var all []*seal.Item
		for range 3 {
			time.Sleep(40 * time.Second)
			items := cam.visit()
			all = append(all, items...)
			hub.take(items...)
			synctest.Wait()
			d.wantOpened(t, all...) // at once, not at the next poll
		}
		hub.mu.Lock()
		hub.lieAnswer = func(w http.ResponseWriter, _ *http.Request) bool {
			refuse(w, http.StatusServiceUnavailable, "out of order")
			return true
		}
		hub.mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(d.trouble); n < 10 || n > 100 {
			t.Errorf("%d tries in ten minutes' outage", n)
		}
		late := cam.visit()
		hub.mu.Lock()
		hub.lieAnswer = nil
		hub.mu.Unlock()
		hub.take(late...)
		time.Sleep(time.Minute)
		synctest.Wait()
		d.wantOpened(t, append(all, late...)...)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	})
}

// A new record is taken when an item names it, without waiting for the refresh.
func TestRunTakesNewRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, owner, cam := house(t)
		v := owner.look(hub)
		var d diary
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- v.Run(ctx, d.note) }()
		hub.take(cam.visit()...)
		time.Sleep(time.Minute)
		o := cam.revise()
		hub.mu.Lock()
		hub.records = [][]byte{o.Bytes()}
		hub.mu.Unlock()
		items := cam.visit()
		hub.take(items...)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		d.wantOpened(t, hub.items...)
		if len(d.withheld) != 0 {
			t.Errorf("withheld %v before the record was asked for", d.reasons())
		}
		cancel()
		<-done
	})
}

// Items under an earlier revision open although the hub gives only the newest:
// the owner's signature on it covers the hash of the one before.
func TestEarlierRevision(t *testing.T) {
	hub, owner, cam := house(t)
	early := cam.visit()
	hub.records = [][]byte{cam.revise().Bytes()}
	late := cam.visit()
	hub.take(append(early, late...)...)
	var d diary
	d.sync(t, owner.look(hub))
	d.wantOpened(t, append(early, late...)...)
}

// What the camera said that it dropped is explained, what nobody explained is
// asked for by name and then missing.
func TestGapsAndMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, owner, cam := house(t)
		items := cam.visit()                                                // 1 to 4
		dropped := cam.visit()                                              // 5 to 8, dropped by the camera
		withheld := cam.say(seal.KindThumbnail, []byte("gone"))             // 9, withheld by the hub
		gap := cam.sayJSON(seal.KindGap, seal.Gap{Dropped: []seal.Dropped{{ // 10
			Chain: 1, From: 5, To: 8, FirstPrev: items[3].Hash(), LastHash: dropped[3].Hash(), Kind: seal.KindClip, Reason: "budget",
		}}})
		hub.take(append(items, gap)...)
		v := owner.look(hub)
		var d diary
		d.sync(t, v)
		d.wantOpened(t, append(items, gap)...)
		want := []seal.Missing{
			{Device: cam.id, Epoch: 1, Chain: 1, From: 5, To: 8, Dropped: true, Kind: seal.KindClip, Reason: "budget"},
			{Device: cam.id, Epoch: 1, Chain: 1, From: 9, To: 9},
		}
		if got := v.Summary().Missing; !slices.Equal(got, want) {
			t.Errorf("missing %+v, want %+v", got, want)
		}
		if n := hub.count("/api/v1/items/" + withheld.Header.Ref().String()); n == 0 {
			t.Error("the missing item was not asked for by name")
		}
		if n := hub.count("/api/v1/items/" + dropped[0].Header.Ref().String()); n != 0 {
			t.Error("an item was asked for that the camera dropped")
		}
		hub.take(withheld)
		d.sync(t, v)
		if got := v.Summary().Missing; !slices.Equal(got, want[:1]) {
			t.Errorf("missing %+v after it came, want %+v", got, want[:1])
		}
	})
}

// An item that the time line leaves out is found by its name.
func TestAskedForByName(t *testing.T) {
	hub, owner, cam := house(t)
	items := cam.visit()
	hub.take(items...)
	hub.lieRow = func(cursor uint64, it *seal.Item) *seal.Item {
		if cursor == 2 {
			return nil
		}
		return it
	}
	v := owner.look(hub)
	var d diary
	d.sync(t, v)
	d.wantOpened(t, items...)
	if s := v.Summary(); len(s.Missing) != 0 || s.Withheld != 0 {
		t.Errorf("summary %+v", s)
	}
}

// The newest items that a hub withholds show in the next run: the heads that
// were seen are pinned.
func TestWithheldNewest(t *testing.T) {
	hub, owner, cam := house(t)
	hub.take(cam.visit()...)
	state := &MemoryState{}
	var d diary
	d.sync(t, owner.look(hub, func(o *Options) { o.State = state }))
	hub.items = hub.items[:2]
	v := owner.look(hub, func(o *Options) { o.State = state })
	d.sync(t, v)
	want := []seal.Missing{{Device: cam.id, Epoch: 1, Chain: 1, From: 3, To: 4}}
	if got := v.Summary().Missing; !slices.Equal(got, want) {
		t.Errorf("missing %+v, want %+v", got, want)
	}
}

// With records from pairing a viewer needs no record from the hub.
func TestKnownRecords(t *testing.T) {
	hub, owner, cam := house(t)
	hub.records = nil
	items := cam.visit()
	hub.take(items...)
	var d diary
	d.sync(t, owner.look(hub, func(o *Options) { o.Known = []*ownership.Ownership{cam.latest} }))
	d.wantOpened(t, items...)
	if len(d.refused) != 1 || d.refused[0].Device != cam.id || !errors.Is(d.refused[0].Err, errWithheld) {
		t.Errorf("the missing record was not told: %+v", d.refused)
	}
}

// A newest row that was answered wrongly to the last try is there after the
// next refresh.
func TestRowGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, owner, cam := house(t)
		items := cam.visit()
		hub.take(items...)
		stranger := newCamera(t, newPerson(t)).visit()[0]
		hub.lieRow = func(cursor uint64, it *seal.Item) *seal.Item {
			if cursor == 4 {
				return stranger
			}
			return it
		}
		v := owner.look(hub)
		var d diary
		d.sync(t, v)
		d.wantOpened(t, items[:3]...)
		if n := d.reasons()[seal.ReasonWrongOwner]; n != maxTries+1 || len(hub.reports) != 1 {
			t.Errorf("withheld %d times, %d reports", n, len(hub.reports))
		}
		hub.lieRow = nil
		d.sync(t, v)
		d.wantOpened(t, items...)
	})
}

// Nothing secret is printed, however it is asked for.
func TestSecretsDoNotPrint(t *testing.T) {
	owner := newPerson(t)
	var log strings.Builder
	l := slog.New(slog.NewTextHandler(&log, nil))
	l.Info("x", "keys", owner.keys(), "token", token("hunter2"))
	said := log.String() + fmt.Sprintf("%v %+v %#v %s", owner.keys(), owner.keys(), owner.keys(), token("hunter2"))
	scalar, err := owner.key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	number := new(big.Int).SetBytes(scalar).String() // as %v would print it
	for _, secret := range []string{owner.identity.String(), number, "hunter2"} {
		if strings.Contains(said, secret) {
			t.Errorf("%s", said)
		}
	}
}
