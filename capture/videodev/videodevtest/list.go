//go:build linux

package videodevtest

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture/videodev"
	"github.com/lensward/lensward/capture/videodev/internal/abi"
)

// Format is one that a node offers.
type Format struct {
	PixelFormat videodev.PixelFormat
	Text        string
	// Sizes and Rates are what is listed. A single range that is not one size or
	// rate is listed as continuous or, where it has steps, as stepwise. Without any
	// the driver does not say.
	Sizes []videodev.SizeRange
	Rates []videodev.RateRange
}

// Size is one size.
func Size(width, height int) videodev.SizeRange {
	return videodev.SizeRange{MinWidth: width, MaxWidth: width, MinHeight: height, MaxHeight: height}
}

// Rates are single frame rates.
func Rates(fps ...float64) []videodev.RateRange {
	var rates []videodev.RateRange
	for _, r := range fps {
		rates = append(rates, videodev.RateRange{Min: r, Max: r})
	}
	return rates
}

// Control is a control with its value.
type Control struct {
	videodev.Control
	Value int32
	Items []videodev.MenuItem
}

// enumerate answers for lists.
func (c *call) enumerate() error {
	i := int(c.m.Uint32(0))
	if c.ordinal == abi.EnumInputs {
		return c.enumInputs(i)
	}
	if c.ordinal == abi.EnumFormats {
		formats := c.driver().formats(c.kind(abi.FmtdescType))
		if i >= len(formats) {
			return unix.EINVAL
		}
		c.m.SetUint32(abi.FmtdescPixelFormat, uint32(formats[i].PixelFormat))
		c.m.SetText(abi.FmtdescText, abi.NameChars, formats[i].Text)
		return nil
	}
	p := videodev.PixelFormat(c.m.Uint32(abi.FrameSizePixelFormat))
	for _, kind := range []videodev.BufferType{videodev.Capture, videodev.CaptureMultiplanar, videodev.OutputMultiplanar} {
		formats := c.driver().formats(kind)
		if at := slices.IndexFunc(formats, func(f Format) bool { return f.PixelFormat == p }); at >= 0 {
			if c.ordinal == abi.EnumFrameSizes {
				return c.enumSizes(formats[at].Sizes, i)
			}
			return c.enumRates(formats[at].Rates, i)
		}
	}
	return unix.EINVAL
}

func (c *call) enumInputs(i int) error {
	inputs := c.driver().inputs()
	if inputs == nil {
		return unix.ENOTTY
	}
	if i >= len(inputs) {
		return unix.EINVAL
	}
	c.m.SetText(abi.InputName, abi.NameChars, inputs[i].Name)
	switch inputs[i].Fault {
	case "no power":
		c.m.SetUint32(abi.InputStatus, 1)
	case "no signal":
		c.m.SetUint32(abi.InputStatus, 2)
	}
	return nil
}

func (c *call) input() error {
	if c.driver().inputs() == nil {
		return unix.ENOTTY
	}
	return nil
}

func (c *call) enumSizes(sizes []videodev.SizeRange, i int) error {
	if i >= len(sizes) {
		return unix.EINVAL
	}
	s := sizes[i]
	if s.Discrete() {
		c.m.SetUint32(abi.FrameSizeKind, 1)
		c.m.SetUint32(abi.FrameSizeWidth, uint32(s.MinWidth))
		c.m.SetUint32(abi.FrameSizeHeight, uint32(s.MinHeight))
		return nil
	}
	kind := uint32(2)
	if s.StepWidth > 1 || s.StepHeight > 1 {
		kind = 3
	}
	c.m.SetUint32(abi.FrameSizeKind, kind)
	c.m.SetUint32(abi.FrameSizeWidth, uint32(s.MinWidth))
	c.m.SetUint32(abi.FrameSizeMaxWidth, uint32(s.MaxWidth))
	c.m.SetUint32(abi.FrameSizeStepWidth, uint32(s.StepWidth))
	c.m.SetUint32(abi.FrameSizeMinHeight, uint32(s.MinHeight))
	c.m.SetUint32(abi.FrameSizeMaxHeight, uint32(s.MaxHeight))
	c.m.SetUint32(abi.FrameSizeStepHeight, uint32(s.StepHeight))
	return nil
}

