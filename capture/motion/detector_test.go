package motion

import (
	"image"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
)

const roomWidth, roomHeight = 72, 40 // 576×320 pixels

// played is what a detector said of a scene.
type played struct {
	moving    []span
	relearned []time.Duration // but for the first frame
	topScore  float64
}

// play feeds what shot draws for each moment, at fps frames a second.
func play(d *Detector, fps int, length time.Duration, shot func(at float64) capture.Grid) played {
	var p played
	was := false
	for i := 0; ; i++ {
		at := time.Duration(i) * time.Second / time.Duration(fps)
		if at >= length {
			return p
		}
		r := d.Feed(at, shot(at.Seconds()))
		if r.Relearned && i > 0 {
			p.relearned = append(p.relearned, at)
		}
		p.topScore = max(p.topScore, r.Score)
		switch {
		case r.Moving && was:
			p.moving[len(p.moving)-1].end = at
		case r.Moving:
			p.moving = append(p.moving, span{at, at})
		}
		was = r.Moving
	}
}

// atRates runs a test at several frame rates: results are in seconds, so they
// must hold at each. A short run, as under an emulator, has to do with one.
func atRates(t *testing.T, test func(t *testing.T, fps int)) {
	rates := []int{10, 5, 30}
	if testing.Short() {
		rates = rates[:1]
	}
	for _, fps := range rates {
		t.Run(time.Duration(time.Second/time.Duration(fps)).String(), func(t *testing.T) { test(t, fps) })
	}
}

// noisyRoom returns a function that gives the room, each time with other noise.
func noisyRoom(seed uint64) func() *room {
	return newRoom(roomWidth, roomHeight, seed).again
}

func wantNone(t *testing.T, p played) {
	t.Helper()
	if len(p.moving) != 0 {
		t.Errorf("motion where there is none: %v", p.moving)
	}
}

func TestNoiseAlone(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		shot := noisyRoom(1)
		p := play(New(DefaultSettings()), fps, 30*time.Second, func(float64) capture.Grid {
			return shot().noisy(1.5).grid()
		})
		wantNone(t, p)
		if len(p.relearned) != 0 {
			t.Errorf("relearned at %v", p.relearned)
		}
	})
}

// TestWalker holds that a walker over noise is found soon after entering, that
// the motion ends soon after leaving, and that the box is around the walker.
func TestWalker(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		shot := noisyRoom(2)
		place := func(at float64) int { return int((at-10)*10) - 6 } // blocks from the left
		d := New(DefaultSettings())
		p := play(d, fps, 30*time.Second, func(at float64) capture.Grid {
			return shot().figure(place(at), 15, 6, 20).noisy(1.5).grid()
		})
		// In the picture from 10 s to 17.8 s.
		if len(p.moving) != 1 {
			t.Fatalf("one walker gives motion %v", p.moving)
		}
		m := p.moving[0]
		if m.start < 10*time.Second || m.start > 11200*time.Millisecond {
			t.Errorf("begins at %v, want within 1.2 s of 10 s", m.start)
		}
		if m.end < 17*time.Second || m.end > 19*time.Second {
			t.Errorf("ends at %v, want 17 to 19 s", m.end)
		}
		if want := 120.0 / (roomWidth * roomHeight); p.topScore < want*0.8 || p.topScore > want*2.5 {
			t.Errorf("top score %.4f, the walker fills %.4f", p.topScore, want)
		}
	})
}

func TestBoxIsAroundWalker(t *testing.T) {
	d := New(DefaultSettings())
	shot := noisyRoom(3)
	var boxes int
	for i := range 100 {
		x := i - 20
		g := shot().figure(x, 18, 6, 20).noisy(1).grid()
		r := d.Feed(time.Duration(i)*100*time.Millisecond, g)
		walker := image.Rect(x, 18, x+6, 38).Intersect(image.Rect(0, 0, roomWidth, roomHeight))
		if r.Box.Empty() {
			if r.Score != 0 {
				t.Fatalf("frame %d: score %v without a box", i, r.Score)
			}
			continue
		}
		boxes++
		// The walker's trail of the last quarter second may be in it.
		if !walker.In(r.Box) || !r.Box.In(walker.Inset(-6)) {
			t.Fatalf("frame %d: box %v, walker %v", i, r.Box, walker)
		}
	}
	if boxes < 60 {
		t.Errorf("a box in %d of 100 frames only", boxes)
	}
}

