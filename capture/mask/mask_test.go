package mask

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lensward/lensward/capture"
)

// picture returns a colour picture that is nowhere black.
func picture(width, height int, seed uint64) *image.YCbCr {
	r := rand.New(rand.NewPCG(seed, 5))
	img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = byte(100 + i%width/16 + r.IntN(20))
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = byte(60+r.IntN(20)), byte(180+r.IntN(20))
	}
	return img
}

func encode(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 85}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(t testing.TB, data []byte) *image.YCbCr {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return img.(*image.YCbCr)
}

func newMask(t testing.TB, areas ...capture.Area) *Mask {
	t.Helper()
	m, err := New(areas)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shapes are areas of each kind: within, at the edges, smaller than a block, slanted,
// with a dent, all.
func shapes() map[string]capture.Area {
	return map[string]capture.Area{
		"within":   capture.Rectangle(0.3, 0.2, 0.6, 0.7),
		"left":     capture.Rectangle(0, 0, 0.1, 1),
		"right":    capture.Rectangle(0.93, 0.5, 1, 1),
		"tiny":     {{X: 0.501, Y: 0.502}, {X: 0.503, Y: 0.502}, {X: 0.502, Y: 0.504}},
		"triangle": {{X: 0.1, Y: 0.9}, {X: 0.5, Y: 0.1}, {X: 0.9, Y: 0.8}},
		"dented":   {{X: 0.1, Y: 0.1}, {X: 0.9, Y: 0.1}, {X: 0.9, Y: 0.9}, {X: 0.5, Y: 0.3}, {X: 0.1, Y: 0.9}},
		"all":      capture.Rectangle(0, 0, 1, 1),
	}
}

// black says whether each pixel of an area, and how many in all, are black.
func black(t *testing.T, width, height int, area capture.Area, is func(x, y int) bool) (count int) {
	t.Helper()
	for y := range height {
		for x := range width {
			b := is(x, y)
			if b {
				count++
			}
			if p := (capture.Point{X: (float64(x) + 0.5) / float64(width), Y: (float64(y) + 0.5) / float64(height)}); area.Contains(p) && !b {
				t.Fatalf("pixel %d,%d is in the area and not black", x, y)
			}
		}
	}
	return count
}

// mostHidden bounds how many pixels an area of a picture may hide: those within 18 of
// it, which is a block of colour and a border that touches the next one.
func mostHidden(width, height int, area capture.Area) (n int) {
	dx, dy := 18/float64(width), 18/float64(height)
	for y := range height {
		for x := range width {
			cx, cy := (float64(x)+0.5)/float64(width), (float64(y)+0.5)/float64(height)
			if area.Touches(cx-dx, cy-dy, cx+dx, cy+dy) {
				n++
			}
		}
	}
	return n
}

func TestJPEG(t *testing.T) {
	for _, size := range []image.Point{{160, 96}, {161, 91}, {30, 17}} {
		before := encode(t, picture(size.X, size.Y, 1))
		was := decode(t, before)
		for name, area := range shapes() {
			out, err := newMask(t, area).JPEG(before)
			if err != nil {
				t.Fatal(err)
			}
			is := decode(t, out)
			n := black(t, size.X, size.Y, area, func(x, y int) bool {
				c, old := is.YCbCrAt(x, y), was.YCbCrAt(x, y)
				hidden := c.Y == 0 && c.Cb == neutral && c.Cr == neutral
				if !hidden && c.Y != old.Y {
					t.Fatalf("%s: pixel %d,%d is %v, was %v", name, x, y, c, old)
				}
				return hidden
			})
			if most := mostHidden(size.X, size.Y, area); n > most {
				t.Errorf("%s of %v: %d pixels are black, at most %d should be", name, size, n, most)
			}
		}
	}
}

func TestFrame(t *testing.T) {
	const width, height = 320, 192
	area := capture.Rectangle(0.25, 0.25, 0.5, 0.75)
	small := picture(160, 96, 2)
	grid := capture.Grid{Width: 40, Height: 24, Luma: bytes.Repeat([]byte{200}, 40*24)}
	frame := capture.Frame{
		Seq: 7, Format: capture.FormatMJPEG, Width: width, Height: height, Key: true,
		Data: encode(t, picture(width, height, 1)), Preview: &capture.Preview{Grid: grid, Image: small, JPEG: encode(t, small)},
	}
	data, luma, jpg := bytes.Clone(frame.Data), bytes.Clone(grid.Luma), bytes.Clone(frame.Preview.JPEG)
	ys, cs := bytes.Clone(small.Y), bytes.Clone(small.Cb)

	m := newMask(t, area)
	out, err := m.Frame(frame)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(frame.Data, data) || !bytes.Equal(grid.Luma, luma) || !bytes.Equal(frame.Preview.JPEG, jpg) ||
		!bytes.Equal(small.Y, ys) || !bytes.Equal(small.Cb, cs) {
		t.Error("the frame given was changed")
	}
	if out.Seq != 7 || out.Width != width || !out.Key {
		t.Errorf("the frame came out as %+v", out)
	}
	for name, img := range map[string]*image.YCbCr{
		"picture": decode(t, out.Data), "preview's image": out.Preview.Image, "preview's JPEG": decode(t, out.Preview.JPEG),
	} {
		size := img.Bounds().Size()
		n := black(t, size.X, size.Y, area, func(x, y int) bool {
			return img.YCbCrAt(x, y) == color.YCbCr{Y: 0, Cb: neutral, Cr: neutral}
		})
		if most := mostHidden(size.X, size.Y, area); n > most {
			t.Errorf("%s: %d pixels are black, at most %d should be", name, n, most)
		}
	}
	n := black(t, 40, 24, area, func(x, y int) bool { return out.Preview.Grid.Luma[y*40+x] == 0 })
	if n != 12*14 { // 10×12 cells, and those that its border touches
		t.Errorf("%d cells of the grid are black", n)
	}
}

// TestSmallGrid holds that a grid which is not of the whole frame's blocks is masked.
func TestSmallGrid(t *testing.T) {
	area := capture.Rectangle(0, 0, 0.49, 1)
	m := newMask(t, area)
	g, err := m.grid(capture.Grid{Width: 10, Height: 5, Luma: bytes.Repeat([]byte{9}, 50)}, 1280, 720)
	if err != nil {
		t.Fatal(err)
	}
	if n := black(t, 10, 5, area, func(x, y int) bool { return g.Luma[y*10+x] == 0 }); n != 25 {
		t.Errorf("%d cells are black, want 25", n)
	}
	if _, err := m.grid(capture.Grid{Width: 10, Height: 5, Luma: make([]byte, 49)}, 1280, 720); err == nil {
		t.Error("a grid with a mean too few was taken")
	}
}

// TestPartOfImage holds that a preview which is a part of a larger image is masked as
// a picture of its own, whatever its subsampling.
func TestPartOfImage(t *testing.T) {
	area := capture.Rectangle(0.5, 0.5, 1, 1)
	for _, ratio := range []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
		image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
	} {
		whole := image.NewYCbCr(image.Rect(0, 0, 64, 48), ratio)
		for i := range whole.Y {
			whole.Y[i] = byte(1 + i%250)
		}
		for i := range whole.Cb {
			whole.Cb[i], whole.Cr[i] = byte(1+i%100), byte(1+i%90)
		}
		part := whole.SubImage(image.Rect(13, 7, 54, 40)).(*image.YCbCr)
		out := newMask(t, area).image(part)
		if out.Bounds() != part.Bounds() {
			t.Fatalf("bounds %v, want %v", out.Bounds(), part.Bounds())
		}
		black(t, 41, 33, area, func(x, y int) bool {
			c, old := out.YCbCrAt(13+x, 7+y), part.YCbCrAt(13+x, 7+y)
			if x < 12 && y < 12 && c != old {
				t.Fatalf("%v: pixel %d,%d is %v, was %v", ratio, x, y, c, old)
			}
			return c == color.YCbCr{Y: 0, Cb: neutral, Cr: neutral}
		})
	}
}

