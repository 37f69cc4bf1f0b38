package encode

import (
	"context"
	"image"
	"image/color"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
)

// bars are the colours of a test picture, from left to right.
func bars() []color.YCbCr {
	var all []color.YCbCr
	for _, c := range []color.RGBA{
		{255, 255, 255, 255}, {255, 255, 0, 255}, {0, 255, 255, 255}, {0, 255, 0, 255},
		{255, 0, 255, 255}, {255, 0, 0, 255}, {0, 0, 255, 255}, {0, 0, 0, 255},
	} {
		y, cb, cr := color.RGBToYCbCr(c.R, c.G, c.B)
		all = append(all, color.YCbCr{Y: y, Cb: cb, Cr: cr})
	}
	return all
}

// barAt is the colour of a column.
func barAt(x, width int) color.YCbCr {
	all := bars()
	return all[x*len(all)/width]
}

// narrow is a full-range colour in video range, by the formulas of BT.601 and not
// by the tables under test.
func narrow(c color.YCbCr) color.YCbCr {
	return color.YCbCr{
		Y:  byte(16 + (float64(c.Y)*219/255 + 0.5)),
		Cb: byte(128.5 + (float64(c.Cb)-128)*224/255),
		Cr: byte(128.5 + (float64(c.Cr)-128)*224/255),
	}
}

// rawBars makes a picture of colour bars, with rows padded by pad bytes of noise.
func rawBars(layout capture.Layout, width, height, pad int, full bool) *capture.Raw {
	r := &capture.Raw{Layout: layout, Full: full, Width: width, Height: height}
	plane := func(i, rowBytes, rows int) []byte {
		r.Strides[i] = rowBytes + pad
		r.Planes[i] = make([]byte, r.Strides[i]*rows)
		for at := range r.Planes[i] {
			r.Planes[i][at] = byte(37 * at)
		}
		return r.Planes[i]
	}
	at := func(x int) color.YCbCr {
		c := barAt(min(x, width-1), width)
		if !full {
			c = narrow(c)
		}
		return c
	}
	halfW, halfH := (width+1)/2, (height+1)/2
	if layout == capture.LayoutYUYV {
		p := plane(0, 2*width, height)
		for y := range height {
			for x := range width {
				p[y*r.Strides[0]+2*x] = at(x).Y
			}
			for x := range width / 2 {
				p[y*r.Strides[0]+4*x+1], p[y*r.Strides[0]+4*x+3] = at(2*x).Cb, at(2*x).Cr
			}
		}
		return r
	}
	p := plane(0, width, height)
	for y := range height {
		for x := range width {
			p[y*r.Strides[0]+x] = at(x).Y
		}
	}
	switch layout {
	case capture.LayoutI420:
		blue, red := plane(1, halfW, halfH), plane(2, halfW, halfH)
		for y := range halfH {
			for x := range halfW {
				blue[y*r.Strides[1]+x], red[y*r.Strides[2]+x] = at(2*x).Cb, at(2*x).Cr
			}
		}
	case capture.LayoutNV12:
		both := plane(1, 2*halfW, halfH)
		for y := range halfH {
			for x := range halfW {
				both[y*r.Strides[1]+2*x], both[y*r.Strides[1]+2*x+1] = at(2*x).Cb, at(2*x).Cr
			}
		}
	}
	return r
}

// near says whether two samples differ by at most by.
func near(a, b byte, by int) bool {
	d := int(a) - int(b)
	return d >= -by && d <= by
}

// nearColour compares the colours of a picture at x, y.
func nearColour(img *image.YCbCr, x, y int, want color.YCbCr, by int) bool {
	got := img.YCbCrAt(x, y)
	return near(got.Y, want.Y, by) && near(got.Cb, want.Cb, by) && near(got.Cr, want.Cr, by)
}

// rawSource is a camera whose pictures are given by a function.
type rawSource func(ctx context.Context, emit func(*capture.Raw) error) error

func (f rawSource) RunRaw(ctx context.Context, emit func(*capture.Raw) error) error {
	return f(ctx, emit)
}

// began is when the pictures of tests begin.
func began() time.Time { return time.Unix(1_700_000_000, 0) }

// numbered gives n pictures of one camera, their luma a little different each,
// 1/fps apart by their times and as fast as ready lets them.
func numbered(first *capture.Raw, n int, fps float64, ready func()) rawSource {
	return func(ctx context.Context, emit func(*capture.Raw) error) error {
		r := *first
		for i := range n {
			ready()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.Seq, r.Time = uint64(i), began().Add(time.Duration(float64(i)/fps*float64(time.Second)))
			r.Planes[0][0] = byte(16 + i%200)
			if err := emit(&r); err != nil {
				return err
			}
		}
		return nil
	}
}

// newSource makes a source of a raw one that gives pictures like r.
func newSource(t *testing.T, raw capture.RawSource, r *capture.Raw, s Settings) *Source {
	t.Helper()
	s.Width, s.Height, s.Layout = r.Width, r.Height, r.Layout
	source, err := New(t.Context(), raw, s)
	if err != nil {
		t.Fatal(err)
	}
	return source
}
