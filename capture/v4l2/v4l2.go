//go:build linux

// Package v4l2 reads cameras through Video4Linux2: USB cameras and whatever else
// gives Motion JPEG or packed YUYV pictures on /dev/videoN.
//
// It owns the dialogue with the driver: which format and size it really gives,
// the buffers, and what its errors mean. It never looks into a picture further
// than to see that it is whole, and it does not start again by itself: a Camera
// that has failed is opened anew by whoever supervises it.
//
// The package is tested against a made-up device, and is untested on hardware.
// Frames that a driver marks as damaged cannot be told apart yet (the library
// below does not pass the mark on); Motion JPEG ones are found by their form.
package v4l2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
)

// PixelFormat is what the camera's pictures are made of: the four characters
// that V4L2 names it by, first in the lowest byte.
type PixelFormat uint32

// The pixel formats that can be read.
const (
	MJPEG PixelFormat = 'M' | 'J'<<8 | 'P'<<16 | 'G'<<24
	JPEG  PixelFormat = 'J' | 'P'<<8 | 'E'<<16 | 'G'<<24
	YUYV  PixelFormat = 'Y' | 'U'<<8 | 'Y'<<16 | 'V'<<24
)

// String returns the four characters.
func (p PixelFormat) String() string {
	name := []byte{byte(p), byte(p >> 8), byte(p >> 16), byte(p >> 24)}
	for i, c := range name {
		if c < ' ' || c > '~' {
			name[i] = '?'
		}
	}
	return string(bytes.TrimRight(name, " "))
}

// Settings say which camera and what is asked of it. The zero value of a field
// takes its default.
type Settings struct {
	// Path is the device, such as /dev/video0.
	Path string
	// Width and Height are asked for, 16 to 8192; the driver may choose others. The
	// default is 1280×720.
	Width, Height int
	// FPS is asked for, above 0 and up to 240; the driver may choose another. The
	// default is 15.
	FPS float64
	// Format is MJPEG or YUYV. The default is MJPEG where the camera has it, else
	// YUYV.
	Format PixelFormat
	// Log is told of what is odd about the camera. The default is no log.
	Log *slog.Logger
}

