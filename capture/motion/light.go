package motion

// light is how the light of the whole picture differs from the background's:
// a block of mean m is expected to look gain·m + offset. Exposure, white
// balance, lamps, clouds and the switch to infra-red all come near to that.
type light struct {
	gain, offset float32
}

// lightLevels are a dark, a middle and a light one.
func lightLevels() [3]float32 { return [...]float32{40, 120, 200} }

// shift is by how much this light makes the picture lighter than another does, at
// each of lightLevels.
func (l light) shift(from light) [3]float32 {
	var out [3]float32
	for i, level := range lightLevels() {
		out[i] = (l.gain-from.gain)*level + l.offset - from.offset
	}
	return out
}

// mean is the mean magnitude of a shift.
func mean(shift [3]float32) float32 {
	return (magnitude(shift[0]) + magnitude(shift[1]) + magnitude(shift[2])) / 3
}

// expected is what a block of background m looks like in this light.
func (l light) expected(m float32) float32 {
	v := l.gain*m + l.offset
	if v > 255 {
		return 255
	}
	if v > 0 {
		return v
	}
	return 0
}

// What counts as under- and overexposed: such blocks say little about the light.
// A background that was overexposed when it was learnt is between bright and
// washed; one above was not, but would be in today's light.
const (
	dark   = 4
	bright = 250
	washed = 255.5
	// usualSpread is how far most blocks may be off in a light that fits.
	usualSpread = 3
)

// fit fits the picture's light to the background on a sample of blocks, so
// that whatever moves, even if it fills a third of the picture, has no say: a
// trimmed least-squares fit, started from "as it was" and, if that fits badly,
// from matching the quartiles.
func (b *background) fit(luma []byte) light {
	spread := b.spread(luma, b.light)
	if spread <= usualSpread {
		l, _ := b.leastSquares(luma, b.light, 1.5*spread+2)
		return l
	}
	best, spread := b.refine(luma, b.light, spread)
	if spread <= usualSpread {
		return best
	}
	start := b.quartiles(luma)
	if other, s := b.refine(luma, start, b.spread(luma, start)); s < spread {
		best = other
	}
	return best
}

// refine improves l, of which the spread is known, in a few rounds and returns it
// with its own.
func (b *background) refine(luma []byte, l light, spread float32) (light, float32) {
	for range 3 {
		next, ok := b.leastSquares(luma, l, 1.5*spread+2)
		if !ok {
			break
		}
		l = next
		spread = b.spread(luma, l)
	}
	return l, spread
}

// spread is the distance from expectation within which 6 of 10 sampled blocks lie.
func (b *background) spread(luma []byte, l light) float32 {
	var histogram [256]int
	n := 0
	for i := 0; i < len(luma); i += b.stride {
		r := float32(luma[i]) - l.expected(b.mean[i])
		if r < 0 {
			r = -r
		}
		histogram[int(r)]++
		n++
	}
	return float32(quantile(&histogram, n*6/10)) + 1
}

// leastSquares fits a light to the sampled blocks that lie within limit of l, and
// reports whether there were enough of them.
func (b *background) leastSquares(luma []byte, l light, limit float32) (light, bool) {
	var n, sm, sv, smm, smv float64
	samples := 0
	for i := 0; i < len(luma); i += b.stride {
		samples++
		m, v := b.mean[i], float32(luma[i])
		if v > bright || v < dark || m > bright && m < washed {
			continue
		}
		if r := v - l.expected(m); r > limit || r < -limit {
			continue
		}
		fm, fv := float64(m), float64(v)
		n++
		sm += fm
		sv += fv
		smm += fm * fm
		smv += fm * fv
	}
	if n < 4 || n < float64(samples)/8 {
		return l, false
	}
	gain := 1.0
	if variance := smm/n - sm/n*sm/n; variance > 25 { // an even picture tells no gain
		gain = (smv/n - sm/n*sv/n) / variance
	}
	if gain < 0.2 || gain > 5 {
		return l, false
	}
	return light{gain: float32(gain), offset: float32((sv - gain*sm) / n)}, true
}

// quartiles is the light that brings the background's quartiles onto the
// picture's.
func (b *background) quartiles(luma []byte) light {
	var now, then [256]int
	n := 0
	for i := 0; i < len(luma); i += b.stride {
		now[luma[i]]++
		then[int(min(max(b.mean[i], 0), 255))]++
		n++
	}
	lowNow, highNow := quantile(&now, n/4), quantile(&now, n*3/4)
	lowThen, highThen := quantile(&then, n/4), quantile(&then, n*3/4)
	gain := float32(1)
	if highThen-lowThen >= 8 {
		gain = min(max(float32(highNow-lowNow)/float32(highThen-lowThen), 0.2), 5)
	}
	return light{gain: gain, offset: float32(lowNow) - gain*float32(lowThen)}
}

// quantile returns the first value of a histogram with more than n samples up to
// it.
func quantile(histogram *[256]int, n int) int {
	sum := 0
	for v, count := range histogram {
		sum += count
		if sum > n {
			return v
		}
	}
	return 255
}
