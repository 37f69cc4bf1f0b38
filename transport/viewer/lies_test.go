package viewer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// once makes an answer wrong the first n times that a path with this prefix is
// asked for.
func once(prefix string, n int, lie func(w http.ResponseWriter, r *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if n == 0 || !strings.HasPrefix(r.URL.Path, prefix) {
			return false
		}
		n--
		lie(w, r)
		return true
	}
}

// write answers 200 with a text.
func write(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// flood answers without end. It returns when the viewer hangs up.
func flood(w http.ResponseWriter, _ *http.Request) {
	chunk := []byte(`{"items":[` + strings.Repeat(" ", 32<<10))
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// drip answers a byte every ten seconds, without end.
func drip(w http.ResponseWriter, r *http.Request) {
	for {
		if _, err := w.Write([]byte(" ")); err != nil {
			return
		}
		select {
		case <-time.After(10 * time.Second):
		case <-r.Context().Done():
			return
		}
	}
}

// Whatever a hub answers instead of what it should, it delays, and that is all:
// in the end everything of the owner's is there, and nothing else.
func TestWrongAnswersDelayOnly(t *testing.T) {
	const timeline, items = "/api/v1/timeline", "/api/v1/items/"
	for name, lie := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"time line cut off":         once(timeline, 2, write(`{"items":[{"cursor":1,"envel`)),
		"time line not JSON":        once(timeline, 2, write("<html>")),
		"time line empty":           once(timeline, 2, write("")),
		"time line of another sort": once(timeline, 2, write(`[]`)),
		"two time lines":            once(timeline, 2, write(`{"items":[],"next":0}{"items":[],"next":0}`)),
		"no next cursor":            once(timeline, 2, write(`{"items":[]}`)),
		"cursor out of range":       once(timeline, 2, write(`{"items":[],"next":18446744073709551615}`)),
		"cursor negative":           once(timeline, 2, write(`{"items":[],"next":-1}`)),
		"row does not advance":      once(timeline, 2, write(`{"items":[{"cursor":0,"envelope":""}],"next":0}`)),
		"rows go backwards":         once(timeline, 2, write(`{"items":[{"cursor":2,"envelope":""},{"cursor":1,"envelope":""}],"next":2}`)),
		"too many rows":             once(timeline, 2, write(`{"items":[`+rowsOfNothing(101)+`],"next":101}`)),
		"time line without end":     once(timeline, 2, flood),
		"time line drips":           once(timeline, 2, drip),
		"hub drips":                 once("/api/v1/hub", 2, drip),
		"records without end":       once("/api/v1/records", 2, flood),
		"records not JSON":          once("/api/v1/records", 2, write(`{"records":[7]}`)),
		"cameras' state not JSON":   once("/api/v1/devices", 99, write(`{"devices":[{"id":"x"}]}`)),
		"cameras' state wide":       once("/api/v1/devices", 99, flood),
		"challenge too short":       once("/api/v1/challenge", 2, write(`{"nonce":"AAAA"}`)),
		"token is no token":         once("/api/v1/session", 2, write(`{"token":"a\nb"}`)),
		"item without end":          once(items, 5, flood),
		"item drips":                once(items, 5, drip),
		"item is nothing":           once(items, 5, write("")),
		"item is a page":            once(items, 5, write("<html>not an item</html>")),
		"item refused":              once(items, 3, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 500, "broken") }),
		"item not there":            once(items, 3, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "gone") }),
		"session forgotten":         once(items, 3, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 401, "who?") }),
		"redirected": once(items, 3, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/steal", http.StatusTemporaryRedirect)
		}),
		"told to wait for ever": once(timeline, 2, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "65000")
			refuse(w, 429, "wait")
		}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub, owner, cam := house(t)
				want := append(cam.visit(), cam.visit()...)
				hub.take(want...)
				hub.lieAnswer = lie
				v := owner.look(hub)
				var d diary
				began := time.Now()
				d.sync(t, v)
				d.wantOpened(t, want...)
				if took := time.Since(began); took > 15*time.Minute {
					t.Errorf("it took %v", took)
				}
				if s := v.Summary(); s.WronglyShown != 0 || len(s.Missing) != 0 || s.Waiting != 0 {
					t.Errorf("summary %+v", s)
				}
			})
		})
	}
}

func rowsOfNothing(n int) string {
	var rows []string
	for i := range n {
		rows = append(rows, fmt.Sprintf(`{"cursor":%d,"envelope":""}`, i+1))
	}
	return strings.Join(rows, ",")
}

