package preview

import (
	"image"

	"github.com/lensward/lensward/capture"
)

// blockSide is the side of a grid's cell in pixels of a small picture.
const blockSide = 2

// Grid returns the luma means of a small picture, for finding motion. A cell is
// 2×2 pixels of it: with the default width of 320 that makes 160×90 cells at
// 16:9, as many as a frame of 1280×720 has blocks of 8×8. Cells at an odd edge
// are of what there is.
//
// The grid's memory is taken from reuse where that is large enough.
func Grid(img *image.YCbCr, reuse capture.Grid) capture.Grid {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	g := capture.Grid{
		Width:  (width + blockSide - 1) / blockSide,
		Height: (height + blockSide - 1) / blockSide,
	}
	if n := g.Width * g.Height; cap(reuse.Luma) >= n {
		g.Luma = reuse.Luma[:n]
	} else {
		g.Luma = make([]byte, n)
	}
	for y := range g.Height {
		top := img.Y[2*y*img.YStride:][:width]
		bottom := top
		if 2*y+1 < height {
			bottom = img.Y[(2*y+1)*img.YStride:][:width]
		}
		row := g.Luma[y*g.Width:][:g.Width]
		for x := range row {
			right := min(2*x+1, width-1)
			sum := int(top[2*x]) + int(top[right]) + int(bottom[2*x]) + int(bottom[right])
			row[x] = byte((sum + 2) / 4)
		}
	}
	return g
}
