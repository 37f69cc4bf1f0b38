package transport_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

// The record goes first, then the status, the newest thumbnail, what was sealed since the
// connect (its checkpoint), and the rest in the queue's order.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		r = newRig(t, func(o *transport.Options) {
			o.Checkpoint = func(context.Context) error { r.q.add(seal.KindCheckpoint); return nil }
		})
		for _, kind := range []seal.Kind{
			seal.KindThumbnail, seal.KindClip, seal.KindEvent, // 1 to 3
			seal.KindThumbnail, seal.KindClip, seal.KindClip, seal.KindEvent, // 4 to 7
		} {
			r.q.add(kind)
		}
		r.run()
		defer r.stop()
		pass(time.Minute)
		if got, want := r.h.heard("dial", "record", "status", "item"), "dial, record, status, item 4, item 8, item 1, item 3, item 7"; got != want {
			t.Errorf("the hub heard %s; want %s", got, want)
		}
		if got, want := r.h.heard("want"), "want 2, want 5, want 6"; got != want {
			t.Errorf("the hub heard %s; want %s", got, want)
		}
		r.empty()
		s := r.d.Stats()
		if s.State != transport.Delivering || s.Delivered != 8 || s.Bytes != 800 || s.Connects != 1 || s.Sessions != 1 ||
			s.InFlight != 0 || s.Resent+s.Ignored+s.SetAside+s.Rested != 0 || s.LastError != "" {
			t.Errorf("stats %+v", s)
		}
		r.stop()
		if s := r.d.Stats(); s.State != transport.Stopped {
			t.Errorf("stopped, the state is %q", s.State)
		}
	})
}

// No more than the window is without an answer, and each answer lets one more go.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var pending []spool.Entry
		r.h.onItem = func(_ *session, e spool.Entry) { pending = append(pending, e) }
		r.h.onWant = func(*session, transport.Want) {}
		for range 20 {
			r.q.add(seal.KindEvent)
			r.q.add(seal.KindClip)
		}
		r.run()
		defer r.stop()
		pass(2 * time.Second)
		if got, want := r.h.heard("item", "want"),
			"item 1, item 3, item 5, item 7, item 9, item 11, item 13, item 15, want 2, want 4"; got != want {
			t.Fatalf("the hub heard %s; want %s", got, want)
		}
		if s := r.d.Stats(); s.InFlight != 10 {
			t.Errorf("%d in flight, want 10", s.InFlight)
		}
		r.h.live.receipt(pending[3])
		synctest.Wait()
		if got := r.h.heard("item")[len("item 1, item 3, item 5, item 7, item 9, item 11, item 13, item 15"):]; got != ", item 17" {
			t.Errorf("after one receipt the hub heard %q more", got)
		}
	})
}

// An item without an answer is sent again, a bounded number of times; a hub that answers
// nothing loses the session, and gets everything in the next.
func TestSilentHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.h.onItem = func(s *session, e spool.Entry) {
			if r.h.connects() > 1 {
				s.receipt(e)
			}
		}
		e := r.q.add(seal.KindThumbnail)
		r.run()
		defer r.stop()
		pass(2 * time.Minute)
		at, dial := r.h.times("item 1"), r.h.times("dial")
		if len(at) != 4 || at[1]-at[0] != 30*time.Second || at[2]-at[1] != 30*time.Second {
			t.Fatalf("sent at %v, want thrice 30 s apart and once more", at)
		}
		if gap := dial[1] - at[2]; gap < 30*time.Second || gap > 32*time.Second {
			t.Errorf("the second connect came %v after the last try", gap)
		}
		if s := r.d.Stats(); s.Resent != 2 || s.Sessions != 2 {
			t.Errorf("stats %+v", s)
		}
		r.empty(e)
	})
}

// One item that the hub never answers holds up no other and does not cost the session.
func TestOneItemWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var honest atomic.Bool
		r.h.onItem = func(s *session, e spool.Entry) {
			if e.Ref.Seq != 1 || honest.Load() {
				s.receipt(e)
			}
		}
		all := []spool.Entry{r.q.add(seal.KindEvent)}
		r.run()
		defer r.stop()
		for range 10 {
			pass(30 * time.Second)
			all = append(all, r.q.add(seal.KindEvent))
		}
		synctest.Wait()
		if s := r.d.Stats(); s.Delivered != 10 || s.Rested != 1 || s.Sessions != 1 {
			t.Errorf("stats %+v", s)
		}
		honest.Store(true)
		pass(10 * time.Minute)
		r.empty(all...)
		if n := len(r.h.times("item 1")); n != 4 {
			t.Errorf("the item was sent %d times, want 3 and, after its rest, 1", n)
		}
	})
}

