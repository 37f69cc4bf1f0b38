package event

import (
	"fmt"
	"time"
)

// Machine is the state machine: idle, or one open event. It is not safe for
// concurrent use. Its memory does not grow.
type Machine struct {
	settings Settings

	started bool      // a frame has been fed
	last    time.Time // its time: the latest
	floor   time.Time // no event may start before: the end of the last one

	open    bool
	current Event // the open event, or the one before while idle

	// paidUntil is the rate limit's only state (a leaky bucket, as in the generic
	// cell rate algorithm): each event moves it on by an hour's share, and an event
	// is allowed while it is no more than Burst-1 shares ahead of the frames.
	paidUntil time.Time
}

// New returns an idle machine, or the error of [Settings.Validate].
func New(s Settings) (*Machine, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("make event machine: %w", err)
	}
	return &Machine{settings: s}, nil
}

// Current returns the open event, if there is one. After a Feed whose frame has
// the greatest score so far, its Peak is that frame's time.
func (m *Machine) Current() (Event, bool) {
	if !m.open {
		return Event{}, false
	}
	return m.current, true
}

// Feed tells the machine what the detector said of the frame taken at that time,
// and returns what follows from it, in order: nothing, an event that ended, one
// that is declared, or both. A frame belongs to the event that is open after its
// Feed; an event may end before the frame that shows it.
//
// The score orders the moments of an event; it must not be NaN, and is only
// looked at while moving. Time that goes backwards ends the event.
func (m *Machine) Feed(at time.Time, moving bool, score float64) []Transition {
	var out []Transition
	switch {
	case !m.started:
		m.started, m.floor = true, at
	case at.Before(m.last):
		out = m.stepBack(out, at)
	}
	m.last = at
	if m.open {
		if end, why := m.due(); !at.Before(end) {
			out = append(out, m.end(end, why))
		}
	}
	if !moving {
		return out
	}
	if m.open && at.Sub(m.current.LastMotion) > m.settings.MergeGap && m.allowed(at) {
		out = append(out, m.end(at, EndingNext))
	}
	if !m.open {
		return append(out, m.declare(at, score, CauseMotion))
	}
	m.current.LastMotion = at
	if score > m.current.PeakScore {
		m.current.Peak, m.current.PeakScore = at, score
	}
	return out
}

// Tamper says that something was done to the camera, which makes an event of its
// own whatever else goes on: an open event ends here, and motion in the next one's
// merge gap belongs to that. It follows the Feed of the frame that showed it. While
// the rate limit allows no event nothing follows from it.
func (m *Machine) Tamper(at time.Time, cause Cause, score float64) []Transition {
	if !m.started || at.Before(m.last) || !m.allowed(at) {
		return nil
	}
	var out []Transition
	if m.open {
		out = append(out, m.end(at, EndingNext))
	}
	return append(out, m.declare(at, score, cause))
}

// Stop says that no more frames come (for now): an open event ends with the last
// one. The machine may be fed again.
func (m *Machine) Stop() []Transition {
	if !m.open {
		return nil
	}
	return []Transition{m.end(m.last, EndingStopped)}
}

// due returns when the open event ends if nothing moves any more, and why.
func (m *Machine) due() (time.Time, Ending) {
	end, why := m.current.LastMotion.Add(m.settings.PostRoll), EndingStill
	if next := m.allowedFrom(); next.After(end) {
		end = next
	}
	if limit := m.current.Start.Add(m.settings.Longest); limit.Before(end) {
		end, why = limit, EndingLongest
	}
	return end, why
}

// declare opens the event that the frame at that time begins.
func (m *Machine) declare(at time.Time, score float64, cause Cause) Transition {
	before := m.current
	start := at.Add(-m.settings.PreRoll)
	if start.Before(m.floor) {
		start = m.floor
	}
	m.open = true
	m.current = Event{
		Cause: cause, Start: start, Declared: at, LastMotion: at, Peak: at, PeakScore: score,
		Continuation: cause == CauseMotion && before.Ending == EndingLongest && at.Sub(before.LastMotion) <= m.settings.MergeGap,
	}
	if !m.current.Continuation {
		m.pay(at)
	}
	return Transition{Kind: Declared, Event: m.current}
}

// end closes the open event.
func (m *Machine) end(at time.Time, why Ending) Transition {
	m.open = false
	m.current.End, m.current.Ending = at, why
	m.floor = at
	return Transition{Kind: Ended, Event: m.current}
}

// stepBack ends what was before the clock was set back to at, and starts anew.
func (m *Machine) stepBack(out []Transition, at time.Time) []Transition {
	if m.open {
		out = append(out, m.end(m.last, EndingClock))
	}
	m.current = Event{}
	m.floor = at
	if ahead := m.burst(); m.paidUntil.Sub(at) > ahead {
		m.paidUntil = at.Add(ahead)
	}
	return out
}

// share is an hour's share for each event; burst is how far ahead of the frames
// events may be paid for.
func (m *Machine) share() time.Duration { return time.Hour / time.Duration(m.settings.PerHour) }
func (m *Machine) burst() time.Duration { return m.share() * time.Duration(m.settings.Burst) }

// pay moves the rate limit on by one event. An event that could not be held off
// (the one before was cut by Longest) is paid for no further than the burst.
func (m *Machine) pay(at time.Time) {
	if m.paidUntil.Before(at) {
		m.paidUntil = at
	}
	m.paidUntil = m.paidUntil.Add(m.share())
	if limit := at.Add(m.burst()); m.paidUntil.After(limit) {
		m.paidUntil = limit
	}
}

// allowedFrom is when the rate limit lets the next event begin.
func (m *Machine) allowedFrom() time.Time { return m.paidUntil.Add(m.share() - m.burst()) }

func (m *Machine) allowed(at time.Time) bool { return !at.Before(m.allowedFrom()) }
