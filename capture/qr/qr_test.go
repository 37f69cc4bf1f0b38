package qr_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"slices"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"

	"github.com/lensward/lensward/capture"
	own "github.com/lensward/lensward/capture/qr"
)

const prefix = "LENSWARD"

// What must be read, each in one picture: the middle of what docs/design/pairing.md says
// is read.
func TestRead(t *testing.T) {
	for name, change := range map[string]func(*scene){
		"usual":            func(s *scene) {},
		"large":            func(s *scene) { s.module = 7.5 },
		"small":            func(s *scene) { s.module = 1.5 },
		"720p":             func(s *scene) { s.width, s.height = 1280, 720 },
		"720p, large":      func(s *scene) { s.width, s.height, s.module = 1280, 720, 12 },
		"turned":           func(s *scene) { s.turn = 45 },
		"upside down":      func(s *scene) { s.turn = 175 },
		"tilted":           func(s *scene) { s.tilt = 35 },
		"blurred":          func(s *scene) { s.blur = 1.6 },
		"large, blurred":   func(s *scene) { s.module, s.blur = 6, 3.2 },
		"noisy":            func(s *scene) { s.noise = 20 },
		"dim":              func(s *scene) { s.light, s.dark, s.noise = 45, 20, 4 },
		"glare":            func(s *scene) { s.glare = 120 },
		"coarse JPEG":      func(s *scene) { s.quality = 40 },
		"inverted":         func(s *scene) { s.inverted = true },
		"small, inverted":  func(s *scene) { s.module, s.inverted = 1.6, true },
		"mirrored":         func(s *scene) { s.mirrored = true },
		"mirrored, tilted": func(s *scene) { s.mirrored, s.tilt, s.turn = true, 30, 100 },
	} {
		if testing.Short() && !slices.Contains([]string{"usual", "small", "dim"}, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, length := range []int{199, 321} {
				s := shown(length, 3)
				s.width, s.height = 640, 480
				change(&s)
				texts, err := own.NewReader(prefix, time.Hour).Read(t.Context(), s.frame(t))
				if err != nil || !slices.Equal(texts, []string{s.text}) {
					t.Errorf("%d characters: %q, %v", length, texts, err)
				}
			}
		})
	}
}

// 2048×1152 is looked at whole at half its size, and closely at its own.
func TestReadLarge(t *testing.T) {
	for _, module := range []float64{2, 14} {
		s := shown(199, module)
		s.width, s.height = 2048, 1152
		texts, err := own.NewReader(prefix, time.Hour).Read(t.Context(), s.frame(t))
		if err != nil || !slices.Equal(texts, []string{s.text}) {
			t.Errorf("%v pixels a module: %q, %v", module, texts, err)
		}
	}
}

