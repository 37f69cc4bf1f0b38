package motion

import (
	"errors"
	"fmt"
	"time"
)

// Settings say what counts as motion. The zero value of a field means its
// default; DefaultSettings has them written out.
type Settings struct {
	// Sensitivity is how faint a change may be, from above 0 (only a black figure
	// before a white wall) to 1 (a grey coat before a grey wall, and now and then a
	// shadow). Default 0.5.
	Sensitivity float64

	// Smallest is the smallest thing that counts, as a share of the picture's area.
	// Default 0.001: at 1280×720, a figure some 20 pixels wide and 45 high. It is
	// never less than four 8×8 blocks.
	Smallest float64

	// Confirm is how long something must be seen moving before it is motion. Longer
	// means fewer false alarms from insects and rain, and a later start. Default
	// 0.4 s; at least 0.35 s.
	Confirm time.Duration

	// Absorb is how long a changed thing must lie still before it belongs to the
	// background: a parked car, a moved chair, someone asleep. Default 10 s; at most
	// one minute.
	Absorb time.Duration

	// Learn is how long the picture is only learnt, after the start and after a
	// change of the whole scene. Nothing is reported meanwhile. Default 1 s; at most
	// one minute.
	Learn time.Duration

	// Ignore are parts of the picture where nothing counts: a road, a tree, a
	// television. Default none.
	Ignore []Area
}

// Area is a rectangle in shares of the picture's width and height, 0 at the left
// and the top, 1 at the right and the bottom.
type Area struct {
	Left, Top, Right, Bottom float64
}

// The bounds of Settings.
const (
	shortestConfirm = 350 * time.Millisecond
	longestTime     = time.Minute
	maxIgnore       = 64
)

// DefaultSettings returns settings for a room, a yard or a door.
func DefaultSettings() Settings {
	return Settings{
		Sensitivity: 0.5,
		Smallest:    0.001,
		Confirm:     400 * time.Millisecond,
		Absorb:      10 * time.Second,
		Learn:       time.Second,
	}
}

// Validate says what is wrong with the settings, all of it at once.
func (s Settings) Validate() error {
	s = s.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !(s.Sensitivity > 0 && s.Sensitivity <= 1) {
		bad("sensitivity %v is not above 0 and at most 1", s.Sensitivity)
	}
	if !(s.Smallest > 0 && s.Smallest < 1) {
		bad("smallest %v is not a share of the picture between 0 and 1", s.Smallest)
	}
	if s.Confirm < shortestConfirm || s.Confirm > longestTime {
		bad("confirm %v is not between %v and %v", s.Confirm, shortestConfirm, longestTime)
	}
	if s.Absorb < s.Confirm || s.Absorb > longestTime {
		bad("absorb %v is not between confirm (%v) and %v", s.Absorb, s.Confirm, longestTime)
	}
	if s.Learn < 0 || s.Learn > longestTime {
		bad("learn %v is not at most %v", s.Learn, longestTime)
	}
	if len(s.Ignore) > maxIgnore {
		bad("%d areas to ignore, the limit is %d", len(s.Ignore), maxIgnore)
	}
	for _, a := range s.Ignore {
		if !(a.Left >= 0 && a.Left < a.Right && a.Right <= 1 && a.Top >= 0 && a.Top < a.Bottom && a.Bottom <= 1) {
			bad("area to ignore %v is not a rectangle within 0 and 1", a)
		}
	}
	return errors.Join(errs...)
}

// withDefaults returns s with its zero fields filled in.
func (s Settings) withDefaults() Settings {
	d := DefaultSettings()
	if s.Sensitivity == 0 {
		s.Sensitivity = d.Sensitivity
	}
	if s.Smallest == 0 {
		s.Smallest = d.Smallest
	}
	if s.Confirm == 0 {
		s.Confirm = d.Confirm
	}
	if s.Absorb == 0 {
		s.Absorb = d.Absorb
	}
	if s.Learn == 0 {
		s.Learn = d.Learn
	}
	return s
}
