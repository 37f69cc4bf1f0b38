package motion

// Marks of a block in the current frame.
const (
	changed = 1 // looks different from the background
	active  = 2 // and from itself a moment ago
	visited = 4 // belongs to a blob already
)

// How the background follows the picture: time constants in seconds, levels in
// luma.
const (
	tauStill     = 3   // of a block that looks like the background
	tauDeviation = 6   // of a block's own flicker
	tauFlicker   = 48  // of a block that something else has made active
	tauLearning  = 0.3 // of all that while learning
	looseTime    = 3   // a changed block that is nobody's and not active is taken over after it
	deviations   = 4   // a block is changed beyond so many deviations
	leastDev     = 1.2 // deviation of a perfectly still block
	firstDev     = 3   // of one not known yet
	largestDev   = 24  // what one frame may say about it
	lightDoubt   = 0.2 // part of a change of light by which any block may be off after it
	tauDoubt     = 3   // of that
)

// background is what each block of the picture usually looks like, in the
// latest frame's light.
type background struct {
	least  []float32 // smallest change that counts in each block, in luma
	stride int       // of the sample that light is fitted on
	light  light     // of the latest frame, against mean
	doubt  float32   // what blocks may be off by besides, in luma, since the light changed
	// mean is in the light of when the background was learnt, and not bounded to
	// what a camera can show: a wall that is washed out in today's light keeps its
	// structure for when the light is gone.
	mean  []float32
	dev   []float32 // mean absolute deviation, times 1.4
	diff  []float32 // latest frame less what was expected
	marks []uint8
	still []float32 // seconds for which a changed block has not been active
	past  history
}

func newBackground(least []float32, width int) background {
	n := len(least)
	return background{
		least:  least,
		stride: sampleStride(width, n),
		mean:   make([]float32, n),
		dev:    make([]float32, n),
		diff:   make([]float32, n),
		marks:  make([]uint8, n),
		still:  make([]float32, n),
		past:   newHistory(n),
	}
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

// reset takes a frame as the background.
func (b *background) reset(luma []byte) {
	for i, v := range luma {
		b.mean[i] = float32(v)
		b.dev[i] = firstDev
	}
	b.light, b.doubt = light{gain: 1}, 0
	clear(b.still)
	clear(b.marks)
	b.past.reset()
}

// find fits the frame's light and returns how it has shifted. What it cannot
// explain of that makes doubt.
func (b *background) find(luma []byte, dt float32) (shift [3]float32) {
	before := b.light
	b.light = b.fit(luma)
	shift = b.light.shift(before)
	b.doubt += lightDoubt*max(mean(shift)-1, 0) - b.doubt*rate(dt, tauDoubt)
	return shift
}

// rebase takes today's light for the one that the background is in.
func (b *background) rebase() {
	for i, m := range b.mean {
		b.mean[i] = b.light.gain*m + b.light.offset
	}
	b.light = light{gain: 1}
}

// far says whether today's light is far from the one that the background is in.
func (l light) far() bool {
	return l.gain < 0.6 || l.gain > 1.6 || l.offset < -60 || l.offset > 60
}

// compare marks the blocks of a frame that are changed, and which of them are
// active, that is, not what they were in before, and returns how many are changed.
func (b *background) compare(luma []byte, before []int8) int {
	count := 0
	l := b.light
	// Slices of one known length spare a check at each use.
	n := len(luma)
	means, diffs, marks, devs, leasts := b.mean[:n], b.diff[:n], b.marks[:n], b.dev[:n], b.least[:n]
	for i, v := range luma {
		m := means[i]
		diff := float32(v) - l.expected(m)
		if m >= bright && m < washed && diff > 0 { // was overexposed: it may be any brighter
			diff = 0
		}
		diffs[i] = diff
		marks[i] = 0
		least := leasts[i]
		if diff <= least && diff >= -least { // most blocks, most of the time
			continue
		}
		limit := max(deviations*max(devs[i], leastDev), least) + b.doubt
		if diff <= limit && diff >= -limit {
			continue
		}
		marks[i] = changed
		count++
		if before == nil {
			continue
		}
		move := clip(diff) - float32(before[i])
		if limit *= 0.75; move > limit || move < -limit {
			marks[i] = changed | active
		}
	}
	return count
}

// update moves a part of the background, each so many blocks from first on,
// towards the frame, but where somebody may hide it. dt is the time since that
// part's last update.
func (b *background) update(luma []byte, guard []uint8, first, each int, dt float32, learning bool) {
	l := b.light
	part, devPart := rate(dt, tauStill), rate(dt, tauDeviation)
	flicker := rate(dt, tauFlicker)
	if learning {
		part = rate(dt, tauLearning)
		devPart, flicker = part, part
	}
	part /= l.gain
	n := len(luma)
	means, diffs, marks, devs, still := b.mean[:n], b.diff[:n], b.marks[:n], b.dev[:n], b.still[:n]
	guard = guard[:n]
	for i := first; i < n; i += each {
		diff := diffs[i]
		p, q := part, devPart
		switch mark := marks[i]; {
		case mark == 0:
			still[i] = 0
			if guard[i] != 0 || luma[i] >= bright && float32(luma[i])-diff >= bright { // washed out: it says nothing
				continue
			}
		case learning:
		case mark&active != 0:
			still[i] = 0
			p, q = 0, flicker
		case guard[i] != 0:
			continue
		default:
			if still[i] += dt; still[i] > looseTime {
				b.takeOver(i, luma[i])
			}
			continue
		}
		means[i] += p * diff
		if diff < 0 {
			diff = -diff
		}
		devs[i] += q * (1.4*min(diff, largestDev) - devs[i])
	}
}

// takeOver makes a block's picture its background.
func (b *background) takeOver(i int, v byte) {
	b.mean[i] = (float32(v) - b.light.offset) / b.light.gain
	b.diff[i] = 0
	b.marks[i] = 0
	b.still[i] = 0
}