// Each way in which an item can be wrong is withheld for its own reason, is
// never shown, and does not stand in the way of the right answer.
func TestWrongItems(t *testing.T) {
	type scene struct {
		hub      *fakeHub
		cam      *camera
		own      []*seal.Item // own[1] is the one that is lied about
		stranger *seal.Item
	}
	item := func(lie func(s scene) []byte) func(s scene, on *bool) {
		return func(s scene, on *bool) {
			s.hub.lieItem = func(ref seal.Ref, it *seal.Item) []byte {
				if it != nil && *on && ref == s.own[1].Header.Ref() {
					*on = false
					return lie(s)
				}
				if it == nil {
					return nil
				}
				return it.Bytes()
			}
		}
	}
	row := func(lie func(s scene) *seal.Item) func(s scene, on *bool) {
		return func(s scene, on *bool) {
			s.hub.lieRow = func(cursor uint64, it *seal.Item) *seal.Item {
				if *on && it.Hash() == s.own[1].Hash() {
					*on = false
					return lie(s)
				}
				return it
			}
		}
	}
	flip := func(b []byte, at int) []byte {
		b = slices.Clone(b)
		b[at] ^= 1
		return b
	}
	for _, c := range []struct {
		name   string
		lie    func(s scene, on *bool)
		reason seal.Reason
		report seal.Reason
	}{
		{"body of another item", item(func(s scene) []byte {
			return append(slices.Clone(s.own[1].Envelope), s.own[2].Body...)
		}), seal.ReasonBodyHash, ""},
		{"body cut", item(func(s scene) []byte { b := s.own[1].Bytes(); return b[:len(b)-1] }), seal.ReasonTruncated, ""},
		{"body longer", item(func(s scene) []byte { return append(s.own[1].Bytes(), 0) }), seal.ReasonBodySize, ""},
		{"body flipped", item(func(s scene) []byte { b := s.own[1].Bytes(); return flip(b, len(b)-1) }), seal.ReasonBodyHash, ""},
		{"signature flipped", item(func(s scene) []byte { return flip(s.own[1].Bytes(), len(s.own[1].Envelope)-1) }), seal.ReasonBadSignature, ""},
		{"another of my items", item(func(s scene) []byte { return s.own[2].Bytes() }), seal.ReasonNotAskedFor, ""},
		{"a stranger's item", item(func(s scene) []byte { return s.stranger.Bytes() }), seal.ReasonNotAskedFor, seal.ReasonWrongOwner},
		{"a stranger's row", row(func(s scene) *seal.Item { return s.stranger }), seal.ReasonWrongOwner, seal.ReasonWrongOwner},
		{"a row again", row(func(s scene) *seal.Item { return s.own[0] }), seal.ReasonReplayed, ""},
		{"a row too soon", row(func(s scene) *seal.Item { return s.own[3] }), seal.ReasonReplayed, ""},
		{"a row that is nothing", row(func(scene) *seal.Item { return &seal.Item{Envelope: []byte{0}} }), seal.ReasonMalformed, ""},
		{"a row too large", row(func(scene) *seal.Item { return &seal.Item{Envelope: make([]byte, 3000)} }), seal.ReasonTooLarge, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub, owner, cam := house(t)
				other := newCamera(t, newPerson(t))
				s := scene{hub: hub, cam: cam, own: append(
					[]*seal.Item{cam.say(seal.KindClip, []byte("aaaa")), cam.say(seal.KindClip, []byte("bbbb")), cam.say(seal.KindClip, []byte("cccc"))},
					cam.visit()...), stranger: other.visit()[0]}
				hub.take(s.own...)
				on := true
				c.lie(s, &on)
				v := owner.look(hub)
				var d diary
				d.sync(t, v)
				d.wantOpened(t, s.own...)
				if on {
					t.Fatal("the hub did not lie")
				}
				if d.reasons()[c.reason] == 0 || len(d.reasons()) != 1 {
					t.Errorf("withheld %v, want %s", d.reasons(), c.reason)
				}
				if w := d.withheld[0]; w.Misrouted != c.report || (c.report != "") != (len(hub.reports) == 1) {
					t.Errorf("misrouted %q, %d reports, want %q", w.Misrouted, len(hub.reports), c.report)
				}
				if len(hub.reports) == 1 && !slices.Equal(hub.reports[0].envelope, s.stranger.Envelope) {
					t.Error("the report is not the stranger's header")
				}
				if got := v.Summary(); got.WronglyShown != 0 || got.Waiting != 0 || len(got.Missing) != 0 {
					t.Errorf("summary %+v", got)
				}
			})
		})
	}
}

// A camera that no record makes the owner's is not shown, though it names this
// owner and encrypts to them: anyone can do that.
func TestUninvitedCamera(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, owner, _ := house(t)
		uninvited := newCamera(t, owner)
		hub.take(uninvited.visit()...)
		v := owner.look(hub)
		var d diary
		d.sync(t, v)
		d.wantOpened(t)
		if n := d.reasons()[seal.ReasonUnknownDevice]; n < 4 || len(d.reasons()) != 1 {
			t.Errorf("withheld %v", d.reasons())
		}
		if len(hub.reports) != 4 || hub.reports[0].reason != seal.ReasonUnknownDevice {
			t.Errorf("%d reports", len(hub.reports))
		}
	})
}

