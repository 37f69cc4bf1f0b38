package usbcam

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/lensward/lensward/internal/lab/usbip"
)

// Requests: USB 2.0 table 9-4, USB Video 1.1 table A-8.
const (
	requestGetStatus        = 0x00
	requestClearFeature     = 0x01
	requestSetFeature       = 0x03
	requestGetDescriptor    = 0x06
	requestSetConfiguration = 0x09
	requestGetInterface     = 0x0a
	requestSetInterface     = 0x0b

	requestSetCurrent    = 0x01
	requestGetCurrent    = 0x81
	requestGetMinimum    = 0x82
	requestGetMaximum    = 0x83
	requestGetResolution = 0x84
	requestGetLength     = 0x85
	requestGetInfo       = 0x86
	requestGetDefault    = 0x87

	selectorProbe  = 1
	selectorCommit = 2
	selectorError  = 2
	probeBytes     = 34
	// payloadBytes is how long a payload is, its head included: the most that the
	// kernel's driver takes in one transfer.
	payloadBytes = 16 << 10
)

// Control is a setting of the camera (USB Video 1.1, 4.2.2).
type Control struct {
	// Entity is 1 for the lens's and 2 for the picture's; Selector and Bit are the
	// specification's, Bytes the value's length (1, 2 or 4).
	Entity, Selector, Bit, Bytes uint8
	// Name is for people.
	Name                                         string
	Minimum, Maximum, Resolution, Default, Value int32
}

// DefaultControls are what a usual webcam has.
func DefaultControls() []Control {
	return []Control{
		// A mode is a bit: 1 manual, 8 the camera's own; the resolution tells which there are.
		{Entity: entityLens, Selector: 2, Bit: 1, Bytes: 1, Name: "exposure mode", Minimum: 1, Maximum: 8, Resolution: 9, Default: 8, Value: 8},
		{Entity: entityLens, Selector: 4, Bit: 3, Bytes: 4, Name: "exposure time", Minimum: 1, Maximum: 5000, Resolution: 1, Default: 156, Value: 156},
		{Entity: entityPicture, Selector: 2, Bit: 0, Bytes: 2, Name: "brightness", Minimum: -64, Maximum: 64, Resolution: 1},
		{Entity: entityPicture, Selector: 4, Bit: 9, Bytes: 2, Name: "gain", Maximum: 100, Resolution: 1},
		{Entity: entityPicture, Selector: 5, Bit: 10, Bytes: 1, Name: "power line frequency", Maximum: 2, Resolution: 1, Default: 1, Value: 1},
	}
}

// controlBits says which controls an entity has.
func controlBits(list []Control, entity uint8) uint32 {
	var bits uint32
	for _, c := range list {
		if c.Entity == entity {
			bits |= 1 << c.Bit
		}
	}
	return bits
}

// answer answers a request for a control's property.
func (c *Control) answer(request uint8) ([]byte, error) {
	v, known := map[uint8]int32{
		requestGetCurrent: c.Value, requestGetMinimum: c.Minimum, requestGetMaximum: c.Maximum,
		requestGetResolution: c.Resolution, requestGetDefault: c.Default,
	}[request]
	switch {
	case request == requestGetInfo:
		return []byte{3}, nil // can be read and written
	case request == requestGetLength:
		return []byte{c.Bytes, 0}, nil
	case !known:
		return nil, usbip.ErrStall
	}
	return binary.LittleEndian.AppendUint32(nil, uint32(v))[:c.Bytes], nil
}

// set takes a value of the control's length.
func (c *Control) set(data []byte) error {
	if len(data) < int(c.Bytes) {
		return usbip.ErrStall
	}
	var v int32
	switch c.Bytes {
	case 1:
		v = int32(data[0])
	case 2:
		v = int32(int16(binary.LittleEndian.Uint16(data)))
	default:
		v = int32(binary.LittleEndian.Uint32(data))
	}
	if v < c.Minimum || v > c.Maximum {
		return usbip.ErrStall
	}
	c.Value = v
	return nil
}

// plug is a camera on one connection. It is a [usbip.Device].
type plug struct {
	camera  *Camera
	streams []*streamState
}

// streamState is what the host has agreed on with a stream.
type streamState struct {
	formats []Format

	mu     sync.Mutex
	probed choice
	chosen choice
	// turn changes with every start and stop: a frame of an earlier one is not finished.
	turn uint64
}

// choice is a mode by its numbers.
type choice struct {
	format, size int
	interval     time.Duration
}

func (c *Camera) startStates() []*streamState {
	var out []*streamState
	for _, s := range c.described.Streams {
		first := choice{interval: s.Formats[0].Sizes[0].Intervals[0]}
		out = append(out, &streamState{formats: s.Formats, probed: first, chosen: first})
	}
	return out
}

func (s *streamState) mode() (m Mode, turn uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.formats[s.chosen.format]
	size := f.Sizes[s.chosen.size]
	return Mode{f.Encoding, size.Width, size.Height, s.chosen.interval}, s.turn
}

// Info is what is told of the camera before it is imported.
func (p *plug) Info() usbip.Info {
	d := &p.camera.described
	return usbip.Info{
		BusID: BusID, Bus: 1, Device: 2, Speed: usbip.SpeedHigh, VendorID: d.VendorID, ProductID: d.ProductID, Release: 0x0100,
		Class: 0xef, Subclass: 2, Protocol: 1, Configurations: 1, Interfaces: one(len(d.Streams) + 1),
	}
}

