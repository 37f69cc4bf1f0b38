package encode

import (
	"image"
	"time"

	"github.com/lensward/lensward/capture"
)

const (
	// smallWidth is the widest that a small picture is, in pixels.
	smallWidth = 640
	// cellSide is the side of a grid's cell in pixels of the whole picture.
	cellSide = 8
	// smallEvery is the time between two small pictures, on the average at least.
	smallEvery = 100 * time.Millisecond
)

// smallSize returns by which factor a picture is made small, and its size then.
func smallSize(width, height int) (factor, w, h int) {
	factor = max(1, (width+smallWidth-1)/smallWidth)
	return factor, (width + factor - 1) / factor, (height + factor - 1) / factor
}

// smallPicture makes a preview with its picture: at most smallWidth wide, full
// range, in memory of its own. The grid's cells are about cellSide pixels of the
// whole picture, or more where the factor does not divide it.
func (s *shrinker) smallPicture(p picture, r *ranges) *capture.Preview {
	factor, w, h := smallSize(p.luma.width, p.luma.height)
	img := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	s.into(img, p, factor, r)
	cell := max(1, (cellSide+factor-1)/factor)
	luma := samples{img.Y, img.YStride, 1, w, h}
	return &capture.Preview{Grid: s.grid(luma, cell, nil), Image: img}
}

// grid returns the means of luma's cells.
func (s *shrinker) grid(luma samples, cell int, table *[256]byte) capture.Grid {
	w, h := (luma.width+cell-1)/cell, (luma.height+cell-1)/cell
	g := capture.Grid{Width: w, Height: h, Luma: make([]byte, w*h)}
	s.shrink(plane{g.Luma, w, w, h}, luma, cell, cell, table)
	return g
}

// pace says which pictures get a preview: one in each smallEvery. The zero
// value begins with the first.
type pace struct {
	next time.Time
}

// due says whether a picture's turn has come. The turns lie on a raster, so that a
// camera of 30 frames a second gives 10 previews and not 7.5.
func (p *pace) due(at time.Time) bool {
	early := p.next.Sub(at)
	if early > 0 && early <= smallEvery {
		return false
	}
	if early > 0 || early < -smallEvery { // the first, after a pause, or a clock that was set
		p.next = at
	}
	p.next = p.next.Add(smallEvery)
	return true
}