// TestLightChanges holds that light is not motion, and that a walker is seen in
// the new light.
func TestLightChanges(t *testing.T) {
	square := func(at, period float64) bool { return int(at/period)%2 == 1 }
	changes := map[string]func(r *room, at float64) *room{
		"switched on and off": func(r *room, at float64) *room {
			if square(at, 7) {
				return r.lit(0.5, -5)
			}
			return r
		},
		"brightened into white": func(r *room, at float64) *room {
			if square(at, 7) {
				return r.lit(1, 60)
			}
			return r
		},
		"into black, with noise": func(r *room, at float64) *room {
			r.noisy(5)
			if square(at, 8) {
				return r.lit(1, -110)
			}
			return r
		},
		"slow ramp": func(r *room, at float64) *room { return r.lit(1-0.6*at/40, 0) },
		"clouds": func(r *room, at float64) *room {
			return r.lit(0.8+0.2*wave(at, 9), 8*wave(at, 5))
		},
		"infra-red": func(r *room, at float64) *room {
			if square(at, 12) {
				return r.gamma(0.7).lit(1.2, -30)
			}
			return r
		},
		"exposure follows a lamp": func(r *room, at float64) *room {
			if at > 5 {
				return r.lit(1+0.8*decay(at-5, 0.8), 0)
			}
			return r
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			atRates(t, func(t *testing.T, fps int) {
				shot := noisyRoom(4)
				wantNone(t, play(New(DefaultSettings()), fps, 40*time.Second, func(at float64) capture.Grid {
					return change(shot(), at).noisy(1).grid()
				}))
				p := play(New(DefaultSettings()), fps, 40*time.Second, func(at float64) capture.Grid {
					return change(shot().figure(int((at-15)*8)-6, 15, 6, 20), at).noisy(1).grid()
				})
				if len(p.moving) == 0 {
					t.Error("the walker was not found")
				}
				if len(p.relearned) != 0 { // which would blind the camera for a while
					t.Errorf("relearned at %v", p.relearned)
				}
				for _, m := range p.moving {
					if m.start < 15*time.Second || m.end > 28*time.Second {
						t.Errorf("motion %v while the walker was in from 15 s to 26 s", p.moving)
					}
				}
			})
		})
	}
}

// TestLampInACorner holds that a light which falls on a part of the picture alone
// is not motion either.
func TestLampInACorner(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		shot := noisyRoom(10)
		lamp := make([]float64, roomWidth*roomHeight)
		for i := range lamp {
			dx, dy := float64(i%roomWidth)-20, float64(i/roomWidth)-10
			lamp[i] = 80 * decay(dx*dx+dy*dy, 300)
		}
		wantNone(t, play(New(DefaultSettings()), fps, 40*time.Second, func(at float64) capture.Grid {
			r := shot()
			if int(at/7)%2 == 1 {
				for i := range r.luma {
					r.luma[i] += lamp[i]
				}
			}
			return r.noisy(1).grid()
		}))
	})
}

// TestComesClose holds that someone who walks up to the camera until nothing else
// is to be seen is motion, not another scene.
func TestComesClose(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		shot := noisyRoom(11)
		p := play(New(DefaultSettings()), fps, 12*time.Second, func(at float64) capture.Grid {
			r := shot()
			if size := (at - 5) / 3; size > 0 { // three seconds until the picture is full
				w, h := int(size*roomWidth), int(size*roomHeight)
				r.figure((roomWidth-w)/2, roomHeight-h, w, h)
			}
			return r.noisy(1).grid()
		})
		if len(p.moving) == 0 || p.moving[0].start > 6500*time.Millisecond {
			t.Errorf("motion %v, want it from 5 s", p.moving)
		}
		if p.topScore < 0.5 {
			t.Errorf("top score %.2f of a picture that was filled", p.topScore)
		}
	})
}

// TestFlash holds that a flash of the whole picture is neither motion nor
// another scene.
func TestFlash(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		shot := noisyRoom(5)
		p := play(New(DefaultSettings()), fps, 20*time.Second, func(at float64) capture.Grid {
			r := shot()
			if at >= 8 && at < 8.21 {
				for i := range r.luma { // bright stripes, as through a blind, like no change of light
					if i%roomWidth%8 < 5 {
						r.luma[i] = float64(255 - i/roomWidth)
					} else {
						r.luma[i] /= 3
					}
				}
			}
			return r.noisy(1).grid()
		})
		wantNone(t, p)
		if len(p.relearned) != 0 {
			t.Errorf("relearned at %v", p.relearned)
		}
	})
}

