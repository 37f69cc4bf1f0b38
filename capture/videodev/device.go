//go:build linux

package videodev

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture/videodev/internal/abi"
)

// Device is an open node. Its queues, its controls and Wait may be used from one
// goroutine each, at the same time.
type Device struct {
	path       string
	kernel     Kernel
	node       Node
	abi        abi.ABI
	capability Capability
}

// Capabilities are what a node can do, as the kernel's bits.
type Capabilities uint32

// The capabilities that are looked at.
const (
	Captures            Capabilities = 0x00000001
	Outputs             Capabilities = 0x00000002
	CapturesMultiplanar Capabilities = 0x00001000
	OutputsMultiplanar  Capabilities = 0x00002000
	M2MMultiplanar      Capabilities = 0x00004000
	M2M                 Capabilities = 0x00008000
	Metadata            Capabilities = 0x00800000
	Streams             Capabilities = 0x04000000
)

// deviceCaps says that the node's own capabilities are told apart.
const deviceCaps = 0x80000000

// Capability says what a node is.
type Capability struct {
	Driver, Card, Bus string
	// Caps are the node's own, not its device's: the metadata node of a USB camera
	// would look like a camera.
	Caps Capabilities
}

// CaptureType returns the kind of queue that gives a camera's pictures; false if
// the node is no camera that streams.
func (c Capability) CaptureType() (BufferType, bool) {
	switch {
	case c.Caps&Streams == 0 || c.Encodes():
		return 0, false
	case c.Caps&Captures != 0:
		return Capture, true
	case c.Caps&CapturesMultiplanar != 0:
		return CaptureMultiplanar, true
	default:
		return 0, false
	}
}

// Encodes says that the node takes pictures from memory and gives others: an
// encoder, a decoder or a converter.
func (c Capability) Encodes() bool {
	const both, bothMultiplanar = Captures | Outputs, CapturesMultiplanar | OutputsMultiplanar
	return c.Caps&(M2M|M2MMultiplanar) != 0 || c.Caps&both == both || c.Caps&bothMultiplanar == bothMultiplanar
}

// Open opens a node and asks what it is. [ErrNotVideo] is in the error if it is no
// V4L2 node.
func Open(kernel Kernel, path string) (*Device, error) {
	node, err := kernel.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	d := &Device{path: path, kernel: kernel, node: node, abi: abi.ABI{Word: kernel.Word(), Time: 8}}
	if err := d.queryCapability(); err != nil {
		return nil, errors.Join(err, node.Close())
	}
	return d, nil
}

func (d *Device) queryCapability() error {
	m := make(abi.Memory, abi.CapabilityBytes)
	if err := d.ioctl(abi.QueryCapability, m); err != nil {
		if errors.Is(err, unix.ENOTTY) {
			err = fmt.Errorf("%w: %w", ErrNotVideo, err)
		}
		return err
	}
	caps := m.Uint32(abi.CapabilityAll)
	if caps&deviceCaps != 0 {
		caps = m.Uint32(abi.CapabilityNode)
	}
	d.capability = Capability{
		Driver: m.Text(abi.CapabilityDriver, abi.DriverChars),
		Card:   m.Text(abi.CapabilityCard, abi.NameChars),
		Bus:    m.Text(abi.CapabilityBus, abi.NameChars),
		Caps:   Capabilities(caps),
	}
	return nil
}

// ioctl runs a call that needs no array.
func (d *Device) ioctl(ordinal int, m abi.Memory) error {
	return d.call(ordinal, &Argument{Bytes: m})
}

// call runs a call, and says in its error which and on what.
func (d *Device) call(ordinal int, arg *Argument) error {
	request := d.abi.Request(ordinal)
	if err := d.node.Ioctl(uint32(request), arg); err != nil {
		return fmt.Errorf("%v on %s: %w", request, d.path, err)
	}
	return nil
}

// Path returns the node's path.
func (d *Device) Path() string { return d.path }

// Capability returns what the node is.
func (d *Device) Capability() Capability { return d.capability }

// Age returns how long ago a time on the drivers' clock was.
func (d *Device) Age(stamp time.Duration) time.Duration { return d.kernel.Monotonic() - stamp }

// Wait waits for any of the events; see [Node].
func (d *Device) Wait(ctx context.Context, events Events, timeout time.Duration) (Events, error) {
	got, err := d.node.Wait(ctx, events, timeout)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("wait for %s: %w", d.path, err)
	}
	return got, err
}

// Close closes the node. Its queues are closed before.
func (d *Device) Close() error {
	if err := d.node.Close(); err != nil {
		return fmt.Errorf("close %s: %w", d.path, err)
	}
	return nil
}

// Input is one of the sources that a node can be switched between.
type Input struct {
	Index int
	Name  string
	// Fault says why the input gives no pictures, as far as the driver knows.
	Fault string
}

// maxInputs is how many are asked for.
const maxInputs = 64

// Inputs lists a camera's inputs; none where the driver has no such notion.
func (d *Device) Inputs() ([]Input, error) {
	var inputs []Input
	for i := range maxInputs {
		m := make(abi.Memory, abi.InputBytes)
		m.SetUint32(abi.InputIndex, uint32(i))
		if err := d.ioctl(abi.EnumInputs, m); err != nil {
			return inputs, endOfList(err)
		}
		in := Input{Index: i, Name: m.Text(abi.InputName, abi.NameChars)}
		switch status := m.Uint32(abi.InputStatus); {
		case status&0x01 != 0:
			in.Fault = "no power"
		case status&0x02 != 0:
			in.Fault = "no signal"
		}
		inputs = append(inputs, in)
	}
	return inputs, nil
}

// Input returns the number of the input that is selected.
func (d *Device) Input() (int, error) {
	m := make(abi.Memory, 4)
	err := d.ioctl(abi.GetInput, m)
	return int(m.Uint32(0)), err
}

// SelectInput selects an input.
func (d *Device) SelectInput(index int) error {
	m := make(abi.Memory, 4)
	m.SetUint32(0, uint32(index))
	return d.ioctl(abi.SetInput, m)
}

// endOfList turns the error that ends an enumeration into nil: EINVAL after the
// last, ENOTTY where there is no list, and ENODATA where there is none at the
// moment.
func endOfList(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.ENODATA) {
		return nil
	}
	return err
}
