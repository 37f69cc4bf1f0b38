package transport_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
)

// herald is what signs hints in a hub's name.
type herald struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	id  seal.ID
}

func newHerald(t *testing.T) *herald {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := seal.IDOf(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &herald{t, key, id}
}

// sign makes a hint that is issued now, by a hub's clock that is a day ahead.
func (a *herald) sign(h recovery.Hint) []byte {
	now := time.Now().Add(24 * time.Hour)
	return a.signAt(now, h)
}

func (a *herald) signAt(now time.Time, h recovery.Hint) []byte {
	b, err := hint.Sign(a.key, hint.Statement{Serial: uint64(now.UnixMilli()), Issued: now, Expires: now.Add(time.Hour), Hint: h})
	if err != nil {
		a.t.Error(err)
	}
	return b
}

func say(b []byte) transport.Message {
	return transport.Message{Type: transport.Hint, Hint: base64.RawURLEncoding.EncodeToString(b)}
}

func (a *herald) store(path string) *hint.Store {
	dir, err := durable.Open(path)
	if err != nil {
		a.t.Fatal(err)
	}
	return hint.Open(dir, a.id, slog.New(slog.DiscardHandler))
}

// tells has a hub give its hint right after the record-receipt.
func (a *herald) tells(h recovery.Hint) func(*session, seal.Hash) {
	return func(s *session, hash seal.Hash) {
		s.say(transport.Message{Type: transport.RecordReceipt, Hash: hash})
		s.say(say(a.sign(h)))
	}
}

// waits is how long the loop has decided to wait for its next connect.
func (r *rig) waits() time.Duration { return time.Until(r.d.Stats().NextAt) }

// A hint that came in a session spreads the connects after it, and those after the next
// start too.
func TestHintIsGoneBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, path := newHerald(t), t.TempDir()
		hints := func(o *transport.Options) { o.Hints, o.Schedule = a.store(path), recoverBy(recovery.DefaultSettings()) }
		r := newRig(t, hints)
		r.h.onRecord = a.tells(recovery.Hint{Window: time.Hour, Current: time.Second})
		r.run()
		pass(6 * time.Minute)
		shown := r.d.Stats().Hint
		if shown == nil || shown.Window != time.Hour || shown.Came.IsZero() {
			t.Fatalf("the hint is %+v", shown)
		}
		r.h.onDial = func(int) error { return context.DeadlineExceeded }
		r.h.live.lose(errLost)
		synctest.Wait()
		if w := r.waits(); w < time.Minute || w > time.Hour {
			t.Errorf("in a fleet that needs an hour it connects after %v", w)
		}
		r.stop()

		r = newRig(t, hints)
		r.run()
		synctest.Wait()
		if w := r.waits(); w < time.Minute || w > time.Hour {
			t.Errorf("after a restart it connects after %v", w)
		}
		if shown := r.d.Stats().Hint; shown == nil || !shown.Came.IsZero() {
			t.Errorf("the hint that was kept is %+v", shown)
		}
		r.stop()
	})
}

// What a hub says that is not a hint of its fleet is counted and changes nothing.
func TestBadHintsInASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, forger := newHerald(t), newHerald(t)
		r := newRig(t, func(o *transport.Options) { o.Hints = a.store(t.TempDir()) })
		wide := recovery.Hint{Window: 8 * time.Hour, Current: 8 * time.Hour, Drain: 0.001}
		r.h.onRecord = func(s *session, hash seal.Hash) {
			s.say(say(forger.sign(wide)))
			s.say(transport.Message{Type: transport.Hint, Hint: "not base64"})
			s.say(transport.Message{Type: transport.RecordReceipt, Hash: hash})
			s.say(say(nil))
			s.say(say(append(a.sign(wide), 0)))
			for range 10 {
				s.say(say(forger.sign(wide)))
			}
			s.say(say(a.sign(wide))) // after so many nobody looks any more
		}
		e := r.q.add(seal.KindEvent)
		r.run()
		defer r.stop()
		pass(10 * time.Second)
		r.empty(e)
		if s := r.d.Stats(); s.Ignored != 15 || s.Hint != nil {
			t.Errorf("%d messages were ignored, the hint is %+v", s.Ignored, s.Hint)
		}
		pass(10 * time.Minute)
		r.h.live.lose(errLost)
		pass(3 * time.Second)
		if n := r.h.connects(); n != 2 {
			t.Errorf("%d connects", n)
		}
	})
}

