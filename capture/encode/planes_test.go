package encode

import (
	"bytes"
	"fmt"
	"image"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/preview"
)

func layouts() []capture.Layout {
	return []capture.Layout{capture.LayoutI420, capture.LayoutNV12, capture.LayoutYUYV}
}

// Every layout, range, padding and odd size gives the colours that were meant.
func TestColours(t *testing.T) {
	for _, layout := range layouts() {
		for _, full := range []bool{false, true} {
			for _, size := range []image.Point{{64, 16}, {65, 17}, {1282, 18}} {
				for _, pad := range []int{0, 7} {
					t.Run(fmt.Sprintf("%v full=%v %v pad=%d", layout, full, size, pad), func(t *testing.T) {
						checkColours(t, rawBars(layout, size.X, size.Y, pad, full))
					})
				}
			}
		}
	}
}

// checkColours makes a full-range, a video-range and a small picture of r.
func checkColours(t *testing.T, r *capture.Raw) {
	p, err := takeApart(r)
	if err != nil {
		t.Fatal(err)
	}
	asFull, asVideo := toFull(), (*ranges)(nil)
	if r.Full {
		asFull, asVideo = nil, toVideo()
	}
	var box shrinker
	whole := image.Rect(0, 0, r.Width, r.Height)
	fullRange := image.NewYCbCr(whole, image.YCbCrSubsampleRatio420)
	box.into(fullRange, p, 1, asFull)
	videoRange := image.NewYCbCr(whole, image.YCbCrSubsampleRatio420)
	box.into(videoRange, p, 1, asVideo)
	small := box.smallPicture(p, asFull)
	factor, w, h := smallSize(r.Width, r.Height)
	if size := small.Image.Rect.Size(); size != image.Pt(w, h) || w > smallWidth {
		t.Errorf("the small picture is %v, want %d×%d", size, w, h)
	}
	for x := range r.Width {
		if x > 0 && barAt(x, r.Width) != barAt(x-1, r.Width) || x+1 < r.Width && barAt(x, r.Width) != barAt(x+1, r.Width) {
			continue // two bars share a chroma sample here, or a small pixel
		}
		want, y := barAt(x, r.Width), r.Height-1
		if !nearColour(fullRange, x, y, want, 1) {
			t.Fatalf("column %d is %v in full range, want %v", x, fullRange.YCbCrAt(x, y), want)
		}
		if !nearColour(videoRange, x, y, narrow(want), 1) {
			t.Fatalf("column %d is %v in video range, want %v", x, videoRange.YCbCrAt(x, y), narrow(want))
		}
		if x%factor != factor/2 || x < 8 || barAt(min(x+8, r.Width-1), r.Width) != barAt(x-8, r.Width) {
			continue
		}
		if !nearColour(small.Image, x/factor, h-1, want, 1) {
			t.Fatalf("column %d of the small picture is %v, want %v", x/factor, small.Image.YCbCrAt(x/factor, h-1), want)
		}
	}
}

// Grey has no colours.
func TestGrey(t *testing.T) {
	r := rawBars(capture.LayoutGrey, 70, 20, 3, true)
	p, err := takeApart(r)
	if err != nil {
		t.Fatal(err)
	}
	var box shrinker
	img := image.NewYCbCr(image.Rect(0, 0, 70, 20), image.YCbCrSubsampleRatio420)
	box.into(img, p, 1, nil)
	for x := range 70 {
		want := barAt(x, 70)
		want.Cb, want.Cr = 128, 128
		if !nearColour(img, x, 19, want, 0) {
			t.Fatalf("column %d is %v, want %v", x, img.YCbCrAt(x, 19), want)
		}
	}
}

// The ends of both ranges, and the way there and back.
func TestRanges(t *testing.T) {
	full, video := toFull(), toVideo()
	for _, c := range []struct{ in, luma, chroma byte }{{0, 0, 0}, {16, 0, 0}, {128, 130, 128}, {235, 255, 250}, {240, 255, 255}, {255, 255, 255}} {
		if full.luma[c.in] != c.luma || full.chroma[c.in] != c.chroma {
			t.Errorf("%d in video range is luma %d, chroma %d; want %d, %d", c.in, full.luma[c.in], full.chroma[c.in], c.luma, c.chroma)
		}
	}
	for v := 16; v <= 235; v++ {
		if back := video.luma[full.luma[v]]; int(back) != v {
			t.Errorf("luma %d comes back as %d", v, back)
		}
	}
	for v := 16; v <= 240; v++ {
		if back := video.chroma[full.chroma[v]]; int(back) != v {
			t.Errorf("chroma %d comes back as %d", v, back)
		}
	}
}

