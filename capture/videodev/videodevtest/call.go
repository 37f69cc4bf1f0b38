//go:build linux

package videodevtest

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture/videodev"
	"github.com/lensward/lensward/capture/videodev/internal/abi"
)

// call is an ioctl under way.
type call struct {
	file    *file
	ordinal int
	abi     abi.ABI
	m       abi.Memory
	arg     *videodev.Argument
	detail  string
}

func (c *call) driver() driver { return c.file.node.driver }

// run does what the ioctl is for.
func (c *call) run() error {
	switch c.ordinal {
	case abi.QueryCapability:
		return c.queryCapability()
	case abi.EnumFormats, abi.EnumFrameSizes, abi.EnumFrameIntervals, abi.EnumInputs:
		return c.enumerate()
	case abi.GetInput, abi.SetInput:
		return c.input()
	case abi.GetFormat, abi.SetFormat, abi.TryFormat:
		return c.format()
	case abi.GetParameters, abi.SetParameters:
		return c.parameters()
	case abi.RequestBuffers:
		return c.requestBuffers()
	case abi.QueryBuffer, abi.Enqueue, abi.Dequeue:
		return c.buffer()
	case abi.StreamOn, abi.StreamOff:
		return c.stream()
	case abi.EncoderCommandNumber:
		c.detail = fmt.Sprint(c.m.Uint32(abi.EncoderCommand))
		return c.driver().command(c.m.Uint32(abi.EncoderCommand))
	case abi.SubscribeEvent:
		c.detail = fmt.Sprint(c.m.Uint32(abi.SubscriptionType))
		c.driver().subscribe(videodev.EventType(c.m.Uint32(abi.SubscriptionType)))
		return nil
	case abi.DequeueEvent:
		return c.event()
	default:
		return c.control()
	}
}

func (c *call) queryCapability() error {
	is := c.driver().capability()
	const device = 0x80000000
	c.m.SetText(abi.CapabilityDriver, abi.DriverChars, is.Driver)
	c.m.SetText(abi.CapabilityCard, abi.NameChars, is.Card)
	c.m.SetText(abi.CapabilityBus, abi.NameChars, is.Bus)
	// The device as a whole is a camera with metadata, whatever the node is.
	c.m.SetUint32(abi.CapabilityAll, uint32(is.Caps|videodev.Captures|videodev.Metadata)|device)
	c.m.SetUint32(abi.CapabilityNode, uint32(is.Caps))
	return nil
}

func (c *call) kind(at int) videodev.BufferType { return videodev.BufferType(c.m.Uint32(at)) }

// queue returns the queue of a call; EINVAL if the node has it not.
func (c *call) queue(at int) (*queue, error) {
	q := c.driver().queue(c.kind(at))
	if q == nil {
		return nil, unix.EINVAL
	}
	if owner := c.file.node.owner; owner != nil && owner != c.file {
		return nil, unix.EBUSY
	}
	return q, nil
}

func (c *call) format() error {
	q := c.driver().queue(c.kind(abi.FormatType))
	if q == nil {
		return unix.EINVAL
	}
	f := q.format
	if c.ordinal != abi.GetFormat {
		f = c.driver().adjust(q.kind, readFormat(q.kind, c.m[c.abi.FormatUnion():]))
	}
	if c.ordinal == abi.SetFormat {
		c.detail = fmt.Sprintf("%d %v %d×%d", q.kind, f.PixelFormat, f.Width, f.Height)
		if len(q.buffers) > 0 || c.file.node.owner != nil && c.file.node.owner != c.file {
			return unix.EBUSY
		}
		q.format = f
	}
	writeFormat(q.kind, c.m[c.abi.FormatUnion():], f)
	return nil
}