// BusID is what the camera is called at its USB/IP server.
const BusID = "1-1"

// Control answers a control transfer.
func (p *plug) Control(s usbip.Setup, data []byte) ([]byte, error) {
	switch s.RequestType {
	case 0x21, 0xa1: // of the class, to an interface
		if number := int(s.Index & 0xff); number > 0 {
			return p.stream(number-1, s, data)
		}
		return p.control(uint8(s.Index>>8), s, data)
	default:
		return p.standard(s)
	}
}

// standard answers what every USB device answers.
func (p *plug) standard(s usbip.Setup) ([]byte, error) {
	d := &p.camera.described
	switch {
	case s.RequestType == 0x80 && s.Request == requestGetDescriptor:
		switch s.Value >> 8 {
		case typeDevice:
			return deviceDescriptor(d), nil
		case typeConfiguration:
			return p.camera.config, nil
		case typeString:
			if b, ok := stringDescriptor(d, int(s.Value&0xff)); ok {
				return b, nil
			}
		}
		return nil, usbip.ErrStall
	case s.RequestType&0x80 != 0 && s.Request == requestGetStatus:
		return []byte{0, 0}, nil
	case s.RequestType == 0x81 && s.Request == requestGetInterface:
		return []byte{0}, nil
	case s.RequestType == 0x02 && s.Request == requestClearFeature:
		// Streaming has stopped: what was begun is not finished.
		if i := int(s.Index&0x0f) - 1; i >= 0 && i < len(p.streams) {
			p.streams[i].restart(nil)
		}
		return nil, nil
	}
	switch s.Request {
	case requestSetConfiguration, requestSetInterface, requestSetFeature, requestClearFeature:
		return nil, nil
	default:
		return nil, usbip.ErrStall
	}
}

// control answers a request to the lens or the picture's processing.
func (p *plug) control(entity uint8, s usbip.Setup, data []byte) ([]byte, error) {
	selector := uint8(s.Value >> 8)
	if entity == 0 && selector == selectorError {
		return []byte{6}, nil // the request before was an invalid control's
	}
	p.camera.mu.Lock()
	defer p.camera.mu.Unlock()
	i := slices.IndexFunc(p.camera.controls, func(c Control) bool { return c.Entity == entity && c.Selector == selector })
	switch {
	case i < 0:
		return nil, usbip.ErrStall
	case s.Request == requestSetCurrent:
		return nil, p.camera.controls[i].set(data)
	default:
		return p.camera.controls[i].answer(s.Request)
	}
}

// stream negotiates (USB Video 1.1, 4.3.1.1): the host proposes, reads what the
// camera makes of it, and commits.
func (p *plug) stream(i int, s usbip.Setup, data []byte) ([]byte, error) {
	selector := s.Value >> 8
	if i >= len(p.streams) || selector != selectorProbe && selector != selectorCommit {
		return nil, usbip.ErrStall
	}
	state := p.streams[i]
	switch s.Request {
	case requestGetLength:
		return []byte{probeBytes, 0}, nil
	case requestGetInfo:
		return []byte{3}, nil
	case requestSetCurrent:
		wish, err := state.wish(data)
		if err != nil {
			return nil, err
		}
		if selector == selectorCommit {
			state.restart(&wish)
		}
		return nil, nil
	case requestGetCurrent, requestGetMinimum, requestGetMaximum, requestGetDefault:
		return state.proposal(s.Request), nil
	default:
		return nil, usbip.ErrStall
	}
}

// wish takes what the host proposes, as near as there is.
func (s *streamState) wish(data []byte) (choice, error) {
	if len(data) < 8 {
		return choice{}, fmt.Errorf("a proposal of %d bytes: %w", len(data), usbip.ErrStall)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var c choice
	c.format = min(max(int(data[2])-1, 0), len(s.formats)-1)
	f := s.formats[c.format]
	c.size = min(max(int(data[3])-1, 0), len(f.Sizes)-1)
	c.interval = f.Sizes[c.size].nearest(time.Duration(binary.LittleEndian.Uint32(data[4:])) * 100)
	s.probed = c
	return c, nil
}

// nearest is the interval that the camera has next to the one wished for.
func (s Size) nearest(d time.Duration) time.Duration {
	if s.Continuous {
		low, high, step := s.Intervals[0], s.Intervals[1], max(s.Intervals[2], 100)
		d = min(max(d, low), high)
		return low + (d-low+step/2)/step*step
	}
	best, off := s.Intervals[0], time.Duration(math.MaxInt64)
	for _, have := range s.Intervals {
		if o := (have - d).Abs(); o < off {
			best, off = have, o
		}
	}
	return best
}

// restart ends what is under way; with a choice, that is what comes next.
func (s *streamState) restart(c *choice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn++
	if c != nil {
		s.chosen = *c
	}
}

// proposal is the video probe control (USB Video 1.1, table 4-75).
func (s *streamState) proposal(request uint8) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.probed
	size := s.formats[c.format].Sizes[c.size]
	interval := c.interval
	if !size.Continuous {
		switch request {
		case requestGetMinimum:
			interval = slices.Min(size.Intervals)
		case requestGetMaximum:
			interval = slices.Max(size.Intervals)
		}
	}
	return fields(uint16(1), one(c.format+1), one(c.size+1), hundreds(interval),
		uint16(0), uint16(0), uint16(0), uint16(0), uint16(0),
		frameBytes(size.Width, size.Height), uint32(payloadBytes), uint32(clockHertz), make([]byte, probeBytes-30))
}
