// Package jpegdc works on JPEGs without decoding the picture: it reads the luma at
// one eighth of its size, and makes blocks black.
//
// A JPEG stores each 8×8 block's mean as the block's first (DC) coefficient. A
// [Decoder] reads those and skips everything else in the entropy-coded data: no
// inverse transform, no colour. That is all that finding motion needs, at a small
// part of a whole decode's cost. A [Redactor] copies the coded blocks bit for bit
// but for those that are hidden.
//
// It owns the reading of JPEG headers for cameras: the picture's size, and the
// standard Huffman tables that many USB cameras leave out. It never decodes a
// picture for people to look at, it does not know what is hidden or why, and it
// keeps nothing of one frame for the next but lookup tables that depend on the
// Huffman tables alone.
//
// The format is ITU-T T.81 (ISO/IEC 10918-1); "T.81" below means that text.
package jpegdc

import (
	"errors"
	"fmt"

	"github.com/lensward/lensward/capture"
)

// What Decode, Size and WithTables take at most.
const (
	// MaxBytes is the largest JPEG in bytes (8 MiB).
	MaxBytes = 8 << 20
	// MaxSide is the largest width and height in pixels.
	MaxSide = 8192
)

// ErrUnsupported is wrapped by the errors for pictures that may be good JPEGs
// of a kind that this package does not read: progressive, lossless, arithmetic
// coding, 12-bit samples, RGB or CMYK.
var ErrUnsupported = errors.New("unsupported kind of JPEG")

// Decoder reads grids out of JPEGs. The zero value is ready for use. It keeps
// its buffers and lookup tables from one frame to the next, so that frames of
// one size cost no allocation. It is not safe for concurrent use.
type Decoder struct {
	head   header
	tables tableCache
	scan   scan
	luma   []byte
}

// Decode returns the luma means of a baseline Huffman-coded JPEG's 8×8 blocks,
// rounded, and clamped to 0..255. They differ from the means of the decoded
// picture by its rounding and by what it clamps, as a rule by less than 1.
//
// The picture is grey or YCbCr with any sampling in which luma is the finest
// (4:4:4, 4:2:2, 4:4:0, 4:2:0, 4:1:1); it may have restart intervals, and its
// Huffman tables may be missing, for which the standard ones of T.81 annex K
// stand in. Everything outside the format or the limits is an error, and so is a
// frame whose entropy-coded data ends too early. Where colour has scans of its
// own, they are not looked at.
//
// The grid's Luma is the decoder's own and valid until the next call.
func (d *Decoder) Decode(jpeg []byte) (capture.Grid, error) {
	at, err := d.head.read(jpeg)
	if err != nil {
		return capture.Grid{}, fmt.Errorf("read JPEG header: %w", err)
	}
	if err := d.prepare(); err != nil {
		return capture.Grid{}, fmt.Errorf("prepare JPEG scan: %w", err)
	}
	s := &d.scan
	if size := s.stride * s.rows; cap(d.luma) < size {
		d.luma = make([]byte, size)
	} else {
		d.luma = d.luma[:size]
	}
	if err := s.decode(jpeg[at:], d.luma); err != nil {
		return capture.Grid{}, fmt.Errorf("decode JPEG scan: %w", err)
	}
	return d.crop(), nil
}

// crop drops the blocks that only fill up the last MCU of each row and column.
func (d *Decoder) crop() capture.Grid {
	g := capture.Grid{Width: blocks(d.head.width), Height: blocks(d.head.height)}
	stride := d.scan.stride
	if stride != g.Width {
		for y := 1; y < g.Height; y++ {
			copy(d.luma[y*g.Width:(y+1)*g.Width], d.luma[y*stride:])
		}
	}
	g.Luma = d.luma[:g.Width*g.Height]
	return g
}

// Size returns a JPEG's width and height in pixels from its frame header. It
// reads no further, and answers for kinds that Decode refuses.
func Size(jpeg []byte) (width, height int, err error) {
	r, err := newSegments(jpeg)
	if err != nil {
		return 0, 0, fmt.Errorf("read JPEG size: %w", err)
	}
	for {
		seg, err := r.next()
		if err != nil {
			return 0, 0, fmt.Errorf("read JPEG size: %w", err)
		}
		switch {
		case isFrameHeader(seg.marker):
			if width, height, err = frameSize(seg.body); err != nil {
				return 0, 0, fmt.Errorf("read JPEG size: %w", err)
			}
			return width, height, nil
		case seg.marker == markerSOS:
			return 0, 0, errors.New("read JPEG size: the scan comes before a frame header")
		}
	}
}

// blocks returns how many 8-pixel blocks cover n pixels.
func blocks(n int) int { return (n + 7) / 8 }
