package scene

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/capture"
)

// small is a scene that renders quickly.
func small() Settings {
	return Settings{Width: 160, Height: 90, FPS: 5, Fast: true, Duration: 30 * time.Second}
}

// play runs a source to its end and returns its frames.
func play(t *testing.T, src capture.Source) []capture.Frame {
	t.Helper()
	var frames []capture.Frame
	if err := src.Run(t.Context(), func(f capture.Frame) { frames = append(frames, f) }); err != nil {
		t.Fatal(err)
	}
	return frames
}

func meanLuma(t *testing.T, data []byte) float64 {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	sum, size := 0.0, img.Bounds().Size()
	for y := range size.Y {
		for x := range size.X {
			r, g, b, _ := img.At(x, y).RGBA()
			sum += 0.299*float64(r>>8) + 0.587*float64(g>>8) + 0.114*float64(b>>8)
		}
	}
	return sum / float64(size.X*size.Y)
}

func TestSameSeedSameBytes(t *testing.T) {
	s := small()
	s.Duration = 6 * time.Second
	first, second := play(t, New(s)), play(t, New(s))
	s.Seed = 2
	other := play(t, New(s))
	if len(first) != 30 || len(second) != 30 || len(other) != 30 {
		t.Fatalf("%d, %d and %d frames, want 30 each", len(first), len(second), len(other))
	}
	for i := range first {
		if !bytes.Equal(first[i].Data, second[i].Data) {
			t.Errorf("frame %d differs between two runs with one seed", i)
		}
		if bytes.Equal(first[i].Data, other[i].Data) {
			t.Errorf("frame %d is the same with two seeds", i)
		}
	}
}

// The schedule is the truth: against the same scene without walkers, exactly the
// frames inside visits differ.
func TestVisitsAreWhereTheyAreSaidToBe(t *testing.T) {
	const edge = 700 * time.Millisecond // the walker is hardly in the picture yet
	for seed := range int64(2) {
		s := small()
		s.Seed, s.Duration, s.FPS = seed+1, time.Minute, 2
		with := New(s)
		s.Empty = true
		empty := New(s)
		if empty.Visits(time.Hour) != nil {
			t.Error("an empty scene has visits")
		}
		visits := with.Visits(time.Hour)
		a, b := play(t, with), play(t, empty)
		for i := range a {
			at := time.Duration(i) * time.Second / 2
			in, well := false, false
			for _, v := range visits {
				in = in || at >= v.Enter && at < v.Leave
				well = well || at >= v.Enter+edge && at < v.Leave-edge
			}
			same := bytes.Equal(a[i].Data, b[i].Data)
			if !in && !same {
				t.Errorf("seed %d: somebody is there at %v, between two visits", s.Seed, at)
			}
			if well && same {
				t.Errorf("seed %d: nobody is there at %v, inside a visit", s.Seed, at)
			}
		}
	}
}

func TestSchedule(t *testing.T) {
	for seed := range int64(20) {
		scene := New(Settings{Seed: seed + 1})
		visits := scene.Visits(10 * time.Minute)
		if len(visits) < 15 || visits[0].Enter != time.Second {
			t.Fatalf("seed %d: %d visits in ten minutes, the first at %v", seed+1, len(visits), visits[0].Enter)
		}
		for i, v := range visits {
			if long := v.Leave - v.Enter; long < 6*time.Second || long > 11500*time.Millisecond {
				t.Errorf("visit %d takes %v", i, long)
			}
			if i > 0 {
				if pause := v.Enter - visits[i-1].Leave; pause < 14*time.Second || pause > 24*time.Second {
					t.Errorf("before visit %d there is a pause of %v", i, pause)
				}
			}
		}
		steps := scene.LightSteps(10 * time.Minute)
		if len(steps) < 4 {
			t.Errorf("seed %d: %d light steps in ten minutes", seed+1, len(steps))
		}
		for _, at := range steps {
			for _, v := range visits {
				if at+5*time.Second > v.Enter && at < v.Leave+5*time.Second {
					t.Errorf("the light changes at %v, beside the visit %v", at, v)
				}
			}
		}
	}
	short := New(Settings{Duration: 20 * time.Second})
	if v := short.Visits(time.Hour); len(v) != 1 {
		t.Errorf("a scene of 20 s has visits %v, want one", v)
	}
}

// A walker that comes to a stand does so smoothly, and arrives in the end.
func TestWay(t *testing.T) {
	for _, a := range acts(Settings{Seed: 5}, 10*time.Minute) {
		before := 0.0
		for at := a.Enter; at < a.Leave; at += 10 * time.Millisecond {
			part, speed := a.way(at)
			if part < before || part-before > 0.003 || speed < 0 || speed > 1 {
				t.Fatalf("at %v of %v the walker is at %v with speed %v, and was at %v", at, a.Visit, part, speed, before)
			}
			before = part
		}
		if before < 0.995 {
			t.Errorf("visit %v ends at %v of the way", a.Visit, before)
		}
	}
}

