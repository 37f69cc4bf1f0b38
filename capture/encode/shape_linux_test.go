package encode

import (
	"fmt"
	"image"
	"strings"
	"testing"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/videodev"
)

// driverFormat is what a driver makes of a format: rows of stride bytes, and the
// picture's height in whole blocks.
func driverFormat(p videodev.PixelFormat, width, height, stride, rows int) videodev.Format {
	f := videodev.Format{PixelFormat: p, Width: width, Height: rows, Field: videodev.Progressive}
	luma := stride * rows
	switch p {
	case videodev.YUYV:
		f.Planes = []videodev.PlaneFormat{{Stride: stride, Size: luma}}
	case videodev.NM12:
		f.Planes = []videodev.PlaneFormat{{Stride: stride, Size: luma}, {Stride: stride, Size: luma / 2}}
	case videodev.YM12:
		f.Planes = []videodev.PlaneFormat{{Stride: stride, Size: luma}, {Stride: stride / 2, Size: luma / 4}, {Stride: stride / 2, Size: luma / 4}}
	default:
		f.Planes = []videodev.PlaneFormat{{Stride: stride, Size: luma * 3 / 2}}
	}
	return f
}

// readBack reads a picture out of a driver's buffer, by the pixel format's
// definition and not by areas.
func readBack(f videodev.Format, memory [][]byte, width, height int) *image.YCbCr {
	img := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	stride, luma := f.Planes[0].Stride, f.Planes[0].Stride*f.Height
	for y := range height {
		for x := range width {
			at, c := img.YOffset(x, y), img.COffset(x, y)
			switch f.PixelFormat {
			case videodev.YUYV:
				row := memory[0][y*stride:]
				img.Y[at], img.Cb[c], img.Cr[c] = row[2*x], row[x/2*4+1], row[x/2*4+3]
			case videodev.NV12:
				row := memory[0][luma+y/2*stride:]
				img.Y[at], img.Cb[c], img.Cr[c] = memory[0][y*stride+x], row[x&^1], row[x|1]
			case videodev.NM12:
				row := memory[1][y/2*f.Planes[1].Stride:]
				img.Y[at], img.Cb[c], img.Cr[c] = memory[0][y*stride+x], row[x&^1], row[x|1]
			case videodev.YU12:
				half := y/2*(stride/2) + x/2
				img.Y[at], img.Cb[c], img.Cr[c] = memory[0][y*stride+x], memory[0][luma+half], memory[0][luma+luma/4+half]
			case videodev.YM12:
				img.Y[at] = memory[0][y*stride+x]
				img.Cb[c], img.Cr[c] = memory[1][y/2*f.Planes[1].Stride+x/2], memory[2][y/2*f.Planes[2].Stride+x/2]
			}
		}
	}
	return img
}

// Every layout gets into every pixel format that is chosen for it, whatever the
// rows' padding, in video range, with the last row repeated below.
func TestWriter(t *testing.T) {
	const width, height, stride, rows = 72, 40, 128, 48
	for _, layout := range append(layouts(), capture.LayoutGrey) {
		for _, p := range inputsFor(layout) {
			for _, full := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v in %v, full=%v", layout, p, full), func(t *testing.T) {
					row := stride
					if p == videodev.YUYV {
						row = 2 * stride
					}
					f := driverFormat(p, width, height, row, rows)
					s, err := newShape(f, p, width, height)
					if err != nil {
						t.Fatal(err)
					}
					var memory [][]byte
					for _, size := range s.sizes() {
						memory = append(memory, make([]byte, size))
					}
					r := rawBars(layout, width+1, height+1, 3, full) // odd: the last is left out
					p, err := takeApart(r)
					if err != nil {
						t.Fatal(err)
					}
					if err := newWriter(s).write(memory, r, p); err != nil {
						t.Fatal(err)
					}
					img := readBack(f, memory, width, rows)
					for x := 3; x < width; x += 9 {
						want := narrow(barAt(x, width+1))
						if layout == capture.LayoutGrey {
							want.Cb, want.Cr = 128, 128
						}
						for _, y := range []int{0, height - 1, rows - 1} {
							if !nearColour(img, x, y, want, 1) {
								t.Errorf("at %d, %d is %v, want %v", x, y, img.YCbCrAt(x, y), want)
							}
						}
					}
				})
			}
		}
	}
}

// A driver that wants what cannot be given is refused, and why is said.
func TestShapeRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		f    videodev.Format
		says string
	}{
		{"too large", driverFormat(videodev.NV12, 1920, 1080, 1920, 1080), "takes pictures of 1920×1080 and not of 2560×1440"},
		{"other format", driverFormat(videodev.YU12, 2560, 1440, 2560, 1440), "takes YU12 in place of NV12"},
		{"two planes", driverFormat(videodev.NM12, 2560, 1440, 2560, 1440), "takes NM12"},
		{"short rows", driverFormat(videodev.NV12, 2560, 1440, 1280, 2880), "too few"},
		{"small buffer", videodev.Format{PixelFormat: videodev.NV12, Width: 2560, Height: 1440,
			Planes: []videodev.PlaneFormat{{Stride: 2560, Size: 2560 * 1440}}}, "too few"},
	} {
		if _, err := newShape(c.f, videodev.NV12, 2560, 1440); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error is %v, want %q", c.name, err, c.says)
		}
	}
}

// FuzzShape gives formats that make no sense: they are refused, or a picture fits.
func FuzzShape(f *testing.F) {
	f.Add(uint8(0), 64, 48, 64, 4608, 64, 4608)
	f.Add(uint8(3), 64, 40, 128, 1<<28, 1<<28, 1<<28)
	f.Add(uint8(1), 64, 8192, 1<<28, 1<<28, 1<<28, 1<<28)
	f.Add(uint8(2), 64, 8192, 128, 1<<28, 1<<28, 1<<28)
	f.Fuzz(func(t *testing.T, kind uint8, width, rows, stride, size, stride2, size2 int) {
		formats := []videodev.PixelFormat{videodev.YUYV, videodev.NV12, videodev.NM12, videodev.YU12, videodev.YM12}
		p := formats[int(kind)%len(formats)]
		const most = 1 << 28 // as videodev has it
		for _, v := range []*int{&stride, &size, &stride2, &size2} {
			*v = min(max(*v, 0), most)
		}
		df := videodev.Format{PixelFormat: p, Width: width, Height: min(rows, videodev.MaxSide)}
		for range planesIn(p) {
			df.Planes = append(df.Planes, videodev.PlaneFormat{Stride: stride, Size: size})
			stride, size = stride2, size2
		}
		s, err := newShape(df, p, 64, 40)
		if err != nil {
			return
		}
		var memory [][]byte
		for _, n := range s.sizes() {
			if n > 1<<22 {
				return
			}
			memory = append(memory, make([]byte, n))
		}
		for _, layout := range layouts() {
			r := rawBars(layout, 64, 40, 0, true)
			p, err := takeApart(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := newWriter(s).write(memory, r, p); err != nil {
				t.Fatal(err)
			}
		}
	})
}