func TestRefused(t *testing.T) {
	m := newMask(t, capture.Rectangle(0.4, 0.4, 0.6, 0.6))
	good := encode(t, picture(64, 64, 1))
	for name, f := range map[string]capture.Frame{
		"H.264":             {Format: capture.FormatH264, Data: good},
		"cut off":           {Format: capture.FormatMJPEG, Data: good[:len(good)/2]},
		"empty":             {Format: capture.FormatMJPEG},
		"preview cut off":   {Format: capture.FormatMJPEG, Data: good, Preview: &capture.Preview{JPEG: good[:200]}},
		"preview no JPEG":   {Format: capture.FormatMJPEG, Data: good, Preview: &capture.Preview{JPEG: []byte{}}},
		"preview's bad map": {Format: capture.FormatMJPEG, Data: good, Preview: &capture.Preview{Grid: capture.Grid{Width: 3}, Image: nil, JPEG: []byte("x")}},
	} {
		out, err := m.Frame(f)
		if err == nil || out.Data != nil || out.Preview != nil {
			t.Errorf("%s: %d bytes, error %v", name, len(out.Data), err)
		}
		var format *FormatError
		if errors.As(err, &format) != (f.Format == capture.FormatH264) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	one := capture.Rectangle(0, 0, 1, 1)
	for want, areas := range map[string][]capture.Area{
		"1 to 32 areas":  nil,
		"not 33":         make([]capture.Area, 33),
		"area 2":         {one, one[:2]},
		"not within 0 a": {{{X: 0, Y: 0}, {X: 2, Y: 0}, {X: 1, Y: 1}}},
	} {
		if _, err := New(areas); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	given := capture.Rectangle(0, 0, 0.5, 0.5)
	m := newMask(t, given)
	given[2] = capture.Point{}
	if m.areas[0][2] != (capture.Point{X: 0.5, Y: 0.5}) {
		t.Error("the mask changes with the areas it was made of")
	}
}

// TestCoverIsAll holds that a cell is hidden if an area touches it, and only if, and
// that none is outside an area's bounds.
func TestCoverIsAll(t *testing.T) {
	for name, area := range shapes() {
		m := newMask(t, area)
		for _, g := range []geometry{{160, 96, 8, 8, 0}, {161, 91, 16, 8, 0}, {33, 20, 2, 2, 1}, {7, 5, 1, 1, 0}, {640, 480, 32, 8, 3}} {
			across, down := g.cells()
			cover := m.cover(g)
			for y := range down {
				for x := range across {
					x0, x1 := share(x, g.width, g.cellWidth, g.margin)
					y0, y1 := share(y, g.height, g.cellHeight, g.margin)
					low, high := bounds(area)
					want := area.Touches(x0, y0, x1, y1) && x0 <= high.X && x1 >= low.X && y0 <= high.Y && y1 >= low.Y
					if got := cover[y*across+x]; got != want {
						t.Fatalf("%s, %+v: cell %d,%d is %v", name, g, x, y, got)
					}
				}
			}
		}
	}
}

// TestCoversAreBounded holds that a camera which changes its size with every frame
// takes no more and more memory.
func TestCoversAreBounded(t *testing.T) {
	m := newMask(t, capture.Rectangle(0, 0, 0.5, 0.5))
	for n := range 100 {
		m.cover(geometry{64 + n, 64, 8, 8, 0})
	}
	if len(m.covers) > maxCovers {
		t.Errorf("%d covers are kept", len(m.covers))
	}
}

// BenchmarkFrame masks a tenth of a picture of 1280×720 an operation.
func BenchmarkFrame(b *testing.B) {
	f := capture.Frame{Format: capture.FormatMJPEG, Width: 1280, Height: 720, Data: encode(b, picture(1280, 720, 1))}
	m := newMask(b, capture.Rectangle(0.5, 0.3, 0.7, 0.8))
	b.SetBytes(int64(len(f.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Frame(f); err != nil {
			b.Fatal(err)
		}
	}
}