// A receipt that comes when the item already rests still counts.
func TestLateReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var late spool.Entry
		r.h.onItem = func(s *session, e spool.Entry) {
			if e.Ref.Seq == 1 {
				late = e
			} else {
				s.receipt(e)
			}
		}
		e := r.q.add(seal.KindEvent)
		r.run()
		defer r.stop()
		pass(10 * time.Second)
		r.q.add(seal.KindEvent)
		pass(2 * time.Minute)
		r.h.live.receipt(late)
		synctest.Wait()
		r.empty(e)
	})
}

// The session is lost at every step in turn, before the bytes are out or after: nothing
// is lost with it, and nothing is forgotten without being stored.
func TestLossAtEachStep(t *testing.T) {
	for _, before := range []bool{true, false} {
		step := 1
		for loseAt(t, step, before) {
			step++
		}
		if step <= 8 { // record, status, and at least six messages and wants
			t.Errorf("only %d steps were seen", step-1)
		}
	}
}

// loseAt loses the session at a step, once, and says whether the step was reached.
func loseAt(t *testing.T, step int, before bool) (reached bool) {
	t.Run(fmt.Sprintf("step %d, before %v", step, before), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.h.onSend = func(s *session, n int) error {
				if n != step || reached {
					return nil
				}
				reached = true
				if before {
					return errLost
				}
				go s.lose(errLost)
				return nil
			}
			var all []spool.Entry
			for _, kind := range []seal.Kind{seal.KindThumbnail, seal.KindClip, seal.KindEvent, seal.KindClip, seal.KindThumbnail, seal.KindEvent} {
				all = append(all, r.q.add(kind))
			}
			r.run()
			pass(3 * time.Minute)
			r.stop()
			r.empty(all...)
		})
	})
	return reached
}

func TestRefusedItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		bad := r.q.add(seal.KindEvent)
		broken := r.q.add(seal.KindEvent)
		badPart := r.q.add(seal.KindClip)
		good := []spool.Entry{r.q.add(seal.KindEvent), r.q.add(seal.KindClip)}
		r.h.onItem = func(s *session, e spool.Entry) {
			if e.Ref == bad.Ref {
				s.say(transport.Message{Type: transport.Refusal, Ref: e.Ref, Hash: e.Hash, Reason: "wrong-epoch"})
				return
			}
			if e.Ref == broken.Ref { // the hub cannot read it, and so not name it
				s.say(transport.Message{Type: transport.Refusal, Hash: e.Hash, Reason: "malformed"})
				return
			}
			s.receipt(e)
		}
		r.h.onPut = func(_ context.Context, hash seal.Hash) error {
			if hash == badPart.Hash {
				return rejected("body-hash")
			}
			return nil
		}
		r.run()
		defer r.stop()
		pass(time.Minute)
		r.empty(good...)
		if r.q.aside[bad.Ref] != "wrong-epoch" || r.q.aside[badPart.Ref] != "body-hash" ||
			r.q.aside[broken.Ref] != "malformed" || len(r.q.aside) != 3 {
			t.Errorf("set aside: %v", r.q.aside)
		}
		if s := r.d.Stats(); s.SetAside != 3 || s.Delivered != 2 {
			t.Errorf("stats %+v", s)
		}
		if n := len(r.h.times("item 1")); n != 1 {
			t.Errorf("the refused item was sent %d times", n)
		}
	})
}

type rejected string

func (r rejected) Error() string    { return "rejected: " + string(r) }
func (r rejected) Rejected() string { return string(r) }

// An hour without the hub, with events going on: then the newest thumbnail comes first,
// the rest follows in order, and nothing is lost.
func TestOfflineForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := recovery.DefaultSettings()
		r := newRig(t, func(o *transport.Options) { o.Schedule = recoverBy(set) })
		back := time.Now().Add(time.Hour)
		r.h.onDial = func(int) error {
			if time.Now().Before(back) {
				return context.DeadlineExceeded
			}
			return nil
		}
		r.run()
		defer r.stop()
		var all []spool.Entry
		for range 60 {
			for _, kind := range []seal.Kind{seal.KindThumbnail, seal.KindClip, seal.KindEvent} {
				all = append(all, r.q.add(kind))
			}
			pass(time.Minute)
		}
		if n := r.h.connects(); n > 60 {
			t.Errorf("%d connects in an hour's outage", n)
		}
		newest := all[len(all)-3].Ref.Seq
		pass(45 * time.Minute) // well over Growth · A, by when the law has it back
		r.empty(all...)

		want := fmt.Sprintf("item %d", newest)
		for _, e := range all {
			if e.Kind != seal.KindClip && e.Ref.Seq != newest {
				want += fmt.Sprintf(", item %d", e.Ref.Seq)
			}
		}
		if got := r.h.heard("item"); got != want {
			t.Errorf("the hub heard\n%s\nwant\n%s", got, want)
		}
		if s := r.d.Stats(); s.Delivered != uint64(len(all)) || s.Resent != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Every connect, the first too, comes in the slot that the schedule gives.
func TestSlotBeforeEveryConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := recovery.DefaultSettings()
		r := newRig(t, func(o *transport.Options) { o.Schedule = recoverBy(set) })
		twin := recoverBy(set) // the same law and the same luck
		refused := &transport.RecordRefused{Reason: "busy"}
		results := []error{context.DeadlineExceeded, context.DeadlineExceeded, refused, nil, nil, errors.New("who knows")}
		lasts := map[int]time.Duration{4: 10 * time.Second, 5: 6 * time.Minute}
		r.h.onDial = func(n int) error {
			if n > len(results) {
				return context.DeadlineExceeded
			}
			return results[n-1]
		}
		r.h.onRecord = func(s *session, hash seal.Hash) {
			last := lasts[r.h.connects()]
			go func() {
				time.Sleep(last)
				s.lose(errLost)
			}()
			s.say(transport.Message{Type: transport.RecordReceipt, Hash: hash})
		}
		var want []time.Duration
		var now time.Duration
		for n, result := range results {
			now += twin.Next(now).Wait
			want = append(want, now)
			if result != nil {
				twin.Failed(now, recovery.Classify(result))
				continue
			}
			twin.Admitted(now)
			now += lasts[n+1]
			if good := twin.Ended(now, false); good != (n == 4) {
				t.Errorf("session %d good: %v", n+1, good)
			}
		}
		r.run()
		defer r.stop()
		pass(now + time.Second)
		if got := r.h.times("dial"); !slices.Equal(got[:len(want)], want) {
			t.Errorf("connects at %v, want %v", got, want)
		}
		if gap := want[5] - (want[4] + lasts[5]); gap > 8*set.First {
			t.Errorf("after a good session the next connect took %v", gap)
		}
	})
}

func TestRecordRefusedOrUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.h.onRecord = func(s *session, hash seal.Hash) {
			switch r.h.connects() {
			case 1:
				s.say(transport.Message{Type: transport.RecordRefusal, Hash: hash, Reason: "bad-signature", Detail: "no"})
			case 2: // of another record: no answer
				s.say(transport.Message{Type: transport.RecordReceipt, Hash: seal.Hash{9}})
			default:
				s.say(transport.Message{Type: transport.RecordReceipt, Hash: hash})
			}
		}
		e := r.q.add(seal.KindEvent)
		r.run()
		defer r.stop()
		pass(4 * time.Second)
		if s := r.d.Stats(); s.LastError != "the hub refused the ownership record: bad-signature: no" || s.Sessions != 0 {
			t.Errorf("stats %+v", s)
		}
		pass(time.Minute)
		r.empty(e)
		if got, want := r.h.heard("dial", "record", "status", "item"), "dial, record, dial, record, dial, record, status, item 1"; got != want {
			t.Errorf("the hub heard %s; want %s", got, want)
		}
	})
}

// A checkpoint at the connect and every five minutes; one that fails costs nothing else.
func TestCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		var at []time.Duration
		r = newRig(t, func(o *transport.Options) {
			o.Checkpoint = func(context.Context) error {
				at = append(at, time.Since(r.h.start).Round(time.Minute))
				if len(at) == 2 {
					return errors.New("the disk is full")
				}
				r.q.add(seal.KindCheckpoint)
				return nil
			}
		})
		r.run()
		defer r.stop()
		pass(16 * time.Minute)
		if want := []time.Duration{0, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute}; !slices.Equal(at, want) {
			t.Errorf("checkpoints at %v, want %v", at, want)
		}
		if s := r.d.Stats(); s.Delivered != 3 || s.Sessions != 1 || s.LastError != "making a checkpoint failed: the disk is full" {
			t.Errorf("stats %+v", s)
		}
		if got := r.h.heard("status"); got != "status, status, status, status" {
			t.Errorf("the hub heard %s", got)
		}
	})
}

// Run ends with its context from every state, and leaves nothing behind (synctest sees
// to that).
func TestRunEndsWithItsContext(t *testing.T) {
	for name, prepare := range map[string]func(*rig){
		"waiting":           func(r *rig) { r.h.onDial = func(int) error { return context.DeadlineExceeded } },
		"showing a record":  func(r *rig) { r.h.onRecord = func(*session, seal.Hash) {} },
		"idle":              func(*rig) {},
		"waiting for grant": func(r *rig) { r.h.onWant = func(*session, transport.Want) {}; r.q.add(seal.KindClip) },
		"uploading": func(r *rig) {
			r.h.onPut = func(ctx context.Context, _ seal.Hash) error { <-ctx.Done(); return ctx.Err() }
			r.q.add(seal.KindClip)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				prepare(r)
				r.run()
				pass(1500 * time.Millisecond)
				start := time.Now()
				r.stop()
				if d := time.Since(start); d != 0 {
					t.Errorf("Run ended %v late", d)
				}
			})
		})
	}
}
