// Package mask blacks parts of a camera's pictures out before anyone sees them: the
// owner's privacy masks, for a neighbour's window or a bed.
//
// It owns what is black: every block of 8×8 pixels that an area touches, wholly, in
// whatever form a picture comes (JPEG, raw samples, a preview), and the rule that a
// picture which cannot be masked goes nowhere. JPEGs are masked without decoding
// them: what is not hidden keeps its coefficients, and loses nothing.
//
// It never passes a picture on unmasked, never changes a frame that others share,
// and does not decide which areas there are.
package mask

import (
	"fmt"
	"image"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
)

// MaxAreas is how many areas a mask may have.
const MaxAreas = 32

// FormatError says that a camera's format cannot be masked: encoded video is passed
// through as it is.
type FormatError struct{ Format capture.Format }

// Error says what can be masked instead.
func (e *FormatError) Error() string {
	return fmt.Sprintf("privacy masks cannot black out %s that the camera encodes itself: "+
		"take MJPEG or raw pictures from it, or take the masks away", e.Format)
}

// Check returns a *FormatError if frames of the format cannot be masked.
func Check(format capture.Format) error {
	if format != capture.FormatMJPEG {
		return &FormatError{format}
	}
	return nil
}

// Mask blacks areas out. It keeps buffers, and which blocks are hidden, from one
// picture to the next. It is not safe for concurrent use.
type Mask struct {
	areas    []capture.Area
	covers   map[geometry][]bool
	redactor jpegdc.Redactor
}

// New returns a mask of 1 to MaxAreas areas.
func New(areas []capture.Area) (*Mask, error) {
	if len(areas) == 0 || len(areas) > MaxAreas {
		return nil, fmt.Errorf("a privacy mask has 1 to %d areas, not %d", MaxAreas, len(areas))
	}
	m := &Mask{covers: make(map[geometry][]bool)}
	for i, a := range areas {
		if err := a.Validate(); err != nil {
			return nil, fmt.Errorf("privacy mask, area %d: %w", i+1, err)
		}
		m.areas = append(m.areas, append(capture.Area(nil), a...))
	}
	return m, nil
}

// JPEG returns a new JPEG with the areas black; see [jpegdc.Redactor.Redact] for what
// it takes and what it leaves out. On an error nothing of the picture may be shown.
func (m *Mask) JPEG(jpeg []byte) ([]byte, error) { return m.redact(jpeg, 0) }

func (m *Mask) redact(jpeg []byte, margin int) ([]byte, error) {
	out, err := m.redactor.Redact(jpeg, func(width, height, cellWidth, cellHeight int) []bool {
		return m.cover(geometry{width, height, cellWidth, cellHeight, margin})
	})
	if err != nil {
		return nil, fmt.Errorf("mask picture: %w", err)
	}
	return out, nil
}

// Frame returns a frame with the areas black, its preview too. The frame given stays
// as it is, for others share it. On an error nothing of the frame may be shown; for a
// format that cannot be masked it is a *FormatError.
func (m *Mask) Frame(f capture.Frame) (capture.Frame, error) {
	if err := Check(f.Format); err != nil {
		return capture.Frame{}, err
	}
	data, err := m.JPEG(f.Data)
	if err != nil {
		return capture.Frame{}, err
	}
	f.Data = data
	if f.Preview != nil {
		if f.Preview, err = m.preview(f.Preview, f.Width, f.Height); err != nil {
			return capture.Frame{}, err
		}
	}
	return f, nil
}

// previewMargin is how many pixels more are hidden around an area in a preview, whose
// pixels were mixed out of more than one of the picture and its neighbours.
const previewMargin = 1

// preview returns a preview of a frame of width×height pixels with the areas black.
func (m *Mask) preview(p *capture.Preview, width, height int) (*capture.Preview, error) {
	out := &capture.Preview{}
	var err error
	if out.Grid, err = m.grid(p.Grid, width, height); err != nil {
		return nil, err
	}
	if p.JPEG != nil {
		if out.JPEG, err = m.redact(p.JPEG, previewMargin); err != nil {
			return nil, fmt.Errorf("preview: %w", err)
		}
	}
	if p.Image != nil {
		out.Image = m.image(p.Image)
	}
	return out, nil
}

// grid returns a grid with its hidden cells black.
func (m *Mask) grid(g capture.Grid, width, height int) (capture.Grid, error) {
	if g.Width < 0 || g.Height < 0 || len(g.Luma) != g.Width*g.Height {
		return capture.Grid{}, fmt.Errorf("mask preview: %d means for %d×%d cells", len(g.Luma), g.Width, g.Height)
	}
	if len(g.Luma) == 0 {
		return g, nil
	}
	by := geometry{width, height, 8, 8, 0}
	if across, down := by.cells(); across != g.Width || down != g.Height {
		by = geometry{g.Width, g.Height, 1, 1, 0} // of a smaller picture
	}
	luma := make([]byte, len(g.Luma))
	for i, hidden := range m.cover(by) {
		if !hidden {
			luma[i] = g.Luma[i]
		}
	}
	g.Luma = luma
	return g, nil
}

// imageCell is the side of the cells that are hidden in a preview's image, in pixels.
const imageCell = 2

// image returns a copy of a full-range picture with the areas black.
func (m *Mask) image(src *image.YCbCr) *image.YCbCr {
	b := src.Bounds()
	out := image.NewYCbCr(b, src.SubsampleRatio)
	if b.Empty() {
		return out
	}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		copy(out.Y[out.YOffset(b.Min.X, y):][:b.Dx()], src.Y[src.YOffset(b.Min.X, y):])
	}
	first := src.COffset(b.Min.X, b.Min.Y)
	for at := 0; at < len(out.Cb); at += out.CStride {
		copy(out.Cb[at:at+out.CStride], src.Cb[first:])
		copy(out.Cr[at:at+out.CStride], src.Cr[first:])
		if first += src.CStride; first > len(src.Cb) {
			break
		}
	}
	by := geometry{b.Dx(), b.Dy(), imageCell, imageCell, previewMargin}
	across, _ := by.cells()
	for i, hidden := range m.cover(by) {
		if !hidden {
			continue
		}
		cell := image.Rect(0, 0, imageCell, imageCell).
			Add(b.Min).Add(image.Pt(i%across*imageCell, i/across*imageCell)).Intersect(b)
		for y := cell.Min.Y; y < cell.Max.Y; y++ {
			for x := cell.Min.X; x < cell.Max.X; x++ {
				c := out.COffset(x, y)
				out.Y[out.YOffset(x, y)], out.Cb[c], out.Cr[c] = 0, neutral, neutral
			}
		}
	}
	return out
}
