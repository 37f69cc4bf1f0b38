package usbcam

import (
	"testing"
	"time"

	"github.com/lensward/lensward/internal/lab/usbip"
)

// still is a reel of one frame.
type still struct{}

// Frame is the frame.
func (still) Frame(Mode, uint64) ([]byte, error) { return []byte("picture"), nil }

// Whatever a host asks, the camera answers or stalls, keeps to the modes that it
// has, and its controls stay within their bounds.
func FuzzControl(f *testing.F) {
	f.Add(uint8(0x80), uint8(6), uint16(0x0200), uint16(0), []byte{})
	f.Add(uint8(0x80), uint8(6), uint16(0x0303), uint16(0x0409), []byte{})
	f.Add(uint8(0x21), uint8(1), uint16(0x0100), uint16(1), make([]byte, 34))
	f.Add(uint8(0x21), uint8(1), uint16(0x0200), uint16(1), []byte{1, 0, 9, 9, 255, 255, 255, 255})
	f.Add(uint8(0xa1), uint8(0x83), uint16(0x0100), uint16(1), []byte{})
	f.Add(uint8(0x21), uint8(1), uint16(0x0400), uint16(0x0100), []byte{1, 2, 3, 4})
	f.Add(uint8(0x02), uint8(1), uint16(0), uint16(0x81), []byte{})
	f.Fuzz(func(t *testing.T, kind, request uint8, value, index uint16, data []byte) {
		c, err := New(Description{Name: "N", Controls: DefaultControls(), Streams: []Stream{{Reel: still{}, Formats: []Format{
			{Encoding: MJPEG, Sizes: []Size{{Width: 64, Height: 48, Intervals: []time.Duration{time.Second / 30, time.Second, time.Second / 30}, Continuous: true}}},
			{Encoding: YUYV, Sizes: []Size{{Width: 32, Height: 24, Intervals: []time.Duration{time.Second}}}},
		}}}})
		if err != nil {
			t.Fatal(err)
		}
		p := &plug{camera: c, streams: c.startStates()}
		answer, err := p.Control(usbip.Setup{RequestType: kind, Request: request, Value: value, Index: index, Length: 255}, data)
		if err != nil && len(answer) > 0 {
			t.Errorf("stalled with an answer of %d bytes", len(answer))
		}
		if m, _ := p.streams[0].mode(); m.Interval < time.Second/30-time.Microsecond || m.Interval > time.Second+time.Second/30 || m.Width != 64 && m.Width != 32 {
			t.Errorf("the mode is %+v", m)
		}
		for _, control := range c.Controls() {
			if control.Value < control.Minimum || control.Value > control.Maximum {
				t.Errorf("%s is %d", control.Name, control.Value)
			}
		}
	})
}
