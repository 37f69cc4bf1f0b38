//go:build linux

package v4l2

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/blackjack/webcam"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/videodev"
)

// PowerLine is the frequency of the mains, whose lamps flicker with it.
type PowerLine string

// What can be set. The zero value leaves a control as it is.
const (
	PowerLineAuto PowerLine = "auto"
	PowerLineOff  PowerLine = "off"
	PowerLine50   PowerLine = "50Hz"
	PowerLine60   PowerLine = "60Hz"
)

// Controls are properties of a camera. A zero field leaves the camera's own; a
// control that the camera has not is told to the log.
type Controls struct {
	// AutoExposure has the camera choose; Exposure is how long each picture is
	// exposed, 100 µs to 10 s.
	AutoExposure bool
	Exposure     time.Duration
	// AutoGain has the camera choose; Gain is in the camera's own units, 1 to 65535.
	AutoGain bool
	Gain     int
	// PowerLine and Flip are as their types say.
	PowerLine PowerLine
	Flip      capture.Flip
	// Named sets controls by the name that the driver gives them, in lower case: day
	// and night, infra-red lamps, focus. At most 32.
	Named map[string]int
}

const maxNamed = 32

func (c Controls) validate() error {
	switch {
	case c.Exposure != 0 && (c.Exposure < 100*time.Microsecond || c.Exposure > 10*time.Second):
		return fmt.Errorf("exposure %v is not from 100 µs to 10 s", c.Exposure)
	case c.AutoExposure && c.Exposure != 0:
		return errors.New("exposure is the camera's choice and given, both")
	case c.Gain < 0 || c.Gain > 65535:
		return fmt.Errorf("gain %d is not from 1 to 65535", c.Gain)
	case c.AutoGain && c.Gain != 0:
		return errors.New("gain is the camera's choice and given, both")
	case !slices.Contains([]PowerLine{"", PowerLineAuto, PowerLineOff, PowerLine50, PowerLine60}, c.PowerLine):
		return fmt.Errorf("power line %q is none of auto, off, 50Hz and 60Hz", c.PowerLine)
	case !c.Flip.Known():
		return fmt.Errorf("flip %q is none of none, horizontal, vertical and both", c.Flip)
	case len(c.Named) > maxNamed:
		return fmt.Errorf("%d controls by name, at most %d", len(c.Named), maxNamed)
	}
	for name, v := range c.Named {
		if int(int32(v)) != v {
			return fmt.Errorf("control %q cannot be %d", name, v)
		}
	}
	return nil
}

// knobs are a camera's controls.
type knobs interface {
	list() []Control
	set(id uint32, value int32) error
	close() error
}

// Control is one that a camera has.
type Control struct {
	ID             uint32
	Name           string
	Min, Max, Step int32
}

// step is one thing to do: the first of several controls that the camera has.
type step struct {
	what  string
	ids   []uint32
	value int32
	// minor says that most cameras lack it, and do what is wanted anyway.
	minor bool
}

// steps are what the settings mean, in the order in which drivers want it: what is
// automatic is switched off before a value is set.
func (c Controls) steps() []step {
	var all []step
	if c.AutoExposure { // 3 leaves the aperture alone, which USB cameras have not
		all = append(all, step{what: "automatic exposure", ids: []uint32{videodev.ControlExposureAuto}, value: 3})
	}
	if c.Exposure != 0 {
		all = append(all,
			step{what: "manual exposure", ids: []uint32{videodev.ControlExposureAuto}, value: 1, minor: true},
			step{what: "exposure", ids: []uint32{videodev.ControlExposureAbsolute}, value: int32(c.Exposure / (100 * time.Microsecond))})
	}
	if c.AutoGain {
		all = append(all, step{what: "automatic gain", ids: []uint32{videodev.ControlAutogain}, value: 1})
	}
	if c.Gain != 0 {
		all = append(all,
			step{what: "manual gain", ids: []uint32{videodev.ControlAutogain}, value: 0, minor: true},
			step{what: "gain", ids: []uint32{videodev.ControlGain, videodev.ControlAnalogueGain}, value: int32(c.Gain)})
	}
	if c.PowerLine != "" {
		number := map[PowerLine]int32{PowerLineOff: 0, PowerLine50: 1, PowerLine60: 2, PowerLineAuto: 3}[c.PowerLine]
		all = append(all, step{what: "power line frequency", ids: []uint32{videodev.ControlPowerLineFrequency}, value: number})
	}
	if c.Flip != "" {
		all = append(all,
			step{what: "horizontal flip", ids: []uint32{videodev.ControlHorizontalFlip}, value: bit(c.Flip.Horizontal()), minor: !c.Flip.Horizontal()},
			step{what: "vertical flip", ids: []uint32{videodev.ControlVerticalFlip}, value: bit(c.Flip.Vertical()), minor: !c.Flip.Vertical()})
	}
	return all
}

func bit(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// apply sets the controls. None is worth losing the camera for: what the camera
// has not, or refuses, is told to the log.
func (c Controls) apply(open func(string) (knobs, error), path string, log *slog.Logger) {
	todo := c.steps()
	if len(todo)+len(c.Named) == 0 {
		return
	}
	k, err := open(path)
	if err != nil {
		log.Warn("controls are not set", "camera", path, "error", err)
		return
	}
	has := k.list()
	for _, s := range todo {
		i := slices.IndexFunc(has, func(h Control) bool { return slices.Contains(s.ids, h.ID) })
		if i < 0 {
			if !s.minor {
				log.Warn("the camera has no such control", "camera", path, "control", s.what)
			}
			continue
		}
		turn(k, has[i], s.value, path, log)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Named)) {
		i := slices.IndexFunc(has, func(h Control) bool { return strings.EqualFold(h.Name, name) })
		if i < 0 {
			log.Warn("the camera has no such control", "camera", path, "control", name)
			continue
		}
		turn(k, has[i], int32(c.Named[name]), path, log)
	}
	if err := k.close(); err != nil {
		log.Warn("closing the camera's controls", "camera", path, "error", err)
	}
}

// turn sets one control, to the nearest value that it has.
func turn(k knobs, c Control, value int32, path string, log *slog.Logger) {
	if near := min(max(value, c.Min), c.Max); near != value && c.Min < c.Max {
		log.Warn("the camera's control does not go so far", "camera", path, "control", c.Name, "asked", value, "set", near)
		value = near
	}
	if err := k.set(c.ID, value); err != nil {
		log.Warn("the camera refuses a control", "camera", path, "control", c.Name, "value", value, "error", err)
	}
}

// webcamKnobs are the controls as the library webcam lists and sets them.
type webcamKnobs struct{ cam *webcam.Webcam }

func openKnobs(path string) (knobs, error) {
	cam, err := webcam.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open controls: %w", err)
	}
	return webcamKnobs{cam}, nil
}

func (k webcamKnobs) list() []Control {
	var all []Control
	for id, c := range k.cam.GetControls() {
		all = append(all, Control{ID: uint32(id), Name: c.Name, Min: c.Min, Max: c.Max, Step: c.Step})
	}
	slices.SortFunc(all, func(a, b Control) int { return int(int64(a.ID) - int64(b.ID)) })
	return all
}

func (k webcamKnobs) set(id uint32, value int32) error {
	return k.cam.SetControl(webcam.ControlID(id), value)
}

func (k webcamKnobs) close() error { return k.cam.Close() }
