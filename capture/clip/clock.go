package clip

import (
	"time"

	"github.com/lensward/lensward/capture"
)

// defaultInterval is how long a frame is shown when nothing says how long.
const defaultInterval = 100 * time.Millisecond

// clock places frames on a time line that begins at 0 with the first one, and
// that goes forward whatever the frames' own times do. H.264 pictures may come in
// another order than that in which they are shown: such a frame is placed before
// the ones that it precedes.
type clock struct {
	// maxGap is the longest pause that is kept; 0 keeps each.
	maxGap time.Duration

	started bool
	last    time.Time     // the frame that is furthest on: its own time,
	at      time.Duration // and its place
	keyAt   time.Duration // the place of the last key frame
	usual   time.Duration // a recent interval between frames
}

// place returns the frame's place. It reports a step where the frame's own time
// went backwards, or further forwards than maxGap; the frame then follows the
// others after the usual interval.
func (c *clock) place(f capture.Frame) (at time.Duration, stepped bool) {
	if !c.started {
		c.started, c.last, c.usual = true, f.Time, defaultInterval
		return 0, false
	}
	gap := f.Time.Sub(c.last)
	switch {
	case gap == 0:
		gap = shortest
	case gap < 0 && c.reordered(f, gap):
		return c.at + gap, false
	case gap < 0, c.maxGap > 0 && gap > c.maxGap:
		gap, stepped = c.usual, true
	case gap <= time.Second:
		c.usual = gap
	}
	c.last, c.at = f.Time, c.at+gap
	if f.Key {
		c.keyAt = c.at
	}
	return c.at, stepped
}

// reordered tells a picture that is shown before one that came earlier from a
// clock that was set back: no picture is shown before the key frame it depends on.
func (c *clock) reordered(f capture.Frame, gap time.Duration) bool {
	return f.Format == capture.FormatH264 && !f.Key && c.at+gap > c.keyAt
}
