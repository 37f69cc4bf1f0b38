package qr

import (
	"fmt"
	"math"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/common"
	"github.com/makiuchi-d/gozxing/qrcode/decoder"
)

const (
	// minTiming is how much of a code's timing patterns must be right for its modules to be
	// decoded.
	minTiming = 0.72
	// sureTiming is from where no other dimension is tried.
	sureTiming = 0.9
)

// read reads the code between three finder patterns; ok is false if there is none that
// can be read.
func (t triple) read(l luma, inverted bool) (text string, ok bool) {
	best, second := view{}, view{}
	for _, dimension := range t.dimensions() {
		if best.timing > sureTiming {
			break
		}
		for _, v := range t.views(l, dimension, inverted) {
			if v.timing > best.timing {
				best, second = v, best
			} else if v.timing > second.timing {
				second = v
			}
		}
	}
	for _, v := range [2]view{best, second} {
		if v.timing < minTiming {
			break
		}
		levels := v.levels(l, t.module())
		for _, times := range [3]float64{0, 0.7, 1.6} {
			if text, err := decode(v.bits(levels, times, inverted)); err == nil {
				return text, true
			}
		}
	}
	return "", false
}

// view is a way from a code's modules to a picture.
type view struct {
	dimension int
	to        *common.PerspectiveTransform
	timing    float64 // how much of the timing patterns is where it should be
}

// views are the ways in which three finder patterns may be a code of a dimension: with the
// fourth corner where an alignment pattern is seen, and as a parallelogram.
func (t triple) views(l luma, dimension int, inverted bool) []view {
	span := float64(dimension - 7)
	u := t.right.at.minus(t.corner.at).times(1 / span)
	v := t.below.at.minus(t.corner.at).times(1 / span)
	fourth := t.right.at.plus(t.below.at).minus(t.corner.at)
	out := []view{t.view(l, dimension, fourth, span+3.5, inverted)}
	if dimension > 21 {
		if at, ok := alignment(l, fourth.minus(u.times(3)).minus(v.times(3)), u, v, max(4, span/7), inverted); ok {
			out = append(out, t.view(l, dimension, at, span+0.5, inverted))
		}
	}
	return out
}

// view is the one in which the module at last, last lies at fourth.
func (t triple) view(l luma, dimension int, fourth point, last float64, inverted bool) view {
	far := float64(dimension) - 3.5
	v := view{dimension: dimension, to: common.PerspectiveTransform_QuadrilateralToQuadrilateral(
		3.5, 3.5, far, 3.5, last, last, 3.5, far,
		t.corner.at.x, t.corner.at.y, t.right.at.x, t.right.at.y, fourth.x, fourth.y, t.below.at.x, t.below.at.y)}
	v.timing = v.rate(l, inverted)
	return v
}

// rate is how often two neighbours in the timing patterns, row and column 6, differ as
// they should.
func (v view) rate(l luma, inverted bool) float64 {
	good, all := 0, 0
	n := v.dimension - 14
	line := make([]float64, 2*n)
	for i := range n {
		line[2*i], line[2*i+1] = float64(i)+7.5, 6.5
	}
	for range 2 {
		places := append([]float64(nil), line...)
		v.to.TransformPoints(places)
		before := 0.0
		for i := range n {
			level := l.at(places[2*i], places[2*i+1])
			if d := level - before; i > 0 {
				all++
				// Module 7 is light, 8 is dark.
				if (d > 0) == ((i%2 == 0) != inverted) && d != 0 {
					good++
				}
			}
			before = level
		}
		for i := range n { // and the column
			line[2*i], line[2*i+1] = line[2*i+1], line[2*i]
		}
	}
	return float64(good) / float64(all)
}

// at is the picture's level at a place, between four pixels; beyond the edge it is the
// edge's.
func (l luma) at(x, y float64) float64 {
	x, y = min(max(x-0.5, 0), float64(l.width-1)), min(max(y-0.5, 0), float64(l.height-1))
	if !(x >= 0 && y >= 0) { // not a number
		return 0
	}
	left, top := int(x), int(y)
	right, below := min(left+1, l.width-1), min(top+1, l.height-1)
	fx, fy := x-float64(left), y-float64(top)
	upper, lower := l.pix[top*l.stride:], l.pix[below*l.stride:]
	return (float64(upper[left])*(1-fx)+float64(upper[right])*fx)*(1-fy) +
		(float64(lower[left])*(1-fx)+float64(lower[right])*fx)*fy
}

