package motion

import "image"

// A blob moves if at least so many of its blocks are active: a number, and one in
// so many of all.
const (
	beginActive = 3
	beginPart   = 20
)

// A blob stirs, as a person does who stands still, if so many of its blocks are
// not what they were a second ago.
const (
	stirBlocks = 2
	stirPart   = 200
	stirDevs   = 5
	stirLeast  = 4 // luma
)

const (
	softest   = 0.3 // outline's step below which a blob is light that falls on the scene
	proofTime = 0.5 // seconds for which a blob must look like a ghost to be one
	linger    = 0.4 // seconds for which somebody may be out of sight
	// strideTime is how far apart frames may be, in seconds, for somebody who walks to
	// overlap with their own place in the one before.
	strideTime = 0.3
	judged     = 24 // blocks from which the looks of what has just come say something
	stepAside  = 64 // blocks up to which a thing may be beside its own place
	guardRim   = 2  // blocks around a blob that may be partly hidden
	bodyTime   = 5  // time constant in seconds of how large somebody is
	remnant    = 10 // what does not move and is so many times smaller is not all of somebody
)

// presence is who is there: the blobs that moved, for as long as they can be told
// from the background that was there before.
type presence struct {
	confirm, stand float32 // seconds
	zone           []uint8 // of each block, from 1; 0 is none

	here  bool
	gone  float32 // seconds for which nothing of it has been seen
	body  float32 // how many blocks it is, smoothed
	held  []uint8 // blocks that belong to it
	next  []uint8
	guard []uint8   // blocks around it, of which the background may be hidden
	was   []uint8   // the same, a frame ago
	quiet []float32 // seconds for which a block's blob has not stirred
	faint []float32 // seconds for which it has looked like a ghost
	fresh []float32 // seconds for which it has moved and has not belonged to anybody
}

func newPresence(confirm, stand float32, zone []uint8) presence {
	n := len(zone)
	return presence{
		confirm: confirm, stand: stand, zone: zone,
		held: make([]uint8, n), next: make([]uint8, n), guard: make([]uint8, n), was: make([]uint8, n),
		quiet: make([]float32, n), faint: make([]float32, n), fresh: make([]float32, n),
	}
}

func (p *presence) reset() {
	p.here, p.gone, p.body = false, 0, 0
	clear(p.held)
	clear(p.guard)
	clear(p.quiet)
	clear(p.faint)
	clear(p.fresh)
}

// sight is what one frame shows.
type sight struct {
	moving int // blocks of things that move
	there  int // blocks of things that are held
	box    image.Rectangle
	zones  uint32
}

// find finds the things in a frame. Things smaller than smallest blocks do not
// count. earlier is the diff of a second ago.
func (p *presence) find(f *finder, back *background, luma []byte, smallest int, earlier []int8, unsure bool, dt float32) sight {
	for _, c := range f.blocks { // of the frame before
		if back.marks[c] == 0 {
			p.quiet[c], p.faint[c], p.fresh[c] = 0, 0, 0
		}
	}
	blobs := f.find(back.marks, p.guard)
	var body *blob // the largest that was there before
	for i := range blobs {
		b := &blobs[i]
		p.measure(b, back, earlier)
		b.moves = len(b.blocks) >= smallest && b.live >= beginActive && b.live*beginPart >= len(b.blocks)
		if b.held > 0 && (body == nil || len(b.blocks) > len(body.blocks)) {
			body = b
		}
	}
	var s sight
	clear(p.next)
	p.guard, p.was = p.was, p.guard
	clear(p.guard)
	if body != nil && body.live == 0 && f.appearance(body, luma, back) != somebody {
		body = nil // what is left of them tells nothing of its neighbours
	}
	for i := range blobs {
		b := &blobs[i]
		if !b.moves && b.held == 0 {
			continue
		}
		near := b.held > 0 && body != nil && b != body && b.box.Overlaps(body.box.Inset(-max(2, f.height/16)))
		if p.dismiss(b, near, f, back, luma, dt) {
			continue
		}
		seen := p.follow(b, f.width, dt)
		// Who joins somebody that is there has to move for as long as who comes alone.
		if b.held == 0 && seen < p.confirm && p.here {
			continue
		}
		// Drops of rain are where nothing was a moment ago; people are not.
		if b.moves && (seen > dt || dt > strideTime) {
			s.moving += len(b.blocks)
		}
		for _, c := range b.blocks {
			p.next[c] = 1
			s.zones |= uint32(uint64(1) << p.zone[c] >> 1)
		}
		p.cover(surroundings(b.box).Intersect(image.Rect(0, 0, f.width, f.height)), f.width, unsure && b.held > 0)
		if b.moves || len(b.blocks) >= max(smallest/2, int(p.body/remnant)) {
			s.there += len(b.blocks)
			s.box = s.box.Union(b.box)
		}
	}
	return s
}

