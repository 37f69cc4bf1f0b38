package motion

import (
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
)

// tampers plays a scene and returns each state that the camera was in, with when it
// began.
func tampers(fps int, length time.Duration, shot func(at float64) *room) (states []Tamper, began []time.Duration) {
	d := New(DefaultSettings())
	for i := range int(length.Seconds()) * fps {
		at := time.Duration(i) * time.Second / time.Duration(fps)
		r := d.Feed(at, shot(at.Seconds()).noisy(1).grid())
		if len(states) == 0 || states[len(states)-1] != r.Tamper {
			states, began = append(states, r.Tamper), append(began, at)
		}
	}
	return states, began
}

// cover draws something even over the picture, from the left, as far as part.
func (r *room) cover(part, luma float64) *room {
	for i := range r.luma {
		if float64(i%r.width) < part*float64(r.width) {
			r.luma[i] = luma + 0.05*float64(i/r.width)
		}
	}
	return r
}

// TestTamper holds that a covered and a turned camera are told from what happens
// every day.
func TestTamper(t *testing.T) {
	none := []Tamper{TamperNone}
	covered := []Tamper{TamperNone, TamperCovered, TamperNone}
	cases := map[string]struct {
		draw func(r *room, at float64) *room
		want []Tamper
	}{
		"nothing": {func(r *room, at float64) *room { return r }, none},
		"covered by a cloth, and uncovered": {func(r *room, at float64) *room {
			if at >= 20 && at < 40 {
				return r.cover(1, 120)
			}
			return r
		}, covered},
		"covered by a black cloth": {func(r *room, at float64) *room {
			if at >= 20 && at < 40 {
				return r.cover(min((at-20)/0.8, 1), 3)
			}
			return r
		}, covered},
		"sprayed white": {func(r *room, at float64) *room {
			if at >= 20 && at < 40 {
				return r.lit(0.05, 180)
			}
			return r
		}, covered},
		"turned": {func(r *room, at float64) *room {
			if at >= 20 {
				for i := range r.luma {
					x, y := i%r.width, i/r.width
					r.luma[i] = float64((x/9*53+y/7*91)%200 + 20)
				}
			}
			return r
		}, []Tamper{TamperNone, TamperMoved, TamperNone}},
		"tilted by a fifth of the picture": {func(r *room, at float64) *room {
			if at >= 20 {
				tilted := r.again()
				for i := range tilted.luma {
					tilted.luma[i] = r.luma[(i+r.width*r.height/5)%len(r.luma)]
				}
				return tilted
			}
			return r
		}, []Tamper{TamperNone, TamperMoved, TamperNone}},
		"light off, to black": {func(r *room, at float64) *room {
			if at >= 20 && at < 40 {
				return r.lit(0.01, 0)
			}
			return r
		}, none},
		"light off, dim": {func(r *room, at float64) *room {
			if at >= 20 && at < 40 {
				return r.lit(0.15, 0)
			}
			return r
		}, none},
		"fades to black": {func(r *room, at float64) *room { return r.lit(max(1-at/30, 0.01), 0) }, none},
		"infra-red": {func(r *room, at float64) *room {
			if at >= 20 {
				return r.gamma(1.7).lit(0.7, -20)
			}
			return r
		}, none},
		"somebody close for two seconds": {func(r *room, at float64) *room {
			if at >= 20 && at < 22 {
				return r.figure(0, 0, roomWidth, roomHeight)
			}
			return r
		}, none},
		"somebody in half of the picture for long": {func(r *room, at float64) *room {
			if at >= 20 && at < 50 {
				return r.figure(20, 0, roomWidth/2, roomHeight)
			}
			return r
		}, none},
		"an even wall": {func(r *room, at float64) *room { return r.lit(0.02, 100) }, none},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			atRates(t, func(t *testing.T, fps int) {
				shot := noisyRoom(30)
				states, began := tampers(fps, time.Minute, func(at float64) *room { return c.draw(shot(), at) })
				if len(states) != len(c.want) {
					t.Fatalf("states %v at %v, want %v", states, began, c.want)
				}
				for i, s := range states {
					if s != c.want[i] {
						t.Fatalf("states %v at %v, want %v", states, began, c.want)
					}
				}
				if len(states) > 1 && (began[1] < 23500*time.Millisecond || began[1] > 26*time.Second) {
					t.Errorf("%v begins at %v, want some 4 s after 20 s", states[1], began[1])
				}
			})
		})
	}
}

// TestTamperNeedsARoom holds that grids too small to have a view are never tampered
// with.
func TestTamperNeedsARoom(t *testing.T) {
	d := New(DefaultSettings())
	for i := range 200 {
		luma := make([]byte, 16*9)
		for k := range luma {
			luma[k] = byte(k * i)
		}
		if r := d.Feed(time.Duration(i)*100*time.Millisecond, capture.Grid{Width: 16, Height: 9, Luma: luma}); r.Tamper != TamperNone {
			t.Fatalf("frame %d: %v", i, r.Tamper)
		}
	}
}
