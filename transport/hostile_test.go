package transport_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

var _ transport.Queue = (*spool.Spool)(nil)

func receipt(e spool.Entry) transport.Message {
	return transport.Message{Type: transport.Receipt, Ref: e.Ref, Hash: e.Hash}
}

// What a lying or broken hub may do. While it does, nothing is lost; when it has become
// honest, everything arrives. ignored says whether there is something to be ignored.
func TestLyingHub(t *testing.T) {
	none := func(*session, spool.Entry) {}
	for name, c := range map[string]struct {
		lie     func(r *rig, all []spool.Entry)
		ignored bool
	}{
		"never answers": {func(r *rig, _ []spool.Entry) {
			r.h.onItem, r.h.onWant = none, func(*session, transport.Want) {}
		}, false},
		"answers nonsense": {func(r *rig, _ []spool.Entry) {
			r.h.onItem = func(s *session, _ spool.Entry) { s.say(transport.Message{Type: transport.Unreadable}) }
			r.h.onWant = func(s *session, _ transport.Want) { s.say(transport.Message{Type: "?"}) }
		}, true},
		"receipts what was never sent": {func(r *rig, all []spool.Entry) {
			r.h.onItem = func(s *session, e spool.Entry) {
				for _, other := range all {
					if other.Ref.Seq > 30 { // beyond the window
						s.say(receipt(other))
					}
				}
			}
		}, true},
		"receipts with another hash": {func(r *rig, all []spool.Entry) {
			r.h.onItem = func(s *session, e spool.Entry) {
				e.Hash = all[len(all)-1].Hash
				s.say(receipt(e))
			}
		}, true},
		"refuses what was never sent": {func(r *rig, all []spool.Entry) {
			last := all[len(all)-1]
			r.h.onItem = func(s *session, _ spool.Entry) {
				s.say(transport.Message{Type: transport.Refusal, Ref: last.Ref, Hash: last.Hash, Reason: "no"})
			}
		}, true},
		"grants URLs of other hosts": {func(r *rig, _ []spool.Entry) {
			r.h.onWant = func(s *session, w transport.Want) {
				s.say(transport.Message{Type: transport.Grant, Ref: w.Ref, Hash: w.Hash, URL: "https://192.168.1.1/reboot"})
			}
		}, false},
		"grants what nobody wants": {func(r *rig, all []spool.Entry) {
			r.h.onItem = func(s *session, e spool.Entry) {
				s.say(transport.Message{Type: transport.Grant, Ref: e.Ref, Hash: e.Hash, URL: "https://hub/put"})
			}
		}, true},
		"grants everything ten times": {func(r *rig, _ []spool.Entry) {
			r.h.onWant = func(s *session, w transport.Want) {
				for range 10 {
					s.say(transport.Message{Type: transport.Grant, Ref: w.Ref, Hash: w.Hash, URL: "https://hub/put"})
				}
			}
		}, true},
		"floods": {func(r *rig, all []spool.Entry) {
			r.h.onItem = func(s *session, _ spool.Entry) {
				for i := range 1000 {
					s.say(receipt(all[len(all)-1-i%3]))
				}
			}
		}, true},
		"never ends an upload": {func(r *rig, _ []spool.Entry) {
			r.h.onPut = func(ctx context.Context, _ seal.Hash) error { <-ctx.Done(); return ctx.Err() }
		}, false},
		"hangs up after every item": {func(r *rig, _ []spool.Entry) {
			r.h.onItem = func(s *session, _ spool.Entry) { s.lose(errLost) }
		}, false},
		"refuses the record": {func(r *rig, _ []spool.Entry) {
			r.h.onRecord = func(s *session, hash seal.Hash) {
				s.say(transport.Message{Type: transport.RecordRefusal, Hash: hash, Reason: "no"})
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { lie(t, c.lie, c.ignored) })
		})
	}
}