// surroundings is a box with what may be hidden beside it: an outline that is
// partly somebody and partly background, legs as dark as the floor.
func surroundings(box image.Rectangle) image.Rectangle {
	x, y := guardRim+box.Dx()/8, guardRim+box.Dy()/2
	return image.Rect(box.Min.X-x, box.Min.Y-y, box.Max.X+x, box.Max.Y+y)
}

// cover guards a box, or only what of it was guarded before.
func (p *presence) cover(box image.Rectangle, width int, before bool) {
	for y := box.Min.Y; y < box.Max.Y; y++ {
		from, to := y*width+box.Min.X, y*width+box.Max.X
		row := p.guard[from:to]
		if before {
			for i, v := range p.was[from:to] {
				row[i] |= v
			}
			continue
		}
		for i := range row {
			row[i] = 1
		}
	}
}

// dismiss says whether a blob is nobody, and takes it over where it has been so
// for long enough. What is near somebody's body may be a part of it.
func (p *presence) dismiss(b *blob, near bool, f *finder, back *background, luma []byte, dt float32) bool {
	stirs := b.live >= 2 || b.stirs >= stirBlocks && b.stirs*stirPart >= len(b.blocks)
	quiet := count(p.quiet, b, dt, !stirs)
	looks := somebody
	if !near && (b.held == 0 && len(b.blocks) >= judged || b.held > 0 && b.live == 0) {
		looks = f.appearance(b, luma, back)
	}
	faint := count(p.faint, b, dt, looks != somebody)
	if quiet > p.stand || faint > proofTime || looks == lightOnly && b.held == 0 {
		p.absorb(b, back, luma)
		return true
	}
	return looks != somebody && b.held == 0
}

// settle says whether somebody is there after a frame: from when there has been
// enough motion until nothing of them can be seen.
func (p *presence) settle(s sight, enough bool, dt float32) bool {
	switch {
	case s.there > 0 && (p.here || enough):
		if !p.here {
			p.body = float32(s.there)
		}
		p.here, p.gone = true, 0
		p.body += (float32(s.there) - p.body) * rate(dt, bodyTime)
		p.held, p.next = p.next, p.held
	case p.here:
		if p.gone += dt; p.gone > linger {
			p.reset()
		}
	}
	return p.here
}

// measure counts what a blob was a moment ago.
func (p *presence) measure(b *blob, back *background, earlier []int8) {
	for _, c := range b.blocks {
		if p.held[c] != 0 {
			b.held++
		}
		if earlier == nil {
			continue
		}
		move := magnitude(clip(back.diff[c]) - float32(earlier[c]))
		if move > max(stirLeast, stirDevs*back.dev[c]) {
			b.stirs++
		}
	}
}

// follow counts the time for which a blob has been about where it is.
func (p *presence) follow(b *blob, width int, dt float32) float32 {
	longest := float32(0)
	height := len(p.fresh) / width
	if len(b.blocks) <= stepAside {
		around := b.box.Inset(-1).Intersect(image.Rect(0, 0, width, height))
		for y := around.Min.Y; y < around.Max.Y; y++ {
			for _, t := range p.fresh[y*width+around.Min.X : y*width+around.Max.X] {
				longest = max(longest, t)
			}
		}
	} else {
		for _, c := range b.blocks {
			longest = max(longest, p.fresh[c])
		}
	}
	for _, c := range b.blocks {
		p.fresh[c] = longest + dt
	}
	return longest + dt
}

// count adds to the time for which something has been so of a blob.
func count(times []float32, b *blob, dt float32, so bool) float32 {
	longest := float32(0)
	if so {
		for _, c := range b.blocks {
			longest = max(longest, times[c])
		}
		longest += dt
	}
	for _, c := range b.blocks {
		times[c] = longest
	}
	return longest
}

// look is what a blob looks like.
type look uint8

const (
	somebody  look = 0
	ghost     look = 1 // probably no thing
	lightOnly look = 2 // certainly light on the background
)

// appearance says what a blob looks like. It is no thing but light that falls on
// the scene if it has no outline, or shows what the background has there; and no
// thing but the place of one if the picture is even across its outline, and it is
// the background that has an edge.
func (f *finder) appearance(b *blob, luma []byte, back *background) look {
	o, like := f.outline(b, luma, back), f.likeness(b, luma, back)
	switch {
	case like > 0.9 && len(b.blocks) >= 30:
		return lightOnly
	case o.pairs == 0:
		return somebody
	case o.step < softest, o.then > 1.25*o.now+float32(o.pairs), like > 0.8, like > 0.6 && o.then > o.now:
		return ghost
	default:
		return somebody
	}
}

// absorb makes a blob part of the background.
func (p *presence) absorb(b *blob, back *background, luma []byte) {
	for _, c := range b.blocks {
		back.takeOver(int(c), luma[c])
		back.dev[c] = max(back.dev[c], firstDev)
		p.quiet[c], p.faint[c], p.fresh[c] = 0, 0, 0
	}
}