// TestAnotherScene holds that a turned camera is learnt anew, once, and that a
// walker is then found.
func TestAnotherScene(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		shot := noisyRoom(6)
		p := play(New(DefaultSettings()), fps, 30*time.Second, func(at float64) capture.Grid {
			r := shot()
			if at >= 8 {
				for i := range r.luma {
					x, y := i%roomWidth, i/roomWidth
					r.luma[i] = float64((x/9*53+y/7*91)%200 + 20)
				}
				r.figure(int((at-15)*10)-6, 15, 6, 20)
			}
			return r.noisy(1).grid()
		})
		if len(p.relearned) != 1 || p.relearned[0] < 8*time.Second || p.relearned[0] > 9*time.Second {
			t.Errorf("relearned at %v, want once within a second of 8 s", p.relearned)
		}
		if len(p.moving) != 1 || p.moving[0].start < 15*time.Second {
			t.Errorf("motion %v, want the walker's alone, from 15 s", p.moving)
		}
	})
}

// TestInsects holds that what is smaller than Smallest never counts, however
// lively it is and even if there are two.
func TestInsects(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		shot := noisyRoom(8)
		frame := 0
		wantNone(t, play(New(DefaultSettings()), fps, 30*time.Second, func(float64) capture.Grid {
			frame++
			return shot().figure(20+frame*5%30, 16, 3, 1).figure(10+frame*7%40, 30, 1, 3).noisy(1).grid()
		}))
	})
}

// TestTree holds that a part of the picture that is never at rest is learnt to be
// so, and that a walker is found in the rest of it.
func TestTree(t *testing.T) {
	atRates(t, func(t *testing.T, fps int) {
		shot := noisyRoom(13)
		p := play(New(DefaultSettings()), fps, 30*time.Second, func(at float64) capture.Grid {
			r := shot()
			for y := 2; y < 14; y++ {
				for x := 44; x < 60; x++ {
					r.luma[y*roomWidth+x] += 14 * r.rand.NormFloat64()
				}
			}
			return r.figure(int((at-20)*10)-6, 18, 6, 20).noisy(1).grid()
		})
		if len(p.moving) != 1 || p.moving[0].start < 20*time.Second {
			t.Errorf("motion %v, want the walker's alone, from 20 s", p.moving)
		}
	})
}

// TestLightIsFitted holds that a change of light is measured rightly even while a
// third of the picture is something else.
func TestLightIsFitted(t *testing.T) {
	for _, want := range []light{{1, 0}, {1, 40}, {1, -60}, {0.5, 0}, {0.4, 90}, {1.2, -20}, {0.25, 10}, {0.3, 150}} {
		empty := newRoom(roomWidth, roomHeight, 14)
		_, least := DefaultSettings().zones(roomWidth, roomHeight)
		b := newBackground(least, roomWidth)
		b.reset(empty.again().grid().Luma)
		luma := empty.again().lit(float64(want.gain), float64(want.offset)).figure(10, 5, 26, 35).noisy(0.5).grid().Luma
		got := b.fit(luma)
		for _, m := range []float32{50, 100, 180} {
			if e, w := got.expected(m), want.expected(m); e < w-4 || e > w+4 {
				t.Errorf("light %v is fitted as %v: %.0f looks like %.0f, not %.0f", want, got, m, w, e)
			}
		}
	}
}

// TestLightChangeIsDoubted holds that blocks are trusted less after a change of
// light, and as before after a while.
func TestLightChangeIsDoubted(t *testing.T) {
	dark, lit := newRoom(roomWidth, roomHeight, 15), newRoom(roomWidth, roomHeight, 15).lit(1.3, 0)
	d := New(DefaultSettings())
	play(d, 10, 30*time.Second, func(float64) capture.Grid { return dark.grid() })
	before := d.background.doubt
	d.Feed(30*time.Second, lit.grid())
	if after := d.background.doubt; after < before+2 {
		t.Errorf("the doubt goes from %.2f to %.2f", before, after)
	}
	for i := range 300 {
		d.Feed(30*time.Second+time.Duration(i)*100*time.Millisecond, lit.grid())
	}
	if got := d.background.doubt; got > 0.5 {
		t.Errorf("the doubt is still %.2f half a minute later", got)
	}
}

