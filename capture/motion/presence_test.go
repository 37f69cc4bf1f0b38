package motion

import (
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
)

// visit is somebody who comes in from the left, stands in the middle, and leaves to
// the right.
type visit struct {
	enter, stand, leave float64 // seconds; they stand from stand on, and go at leave
	sways               bool    // they move a little while they stand
}

// A visitor's size, place and speed, in blocks, and a second.
const (
	visitorWidth, visitorHeight = 9, 26
	visitorTop                  = 12
	visitorPlace                = 30
	visitorSpeed                = 18
)

// gone is when nothing of them is in the picture any more.
func (v visit) gone() float64 { return v.leave + (roomWidth-visitorPlace)/float64(visitorSpeed) }

// draw draws them.
func (v visit) draw(r *room, at float64) *room {
	x := visitorPlace
	switch {
	case at < v.enter || at >= v.gone():
		return r
	case at < v.stand:
		x = min(visitorPlace, int((at-v.enter)*visitorSpeed)-visitorWidth)
	case at >= v.leave:
		x += int((at - v.leave) * visitorSpeed)
	case v.sways && int(at)%3 == 2:
		x++
	}
	return r.figure(x, visitorTop, visitorWidth, visitorHeight)
}

// wantVisits holds that motion is one span for each visit, from within 1.2 s of
// their coming to at most patience after they are gone.
func wantVisits(t *testing.T, p played, patience time.Duration, visits ...visit) {
	t.Helper()
	if len(p.moving) != len(visits) {
		t.Fatalf("%d visits give motion %v", len(visits), p.moving)
	}
	for i, v := range visits {
		enter, gone := duration(v.enter), duration(v.gone())
		m := p.moving[i]
		if m.start < enter || m.start > enter+1200*time.Millisecond {
			t.Errorf("visit at %v: motion begins at %v", enter, m.start)
		}
		if m.end < gone-600*time.Millisecond || m.end > gone+patience {
			t.Errorf("visit that is over at %v: motion ends at %v", gone, m.end)
		}
	}
}

func duration(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// TestStandsStill holds that somebody who stands still is one presence with their
// coming and going, however still.
func TestStandsStill(t *testing.T) {
	for name, v := range map[string]visit{
		"without a move":  {enter: 5, stand: 7.2, leave: 27},
		"with small ones": {enter: 5, stand: 7.2, leave: 27, sways: true},
	} {
		t.Run(name, func(t *testing.T) {
			atRates(t, func(t *testing.T, fps int) {
				shot := noisyRoom(20)
				p := play(New(DefaultSettings()), fps, 36*time.Second, func(at float64) capture.Grid {
					return v.draw(shot(), at).noisy(1.5).grid()
				})
				wantVisits(t, p, 1500*time.Millisecond, v)
			})
		})
	}
}

// TestVisitorsApart holds that those who come four seconds after another are a
// presence of their own.
func TestVisitorsApart(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		shot := noisyRoom(21)
		first := visit{enter: 5, stand: 7.2, leave: 17}
		second := visit{enter: first.gone() + 4, stand: first.gone() + 6.2, leave: first.gone() + 20}
		p := play(New(DefaultSettings()), fps, 50*time.Second, func(at float64) capture.Grid {
			return second.draw(first.draw(shot(), at), at).noisy(1.5).grid()
		})
		wantVisits(t, p, 2*time.Second, first, second)
	})
}

// TestStandsInChangingLight holds that the light may change in every way while
// somebody stands there, and they are still one presence, and gone when they go.
func TestStandsInChangingLight(t *testing.T) {
	changes := map[string]func(r *room, at float64) *room{
		"switched off and on": func(r *room, at float64) *room {
			if at >= 12 && at < 19 {
				return r.lit(0.6, 0)
			}
			return r
		},
		"switched off, for good": func(r *room, at float64) *room {
			if at >= 12 {
				return r.lit(0.55, 0)
			}
			return r
		},
		"switched on, for good": func(r *room, at float64) *room {
			if at >= 12 {
				return r.lit(1, 50)
			}
			return r
		},
		"infra-red": func(r *room, at float64) *room {
			if at >= 12 {
				return r.gamma(1.6).lit(0.75, -20)
			}
			return r
		},
		"slow ramp": func(r *room, at float64) *room { return r.lit(1-0.5*at/36, 0) },
		"exposure pumps": func(r *room, at float64) *room {
			return r.lit(1+0.25*decay(at-float64(int(at/5))*5, 0.5), 0)
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			atRates(t, func(t *testing.T, fps int) {
				shot := noisyRoom(22)
				v := visit{enter: 5, stand: 7.2, leave: 27, sways: true}
				p := play(New(DefaultSettings()), fps, 36*time.Second, func(at float64) capture.Grid {
					return change(v.draw(shot(), at), at).noisy(1).grid()
				})
				wantVisits(t, p, 2500*time.Millisecond, v)
			})
		})
	}
}

