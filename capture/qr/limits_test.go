package qr

import (
	"bytes"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/makiuchi-d/gozxing"

	"github.com/lensward/lensward/capture"
)

// hostile are pictures made to take long.
func hostile(width, height int) map[string]luma {
	make := func(level func(x, y int) bool) luma {
		l := luma{width, height, width, make([]byte, width*height)}
		for y := range height {
			for x := range width {
				if !level(x, y) {
					l.pix[y*width+x] = 255
				}
			}
		}
		return l
	}
	mark := func(x, y, module int) bool { // finder patterns, one beside the other
		x, y = x/module%8, y/module%8
		ring := max(x-3, 3-x, y-3, 3-y)
		return x < 7 && y < 7 && ring != 2
	}
	stripe := func(x, module int) bool { // 1:1:3:1:1
		x = x / module % 8
		return x == 0 || x >= 2 && x <= 4 || x == 6
	}
	r := rand.New(rand.NewPCG(1, 2))
	return map[string]luma{
		"even":             make(func(x, y int) bool { return false }),
		"chessboard":       make(func(x, y int) bool { return (x+y)%2 == 0 }),
		"noise":            make(func(x, y int) bool { return r.IntN(2) == 0 }),
		"finder patterns":  make(func(x, y int) bool { return mark(x, y, 1) }),
		"finder patterns2": make(func(x, y int) bool { return mark(x, y, 2) }),
		"finder patterns5": make(func(x, y int) bool { return mark(x, y, 5) }),
		"stripes":          make(func(x, y int) bool { return stripe(x, 1) }),
		"wide stripes":     make(func(x, y int) bool { return stripe(x, 3) }),
		"lines":            make(func(x, y int) bool { return stripe(y, 2) }),
		"rings":            make(func(x, y int) bool { return stripe(max(x, y), 1) }),
	}
}

// The search for finder patterns takes no more steps than it may, and one row's more.
func TestFindersBounded(t *testing.T) {
	var b buffers
	for name, l := range hostile(800, 600) {
		for _, inverted := range []bool{false, true} {
			dark := b.marked(l, inverted)
			for _, steps := range []int{1000, maxSteps * l.width * l.height} {
				s := scan{dark: dark, width: l.width, height: l.height, steps: steps}
				s.run()
				// One row has at most width/7 patterns that are not within another; each is
				// followed twice, over less than six of its own lengths.
				if -s.steps > 12*l.width || len(s.found) > maxMarks {
					t.Errorf("%s, inverted %v, %d steps: %d too many, %d marks", name, inverted, steps, -s.steps, len(s.found))
				}
			}
			if n := len(finders(dark, l.width, l.height)); n > maxTried {
				t.Errorf("%s: %d finder patterns", name, n)
			}
		}
	}
}

// A picture full of finder patterns takes all the steps that there are, so that the bound
// is one.
func TestFindersRunOut(t *testing.T) {
	var b buffers
	l := hostile(800, 600)["finder patterns5"]
	few := scan{dark: b.marked(l, false), width: l.width, height: l.height, steps: 1000}
	all := few
	all.steps = maxSteps * l.width * l.height
	few.run()
	all.run()
	if few.steps > 0 || len(few.found) == 0 || len(few.found) >= len(all.found) {
		t.Errorf("with 1000 steps %d were left and %d patterns found, without a bound %d", few.steps, len(few.found), len(all.found))
	}
}

// A hostile picture is looked at between no more triples than any other, and gives nothing.
func TestHostile(t *testing.T) {
	for name, l := range hostile(640, 480) {
		r := NewReader("", time.Hour)
		p := picture{whole: l}
		for _, w := range ways() {
			texts := r.try(&p, w, 0)
			if len(texts) > 0 || r.left < 0 {
				t.Errorf("%s, %+v: read %q, %d triples left", name, w, texts, r.left)
			}
		}
	}
}

// What the library makes of a failure of its own is an error.
func TestDecodePanic(t *testing.T) {
	if text, err := decode((*gozxing.BitMatrix)(nil)); err == nil {
		t.Errorf("no bits: read %q", text)
	}
}

// The pause keeps to the share, and to the least time between two pictures.
func TestPause(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		share             float64
		every, work, took time.Duration
		want              time.Duration
	}{
		{0, 0, 0, 0, 200 * ms},
		{0, 0, 40 * ms, 40 * ms, 160 * ms},
		{0, 0, 150 * ms, 150 * ms, 150 * ms},
		{0, 0, 2000 * ms, 2000 * ms, 2000 * ms},
		{0.25, 0, 2000 * ms, 2000 * ms, 6000 * ms},
		{1, 100 * ms, 2000 * ms, 2000 * ms, 0},
		{7, 100 * ms, 2000 * ms, 2000 * ms, 2000 * ms}, // no share: the usual one
		{0.5, 500 * ms, 100 * ms, 450 * ms, 100 * ms},
	} {
		w := NewWatch(capture.NewFanout(), Settings{Share: c.share, Every: c.every})
		if got := w.pause(c.took, c.work); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Any bytes as luma: whatever is read fits the limits.
func FuzzRead(f *testing.F) {
	for _, l := range hostile(96, 64) {
		f.Add(l.pix, uint16(l.width), byte(0))
	}
	f.Fuzz(func(t *testing.T, pix []byte, width uint16, layout byte) {
		if len(pix) > 1<<16 {
			t.Skip("more takes only longer")
		}
		stride := max(int(width), 1)
		p := &capture.Raw{Layout: capture.Layout(layout % 6), Width: stride, Height: len(pix) / stride}
		p.Planes[0], p.Strides[0] = pix, stride
		if p.Layout == capture.LayoutYUYV {
			p.Width /= 2
		}
		texts, err := NewReader("", time.Hour).ReadRaw(t.Context(), p)
		checkTexts(t, texts, err)
	})
}

// Any modules, as the library gets them.
func FuzzDecode(f *testing.F) {
	f.Add(byte(1), bytes.Repeat([]byte{0xA5}, 60))
	f.Add(byte(7), []byte("LENSWARD1:"))
	f.Fuzz(func(t *testing.T, version byte, data []byte) {
		n := 17 + 4*(1+int(version)%20)
		bits, err := gozxing.NewSquareBitMatrix(n)
		if err != nil {
			t.Fatal(err)
		}
		for i := range min(len(data)*8, n*n) {
			if data[i/8]>>(i%8)&1 == 1 {
				bits.Set(i%n, i/n)
			}
		}
		if text, err := decode(bits); err != nil && text != "" {
			t.Errorf("%q with %v", text, err)
		}
	})
}

// Any bytes as a JPEG.
func FuzzReadJPEG(f *testing.F) {
	for _, l := range hostile(64, 48) {
		var data bytes.Buffer
		img := &image.Gray{Pix: l.pix, Stride: l.stride, Rect: image.Rect(0, 0, l.width, l.height)}
		if err := jpeg.Encode(&data, img, nil); err != nil {
			f.Fatal(err)
		}
		f.Add(data.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		frame := capture.Frame{Format: capture.FormatMJPEG, Data: data}
		texts, err := NewReader("", 1).Read(t.Context(), frame)
		checkTexts(t, texts, err)
	})
}

func checkTexts(t *testing.T, texts []string, err error) {
	t.Helper()
	if err != nil && len(texts) > 0 || len(texts) > maxTexts {
		t.Errorf("%d texts with %v", len(texts), err)
	}
	for _, text := range texts {
		if len(text) > MaxText {
			t.Errorf("a text of %d bytes", len(text))
		}
	}
}