func TestLightStepShows(t *testing.T) {
	s := small()
	s.Duration, s.FPS, s.Empty = 3*time.Minute, 2, true
	scene := New(s)
	frames := play(t, scene)
	steps := scene.LightSteps(time.Hour)
	if len(steps) == 0 {
		t.Fatal("no light step in three minutes")
	}
	at := int(steps[0].Seconds() * s.FPS)
	before, after := meanLuma(t, frames[at-2].Data), meanLuma(t, frames[at+3].Data)
	if change := after/before - 1; change < 0.08 || change > 0.25 {
		t.Errorf("the light goes from %.1f to %.1f", before, after)
	}
	calm := meanLuma(t, frames[at-4].Data)
	if change := before/calm - 1; change < -0.02 || change > 0.02 {
		t.Errorf("before the step the light goes from %.1f to %.1f", calm, before)
	}
}

func TestFrameSize(t *testing.T) {
	frames := play(t, New(Settings{Fast: true, FPS: 1, Duration: 6 * time.Second}))
	for _, f := range frames {
		if f.Width != 1280 || f.Height != 720 || f.Format != capture.FormatMJPEG || !f.Key {
			t.Fatalf("frame %d is %v %d×%d", f.Seq, f.Format, f.Width, f.Height)
		}
		config, err := jpeg.DecodeConfig(bytes.NewReader(f.Data))
		if err != nil || config.Width != 1280 || config.Height != 720 {
			t.Fatalf("frame %d decodes to %v, %v", f.Seq, config, err)
		}
		if len(f.Data) < 30_000 || len(f.Data) > 70_000 {
			t.Errorf("frame %d has %d bytes", f.Seq, len(f.Data))
		}
	}
}

// By the clock, frames come at their time; when one is kept, later ones are left
// out and Seq jumps.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := small()
		s.Fast, s.Duration = false, 2*time.Second
		began := time.Now()
		var seqs []uint64
		err := New(s).Run(t.Context(), func(f capture.Frame) {
			seqs = append(seqs, f.Seq)
			if at := time.Since(began); f.Time.Sub(began) != at {
				t.Errorf("frame %d of %v comes at %v", f.Seq, f.Time.Sub(began), at)
			}
			if f.Seq == 3 {
				time.Sleep(600 * time.Millisecond)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []uint64{0, 1, 2, 3, 6, 7, 8, 9}
		if len(seqs) != len(want) {
			t.Fatalf("frames %v, want %v", seqs, want)
		}
		for i := range want {
			if seqs[i] != want[i] {
				t.Errorf("frames %v, want %v", seqs, want)
			}
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := small()
		s.Fast, s.Duration = false, 0
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		count := 0
		err := New(s).Run(ctx, func(capture.Frame) { count++ })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		if count < 50 || count > 51 {
			t.Errorf("%d frames in 10 s at 5 fps", count)
		}
	})
}

func TestStart(t *testing.T) {
	s := small()
	s.Start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	s.Duration = time.Second
	frames := play(t, New(s))
	for i, f := range frames {
		if want := s.Start.Add(time.Duration(i) * 200 * time.Millisecond); !f.Time.Equal(want) {
			t.Errorf("frame %d is of %v, want %v", i, f.Time, want)
		}
	}
}

func TestValidate(t *testing.T) {
	good := []Settings{{}, {Width: 64, Height: 64}, {Width: 1920, Height: 1080, FPS: 60}}
	for _, s := range good {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	nan := 0.0
	nan /= nan
	bad := []Settings{
		{Width: 640}, {Width: 62, Height: 64}, {Width: 65, Height: 64}, {Width: 1922, Height: 64},
		{Width: 64, Height: 1082}, {Width: 64, Height: 63}, {FPS: -1}, {FPS: 61}, {FPS: nan}, {Duration: -1},
	}
	for _, s := range bad {
		if s.Validate() == nil {
			t.Errorf("%+v is valid", s)
		}
		if err := New(s).Run(t.Context(), func(capture.Frame) {}); err == nil {
			t.Errorf("%+v runs", s)
		}
	}
}

func BenchmarkRender720p(b *testing.B) {
	r := newRenderer(Settings{}.withDefaults())
	size := 0
	for i := 0; b.Loop(); i++ {
		data, err := r.render(uint64(i), time.Duration(i)*100*time.Millisecond)
		if err != nil {
			b.Fatal(err)
		}
		size = len(data)
	}
	b.ReportMetric(float64(size), "bytes/frame")
}
