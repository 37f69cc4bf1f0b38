package scene

import (
	"math"
	"math/rand/v2"
	"time"
)

// Visit is one walk through the room. Nothing of the walker is in the picture
// before Enter or after Leave, both counted from the scene's start.
type Visit struct {
	Enter, Leave time.Duration
}

// The shape of the schedule.
const (
	firstEnter = time.Second
	slowing    = 400 * time.Millisecond // to come to a stand, and to set off again
	stepTime   = 200 * time.Millisecond // a light switched on or off, as the camera sees it
	stepGain   = 0.16
)

// act is a visit with the pause after it, in which the light may change.
type act struct {
	Visit
	end time.Duration // of the pause: the next visit's Enter

	leftwards     bool
	ground        float64       // where the feet are, in units of the sheet
	stopAt        time.Duration // since Enter; 0 is a walk without a stop
	stand         time.Duration
	look          look
	step          time.Duration // when the light changes at a step; 0 is never
	before, after float64       // the gain of that light before and after it
}

// schedule writes the play, act by act. Equal seeds write equal plays.
type schedule struct {
	rng   *rand.Rand
	empty bool
	count int
	next  time.Duration
	gain  float64
}

func newSchedule(s Settings) *schedule {
	return &schedule{rng: rand.New(rand.NewPCG(uint64(s.Seed), 0x6c656e73)), empty: s.Empty, next: firstEnter}
}

// between draws a duration, in whole milliseconds.
func (s *schedule) between(from, to time.Duration) time.Duration {
	return from + time.Duration(s.rng.Int64N(int64((to-from)/time.Millisecond)+1))*time.Millisecond
}

// act returns the next act.
func (s *schedule) act() act {
	a := act{
		Visit:     Visit{Enter: s.next},
		leftwards: s.rng.IntN(2) == 1,
		ground:    680 + 150*s.rng.Float64(),
		look:      newLook(s.rng),
		before:    s.gain,
	}
	walk := s.between(6*time.Second, 9*time.Second)
	a.stopAt = s.between(walk/3, walk/2)
	a.stand = s.between(time.Second, 2500*time.Millisecond)
	if s.rng.IntN(2) == 0 {
		a.stopAt, a.stand = 0, 0
	}
	a.Leave = a.Enter + walk + a.stand
	pause := s.between(14*time.Second, 24*time.Second)
	a.end = a.Leave + pause
	if s.count++; s.count%3 == 0 {
		a.step = a.Leave + pause/2
		s.gain = stepGain - s.gain
	}
	a.after = s.gain
	s.next = a.end
	return a
}

// way returns which part of its way (0 to 1) the walker has gone at t, and how
// fast it goes there as a share of its walking speed.
func (a act) way(t time.Duration) (part, speed float64) {
	moved, whole := t-a.Enter, a.Leave-a.Enter
	speed = 1
	if a.stand > 0 {
		// The speed falls to nothing over slowing, rests, and rises again, so that
		// each of the two costs half of slowing.
		whole -= a.stand
		since := moved - a.stopAt
		rest := a.stand - slowing
		fall := func(u time.Duration) time.Duration {
			return time.Duration(float64(u) * float64(u) / float64(2*slowing))
		}
		switch {
		case since <= 0:
		case since < slowing:
			moved -= fall(since)
			speed = 1 - float64(since)/float64(slowing)
		case since < slowing+rest:
			moved = a.stopAt + slowing/2
			speed = 0
		case since < 2*slowing+rest:
			up := since - slowing - rest
			moved = a.stopAt + slowing/2 + fall(up)
			speed = float64(up) / float64(slowing)
		default:
			moved -= a.stand
		}
	}
	return clamp01(float64(moved) / float64(whole)), speed
}

// light returns the gain on the room's light at t: a slow drift, and the steps.
func (a act) light(t time.Duration) float64 {
	gain := a.before
	if a.step > 0 {
		gain += (a.after - a.before) * clamp01(float64(t-a.step)/float64(stepTime))
	}
	return 0.97 + gain + 0.05*math.Sin(2*math.Pi*t.Seconds()/97)
}

// acts returns the acts that begin before within.
func acts(s Settings, within time.Duration) []act {
	var all []act
	sched := newSchedule(s)
	for a := sched.act(); a.Enter < within; a = sched.act() {
		all = append(all, a)
	}
	return all
}

// Visits returns the visits that begin before within, in order. A scene that is
// Empty has none.
func (s *Scene) Visits(within time.Duration) []Visit {
	var visits []Visit
	if s.settings.Empty {
		return nil
	}
	for _, a := range acts(s.settings, s.settings.until(within)) {
		visits = append(visits, a.Visit)
	}
	return visits
}

// LightSteps returns when before within the light changes at a step: always
// between two visits. Each step takes 0.2 s.
func (s *Scene) LightSteps(within time.Duration) []time.Duration {
	var steps []time.Duration
	for _, a := range acts(s.settings, s.settings.until(within)) {
		if a.step > 0 && a.step < s.settings.until(within) {
			steps = append(steps, a.step)
		}
	}
	return steps
}