// alignment looks for an alignment pattern within some modules of a place, u and v being
// about the steps from module to module. It takes what looks most like one.
func alignment(l luma, about, u, v point, within float64, inverted bool) (point, bool) {
	best, found := 0.0, about
	look := func(centre point, reach int, step float64) {
		for i := -reach; i <= reach; i++ {
			for j := -reach; j <= reach; j++ {
				at := centre.plus(u.times(float64(i) * step)).plus(v.times(float64(j) * step))
				likeness := likeness(l, at, u, v)
				if inverted {
					likeness = -likeness
				}
				// A little for being near: what is as like is the nearer.
				likeness -= 2 * math.Hypot(float64(i), float64(j)) * step / within
				if likeness > best {
					best, found = likeness, at
				}
			}
		}
	}
	look(about, int(2*within), 0.5)
	look(found, 2, 0.2)
	return found, best > 4
}

// likeness is how much darker the dark modules of an alignment pattern around a place are
// than its light ones, in levels.
func likeness(l luma, at, u, v point) float64 {
	light, dark := 0.0, 0.0
	for y := -2; y <= 2; y++ {
		for x := -2; x <= 2; x++ {
			p := at.plus(u.times(float64(x))).plus(v.times(float64(y)))
			level := l.at(p.x, p.y)
			if max(x, -x, y, -y) == 1 {
				light += level
			} else {
				dark += level
			}
		}
	}
	return light/8 - dark/17
}

// levels are those of a code's modules, each the mean of some places around its middle.
func (v view) levels(l luma, module float64) []float64 {
	n := min(max(int(module), 1), 4) // places a side
	out := make([]float64, v.dimension*v.dimension)
	places := make([]float64, 2*v.dimension)
	for y := range v.dimension {
		for k := range n * n {
			dx, dy := 0.5*(float64(k%n)+0.5)/float64(n)+0.25, 0.5*(float64(k/n)+0.5)/float64(n)+0.25
			for x := range v.dimension {
				places[2*x], places[2*x+1] = float64(x)+dx, float64(y)+dy
			}
			v.to.TransformPoints(places)
			for x := range v.dimension {
				out[y*v.dimension+x] += l.at(places[2*x], places[2*x+1]) / float64(n*n)
			}
		}
	}
	return out
}

// around is how many modules each way a module is compared with.
const around = 4

// bits says which modules are dark: those darker than the mean around them, after each has
// been set off from its neighbours so many times: blur that reaches from one module into
// the next is undone best here, where there is one level a module.
func (v view) bits(levels []float64, times float64, inverted bool) *gozxing.BitMatrix {
	n := v.dimension
	at := func(x, y int) float64 { return levels[min(max(y, 0), n-1)*n+min(max(x, 0), n-1)] }
	sharp := make([]float64, n*n)
	for y := range n {
		for x := range n {
			here := at(x, y)
			sharp[y*n+x] = here + times*(here-(at(x-1, y)+at(x+1, y)+at(x, y-1)+at(x, y+1))/4)
		}
	}
	sums := make([]float64, (n+1)*(n+1))
	for y := range n {
		sum := 0.0
		for x := range n {
			sum += sharp[y*n+x]
			sums[(y+1)*(n+1)+x+1] = sums[y*(n+1)+x+1] + sum
		}
	}
	bits, err := gozxing.NewSquareBitMatrix(n)
	if err != nil {
		return nil // n is at least 21
	}
	for y := range n {
		top, bottom := max(y-around, 0), min(y+around+1, n)
		for x := range n {
			left, right := max(x-around, 0), min(x+around+1, n)
			sum := sums[bottom*(n+1)+right] - sums[bottom*(n+1)+left] - sums[top*(n+1)+right] + sums[top*(n+1)+left]
			mean := sum / float64((bottom-top)*(right-left))
			if (sharp[y*n+x] < mean) != inverted {
				bits.Set(x, y)
			}
		}
	}
	return bits
}

// decode gives the text that modules say. The library's panics are errors.
func decode(bits *gozxing.BitMatrix) (text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decode QR code: the library failed: %v", p)
		}
	}()
	result, err := decoder.NewDecoder().Decode(bits, nil)
	if err != nil {
		return "", fmt.Errorf("decode QR code: %w", err)
	}
	return result.GetText(), nil
}
