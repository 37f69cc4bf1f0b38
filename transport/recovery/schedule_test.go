package recovery

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// camera gives a schedule with a session that was good and has just been lost, at the time
// returned. A hint of no window is none.
func camera(set *Settings, seed uint64, h Hint, local bool) (*Schedule, time.Duration) {
	s := New(set, seed)
	s.Admitted(0)
	if h.Window != 0 {
		s.Hinted(0, h, true)
	}
	s.Ended(set.Good, local)
	return s, set.Good
}

// vain has a schedule connect, always with the same outcome, until a time. It gives when it
// connected.
func vain(s *Schedule, from, until, attempt time.Duration, o Outcome) (slots []time.Duration) {
	now := from
	for {
		step := s.Next(now)
		if now += step.Wait; now > until {
			return slots
		}
		if step.Do == FetchHint {
			s.NoHint(now)
			continue
		}
		slots = append(slots, now)
		now += attempt
		s.Failed(now, o)
	}
}

// With a hint, a camera whose server is dead connects once in each window, at the same
// phase, however its tries end and however long they take.
func TestPhaseIsKept(t *testing.T) {
	set := DefaultSettings()
	set.Fetch = true
	for _, o := range []Outcome{TimedOut, Dead, NoName} {
		h := Hint{Serial: 1, Window: 217 * time.Second}
		s, now := camera(&set, 1, h, false)
		slots := vain(s, now, now+24*time.Hour, 10*time.Second, o)
		if want := int(24 * time.Hour / h.Window); len(slots) < want-1 || len(slots) > want+1 {
			t.Errorf("%v: %d connects in a day, want %d", o, len(slots), want)
		}
		for k := 1; k < len(slots); k++ {
			if gap := slots[k] - slots[k-1]; gap != h.Window {
				t.Fatalf("%v: connects %v apart, want %v", o, gap, h.Window)
			}
		}
	}
}

// Without a hint slots lie at least a window apart, and a camera is back within what the
// law says, whatever the settings and however long a try takes.
func TestLawWithoutHint(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 7))
	for i := range uint64(1000) {
		set := DefaultSettings()
		set.First = time.Duration(1+r.IntN(60)) * time.Second
		attempt := time.Duration(r.IntN(40)) * time.Second
		s, lost := New(&set, i), time.Duration(0)
		floor := set.First
		if i%2 == 0 {
			s, lost = camera(&set, i, Hint{}, false)
			floor = 8 * set.First
		}
		last, width := time.Duration(-1), s.Window()
		for now := lost; now < lost+48*time.Hour; {
			now += s.Next(now).Wait
			age := now - lost
			most := max(floor, min(age/2, 6*time.Minute), age/10)
			if w := s.Window(); w < floor || w > most {
				t.Fatalf("run %d: a window of %v at age %v, want from %v to %v", i, w, age, floor, most)
			}
			if last >= 0 && now-last < width {
				t.Fatalf("run %d: connects %v apart with a window of %v", i, now-last, width)
			}
			if last >= 0 && now-last > attempt+width+s.Window() {
				t.Fatalf("run %d: connects %v apart with windows of %v and %v", i, now-last, width, s.Window())
			}
			last, width = now, s.Window()
			now += attempt
			s.Failed(now, TimedOut)
		}
	}
}

// A live server that says no widens the window by a quarter, one that does not answer to
// the fourfold; both draw anew, and neither without end.
func TestWidening(t *testing.T) {
	set := DefaultSettings()
	for _, c := range []struct {
		o  Outcome
		by float64
	}{{Refused, 1.25}, {Stalled, 4}} {
		s, now := camera(&set, 2, Hint{Serial: 1, Window: time.Minute}, false)
		for range 3 {
			before, phase := s.width, s.phase
			s.Failed(now, c.o)
			want := min(scale(before, c.by), 4*time.Minute)
			if s.width != want || s.phase == phase {
				t.Errorf("%v: window %v after %v, want %v; phase %v after %v", c.o, s.width, before, want, s.phase, phase)
			}
		}
	}
}