func readFormat(kind videodev.BufferType, u abi.Memory) videodev.Format {
	f := videodev.Format{
		Width: int(u.Uint32(abi.PixWidth)), Height: int(u.Uint32(abi.PixHeight)),
		PixelFormat: videodev.PixelFormat(u.Uint32(abi.PixPixelFormat)), Field: u.Uint32(abi.PixField),
	}
	if !kind.Multiplanar() {
		f.Colorspace, f.Quantization = u.Uint32(abi.PixColorspace), u.Uint32(abi.PixQuantization)
		f.Planes = []videodev.PlaneFormat{{Stride: int(u.Uint32(abi.PixBytesPerLine)), Size: int(u.Uint32(abi.PixSizeImage))}}
		return f
	}
	f.Colorspace, f.Quantization = u.Uint32(abi.MPlaneColorspace), uint32(u[abi.MPlaneQuantization])
	for i := range int(min(u[abi.MPlaneCount], 8)) {
		p := u[abi.MPlanePlanes+i*abi.PlanePixBytes:]
		f.Planes = append(f.Planes, videodev.PlaneFormat{Stride: int(p.Uint32(abi.PlanePixBytesPerRow)), Size: int(p.Uint32(abi.PlanePixSizeImage))})
	}
	return f
}

func writeFormat(kind videodev.BufferType, u abi.Memory, f videodev.Format) {
	u.SetUint32(abi.PixWidth, uint32(f.Width))
	u.SetUint32(abi.PixHeight, uint32(f.Height))
	u.SetUint32(abi.PixPixelFormat, uint32(f.PixelFormat))
	u.SetUint32(abi.PixField, f.Field)
	if !kind.Multiplanar() {
		u.SetUint32(abi.PixColorspace, f.Colorspace)
		u.SetUint32(abi.PixPriv, 0xfeedcafe)
		u.SetUint32(abi.PixQuantization, f.Quantization)
		if len(f.Planes) > 0 {
			u.SetUint32(abi.PixBytesPerLine, uint32(f.Planes[0].Stride))
			u.SetUint32(abi.PixSizeImage, uint32(f.Planes[0].Size))
		}
		return
	}
	u.SetUint32(abi.MPlaneColorspace, f.Colorspace)
	u[abi.MPlaneCount], u[abi.MPlaneQuantization] = byte(len(f.Planes)), byte(f.Quantization)
	for i, p := range f.Planes[:min(len(f.Planes), 8)] {
		at := abi.MPlanePlanes + i*abi.PlanePixBytes
		u.SetUint32(at+abi.PlanePixSizeImage, uint32(p.Size))
		u.SetUint32(at+abi.PlanePixBytesPerRow, uint32(p.Stride))
	}
}

func (c *call) parameters() error {
	interval := c.driver().interval(c.kind(abi.StreamParmType))
	if interval == nil {
		return unix.ENOTTY
	}
	if c.ordinal == abi.SetParameters {
		c.detail = fmt.Sprintf("%d/%d", c.m.Uint32(abi.StreamParmInterval), c.m.Uint32(abi.StreamParmInterval+4))
		interval.Numerator, interval.Denominator = c.m.Uint32(abi.StreamParmInterval), c.m.Uint32(abi.StreamParmInterval+4)
	}
	c.m.SetUint32(abi.StreamParmCapability, 0x1000)
	c.m.SetUint32(abi.StreamParmInterval, interval.Numerator)
	c.m.SetUint32(abi.StreamParmInterval+4, interval.Denominator)
	return nil
}

func (c *call) requestBuffers() error {
	q, err := c.queue(abi.RequestBuffersType)
	if err != nil {
		return err
	}
	count := int(c.m.Uint32(abi.RequestBuffersCount))
	c.detail = fmt.Sprintf("%d %d", q.kind, count)
	for _, b := range q.buffers {
		if b.mapped > 0 {
			return unix.EBUSY
		}
	}
	if q.on {
		return unix.EBUSY
	}
	q.reset() // what a failed STREAMON left queued
	q.allocate(count)
	c.file.node.owner = c.file
	for _, other := range c.file.queues() {
		if len(other.buffers) > 0 {
			return nil
		}
	}
	c.file.node.owner = nil
	return nil
}

