package mask

import (
	"math"

	"github.com/lensward/lensward/capture"
)

// maxCovers bounds how many geometries are remembered: a camera has a few.
const maxCovers = 16

// geometry is a picture cut into cells, all in pixels.
type geometry struct {
	width, height         int
	cellWidth, cellHeight int
	margin                int // by how much a cell is taken to be larger, on each side
}

// cells returns how many cells lie across and down.
func (g geometry) cells() (across, down int) {
	return (g.width + g.cellWidth - 1) / g.cellWidth, (g.height + g.cellHeight - 1) / g.cellHeight
}

// cover returns which cells an area touches, row by row. It is remembered, and must
// not be changed.
func (m *Mask) cover(g geometry) []bool {
	if c, ok := m.covers[g]; ok {
		return c
	}
	if len(m.covers) >= maxCovers {
		clear(m.covers)
	}
	across, down := g.cells()
	c := make([]bool, across*down)
	for _, a := range m.areas {
		g.add(c, a)
	}
	m.covers[g] = c
	return c
}

// add marks the cells that an area touches. They are sought within its bounds.
func (g geometry) add(cover []bool, a capture.Area) {
	low, high := bounds(a)
	across, down := g.cells()
	left, right := span(low.X, high.X, g.width, g.cellWidth, g.margin, across)
	top, bottom := span(low.Y, high.Y, g.height, g.cellHeight, g.margin, down)
	for y := top; y < bottom; y++ {
		y0, y1 := share(y, g.height, g.cellHeight, g.margin)
		for x := left; x < right; x++ {
			x0, x1 := share(x, g.width, g.cellWidth, g.margin)
			within := x0 <= high.X && x1 >= low.X && y0 <= high.Y && y1 >= low.Y
			if at := y*across + x; within && !cover[at] {
				cover[at] = a.Touches(x0, y0, x1, y1)
			}
		}
	}
}

// bounds returns the upper left and lower right corners of what an area lies in.
func bounds(a capture.Area) (low, high capture.Point) {
	low, high = a[0], a[0]
	for _, p := range a {
		low = capture.Point{X: min(low.X, p.X), Y: min(low.Y, p.Y)}
		high = capture.Point{X: max(high.X, p.X), Y: max(high.Y, p.Y)}
	}
	return low, high
}

// span returns which of n cells, from the first to before the last, may lie within
// two shares of a side.
func span(low, high float64, side, cell, margin, n int) (first, last int) {
	first = int(math.Floor((low*float64(side)-float64(margin))/float64(cell))) - 1
	last = int(math.Floor((high*float64(side)+float64(margin))/float64(cell))) + 2
	return max(first, 0), min(last, n)
}

// share returns where cell i of a side begins and ends, as shares of the side.
func share(i, side, cell, margin int) (from, to float64) {
	from = float64(max(i*cell-margin, 0)) / float64(side)
	to = float64(min((i+1)*cell+margin, side)) / float64(side)
	return from, to
}