// TestThingLeftBehind holds that a thing which is brought and stays belongs to the
// scene after Stand, and not before.
func TestThingLeftBehind(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		s := DefaultSettings()
		s.Stand = 8 * time.Second
		shot := noisyRoom(23)
		d := New(s)
		p := play(d, fps, 40*time.Second, func(at float64) capture.Grid {
			r := shot()
			if at >= 5 { // slides in within a second
				r.figure(30, max(25-int((at-5)*25), 5), 8, 8)
			}
			return r.noisy(1).grid()
		})
		if len(p.moving) != 1 || p.moving[0].end < 13*time.Second || p.moving[0].end > 17*time.Second {
			t.Errorf("motion %v, want one from 5 s to some 14 s", p.moving)
		}
		thing := 9*roomWidth + 34
		if got := d.background.light.expected(d.background.mean[thing]); got > 60 {
			t.Errorf("the background still shows %.0f where a dark thing lies", got)
		}
	})
}

// TestThingTakenAway holds that the place of a thing which is not there any more is
// not taken for somebody: only its going is motion.
func TestThingTakenAway(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		shot := noisyRoom(24)
		p := play(New(DefaultSettings()), fps, 30*time.Second, func(at float64) capture.Grid {
			r := shot()
			// A dark case on the wall is lifted off and carried out of the picture.
			x := 40
			if at >= 10 {
				x += int((at - 10) * 16)
			}
			return r.figure(x, 4, 10, 8).noisy(1).grid()
		})
		if len(p.moving) != 1 || p.moving[0].end > 14500*time.Millisecond {
			t.Errorf("motion %v, want one from 10 s to some 13 s", p.moving)
		}
	})
}

// TestLampIsFadedUp holds that a lamp which is faded up in a part of the picture is
// not somebody.
func TestLampIsFadedUp(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		shot := noisyRoom(25)
		wantNone(t, play(New(DefaultSettings()), fps, 30*time.Second, func(at float64) capture.Grid {
			r := shot()
			part := min(max((at-10)/1.5, 0), 1)
			for i := range r.luma {
				dx, dy := float64(i%roomWidth)-20, float64(i/roomWidth)-10
				r.luma[i] *= 1 + 0.5*part*decay(dx*dx+dy*dy, 300)
			}
			return r.noisy(1).grid()
		}))
	})
}

// TestRain holds that streaks of rain in the light of a lamp are nobody, and that a
// walker is found among them.
func TestRain(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		shot := noisyRoom(26)
		v := visit{enter: 20, stand: 22.2, leave: 26}
		p := play(New(DefaultSettings()), fps, 32*time.Second, func(at float64) capture.Grid {
			r := v.draw(shot(), at)
			for range 10 {
				x, y := r.rand.IntN(roomWidth), r.rand.IntN(roomHeight)
				for k := range 4 {
					if y+k < roomHeight {
						r.luma[(y+k)*roomWidth+x] += 25
					}
				}
			}
			return r.noisy(1).grid()
		})
		wantVisits(t, p, 2*time.Second, v)
	})
}

// TestZonesAreNamed holds that a result says which zones somebody is in.
func TestZonesAreNamed(t *testing.T) {
	s := DefaultSettings()
	s.Zones = []Zone{
		{"left", capture.Rectangle(0, 0, 0.4, 1), Normal},
		{"right", capture.Rectangle(0.6, 0, 1, 1), High},
	}
	s.Zones = append(s.Zones, make([]Zone, 29)...)
	for i := 2; i < 31; i++ {
		s.Zones[i] = Zone{"sky", capture.Rectangle(0, 0, 1, 0.01), Off}
	}
	s.Zones = append(s.Zones, Zone{"middle", capture.Rectangle(0.4, 0, 0.6, 1), Normal})
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	shot := noisyRoom(27)
	d := New(s)
	var seen []uint32
	v := visit{enter: 5, stand: 7.2, leave: 9}
	for i := range 130 {
		at := float64(i) / 10
		r := d.Feed(duration(at), v.draw(shot(), at).noisy(1).grid())
		if r.Moving && (len(seen) == 0 || seen[len(seen)-1] != r.Zones) && r.Zones != 0 {
			seen = append(seen, r.Zones)
		}
	}
	all := uint32(0)
	for _, z := range seen {
		all |= z
	}
	if len(seen) == 0 || seen[0]&1 == 0 || all != 1|2|1<<31 {
		t.Errorf("zones %b, want the left one first, then the middle and the right one", seen)
	}
}