func (s Settings) withDefaults() Settings {
	if s.Width == 0 && s.Height == 0 {
		s.Width, s.Height = 1280, 720
	}
	if s.FPS == 0 {
		s.FPS = 15
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	return s
}

func (s Settings) validate() error {
	switch {
	case s.Path == "":
		return errors.New("v4l2: no device is named, such as /dev/video0")
	case s.Width < 16 || s.Width > 8192:
		return fmt.Errorf("v4l2: width %d is not from 16 to 8192", s.Width)
	case s.Height < 16 || s.Height > 8192:
		return fmt.Errorf("v4l2: height %d is not from 16 to 8192", s.Height)
	case !(s.FPS > 0 && s.FPS <= 240): // NaN too
		return fmt.Errorf("v4l2: fps %v is not above 0 and at most 240", s.FPS)
	case s.Format != 0 && s.Format != MJPEG && s.Format != YUYV:
		return fmt.Errorf("v4l2: format %v is neither MJPG nor YUYV", s.Format)
	}
	return nil
}

// Mode is what the driver really gives.
type Mode struct {
	Format        PixelFormat
	Width, Height int
	// Stride is the length of a YUYV row in bytes.
	Stride int
	// FPS is the driver's rate; 0 if it does not say.
	FPS float64
}

// device is a camera that has been opened. Only the driver's own errors come out
// of it.
type device interface {
	formats() map[PixelFormat]string
	// configure sets the format and the rate, and returns what the driver made of
	// it.
	configure(format PixelFormat, width, height int, fps float64) (Mode, error)
	start() error
	// wait returns when a frame is there, or errTimeout after a second without one.
	wait() error
	// frame returns the bytes of the oldest frame, which are the driver's until
	// release gives its buffer back.
	frame() (data []byte, buffer uint32, err error)
	release(buffer uint32) error
	close() error
}

// errTimeout says that no frame came within a second.
var errTimeout = errors.New("no frame within a second")

// How much of a driver's trouble is borne before the camera counts as failed.
const (
	maxQuiet  = 10 // seconds without a frame
	maxBroken = 50 // broken frames one after another
)

// Camera is a [capture.Source] of Motion JPEG; YUYV pictures are encoded.
type Camera struct {
	settings Settings
	open     func(path string) (device, error)
	mode     Mode
	broken   atomic.Uint64
}

// Open finds out what the camera gives. The device is closed again until Run.
func Open(s Settings) (*Camera, error) { return openWith(s, openDevice) }

func openWith(s Settings, open func(string) (device, error)) (*Camera, error) {
	c := &Camera{settings: s.withDefaults(), open: open}
	if err := c.settings.validate(); err != nil {
		return nil, err
	}
	dev, mode, err := c.connect()
	if err != nil {
		return nil, err
	}
	if err := dev.close(); err != nil {
		return nil, fmt.Errorf("close camera %s: %w", c.settings.Path, err)
	}
	c.mode = mode
	return c, nil
}

// Mode returns what the driver gives.
func (c *Camera) Mode() Mode { return c.mode }

// Broken returns how many frames have been left out so far because they were not
// whole.
func (c *Camera) Broken() uint64 { return c.broken.Load() }

// connect opens the device and sets it up.
func (c *Camera) connect() (device, Mode, error) {
	s := c.settings
	dev, err := c.open(s.Path)
	if err != nil {
		return nil, Mode{}, fmt.Errorf("open camera %s: %w%s", s.Path, err, hint(err))
	}
	mode, err := c.configure(dev)
	if err != nil {
		dev.close()
		return nil, Mode{}, fmt.Errorf("set up camera %s: %w%s", s.Path, err, hint(err))
	}
	return dev, mode, nil
}

// hint says what a person can do about an error.
func hint(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "; hint: is the camera plugged in? `ls /dev/video*` shows those that are"
	case errors.Is(err, fs.ErrPermission):
		return "; hint: add the user to the group video"
	case errors.Is(err, unix.EBUSY):
		return "; hint: another program uses the camera"
	default:
		return ""
	}
}

// configure chooses the format and agrees with the driver on the rest.
func (c *Camera) configure(dev device) (Mode, error) {
	s := c.settings
	format := s.Format
	if format == 0 {
		has := dev.formats()
		for _, format = range []PixelFormat{MJPEG, JPEG, YUYV} {
			if _, ok := has[format]; ok {
				break
			}
		}
		if _, ok := has[format]; !ok {
			return Mode{}, unreadable(has)
		}
	}
	mode, err := dev.configure(format, s.Width, s.Height, s.FPS)
	if err != nil {
		return Mode{}, err
	}
	if mode.Format != format {
		return Mode{}, fmt.Errorf("the camera gives %v instead of %v", mode.Format, format)
	}
	if mode.Width < 16 || mode.Height < 16 || mode.Width > 8192 || mode.Height > 8192 {
		return Mode{}, fmt.Errorf("the camera's size %d×%d is out of bounds", mode.Width, mode.Height)
	}
	if mode.Stride == 0 {
		mode.Stride = 2 * mode.Width
	}
	if format == YUYV && mode.Stride < 2*mode.Width {
		return Mode{}, fmt.Errorf("the camera's rows of %d bytes are too short for %d pixels", mode.Stride, mode.Width)
	}
	return mode, nil
}

// Run reads frames until ctx is done, which it notices within a second, or the
// camera fails. Frames that are not whole are left out and counted; Frame.Seq
// then jumps.
func (c *Camera) Run(ctx context.Context, emit func(capture.Frame)) error {
	dev, mode, err := c.connect()
	if err != nil {
		return err
	}
	defer dev.close()
	if mode != c.mode {
		return fmt.Errorf("set up camera %s: it gives %v now and gave %v before", c.settings.Path, mode, c.mode)
	}
	if err := dev.start(); err != nil {
		return fmt.Errorf("start camera %s: %w%s", c.settings.Path, err, hint(err))
	}
	r := reader{camera: c, dev: dev, encode: newEncoder(mode)}
	for ctx.Err() == nil {
		f, ok, err := r.read()
		if err != nil {
			return fmt.Errorf("read camera %s: %w", c.settings.Path, err)
		}
		if ok {
			emit(f)
		}
	}
	return ctx.Err()
}

