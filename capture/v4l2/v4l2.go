//go:build linux

// Package v4l2 is a camera that Linux' Video4Linux2 knows: USB cameras, and
// whatever else gives pictures on /dev/videoN.
//
// It owns which camera is meant (by node, USB port or serial number, however the
// nodes are numbered today), which of its formats is taken and why, its controls,
// and the dialogue with a driver that streams. It drops what a driver marks as
// damaged and counts what a driver lost. It never looks into a picture further
// than to see that it is whole, and it does not start again by itself: a Camera
// that has failed may be run again by whoever supervises it.
//
// The library github.com/blackjack/webcam lists formats and sets controls; what it
// lacks (buffer flags, sequence numbers, multi-planar nodes, waits that can be
// ended) is in capture/videodev, which does the streaming.
package v4l2

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/videodev"
)

// PixelFormat is the kernel's name of a format, see [videodev.PixelFormat].
type PixelFormat = videodev.PixelFormat

// Want is what a camera is asked to give.
type Want string

// What can be wanted. WantAuto is MJPEG where the camera has it, else a raw format,
// else H.264; WantRaw is any raw format.
const (
	WantAuto  Want = "auto"
	WantMJPEG Want = "mjpeg"
	WantH264  Want = "h264"
	WantRaw   Want = "raw"
	WantYUYV  Want = "yuyv"
	WantNV12  Want = "nv12"
	WantI420  Want = "i420"
	WantGrey  Want = "grey"
)

// Settings say which camera and what is asked of it. The zero value of a field
// takes its default.
type Settings struct {
	// Name says which camera: a node such as /dev/video0; "usb=1-1.2", the USB port;
	// "serial=…", its serial number; "auto", the first that gives pictures, which is
	// the default.
	Name string
	// Known is the camera that the name stood for before. It is taken wherever it is
	// now; another one only where the name is a node or auto.
	Known Identity
	// Width and Height are asked for, 16 to 8192; the driver may choose others. The
	// default is 1280×720.
	Width, Height int
	// FPS is asked for, above 0 and up to 240; the driver may choose another. The
	// default is 15.
	FPS float64
	// Want is the format. The default is WantAuto.
	Want Want
	// Controls are set before pictures are taken.
	Controls Controls
	// NoPreviews leaves the camera's second node alone, see [Camera.Run].
	NoPreviews bool
	// Log is told of what is odd about the camera. The default is no log.
	Log *slog.Logger

	system system // tests have one of their own
}