// A grid is of means, like the one that is made of decoded pictures.
func TestGrid(t *testing.T) {
	r := rawBars(capture.LayoutI420, 1280, 720, 0, true)
	for i := range r.Planes[0] {
		r.Planes[0][i] = byte(i * 7919 >> 3)
	}
	p, err := takeApart(r)
	if err != nil {
		t.Fatal(err)
	}
	var box shrinker
	whole := box.grid(p.luma, cellSide, nil)
	if whole.Width != 160 || whole.Height != 90 {
		t.Fatalf("the grid is %d×%d, want 160×90", whole.Width, whole.Height)
	}
	sum := 0
	for y := range 8 {
		for x := range 8 {
			sum += int(r.Planes[0][(80+y)*1280+24+x])
		}
	}
	if got, want := whole.Luma[10*160+3], byte((sum+32)/64); got != want {
		t.Errorf("cell 3, 10 is %d, want %d", got, want)
	}
	small := box.smallPicture(p, nil)
	if small.Grid.Width != 160 || small.Grid.Height != 90 {
		t.Fatalf("the preview's grid is %d×%d, want 160×90", small.Grid.Width, small.Grid.Height)
	}
	twice := preview.Grid(small.Image, capture.Grid{}) // cells of 2×2 pixels of the small picture
	if twice.Width != 320 {
		t.Fatalf("the preview package's grid is %d wide, want 320", twice.Width)
	}
	for i, v := range small.Grid.Luma {
		if !near(v, whole.Luma[i], 1) {
			t.Fatalf("cell %d is %d of the preview and %d of the whole", i, v, whole.Luma[i])
		}
	}
}

// Pictures that are cut short are refused, whichever plane it is.
func TestCutShort(t *testing.T) {
	for _, layout := range append(layouts(), capture.LayoutGrey) {
		for plane := range 3 {
			r := rawBars(layout, 64, 16, 0, false)
			if len(r.Planes[plane]) == 0 {
				continue
			}
			r.Planes[plane] = r.Planes[plane][:len(r.Planes[plane])-4]
			if _, err := takeApart(r); err == nil {
				t.Errorf("%v: plane %d cut short is taken", layout, plane)
			}
			r.Planes[plane] = nil
			if _, err := takeApart(r); err == nil {
				t.Errorf("%v: no plane %d is taken", layout, plane)
			}
			r = rawBars(layout, 64, 16, 0, false)
			r.Strides[plane] = 1 << 30
			if _, err := takeApart(r); err == nil {
				t.Errorf("%v: a stride of %d is taken", layout, r.Strides[plane])
			}
		}
	}
	if _, err := takeApart(&capture.Raw{Layout: 9, Width: 16, Height: 16}); err == nil {
		t.Error("an unknown layout is taken")
	}
}

// FuzzPlanes gives planes, strides and sizes that need not agree: a picture is
// refused or made, and nothing beyond its planes is touched.
func FuzzPlanes(f *testing.F) {
	f.Add(uint8(1), 64, 16, 64, 0, 0, 1024, 0, 0, false)
	f.Add(uint8(2), 65, 17, 70, 40, 40, 1190, 360, 360, true)
	f.Add(uint8(3), 64, 16, 64, 64, 0, 1024, 512, 0, false)
	f.Add(uint8(4), 33, 5, 66, 0, 0, 330, 0, 0, false)
	f.Add(uint8(4), 8192, 8192, 1<<30, 0, 0, 4096, 0, 0, true)
	f.Fuzz(func(t *testing.T, layout uint8, w, h, s0, s1, s2, n0, n1, n2 int, full bool) {
		const most = 1 << 20
		r := &capture.Raw{Layout: capture.Layout(layout), Full: full, Width: w, Height: h, Strides: [3]int{s0, s1, s2}}
		for i, n := range []int{n0, n1, n2} {
			if n < 0 || n > most {
				return
			}
			r.Planes[i] = bytes.Repeat([]byte{byte(100 + i)}, n)
		}
		p, err := takeApart(r)
		if err != nil {
			return
		}
		var box shrinker
		img := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
		box.into(img, p, 1, nil)
		small := box.smallPicture(p, nil)
		if img.Y[0] != 100 && layout != uint8(capture.LayoutYUYV) {
			t.Errorf("luma is %d, want 100", img.Y[0])
		}
		if first, last := small.Grid.Luma[0], small.Grid.Luma[len(small.Grid.Luma)-1]; first != last {
			t.Errorf("an even picture's cells are %d and %d", first, last)
		}
	})
}

func TestPace(t *testing.T) {
	for _, c := range []struct{ fps, frames, want int }{{30, 300, 100}, {15, 150, 100}, {10, 100, 100}, {5, 50, 50}, {60, 600, 100}} {
		var p pace
		count := 0
		for i := range c.frames {
			if p.due(began().Add(time.Duration(i) * time.Second / time.Duration(c.fps))) {
				count++
			}
		}
		if count < c.want-1 || count > c.want {
			t.Errorf("%d fps gives %d previews in %d frames, want about %d", c.fps, count, c.frames, c.want)
		}
	}
	var p pace
	p.due(began())
	if !p.due(began().Add(-time.Hour)) || p.due(began().Add(-time.Hour+time.Millisecond)) {
		t.Error("a clock that was set back stops the previews, or lets them loose")
	}
}
