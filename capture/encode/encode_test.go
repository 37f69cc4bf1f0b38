package encode

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
)

func TestSettings(t *testing.T) {
	good := Settings{Width: 1280, Height: 720, Layout: capture.LayoutI420, Want: MJPEG}
	if _, err := New(t.Context(), nil, good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Settings){
		"want": func(s *Settings) { s.Want = "h265" }, "width": func(s *Settings) { s.Width = 8 },
		"height": func(s *Settings) { s.Height = 9000 }, "layout": func(s *Settings) { s.Layout = 0 },
		"fps": func(s *Settings) { s.FPS = -1 }, "bitrate": func(s *Settings) { s.Bitrate = 1000 },
		"gop": func(s *Settings) { s.GOP = time.Hour },
	} {
		s := good
		change(&s)
		if _, err := New(t.Context(), nil, s); err == nil {
			t.Errorf("%s out of its limits is taken", name)
		}
	}
	s := good.withDefaults()
	if s.FPS != 15 || s.GOP != 2*time.Second || s.Bitrate != 1_382_400 || s.gopFrames() != 30 {
		t.Errorf("defaults are %v fps, %v, %d bit/s, a key frame each %d", s.FPS, s.GOP, s.Bitrate, s.gopFrames())
	}
}

// Motion JPEG in every layout has the colours that were meant, and a grid that is
// like the one that is decoded.
func TestMJPEG(t *testing.T) {
	for _, layout := range append(layouts(), capture.LayoutGrey) {
		t.Run(layout.String(), func(t *testing.T) {
			r := rawBars(layout, 320, 176, 5, false)
			s := newSource(t, nil, r, Settings{Want: MJPEG})
			s.raw = numbered(r, 30, 30, runtime.Gosched)
			frames := collect(t, s, 1)
			first := frames[0]
			if first.Format != capture.FormatMJPEG || !first.Key || !first.Time.Equal(began()) || first.Width != 320 || first.Height != 176 {
				t.Errorf("the first frame is %+v", first)
			}
			if first.Preview == nil || !bytes.Equal(first.Preview.JPEG, first.Data) {
				t.Fatal("the first frame has no preview, or one of another picture")
			}
			checkJPEG(t, first, layout)
		})
	}
}

// checkJPEG decodes a frame of colour bars in two ways.
func checkJPEG(t *testing.T, f capture.Frame, layout capture.Layout) {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(f.Data))
	if err != nil {
		t.Fatal(err)
	}
	for x := 20; x < 320; x += 40 {
		want := barAt(x, 320)
		switch img := img.(type) {
		case *image.YCbCr:
			if !nearColour(img, x, 100, want, 4) {
				t.Errorf("column %d is %v, want %v", x, img.YCbCrAt(x, 100), want)
			}
		case *image.Gray:
			if layout != capture.LayoutGrey || !near(img.GrayAt(x, 100).Y, want.Y, 4) {
				t.Errorf("column %d is %v, want %d", x, img.GrayAt(x, 100), want.Y)
			}
		}
	}
	var d jpegdc.Decoder
	grid, err := d.Decode(f.Data)
	if err != nil {
		t.Fatal(err)
	}
	got := f.Preview.Grid
	if got.Width != grid.Width || got.Height != grid.Height {
		t.Fatalf("the grid is %d×%d, want %d×%d", got.Width, got.Height, grid.Width, grid.Height)
	}
	for i, v := range grid.Luma {
		if !near(got.Luma[i], v, 6) {
			t.Fatalf("cell %d is %d, and %d in the JPEG", i, got.Luma[i], v)
		}
	}
}

// collect runs a source to its end and returns its frames, at least n.
func collect(t *testing.T, s *Source, n int) []capture.Frame {
	t.Helper()
	var frames []capture.Frame
	if err := s.Run(t.Context(), func(f capture.Frame) { frames = append(frames, f) }); err != nil {
		t.Fatal(err)
	}
	if len(frames) < n {
		t.Fatalf("%d frames, want at least %d", len(frames), n)
	}
	for i, f := range frames {
		if i > 0 && (f.Seq <= frames[i-1].Seq || !f.Time.After(frames[i-1].Time)) {
			t.Errorf("frame %d, %v follows frame %d, %v", f.Seq, f.Time, frames[i-1].Seq, frames[i-1].Time)
		}
	}
	return frames
}

// waitUntil lets others run until a condition holds.
func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what was waited for did not come")
		}
	}
}

