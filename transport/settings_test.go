package transport_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

// The backlog is paced, and a new thumbnail overtakes it.
func TestPaceAndOvertaking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *transport.Options) { o.Settings.ItemsPerSecond = 0.5 })
		var all []spool.Entry
		for range 30 {
			all = append(all, r.q.add(seal.KindEvent))
		}
		r.run()
		defer r.stop()
		pass(21 * time.Second)
		before := r.d.Stats().Delivered
		if before < 10 || before > 11 {
			t.Errorf("%d items in 20 seconds at one in 2 s", before)
		}
		live := r.q.add(seal.KindThumbnail)
		synctest.Wait()
		if r.h.stored(live) != 1 {
			t.Error("the new thumbnail waits behind the backlog")
		}
		pass(2 * time.Minute)
		r.empty(append(all, live)...)
	})
}

func TestPaceOfBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *transport.Options) { o.Settings.BytesPerSecond = 1000 })
		for range 10 {
			r.q.addSize(seal.KindClip, 10_000)
		}
		r.run()
		defer r.stop()
		pass(time.Second)
		start := r.d.Stats().Delivered
		pass(50 * time.Second)
		if n := r.d.Stats().Delivered - start; n != 5 {
			t.Errorf("%d parts of 10,000 bytes in 50 seconds at 1,000 bytes a second", n)
		}
	})
}

func TestOptions(t *testing.T) {
	if _, err := transport.New(transport.Options{}); err == nil {
		t.Error("a loop was made of nothing")
	}
	for name, change := range map[string]func(*transport.Settings){
		"no window":    func(s *transport.Settings) { s.Window = 0 },
		"huge window":  func(s *transport.Settings) { s.Window = 33 },
		"no uploads":   func(s *transport.Settings) { s.Uploads = 0 },
		"many uploads": func(s *transport.Settings) { s.Uploads = 9 },
		"no sends":     func(s *transport.Settings) { s.Sends = 0 },
		"no time":      func(s *transport.Settings) { s.Receipt = 0 },
		"a rate below": func(s *transport.Settings) { s.ItemsPerSecond = -1 },
	} {
		set := transport.DefaultSettings()
		change(&set)
		if set.Validate() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if err := transport.DefaultSettings().Validate(); err != nil {
		t.Error(err)
	}
}
