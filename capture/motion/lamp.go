package motion

import (
	"math"
	"time"
)

// When one lamp of several changes, or the sun goes in, the light of a part of the
// picture changes more than that of another. To the logarithm it is a surface, and
// one of the second degree comes near: six numbers.
const (
	lampShare  = 0.03 // of the picture that must have changed at once, away from anybody,
	lampLeft   = 0.4  // of which a surface may leave so much unexplained
	unsureTime = 0.4  // seconds for which what else changes may be light too
	lampRounds = 4
	lampKept   = 0.7  // part of the samples that the next round is fitted on
	lampFloor  = 8    // luma that is added on both sides: noise rules below
	lampMost   = 1.6  // a block may get so many times lighter by it, in logarithm
	lampRidge  = 1e-6 // keeps the equations solvable
)

// lit says whether much of what has changed away from anybody is the light of a
// part of the picture, and if so moves the background into it.
func (d *Detector) lit(at time.Duration, luma []byte, changed int) bool {
	b, guard := &d.background, d.presence.guard
	least := int(lampShare * float32(len(luma)))
	if changed < least {
		return false
	}
	before := b.outside(guard)
	if before < least {
		return false
	}
	d.unsure = unsureTime
	s, ok := d.lamp.fit(b, luma, guard, d.width)
	if !ok {
		return false
	}
	copy(d.spare, b.mean)
	b.shine(s, d.width)
	b.compare(luma, b.past.before(at, lag))
	if float32(b.outside(guard)) <= lampLeft*float32(before) {
		return true
	}
	copy(b.mean, d.spare)
	b.compare(luma, b.past.before(at, lag))
	return false
}

// surface is c0 + c1 x + c2 y + c3 x² + c4 xy + c5 y² of places from -1 to 1.
type surface [6]float64

func (s *surface) at(x, y float64) float64 {
	return s[0] + x*(s[1]+x*s[3]+y*s[4]) + y*(s[2]+y*s[5])
}

// lamp is the scratch space for fitting a surface.
type lamp struct{ x, y, rise []float64 }

func newLamp(n, stride int) lamp {
	size := n/stride + 1
	return lamp{x: make([]float64, 0, size), y: make([]float64, 0, size), rise: make([]float64, 0, size)}
}

// fit finds the surface by which the sampled blocks got lighter, and says whether
// there were enough samples. What is guarded, and what is over- or underexposed,
// has no say; what does not fit its fellows loses it round by round.
func (lp *lamp) fit(b *background, luma []byte, guard []uint8, width int) (surface, bool) {
	lp.sample(b, luma, guard, width)
	var s surface
	n := len(lp.rise)
	if n < 100 {
		return s, false
	}
	limit := math.Inf(1)
	for range lampRounds {
		var ok bool
		if s, ok = lp.solve(s, limit); !ok {
			return s, false
		}
		limit = lp.spread(s) + 0.02
	}
	return s, true
}

func (lp *lamp) sample(b *background, luma []byte, guard []uint8, width int) {
	height := len(luma) / width
	lp.x, lp.y, lp.rise = lp.x[:0], lp.y[:0], lp.rise[:0]
	for i := 0; i < len(luma); i += b.stride {
		v := luma[i]
		expected := float32(v) - b.diff[i]
		if guard[i] != 0 || v >= bright || v <= dark || expected >= bright || expected <= dark {
			continue
		}
		lp.x = append(lp.x, 2*float64(i%width)/float64(width)-1)
		lp.y = append(lp.y, 2*float64(i/width)/float64(height)-1)
		lp.rise = append(lp.rise, math.Log((float64(v)+lampFloor)/(float64(expected)+lampFloor)))
	}
}

// spread is the distance from a surface within which most samples lie, to a
// hundredth.
func (lp *lamp) spread(s surface) float64 {
	var histogram [256]int
	for k, rise := range lp.rise {
		off := math.Abs(rise - s.at(lp.x[k], lp.y[k]))
		histogram[min(int(off*100), 255)]++
	}
	return float64(quantile(&histogram, int(lampKept*float64(len(lp.rise))))) / 100
}

// solve is least squares over the samples within limit of the surface before.
func (lp *lamp) solve(before surface, limit float64) (surface, bool) {
	var m [6][7]float64
	for k, rise := range lp.rise {
		x, y := lp.x[k], lp.y[k]
		if off := rise - before.at(x, y); off > limit || off < -limit {
			continue
		}
		terms := [6]float64{1, x, y, x * x, x * y, y * y}
		for r, t := range terms {
			for c := r; c < 6; c++ {
				m[r][c] += t * terms[c]
			}
			m[r][6] += t * rise
		}
	}
	for r := range m {
		for c := range r {
			m[r][c] = m[c][r]
		}
		m[r][r] += lampRidge * m[0][0]
	}
	return eliminate(&m)
}

// eliminate solves six equations by Gauss's method; they are symmetric and
// positive, so that no pivot need be looked for.
func eliminate(m *[6][7]float64) (surface, bool) {
	for r := range m {
		if m[r][r] <= 0 {
			return surface{}, false
		}
		for below := r + 1; below < 6; below++ {
			f := m[below][r] / m[r][r]
			for c := r; c < 7; c++ {
				m[below][c] -= f * m[r][c]
			}
		}
	}
	var s surface
	for r := 5; r >= 0; r-- {
		v := m[r][6]
		for c := r + 1; c < 6; c++ {
			v -= m[r][c] * s[c]
		}
		s[r] = v / m[r][r]
	}
	return s, true
}

// shine puts the background into the light of a surface.
func (b *background) shine(s surface, width int) {
	height := len(b.mean) / width
	for i := range b.mean {
		x, y := 2*float64(i%width)/float64(width)-1, 2*float64(i/width)/float64(height)-1
		rise := float32(math.Exp(min(max(s.at(x, y), -lampMost), lampMost)))
		expected := b.light.gain*b.mean[i] + b.light.offset
		b.mean[i] = ((expected+lampFloor)*rise - lampFloor - b.light.offset) / b.light.gain
	}
}

// outside counts the changed blocks that are not guarded.
func (b *background) outside(guard []uint8) int {
	count := 0
	for i, m := range b.marks {
		if m != 0 && guard[i] == 0 {
			count++
		}
	}
	return count
}