// buffer runs QUERYBUF, QBUF and DQBUF.
func (c *call) buffer() error {
	q, err := c.queue(abi.BufferType)
	if err != nil {
		return err
	}
	if c.ordinal == abi.Dequeue {
		return c.dequeue(q)
	}
	index := c.m.Uint32(abi.BufferIndex)
	if index >= uint32(len(q.buffers)) {
		return unix.EINVAL
	}
	b := q.buffers[index]
	c.detail = fmt.Sprintf("%d %d", q.kind, index)
	if q.kind.Multiplanar() && c.m.Uint32(c.abi.Buffer().Length) < uint32(len(b.memory)) {
		return unix.EINVAL
	}
	if c.ordinal == abi.QueryBuffer {
		c.describe(q, b)
		return nil
	}
	if b.queued || b.done || q.failed {
		return unix.EINVAL
	}
	if !q.output() {
		for _, memory := range b.memory {
			spoil(memory)
		}
	} else if err := c.take(b); err != nil {
		return err
	}
	b.queued = true
	q.queued = append(q.queued, b)
	return nil
}

// take reads what the program says of an output buffer.
func (c *call) take(b *buffer) error {
	for i, memory := range b.memory {
		used := int(c.m.Uint32(abi.BufferUsed))
		if c.arg.Array != nil {
			used = int(c.plane(i).Uint32(abi.PlaneUsed))
		}
		if used > len(memory) || used == 0 {
			return unix.EINVAL
		}
		b.used[i] = used
	}
	seconds, micros := c.abi.Timeval(c.m, c.abi.Buffer().Timestamp)
	b.stamp = time.Duration(seconds)*time.Second + time.Duration(micros)*time.Microsecond
	c.detail += fmt.Sprintf(" %v at %v", b.used, b.stamp)
	return nil
}

func (c *call) plane(i int) abi.Memory {
	size := c.abi.PlaneBytes()
	return abi.Memory(c.arg.Array[i*size:][:size])
}

func (c *call) dequeue(q *queue) error {
	switch {
	case !q.on:
		return unix.EINVAL
	case q.failed:
		return unix.EIO
	case len(q.done) == 0 && q.ended:
		return unix.EPIPE
	case len(q.done) == 0:
		return unix.EAGAIN
	}
	b := q.done[0]
	q.done = q.done[1:]
	b.queued, b.done = false, false
	c.describe(q, b)
	c.detail = fmt.Sprintf("%d %d %v", q.kind, b.index, b.used)
	q.ended = q.ended || b.flags&videodev.Last != 0
	return nil
}

// describe writes what is known of a buffer.
func (c *call) describe(q *queue, b *buffer) {
	at := c.abi.Buffer()
	c.m.SetUint32(abi.BufferIndex, uint32(b.index))
	c.m.SetUint32(abi.BufferFlags, uint32(b.flags))
	c.m.SetUint32(abi.BufferField, q.format.Field)
	c.m.SetUint32(at.Sequence, b.sequence)
	c.abi.SetTimeval(c.m, at.Timestamp, int64(b.stamp/time.Second), int64(b.stamp%time.Second/time.Microsecond))
	lie := 0
	if b.lies {
		lie = 1 << 20
	}
	if !q.kind.Multiplanar() {
		c.m.SetUint32(abi.BufferUsed, uint32(b.used[0]+lie))
		c.m.SetUint32(at.Pointer, b.offset(0))
		c.m.SetUint32(at.Length, uint32(len(b.memory[0])))
		return
	}
	c.m.SetUint32(at.Length, uint32(len(b.memory)))
	for i, memory := range b.memory {
		p := c.plane(i)
		p.SetUint32(abi.PlaneUsed, uint32(b.used[i]+lie))
		p.SetUint32(abi.PlaneLength, uint32(len(memory)))
		p.SetUint32(abi.PlanePointer, b.offset(i))
		p.SetUint32(c.abi.PlaneDataOffset(), uint32(b.start[i]))
	}
}

func (c *call) stream() error {
	q, err := c.queue(0)
	if err != nil {
		return err
	}
	c.detail = fmt.Sprint(uint32(q.kind))
	if c.ordinal == abi.StreamOff {
		q.reset()
		c.driver().stop(q)
		return nil
	}
	if len(q.buffers) == 0 {
		return unix.EINVAL
	}
	q.on = true
	c.driver().advance(c.file.kernel.Monotonic())
	return nil
}

func (c *call) event() error {
	e, ok := c.driver().event()
	if !ok {
		return unix.ENOENT
	}
	c.m.SetUint32(abi.EventType, uint32(e.Type))
	c.m.SetUint32(c.abi.EventID(), e.ID)
	c.m.SetUint32(abi.EventPending, uint32(e.Pending))
	return nil
}
