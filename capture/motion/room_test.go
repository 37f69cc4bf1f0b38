package motion

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/lensward/lensward/capture"
)

// room is a synthetic scene on a grid, drawn anew for each frame: an even wall, a
// floor with boards, a dark window and a table.
type room struct {
	width, height int
	luma          []float64
	rand          *rand.Rand
	noise         []float64 // normally distributed, long enough to seem new each time
}

// again returns a fresh drawing of an untouched room. Drawing and noise are the
// costly part of these tests, so both are made once.
func (r *room) again() *room {
	next := *r
	next.luma = slices.Clone(r.luma)
	return &next
}

func newRoom(width, height int, seed uint64) *room {
	r := &room{width: width, height: height, luma: make([]float64, width*height), rand: rand.New(rand.NewPCG(seed, 7))}
	r.noise = make([]float64, 1<<16)
	for i := range r.noise {
		r.noise[i] = r.rand.NormFloat64()
	}
	for y := range height {
		for x := range width {
			fx, fy := float64(x)/float64(width), float64(y)/float64(height)
			v := 170 + 20*fx
			switch {
			case fx < 0.13 && fy < 0.4:
				v = 45
			case fx > 0.5 && fx < 0.68 && fy > 0.2 && fy < 0.35:
				v = 205
			case fy > 0.6:
				v = 95 + 12*math.Sin(fx*60) - 20*fy
			}
			r.luma[y*width+x] = v
		}
	}
	return r
}

// figure draws a dark figure of w×h blocks with its top left corner at x, y.
func (r *room) figure(x, y, w, h int) *room {
	for by := max(y, 0); by < min(y+h, r.height); by++ {
		for bx := max(x, 0); bx < min(x+w, r.width); bx++ {
			r.luma[by*r.width+bx] = 35 + 15*math.Sin(float64(bx-x)+2*float64(by-y))
		}
	}
	return r
}

// lit changes the light of the whole picture.
func (r *room) lit(gain, offset float64) *room {
	for i, v := range r.luma {
		r.luma[i] = gain*v + offset
	}
	return r
}

// gamma bends the grey scale, as no gain and offset can.
func (r *room) gamma(g float64) *room {
	var bent [256]float64
	for i := range bent {
		bent[i] = 255 * math.Pow(float64(i)/255, 1/g)
	}
	for i, v := range r.luma {
		r.luma[i] = bent[int(min(max(v, 0), 255))]
	}
	return r
}

// noisy adds noise of the given deviation to each block's mean.
func (r *room) noisy(deviation float64) *room {
	at := r.rand.IntN(len(r.noise))
	for i := range r.luma {
		r.luma[i] += deviation * r.noise[(at+i)%len(r.noise)]
	}
	return r
}

// grid rounds and clamps as a camera does.
func (r *room) grid() capture.Grid {
	g := capture.Grid{Width: r.width, Height: r.height, Luma: make([]byte, len(r.luma))}
	for i, v := range r.luma {
		g.Luma[i] = byte(min(max(v+0.5, 0), 255))
	}
	return g
}

// wave is a sine between -1 and 1 with a period in seconds.
func wave(at, period float64) float64 { return math.Sin(2 * math.Pi * at / period) }

// decay falls from 1 to 0 with a time constant in seconds.
func decay(at, tau float64) float64 { return math.Exp(-at / tau) }