func TestReadFormats(t *testing.T) {
	s := shown(199, 3)
	s.width, s.height = 640, 480
	grey := s.picture(t)
	coloured := image.NewYCbCr(grey.Rect, image.YCbCrSubsampleRatio420)
	copyRows(coloured.Y, coloured.YStride, grey)
	// A part of a larger picture: its first sample is not the memory's first.
	framed := image.NewYCbCr(image.Rect(0, 0, 700, 500), image.YCbCrSubsampleRatio420)
	inside := framed.SubImage(image.Rect(20, 10, 660, 490)).(*image.YCbCr)
	copyRows(inside.Y, inside.YStride, grey)
	jpegOf := s.frame(t).Data

	r := own.NewReader(prefix, time.Hour)
	for name, read := range map[string]func() ([]string, error){
		"MJPEG": func() ([]string, error) { return r.Read(t.Context(), s.frame(t)) },
		"MJPEG without tables": func() ([]string, error) {
			return r.Read(t.Context(), capture.Frame{Format: capture.FormatMJPEG, Data: withoutTables(t, jpegOf)})
		},
		"H.264 with picture": func() ([]string, error) {
			return r.Read(t.Context(), capture.Frame{Format: capture.FormatH264, Preview: &capture.Preview{Image: coloured}})
		},
		"H.264 with JPEG": func() ([]string, error) {
			return r.Read(t.Context(), capture.Frame{Format: capture.FormatH264, Preview: &capture.Preview{JPEG: jpegOf}})
		},
		"part of a picture": func() ([]string, error) { return r.ReadImage(t.Context(), inside) },
		"grey":              func() ([]string, error) { return r.ReadRaw(t.Context(), raw(grey, capture.LayoutGrey, 1)) },
		"I420":              func() ([]string, error) { return r.ReadRaw(t.Context(), raw(grey, capture.LayoutI420, 1)) },
		"NV12":              func() ([]string, error) { return r.ReadRaw(t.Context(), raw(grey, capture.LayoutNV12, 1)) },
		"YUYV":              func() ([]string, error) { return r.ReadRaw(t.Context(), raw(grey, capture.LayoutYUYV, 2)) },
	} {
		texts, err := read()
		if err != nil || !slices.Equal(texts, []string{s.text}) {
			t.Errorf("%s: %q, %v", name, texts, err)
		}
	}
}

// raw lays luma out step bytes apart, in rows with something behind them.
func raw(img *image.Gray, layout capture.Layout, step int) *capture.Raw {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	p := &capture.Raw{Layout: layout, Width: w, Height: h}
	stride := w*step + 32
	plane := bytes.Repeat([]byte{77}, stride*(h-1)+w*step)
	for y := range h {
		for x := range w {
			plane[y*stride+x*step] = img.Pix[y*img.Stride+x]
		}
	}
	p.Planes[0], p.Strides[0] = plane, stride
	return p
}

// withoutTables cuts the Huffman tables out of a JPEG, as USB cameras do. Go's encoder
// writes the standard ones, in one segment.
func withoutTables(t *testing.T, data []byte) []byte {
	t.Helper()
	at := bytes.Index(data, []byte{0xFF, 0xC4})
	if at < 0 {
		t.Fatal("no Huffman tables")
	}
	n := int(data[at+2])<<8 | int(data[at+3])
	return slices.Concat(data[:at], data[at+2+n:])
}

// What is not for the camera is passed over, even if it lies nearer to hand.
func TestReadPrefix(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 640, 480))
	for i := range img.Pix {
		img.Pix[i] = 200
	}
	draw(t, img, 40, 60, 6, "https://example.org/a-box-with-a-label")
	draw(t, img, 380, 120, 3, codeOf(199))
	draw(t, img, 380, 320, 3, prefix+"1:SHORT")
	draw(t, img, 40, 320, 2, prefix+strings.Repeat("A", own.MaxText))
	texts, err := own.NewReader(prefix, time.Hour).ReadRaw(t.Context(), raw(img, capture.LayoutGrey, 1))
	slices.Sort(texts)
	if want := []string{codeOf(199), prefix + "1:SHORT"}; err != nil || !slices.Equal(texts, want) {
		t.Errorf("read %q, %v, want %q", texts, err, want)
	}
}

// draw draws a code, its light border included.
func draw(t *testing.T, img *image.Gray, left, top, module int, text string) {
	t.Helper()
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	for y := range (code.Size + 8) * module {
		for x := range (code.Size + 8) * module {
			level := byte(230)
			if code.Black(x/module-4, y/module-4) {
				level = 20
			}
			if (image.Point{left + x, top + y}).In(img.Rect) {
				img.Pix[(top+y)*img.Stride+left+x] = level
			}
		}
	}
}

