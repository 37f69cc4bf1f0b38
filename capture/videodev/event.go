//go:build linux

package videodev

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture/videodev/internal/abi"
)

// EventType is what a driver tells of besides pictures. The values are the
// kernel's.
type EventType uint32

// The types.
const (
	// EndOfStream: an encoder or decoder that was told to stop has given its last
	// picture.
	EndOfStream EventType = 2
	// SourceChange: the format of what comes in has changed.
	SourceChange EventType = 5
)

// Event is something that a driver tells of.
type Event struct {
	Type    EventType
	ID      uint32 // of what: an input, a control
	Pending int    // how many events wait after this one
}

// Subscribe asks for events of a type.
func (d *Device) Subscribe(kind EventType, id uint32) error {
	m := make(abi.Memory, abi.SubscriptionBytes)
	m.SetUint32(abi.SubscriptionType, uint32(kind))
	m.SetUint32(abi.SubscriptionID, id)
	return d.ioctl(abi.SubscribeEvent, m)
}

// DequeueEvent takes the oldest event; [ErrNotReady] if there is none.
func (d *Device) DequeueEvent() (Event, error) {
	layout := d.abi
	m, err := d.dequeueEvent(layout)
	if errors.Is(err, unix.ENOTTY) && layout.Word == 4 && layout.Time == 8 { // see Queue.query
		layout.Time = 4
		m, err = d.dequeueEvent(layout)
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAGAIN) {
		return Event{}, ErrNotReady
	}
	if err != nil {
		return Event{}, err
	}
	return Event{
		Type:    EventType(m.Uint32(abi.EventType)),
		ID:      m.Uint32(layout.EventID()),
		Pending: int(min(m.Uint32(abi.EventPending), 1<<16)),
	}, nil
}

func (d *Device) dequeueEvent(layout abi.ABI) (abi.Memory, error) {
	with := *d
	with.abi = layout
	m := make(abi.Memory, layout.EventBytes())
	return m, with.ioctl(abi.DequeueEvent, m)
}

// EncoderStop tells an encoder that no picture follows: it gives those that it
// still holds, the very last flagged Last.
func (d *Device) EncoderStop() error {
	const stop = 1
	m := make(abi.Memory, abi.EncoderCommandBytes)
	m.SetUint32(abi.EncoderCommand, stop)
	return d.ioctl(abi.EncoderCommandNumber, m)
}

// EncoderStart has an encoder that was stopped go on.
func (d *Device) EncoderStart() error {
	return d.ioctl(abi.EncoderCommandNumber, make(abi.Memory, abi.EncoderCommandBytes))
}
