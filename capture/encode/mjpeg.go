package encode

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"

	"github.com/lensward/lensward/capture"
)

// jpegQuality is the quality at which JPEGs are made: that of a good camera.
const jpegQuality = 80

// jpegs makes Motion JPEG. Everything is full range, as JFIF has it.
type jpegs struct {
	desk *desk
	grey bool
	full *ranges
	box  shrinker
}

func newJPEGs(s Settings) *jpegs {
	return &jpegs{
		desk: newDesk(s.Width, s.Height),
		grey: s.Layout == capture.LayoutGrey,
		full: toFull(),
	}
}

func (j *jpegs) ready() bool { return j.desk.ready() }

func (j *jpegs) take(r *capture.Raw, p picture, preview bool) error {
	values := j.full
	if r.Full {
		values = nil
	}
	s := j.desk.sheet()
	s.seq, s.time, s.preview = r.Seq, r.Time, nil
	if j.grey { // its chroma is never looked at
		luma, _, _ := planesOf(s.img)
		j.box.shrink(luma, p.luma, 1, 1, values.lumaTable())
	} else {
		j.box.into(s.img, p, 1, values)
	}
	if preview {
		s.preview = &capture.Preview{Grid: j.box.grid(componentsOf(s.img).luma, cellSide, nil)}
	}
	j.desk.hand(s)
	return nil
}

func (j *jpegs) finish() { j.desk.finish() }

func (j *jpegs) close() error { return nil }

// run encodes. The picture's own JPEG is its preview's picture: it is decoded only
// where a thumbnail is made.
func (j *jpegs) run(ctx context.Context, emit func(capture.Frame)) error {
	var buf bytes.Buffer
	for {
		s, err := j.desk.next(ctx, nil)
		if s == nil {
			return err
		}
		var img image.Image = s.img
		if j.grey {
			img = &image.Gray{Pix: s.img.Y, Stride: s.img.YStride, Rect: s.img.Rect}
		}
		buf.Reset()
		if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: jpegQuality}); err != nil {
			return fmt.Errorf("encode JPEG: %w", err)
		}
		f := capture.Frame{
			Seq: s.seq, Time: s.time, Format: capture.FormatMJPEG,
			Width: s.img.Rect.Dx(), Height: s.img.Rect.Dy(), Key: true,
			Data: bytes.Clone(buf.Bytes()), Preview: s.preview,
		}
		if f.Preview != nil {
			f.Preview.JPEG = f.Data
		}
		j.desk.giveBack(s)
		emit(f)
	}
}
