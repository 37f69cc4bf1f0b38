package agent

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/agent/event"
	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/agent/recorder"
	"github.com/lensward/lensward/agent/watch"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/clip"
	"github.com/lensward/lensward/capture/motion"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/capture/v4l2"
	"github.com/lensward/lensward/transport/seal"
)

// CameraOpener opens the camera that a configuration describes.
func CameraOpener(c config.Camera, log *slog.Logger) (*source.Opener, error) {
	o := source.Options{Log: log, Controls: v4l2.Controls{
		PowerLine: v4l2.PowerLine(c.PowerLine), Flip: capture.Flip(c.Flip), Named: c.Controls,
	}}
	var err error
	if o.Controls.AutoExposure, o.Controls.Exposure, err = c.ExposureTime(); err != nil {
		return nil, fmt.Errorf("read camera.exposure: %w", err)
	}
	if o.Controls.AutoGain, o.Controls.Gain, err = c.GainUnits(); err != nil {
		return nil, fmt.Errorf("read camera.gain: %w", err)
	}
	for _, m := range c.Mask {
		a, err := m.Area()
		if err != nil {
			return nil, fmt.Errorf("read camera.mask: %w", err)
		}
		o.Masks = append(o.Masks, a)
	}
	return source.New(c.Source, o)
}

// recorderSettings are the configuration's, in the parts' own terms.
func (a *Agent) recorderSettings(wait bool) recorder.Settings {
	c := a.config
	events := event.DefaultSettings()
	events.PreRoll, events.PostRoll = c.Event.PreRoll.Duration, c.Event.PostRoll.Duration
	events.MergeGap, events.Longest, events.PerHour = c.Event.Merge.Duration, c.Event.Longest.Duration, c.Event.PerHour
	levels := map[string]motion.Sensitivity{"off": motion.Off, "low": motion.Low, "normal": motion.Normal, "high": motion.High}
	moves := motion.DefaultSettings()
	moves.Sensitivity, moves.Smallest, moves.Stand = levels[c.Motion.Sensitivity], c.Motion.Smallest, c.Motion.Stand.Duration
	for _, z := range c.Motion.Zone {
		area, _ := z.Area() // the configuration has been checked
		moves.Zones = append(moves.Zones, motion.Zone{Name: z.Name, Area: area, Sensitivity: levels[z.Sensitivity]})
	}
	return recorder.Settings{
		Watch: watch.Settings{Motion: moves, Event: events, Rate: c.Motion.Rate, Wait: wait, Log: a.log},
		Clip:  clip.Settings{PartDuration: c.Clip.Part.Duration},
		// One second more than the pre-roll: in H.264 the ring begins with a key frame.
		Ring:     clip.RingSettings{Duration: events.PreRoll + time.Second, Bytes: int(c.Clip.Memory.Bytes)},
		Clock:    func() seal.ClockTrust { return clockTrust(time.Now()) },
		Tampered: a.tampered,
		Log:      a.log,
	}
}

// tampered says by conditions what has been done to the camera, as long as it is so.
func (a *Agent) tampered(t motion.Tamper) {
	for _, c := range []struct {
		tamper      motion.Tamper
		name, cause string
	}{
		{motion.TamperCovered, "camera-covered", "something blocks the camera's view"},
		{motion.TamperMoved, "camera-moved", "the camera was turned or knocked"},
	} {
		if t != c.tamper {
			a.health.Clear(c.name)
		} else if a.health.Set(c.name, health.Warning, c.cause) {
			a.log.Warn(c.cause)
		}
	}
}
