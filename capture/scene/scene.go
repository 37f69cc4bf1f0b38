// Package scene is what stands in for a camera: a room in which somebody walks
// now and then, rendered to JPEG, and files of recorded video.
//
// It owns the made-up scene, whose every visit and change of light is known in
// advance (so that tests and benchmarks know the truth), and the reading of
// Motion-JPEG and MP4 files. It opens no device and decodes no picture.
package scene

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/lensward/lensward/capture"
)

// Settings describe a scene. The zero value of a field takes its default.
type Settings struct {
	// Width and Height are in pixels: even, 64 to 1920 and 64 to 1080. The default
	// is 1280×720.
	Width, Height int
	// FPS is the frame rate, above 0 and up to 60. The default is 10.
	FPS float64
	// Seed chooses who walks when, and the noise. Equal settings give byte-identical
	// pictures on one build of the program. The default is 1.
	Seed int64
	// Duration ends the scene; 0 is a scene without an end.
	Duration time.Duration
	// Empty leaves the room without visitors; the light still changes.
	Empty bool
	// Fast gives frames as fast as they can be rendered instead of by the clock.
	Fast bool
	// Start is the time of the first frame. The default is when Run is called.
	Start time.Time
}

func (s Settings) withDefaults() Settings {
	if s.Width == 0 && s.Height == 0 {
		s.Width, s.Height = 1280, 720
	}
	if s.FPS == 0 {
		s.FPS = 10
	}
	if s.Seed == 0 {
		s.Seed = 1
	}
	return s
}

// Validate says which setting, after the defaults, is out of its limits.
func (s Settings) Validate() error {
	s = s.withDefaults()
	switch {
	case s.Width < 64 || s.Width > 1920 || s.Width%2 != 0:
		return fmt.Errorf("scene: width %d is not an even number from 64 to 1920", s.Width)
	case s.Height < 64 || s.Height > 1080 || s.Height%2 != 0:
		return fmt.Errorf("scene: height %d is not an even number from 64 to 1080", s.Height)
	case !(s.FPS > 0 && s.FPS <= 60): // NaN too
		return fmt.Errorf("scene: fps %v is not above 0 and at most 60", s.FPS)
	case s.Duration < 0:
		return fmt.Errorf("scene: duration %v is negative", s.Duration)
	}
	return nil
}

// until cuts a duration at the scene's end.
func (s Settings) until(d time.Duration) time.Duration {
	if s.Duration > 0 {
		return min(d, s.Duration)
	}
	return d
}

// Scene is a [capture.Source] of Motion JPEG: a furnished room in which, from one
// second after its start, somebody walks through for several seconds, again and
// again, with 14 to 24 quiet seconds between. The light drifts slowly all the
// time, and at every third pause it changes at a step.
type Scene struct {
	settings Settings
}

// New returns a scene. Settings out of their limits are reported by Run.
func New(s Settings) *Scene { return &Scene{settings: s.withDefaults()} }

// Settings returns the scene's settings with the defaults filled in.
func (s *Scene) Settings() Settings { return s.settings }

// Run renders the scene until its Duration or ctx ends it. When the machine
// cannot keep up with the clock, frames are left out, as a camera would.
func (s *Scene) Run(ctx context.Context, emit func(capture.Frame)) error {
	if err := s.settings.Validate(); err != nil {
		return err
	}
	r := newRenderer(s.settings) // painting the room takes a moment, which is not the scene's
	began := time.Now()
	start := s.settings.Start
	if start.IsZero() {
		start = began
	}
	pace := newPacer(began, s.settings.Fast)
	defer pace.stop()
	for seq := uint64(0); ; seq++ {
		if !s.settings.Fast {
			late := time.Since(began).Seconds() * s.settings.FPS
			seq = max(seq, uint64(math.Floor(late)))
		}
		position := s.settings.position(seq)
		if s.settings.Duration > 0 && position >= s.settings.Duration {
			return nil
		}
		if err := pace.wait(ctx, position); err != nil {
			return err
		}
		data, err := r.render(seq, position)
		if err != nil {
			return err
		}
		emit(capture.Frame{
			Seq: seq, Time: start.Add(position), Format: capture.FormatMJPEG,
			Width: s.settings.Width, Height: s.settings.Height, Key: true, Data: data,
		})
	}
}

// position is when a frame is taken, from the scene's start.
func (s Settings) position(seq uint64) time.Duration {
	return time.Duration(math.Round(float64(seq) / s.FPS * float64(time.Second)))
}