// fetching is a loop whose schedule asks for hints, with what the address answers.
func fetching(t *testing.T, a *herald, answer func() ([]byte, error)) *rig {
	set := recovery.DefaultSettings()
	set.Fetch = true
	return newRig(t, func(o *transport.Options) {
		o.Hints, o.Schedule = a.store(t.TempDir()), recoverBy(set)
		o.Fetch = func(context.Context) ([]byte, error) { return answer() }
	})
}

// A device that waits for its slot of an hour hears that the hub is back and calm, and
// comes at once; if what it hears was said before the hub was lost, it does not.
func TestFreshHintWhileWaiting(t *testing.T) {
	for name, fresh := range map[string]bool{"issued after the loss": true, "issued before": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newHerald(t)
				calm := recovery.Hint{Window: time.Hour, Current: time.Second}
				var old []byte
				r := fetching(t, a, func() ([]byte, error) {
					if old == nil {
						return nil, errors.New("nothing there yet")
					}
					if fresh {
						return a.sign(calm), nil
					}
					return old, nil
				})
				r.h.onRecord = a.tells(calm)
				r.run()
				defer r.stop()
				pass(20 * time.Minute)
				old = a.sign(calm) // newer than the session's, older than the loss
				r.h.live.lose(errLost)
				synctest.Wait()
				lost := time.Now()
				for r.h.connects() < 2 {
					pass(time.Second)
				}
				// A fetch comes within a sixteenth of the window, and an eighth of it is
				// the least that a hub may be wrong about.
				took := time.Since(lost)
				if early := took < 12*time.Minute; early != fresh {
					t.Errorf("back after %v and %d fetches", took, r.d.Stats().Fetches)
				}
				if r.d.Stats().Fetches == 0 {
					t.Error("nothing was fetched")
				}
			})
		})
	}
}

// An address that has nothing good costs nothing but the asking.
func TestFetchInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, forger := newHerald(t), newHerald(t)
		answers := []func() ([]byte, error){
			func() ([]byte, error) { return nil, errors.New("no such host") },
			func() ([]byte, error) { return []byte("<html>"), nil },
			func() ([]byte, error) {
				return forger.sign(recovery.Hint{Window: time.Second, Current: time.Second}), nil
			},
		}
		n := 0
		r := fetching(t, a, func() ([]byte, error) { n++; return answers[n%len(answers)]() })
		back := time.Now().Add(time.Hour)
		r.h.onDial = func(int) error {
			if time.Now().Before(back) {
				return context.DeadlineExceeded
			}
			return nil
		}
		e := r.q.add(seal.KindEvent)
		r.run()
		defer r.stop()
		pass(2 * time.Hour)
		r.empty(e)
		s := r.d.Stats()
		if s.Fetches < 10 || s.Fetches > 120 || s.Hint != nil || s.Ignored != 0 {
			t.Errorf("%d fetches, %d ignored, the hint is %+v", s.Fetches, s.Ignored, s.Hint)
		}
	})
}

