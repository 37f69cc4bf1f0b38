// Package usbcam is a made-up USB camera: the USB Video Class as the kernel's own
// driver meets it, carried to a kernel by package usbip.
//
// It owns the descriptors, the negotiation of a format, the cutting of frames into
// payloads, their pace, and every fault that it is asked to have. It never makes a
// picture: a [Reel] gives it whole frames, and what was given is told to whoever
// listens, so that a test knows what the camera saw.
//
// The class is USB Video 1.1 (its H.264 in the frame-based form), over bulk
// endpoints, which carry video as well as isochronous ones and need no clock.
package usbcam

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/internal/lab/usbip"
)

// Encoding is what a stream's pictures are made of.
type Encoding uint8

// The encodings.
const (
	MJPEG Encoding = 1
	YUYV  Encoding = 2
	H264  Encoding = 3
)

// String returns the encoding's usual name.
func (e Encoding) String() string {
	switch e {
	case MJPEG:
		return "MJPEG"
	case YUYV:
		return "YUYV"
	case H264:
		return "H.264"
	default:
		return "unknown encoding"
	}
}

// Size is a picture's size, and the intervals between frames that it can have.
type Size struct {
	Width, Height int
	// Intervals are the choices; with Continuous they are the shortest, the longest
	// and the step.
	Intervals  []time.Duration
	Continuous bool
}

// Format is an encoding in some sizes.
type Format struct {
	Encoding Encoding
	Sizes    []Size
}

// Mode is what the host chose.
type Mode struct {
	Encoding      Encoding
	Width, Height int
	Interval      time.Duration
}

// Reel gives the frames of a stream. It is called from one goroutine.
type Reel interface {
	// Frame is the whole frame of this number, from 0 for each start of the stream. It
	// must not be changed afterwards.
	Frame(m Mode, n uint64) ([]byte, error)
}

// Stream is one node that the camera has.
type Stream struct {
	Formats []Format
	Reel    Reel
}

// Served is a frame that the host took, whole or not.
type Served struct {
	// Stream is the index of the stream.
	Stream int
	Mode   Mode
	// Start counts how often the stream was started, from 1; N its frames, from 0.
	Start, N uint64
	// Data is the frame as it was before the fault.
	Data  []byte
	Fault Fault
}

// Description is a camera. Its lengths are limited: 4 streams, 8 formats each.
type Description struct {
	VendorID, ProductID uint16
	Name, Serial        string
	Streams             []Stream
	// Controls are those of the lens and of the picture; see DefaultControls.
	Controls []Control
	// Fault says what is wrong with a frame; nil is nothing.
	Fault func(stream int, n uint64) Fault
	// Served is told of each frame after its last byte was taken; nil tells nobody. It
	// must return soon.
	Served func(Served)
}

// Camera is a camera that can be plugged in again and again. Its methods are safe
// for concurrent use.
type Camera struct {
	described Description
	config    []byte // the configuration descriptor, with all that is in it

	mu       sync.Mutex
	unplug   func() // closes the connection there is
	plugged  int
	controls []Control
	starts   []uint64 // of each stream
}

// New checks a description and returns its camera.
func New(d Description) (*Camera, error) {
	if len(d.Streams) < 1 || len(d.Streams) > 4 {
		return nil, fmt.Errorf("make camera: %d streams, want 1 to 4", len(d.Streams))
	}
	for i, s := range d.Streams {
		if err := s.validate(); err != nil {
			return nil, fmt.Errorf("make camera: stream %d: %w", i, err)
		}
	}
	if len(d.Name) > 100 || len(d.Serial) > 100 {
		return nil, errors.New("make camera: a name has more than 100 bytes")
	}
	c := &Camera{described: d, controls: slices.Clone(d.Controls), starts: make([]uint64, len(d.Streams))}
	c.config = configuration(&c.described)
	return c, nil
}

func (s *Stream) validate() error {
	if s.Reel == nil || len(s.Formats) < 1 || len(s.Formats) > 8 {
		return fmt.Errorf("no reel, or %d formats, want 1 to 8", len(s.Formats))
	}
	for _, f := range s.Formats {
		if f.Encoding < MJPEG || f.Encoding > H264 || len(f.Sizes) < 1 || len(f.Sizes) > 32 {
			return fmt.Errorf("format %v with %d sizes, want 1 to 32", f.Encoding, len(f.Sizes))
		}
		for _, size := range f.Sizes {
			switch n := len(size.Intervals); {
			case size.Width < 16 || size.Width > 4096 || size.Height < 16 || size.Height > 4096:
				return fmt.Errorf("size %d×%d", size.Width, size.Height)
			case size.Continuous && n != 3, n < 1 || n > 16:
				return fmt.Errorf("size %d×%d: %d intervals", size.Width, size.Height, n)
			}
		}
	}
	return nil
}

// Plugged counts how often a host has taken the camera.
func (c *Camera) Plugged() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plugged
}

// Unplug pulls the plug, if the camera is in.
func (c *Camera) Unplug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unplug != nil {
		c.unplug()
	}
}

// Run takes connections and is the camera on them, one after another, until ctx is
// done. A connection that is there when another comes is unplugged.
func (c *Camera) Run(ctx context.Context, l net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { l.Close() }) // unblocks Accept
	defer stop()
	g.Go(func() error {
		for {
			conn, err := l.Accept()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return fmt.Errorf("take USB/IP connection: %w", err)
			}
			c.Unplug()
			g.Go(func() error { return c.Serve(ctx, conn) })
		}
	})
	return g.Wait()
}

// Serve is the camera on one connection until it is unplugged (nil), or ctx is
// done.
func (c *Camera) Serve(ctx context.Context, conn net.Conn) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	c.unplug = cancel
	c.plugged++
	c.mu.Unlock()
	err := usbip.Serve(inner, conn, &plug{camera: c, streams: c.startStates()})
	if ctx.Err() == nil && errors.Is(err, context.Canceled) {
		return nil // unplugged
	}
	return err
}

// Controls are the values that the host has set.
func (c *Camera) Controls() []Control {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.controls)
}
