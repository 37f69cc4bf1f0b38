package qr

import (
	"cmp"
	"image"
	"slices"
)

// Thresholds follow the light in blocks of block×block pixels.
const (
	block = 8
	// reach is how many blocks each way a threshold's mean takes in.
	reach = 4
	// maxBias is by how many levels a pixel must be darker than the mean, so that what is even
	// counts as light; in a dim picture it is less.
	maxBias = 3
)

// marked marks with 1 what is darker than the mean of its surroundings, or, if inverted, what
// is lighter. The marks are the buffer's, a byte a pixel without gaps.
func (b *buffers) marked(l luma, inverted bool) []byte {
	out := room(&b.dark, l.width*l.height)
	w, h := (l.width+block-1)/block, (l.height+block-1)/block
	sums := b.sums(l, w, h)
	thresholds := make([]int, l.width)
	low, high := l.levels()
	bias := min(max((high-low)/20, 1), maxBias)
	for by := range h {
		top, bottom := max(by-reach, 0), min(by+reach+1, h)
		for bx := range w {
			left, right := max(bx-reach, 0), min(bx+reach+1, w)
			n := (min(bottom*block, l.height) - top*block) * (min(right*block, l.width) - left*block)
			at := func(x, y int) int { return int(sums[y*(w+1)+x]) }
			mean := (at(right, bottom) - at(left, bottom) - at(right, top) + at(left, top)) / n
			for x := bx * block; x < min((bx+1)*block, l.width); x++ {
				thresholds[x] = mean
			}
		}
		for y := by * block; y < min((by+1)*block, l.height); y++ {
			mark(l.row(y), thresholds, out[y*l.width:][:l.width], bias, inverted)
		}
	}
	return out
}

func mark(in []byte, thresholds []int, out []byte, bias int, inverted bool) {
	thresholds, out = thresholds[:len(in)], out[:len(in)]
	for x, v := range in {
		d := thresholds[x] - int(v)
		if inverted {
			d = -d
		}
		// 1 if d is more than the bias, without a branch that noise makes dear.
		out[x] = byte(uint(bias-d) >> (intBits - 1))
	}
}

const intBits = 32 << (^uint(0) >> 63)

// sums are, for each corner of a block, the sum of all pixels above and to the left. Those
// of maxWhole pixels fit into 31 bits.
func (b *buffers) sums(l luma, w, h int) []int32 {
	sums := room(&b.blocks, (w+1)*(h+1))
	clear(sums[:w+1])
	for by := range h {
		line := sums[(by+1)*(w+1):][:w+1]
		clear(line)
		for y := by * block; y < min((by+1)*block, l.height); y++ {
			row := l.row(y)
			for bx := range w {
				sum := int32(0)
				for _, v := range row[bx*block : min((bx+1)*block, l.width)] {
					sum += int32(v)
				}
				line[bx+1] += sum
			}
		}
		above := sums[by*(w+1):]
		for bx := 1; bx <= w; bx++ {
			line[bx] += line[bx-1]
		}
		for bx := 1; bx <= w; bx++ {
			line[bx] += above[bx]
		}
	}
	return sums
}

const (
	// minBusy is the fewest blocks of a part that may be a code: 3 by 3.
	minBusy = 9
	// maxPart is the longest side, in pixels, of a part that is looked at closely, and
	// partStep how far apart such parts begin where more than that is full of detail.
	maxPart  = 640
	partStep = 400
	// maxParts is how many parts are looked at closely.
	maxParts = 12
)

// busy finds the parts of a picture that are full of fine detail, the largest first: there
// a code is, if its modules are smaller than a block.
func (l luma) busy() []image.Rectangle {
	w, h := l.width/block, l.height/block
	if w < 3 || h < 3 {
		return []image.Rectangle{image.Rect(0, 0, l.width, l.height)}
	}
	detail := l.detail(w, h)
	// Only what has detail all around it counts: the edges of things are lines.
	core := make([]bool, w*h)
	for y := 1; y < h-1; y++ {
		for x := 1; x < w-1; x++ {
			all := true
			for k := range 9 {
				all = all && detail[(y+k/3-1)*w+x+k%3-1]
			}
			core[y*w+x] = all
		}
	}
	parts := regions(core, w)
	var out []image.Rectangle
	for _, p := range parts {
		// The code's outermost blocks are no core; and a light border helps.
		box := image.Rectangle{p.Min.Mul(block), p.Max.Mul(block)}.Inset(-3 * block)
		out = append(out, tiles(box.Intersect(image.Rect(0, 0, l.width, l.height)))...)
	}
	return out[:min(len(out), maxParts)]
}

