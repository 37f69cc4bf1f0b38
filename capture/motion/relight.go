package motion

import "math"

// When the light changes at once.
const (
	jumpShift = 8   // luma by which it changes within jumpTime,
	jumpTime  = 0.4 // seconds, a time constant,
	jumpStep  = 2   // and in this very frame
	jumpMost  = 24  // luma by which light may surprise a block
	toneBins  = 16  // levels for which the change is measured
	toneLeast = 12  // blocks of one level that are enough to measure it
)

// flux is by how much the light has changed of late, at a dark, a middle and a
// light level. What wavers about its place comes to nothing.
type flux [3]float32

// add counts a frame's change of light and says whether it is one that happens at
// once: what else has changed in such a frame is light too.
func (f *flux) add(shift [3]float32, dt float32) bool {
	for i := range f {
		f[i] = f[i]*(1-rate(dt, jumpTime)) + shift[i]
	}
	return mean(*f) > jumpShift && mean(shift) > jumpStep
}

// relight takes the picture as the background in a new light, but for the blocks
// near somebody and for what light does not explain. Their background follows as
// its likes do elsewhere, which is closer than a gain and an offset. It returns how
// many blocks stay changed.
func (b *background) relight(luma []byte, guard []uint8) int {
	tone := b.tone(luma, guard)
	count := 0
	for i, v := range luma {
		expected := b.light.gain*b.mean[i] + b.light.offset
		if v >= bright && expected >= bright || v <= dark && expected <= dark {
			continue
		}
		correction := tone.at(b.mean[i])
		if guard[i] == 0 && magnitude(b.diff[i]-correction) < jumpMost {
			b.takeOver(i, v)
			continue
		}
		b.mean[i] += correction / b.light.gain
		b.diff[i] -= correction
		if b.marks[i] != 0 {
			count++
		}
	}
	return count
}

// tone is what a gain and an offset do not say of a change of light: for each
// level of the background, how far the picture is from them.
type tone [toneBins]float32

func (b *background) tone(luma []byte, guard []uint8) tone {
	var sum, n, clipped tone
	for i, v := range luma {
		if guard[i] != 0 {
			continue
		}
		k := toneBin(b.mean[i])
		if v >= bright || v <= dark {
			clipped[k]++
			continue
		}
		sum[k] += float32(v) - (b.light.gain*b.mean[i] + b.light.offset)
		n[k]++
	}
	for k := range sum {
		// Where some are clipped the rest are not what their likes look like.
		if n[k] < toneLeast || clipped[k]*8 > n[k] {
			sum[k] = 0
			continue
		}
		sum[k] /= n[k]
	}
	return sum
}

// at interpolates between levels.
func (t *tone) at(m float32) float32 {
	x := min(max(m*toneBins/256-0.5, 0), toneBins-1)
	k := int(x)
	if k == toneBins-1 {
		return t[k]
	}
	part := x - float32(k)
	return t[k]*(1-part) + t[k+1]*part
}

func toneBin(m float32) int { return int(min(max(m, 0), 255)) * toneBins / 256 }

// alike says whether the picture has the structure of the background, whatever
// the light: the correlation of the steps between neighbours, -1 to 1. Blocks near
// somebody are left out.
func (b *background) alike(luma []byte, guard []uint8) float32 {
	var vv, ee, ve float64
	for i := 2; i < len(luma); i++ {
		if guard[i] != 0 || guard[i-2] != 0 {
			continue
		}
		v := float64(int(luma[i]) - int(luma[i-2]))
		e := float64(b.mean[i] - b.mean[i-2])
		vv += v * v
		ee += e * e
		ve += v * e
	}
	if vv == 0 || ee == 0 {
		return 0
	}
	return float32(ve / math.Sqrt(vv*ee))
}
