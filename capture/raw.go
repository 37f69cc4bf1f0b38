package capture

import (
	"context"
	"time"
)

// Layout says how the samples of a [Raw] picture lie in memory. Values are
// explicit because they appear in logs and test data.
type Layout uint8

// The layouts that are read. Luma is 8 bits a pixel in all of them, in video range
// (16 to 235, BT.601) unless Raw.Full is set.
const (
	// LayoutGrey has luma alone: V4L2's GREY.
	LayoutGrey Layout = 1
	// LayoutI420 has a plane each of luma, Cb and Cr, the latter of half the width
	// and height: V4L2's YU12 and YM12.
	LayoutI420 Layout = 2
	// LayoutNV12 has a plane of luma and one of Cb and Cr in turns, of half the
	// height: V4L2's NV12 and NM12.
	LayoutNV12 Layout = 3
	// LayoutYUYV has luma, Cb, luma, Cr in turns, 4:2:2: V4L2's YUYV.
	LayoutYUYV Layout = 4
)

// String returns the layout's usual name.
func (l Layout) String() string {
	switch l {
	case LayoutGrey:
		return "grey"
	case LayoutI420:
		return "I420"
	case LayoutNV12:
		return "NV12"
	case LayoutYUYV:
		return "YUYV"
	default:
		return "unknown layout"
	}
}

// Raw is one picture before any encoding. Its planes are the camera's own memory:
// they are valid, and may be written to, until the call that handed them out
// returns.
type Raw struct {
	// Seq and Time are as in [Frame].
	Seq  uint64
	Time time.Time
	// Layout says how the planes are read.
	Layout Layout
	// Full says that luma and chroma use all values from 0 to 255.
	Full bool
	// Width and Height are the picture's size in pixels.
	Width, Height int
	// Planes hold the samples, as many planes as the layout has; Strides are the
	// lengths of their rows in bytes.
	Planes  [3][]byte
	Strides [3]int
}

// RawSource is a camera that gives pictures before any encoding.
type RawSource interface {
	// RunRaw is [Source.Run] for raw pictures. An error of emit ends it, and is
	// returned.
	RunRaw(ctx context.Context, emit func(*Raw) error) error
}
