package recovery

import (
	"math"
	"time"
)

// Margin is the share of what a hub can admit that its fleet is asked to come at. The
// rest is room for chance, and for what it does beside.
const Margin = 0.92

// AdmissionSettings is what a hub knows before it has measured anything.
type AdmissionSettings struct {
	// Rate is how many connects a second the hub can admit: as it was measured before,
	// or a guess. Above 0.
	Rate float64
	// Drain is how many messages a second the whole fleet may send of its backlogs; 0 is
	// not said.
	Drain float64
}

// Sample is what a hub saw in a while.
type Sample struct {
	// Admitted and Refused count connects in that while.
	Admitted, Refused int
	// Busy is the share of the hub's capacity that was in use, 0 to 1.
	Busy float64
	// Fleet is how many devices there are, Online how many have a session now.
	Fleet, Online int
}

// Admission measures what a hub can admit and says what hint follows. It is not safe for
// concurrent use.
type Admission struct {
	set           AdmissionSettings
	rate          float64 // the estimate
	seen, best    float64 // admitted a second, smoothed, and the most that was ever
	fleet, online int
}

// NewAdmission starts from what was known before.
func NewAdmission(set AdmissionSettings) *Admission {
	if !(set.Rate > 0) || math.IsInf(set.Rate, 1) {
		set.Rate = 1
	}
	return &Admission{set: set, rate: set.Rate}
}

const (
	// From this busy share on a hub does all that it can.
	saturated = 0.9
	// A hub that is less busy, or admits fewer in a sample, says nothing.
	idle, few = 0.02, 10
	// So many seconds are remembered.
	memory = 10.0
	// A hub that has collapsed admits hardly anyone. What it can admit is not less than
	// this share of what it has done before.
	collapsed = 0.25
)

// Observe takes what was seen in the time that elapsed, about a second.
//
// A hub that refused has admitted all that it could. Otherwise what it admitted, over the
// share of it that was in use, is what it could have, if it did nothing else; beside other
// work that is a lower bound. So a hub with capacity to spare only raises the estimate,
// and one without says what it is.
func (a *Admission) Observe(elapsed time.Duration, s Sample) {
	a.fleet, a.online = s.Fleet, s.Online
	t := elapsed.Seconds()
	if t <= 0 {
		return
	}
	rate, weight := float64(s.Admitted)/t, 1-math.Exp(-t/memory)
	a.seen += weight * (rate - a.seen)
	a.best = max(a.best, a.seen)
	could := rate / min(max(s.Busy, idle), 1)
	if s.Refused > 0 {
		could = rate
	}
	switch {
	case s.Busy >= saturated || s.Refused > 0:
		a.rate += weight * (could - a.rate)
	case s.Busy >= idle && s.Admitted >= few && could > a.rate:
		a.rate += weight * (min(could, 2*a.rate) - a.rate)
	}
	a.rate = max(a.rate, collapsed*a.best, 0.01)
}

// Rate is the estimate, admitted connects a second.
func (a *Admission) Rate() float64 { return a.rate }

// Hint is what the fleet should be told now.
func (a *Admission) Hint(serial uint64) Hint {
	out := max(0, a.fleet-a.online)
	h := Hint{Serial: serial, Window: a.width(a.fleet), Current: a.width(out)}
	if a.set.Drain > 0 {
		h.Drain = a.set.Drain / float64(max(1, a.fleet))
	}
	return h.Clamp()
}

// width is the window that so many devices need.
func (a *Admission) width(devices int) time.Duration {
	seconds := float64(devices) / (Margin * a.rate)
	return time.Duration(min(seconds, MaxWindow.Seconds()) * float64(time.Second))
}
