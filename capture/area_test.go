package capture_test

import (
	"math"
	"testing"

	"github.com/lensward/lensward/capture"
)

func TestArea(t *testing.T) {
	triangle := capture.Area{{X: 0.5, Y: 0.1}, {X: 0.9, Y: 0.9}, {X: 0.1, Y: 0.9}}
	for _, p := range []struct {
		x, y   float64
		inside bool
	}{{0.5, 0.5, true}, {0.2, 0.2, false}, {0.85, 0.88, true}, {0.5, 0.95, false}} {
		if got := triangle.Contains(capture.Point{X: p.x, Y: p.y}); got != p.inside {
			t.Errorf("Contains(%v, %v) is %v", p.x, p.y, got)
		}
	}
	for _, r := range []struct {
		left, top, right, bottom float64
		touches                  bool
		why                      string
	}{
		{0.4, 0.4, 0.6, 0.6, true, "inside"},
		{0, 0, 1, 1, true, "around"},
		{0, 0.45, 1, 0.5, true, "across, with no corner of either in the other"},
		{0.49, 0, 0.51, 0.11, true, "the tip"},
		{0, 0, 0.2, 0.3, false, "beside"},
		{0.1, 0.91, 0.9, 1, false, "below"},
		{0.92, 0.8, 0.95, 0.9, false, "beside, its side on one line with one of the area's"},
	} {
		if got := triangle.Touches(r.left, r.top, r.right, r.bottom); got != r.touches {
			t.Errorf("Touches of a rectangle %s is %v", r.why, got)
		}
	}
}

func TestAreaValidate(t *testing.T) {
	if err := capture.Rectangle(0, 0, 0.5, 1).Validate(); err != nil {
		t.Error(err)
	}
	for name, a := range map[string]capture.Area{
		"two corners": {{X: 0, Y: 0}, {X: 1, Y: 1}},
		"outside":     capture.Rectangle(0, 0, 1.1, 1),
		"not numbers": {{X: math.NaN(), Y: 0}, {X: 1, Y: 1}, {X: 0, Y: 1}},
		"a line":      {{X: 0.1, Y: 0.5}, {X: 0.2, Y: 0.5}, {X: 0.7, Y: 0.5}},
		"many":        make(capture.Area, 33),
	} {
		if a.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
