package recovery

import (
	"encoding/binary"
	"math"
	"testing"
	"time"
)

// Whatever happens, in whichever order and at whatever times, a wait is never negative and
// never longer than the widest window, and asking changes nothing.
func FuzzSchedule(f *testing.F) {
	f.Add(uint64(1), true, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add(uint64(2), false, []byte{0xff, 0xff, 4, 0xff, 5, 0, 7, 0x80, 0, 0, 0, 0, 0, 0, 0})
	f.Add(uint64(3), true, []byte{7, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 1})
	f.Fuzz(func(t *testing.T, seed uint64, fetch bool, steps []byte) {
		set := DefaultSettings()
		set.Fetch = fetch
		s := New(&set, seed)
		var now time.Duration
		eat := func() (v uint64) {
			var b [8]byte
			n := copy(b[:], steps)
			steps = steps[n:]
			return binary.BigEndian.Uint64(b[:])
		}
		for len(steps) > 0 {
			b := steps[0]
			steps = steps[1:]
			switch b % 8 {
			case 0: // time passes
				now = max(now, now+time.Duration(b)*time.Minute)
			case 1, 2:
				s.Failed(now, Outcome(b>>3))
			case 3:
				s.Admitted(now)
			case 4:
				s.Ended(now, b > 127)
			case 5:
				s.NoHint(now)
			case 6: // very much of it
				now = max(now, now+time.Duration(eat()))
			case 7:
				h := Hint{Serial: eat(), Window: time.Duration(eat()), Current: time.Duration(eat()), Drain: math.Float64frombits(eat())}
				s.Hinted(now, h, b > 127)
			}
			before := *s
			step := s.Next(now)
			if step.Wait < 0 || step.Wait > MaxWindow {
				t.Fatalf("a wait of %v at %v: %+v", step.Wait, now, *s)
			}
			if step.Do != Connect && (step.Do != FetchHint || !fetch) {
				t.Fatalf("action %d", step.Do)
			}
			if s.width < time.Millisecond || s.width > MaxWindow || !(s.phase >= 0 && s.phase < 1) {
				t.Fatalf("window %v, phase %v", s.width, s.phase)
			}
			if d := s.Drain(); d != 0 && !(d >= minDrain && d <= maxDrain) {
				t.Fatalf("a drain of %v", d)
			}
			if *s != before {
				t.Fatal("asking changed the plan")
			}
			if b%8 == 0 { // the plan is followed
				now = max(now, now+step.Wait)
			}
		}
	})
}

// A hint that was made of anything is within its ranges, and clamping again changes nothing.
func FuzzClamp(f *testing.F) {
	f.Add(int64(0), int64(math.MinInt64), math.NaN())
	f.Add(int64(math.MaxInt64), int64(time.Hour), 1.5)
	f.Fuzz(func(t *testing.T, window, current int64, drain float64) {
		h := Hint{Window: time.Duration(window), Current: time.Duration(current), Drain: drain}.Clamp()
		for _, w := range []time.Duration{h.Window, h.Current} {
			if w < MinWindow || w > MaxWindow {
				t.Fatalf("%+v", h)
			}
		}
		if h.Drain != 0 && !(h.Drain >= minDrain && h.Drain <= maxDrain) || h != h.Clamp() {
			t.Fatalf("%+v", h)
		}
	})
}
