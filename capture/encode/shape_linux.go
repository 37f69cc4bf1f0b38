package encode

import (
	"fmt"
	"image"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/videodev"
)

// shape is how a driver wants raw pictures in its buffers.
type shape struct {
	format        videodev.Format
	width, height int // of the picture, which the rows and their number may exceed
}

// planesIn is how many buffers a picture in a pixel format lies in.
func planesIn(p videodev.PixelFormat) int {
	switch p {
	case videodev.YM12:
		return 3
	case videodev.NM12:
		return 2
	default:
		return 1
	}
}

// newShape checks that a picture fits into what the driver has made of a format.
func newShape(f videodev.Format, p videodev.PixelFormat, width, height int) (shape, error) {
	s := shape{f, width, height}
	tooSmall := func(p videodev.PlaneFormat, i int) error {
		return fmt.Errorf("has room for %d bytes in rows of %d, too few for plane %d of %v of %d×%d",
			p.Size, p.Stride, i, f.PixelFormat, width, height)
	}
	switch {
	case f.PixelFormat != p:
		return shape{}, fmt.Errorf("takes %v in place of %v", f.PixelFormat, p)
	case f.Width != width || f.Height < height:
		return shape{}, fmt.Errorf("takes pictures of %d×%d and not of %d×%d", f.Width, f.Height, width, height)
	case len(f.Planes) != planesIn(p):
		return shape{}, fmt.Errorf("wants %v in %d planes", p, len(f.Planes))
	}
	if first := f.Planes[0]; int64(first.Stride)*int64(f.Height) > int64(first.Size) {
		return shape{}, tooSmall(first, 0) // and areas would not fit into 32 bits
	}
	for i, a := range s.areas() {
		end := int64(a.offset) + int64(a.stride)*int64(a.rows)
		if room := f.Planes[a.buffer]; a.stride < a.rowBytes || end > int64(room.Size) {
			return shape{}, tooSmall(room, i)
		}
	}
	return s, nil
}

// area is where one plane of a picture lies in a buffer.
type area struct {
	buffer, offset, stride int
	rowBytes               int // of the picture
	used, rows             int // of the picture; of the buffer
}

// areas are those of the picture's planes. Where they share a buffer they follow
// one another, and chroma's rows are as long as luma's make them (V4L2's "YUV
// formats", planar).
func (s shape) areas() []area {
	f := s.format
	stride := func(i int) int { return f.Planes[min(i, len(f.Planes)-1)].Stride }
	luma := area{0, 0, stride(0), s.width, s.height, f.Height}
	half := area{rowBytes: s.width, used: s.height / 2, rows: f.Height / 2}
	switch f.PixelFormat {
	case videodev.YUYV:
		luma.rowBytes = 2 * s.width
		return []area{luma}
	case videodev.NV12:
		half.offset, half.stride = luma.stride*luma.rows, luma.stride
		return []area{luma, half}
	case videodev.NM12:
		half.buffer, half.stride = 1, stride(1)
		return []area{luma, half}
	}
	half.rowBytes /= 2
	blue, red := half, half
	if f.PixelFormat == videodev.YM12 {
		blue.buffer, blue.stride, red.buffer, red.stride = 1, stride(1), 2, stride(2)
	} else {
		blue.stride, red.stride = luma.stride/2, luma.stride/2
		blue.offset = luma.stride * luma.rows
		red.offset = blue.offset + blue.stride*blue.rows
	}
	return []area{luma, blue, red}
}

// sizes are the bytes of each buffer that the driver is told are used: all.
func (s shape) sizes() []int {
	var all []int
	for _, p := range s.format.Planes {
		all = append(all, p.Size)
	}
	return all
}

// writer puts raw pictures into a driver's buffers, row by row. It only writes
// there: such memory may be slow to read.
type writer struct {
	shape shape
	areas []area
	box   shrinker
	video *ranges
	work  *image.YCbCr // of what does not lie in memory as the driver wants it; made when needed
}

func newWriter(s shape) *writer { return &writer{shape: s, areas: s.areas(), video: toVideo()} }

// write fills a buffer with a picture in video range. r is the picture, and p is r
// taken apart.
func (w *writer) write(memory [][]byte, r *capture.Raw, p picture) error {
	for _, a := range w.areas {
		if a.buffer >= len(memory) || a.offset+a.stride*a.rows > len(memory[a.buffer]) {
			return fmt.Errorf("a buffer of the encoder is too short for a picture of %d×%d", w.shape.width, w.shape.height)
		}
	}
	values := (*ranges)(nil)
	if r.Full {
		values = w.video
	}
	if w.same(r.Layout) {
		for i, a := range w.areas {
			first, second := values.lumaTable(), values.lumaTable()
			if i > 0 {
				first = values.chromaTable()
			}
			if i > 0 || r.Layout == capture.LayoutYUYV {
				second = values.chromaTable()
			}
			a.copy(memory, r.Planes[i], r.Strides[i], first, second)
		}
		return nil
	}
	if w.work == nil {
		w.work = image.NewYCbCr(image.Rect(0, 0, w.shape.width, w.shape.height), image.YCbCrSubsampleRatio420)
	}
	w.box.into(w.work, p, 1, values)
	w.areas[0].copy(memory, w.work.Y, w.work.YStride, nil, nil)
	if len(w.areas) == 3 {
		w.areas[1].copy(memory, w.work.Cb, w.work.CStride, nil, nil)
		w.areas[2].copy(memory, w.work.Cr, w.work.CStride, nil, nil)
		return nil
	}
	w.areas[1].interleave(memory, w.work)
	return nil
}

// same says whether pictures in a layout lie in memory as the driver wants them.
func (w *writer) same(l capture.Layout) bool {
	switch w.shape.format.PixelFormat {
	case videodev.YUYV:
		return l == capture.LayoutYUYV
	case videodev.NV12, videodev.NM12:
		return l == capture.LayoutNV12
	default:
		return l == capture.LayoutI420
	}
}

// row returns a row's bytes in a buffer.
func (a area) row(memory [][]byte, y int) []byte {
	return memory[a.buffer][a.offset+y*a.stride:][:a.rowBytes]
}

// copy copies rows; bytes in turns go through the first and the second table, if
// there are any. Rows beyond the picture repeat its last one, so that no edge
// shows.
func (a area) copy(memory [][]byte, src []byte, stride int, first, second *[256]byte) {
	for y := range a.rows {
		from := src[min(y, a.used-1)*stride:][:a.rowBytes]
		to := a.row(memory, y)
		if first == nil {
			copy(to, from)
			continue
		}
		for x := 0; x+1 < len(to); x += 2 {
			to[x], to[x+1] = first[from[x]], second[from[x+1]]
		}
		if last := len(to) - 1; last%2 == 0 {
			to[last] = first[from[last]]
		}
	}
}

// interleave writes the chroma of NV12.
func (a area) interleave(memory [][]byte, img *image.YCbCr) {
	for y := range a.rows {
		at := min(y, a.used-1) * img.CStride
		blue, red := img.Cb[at:][:a.rowBytes/2], img.Cr[at:][:a.rowBytes/2]
		to := a.row(memory, y)
		for x, v := range blue {
			to[2*x], to[2*x+1] = v, red[x]
		}
	}
}