func (s Settings) withDefaults() Settings {
	if s.Name == "" {
		s.Name = autoName
	}
	if s.Width == 0 && s.Height == 0 {
		s.Width, s.Height = 1280, 720
	}
	if s.FPS == 0 {
		s.FPS = 15
	}
	if s.Want == "" {
		s.Want = WantAuto
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.system.kernel == nil {
		s.system = theSystem()
	}
	return s
}

func (s Settings) validate() error {
	switch {
	case s.Width < 16 || s.Width > maxSide:
		return fmt.Errorf("v4l2: width %d is not from 16 to %d", s.Width, maxSide)
	case s.Height < 16 || s.Height > maxSide:
		return fmt.Errorf("v4l2: height %d is not from 16 to %d", s.Height, maxSide)
	case !(s.FPS > 0 && s.FPS <= 240): // NaN too
		return fmt.Errorf("v4l2: fps %v is not above 0 and at most 240", s.FPS)
	}
	if wanted(s.Want) == nil {
		return fmt.Errorf("v4l2: format %q is none of auto, mjpeg, h264, raw, yuyv, nv12, i420 and grey", s.Want)
	}
	if err := s.Controls.validate(); err != nil {
		return fmt.Errorf("v4l2: %w", err)
	}
	return checkName(s.Name)
}

// maxSide is the longest side of a picture that is taken, in pixels.
const maxSide = 8192

// Mode is what the driver really gives.
type Mode struct {
	PixelFormat PixelFormat
	// Encoded is the frames' encoding; 0 if the pictures are raw, of the layout that
	// Layout says. Full is [capture.Raw]'s.
	Encoded       capture.Format
	Layout        capture.Layout
	Full          bool
	Width, Height int
	// FPS is the driver's rate; 0 if it does not say.
	FPS float64
	// Why says for a person why this format was taken.
	Why string
}

// same says whether pictures are read in the same way.
func (m Mode) same(n Mode) bool {
	return m.PixelFormat == n.PixelFormat && m.Full == n.Full && m.Width == n.Width && m.Height == n.Height
}

// Camera is a [capture.Source] where its mode is encoded, and a [capture.RawSource]
// where it is raw.
type Camera struct {
	settings Settings
	identity Identity
	mode     Mode
	broken   atomic.Uint64
	lost     atomic.Uint64
}

// Open finds the camera and what it gives. Nothing is held open until it runs. An
// error that is the camera's is a [*capture.FaultError].
func Open(s Settings) (*Camera, error) {
	c := &Camera{settings: s.withDefaults()}
	if err := c.settings.validate(); err != nil {
		return nil, err
	}
	dev, f, err := c.connect()
	if err != nil {
		return nil, err
	}
	c.mode = f.mode
	if err := dev.Close(); err != nil {
		return nil, fault(fmt.Errorf("close camera: %w", err))
	}
	return c, nil
}

// Mode returns what the driver gives.
func (c *Camera) Mode() Mode { return c.mode }

// Identity returns which camera it is.
func (c *Camera) Identity() Identity { return c.identity }

// Broken returns how many pictures have been left out so far because they were
// damaged or not whole.
func (c *Camera) Broken() uint64 { return c.broken.Load() }

// Lost returns how many pictures the driver says it had no buffer for.
func (c *Camera) Lost() uint64 { return c.lost.Load() }

// connect opens the camera and has the driver agree on a format.
func (c *Camera) connect() (*videodev.Device, format, error) {
	s := c.settings
	if c.identity != (Identity{}) {
		s.Known = c.identity
	}
	id, err := s.system.find(s.Name, s.Known)
	if err != nil {
		return nil, format{}, fault(fmt.Errorf("find camera %s: %w", s.Name, err))
	}
	if s.Known != (Identity{}) && !id.same(s.Known) {
		s.Log.Warn("another camera is there now", "name", s.Name, "was", s.Known, "is", id)
	}
	dev, err := videodev.Open(s.system.kernel, id.Node)
	if err != nil {
		return nil, format{}, fault(fmt.Errorf("open camera: %w", err))
	}
	f, err := configure(dev, s)
	if err != nil {
		return nil, format{}, errors.Join(fault(fmt.Errorf("set up camera %s: %w", id.Node, err)), dev.Close())
	}
	c.identity = id
	return dev, f, nil
}

// errRaw and errEncoded say that the wrong Run was called.
var (
	errRaw     = errors.New("run camera: it gives raw pictures")
	errEncoded = errors.New("run camera: it gives encoded pictures")
)

// Run is [capture.Source]'s, for a mode that is encoded. It may be called again
// after it has returned.
//
// To an H.264 camera that has a second node with MJPEG pictures, previews are
// attached which come from there, so that no decoder is needed to find motion.
func (c *Camera) Run(ctx context.Context, emit func(capture.Frame)) error {
	switch c.mode.Encoded {
	case capture.FormatMJPEG:
		return c.stream(ctx, &jpegs{camera: c, emit: emit})
	case capture.FormatH264:
		return c.runH264(ctx, emit)
	default:
		return errRaw
	}
}

// RunRaw is [capture.RawSource]'s, for a mode that is raw. It may be called again
// after it has returned.
func (c *Camera) RunRaw(ctx context.Context, emit func(*capture.Raw) error) error {
	if c.mode.Encoded != 0 {
		return errEncoded
	}
	return c.stream(ctx, &raws{camera: c, emit: emit})
}

// picture is a buffer that the driver calls whole.
type picture struct {
	format format
	planes [][]byte
	seq    uint64
	time   time.Time
	// gap says that pictures before this one are missing.
	gap bool
}

// taker makes of pictures what is wanted of them. A picture that it calls faulty is
// left out; an error ends the run.
type taker interface {
	take(p *picture) (faulty, err error)
}
