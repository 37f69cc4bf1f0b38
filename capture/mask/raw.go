package mask

import (
	"fmt"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
)

// What black is: luma by range, and colour.
const (
	blackFull  = 0
	blackVideo = 16 // ITU-R BT.601
	neutral    = 128
)

// rawCell is the side of the cells that are hidden in raw pictures, in pixels: the
// blocks of the JPEGs that are made of them.
const rawCell = 8

// plane is how a layout's samples lie in one of its planes. A unit is what repeats:
// unitBytes bytes for unitWidth×unitHeight pixels.
type plane struct {
	unitWidth, unitHeight int
	black                 []byte // of a unit
}

// planes returns a layout's planes, or nil if it is not known.
func planes(l capture.Layout, full bool) []plane {
	y := byte(blackVideo)
	if full {
		y = blackFull
	}
	luma := plane{1, 1, []byte{y}}
	switch l {
	case capture.LayoutGrey:
		return []plane{luma}
	case capture.LayoutI420:
		colour := plane{2, 2, []byte{neutral}}
		return []plane{luma, colour, colour}
	case capture.LayoutNV12:
		return []plane{luma, {2, 2, []byte{neutral, neutral}}}
	case capture.LayoutYUYV:
		return []plane{{2, 1, []byte{y, neutral, y, neutral}}}
	}
	return nil
}

// Raw blacks the areas out in the picture's own memory. On an error nothing of the
// picture may be shown.
func (m *Mask) Raw(r *capture.Raw) error {
	if r.Width < 1 || r.Height < 1 || r.Width > jpegdc.MaxSide || r.Height > jpegdc.MaxSide {
		return fmt.Errorf("mask raw picture: %d×%d pixels, the limit is %d×%d",
			r.Width, r.Height, jpegdc.MaxSide, jpegdc.MaxSide)
	}
	layout := planes(r.Layout, r.Full)
	if layout == nil {
		return fmt.Errorf("mask raw picture: layout %d is not known", r.Layout)
	}
	for i, p := range layout {
		if err := p.check(r.Planes[i], r.Strides[i], r.Width, r.Height); err != nil {
			return fmt.Errorf("mask raw picture, %s plane %d: %w", r.Layout, i, err)
		}
	}
	by := geometry{r.Width, r.Height, rawCell, rawCell, 0}
	across, _ := by.cells()
	hidden := m.cover(by)
	for first := 0; first < len(hidden); {
		if !hidden[first] {
			first++
			continue
		}
		last := first + 1 // behind a run in one row
		for last%across != 0 && hidden[last] {
			last++
		}
		x, y := first%across*rawCell, first/across*rawCell
		right, bottom := min(x+(last-first)*rawCell, r.Width), min(y+rawCell, r.Height)
		for i, p := range layout {
			p.paint(r.Planes[i], r.Strides[i], x, y, right, bottom)
		}
		first = last
	}
	return nil
}

// check holds that all of a plane is there.
func (p plane) check(data []byte, stride, width, height int) error {
	row := (width + p.unitWidth - 1) / p.unitWidth * len(p.black)
	rows := (height + p.unitHeight - 1) / p.unitHeight
	switch {
	case stride < row:
		return fmt.Errorf("rows of %d bytes, %d are needed", stride, row)
	case (len(data)-row)/stride < rows-1 || len(data) < row:
		return fmt.Errorf("%d bytes for %d rows of %d", len(data), rows, stride)
	}
	return nil
}

// paint makes a rectangle of pixels black. Its left and upper sides lie on whole cells.
func (p plane) paint(data []byte, stride, left, top, right, bottom int) {
	n := len(p.black)
	from := left / p.unitWidth * n
	to := (right + p.unitWidth - 1) / p.unitWidth * n
	for y := top / p.unitHeight; y < (bottom+p.unitHeight-1)/p.unitHeight; y++ {
		row := data[y*stride+from : y*stride+to]
		copy(row, p.black)
		for done := n; done < len(row); done *= 2 {
			copy(row[done:], row[:done])
		}
	}
}