// A slow encoder costs pictures, which are counted, and never holds the camera.
func TestSlowEncoder(t *testing.T) {
	r := rawBars(capture.LayoutI420, 64, 64, 0, true)
	s := newSource(t, nil, r, Settings{Want: MJPEG})
	const pictures = 40
	s.raw = numbered(r, pictures, 30, func() {})
	hold, filmed := make(chan struct{}), make(chan struct{})
	camera := s.raw
	s.raw = rawSource(func(ctx context.Context, emit func(*capture.Raw) error) error {
		defer close(filmed)
		return camera.RunRaw(ctx, emit)
	})
	go func() {
		<-filmed // all are filmed while the first frame is still being handed on
		close(hold)
	}()
	count := 0
	if err := s.Run(t.Context(), func(capture.Frame) { count++; <-hold }); err != nil {
		t.Fatal(err)
	}
	if count == 0 || count > sheets+1 || s.Dropped() != uint64(pictures-count) {
		t.Errorf("%d frames and %d left out of %d pictures", count, s.Dropped(), pictures)
	}
}

// What ends Run, and with which error.
func TestEnds(t *testing.T) {
	r := rawBars(capture.LayoutI420, 64, 64, 0, true)
	gone := &capture.FaultError{Fault: capture.FaultUnplugged, Err: errors.New("the camera is gone")}
	other := *r
	other.Width = 62
	short := *r
	short.Planes[2] = nil
	cases := map[string]struct {
		raw  rawSource
		want capture.Fault
	}{
		"camera fails": {func(context.Context, func(*capture.Raw) error) error { return gone }, capture.FaultUnplugged},
		"size changes": {func(_ context.Context, emit func(*capture.Raw) error) error { return emit(&other) }, capture.FaultUnsuitable},
		"cut short":    {func(_ context.Context, emit func(*capture.Raw) error) error { return emit(&short) }, capture.FaultBroken},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSource(t, c.raw, r, Settings{Want: MJPEG})
			err := s.Run(t.Context(), func(capture.Frame) {})
			if capture.FaultOf(err) != c.want {
				t.Errorf("error %v is %v, want %v", err, capture.FaultOf(err), c.want)
			}
		})
	}
	t.Run("ctx", func(t *testing.T) {
		s := newSource(t, nil, r, Settings{Want: MJPEG})
		s.raw = numbered(r, 1<<30, 30, runtime.Gosched)
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.Run(ctx, func(capture.Frame) { cancel() }); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	})
}

func TestChoice(t *testing.T) {
	base := Settings{Width: 640, Height: 480, Layout: capture.LayoutYUYV}
	ask := func(want Kind, program string) (Choice, error) {
		s := base
		s.Want, s.Program = want, program
		src, err := New(t.Context(), nil, s)
		if err != nil {
			return Choice{}, err
		}
		return src.Choice(), nil
	}
	if path, err := exec.LookPath("ffmpeg"); err != nil {
		t.Error("the tests need ffmpeg")
	} else if c, err := ask(Auto, ""); err != nil || c.Kind != FFmpeg || c.Device != path || !strings.Contains(c.Why, "since no ") {
		t.Errorf("auto is %+v, %v", c, err)
	}
	c, err := ask(Auto, "no-such-ffmpeg")
	if err != nil || c.Kind != MJPEG || !strings.Contains(c.Why, "encodes H.264, and ffmpeg is not installed.") {
		t.Errorf("auto without ffmpeg is %+v, %v", c, err)
	}
	for _, program := range []string{"/bin/false", "/bin/true"} {
		if c, err := ask(Auto, program); err != nil || c.Kind != MJPEG {
			t.Errorf("auto with %s for ffmpeg is %+v, %v", program, c, err)
		}
	}
	for _, want := range []Kind{H264, M2M, FFmpeg} {
		if _, err := ask(want, "no-such-ffmpeg"); !errors.Is(err, ErrNoEncoder) {
			t.Errorf("%s where it is not there: %v", want, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(ctx, nil, Settings{Width: 640, Height: 480, Layout: capture.LayoutYUYV}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a ctx that is done: %v", err)
	}
}

func TestWishes(t *testing.T) {
	r := rawBars(capture.LayoutI420, 64, 64, 0, true)
	s := newSource(t, nil, r, Settings{Want: MJPEG})
	if !s.RequestKey() {
		t.Error("every JPEG is a key frame")
	}
	if s.SetBitrate(1) == nil || s.SetBitrate(1_000_000) != nil {
		t.Error("the limits of bit rates are not held")
	}
	s.choice.Kind = FFmpeg
	if s.RequestKey() {
		t.Error("a child cannot be asked for a key frame")
	}
	if s.Format() != capture.FormatH264 {
		t.Errorf("its format is %v", s.Format())
	}
}
