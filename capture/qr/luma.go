package qr

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
)

// luma is a grey picture. It may lie in memory of someone else, which is never written to.
type luma struct {
	width, height, stride int
	pix                   []byte
}

func (l luma) row(y int) []byte { return l.pix[y*l.stride:][:l.width] }

// part is a part of a picture, in the same memory.
func (l luma) part(r image.Rectangle) luma {
	r = r.Intersect(image.Rect(0, 0, l.width, l.height))
	if r.Empty() {
		return luma{}
	}
	return luma{r.Dx(), r.Dy(), l.stride, l.pix[r.Min.Y*l.stride+r.Min.X:]}
}

// checkSize holds a picture to the limits.
func checkSize(width, height int) error {
	switch {
	case width < 1 || height < 1:
		return fmt.Errorf("a picture of %d×%d", width, height)
	case width > MaxSide || height > MaxSide:
		return fmt.Errorf("a picture of %d×%d, the limit is %d×%d: %w", width, height, MaxSide, MaxSide, ErrTooLarge)
	}
	return nil
}

// ofJPEG decodes a baseline JPEG. Its scan must have been read by jpegdc before: what the
// decoder here would take beyond that, progressive pictures above all, may take many times
// the memory.
func ofJPEG(data []byte) (luma, error) {
	width, height, err := jpegdc.Size(data)
	if err != nil {
		return luma{}, err
	}
	if err := checkSize(width, height); err != nil {
		return luma{}, err
	}
	img, err := jpeg.Decode(bytes.NewReader(jpegdc.WithTables(data)))
	if err != nil {
		return luma{}, fmt.Errorf("decode JPEG: %w", err)
	}
	b := img.Bounds()
	switch img := img.(type) {
	case *image.YCbCr:
		return ofPlane(b.Dx(), b.Dy(), img.YStride, img.Y)
	case *image.Gray:
		return ofPlane(b.Dx(), b.Dy(), img.Stride, img.Pix)
	}
	return luma{}, errors.New("a JPEG without luma")
}

// ofPlane takes luma as it lies in memory.
func ofPlane(width, height, stride int, plane []byte) (luma, error) {
	if err := checkSize(width, height); err != nil {
		return luma{}, err
	}
	if stride < width || len(plane)/stride < height-1 || len(plane)-(height-1)*stride < width {
		return luma{}, fmt.Errorf("a picture of %d×%d with %d bytes in rows of %d", width, height, len(plane), stride)
	}
	return luma{width, height, stride, plane}, nil
}

// ofRaw takes the luma of a raw picture, into b where it does not lie by itself.
func (b *buffers) ofRaw(p *capture.Raw) (luma, error) {
	plane, stride := p.Planes[0], p.Strides[0]
	switch p.Layout {
	case capture.LayoutGrey, capture.LayoutI420, capture.LayoutNV12:
		return ofPlane(p.Width, p.Height, stride, plane)
	case capture.LayoutYUYV:
	default:
		return luma{}, fmt.Errorf("a raw picture in %s: %w", p.Layout, ErrNoPicture)
	}
	if err := checkSize(p.Width, p.Height); err != nil {
		return luma{}, err
	}
	// The last row's last chroma sample may be missing: it is not read.
	if last := 2*p.Width - 1; stride < last || len(plane)/stride < p.Height-1 || len(plane)-(p.Height-1)*stride < last {
		return luma{}, fmt.Errorf("a picture of %d×%d with %d bytes in rows of %d", p.Width, p.Height, len(plane), stride)
	}
	out := luma{p.Width, p.Height, p.Width, room(&b.raw, p.Width*p.Height)}
	for y := range p.Height {
		in, to := plane[y*stride:], out.row(y)
		for x := range to {
			to[x] = in[2*x]
		}
	}
	return out, nil
}

// buffers are what one picture after another is worked on in.
type buffers struct {
	raw, small, large, dark []byte
	rows                    []int16
	blocks                  []int32
}