func lie(t *testing.T, how func(*rig, []spool.Entry), ignored bool) {
	r := newRig(t)
	var all []spool.Entry
	for range 20 {
		all = append(all, r.q.add(seal.KindEvent), r.q.add(seal.KindClip))
	}
	how(r, all)
	r.run()
	pass(20 * time.Minute)
	r.stop()
	for _, e := range all {
		if r.q.find(e.Ref) < 0 && r.h.stored(e) == 0 {
			t.Errorf("item %d was lost to a lie", e.Ref.Seq)
		}
	}
	if len(r.q.aside) != 0 {
		t.Errorf("set aside: %v", r.q.aside)
	}
	if r.h.most > 2 {
		t.Errorf("%d uploads at once", r.h.most)
	}
	if got := r.d.Stats().Ignored > 0; got != ignored {
		t.Errorf("messages ignored: %v", r.d.Stats().Ignored)
	}

	// The same spool, and a hub that has changed its ways.
	honest := newRig(t, func(o *transport.Options) { o.Queue = r.q })
	honest.run()
	pass(time.Minute)
	honest.stop()
	if n := r.q.len(); n != 0 {
		t.Errorf("%d items are still queued", n)
	}
	for _, e := range all {
		if r.h.stored(e)+honest.h.stored(e) == 0 {
			t.Errorf("item %d was lost", e.Ref.Seq)
		}
	}
}

// A hub that receipts parts while they are being uploaded gets no more uploads at once
// for it, and the end of each is awaited.
func TestReceiptDuringUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.h.onPut = func(ctx context.Context, _ seal.Hash) error {
			<-ctx.Done()
			time.Sleep(time.Second) // it takes a while to notice
			return ctx.Err()
		}
		r.h.onWant = func(s *session, w transport.Want) {
			s.say(transport.Message{Type: transport.Grant, Ref: w.Ref, Hash: w.Hash, URL: "https://hub/put"})
			s.say(transport.Message{Type: transport.Receipt, Ref: w.Ref, Hash: w.Hash})
		}
		for range 20 {
			r.q.add(seal.KindClip)
		}
		r.run()
		defer r.stop()
		pass(time.Minute)
		if n := r.q.len(); n != 0 {
			t.Errorf("%d items are still queued", n)
		}
		if r.h.most > 2 {
			t.Errorf("%d uploads at once", r.h.most)
		}
	})
}

// However many items a hub leaves without an answer, the list of those is bounded; new
// thumbnails still go out.
func TestUnansweredItemsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *transport.Options) { o.Settings.Window = 32 })
		r.h.onItem = func(s *session, e spool.Entry) {
			if e.Ref.Seq > 1000 {
				s.receipt(e)
			}
		}
		for range 1000 {
			r.q.add(seal.KindEvent)
		}
		r.run()
		defer r.stop()
		var thumbnails []spool.Entry
		for range 20 {
			pass(25 * time.Second)
			thumbnails = append(thumbnails, r.q.add(seal.KindThumbnail))
		}
		pass(time.Second)
		events := 0
		for seq := range 1000 {
			if len(r.h.times(fmt.Sprint("item ", seq+1))) > 0 {
				events++
			}
		}
		if events < 64 || events > 64+32 {
			t.Errorf("%d events were sent to no answer, want no more than rest and are in flight", events)
		}
		for _, e := range thumbnails {
			if r.h.stored(e) == 0 {
				t.Errorf("thumbnail %d does not get through", e.Ref.Seq)
			}
		}
	})
}

// A part that was receipted while it was uploaded and cannot be forgotten rests like any
// other item, also when its upload has ended.
func TestForgettingFailsDuringUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.h.onPut = func(ctx context.Context, _ seal.Hash) error { <-ctx.Done(); return ctx.Err() }
		r.h.onWant = func(s *session, w transport.Want) {
			s.say(transport.Message{Type: transport.Grant, Ref: w.Ref, Hash: w.Hash, URL: "https://hub/put"})
			s.say(transport.Message{Type: transport.Receipt, Ref: w.Ref, Hash: w.Hash})
		}
		r.q.forgetBefore = func(seal.Ref) error { return errors.New("input/output error") }
		r.q.add(seal.KindClip)
		r.run()
		defer r.stop()
		pass(25 * time.Minute)
		if n := len(r.h.times("want 1")); n != 3 {
			t.Errorf("asked %d times in 25 minutes, want at once and after each rest of 10", n)
		}
	})
}

