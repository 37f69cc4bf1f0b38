package motion

import "image"

// A blob moves if at least so many of its blocks are active: a number, and one in
// so many of all. Once there is motion less will do, so that someone who stands
// and talks stays one event.
const (
	beginActive = 3
	beginPart   = 20
	keepActive  = 2
	keepPart    = 100
)

// visited marks a block that belongs to a blob already.
const visited = 4

// blobs finds connected changed blocks.
type blobs struct {
	stack []int32
}

// find returns how many blocks belong to things that move, and the box around
// them. Things smaller than smallest blocks, and things that stand still, do not
// count. Neighbours touch by side or corner. There was motion before if moving.
func (b *blobs) find(marks []uint8, width, smallest int, moving bool) (cells int, box image.Rectangle) {
	least, part := beginActive, beginPart
	if moving {
		least, part = keepActive, keepPart
	}
	for i, m := range marks {
		if m == 0 || m&visited != 0 {
			continue
		}
		size, live, around := b.flood(marks, width, i)
		if size < smallest || live < least || live*part < size {
			continue
		}
		cells += size
		box = box.Union(around)
	}
	return cells, box
}

// flood visits the blob around block at.
func (b *blobs) flood(marks []uint8, width, at int) (size, live int, box image.Rectangle) {
	height := len(marks) / width
	box = image.Rect(at%width, at/width, at%width+1, at/width+1)
	marks[at] |= visited
	stack := append(b.stack[:0], int32(at))
	for len(stack) > 0 {
		c := int(stack[len(stack)-1])
		stack = stack[:len(stack)-1]
		x, y := c%width, c/width
		size++
		if marks[c]&active != 0 {
			live++
		}
		box.Min.X, box.Max.X = min(box.Min.X, x), max(box.Max.X, x+1)
		box.Min.Y, box.Max.Y = min(box.Min.Y, y), max(box.Max.Y, y+1)
		for ny := max(y-1, 0); ny <= min(y+1, height-1); ny++ {
			for nx := max(x-1, 0); nx <= min(x+1, width-1); nx++ {
				n := ny*width + nx
				if m := marks[n]; m != 0 && m&visited == 0 {
					marks[n] = m | visited
					stack = append(stack, int32(n))
				}
			}
		}
	}
	b.stack = stack
	return size, live, box
}
