package motion

import (
	"image"
	"math"
)

// blob is a thing: changed blocks that touch.
type blob struct {
	blocks []int32 // valid until the next frame
	label  uint32
	box    image.Rectangle
	live   int  // active blocks
	held   int  // blocks that belonged to somebody in the frame before
	stirs  int  // blocks that are not what they were a second ago
	moves  bool // large and live enough to be somebody who moves
}

const (
	tiny     = 3   // blobs of fewer blocks are not looked at
	mostSeen = 256 // nor are more blobs of one frame
	// stepLeast is how large the background's steps must be, as the mean square of
	// logarithms, to say anything.
	stepLeast = 0.003
)

// finder finds blobs.
type finder struct {
	width, height int
	blobs         []blob
	blocks        []int32
	label         []uint32 // the blob that each block belongs to
	last          uint32
	logs          [256]float32 // of luma
}

func newFinder(width, height int) finder {
	n := width * height
	f := finder{
		width: width, height: height,
		blobs: make([]blob, 0, mostSeen), blocks: make([]int32, 0, n), label: make([]uint32, n),
	}
	for v := range f.logs {
		f.logs[v] = float32(math.Log(float64(v) + lampFloor))
	}
	return f
}

// find returns the blobs of a frame's marks. None lies across the border of what
// is guarded: what the light does to a wall is not the same thing as who stands
// before it.
func (f *finder) find(marks, guard []uint8) []blob {
	f.blobs, f.blocks = f.blobs[:0], f.blocks[:0]
	for i, m := range marks {
		if m == 0 || m&visited != 0 {
			continue
		}
		start := len(f.blocks)
		b := f.flood(marks, guard, i)
		if len(b.blocks) < tiny {
			f.blocks = f.blocks[:start]
			continue
		}
		if f.blobs = append(f.blobs, b); len(f.blobs) == mostSeen {
			break
		}
	}
	return f.blobs
}

// flood returns the blob around the block at. Neighbours touch by side or corner.
func (f *finder) flood(marks, guard []uint8, at int) blob {
	w, h, side := f.width, f.height, guard[at]
	f.last++
	b := blob{label: f.last, box: image.Rect(at%w, at/w, at%w+1, at/w+1)}
	start := len(f.blocks)
	blocks := append(f.blocks, int32(at))
	marks[at] |= visited
	for k := start; k < len(blocks); k++ {
		c := int(blocks[k])
		f.label[c] = b.label
		x, y := c%w, c/w
		if marks[c]&active != 0 {
			b.live++
		}
		b.box.Min.X, b.box.Max.X = min(b.box.Min.X, x), max(b.box.Max.X, x+1)
		b.box.Min.Y, b.box.Max.Y = min(b.box.Min.Y, y), max(b.box.Max.Y, y+1)
		for ny := max(y-1, 0); ny <= min(y+1, h-1); ny++ {
			for nx := max(x-1, 0); nx <= min(x+1, w-1); nx++ {
				n := ny*w + nx
				if m := marks[n]; m != 0 && m&visited == 0 && guard[n] == side {
					marks[n] = m | visited
					blocks = append(blocks, int32(n))
				}
			}
		}
	}
	f.blocks, b.blocks = blocks, blocks[start:]
	return b
}

// outline is how a blob is set off from what is around it.
type outline struct {
	step  float32 // of the difference, across the outline, as a part of the mean difference within
	now   float32 // of the picture across the outline, in luma
	then  float32 // of the background
	pairs int
}

// outline measures a blob's outline: pairs of blocks, one within and one outside,
// two or three blocks apart, since the block between them is partly both.
func (f *finder) outline(b *blob, luma []byte, back *background) outline {
	var o outline
	var inside, step float32
	for _, c32 := range b.blocks {
		c := int(c32)
		inside += magnitude(back.diff[c])
		x, y := c%f.width, c/f.width
		for _, d := range [4][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
			ox, oy := x+2*d[0], y+2*d[1]
			if ox < 0 || oy < 0 || ox >= f.width || oy >= f.height {
				continue
			}
			if f.label[(y+d[1])*f.width+x+d[0]] == b.label {
				continue
			}
			out := oy*f.width + ox
			if back.marks[out] != 0 {
				continue
			}
			in := c
			if ix, iy := x-d[0], y-d[1]; ix >= 0 && iy >= 0 && ix < f.width && iy < f.height && f.label[iy*f.width+ix] == b.label {
				in = iy*f.width + ix
			}
			vIn, vOut := float32(luma[in]), float32(luma[out])
			eIn, eOut := vIn-back.diff[in], vOut-back.diff[out]
			o.now += magnitude(vIn - vOut)
			o.then += magnitude(eIn - eOut)
			// Light changes a surface in proportion to how light it is.
			step += magnitude(back.diff[in] - back.diff[out]*(eIn+16)/(eOut+16))
			o.pairs++
		}
	}
	if o.pairs > 0 && inside > 0 {
		o.step = step / float32(o.pairs) / (inside / float32(len(b.blocks)))
	}
	return o
}

// likeness is how well the picture within a blob is explained by the background
// there in another light: 1 is the same surface, 0 another one, or an even one that
// says nothing. It is the better of two: how the levels go together, which noise
// does not hurt, and how the steps between neighbours do, in proportion, which
// light that falls off does not hurt.
func (f *finder) likeness(b *blob, luma []byte, back *background) float32 {
	return max(levels(b, luma, back), f.steps(b, luma, back))
}

// levels is the square of the correlation of picture and background.
func levels(b *blob, luma []byte, back *background) float32 {
	var n, sv, se, svv, see, sve float64
	for _, c := range b.blocks {
		v := float64(luma[c])
		e := v - float64(back.diff[c])
		n++
		sv += v
		se += e
		svv += v * v
		see += e * e
		sve += v * e
	}
	cov, varV, varE := sve/n-sv/n*se/n, svv/n-sv/n*sv/n, see/n-se/n*se/n
	if cov <= 0 || varE < 16 {
		return 0
	}
	return float32(cov * cov / (varE*varV + 1))
}

// steps is the square of the correlation of the steps from block to block, in
// logarithms.
func (f *finder) steps(b *blob, luma []byte, back *background) float32 {
	var n, vv, ee, ve float32
	for _, c32 := range b.blocks {
		c := int(c32)
		for _, d := range [2]int{2, 2 * f.width} {
			o := c + d
			if d == 2 && c%f.width >= f.width-2 || o >= len(luma) || f.label[o] != b.label {
				continue
			}
			v := f.logs[luma[c]] - f.logs[luma[o]]
			e := f.logs[level(float32(luma[c])-back.diff[c])] - f.logs[level(float32(luma[o])-back.diff[o])]
			n++
			vv += v * v
			ee += e * e
			ve += v * e
		}
	}
	if ve <= 0 || ee < stepLeast*n {
		return 0
	}
	return ve * ve / (vv * ee)
}

// level rounds a block's luma to one that a camera can show.
func level(v float32) uint8 { return uint8(min(max(v, 0), 255)) }

func magnitude(v float32) float32 {
	if v < 0 {
		return -v
	}
	return v
}