// What the camera sealed for somebody else verifies and cannot be opened. It is
// said, once, and nothing more is asked.
func TestSealedForSomebodyElse(t *testing.T) {
	hub, owner, cam := house(t)
	hub.take(cam.visit()...)
	v := owner.look(hub, func(o *Options) { o.Keys.Identities = newPerson(t).keys().Identities })
	var d diary
	d.sync(t, v)
	d.wantOpened(t)
	if n := d.reasons()[seal.ReasonCannotDecrypt]; n != 4 || v.Summary().Verified != 4 {
		t.Errorf("withheld %v, summary %+v", d.reasons(), v.Summary())
	}
	if n := hub.count("/api/v1/items/"); n != 4 {
		t.Errorf("%d items were fetched", n)
	}
}

// A camera that contradicts itself is withheld with what it signed.
func TestFork(t *testing.T) {
	hub, owner, cam := house(t)
	first := cam.say(seal.KindThumbnail, []byte("one"))
	second := cam.say(seal.KindThumbnail, []byte("two"))
	cam.seq, cam.prev = 1, first.Hash()
	other := cam.say(seal.KindThumbnail, []byte("two, otherwise"))
	hub.take(first, second, other)
	var d diary
	d.sync(t, owner.look(hub))
	d.wantOpened(t, first, second)
	if d.reasons()[seal.ReasonFork] != 1 || !slices.Equal(d.withheld[0].Proof, other.Envelope) {
		t.Errorf("withheld %v", d.reasons())
	}
}

// A compromised camera that claims an item far ahead costs a bounded number of
// questions.
func TestFarAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, owner, cam := house(t)
		first := cam.say(seal.KindThumbnail, []byte("one"))
		cam.seq = 1<<53 - 2
		hub.take(first, cam.say(seal.KindThumbnail, []byte("far")))
		v := owner.look(hub)
		var d diary
		d.sync(t, v)
		if m := v.Summary().Missing; len(m) != 1 || m[0].To != 1<<53-2 {
			t.Errorf("missing %+v", m)
		}
		if n := hub.count("/api/v1/items/"); n > maxAsked+2 {
			t.Errorf("%d questions", n)
		}
	})
}

// An item that the hub lists and does not give is said to be unavailable, and
// is there as soon as it is given.
func TestUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, owner, cam := house(t)
		items := cam.visit()
		hub.take(items...)
		gone := items[1].Header.Ref()
		hub.lieItem = func(ref seal.Ref, it *seal.Item) []byte {
			if ref == gone {
				return nil
			}
			return it.Bytes()
		}
		v := owner.look(hub)
		var d diary
		d.sync(t, v)
		d.wantOpened(t, items[0], items[2], items[3])
		if len(d.unavailable) != 1 || d.unavailable[0].Ref != gone || !isStatus(d.unavailable[0].Err, 404) {
			t.Errorf("unavailable %+v", d.unavailable)
		}
		hub.lieItem = nil
		d.sync(t, v)
		d.wantOpened(t, items...)
	})
}

// One item whose connection always breaks keeps no other waiting.
func TestPoisonedItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, owner, cam := house(t)
		items := append(cam.visit(), cam.visit()...)
		hub.take(items...)
		hub.lieAnswer = once("/api/v1/items/"+items[0].Header.Ref().String(), -1, drip)
		v := owner.look(hub)
		var d diary
		d.sync(t, v)
		d.wantOpened(t, items[1:]...)
		if len(d.unavailable) != 1 {
			t.Errorf("unavailable %+v", d.unavailable)
		}
	})
}

// A hub that answers every long poll at once with nothing is not asked in a circle.
func TestBusyHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, owner, _ := house(t)
		hub.lieAnswer = once("/api/v1/timeline", -1, write(`{"items":[],"next":0}`))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := owner.look(hub).Run(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run ended with %v", err)
		}
		if n := hub.count("/api/v1/timeline"); n > 61 {
			t.Errorf("%d polls in a minute", n)
		}
	})
}

// A hub that lost its store is read from the beginning; nothing is shown twice.
func TestTimelineBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, owner, cam := house(t)
		items := cam.visit()
		hub.take(items...)
		v := owner.look(hub)
		var d diary
		d.sync(t, v)
		more := cam.visit()
		hub.items = append(more, items...)
		hub.lieAnswer = once("/api/v1/timeline", 1, write(`{"items":[],"next":0}`))
		d.sync(t, v)
		d.wantOpened(t, append(items, more...)...)
		if len(d.withheld) != 0 {
			t.Errorf("withheld %v", d.reasons())
		}
	})
}

// A wait at a hub that drips ends with the context.
func TestSlowHubAndContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, owner, cam := house(t)
		hub.take(cam.visit()...)
		hub.lieAnswer = once("/api/v1/items/", -1, drip)
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		began := time.Now()
		if err := owner.look(hub).SyncOnce(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("SyncOnce ended with %v", err)
		}
		if took := time.Since(began); took != 12*time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}
