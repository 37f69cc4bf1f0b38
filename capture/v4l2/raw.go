//go:build linux

package v4l2

import (
	"fmt"

	"github.com/lensward/lensward/capture"
)

// raws hands raw pictures on, where they lie.
type raws struct {
	camera *Camera
	emit   func(*capture.Raw) error
	raw    capture.Raw
}

func (r *raws) take(p *picture) (faulty, err error) {
	m := p.format.mode
	r.raw = capture.Raw{
		Seq: p.seq, Time: p.time, Layout: m.Layout, Full: m.Full, Width: m.Width, Height: m.Height,
	}
	shapes, _ := p.format.planes() // checked when the format was set
	for i, shape := range shapes {
		if shape.buffer >= len(p.planes) {
			return fmt.Errorf("%d planes are not %d", len(p.planes), shape.buffer+1), nil
		}
		memory := p.planes[shape.buffer]
		if end := shape.offset + shape.stride*(shape.rows-1) + shape.row; len(memory) < end {
			return fmt.Errorf("%d bytes are not a whole picture, which has %d", len(memory), end), nil
		}
		r.raw.Planes[i], r.raw.Strides[i] = memory[shape.offset:], shape.stride
	}
	return nil, r.emit(&r.raw)
}

// shape is where one of a picture's planes lies.
type shape struct {
	buffer, offset    int
	stride, row, rows int // bytes, bytes that count, rows
}

// planes returns where a raw picture's planes lie, by V4L2's rules: in one buffer
// they follow one another, and the chroma rows of I420 are half as long as those
// of luma. False if the rows are too short.
func (f format) planes() ([]shape, bool) {
	w, h := f.mode.Width, f.mode.Height
	half, halfRows := (w+1)/2, (h+1)/2
	var all []shape
	switch f.mode.Layout {
	case capture.LayoutGrey:
		all = []shape{{row: w, rows: h}}
	case capture.LayoutYUYV:
		all = []shape{{row: 4 * half, rows: h}}
	case capture.LayoutNV12:
		all = []shape{{row: w, rows: h}, {row: 2 * half, rows: halfRows}}
	case capture.LayoutI420:
		all = []shape{{row: w, rows: h}, {row: half, rows: halfRows}, {row: half, rows: halfRows}}
	}
	several := len(f.pix.Planes) > 1
	if several && len(f.pix.Planes) < len(all) {
		return nil, false
	}
	first := f.pix.Planes[0].Stride
	if first == 0 {
		first = all[0].row
	}
	offset := 0
	for i := range all {
		s := &all[i]
		switch {
		case several:
			s.buffer, s.stride = i, f.pix.Planes[i].Stride
		case i > 0 && f.mode.Layout == capture.LayoutI420:
			s.stride = first / 2
		default:
			s.stride = first
		}
		if !several {
			s.offset = offset
			offset += s.stride * s.rows
		}
		if s.stride < s.row {
			return nil, false
		}
	}
	return all, true
}
