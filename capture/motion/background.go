package motion

import (
	"math"
	"time"
)

// Marks of a block in the current frame.
const (
	changed = 1 // looks different from the background
	active  = 2 // and from itself a moment ago
)

// How the background follows the picture: time constants in seconds, levels in
// luma.
const (
	tauStill     = 3    // of a block that looks like the background
	tauChanged   = 50   // of one that does not
	tauDeviation = 6    // of a block's own flicker
	tauLearning  = 0.3  // of all that while learning
	deviations   = 4    // a block is changed beyond so many deviations
	leastDev     = 1.2  // deviation of a perfectly still block
	firstDev     = 3    // of one not known yet
	largestDev   = 24   // what one frame may say about it
	largestShift = 96   // and what one change of light may
	lightDoubt   = 0.05 // part of a light change that is uncertain for each block
)

// snapshots are how many earlier frames are kept to tell what moves: enough to
// have one that is lag old, or little older.
const snapshots = 4

// background is what each block of the picture usually looks like, in the
// latest frame's light.
type background struct {
	absorb   float32 // seconds
	least    float32 // smallest change that counts, in luma
	ignore   []bool  // nil if nothing is ignored
	stride   int     // of the sample that light is fitted on
	mean     []float32
	dev      []float32 // mean absolute deviation, times 1.4
	diff     []float32 // latest frame less what was expected
	marks    []uint8
	still    []float32 // seconds for which a changed block has not been active
	past     [snapshots]snapshot
	nextPast int
}

// snapshot is an earlier frame's diff.
type snapshot struct {
	at    time.Duration
	valid bool
	diff  []int8
}

func newBackground(s Settings, width, height int) background {
	n := width * height
	b := background{
		absorb: seconds(s.Absorb),
		least:  float32(16 * math.Pow(4, -s.Sensitivity)),
		ignore: ignored(s.Ignore, width, height),
		stride: sampleStride(width, n),
		mean:   make([]float32, n),
		dev:    make([]float32, n),
		diff:   make([]float32, n),
		marks:  make([]uint8, n),
		still:  make([]float32, n),
	}
	for i := range b.past {
		b.past[i].diff = make([]int8, n)
	}
	return b
}

// sampleStride is the step through a grid of n blocks that samples some 2,000 and
// does not run down its columns.
func sampleStride(width, n int) int {
	if n < 2000 {
		return 1
	}
	stride := max(n/2000, 2)
	for width%stride <= 1 || width%stride == stride-1 {
		stride++
	}
	return stride
}

// ignored marks the blocks whose middle lies in one of the areas.
func ignored(areas []Area, width, height int) []bool {
	if len(areas) == 0 {
		return nil
	}
	mask := make([]bool, width*height)
	for i := range mask {
		x := (float64(i%width) + 0.5) / float64(width)
		y := (float64(i/width) + 0.5) / float64(height)
		for _, a := range areas {
			if x >= a.Left && x < a.Right && y >= a.Top && y < a.Bottom {
				mask[i] = true
			}
		}
	}
	return mask
}

// reset takes a frame as the background.
func (b *background) reset(luma []byte) {
	for i, v := range luma {
		b.mean[i] = float32(v)
		b.dev[i] = firstDev
	}
	clear(b.still)
	clear(b.marks)
	for i := range b.past {
		b.past[i].valid = false
	}
}

// compare marks the blocks of a frame that are changed, and which of them are
// active, and returns how many are changed.
func (b *background) compare(luma []byte, l light, at time.Duration) int {
	past := b.earlier(at)
	count := 0
	// Slices of one known length spare a check at each use.
	n := len(luma)
	means, diffs, marks, devs := b.mean[:n], b.diff[:n], b.marks[:n], b.dev[:n]
	for i, v := range luma {
		m := means[i]
		diff := float32(v) - l.expected(m)
		if m >= bright && diff > 0 { // overexposed: it may be any brighter
			diff = 0
		}
		diffs[i] = diff
		marks[i] = 0
		if diff <= b.least && diff >= -b.least { // most blocks, most of the time
			continue
		}
		limit := max(deviations*max(devs[i], leastDev), b.least)
		if diff <= limit && diff >= -limit {
			continue
		}
		if b.ignore != nil && b.ignore[i] {
			continue
		}
		marks[i] = changed
		count++
		if past == nil {
			continue
		}
		move := clip(diff) - float32(past[i])
		if limit *= 0.75; move > limit || move < -limit {
			marks[i] = changed | active
		}
	}
	b.remember(at)
	return count
}

// earlier returns the diff of the latest snapshot that is at least lag old.
func (b *background) earlier(at time.Duration) []int8 {
	var best *snapshot
	for i := range b.past {
		s := &b.past[i]
		if s.valid && at-s.at >= lag && (best == nil || s.at > best.at) {
			best = s
		}
	}
	if best == nil {
		return nil
	}
	return best.diff
}

// remember keeps the frame's diff if the last one kept is old enough.
func (b *background) remember(at time.Duration) {
	newest := &b.past[(b.nextPast+snapshots-1)%snapshots]
	if newest.valid && at-newest.at < lag/(snapshots-1) {
		return
	}
	s := &b.past[b.nextPast]
	b.nextPast = (b.nextPast + 1) % snapshots
	s.at, s.valid = at, true
	for i, d := range b.diff {
		s.diff[i] = int8(clip(d))
	}
}

// clip bounds a difference to what a snapshot holds.
func clip(d float32) float32 {
	if d > 127 {
		return 127
	}
	if d < -127 {
		return -127
	}
	return d
}

// update moves the background to the frame's light and towards the frame.
func (b *background) update(luma []byte, dt float32, learning bool) {
	part, devPart := rate(dt, tauStill), rate(dt, tauDeviation)
	changedPart, changedDev := rate(dt, tauChanged), devPart/8
	if learning {
		part = rate(dt, tauLearning)
		devPart, changedPart, changedDev = part, part, part
	}
	n := len(luma)
	means, diffs, marks, devs, still := b.mean[:n], b.diff[:n], b.marks[:n], b.dev[:n], b.still[:n]
	for i, v := range luma {
		diff := diffs[i]
		expected := float32(v) - diff
		shift := expected - means[i]
		p, q := part, devPart
		if mark := marks[i]; mark == 0 {
			still[i] = 0
		} else {
			p, q = changedPart, changedDev
			still[i] += dt
			if mark&active != 0 {
				still[i] = 0
			} else if still[i] > b.absorb {
				still[i] = 0
				p, q = 1, 0
			}
		}
		means[i] = expected + p*diff
		if diff < 0 {
			diff = -diff
		}
		if diff > largestDev {
			diff = largestDev
		}
		if shift < 0 {
			shift = -shift
		}
		if shift > largestShift {
			shift = largestShift
		}
		devs[i] += q*(1.4*diff-devs[i]) + lightDoubt*shift
	}
}
