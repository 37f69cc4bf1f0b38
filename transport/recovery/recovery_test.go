package recovery

import (
	"testing"
	"time"
)

// The first slot after power-up is uniform in the first window, or in the hinted one
// where a hint was stored.
func TestFirstSlotIsUniform(t *testing.T) {
	set := DefaultSettings()
	hint := Hint{Serial: 1, Window: 10 * time.Minute}
	for name, window := range map[string]time.Duration{"no hint": set.First, "hint": hint.Window} {
		t.Run(name, func(t *testing.T) {
			const cameras, bins = 10_000, 10
			var hits [bins]int
			for i := range uint64(cameras) {
				s := New(&set, 50_000+i)
				if name == "hint" {
					s.Hinted(0, hint, false)
				}
				step := s.Next(0)
				if step.Do != Connect || step.Wait < 0 || step.Wait >= window {
					t.Fatalf("camera %d: %+v, want a connect in the window of %v", i, step, window)
				}
				hits[int(step.Wait*bins/window)]++
			}
			// Chi-square with 9 degrees of freedom: above 27.9 once in a thousand. The seeds are fixed.
			var chi float64
			for _, n := range hits {
				d := float64(n) - cameras/bins
				chi += d * d / (cameras / bins)
			}
			if chi > 27.9 {
				t.Errorf("slots are not uniform: chi-square %.1f, tenths %v", chi, hits)
			}
		})
	}
}

// A camera before which a person stands connects within a second; if that comes to
// nothing, its windows are as wide as any other's.
func TestAwaitedConnect(t *testing.T) {
	set, other := DefaultSettings(), DefaultSettings()
	set.Awaited = true
	latest := time.Duration(0)
	for seed := range uint64(1000) {
		s, o := New(&set, seed), New(&other, seed)
		step := s.Next(0)
		if step.Do != Connect || step.Wait >= time.Second {
			t.Fatalf("seed %d: %+v", seed, step)
		}
		latest = max(latest, step.Wait)
		s.Failed(step.Wait, Dead)
		o.Failed(o.Next(0).Wait, Dead)
		if s.Window() != o.Window() {
			t.Fatalf("seed %d: the second window is %v, without somebody waiting %v", seed, s.Window(), o.Window())
		}
	}
	if latest < 900*time.Millisecond {
		t.Errorf("the latest of 1000 slots is %v", latest)
	}
}

func TestSettingsValidate(t *testing.T) {
	if err := DefaultSettings().Validate(); err != nil {
		t.Errorf("default settings: %v", err)
	}
	for _, change := range []func(*Settings){
		func(s *Settings) { s.First = 0 },
		func(s *Settings) { s.Cap = s.First - 1 },
		func(s *Settings) { s.Cap = MaxWindow + 1 },
		func(s *Settings) { s.Good = -1 },
	} {
		set := DefaultSettings()
		change(&set)
		if set.Validate() == nil {
			t.Errorf("%+v was accepted", set)
		}
	}
}