// However long something in a dead server's place answers, no window gets wider than the
// outage is old, or with a hint than half of that.
func TestWideningIsBounded(t *testing.T) {
	set := DefaultSettings()
	for seed := range uint64(200) {
		for _, o := range []Outcome{Refused, Stalled} {
			for _, hint := range []time.Duration{0, time.Second, 200 * time.Second} {
				s, lost := camera(&set, seed, Hint{Serial: 1, Window: hint}, false)
				for now := lost; now < lost+12*time.Hour; {
					now += s.Next(now).Wait
					s.Failed(now, o)
					most := max(8*set.First, now-lost)
					if hint != 0 {
						most = max(4*hint, (now-lost)/2)
					}
					if s.width > most {
						t.Fatalf("%v, hint %v, seed %d: a window of %v at age %v", o, hint, seed, s.width, now-lost)
					}
				}
			}
		}
	}
}

// A right hint that is heard again, in whatever moment of the recovery, changes no slot.
func TestRightHintKeepsTheSlot(t *testing.T) {
	set := DefaultSettings()
	set.Fetch = true
	const w = 200 * time.Second
	for seed := range uint64(500) {
		s, now := camera(&set, seed, Hint{Serial: 1, Window: w, Current: time.Second}, false)
		slot := s.slot()
		for at := time.Duration(0); now+at < slot; at += 10 * time.Second {
			s.Hinted(now+at, Hint{Serial: uint64(at) + 2, Window: w, Current: w - at}, true)
			if s.slot() != slot {
				t.Fatalf("seed %d: the slot went from %v to %v after %v", seed, slot-now, s.slot()-now, at)
			}
		}
	}
}

// A fresh hint for another fleet draws the slot anew, in the window that it gives.
func TestFreshHint(t *testing.T) {
	set := DefaultSettings()
	stored := Hint{Serial: 1, Window: 400 * time.Second}
	for name, c := range map[string]struct {
		local bool
		after time.Duration // since the loss
		h     Hint
		most  time.Duration
	}{
		"too wide":                          {false, 0, Hint{Serial: 2, Window: 100 * time.Second, Current: 90 * time.Second}, 90 * time.Second},
		"too narrow":                        {false, 0, Hint{Serial: 2, Window: time.Hour, Current: 50 * time.Minute}, 50 * time.Minute},
		"calm, but the hub may not know":    {false, 0, Hint{Serial: 2, Window: 400 * time.Second, Current: time.Second}, 50 * time.Second},
		"calm, and the hub must know":       {false, 2 * time.Minute, Hint{Serial: 2, Window: 400 * time.Second, Current: time.Second}, time.Second},
		"calm, and the link was our own":    {true, 0, Hint{Serial: 2, Window: 400 * time.Second, Current: time.Second}, time.Second},
		"absurdly narrow":                   {true, 0, Hint{Serial: 2, Window: -1, Current: math.MinInt64}, MinWindow},
		"absurdly wide":                     {false, 0, Hint{Serial: math.MaxUint64, Window: math.MaxInt64, Current: math.MaxInt64}, MaxWindow},
		"narrow now, wide when all are out": {false, 3 * time.Minute, Hint{Serial: 2, Window: 8 * time.Hour, Current: 5 * time.Second}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			longest := time.Duration(0)
			for seed := range uint64(300) {
				s, now := camera(&set, seed, stored, c.local)
				if s.Next(now).Wait <= c.after {
					continue
				}
				now += c.after
				s.Hinted(now, c.h, true)
				longest = max(longest, s.Next(now).Wait)
			}
			if longest > c.most || longest < c.most*4/5 {
				t.Errorf("the longest of many waits is %v, want nearly %v", longest, c.most)
			}
		})
	}
}

