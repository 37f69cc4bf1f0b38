package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

const (
	maxMasks    = 32
	maxControls = 32
	auto        = "auto"
)

// ExposureTime is what Exposure says: the camera's choice, or a time; neither if it
// is not set.
func (c Camera) ExposureTime() (choose bool, d time.Duration, err error) {
	if c.Exposure == "" || c.Exposure == auto {
		return c.Exposure == auto, 0, nil
	}
	d, err = time.ParseDuration(c.Exposure)
	if err != nil || d < 100*time.Microsecond || d > 10*time.Second {
		return false, 0, fmt.Errorf("exposure %q is neither auto nor a time from 100us to 10s", c.Exposure)
	}
	return false, d, nil
}

// GainUnits is what Gain says: the camera's choice, or a number of its units; neither
// if it is not set.
func (c Camera) GainUnits() (choose bool, units int, err error) {
	if c.Gain == "" || c.Gain == auto {
		return c.Gain == auto, 0, nil
	}
	units, err = strconv.Atoi(c.Gain)
	if err != nil || units < 1 || units > 65535 {
		return false, 0, fmt.Errorf("gain %q is neither auto nor a number from 1 to 65535", c.Gain)
	}
	return false, units, nil
}

// check holds what is asked of the camera.
func (c *Camera) check() *Error {
	if _, _, err := c.ExposureTime(); err != nil {
		return &Error{Key: "camera.exposure", What: "camera." + err.Error(), Hint: `give "auto", or a time such as "10ms"`}
	}
	if _, _, err := c.GainUnits(); err != nil {
		return &Error{Key: "camera.gain", What: "camera." + err.Error(), Hint: `give "auto", or a number in quotes such as "16"`}
	}
	for _, w := range []struct {
		key, v string
		words  []string
	}{
		{"camera.power_line", c.PowerLine, []string{"", auto, "off", "50Hz", "60Hz"}},
		{"camera.flip", c.Flip, []string{"", "none", "horizontal", "vertical", "both"}},
	} {
		if !slices.Contains(w.words, w.v) {
			return &Error{Key: w.key, What: fmt.Sprintf("%s is %q", w.key, w.v), Hint: fmt.Sprintf("give one of %q", w.words[1:])}
		}
	}
	return c.checkLists()
}

// checkLists holds the controls and the masks.
func (c *Camera) checkLists() *Error {
	if len(c.Controls) > maxControls {
		return &Error{Key: "camera.controls", What: fmt.Sprintf("there are %d controls", len(c.Controls)), Hint: fmt.Sprintf("give at most %d", maxControls)}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Controls)) {
		if v := c.Controls[name]; int(int32(v)) != v {
			return &Error{Key: "camera.controls", What: fmt.Sprintf("control %q is %d", name, v), Hint: "give a number of 32 bits"}
		}
	}
	if len(c.Mask) > maxMasks {
		return &Error{Key: "camera.mask", What: fmt.Sprintf("there are %d masks", len(c.Mask)), Hint: fmt.Sprintf("give at most %d", maxMasks)}
	}
	for i, m := range c.Mask {
		if _, err := m.Area(); err != nil {
			return &Error{Key: fmt.Sprintf("camera.mask[%d].corners", i), What: fmt.Sprintf("mask: %v", err), Hint: "docs/ref/config.md says how corners are given"}
		}
	}
	return nil
}