// room gives n elements of a buffer, which is made larger if need be. What is in them is
// left from before.
func room[T any](b *[]T, n int) []T {
	if cap(*b) < n {
		*b = make([]T, n)
	}
	return (*b)[:n]
}

// shrunk is a picture at 1/n of its size, each pixel the mean of n×n.
func (b *buffers) shrunk(l luma, n int) luma {
	if n <= 1 {
		return l
	}
	out := luma{l.width / n, l.height / n, l.width / n, nil}
	out.pix = room(&b.small, out.width*out.height)
	sums := room(&b.blocks, out.width)
	for y := range out.height {
		clear(sums)
		for yy := range n {
			row := l.row(y*n + yy)
			for x := range sums {
				for _, v := range row[x*n : x*n+n] {
					sums[x] += int32(v)
				}
			}
		}
		to, area := out.row(y), int32(n*n)
		for x, sum := range sums {
			to[x] = byte((sum + area/2) / area)
		}
	}
	return out
}

// doubled is a picture at twice its size, by cubic interpolation (Catmull-Rom): the border
// between two modules then falls between two pixels, and fine detail keeps its contrast.
func (b *buffers) doubled(l luma) luma {
	w, h := 2*l.width, 2*l.height
	out := luma{w, h, w, room(&b.large, w*h)}
	rows := room(&b.rows, w*l.height)
	for y := range l.height {
		in, to := l.row(y), rows[y*w:(y+1)*w]
		for x := range l.width {
			p, q := int16(in[max(x-1, 0)]), int16(in[x])
			r := int16(in[min(x+1, l.width-1)])
			o, s := int16(in[max(x-2, 0)]), int16(in[min(x+2, l.width-1)])
			to[2*x] = int16((int32(29*p) + 111*int32(q) - int32(9*r) - int32(3*o) + 64) >> 7)
			to[2*x+1] = int16((int32(29*r) + 111*int32(q) - int32(9*p) - int32(3*s) + 64) >> 7)
		}
	}
	at := func(y int) []int16 { return rows[min(max(y, 0), l.height-1)*w:][:w] }
	for y := range l.height {
		o, p, q, r, s := at(y-2), at(y-1), at(y), at(y+1), at(y+2)
		above, below := out.row(2*y), out.row(2*y+1)
		for x := range q {
			pp, qq, rr := int32(p[x]), 111*int32(q[x]), int32(r[x])
			above[x] = clamped((29*pp + qq - 9*rr - 3*int32(o[x]) + 64) >> 7)
			below[x] = clamped((29*rr + qq - 9*pp - 3*int32(s[x]) + 64) >> 7)
		}
	}
	return out
}

func clamped(v int32) byte { return byte(min(max(v, 0), 255)) }

// sharpened adds to each pixel some times what it differs from the mean of those around
// it: a part of what a lens out of focus took. With times -1 it is that mean, which is
// binomial, 1 4 6 4 1 each way. It may work in place.
func (b *buffers) sharpened(l luma, times int32) luma {
	if times == 0 {
		return l
	}
	w, h := l.width, l.height
	out := luma{w, h, w, room(&b.small, w*h)}
	rows := room(&b.rows, w*h)
	for y := range h {
		in, to := l.row(y), rows[y*w:(y+1)*w]
		for x := range in {
			far := int16(in[max(x-2, 0)]) + int16(in[min(x+2, w-1)])
			near := int16(in[max(x-1, 0)]) + int16(in[min(x+1, w-1)])
			to[x] = far + 4*near + 6*int16(in[x])
		}
	}
	at := func(y int) []int16 { return rows[min(max(y, 0), h-1)*w:][:w] }
	for y := range h {
		p, q, r, s, t := at(y-2), at(y-1), at(y), at(y+1), at(y+2)
		in, to := l.row(y), out.row(y)
		for x, v := range in {
			sum := int32(p[x]) + int32(t[x]) + 4*(int32(q[x])+int32(s[x])) + 6*int32(r[x]) // 256 times the mean
			to[x] = clamped(int32(v) + (times*(256*int32(v)-sum))/256)
		}
	}
	return out
}