// detail says which blocks have a variance that modules would make: a fair part of the
// picture's range, and more than noise, which is what the evenest blocks have.
func (l luma) detail(w, h int) []bool {
	out, all := make([]bool, w*h), make([]int, w*h)
	for y := range h {
		for x := range w {
			sum, squares := 0, 0
			for yy := range block {
				for _, v := range l.pix[(y*block+yy)*l.stride+x*block:][:block] {
					sum += int(v)
					squares += int(v) * int(v)
				}
			}
			all[y*w+x] = squares - sum*sum/(block*block)
		}
	}
	low, high := l.levels()
	most := (high - low) * (high - low) * block * block
	sorted := slices.Sorted(slices.Values(all))
	least := min(max(most/100, 12*block*block)+2*sorted[len(sorted)/10], max(most/16, 12*block*block))
	for i, v := range all {
		out[i] = v >= least
	}
	return out
}

// levels are those below and above which 1 pixel in 100 lies, of every fourth row.
func (l luma) levels() (low, high int) {
	var counts [256]int
	n := 0
	for y := 0; y < l.height; y += 4 {
		for _, v := range l.row(y) {
			counts[v]++
		}
		n += l.width
	}
	few := n / 100
	for n := counts[0]; n <= few && low < 255; n += counts[low] {
		low++
	}
	high = 255
	for n := counts[255]; n <= few && high > 0; n += counts[high] {
		high--
	}
	return low, max(low, high)
}

// regions are the boxes around what hangs together in a field of width w, whose border is
// not set; the largest region first. The field is cleared.
func regions(field []bool, w int) []image.Rectangle {
	type region struct {
		blocks int
		box    image.Rectangle
	}
	var found []region
	var queue []int
	for i := range field {
		if !field[i] {
			continue
		}
		r := region{}
		field[i] = false
		queue = append(queue[:0], i)
		for len(queue) > 0 {
			at := queue[len(queue)-1]
			queue = queue[:len(queue)-1]
			x, y := at%w, at/w
			r.blocks++
			r.box = r.box.Union(image.Rect(x, y, x+1, y+1))
			for _, next := range [4]int{at - 1, at + 1, at - w, at + w} {
				if field[next] {
					field[next] = false
					queue = append(queue, next)
				}
			}
		}
		if r.blocks >= minBusy {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b region) int { return cmp.Compare(b.blocks, a.blocks) })
	var out []image.Rectangle
	for _, r := range found[:min(len(found), maxParts)] {
		out = append(out, r.box)
	}
	return out
}

// grouped are parts in groups that have no more pixels than the largest part may have.
func grouped(parts []image.Rectangle) [][]image.Rectangle {
	var out [][]image.Rectangle
	area := 0
	for _, p := range parts {
		size := p.Dx() * p.Dy()
		if area += size; len(out) == 0 || area > maxPart*maxPart {
			out, area = append(out, nil), size
		}
		out[len(out)-1] = append(out[len(out)-1], p)
	}
	return out
}

// tiles are parts of a box that overlap by more than a code that is worth a close look.
func tiles(box image.Rectangle) []image.Rectangle {
	var out []image.Rectangle
	for _, y := range starts(box.Min.Y, box.Max.Y) {
		for _, x := range starts(box.Min.X, box.Max.X) {
			out = append(out, image.Rect(x, y, x+maxPart, y+maxPart).Intersect(box))
		}
	}
	return out
}

func starts(low, high int) []int {
	out := []int{low}
	for at := low; at+maxPart < high; {
		at = min(at+partStep, high-maxPart)
		out = append(out, at)
	}
	return out
}