// A hint that is not fresh says how wide a window the fleet needs, and nothing of now.
func TestStaleHint(t *testing.T) {
	set := DefaultSettings()
	s, now := camera(&set, 3, Hint{Serial: 5, Window: 100 * time.Second}, false)
	slot := s.slot()
	for _, h := range []Hint{
		{Serial: 5, Window: time.Second, Current: time.Second}, // the same again
		{Serial: 4, Window: time.Hour, Current: time.Hour},     // an older one
		{Serial: 6, Window: 110 * time.Second, Current: time.Second},
	} {
		if s.Hinted(now, h, h.Serial < 6); s.slot() != slot {
			t.Errorf("%+v changed the slot", h)
		}
	}
	s.Hinted(now, Hint{Serial: 7, Window: time.Hour, Current: time.Second}, false)
	if s.width != time.Hour || s.slot() == slot {
		t.Errorf("the window is %v after a stale hint of an hour", s.width)
	}
}

// A camera that is a fleet of its own is back within seconds, in whatever way it was lost.
func TestFleetOfOne(t *testing.T) {
	set := DefaultSettings()
	one := Hint{Serial: 1, Window: 10 * time.Millisecond, Current: 0}
	for _, o := range []Outcome{TimedOut, Dead, Unreachable, NoName} {
		for _, local := range []bool{false, true} {
			s, now := camera(&set, 4, one, local)
			slots := vain(s, now, now+time.Hour, 0, o)
			for k := 1; k < len(slots); k++ {
				if gap := slots[k] - slots[k-1]; gap > 4*time.Second {
					t.Fatalf("%v, local %v: connects %v apart after %v", o, local, gap, slots[k]-now)
				}
			}
			if len(slots) < 1000 {
				t.Errorf("%v, local %v: %d connects in an hour", o, local, len(slots))
			}
		}
	}
}

// Trouble of this machine's own has a narrower window, and uses one slot in each.
func TestUnreachable(t *testing.T) {
	set := DefaultSettings()
	for hint, most := range map[time.Duration]time.Duration{
		0: 6 * time.Minute / 8, 5 * time.Second: 5 * time.Second, time.Minute: 10 * time.Second, time.Hour: time.Hour / 8,
	} {
		s, now := camera(&set, 5, Hint{Serial: 1, Window: hint}, true)
		if wait := s.Next(now).Wait; wait > most {
			t.Errorf("hint %v: the first connect after %v, want at most %v", hint, wait, most)
		}
		slots := vain(s, now, now+time.Hour, 0, Unreachable)
		if want := int(time.Hour / most); len(slots) < want-1 || len(slots) > 2*want+400 {
			t.Errorf("hint %v: %d connects in an hour, want about %d", hint, len(slots), want)
		}
	}

	// A wide window that was under way is left when the trouble turns out to be our own, and
	// the law is back when it is not.
	s, now := camera(&set, 6, Hint{Serial: 1, Window: 4 * time.Hour}, false)
	now += s.Next(now).Wait
	s.Failed(now, Unreachable)
	if wait := s.Next(now).Wait; wait > 30*time.Minute {
		t.Errorf("the next connect after %v", wait)
	}
	now += s.Next(now).Wait
	s.Failed(now, TimedOut)
	if s.width != 4*time.Hour {
		t.Errorf("a window of %v", s.width)
	}
}

// Who thought that the trouble was its own, and meets a hub that refuses, goes back to its
// fleet's window: an outage is under way.
func TestRefusedAfterLocalTrouble(t *testing.T) {
	set := DefaultSettings()
	for hint, least := range map[time.Duration]time.Duration{0: 8 * set.First, time.Hour: time.Hour} {
		s, now := camera(&set, 6, Hint{Serial: 1, Window: hint}, true)
		now += s.Next(now).Wait
		if s.Failed(now, Refused); s.width < least {
			t.Errorf("hint %v: a window of %v, want at least %v", hint, s.width, least)
		}
	}
}