// With no time at all, each picture is looked at in one way, and all ways get their turn.
func TestReadTurns(t *testing.T) {
	s := shown(199, 3)
	s.inverted = true
	r := own.NewReader(prefix, 1)
	frame := s.frame(t)
	for n := range own.Ways() {
		texts, err := r.Read(t.Context(), frame)
		if err != nil {
			t.Fatal(err)
		}
		if len(texts) == 0 {
			continue
		}
		if n == 0 {
			t.Error("read at once: this scene shows no turns")
		}
		// What worked comes first.
		if texts, err := r.Read(t.Context(), frame); len(texts) != 1 || err != nil {
			t.Errorf("the next picture: %q, %v", texts, err)
		}
		return
	}
	t.Errorf("not read in %d pictures", own.Ways())
}

func TestReadErrors(t *testing.T) {
	blank := frameOf(t, image.NewGray(image.Rect(0, 0, 320, 240)), 80)
	large := frameOf(t, image.NewGray(image.Rect(0, 0, own.MaxSide+8, 16)), 80)
	cut := blank
	cut.Data = blank.Data[:len(blank.Data)/2]
	progressive := blank
	progressive.Data = bytes.Replace(blank.Data, []byte{0xFF, 0xC0}, []byte{0xFF, 0xC2}, 1)
	if _, err := jpeg.DecodeConfig(bytes.NewReader(progressive.Data)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		frame capture.Frame
		is    error
		text  string
	}{
		"no preview":  {capture.Frame{Format: capture.FormatH264}, own.ErrNoPicture, "H.264 without a preview"},
		"no image":    {capture.Frame{Format: capture.FormatH264, Preview: &capture.Preview{}}, own.ErrNoPicture, "H.264 without a preview"},
		"too large":   {large, own.ErrTooLarge, "4104×16"},
		"cut off":     {cut, nil, "decode JPEG scan"},
		"progressive": {progressive, nil, "unsupported kind of JPEG"},
		"no bytes":    {capture.Frame{Format: capture.FormatMJPEG}, nil, "not a JPEG"},
	} {
		texts, err := own.NewReader("", 0).Read(t.Context(), c.frame)
		if err == nil || len(texts) > 0 || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %q, %v", name, texts, err)
		}
	}
	if texts, err := own.NewReader("", 0).Read(t.Context(), blank); len(texts) > 0 || err != nil {
		t.Errorf("a picture without a code: %q, %v", texts, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := own.NewReader("", 0).Read(ctx, blank); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Planes that are shorter than their picture are errors, whatever the layout.
func TestReadRawErrors(t *testing.T) {
	whole := func(layout capture.Layout, step int) *capture.Raw {
		return raw(image.NewGray(image.Rect(0, 0, 64, 48)), layout, step)
	}
	for _, layout := range []capture.Layout{capture.LayoutGrey, capture.LayoutI420, capture.LayoutNV12, capture.LayoutYUYV, 9} {
		step := 1
		if layout == capture.LayoutYUYV {
			step = 2
		}
		for name, change := range map[string]func(*capture.Raw){
			"short":    func(p *capture.Raw) { p.Planes[0] = p.Planes[0][:len(p.Planes[0])-2] },
			"none":     func(p *capture.Raw) { p.Planes[0] = nil },
			"narrow":   func(p *capture.Raw) { p.Strides[0] = 64*step - 2 },
			"stride 0": func(p *capture.Raw) { p.Strides[0] = 0 },
			"negative": func(p *capture.Raw) { p.Strides[0] = -p.Strides[0] },
			"no width": func(p *capture.Raw) { p.Width = 0 },
			"huge":     func(p *capture.Raw) { p.Width, p.Height = 1<<30, 1<<30 },
		} {
			p := whole(layout, step)
			change(p)
			if _, err := own.NewReader("", 0).ReadRaw(t.Context(), p); err == nil {
				t.Errorf("%s, %s: no error", layout, name)
			}
		}
		if _, err := own.NewReader("", 0).ReadRaw(t.Context(), whole(layout, step)); (err != nil) != (layout == 9) {
			t.Errorf("%s, whole: %v", layout, err)
		}
	}
}