func (c *call) enumRates(rates []videodev.RateRange, i int) error {
	if i >= len(rates) {
		return unix.EINVAL
	}
	kind := uint32(1)
	if rates[i].Min != rates[i].Max {
		kind = 2
	}
	c.m.SetUint32(abi.FrameIntervalKind, kind)
	put := func(at int, rate float64) {
		c.m.SetUint32(at, 1000)
		c.m.SetUint32(at+4, uint32(1000*rate))
	}
	put(abi.FrameIntervalMin, rates[i].Max)
	put(abi.FrameIntervalMax, rates[i].Min)
	return nil
}

// find returns the control with the ID, or the one after it.
func (c *call) find(id uint32) *Control {
	const next = 0x80000000
	controls := slices.SortedFunc(slices.Values(c.driver().controls()), func(a, b *Control) int { return cmp.Compare(a.ID, b.ID) })
	for _, control := range controls {
		if control.ID == id || id&next != 0 && control.ID > id&^next {
			return control
		}
	}
	return nil
}

// control runs what is left: the calls on controls. The older ones are there too.
func (c *call) control() error {
	switch c.ordinal {
	case abi.QueryExtControl:
		return c.queryControl()
	case abi.QueryMenu:
		return c.queryMenu()
	case abi.GetExtControls, abi.SetExtControls:
		if c.m.Uint32(abi.ExtControlsCount) != 1 || len(c.arg.Array) != abi.ExtControlBytes || c.arg.Pointer != c.abi.ExtControlsPointer() {
			return unix.EINVAL
		}
		return c.value(abi.Memory(c.arg.Array), abi.ExtControlValue, c.ordinal == abi.SetExtControls)
	case abi.GetControl, abi.SetControl:
		return c.value(c.m, abi.ControlValue, c.ordinal == abi.SetControl)
	default:
		return unix.ENOTTY
	}
}

func (c *call) queryControl() error {
	control := c.find(c.m.Uint32(abi.QueryExtControlID))
	if control == nil {
		return unix.EINVAL
	}
	c.m.SetUint32(abi.QueryExtControlID, control.ID)
	c.m.SetUint32(abi.QueryExtControlType, uint32(control.Type))
	c.m.SetText(abi.QueryExtControlName, abi.NameChars, control.Name)
	c.m.SetInt64(abi.QueryExtControlMin, control.Min)
	c.m.SetInt64(abi.QueryExtControlMax, control.Max)
	c.m.SetInt64(abi.QueryExtControlStep, control.Step)
	c.m.SetInt64(abi.QueryExtControlDefault, control.Default)
	c.m.SetUint32(abi.QueryExtControlFlags, uint32(control.Flags))
	return nil
}

func (c *call) queryMenu() error {
	control := c.find(c.m.Uint32(abi.QueryMenuID))
	if control == nil {
		return unix.EINVAL
	}
	value := int32(c.m.Uint32(abi.QueryMenuIndex))
	for _, item := range control.Items {
		if item.Value == value {
			if control.Type == videodev.Menu {
				c.m.SetText(abi.QueryMenuName, abi.NameChars, item.Name)
			} else {
				c.m.SetInt64(abi.QueryMenuValue, item.Number)
			}
			return nil
		}
	}
	return unix.EINVAL
}

// value reads or sets a control.
func (c *call) value(m abi.Memory, at int, set bool) error {
	control := c.find(m.Uint32(0))
	if control == nil {
		return unix.EINVAL
	}
	if !set {
		m.SetUint32(at, uint32(control.Value))
		return nil
	}
	value := int32(m.Uint32(at))
	c.detail = fmt.Sprintf("%#08x %d", control.ID, value)
	switch {
	case control.Flags&videodev.ControlReadOnly != 0:
		return unix.EACCES
	case control.Type == videodev.Button:
	case int64(value) < control.Min || int64(value) > control.Max:
		return unix.ERANGE
	}
	control.Value = value
	c.driver().controlled(control)
	return nil
}