func TestOnlyAGoodSessionResets(t *testing.T) {
	set := DefaultSettings()
	s, now := camera(&set, 7, Hint{}, false)
	slots := vain(s, now, now+10*time.Hour, 0, TimedOut)
	now = slots[len(slots)-1]
	wide := s.width

	s.Admitted(now)
	now += set.Good - 1
	if s.Ended(now, false) {
		t.Error("a session a nanosecond too short was good")
	}
	if s.width < wide {
		t.Errorf("a window of %v after a short session, %v before", s.width, wide)
	}
	if s.Ended(now, false) {
		t.Error("the end of no session was good")
	}

	now += s.Next(now).Wait
	s.Admitted(now)
	s.Failed(now, Stalled) // fits nothing, changes nothing
	now += set.Good
	if !s.Ended(now, false) {
		t.Error("a session of exactly Good was not good")
	}
	if s.width != 8*set.First {
		t.Errorf("a window of %v after a good session, want %v", s.width, 8*set.First)
	}
}

// Cameras that a server let in before it fell over again keep their place among the others.
func TestShortSessionKeepsThePhase(t *testing.T) {
	set := DefaultSettings()
	s, now := camera(&set, 8, Hint{Serial: 1, Window: 100 * time.Second}, false)
	for range patience {
		slot := now + s.Next(now).Wait
		s.Admitted(slot)
		s.Ended(slot+7*time.Second, false)
		if next := s.slot(); next != slot+100*time.Second {
			t.Fatalf("the next slot is %v after the last", next-slot)
		}
		now = slot + 7*time.Second
	}
}

// A server that lets in and drops at once, again and again, is tried ever more rarely.
func TestFlappingServer(t *testing.T) {
	set := DefaultSettings()
	for _, hint := range []time.Duration{0, time.Second, time.Minute} {
		s, now := camera(&set, 9, Hint{Serial: 1, Window: hint}, false)
		var connects int
		for end := now + 24*time.Hour; now < end; connects++ {
			now += s.Next(now).Wait
			s.Admitted(now)
			now += time.Second
			s.Ended(now, false)
		}
		if connects > 120 {
			t.Errorf("hint %v: %d connects in a day to a server that drops every session", hint, connects)
		}
	}
}

// Hints are asked for only where they can be had, soon after a loss or a failure, and then
// now and again.
func TestFetch(t *testing.T) {
	set := DefaultSettings()
	h := Hint{Serial: 1, Window: 800 * time.Second}
	s, now := camera(&set, 10, h, false)
	if step := s.Next(now); step.Do != Connect {
		t.Errorf("%+v although there is nowhere to fetch from", step)
	}
	set.Fetch = true
	for seed := range uint64(300) {
		s, now := camera(&set, seed, h, false)
		var fetches []time.Duration
		for {
			step := s.Next(now)
			now += step.Wait
			if step.Do == Connect {
				break
			}
			fetches = append(fetches, now)
			s.NoHint(now)
		}
		for k, at := range fetches {
			if k == 0 && at-set.Good > 50*time.Second {
				t.Fatalf("seed %d: the first fetch after %v", seed, at-set.Good)
			}
			if k > 0 && (at-fetches[k-1] < 50*time.Second || at-fetches[k-1] > 150*time.Second) {
				t.Fatalf("seed %d: fetches %v apart", seed, at-fetches[k-1])
			}
		}
		s.Failed(now, Refused)
		if step := s.Next(now); step.Do == FetchHint && step.Wait > s.width/16 {
			t.Fatalf("seed %d: %+v after a refusal", seed, step)
		}
	}
}

func TestDrain(t *testing.T) {
	set := DefaultSettings()
	s := New(&set, 1)
	for _, c := range []struct{ said, want float64 }{
		{0, 0}, {2, 2}, {-1, 0}, {math.NaN(), 0}, {math.Inf(1), 1000}, {1e-9, 0.001}, {math.Inf(-1), 0},
	} {
		s.Hinted(0, Hint{Serial: 1, Window: time.Minute, Drain: c.said}, false)
		if got := s.Drain(); got != c.want {
			t.Errorf("a drain of %v counts as %v, want %v", c.said, got, c.want)
		}
	}
}