// reader is the state of one Run.
type reader struct {
	camera *Camera
	dev    device
	encode *encoder
	seq    uint64
	quiet  int // seconds without a frame
	bad    int // broken frames one after another
}

// read waits up to a second for a frame; false is none, or one to be left out.
func (r *reader) read() (capture.Frame, bool, error) {
	switch err := r.dev.wait(); {
	case errors.Is(err, errTimeout):
		if r.quiet++; r.quiet >= maxQuiet {
			return capture.Frame{}, false, fmt.Errorf("no frame for %d s", r.quiet)
		}
		return capture.Frame{}, false, nil
	case err != nil:
		return capture.Frame{}, false, explain(err)
	}
	data, buffer, err := r.dev.frame()
	switch {
	case errors.Is(err, unix.EAGAIN):
		return capture.Frame{}, false, nil
	case errors.Is(err, unix.EIO): // a passing fault, by the V4L2 specification
		r.quiet = 0
		return capture.Frame{}, false, r.fault(err)
	case err != nil:
		return capture.Frame{}, false, explain(err)
	}
	taken := time.Now()
	r.quiet = 0
	picture, faulty := r.encode.picture(data)
	if err := r.dev.release(buffer); err != nil {
		return capture.Frame{}, false, explain(err)
	}
	if faulty != nil {
		return capture.Frame{}, false, r.fault(faulty)
	}
	r.bad = 0
	f := capture.Frame{
		Seq: r.seq, Time: taken, Format: capture.FormatMJPEG,
		Width: r.encode.mode.Width, Height: r.encode.mode.Height, Key: true, Data: picture,
	}
	r.seq++
	return f, true, nil
}

// fault counts a frame that is left out, and says when it was one too many.
func (r *reader) fault(reason error) error {
	r.seq++
	if r.camera.broken.Add(1) == 1 {
		r.camera.settings.Log.Warn("broken frame left out", "camera", r.camera.settings.Path, "reason", reason)
	}
	if r.bad++; r.bad >= maxBroken {
		return fmt.Errorf("%d broken frames one after another: %w", r.bad, reason)
	}
	return nil
}

// explain puts a driver's error into words.
func explain(err error) error {
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("the camera is gone: %w", err)
	}
	return err
}

// checkJPEG returns a copy of a whole JPEG of the right size. Cameras pad their
// buffers after the end marker.
func checkJPEG(data []byte, mode Mode) ([]byte, error) {
	end := bytes.LastIndex(data, []byte{0xff, 0xd9})
	if end < 0 || !bytes.HasPrefix(data, []byte{0xff, 0xd8}) {
		return nil, fmt.Errorf("%d bytes are not a whole JPEG", len(data))
	}
	data = data[:end+2]
	width, height, err := jpegdc.Size(data)
	if err != nil {
		return nil, err
	}
	if width != mode.Width || height != mode.Height {
		return nil, fmt.Errorf("the picture is %d×%d, not %d×%d", width, height, mode.Width, mode.Height)
	}
	return bytes.Clone(data), nil
}

// unreadable lists the formats of a camera that has none that can be read.
func unreadable(has map[PixelFormat]string) error {
	names, bayer := "", false
	for format, text := range sortedFormats(has) {
		names += fmt.Sprintf(" %v (%s)", format, text)
		bayer = bayer || bytes.Contains([]byte(text), []byte("Bayer"))
	}
	switch {
	case names == "":
		return errors.New("the device gives no pictures; hint: cameras have several /dev/videoN, try the others")
	case bayer:
		return fmt.Errorf("the camera gives raw sensor data only:%s; hint: such cameras need libcamera, as on a Raspberry Pi", names)
	default:
		return fmt.Errorf("the camera gives neither MJPG nor YUYV but%s", names)
	}
}
