//go:build linux

package videodevtest

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture/videodev"
)

// Camera describes a made-up camera.
type Camera struct {
	Driver, Card, Bus string
	// Caps are the node's; 0 is those of a camera.
	Caps        videodev.Capabilities
	Multiplanar bool
	Formats     []Format
	Controls    []*Control
	Inputs      []videodev.Input
	// Interval is the time from one picture to the next; without it the driver has
	// no rate that can be set, and pictures come at 30 a second.
	Interval *videodev.Fraction
	// Fast has a picture ready whenever a buffer is.
	Fast bool
	// Adjust is what the driver makes of a format that is asked for, its planes
	// included. By default it takes the size, and rows without padding.
	Adjust func(f videodev.Format) videodev.Format
	// Picture gives the n-th picture, from 0, in the format that is set.
	Picture func(n int, f videodev.Format) Picture
	// Controlled is told of every control that is set.
	Controlled func(c *Control)
}

// Picture is what a camera's driver does next.
type Picture struct {
	// Planes are copied into a buffer, as far as there is room.
	Planes [][]byte
	Flags  videodev.BufferFlags
	// Lost is how many pictures before this one the driver says it lost.
	Lost int
	// Age is how long ago the picture was taken when it is given.
	Age time.Duration
	// Hang is no picture, now and ever.
	Hang bool
	// QueueError has the driver give the queue up.
	QueueError bool
	// Lie has the driver say that more bytes are used than there are.
	Lie bool
	// Offset is where the data begins within the planes (multi-planar alone).
	Offset int
}

// camera is a Camera's driver.
type camera struct {
	Camera
	noDriver
	q        queue
	due      time.Duration // when the next picture is
	n        int           // pictures so far
	sequence uint32
	hung     bool
}

// AddCamera plugs a camera in.
func (k *Kernel) AddCamera(path string, c Camera) {
	kind := videodev.Capture
	if c.Multiplanar {
		kind = videodev.CaptureMultiplanar
	}
	if c.Caps == 0 {
		c.Caps = videodev.Streams | videodev.Captures
		if c.Multiplanar {
			c.Caps = videodev.Streams | videodev.CapturesMultiplanar
		}
	}
	d := &camera{Camera: c, q: queue{kind: kind}}
	if len(c.Formats) > 0 {
		d.q.format = d.adjust(kind, videodev.Format{PixelFormat: c.Formats[0].PixelFormat, Width: 640, Height: 480})
	}
	k.add(path, d)
}

func (c *camera) capability() videodev.Capability {
	return videodev.Capability{Driver: c.Driver, Card: c.Card, Bus: c.Bus, Caps: c.Caps}
}

func (c *camera) queue(kind videodev.BufferType) *queue {
	if kind != c.q.kind || c.Caps&(videodev.Captures|videodev.CapturesMultiplanar) == 0 {
		return nil
	}
	return &c.q
}

func (c *camera) formats(kind videodev.BufferType) []Format {
	if kind != c.q.kind {
		return nil
	}
	return c.Formats
}

func (c *camera) adjust(_ videodev.BufferType, f videodev.Format) videodev.Format {
	if c.Adjust != nil {
		return c.Adjust(f)
	}
	has := false
	for _, one := range c.Formats {
		has = has || one.PixelFormat == f.PixelFormat
	}
	if !has {
		f.PixelFormat = c.Formats[0].PixelFormat
	}
	f.Field = videodev.Progressive
	f.Planes = Planes(f.PixelFormat, f.Width, f.Height)
	return f
}

// Planes are the planes of a picture without padding.
func Planes(p videodev.PixelFormat, width, height int) []videodev.PlaneFormat {
	half := (width + 1) / 2 * ((height + 1) / 2)
	switch p {
	case videodev.YUYV:
		return []videodev.PlaneFormat{{Stride: 2 * width, Size: 2 * width * height}}
	case videodev.NV12, videodev.YU12:
		return []videodev.PlaneFormat{{Stride: width, Size: width*height + 2*half}}
	case videodev.NM12:
		return []videodev.PlaneFormat{{Stride: width, Size: width * height}, {Stride: width, Size: 2 * half}}
	case videodev.YM12:
		return []videodev.PlaneFormat{{Stride: width, Size: width * height}, {Stride: (width + 1) / 2, Size: half}, {Stride: (width + 1) / 2, Size: half}}
	case videodev.GREY:
		return []videodev.PlaneFormat{{Stride: width, Size: width * height}}
	default:
		return []videodev.PlaneFormat{{Size: max(2*width*height, 64<<10)}}
	}
}

func (c *camera) controls() []*Control     { return c.Controls }
func (c *camera) inputs() []videodev.Input { return c.Inputs }

func (c *camera) interval(kind videodev.BufferType) *videodev.Fraction {
	if kind != c.q.kind {
		return nil
	}
	return c.Interval
}

func (c *camera) controlled(control *Control) {
	if c.Controlled != nil {
		c.Controlled(control)
	}
}

// period is the time from one picture to the next.
func (c *camera) period() time.Duration {
	if c.Interval != nil && c.Interval.Rate() > 0 {
		return time.Duration(float64(time.Second) / c.Interval.Rate())
	}
	return time.Second / 30
}

func (c *camera) advance(now time.Duration) time.Duration {
	if !c.q.on || c.hung || c.q.failed {
		return 0
	}
	if c.Fast {
		for len(c.q.queued) > 0 && len(c.q.done) == 0 && !c.hung && !c.q.failed {
			c.give(now)
		}
		return 0
	}
	if c.due == 0 {
		c.due = now + c.period()
	}
	for ; c.due <= now && !c.hung && !c.q.failed; c.due += c.period() {
		if len(c.q.queued) == 0 { // nobody took the others in time
			c.sequence++
			continue
		}
		c.give(c.due)
	}
	return c.due
}

// give fills the next buffer.
func (c *camera) give(now time.Duration) {
	p := c.Camera.Picture(c.n, c.q.format)
	c.n++
	if c.hung, c.q.failed = p.Hang, p.QueueError; p.Hang || p.QueueError {
		return
	}
	b := c.q.next()
	c.sequence += uint32(p.Lost)
	b.fill(p.Planes)
	for i := range b.start {
		b.start[i] = p.Offset
	}
	b.flags, b.sequence, b.stamp, b.lies = p.Flags|videodev.Monotonic, c.sequence, now-p.Age, p.Lie
	c.sequence++
	c.q.finish(b)
}

func (c *camera) stop(*queue) { c.due, c.sequence, c.hung = 0, 0, false }

// noDriver refuses what a camera does not have.
type noDriver struct{}

func (noDriver) command(uint32) error          { return unix.ENOTTY }
func (noDriver) subscribe(videodev.EventType)  {}
func (noDriver) event() (videodev.Event, bool) { return videodev.Event{}, false }