// What this machine's own link does is its own trouble, and said so.
func TestOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		offline := false
		r := newRig(t, func(o *transport.Options) { o.Offline = func() bool { return offline } })
		r.h.onDial = func(n int) error {
			switch n {
			case 1, 2:
				return fmt.Errorf("dial: %w", context.DeadlineExceeded)
			case 3:
				return &transport.RecordRefused{Reason: "busy"}
			default:
				return nil
			}
		}
		r.run()
		defer r.stop()
		for n, want := range []string{"timed out", "unreachable", "refused", ""} {
			offline = n > 0
			for r.h.connects() <= n {
				pass(10 * time.Millisecond)
			}
			synctest.Wait()
			if got := r.d.Stats().Outcome; got != want {
				t.Errorf("connect %d: %q, want %q", n+1, got, want)
			}
		}
	})
}

// A session that this machine's own link lost is back sooner than one that the hub lost.
func TestOwnLinkLosesTheSession(t *testing.T) {
	wait := func(offline bool) (w time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			a := newHerald(t)
			r := newRig(t, func(o *transport.Options) {
				o.Hints, o.Schedule = a.store(t.TempDir()), recoverBy(recovery.DefaultSettings())
				o.Offline = func() bool { return offline }
			})
			r.h.onRecord = a.tells(recovery.Hint{Window: 8 * time.Hour, Current: time.Second})
			r.run()
			defer r.stop()
			pass(10 * time.Minute)
			r.h.live.lose(errLost)
			synctest.Wait()
			w = r.waits()
		})
		return w
	}
	if own, hub := wait(true), wait(false); own <= 0 || own > hub/4 {
		t.Errorf("after its own loss it waits %v, after the hub's %v", own, hub)
	}
}

// 100 sessions hear in one instant that their backlogs may go faster: they do not all
// begin in that instant.
func TestNewDrainIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newHerald(t)
		hint := recovery.Hint{Window: time.Minute, Current: time.Second, Drain: 0.001}
		var fleet []*rig
		for range 100 {
			r := newRig(t, func(o *transport.Options) { o.Hints = a.store(t.TempDir()) })
			r.h.onRecord = a.tells(hint)
			r.q.add(seal.KindEvent)
			r.q.add(seal.KindEvent)
			fleet = append(fleet, r)
			r.run()
			defer r.stop()
		}
		pass(5 * time.Second)
		hint.Drain = 0.1 // one in ten seconds
		faster := say(a.sign(hint))
		for _, r := range fleet {
			r.h.live.say(faster)
		}
		pass(10 * time.Second)
		var at []time.Duration
		for _, r := range fleet {
			for _, t := range r.h.times("item 1") {
				if t > 5*time.Second {
					at = append(at, t)
				}
			}
		}
		if len(at) < 90 || peak(at, time.Second) > 30 {
			t.Errorf("%d began within ten seconds, %v of them in one", len(at), peak(at, time.Second))
		}
	})
}

// 200 devices come back with ten items each: together they send their backlogs no faster
// than the hub said, and each its newest thumbnail and what it has just sealed at once.
func TestFleetDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const devices, items, drain = 200, 10, 20.0 // drain: messages a second, all together
		a := newHerald(t)
		var fleet []*rig
		for i := range devices {
			r := newRig(t, func(o *transport.Options) {
				set := quick()
				set.First = 20 * time.Second
				o.Hints, o.Schedule = a.store(t.TempDir()), recovery.New(&set, uint64(i))
				o.Checkpoint = func(context.Context) error { return nil }
			})
			r.h.onRecord = a.tells(recovery.Hint{Window: 20 * time.Second, Current: 20 * time.Second, Drain: drain / devices})
			for range items - 1 {
				r.q.add(seal.KindEvent)
			}
			r.q.add(seal.KindThumbnail)
			fleet = append(fleet, r)
			r.run()
			defer r.stop()
		}
		pass(30 * time.Second)
		var fresh []time.Duration
		for _, r := range fleet {
			r.q.add(seal.KindEvent) // item 11
		}
		synctest.Wait()
		for _, r := range fleet {
			if n := r.h.times("item 11"); len(n) == 1 {
				fresh = append(fresh, n[0])
			}
		}
		if len(fresh) != devices || slices.Max(fresh) > 30*time.Second {
			t.Errorf("%d of %d new events went at once, the last after %v", len(fresh), devices, slices.Max(fresh))
		}
		pass(3 * time.Minute)
		var backlog []time.Duration
		for _, r := range fleet {
			r.empty()
			up := r.h.times("status")[0]
			if at := r.h.times("item 10"); at[0] != up {
				t.Errorf("the newest thumbnail went %v after the connect", at[0]-up)
			}
			for i := range items - 1 {
				backlog = append(backlog, r.h.times(fmt.Sprintf("item %d", i+1))...)
			}
		}
		if peak := peak(backlog, 10*time.Second) / drain; len(backlog) != devices*(items-1) || peak > 1.2 {
			t.Errorf("%d messages, a peak of %.2f times the drain", len(backlog), peak)
		}
	})
}

