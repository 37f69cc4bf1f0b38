// Package recovery decides when a camera connects. It owns every such decision:
// the slot before each connect, the first after power-up included, and how the
// window in which the slot is drawn grows and is reset.
//
// It never connects, sleeps or reads a clock: times come in, waits go out.
//
// # The law
//
// A fleet's rate of connects is N / mean interval, for N cameras that want in.
// Jitter takes away synchrony, not volume, so any fixed longest interval fails
// once N over the server's capacity outgrows it. Without knowing N a camera can
// still let the interval grow with what it does know, the outage's age A.
//
// An outage is cut into windows that follow one another without overlap. Each
// holds one slot, at a phase u that is drawn uniformly once and kept while the
// server is dead, so that cameras which lost the same server at the same moment
// stay spread evenly. A window that begins at age S is
//
//	W(S) = min(Cap, max(First, Growth · S) · 2^refusals)
//
// wide. From that follow, with g = Growth and below the cap,
//
//   - slots of one outage lie at least one window apart, so a fleet makes at most
//     N / W connects a second;
//   - the window that holds age A began no earlier than A/(1+g), so that rate is at
//     most N·(1+g) / (g·A): 3·N/A for the default growth of a half. 100,000 cameras
//     after ten minutes come at 500 a second;
//   - a server that returns at age A sees each camera within (g+g²)·A, 0.75·A, and the
//     time that the camera's last vain try took.
//
// A live server that refuses, or that drops a session before it was good, says
// that it cannot take the rate: each such answer doubles the window and draws the
// phase anew. A network that cannot be reached from this machine concerns this
// machine alone: its window is not wider than Local, and no slot is used up.
//
// Only a session that lasted for Good ends the outage: a server that comes up,
// lets cameras in and falls over again does not get the rush of a first try.
package recovery

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Outcome says how a connect or a session failed. The values appear in logs.
type Outcome uint8

// The ways to fail.
const (
	// Refused: a live server said no, or hung up during the handshake.
	Refused Outcome = 1
	// TimedOut: nobody answered; the server is dead, or not listening.
	TimedOut Outcome = 2
	// Unreachable: this machine has no way out (no route, no address, no link).
	Unreachable Outcome = 3
)

// String is the outcome's name.
func (o Outcome) String() string {
	switch o {
	case Refused:
		return "refused"
	case TimedOut:
		return "timed out"
	case Unreachable:
		return "unreachable"
	default:
		return fmt.Sprintf("outcome %d", uint8(o))
	}
}

// Settings are the law's constants. Take DefaultSettings and change what must differ.
type Settings struct {
	// First is the narrowest window: of the first connect after power-up and of the
	// first after a good session. With N cameras and a server that admits C connects
	// a second, N / (0.9·C) is right. At least 1 ms.
	First time.Duration
	// Cap is the widest window, at least First.
	Cap time.Duration
	// Growth is the share of the outage's age that a window takes, above 0, at most 4.
	Growth float64
	// Local is the widest window while the network is unreachable from this machine.
	Local time.Duration
	// Good is how long a session must last to end the outage. Minutes.
	Good time.Duration
}

// DefaultSettings suit a camera that knows nothing of its fleet.
func DefaultSettings() Settings {
	return Settings{
		First:  30 * time.Second,
		Cap:    30 * time.Minute,
		Growth: 0.5,
		Local:  2 * time.Minute,
		Good:   5 * time.Minute,
	}
}

// Validate says which setting is out of its range.
func (s Settings) Validate() error {
	switch {
	case s.First < time.Millisecond:
		return fmt.Errorf("recovery settings: first window %v is under 1ms", s.First)
	case s.Cap < s.First:
		return fmt.Errorf("recovery settings: cap %v is under the first window %v", s.Cap, s.First)
	case !(s.Growth > 0 && s.Growth <= 4): // not-a-number fails too
		return fmt.Errorf("recovery settings: growth %v is not above 0 and at most 4", s.Growth)
	case s.Local < time.Millisecond:
		return fmt.Errorf("recovery settings: local window %v is under 1ms", s.Local)
	case s.Good < 0:
		return fmt.Errorf("recovery settings: good session %v is negative", s.Good)
	}
	return nil
}

// Schedule is one camera's plan. It is not safe for concurrent use.
//
// All times are durations since an origin of the caller's choosing, by a clock that
// never goes back (Go's monotonic clock does).
type Schedule struct {
	set  Settings
	rand *rand.Rand

	outage   time.Duration // when the outage began; moved on by time spent connected
	end      time.Duration // end of the window that holds the last slot
	phase    float64       // where in its window the slot lies, 0 ≤ phase < 1
	refusals int           // answers that asked for fewer connects, in this outage
	local    bool          // the last failure was this machine's own

	up        time.Duration // when the session was admitted
	connected bool
}

// New plans from power-up, at time 0. The settings must be valid (Validate); rand must
// be seeded differently on each camera.
func New(set Settings, rand *rand.Rand) *Schedule {
	s := &Schedule{set: set, rand: rand}
	s.redraw()
	return s
}

// Slot is how long to wait, from now, before the next connect. Each call uses up a
// window: call it once before each connect.
func (s *Schedule) Slot(now time.Duration) time.Duration {
	start := max(now, s.end)
	if s.local {
		start = now // nothing reached the server, so no slot was used up
	}
	window := s.window(start - s.outage)
	s.end = start + window
	return start - now + time.Duration(s.phase*float64(window))
}

// window is the width of the window that begins at this age of the outage.
func (s *Schedule) window(age time.Duration) time.Duration {
	w := max(float64(s.set.First), s.set.Growth*float64(age))
	if s.local {
		return time.Duration(min(w, float64(max(s.set.First, s.set.Local))))
	}
	for range s.refusals {
		if w >= float64(s.set.Cap) {
			break
		}
		w *= 2
	}
	return time.Duration(min(w, float64(s.set.Cap)))
}

// Failed notes that a connect came to nothing.
func (s *Schedule) Failed(o Outcome) {
	s.local = o == Unreachable
	if o == Refused {
		s.widen()
	}
}

// Admitted notes that a session began: the server let this camera in.
func (s *Schedule) Admitted(now time.Duration) {
	s.up, s.connected, s.local = now, true, false
}

// Ended notes that the admitted session is over, for whatever reason, and says whether
// it was good. A good one ends the outage; another counts as a refusal.
func (s *Schedule) Ended(now time.Duration) (good bool) {
	if !s.connected {
		return false
	}
	s.connected = false
	lasted := now - s.up
	if lasted < s.set.Good {
		s.outage += lasted // time spent connected is not part of the outage
		s.widen()
		return false
	}
	s.outage, s.end, s.refusals = now, now, 0
	s.redraw()
	return true
}

// widen answers a server that cannot take the rate.
func (s *Schedule) widen() {
	s.refusals = min(s.refusals+1, 62)
	s.redraw()
}

func (s *Schedule) redraw() { s.phase = s.rand.Float64() }
