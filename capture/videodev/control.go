//go:build linux

package videodev

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture/videodev/internal/abi"
)

// ControlType is what a control's value is. The values are the kernel's.
type ControlType uint32

// The types.
const (
	Integer     ControlType = 1
	Boolean     ControlType = 2
	Menu        ControlType = 3
	Button      ControlType = 4
	Integer64   ControlType = 5
	Class       ControlType = 6 // a heading, with no value
	Text        ControlType = 7
	Bitmask     ControlType = 8
	IntegerMenu ControlType = 9
)

// String returns the type's name.
func (t ControlType) String() string {
	names := [...]string{"", "integer", "boolean", "menu", "button", "64-bit integer", "class", "text", "bitmask", "integer menu"}
	if t >= Integer && int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// ControlFlags say how a control can be used. The values are the kernel's.
type ControlFlags uint32

// The flags that are looked at.
const (
	ControlDisabled ControlFlags = 0x001 // for good
	ControlReadOnly ControlFlags = 0x004
	ControlInactive ControlFlags = 0x010 // another control makes it so at the moment
	controlNext     uint32       = 0x80000000
)

// Control is a property of a device that can be read or set.
type Control struct {
	ID                      uint32
	Name                    string
	Type                    ControlType
	Min, Max, Step, Default int64
	Flags                   ControlFlags
}

// MenuItem is one of the values of a control that is a menu.
type MenuItem struct {
	Value int32
	// Name is what a Menu says, Number what an IntegerMenu does.
	Name   string
	Number int64
}

// Limits of what a driver may list.
const (
	maxControls  = 1024
	maxMenuItems = 256
)

// Controls lists a device's controls, without classes and without those that are
// disabled for good.
func (d *Device) Controls() ([]Control, error) {
	query := d.queryExtControl
	var controls []Control
	for id, n := uint32(0), 0; n < maxControls; n++ {
		c, err := query(id | controlNext)
		if n == 0 && errors.Is(err, unix.ENOTTY) { // kernels before 3.17
			query = d.queryControl
			c, err = query(id | controlNext)
		}
		if err != nil {
			return controls, endOfList(err)
		}
		if c.ID <= id {
			return controls, fmt.Errorf("controls of %s: %w: %#x after %#x", d.path, errSense, c.ID, id)
		}
		id = c.ID
		if c.Type != Class && c.Flags&ControlDisabled == 0 {
			controls = append(controls, c)
		}
	}
	return controls, nil
}

// Control describes one control; false if the device has it not.
func (d *Device) Control(id uint32) (Control, bool, error) {
	c, err := d.queryExtControl(id)
	if errors.Is(err, unix.ENOTTY) {
		c, err = d.queryControl(id)
	}
	if err != nil {
		return Control{}, false, endOfList(err)
	}
	return c, c.Flags&ControlDisabled == 0, nil
}

func (d *Device) queryExtControl(id uint32) (Control, error) {
	m := make(abi.Memory, abi.QueryExtControlBytes)
	m.SetUint32(abi.QueryExtControlID, id)
	if err := d.ioctl(abi.QueryExtControl, m); err != nil {
		return Control{}, err
	}
	return Control{
		ID:      m.Uint32(abi.QueryExtControlID),
		Name:    m.Text(abi.QueryExtControlName, abi.NameChars),
		Type:    ControlType(m.Uint32(abi.QueryExtControlType)),
		Min:     m.Int64(abi.QueryExtControlMin),
		Max:     m.Int64(abi.QueryExtControlMax),
		Step:    m.Int64(abi.QueryExtControlStep),
		Default: m.Int64(abi.QueryExtControlDefault),
		Flags:   ControlFlags(m.Uint32(abi.QueryExtControlFlags)),
	}, nil
}

func (d *Device) queryControl(id uint32) (Control, error) {
	m := make(abi.Memory, abi.QueryControlBytes)
	m.SetUint32(abi.QueryControlID, id)
	if err := d.ioctl(abi.QueryControl, m); err != nil {
		return Control{}, err
	}
	signed := func(at int) int64 { return int64(int32(m.Uint32(at))) }
	return Control{
		ID:      m.Uint32(abi.QueryControlID),
		Name:    m.Text(abi.QueryControlName, abi.NameChars),
		Type:    ControlType(m.Uint32(abi.QueryControlType)),
		Min:     signed(abi.QueryControlMin),
		Max:     signed(abi.QueryControlMax),
		Step:    signed(abi.QueryControlStep),
		Default: signed(abi.QueryControlDefault),
		Flags:   ControlFlags(m.Uint32(abi.QueryControlFlags)),
	}, nil
}

// MenuItems lists the values of a control that is a menu.
func (d *Device) MenuItems(c Control) ([]MenuItem, error) {
	if c.Type != Menu && c.Type != IntegerMenu {
		return nil, nil
	}
	var items []MenuItem
	first := min(max(c.Min, 0), math.MaxInt32-maxMenuItems)
	for i := first; i <= c.Max && i < first+maxMenuItems; i++ {
		m := make(abi.Memory, abi.QueryMenuBytes)
		m.SetUint32(abi.QueryMenuID, c.ID)
		m.SetUint32(abi.QueryMenuIndex, uint32(i))
		err := d.ioctl(abi.QueryMenu, m)
		if errors.Is(err, unix.EINVAL) { // menus have gaps
			continue
		}
		if err != nil {
			return items, endOfList(err)
		}
		item := MenuItem{Value: int32(i)}
		if c.Type == Menu {
			item.Name = m.Text(abi.QueryMenuName, abi.NameChars)
		} else {
			item.Number = m.Int64(abi.QueryMenuValue)
		}
		items = append(items, item)
	}
	return items, nil
}

// Value reads a control of 32 bits.
func (d *Device) Value(id uint32) (int32, error) {
	one := d.oneExtControl(id, 0)
	err := d.call(abi.GetExtControls, one)
	if err == nil {
		return int32(abi.Memory(one.Array).Uint32(abi.ExtControlValue)), nil
	}
	if !plainControl(err) {
		return 0, err
	}
	m := make(abi.Memory, abi.ControlBytes)
	m.SetUint32(abi.ControlID, id)
	err = d.ioctl(abi.GetControl, m)
	return int32(m.Uint32(abi.ControlValue)), err
}

// SetValue sets a control of 32 bits, or pushes a button. Drivers put values
// between a control's steps right; beyond its bounds they may refuse them
// (unix.ERANGE).
func (d *Device) SetValue(id uint32, value int32) error {
	err := d.call(abi.SetExtControls, d.oneExtControl(id, value))
	if err == nil || !plainControl(err) {
		return err
	}
	m := make(abi.Memory, abi.ControlBytes)
	m.SetUint32(abi.ControlID, id)
	m.SetUint32(abi.ControlValue, uint32(value))
	return d.ioctl(abi.SetControl, m)
}

// plainControl says that the plain call may do where the extended one failed:
// some old drivers have that alone, or take no extended one that names no class.
func plainControl(err error) bool {
	return errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL)
}

// oneExtControl is the argument of the extended calls, for one control.
func (d *Device) oneExtControl(id uint32, value int32) *Argument {
	m := make(abi.Memory, d.abi.ExtControlsBytes())
	m.SetUint32(abi.ExtControlsCount, 1)
	one := make(abi.Memory, abi.ExtControlBytes)
	one.SetUint32(abi.ExtControlID, id)
	one.SetUint32(abi.ExtControlValue, uint32(value))
	return &Argument{Bytes: m, Array: one, Pointer: d.abi.ExtControlsPointer()}
}

// Clamp returns the value within the control's bounds.
func (c Control) Clamp(value int64) int32 {
	value = max(min(value, c.Max), c.Min)
	return int32(max(min(value, math.MaxInt32), math.MinInt32))
}
