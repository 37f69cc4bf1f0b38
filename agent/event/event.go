// Package event turns the detector's verdicts, one for each frame, into events:
// from when to when there is something worth keeping.
//
// It owns the rules of pre-roll, post-roll, merging, the longest duration and
// the protection against a flickering scene. One event is one presence: while the
// detector says that somebody is there, moving or standing still, it goes on. It is a pure state machine: it
// holds no frames, starts no goroutine and reads no clock; its only time is the
// time of the frames it is fed, so that a file played faster than it was
// recorded gives the same events. It never decides what is motion, and never
// ignores any: all motion that it is fed lies inside some event.
package event

import (
	"fmt"
	"time"
)

// Settings are the rules by which motion becomes events. Start from
// [DefaultSettings].
type Settings struct {
	// PreRoll is how much is kept from before the frame that declared the event.
	// It is cut short where it would reach into the event before. 0 to 1 minute.
	PreRoll time.Duration
	// PostRoll is how long after its last motion an event ends, unless the next one
	// begins before. Greater than 0, at most 1 minute.
	PostRoll time.Duration
	// MergeGap is the longest time without motion that one event bridges: somebody
	// is out of sight for a moment. Motion that starts again later, but still in the
	// post-roll, ends the event there and declares the next. 0 to PostRoll.
	MergeGap time.Duration
	// Longest is the longest an event may be, from the start of its pre-roll. Where
	// motion goes on, another event, marked as a continuation, follows it without a
	// gap. At least PreRoll + PostRoll, at most 1 hour.
	Longest time.Duration
	// PerHour is how many events an hour may be declared in the long run, 1 to
	// 3600, and Burst how many of them at once, 1 to 1000. A scene that asks for
	// more (a flickering lamp, a branch in the wind) gets longer events instead of
	// more: one does not end before the next is allowed. So no motion is lost, and
	// what reaches the owner stays bounded: events cut by Longest come on top, at
	// most one for each Longest.
	PerHour int
	Burst   int
}

// DefaultSettings suit a camera in a room or at a door: people who come one by
// one, some seconds apart, are an event each.
func DefaultSettings() Settings {
	return Settings{
		PreRoll:  5 * time.Second,
		PostRoll: 5 * time.Second,
		MergeGap: 1200 * time.Millisecond,
		Longest:  2 * time.Minute,
		PerHour:  60,
		Burst:    20,
	}
}

// FieldError says which field of [Settings] has a value that cannot be used.
type FieldError struct {
	// Field is the field's name in Settings.
	Field string
	// Problem is what is wrong with it.
	Problem string
}

// Error names the field and its problem.
func (e *FieldError) Error() string {
	return fmt.Sprintf("event settings: %s %s", e.Field, e.Problem)
}

// Validate returns a [*FieldError] for the first field with an unusable value.
func (s Settings) Validate() error {
	bad := func(field, format string, args ...any) error {
		return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.PreRoll < 0 || s.PreRoll > time.Minute:
		return bad("PreRoll", "is %v, want 0 to 1m", s.PreRoll)
	case s.PostRoll <= 0 || s.PostRoll > time.Minute:
		return bad("PostRoll", "is %v, want more than 0, at most 1m", s.PostRoll)
	case s.MergeGap < 0 || s.MergeGap > s.PostRoll:
		return bad("MergeGap", "is %v, want 0 to the post-roll, %v", s.MergeGap, s.PostRoll)
	case s.Longest < s.PreRoll+s.PostRoll || s.Longest > time.Hour:
		return bad("Longest", "is %v, want at least pre-roll and post-roll, %v, at most 1h", s.Longest, s.PreRoll+s.PostRoll)
	case s.PerHour < 1 || s.PerHour > 3600:
		return bad("PerHour", "is %d, want 1 to 3600", s.PerHour)
	case s.Burst < 1 || s.Burst > 1000:
		return bad("Burst", "is %d, want 1 to 1000", s.Burst)
	}
	return nil
}

// Ending says why an event ended. Values are explicit because they appear in
// logs.
type Ending uint8

// The reasons for which an event ends.
const (
	// EndingNone: the event is still open.
	EndingNone Ending = 0
	// EndingStill: nothing moved for the post-roll.
	EndingStill Ending = 1
	// EndingNext: motion came in the post-roll, after more stillness than one event
	// bridges, or something was done to the camera; the next event starts here.
	EndingNext Ending = 2
	// EndingLongest: the event reached its longest duration.
	EndingLongest Ending = 3
	// EndingStopped: the frames ended.
	EndingStopped Ending = 4
	// EndingClock: the frames' time went backwards.
	EndingClock Ending = 5
)

// String returns a word for logs.
func (e Ending) String() string {
	switch e {
	case EndingNone:
		return "open"
	case EndingStill:
		return "still"
	case EndingNext:
		return "next"
	case EndingLongest:
		return "longest"
	case EndingStopped:
		return "stopped"
	case EndingClock:
		return "clock"
	default:
		return "unknown ending"
	}
}

// Cause says what an event is about. Values are explicit because they appear in
// logs.
type Cause uint8

// The causes of an event.
const (
	// CauseMotion: somebody was there.
	CauseMotion Cause = 1
	// CauseCovered: the camera was covered.
	CauseCovered Cause = 2
	// CauseMoved: the camera was knocked or turned.
	CauseMoved Cause = 3
)

// String returns a word for logs.
func (c Cause) String() string {
	switch c {
	case CauseMotion:
		return "motion"
	case CauseCovered:
		return "covered"
	case CauseMoved:
		return "moved"
	default:
		return "unknown cause"
	}
}

// Event is a stretch of time worth keeping. Times are those of the frames.
type Event struct {
	// Cause is what the event is about.
	Cause Cause
	// Start is where the pre-roll begins.
	Start time.Time
	// Declared is the frame whose motion declared the event.
	Declared time.Time
	// LastMotion is the last frame with motion so far.
	LastMotion time.Time
	// End is where the post-roll ends; the zero time while the event is open.
	// Frames from Start on, and before End, belong to the event. (Where Ending is
	// EndingStopped or EndingClock the frame at End, the last one, does too.)
	End time.Time
	// Peak is the frame with the greatest score so far, the first of equals, and
	// PeakScore its score.
	Peak      time.Time
	PeakScore float64
	// Continuation says that the event goes on with the one before, which had
	// reached its longest duration.
	Continuation bool
	// Ending is why the event ended.
	Ending Ending
}

// Kind says what a [Transition] is. Values are explicit because they appear in
// logs.
type Kind uint8

// The kinds of transition.
const (
	// Declared: an event has begun; its thumbnail is due.
	Declared Kind = 1
	// Ended: an event is complete.
	Ended Kind = 2
)

// String returns a word for logs.
func (k Kind) String() string {
	switch k {
	case Declared:
		return "declared"
	case Ended:
		return "ended"
	default:
		return "unknown transition"
	}
}

// Transition is an event that begins or ends.
type Transition struct {
	Kind  Kind
	Event Event
}