// TestSettings holds that each setting does what it says.
func TestSettings(t *testing.T) {
	walk := func(s Settings, contrast float64) played {
		shot := noisyRoom(9)
		return play(New(s), 10, 20*time.Second, func(at float64) capture.Grid {
			r := shot()
			for y := 5; y < 12; y++ {
				for x := range 6 {
					if bx := int((at-5)*6) + x; at > 5 && bx < roomWidth {
						r.luma[y*roomWidth+bx] += contrast
					}
				}
			}
			return r.noisy(0.5).grid()
		})
	}
	with := func(change func(*Settings)) Settings {
		s := DefaultSettings()
		change(&s)
		return s
	}
	const faint, clear = 7, 40
	cases := []struct {
		name     string
		settings Settings
		contrast float64
		found    bool
	}{
		{"zero is default", Settings{}, clear, true},
		{"default, faint", DefaultSettings(), faint, false},
		{"sensitive, faint", with(func(s *Settings) { s.Sensitivity = High }), faint, true},
		{"insensitive, clear", with(func(s *Settings) { s.Sensitivity = Low }), 10, false},
		{"off", with(func(s *Settings) { s.Sensitivity = Off }), clear, false},
		{"too small", with(func(s *Settings) { s.Smallest = 0.5 }), clear, false},
		{"confirm too long", with(func(s *Settings) { s.Confirm = 30 * time.Second }), clear, false},
		{"zone off", with(func(s *Settings) { s.Zones = []Zone{{"wall", capture.Rectangle(0, 0, 1, 0.4), Off}} }), clear, false},
		{"zone off elsewhere", with(func(s *Settings) { s.Zones = []Zone{{"floor", capture.Rectangle(0, 0.5, 1, 1), Off}} }), clear, true},
		{"only in a zone", with(func(s *Settings) {
			s.Sensitivity = Off
			s.Zones = []Zone{{"wall", capture.Rectangle(0, 0, 1, 0.4), Normal}}
		}), clear, true},
		{"the later zone counts", with(func(s *Settings) {
			s.Zones = []Zone{{"all", capture.Rectangle(0, 0, 1, 1), Off}, {"wall", capture.Rectangle(0, 0, 1, 0.4), High}}
		}), faint, true},
		{"learning", with(func(s *Settings) { s.Learn = time.Minute }), clear, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := c.settings.Validate(); err != nil {
				t.Fatal(err)
			}
			if p := walk(c.settings, c.contrast); (len(p.moving) > 0) != c.found {
				t.Errorf("motion %v, want any: %v", p.moving, c.found)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	zone := func(z Zone) Settings { return Settings{Zones: []Zone{z}} }
	bad := []Settings{
		{Sensitivity: High + 1}, {Smallest: 1}, {Smallest: -0.1},
		{Confirm: time.Millisecond}, {Confirm: time.Hour}, {Stand: 2 * time.Hour}, {Stand: time.Millisecond},
		{Learn: -1}, {Learn: time.Hour}, {Zones: make([]Zone, maxZones+1)},
		zone(Zone{"flat", capture.Rectangle(0, 0.5, 1, 0.5), Off}), zone(Zone{"outside", capture.Rectangle(0, 0, 2, 1), Off}),
		zone(Zone{"loud", capture.Rectangle(0, 0, 1, 1), 9}),
	}
	for _, s := range bad {
		if err := s.Validate(); err == nil {
			t.Errorf("%+v is let pass", s)
		}
		New(s).Feed(0, newRoom(8, 8, 1).grid()) // and must yet work
	}
}

// TestOddTimesAndSizes holds that nothing in the order of frames is a surprise.
func TestOddTimesAndSizes(t *testing.T) {
	d := New(DefaultSettings())
	g := newRoom(20, 10, 1).grid()
	feed := func(at time.Duration, g capture.Grid, relearned bool) {
		t.Helper()
		if r := d.Feed(at, g); r.Relearned != relearned || r.Moving {
			t.Errorf("at %v: %+v, want relearned %v", at, r, relearned)
		}
	}
	feed(time.Hour, g, true)
	feed(time.Hour, g, false) // twice the same time
	feed(time.Hour+longestGap+1, g, true)
	feed(time.Minute, g, true)                                  // backwards
	feed(time.Minute, capture.Grid{}, false)                    // nothing
	feed(time.Minute, capture.Grid{Width: 9, Height: 9}, false) // too short
	for _, size := range []image.Point{{1, 1}, {1, 500}, {500, 1}, {1024, 1024}, {45, 44}} {
		g := newRoom(size.X, size.Y, 1).grid()
		feed(time.Minute, g, true)
		feed(time.Minute+time.Second, g, false)
	}
}

func TestFeedAllocatesNothing(t *testing.T) {
	grids := make([]capture.Grid, 40)
	shot := noisyRoom(12)
	for i := range grids {
		grids[i] = shot().figure(2*i, 10, 6, 20).noisy(2).grid()
	}
	d := New(DefaultSettings())
	i := 0
	n := testing.AllocsPerRun(200, func() {
		d.Feed(time.Duration(i)*100*time.Millisecond, grids[i%len(grids)])
		i++
	})
	if n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
