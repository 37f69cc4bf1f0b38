package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// The first slot after power-up is uniform in the first window.
func TestFirstSlotIsUniform(t *testing.T) {
	set := DefaultSettings()
	const cameras, bins = 10_000, 10
	var hits [bins]int
	for i := range uint64(cameras) {
		wait := New(set, seeded(i)).Slot(0)
		if wait < 0 || wait >= set.First {
			t.Fatalf("camera %d waits %v, outside the window of %v", i, wait, set.First)
		}
		hits[int(wait*bins/set.First)]++
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
}

// outage runs one camera against a dead server and gives the times of its connects.
func outage(s *Schedule, from, until, attempt time.Duration, o Outcome) (slots []time.Duration) {
	now := from
	for {
		now += s.Slot(now)
		if now > until {
			return slots
		}
		slots = append(slots, now)
		now += attempt
		s.Failed(o)
	}
}

// While the server is dead, slots lie a window apart and a camera is back within
// (g+g²)·A of the server's return, whatever the settings and however long a try takes.
func TestLawHoldsInAnOutage(t *testing.T) {
	r := seeded(1)
	for i := range uint64(2000) {
		set := Settings{
			First:  time.Duration(1+r.IntN(60)) * time.Second,
			Growth: 0.1 + r.Float64(),
			Local:  time.Minute,
			Good:   5 * time.Minute,
		}
		set.Cap = set.First + time.Duration(r.IntN(7200))*time.Second
		if err := set.Validate(); err != nil {
			t.Fatal(err)
		}
		attempt := time.Duration(r.IntN(40)) * time.Second
		slots := outage(New(set, seeded(i)), 0, 24*time.Hour, attempt, TimedOut)
		if len(slots) < 3 {
			t.Fatalf("run %d: %d connects in a day with cap %v", i, len(slots), set.Cap)
		}
		for k := 1; k < len(slots); k++ {
			gap, age := slots[k]-slots[k-1], float64(slots[k-1])
			// The window that held the earlier slot began at least at age/(1+g), less the
			// time a try took.
			began := (age - float64(attempt)) / (1 + set.Growth)
			atLeast := min(float64(set.Cap), max(float64(set.First), set.Growth*began-float64(set.First)))
			if float64(gap) < atLeast-1 {
				t.Fatalf("run %d (%+v): connects %v apart at age %v, want at least %v",
					i, set, gap, slots[k-1], time.Duration(atLeast))
			}
			// The later window begins when the earlier one ends, or the try.
			width := max(float64(set.First), set.Growth*age)
			width = max(width, set.Growth*(age+width+float64(attempt)))
			atMost := float64(attempt) + min(width, float64(set.Cap))
			if float64(gap) > atMost+1 {
				t.Fatalf("run %d (%+v): connects %v apart at age %v, want at most %v",
					i, set, gap, slots[k-1], time.Duration(atMost))
			}
		}
	}
}

// A fleet that lost its server at one moment comes back no faster than the law says.
func TestFleetRate(t *testing.T) {
	const cameras = 20_000
	set := DefaultSettings()
	set.Cap = 24 * time.Hour
	perSecond := make([]int, 7200)
	for i := range uint64(cameras) {
		for _, at := range outage(New(set, seeded(i)), 0, 2*time.Hour-1, 0, TimedOut) {
			perSecond[at/time.Second]++
		}
	}
	for sec := 60; sec < len(perSecond); sec += 60 {
		var n int
		for _, k := range perSecond[sec-30 : sec+30] {
			n += k
		}
		rate := float64(n) / 60
		law := min(cameras*(1+set.Growth)/(set.Growth*float64(sec-30)), cameras/set.First.Seconds())
		if rate > 1.15*law { // 15 % for chance; the seeds are fixed
			t.Errorf("at %d s the fleet makes %.1f connects a second, the law allows %.1f", sec, rate, law)
		}
	}
}

func TestRefusalsWiden(t *testing.T) {
	set := DefaultSettings()
	s := New(set, seeded(3))
	var widths []time.Duration
	for range 12 {
		widths = append(widths, s.window(0))
		s.Failed(Refused)
	}
	for i := 1; i < len(widths); i++ {
		if want := min(2*widths[i-1], set.Cap); widths[i] != want {
			t.Errorf("window after %d refusals is %v, want %v", i, widths[i], want)
		}
	}
	for range 1000 { // no overflow, however long it goes on
		s.Failed(Refused)
	}
	if got := s.window(1 << 62); got != set.Cap {
		t.Errorf("window after 1,000 refusals is %v, want the cap %v", got, set.Cap)
	}
}

// Each refusal draws the phase anew; a dead server does not.
func TestPhase(t *testing.T) {
	s := New(DefaultSettings(), seeded(4))
	before := s.phase
	s.Failed(TimedOut)
	s.Failed(Unreachable)
	if s.phase != before {
		t.Error("the phase changed while the server was dead")
	}
	s.Failed(Refused)
	if s.phase == before {
		t.Error("the phase stayed after a refusal")
	}
}

// A machine without a network tries often, and falls back to the age's law when the
// trouble turns out to be the server's.
func TestUnreachable(t *testing.T) {
	set := DefaultSettings()
	s := New(set, seeded(5))
	slots := outage(s, 0, time.Hour, 0, Unreachable)
	for k := 1; k < len(slots); k++ {
		if gap := slots[k] - slots[k-1]; gap > set.Local {
			t.Errorf("connects %v apart while unreachable, want at most %v", gap, set.Local)
		}
	}
	s.Failed(TimedOut)
	if got, want := s.window(time.Hour), 30*time.Minute; got != want {
		t.Errorf("window after an hour's outage is %v, want %v", got, want)
	}
}

func TestOnlyAGoodSessionResets(t *testing.T) {
	set := DefaultSettings()
	s := New(set, seeded(6))
	slots := outage(s, 0, time.Hour, 0, TimedOut)
	now := slots[len(slots)-1]

	s.Admitted(now)
	now += set.Good - 1
	if s.Ended(now) {
		t.Error("a session a nanosecond too short was good")
	}
	if w := s.window(now - s.outage); w < 25*time.Minute {
		t.Errorf("window after a short session is %v, want it as wide as before or wider", w)
	}
	if s.Ended(now) {
		t.Error("the end of no session was good")
	}

	now += s.Slot(now)
	s.Admitted(now)
	now += set.Good
	if !s.Ended(now) {
		t.Error("a session of exactly Good was not good")
	}
	if w := s.window(now - s.outage); w != set.First {
		t.Errorf("window after a good session is %v, want %v", w, set.First)
	}
	if wait := s.Slot(now); wait < 0 || wait >= set.First {
		t.Errorf("slot after a good session is %v away, want it within %v", wait, set.First)
	}
}

// A server that admits and drops is tried ever more rarely.
func TestFlappingServer(t *testing.T) {
	set := DefaultSettings()
	s := New(set, seeded(8))
	var now time.Duration
	var connects int
	for now < 24*time.Hour {
		now += s.Slot(now)
		s.Admitted(now)
		now += 10 * time.Second
		s.Ended(now)
		connects++
	}
	if most := int(24*time.Hour/set.Cap) + 12; connects > most {
		t.Errorf("%d connects in a day to a server that drops every session, want at most %d", connects, most)
	}
}

func TestSettingsValidate(t *testing.T) {
	if err := DefaultSettings().Validate(); err != nil {
		t.Errorf("default settings: %v", err)
	}
	nan := 0.0
	nan /= nan
	for _, change := range []func(*Settings){
		func(s *Settings) { s.First = 0 },
		func(s *Settings) { s.Cap = s.First - 1 },
		func(s *Settings) { s.Growth = 0 },
		func(s *Settings) { s.Growth = 5 },
		func(s *Settings) { s.Growth = nan },
		func(s *Settings) { s.Local = 0 },
		func(s *Settings) { s.Good = -1 },
	} {
		set := DefaultSettings()
		change(&set)
		if set.Validate() == nil {
			t.Errorf("%+v was accepted", set)
		}
	}
}

type refusal bool

func (r refusal) Error() string { return "refusal" }
func (r refusal) Refused() bool { return bool(r) }

func TestClassify(t *testing.T) {
	dial := func(e error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", e)}
	}
	for _, c := range []struct {
		err  error
		want Outcome
	}{
		{refusal(true), Refused},
		{fmt.Errorf("connect: %w", refusal(true)), Refused},
		{refusal(false), TimedOut},
		{fmt.Errorf("read: %w", io.EOF), Refused},
		{dial(syscall.ECONNRESET), Refused},
		{dial(syscall.ECONNREFUSED), TimedOut},
		{dial(syscall.ETIMEDOUT), TimedOut},
		{context.DeadlineExceeded, TimedOut},
		{os.ErrDeadlineExceeded, TimedOut},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, TimedOut},
		{dial(syscall.ENETUNREACH), Unreachable},
		{dial(syscall.EHOSTUNREACH), Unreachable},
		{dial(syscall.ENETDOWN), Unreachable},
		{errors.New("who knows"), TimedOut},
	} {
		if got := Classify(c.err); got != c.want {
			t.Errorf("Classify(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}

// Whatever happens and in whichever order, a wait is never negative and never longer
// than what is left of one window and a whole one more.
func FuzzSchedule(f *testing.F) {
	f.Add(uint64(1), []byte{0, 1, 2, 3, 4, 5})
	f.Add(uint64(2), []byte{0, 0, 0, 0xff, 4, 0xff, 5, 0})
	f.Fuzz(func(t *testing.T, seed uint64, steps []byte) {
		set := DefaultSettings()
		s := New(set, seeded(seed))
		var now time.Duration
		for _, b := range steps {
			now += time.Duration(b>>3) * 20 * time.Second
			switch b & 7 {
			case 0, 6, 7:
				wait := s.Slot(now)
				if wait < 0 || wait > 2*set.Cap {
					t.Fatalf("wait of %v", wait)
				}
				now += wait
			case 1, 2, 3:
				s.Failed(Outcome(b & 7))
			case 4:
				s.Admitted(now)
			case 5:
				s.Ended(now)
			}
		}
	})
}