// A store that fails is tried ever more rarely, whatever the number of parts, while
// messages go on; when it works again, everything arrives in the same session.
func TestFailingUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var broken atomic.Bool
		broken.Store(true)
		r.h.onPut = func(context.Context, seal.Hash) error {
			if broken.Load() {
				return errors.New("503")
			}
			return nil
		}
		var all []spool.Entry
		for range 200 {
			all = append(all, r.q.add(seal.KindClip))
		}
		r.run()
		defer r.stop()
		for range 60 {
			pass(time.Minute)
			all = append(all, r.q.add(seal.KindEvent))
		}
		pass(time.Second)
		if s := r.d.Stats(); s.Delivered != 60 || s.Sessions != 1 {
			t.Errorf("stats %+v", s)
		}
		wants := 0
		for _, e := range all {
			wants += len(r.h.times(fmt.Sprint("want ", e.Ref.Seq)))
		}
		if wants > 40 {
			t.Errorf("%d uploads asked for in an hour", wants)
		}
		broken.Store(false)
		pass(30 * time.Minute)
		r.empty(all...)
		if s := r.d.Stats(); s.Sessions != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// The spool fails, before the deed or after it: nothing is lost, nothing stands still.
func TestSpoolFaults(t *testing.T) {
	fault := errors.New("input/output error")
	for name, set := range map[string]func(q *queue, f func(seal.Ref) error){
		"reading":             func(q *queue, f func(seal.Ref) error) { q.readFault = f },
		"forgetting, undone":  func(q *queue, f func(seal.Ref) error) { q.forgetBefore = f },
		"forgetting, done":    func(q *queue, f func(seal.Ref) error) { q.forgetAfter = f },
		"setting aside":       func(q *queue, f func(seal.Ref) error) { q.asideBefore = f },
		"nothing, to compare": func(*queue, func(seal.Ref) error) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				var faults atomic.Int32
				failed := map[seal.Ref]bool{} // guarded by the queue
				set(r.q, func(ref seal.Ref) error {
					if failed[ref] {
						return nil
					}
					failed[ref] = true
					faults.Add(1)
					return fault
				})
				refused := r.q.add(seal.KindEvent)
				all := []spool.Entry{r.q.add(seal.KindThumbnail), r.q.add(seal.KindClip), r.q.add(seal.KindEvent)}
				r.h.onItem = func(s *session, e spool.Entry) {
					if e.Ref == refused.Ref {
						s.say(transport.Message{Type: transport.Refusal, Ref: e.Ref, Hash: e.Hash, Reason: "wrong-epoch"})
						return
					}
					s.receipt(e)
				}
				r.run()
				defer r.stop()
				pass(time.Minute)
				if s := r.d.Stats(); (s.LastError == "") != (faults.Load() == 0) || s.Sessions != 1 {
					t.Errorf("stats %+v", s)
				}
				pass(11 * time.Minute) // what failed is tried again
				r.empty(all...)
				if r.q.aside[refused.Ref] != "wrong-epoch" {
					t.Errorf("set aside: %v", r.q.aside)
				}
			})
		})
	}
}

// An item that is too large for a message is the spool's mistake, and does not come back
// for ever.
func TestTooLargeForAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		big := r.q.addSize(seal.KindThumbnail, transport.MaxSmallItem+1)
		good := r.q.addSize(seal.KindThumbnail, transport.MaxSmallItem)
		r.run()
		defer r.stop()
		pass(time.Minute)
		r.empty(good)
		if r.q.aside[big.Ref] != "too-large" || r.d.Stats().Sessions != 1 {
			t.Errorf("set aside: %v, stats %+v", r.q.aside, r.d.Stats())
		}
	})
}
