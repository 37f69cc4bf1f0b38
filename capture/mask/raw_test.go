package mask

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/lensward/lensward/capture"
)

// raw returns a picture of a layout, in memory with padding behind each row, and
// a function that reads a pixel of it. No sample is black.
func raw(layout capture.Layout, width, height int) (*capture.Raw, func(x, y int) [3]byte) {
	half := func(n int) int { return (n + 1) / 2 }
	r := &capture.Raw{Layout: layout, Width: width, Height: height}
	add := func(i, row, rows int) {
		r.Strides[i] = row + 6
		r.Planes[i] = bytes.Repeat([]byte{77}, r.Strides[i]*(rows-1)+row)
	}
	at := func(i, x, y int) byte { return r.Planes[i][y*r.Strides[i]+x] }
	switch layout {
	case capture.LayoutGrey:
		add(0, width, height)
		return r, func(x, y int) [3]byte { return [3]byte{at(0, x, y), neutral, neutral} }
	case capture.LayoutI420:
		add(0, width, height)
		add(1, half(width), half(height))
		add(2, half(width), half(height))
		return r, func(x, y int) [3]byte { return [3]byte{at(0, x, y), at(1, x/2, y/2), at(2, x/2, y/2)} }
	case capture.LayoutNV12:
		add(0, width, height)
		add(1, 2*half(width), half(height))
		return r, func(x, y int) [3]byte { return [3]byte{at(0, x, y), at(1, x/2*2, y/2), at(1, x/2*2+1, y/2)} }
	default:
		add(0, 4*half(width), height)
		return r, func(x, y int) [3]byte { return [3]byte{at(0, 2*x, y), at(0, x/2*4+1, y), at(0, x/2*4+3, y)} }
	}
}

func TestRaw(t *testing.T) {
	layouts := []capture.Layout{capture.LayoutGrey, capture.LayoutI420, capture.LayoutNV12, capture.LayoutYUYV}
	for name, area := range shapes() {
		m := newMask(t, area)
		for _, layout := range layouts {
			for _, full := range []bool{false, true} {
				for _, width := range []int{160, 161, 35} {
					t.Run(fmt.Sprintf("%s, %v, %v, %d", name, layout, full, width), func(t *testing.T) {
						const height = 91
						r, at := raw(layout, width, height)
						r.Full = full
						want := [3]byte{16, neutral, neutral}
						if full {
							want[0] = 0
						}
						if err := m.Raw(r); err != nil {
							t.Fatal(err)
						}
						n := black(t, width, height, area, func(x, y int) bool {
							got := at(x, y)
							if got != want && got[0] != 77 {
								t.Fatalf("pixel %d,%d is %v", x, y, got)
							}
							return got == want
						})
						if most := mostHidden(width, height, area); n == 0 || n > most {
							t.Errorf("%d pixels are black, at most %d should be", n, most)
						}
						for i, p := range r.Planes { // the padding is not the picture's
							for j := range p {
								if j%r.Strides[i] >= r.Strides[i]-6 && p[j] != 77 {
									t.Fatalf("plane %d was written to behind row %d", i, j/r.Strides[i])
								}
							}
						}
					})
				}
			}
		}
	}
}

func TestRawRefuses(t *testing.T) {
	m := newMask(t, capture.Rectangle(0, 0, 1, 1))
	for want, change := range map[string]func(*capture.Raw){
		"0×":         func(r *capture.Raw) { r.Width = 0 },
		"9000":       func(r *capture.Raw) { r.Height = 9000 },
		"not known":  func(r *capture.Raw) { r.Layout = 9 },
		"rows of":    func(r *capture.Raw) { r.Strides[0] = 63 },
		"plane 1: 0": func(r *capture.Raw) { r.Planes[1] = nil },
		"NV12 plane": func(r *capture.Raw) { r.Planes[0] = r.Planes[0][:len(r.Planes[0])-1] },
	} {
		r, _ := raw(capture.LayoutNV12, 64, 48)
		change(r)
		if err := m.Raw(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

// FuzzRaw holds that no size, stride or length of a plane makes Raw panic, and that
// what it takes is black.
func FuzzRaw(f *testing.F) {
	f.Add(uint8(1), 16, 9, 16, 144, 8, 40)
	f.Add(uint8(2), 17, 9, 20, 180, 10, 50)
	f.Add(uint8(3), 17, 9, 17, 153, 18, 90)
	f.Add(uint8(4), 17, 9, 36, 324, 0, 0)
	m := newMask(f, capture.Rectangle(0, 0, 1, 1))
	f.Fuzz(func(t *testing.T, layout uint8, width, height, stride, size, stride2, size2 int) {
		r := &capture.Raw{Layout: capture.Layout(layout), Width: width, Height: height}
		r.Strides = [3]int{stride, stride2, stride2}
		for i, n := range []int{size, size2, size2} {
			r.Planes[i] = bytes.Repeat([]byte{77}, max(0, n)%(1<<16))
		}
		if m.Raw(r) == nil && r.Planes[0][0] == 77 {
			t.Fatalf("%v of %d×%d was passed unmasked", r.Layout, width, height)
		}
	})
}
