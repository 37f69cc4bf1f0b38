//go:build linux

package v4l2

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"iter"
	"maps"
	"slices"
)

// yuyvQuality is the JPEG quality at which YUYV pictures are encoded.
const yuyvQuality = 80

// encoder makes a JPEG of what the camera gives.
type encoder struct {
	mode Mode
	img  *image.YCbCr // for YUYV
	buf  bytes.Buffer
}

func newEncoder(mode Mode) *encoder {
	e := &encoder{mode: mode}
	if mode.Format == YUYV {
		e.img = image.NewYCbCr(image.Rect(0, 0, mode.Width, mode.Height), image.YCbCrSubsampleRatio420)
	}
	return e
}

// picture returns a JPEG in memory of its own.
func (e *encoder) picture(data []byte) ([]byte, error) {
	if e.mode.Format != YUYV {
		return checkJPEG(data, e.mode)
	}
	if need := e.mode.Stride*(e.mode.Height-1) + 2*e.mode.Width; len(data) < need {
		return nil, fmt.Errorf("%d bytes are not a whole picture of %d", len(data), need)
	}
	unpackYUYV(e.img, data, e.mode.Stride)
	e.buf.Reset()
	if err := jpeg.Encode(&e.buf, e.img, &jpeg.Options{Quality: yuyvQuality}); err != nil {
		return nil, fmt.Errorf("encode YUYV picture: %w", err)
	}
	return bytes.Clone(e.buf.Bytes()), nil
}

// unpackYUYV fills a 4:2:0 picture from packed 4:2:2 rows: two pixels in four
// bytes, luma, blue, luma, red. V4L2's video range (16 to 235, BT.601) is spread
// to JPEG's full range.
func unpackYUYV(img *image.YCbCr, data []byte, stride int) {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	for y := range height {
		row := data[y*stride:][:2*(width&^1)]
		luma := img.Y[y*img.YStride:][:width]
		for x := 0; x+1 < width; x += 2 {
			luma[x], luma[x+1] = fullLuma(row[2*x]), fullLuma(row[2*x+2])
		}
		if width%2 == 1 { // an odd last pixel repeats its neighbour
			luma[width-1] = luma[width-2]
		}
		if y%2 == 1 {
			continue
		}
		below := row
		if y+1 < height {
			below = data[(y+1)*stride:][:2*(width&^1)]
		}
		cb, cr := img.Cb[y/2*img.CStride:][:img.CStride], img.Cr[y/2*img.CStride:][:img.CStride]
		for x := 0; x+1 < width; x += 2 {
			cb[x/2] = fullChroma(int(row[2*x+1]) + int(below[2*x+1]))
			cr[x/2] = fullChroma(int(row[2*x+3]) + int(below[2*x+3]))
		}
		if width%2 == 1 {
			cb[width/2], cr[width/2] = cb[width/2-1], cr[width/2-1]
		}
	}
}

// fullLuma spreads 16..235 to 0..255.
func fullLuma(v byte) byte { return clip(((int(v)-16)*255 + 109) / 219) }

// fullChroma spreads the mean of two samples from 16..240 to 0..255.
func fullChroma(sum int) byte { return clip(128 + ((sum-256)*255)/(2*224)) }

func clip(v int) byte { return byte(min(max(v, 0), 255)) }

// sortedFormats yields the formats in a fixed order.
func sortedFormats(has map[PixelFormat]string) iter.Seq2[PixelFormat, string] {
	return func(yield func(PixelFormat, string) bool) {
		for _, format := range slices.Sorted(maps.Keys(has)) {
			if !yield(format, has[format]) {
				return
			}
		}
	}
}
