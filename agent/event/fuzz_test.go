package event_test

import (
	"testing"
	"time"

	"github.com/lensward/lensward/agent/event"
)

// FuzzMachine feeds frames made from bytes and holds the machine to its promises.
// The highest bit of each byte is the detector's verdict, the rest a step in time;
// with the longest but one the camera is covered.
func FuzzMachine(f *testing.F) {
	f.Add(uint8(5), uint8(5), uint8(2), uint8(60), uint8(30), []byte{3, 4, 130, 4, 4, 200, 201, 1, 0, 127, 129})
	f.Add(uint8(0), uint8(1), uint8(0), uint8(1), uint8(1), []byte{129, 129, 129, 255, 255, 255})
	f.Add(uint8(9), uint8(3), uint8(3), uint8(0), uint8(0), []byte{0, 128, 63, 191, 64, 192, 127, 255})
	f.Add(uint8(5), uint8(5), uint8(2), uint8(60), uint8(30), []byte{3, 126, 4, 254, 126, 126, 130, 254, 3, 126})
	f.Fuzz(func(t *testing.T, pre, post, gap, longest, rate uint8, script []byte) {
		s := event.Settings{
			PreRoll:  time.Duration(pre%60) * time.Second,
			PostRoll: time.Duration(1+post%59) * time.Second,
			PerHour:  1 + int(rate)*14,
			Burst:    1 + int(rate)%5,
		}
		s.MergeGap = min(time.Duration(gap)*time.Second/4, s.PostRoll)
		s.Longest = s.PreRoll + s.PostRoll + time.Duration(longest)*time.Second
		m, err := event.New(s)
		if err != nil {
			t.Fatalf("settings %+v: %v", s, err)
		}
		w := watcher{t: t, settings: s}
		at := epoch
		for _, b := range script {
			at = at.Add(step(b & 0x7f))
			moving := b&0x80 != 0
			w.see(m.Feed(at, moving, float64(b&7)))
			if b&0x7f == 126 {
				w.see(m.Tamper(at, event.CauseCovered, float64(b&7)))
			}
			w.frame(m, at, moving)
		}
		w.see(m.Stop())
		if w.open {
			t.Error("an event is open after Stop")
		}
	})
}

// step makes frame intervals of 0 to 12 s, short ones more often, and now and
// then a jump of an hour.
func step(b byte) time.Duration {
	switch {
	case b == 127:
		return time.Hour
	case b >= 64:
		return time.Duration(b-64) * 200 * time.Millisecond
	default:
		return time.Duration(b) * 20 * time.Millisecond
	}
}

// watcher checks transitions and frames against the promises of the package.
type watcher struct {
	t        *testing.T
	settings event.Settings
	open     bool
	end      time.Time // of the event before
	first    time.Time
	declared int
}

func (w *watcher) see(transitions []event.Transition) {
	for _, tr := range transitions {
		e := tr.Event
		switch tr.Kind {
		case event.Declared:
			w.declared++
			if w.open {
				w.t.Fatal("an event is declared while another is open")
			}
			if e.Start.Before(w.end) {
				w.t.Fatalf("an event starts at %v, before the end of the one before, %v", e.Start, w.end)
			}
			if pre := e.Declared.Sub(e.Start); pre < 0 || pre > w.settings.PreRoll {
				w.t.Fatalf("a pre-roll of %v, want 0 to %v", pre, w.settings.PreRoll)
			}
			w.open = true
		case event.Ended:
			if !w.open {
				w.t.Fatal("an event ends that was not open")
			}
			if length := e.End.Sub(e.Start); length < 0 || length > w.settings.Longest {
				w.t.Fatalf("an event lasts %v, the longest is %v", length, w.settings.Longest)
			}
			if e.Ending == event.EndingNone || e.LastMotion.After(e.End) || e.Peak.Before(e.Declared) || e.Peak.After(e.LastMotion) {
				w.t.Fatalf("an event whose parts do not fit together: %+v", e)
			}
			w.open, w.end = false, e.End
		}
	}
}

// frame checks that a frame with motion lies inside the open event.
func (w *watcher) frame(m *event.Machine, at time.Time, moving bool) {
	if w.first.IsZero() {
		w.first = at
	}
	e, open := m.Current()
	if open != w.open {
		w.t.Fatalf("Current says open=%v, the transitions say %v", open, w.open)
	}
	if open && at.Sub(e.Start) >= w.settings.Longest && at.After(e.Start) {
		w.t.Fatalf("an event is open %v after its start, the longest is %v", at.Sub(e.Start), w.settings.Longest)
	}
	if !moving {
		return
	}
	if !open || at.Before(e.Start) || !e.LastMotion.Equal(at) {
		w.t.Fatalf("motion at %v is not in the open event (%v) %+v", at, open, e)
	}
	// In the long run no more than the rate limit and the longest duration allow.
	hours := at.Sub(w.first).Hours()
	most := float64(w.settings.Burst) + hours*float64(w.settings.PerHour) + hours*float64(time.Hour)/float64(w.settings.Longest) + 1
	if float64(w.declared) > most+1e-6 {
		w.t.Fatalf("%d events in %.3f h, want at most %.1f", w.declared, hours, most)
	}
}
