//go:build linux

// Package videodev speaks the kernel's Video4Linux2 interface to one open node:
// what it can do, formats, controls, queues of mapped buffers, events.
//
// It owns the structures as the kernel has them on each machine, the mapped
// memory, and giving all of it back. It decides nothing: which format is best,
// what an error means for a camera, and whether to try again are for those who
// use it, capture/v4l2 and capture/encode.
//
// The source is the V4L2 API specification of Linux
// (Documentation/userspace-api/media/v4l) and videodev2.h. Everything that a
// driver says has a limit here; a driver that goes beyond gets an error.
package videodev

import (
	"context"
	"time"
)

// Kernel is what a Device is opened with: [Linux], or in tests a made-up one.
type Kernel interface {
	// Open opens a node for reading and writing, without blocking.
	Open(path string) (Node, error)
	// Monotonic is the time of the clock that drivers stamp buffers with.
	Monotonic() time.Duration
	// Word is the length of a pointer in structures: 4 or 8 bytes.
	Word() int
}

// Node is an open device node. Errors are the system's numbers (unix.Errno) or
// wrap them. All methods but Wait and Close may be called from any goroutine.
type Node interface {
	// Ioctl runs one call on the argument.
	Ioctl(request uint32, arg *Argument) error
	// Map maps a buffer for reading and writing, and Unmap undoes it.
	Map(offset int64, length int) ([]byte, error)
	Unmap(memory []byte) error
	// Wait returns the first of the events that is there, Failed and Gone in any
	// case; 0 after the timeout; ctx's error as soon as ctx is done. It is for one
	// goroutine at a time.
	Wait(ctx context.Context, events Events, timeout time.Duration) (Events, error)
	// Close closes the node once nothing else uses it.
	Close() error
}

// Argument is a structure that goes to the kernel and back.
type Argument struct {
	// Bytes is the structure.
	Bytes []byte
	// Array is what a pointer in it leads to, and Pointer is where that pointer lies.
	// Without an array there is no pointer.
	Array   []byte
	Pointer int
}

// Events are what a node can be waited for. The values are those of poll(2).
type Events uint16

// The events.
const (
	// Readable: a captured buffer can be taken.
	Readable Events = 0x01
	// Eventful: an event can be read with DequeueEvent.
	Eventful Events = 0x02
	// Writable: an output buffer can be taken back.
	Writable Events = 0x04
	// Failed: a queue is not streaming, or the driver has given it up.
	Failed Events = 0x08
	// Gone: the device was unplugged.
	Gone Events = 0x10
)