// peak is the most that happens in any window, a second.
func peak(at []time.Duration, window time.Duration) float64 {
	slices.Sort(at)
	most, from := 0, 0
	for i := range at {
		for at[i]-at[from] >= window {
			from++
		}
		most = max(most, i-from+1)
	}
	return float64(most) / window.Seconds()
}

// The backlog waits for the session's hint, and for no longer than it should.
func TestBacklogWaitsForTheHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newHerald(t)
		r := newRig(t, func(o *transport.Options) { o.Hints = a.store(t.TempDir()) })
		for range 3 {
			r.q.add(seal.KindEvent)
		}
		r.run()
		defer r.stop()
		pass(10 * time.Second)
		if up, at := r.h.times("status")[0], r.h.times("item 1")[0]; at-up != 2*time.Second {
			t.Errorf("without a hint the backlog went after %v", at-up)
		}
		if r.q.len() != 0 {
			t.Error("without a hint the backlog is paced")
		}
	})
}

// A hint with another drain counts from then on.
func TestDrainChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newHerald(t)
		r := newRig(t, func(o *transport.Options) { o.Hints = a.store(t.TempDir()) })
		for range 60 {
			r.q.add(seal.KindEvent)
		}
		slow := recovery.Hint{Window: time.Minute, Current: time.Second, Drain: 0.01}
		r.h.onRecord = a.tells(slow)
		r.run()
		defer r.stop()
		pass(201 * time.Second)
		if n := r.d.Stats().Delivered; n < 1 || n > 3 {
			t.Errorf("%d items in 200 seconds at one in 100", n)
		}
		fast := slow
		fast.Drain = 1
		r.h.live.say(say(a.sign(fast)))
		pass(62 * time.Second)
		if n := r.q.len(); n != 0 {
			t.Errorf("%d items wait a minute after the drain was raised", n)
		}
	})
}

func TestParseHint(t *testing.T) {
	for text, good := range map[string]bool{
		`{"type":"hint","hint":"AAAA"}`: true,
		`{"type":"hint"}`:               false,
		`{"type":"hint","hint":7}`:      false,
		`{"type":"hint","hint":"` + strings.Repeat("A", 1366) + `"}`: true,
		`{"type":"hint","hint":"` + strings.Repeat("A", 1367) + `"}`: false,
	} {
		if _, err := transport.ParseMessage([]byte(text)); (err == nil) != good {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}

func TestHintOptions(t *testing.T) {
	record := transport.Record{Bytes: []byte("r"), Hash: sha256.Sum256([]byte("r"))}
	_, err := transport.New(transport.Options{
		Dialer: newHub(), Queue: newQueue(), Uploader: newHub(), Schedule: recoverBy(quick()),
		Record: func() transport.Record { return record }, Checkpoint: func(context.Context) error { return nil },
		Settings: transport.DefaultSettings(), Fetch: func(context.Context) ([]byte, error) { return nil, nil },
	})
	if err == nil {
		t.Error("a loop that fetches hints and keeps none")
	}
}
