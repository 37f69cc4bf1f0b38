//go:build linux

package videodev

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture/videodev/internal/abi"
)

// BufferType is the kind of a queue. The values are the kernel's.
type BufferType uint32

// The kinds. Output is into the device: an encoder's raw pictures.
const (
	Capture            BufferType = 1
	Output             BufferType = 2
	CaptureMultiplanar BufferType = 9
	OutputMultiplanar  BufferType = 10
)

// Multiplanar says that a buffer may be of several pieces of memory.
func (t BufferType) Multiplanar() bool { return t == CaptureMultiplanar || t == OutputMultiplanar }

// BufferFlags say what became of a buffer. The values are the kernel's.
type BufferFlags uint32

// The flags that are looked at.
const (
	// KeyFrame: the picture can be decoded without an earlier one.
	KeyFrame BufferFlags = 0x00000008
	// Broken: the data may be damaged.
	Broken BufferFlags = 0x00000040
	// Monotonic: the timestamp is of the clock that Device.Age reads.
	Monotonic BufferFlags = 0x00002000
	// Copied: the timestamp is that of the output buffer that this one came of.
	Copied BufferFlags = 0x00004000
	// Last: nothing follows until the queue starts again.
	Last BufferFlags = 0x00100000

	timestampKinds BufferFlags = 0x0000e000
)

// TimestampKind returns Monotonic, Copied, or 0 where the driver does not say.
func (f BufferFlags) TimestampKind() BufferFlags { return f & timestampKinds }

// Buffer is a buffer that the driver has given back.
type Buffer struct {
	Index    int
	Flags    BufferFlags
	Sequence uint32 // counts the pictures, those that found no buffer too
	// Timestamp is when the picture was taken, on the clock that Flags name.
	Timestamp time.Duration
	// Planes hold what is used of each of the buffer's planes. They are the driver's
	// memory: valid until the buffer is queued again or the queue is closed.
	Planes [][]byte
}

// ErrNotReady says that no buffer is there yet.
var ErrNotReady = errors.New("no buffer is ready")

const (
	memoryMapped = 1  // V4L2_MEMORY_MMAP
	maxBuffers   = 32 // VIDEO_MAX_FRAME
)

// Queue is a queue of mapped buffers. It is for one goroutine at a time.
type Queue struct {
	dev    *Device
	kind   BufferType
	layout abi.Buffer
	memory [][][]byte // of each buffer, by planes
	views  [][][]byte // what Buffer.Planes refers to, of each buffer
	arg    Argument   // reused for every call on a buffer
	on     bool
	closed bool
}

// NewQueue has the driver allocate buffers for the format that is set, and maps
// them. The driver may allocate more or fewer than count (1 to 32).
func (d *Device) NewQueue(kind BufferType, count int) (*Queue, error) {
	if count < 1 || count > maxBuffers {
		return nil, fmt.Errorf("request buffers of %s: %d is not from 1 to %d", d.path, count, maxBuffers)
	}
	got, err := d.requestBuffers(kind, count)
	if err != nil {
		return nil, err
	}
	q := &Queue{dev: d, kind: kind}
	if err := q.mapAll(got); err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return q, nil
}

func (d *Device) requestBuffers(kind BufferType, count int) (int, error) {
	m := make(abi.Memory, abi.RequestBuffersBytes)
	m.SetUint32(abi.RequestBuffersCount, uint32(count))
	m.SetUint32(abi.RequestBuffersType, uint32(kind))
	m.SetUint32(abi.RequestBuffersMemory, memoryMapped)
	if err := d.ioctl(abi.RequestBuffers, m); err != nil {
		return 0, err
	}
	return int(min(m.Uint32(abi.RequestBuffersCount), maxImageBytes)), nil
}

// mapAll maps the buffers that the driver has allocated.
func (q *Queue) mapAll(count int) error {
	if count < 1 || count > maxBuffers {
		return fmt.Errorf("request buffers of %s: %w: %d buffers", q.dev.path, errSense, count)
	}
	for i := range count {
		if err := q.query(i); err != nil {
			return err
		}
		if err := q.mapBuffer(i); err != nil {
			return err
		}
	}
	return nil
}

// query asks for a buffer's places in memory. At the first one it finds out which
// layout of struct v4l2_buffer a kernel of 32 bits takes: the one whose time has 64
// bits, as those since 5.6 do, or the older one. Kernels can be built without
// either.
func (q *Queue) query(index int) error {
	q.prepare(index)
	err := q.dev.call(abi.QueryBuffer, &q.arg)
	if index == 0 && errors.Is(err, unix.ENOTTY) && q.dev.abi.Word == 4 && q.dev.abi.Time == 8 {
		q.dev.abi.Time = 4
		q.prepare(index)
		if err = q.dev.call(abi.QueryBuffer, &q.arg); err != nil {
			q.dev.abi.Time = 8
		}
	}
	return err
}

// prepare fills the argument for a call on a buffer.
func (q *Queue) prepare(index int) {
	q.layout = q.dev.abi.Buffer()
	if len(q.arg.Bytes) != q.layout.Bytes {
		q.arg.Bytes = make([]byte, q.layout.Bytes)
	}
	clear(q.arg.Bytes)
	m := abi.Memory(q.arg.Bytes)
	m.SetUint32(abi.BufferIndex, uint32(index))
	m.SetUint32(abi.BufferType, uint32(q.kind))
	m.SetUint32(q.layout.Memory, memoryMapped)
	if q.kind.Multiplanar() {
		if q.arg.Array == nil {
			q.arg.Array = make([]byte, maxPlanes*q.dev.abi.PlaneBytes())
		}
		clear(q.arg.Array)
		q.arg.Pointer = q.layout.Pointer
		m.SetUint32(q.layout.Length, maxPlanes)
	}
}

// plane returns the structure of one plane in the argument.
func (q *Queue) plane(i int) abi.Memory {
	size := q.dev.abi.PlaneBytes()
	return abi.Memory(q.arg.Array[i*size:][:size])
}

// mapBuffer maps what query has found.
func (q *Queue) mapBuffer(index int) error {
	m := abi.Memory(q.arg.Bytes)
	q.memory = append(q.memory, nil)
	type place struct{ offset, length uint32 }
	places := []place{{m.Uint32(q.layout.Pointer), m.Uint32(q.layout.Length)}}
	if q.kind.Multiplanar() {
		n := m.Uint32(q.layout.Length)
		if n < 1 || n > maxPlanes {
			return fmt.Errorf("buffer %d of %s: %w: %d planes", index, q.dev.path, errSense, n)
		}
		places = places[:0]
		for i := range int(n) {
			p := q.plane(i)
			places = append(places, place{p.Uint32(abi.PlanePointer), p.Uint32(abi.PlaneLength)})
		}
	}
	for _, p := range places {
		if p.length < 1 || p.length > maxImageBytes {
			return fmt.Errorf("buffer %d of %s: %w: %d bytes", index, q.dev.path, errSense, p.length)
		}
		memory, err := q.dev.node.Map(int64(p.offset), int(p.length))
		if err != nil {
			return fmt.Errorf("map buffer %d of %s: %w", index, q.dev.path, err)
		}
		q.memory[index] = append(q.memory[index], memory)
	}
	q.views = append(q.views, make([][]byte, len(places)))
	return nil
}

// Len returns how many buffers there are.
func (q *Queue) Len() int { return len(q.memory) }

// Memory returns a buffer's planes in full, for an output buffer to be filled.
// They are valid until the queue is closed.
func (q *Queue) Memory(index int) [][]byte { return q.memory[index] }

// Enqueue gives an empty buffer to the driver.
func (q *Queue) Enqueue(index int) error {
	q.prepare(index)
	if q.kind.Multiplanar() {
		q.setPlanes(index, nil)
	}
	return q.dev.call(abi.Enqueue, &q.arg)
}

// Submit gives a filled output buffer to the driver: how many bytes of each plane
// are used, and the time that the picture is stamped with.
func (q *Queue) Submit(index int, used []int, stamp time.Duration) error {
	if len(used) != len(q.memory[index]) {
		return fmt.Errorf("submit buffer %d to %s: it has %d planes, not %d", index, q.dev.path, len(q.memory[index]), len(used))
	}
	q.prepare(index)
	m := abi.Memory(q.arg.Bytes)
	m.SetUint32(abi.BufferField, Progressive)
	m.SetUint32(abi.BufferFlags, uint32(Copied))
	q.dev.abi.SetTimeval(m, q.layout.Timestamp, int64(stamp/time.Second), int64(stamp%time.Second/time.Microsecond))
	if q.kind.Multiplanar() {
		q.setPlanes(index, used)
	} else {
		m.SetUint32(abi.BufferUsed, uint32(used[0]))
	}
	return q.dev.call(abi.Enqueue, &q.arg)
}

// setPlanes describes a buffer's planes in the argument.
func (q *Queue) setPlanes(index int, used []int) {
	abi.Memory(q.arg.Bytes).SetUint32(q.layout.Length, uint32(len(q.memory[index])))
	for i, memory := range q.memory[index] {
		p := q.plane(i)
		p.SetUint32(abi.PlaneLength, uint32(len(memory)))
		if used != nil {
			p.SetUint32(abi.PlaneUsed, uint32(used[i]))
		}
	}
}

// EnqueueAll gives all buffers to the driver, empty.
func (q *Queue) EnqueueAll() error {
	for i := range q.memory {
		if err := q.Enqueue(i); err != nil {
			return err
		}
	}
	return nil
}

// Dequeue takes a buffer back: for a capture queue the oldest picture. It returns
// [ErrNotReady] where there is none yet, and does not wait.
//
// A picture of more bytes than its buffer has, which only a broken driver gives,
// is returned as Broken and without its planes.
func (q *Queue) Dequeue() (Buffer, error) {
	q.prepare(0)
	request := q.dev.abi.Request(abi.Dequeue)
	if err := q.dev.node.Ioctl(uint32(request), &q.arg); err != nil {
		if errors.Is(err, unix.EAGAIN) {
			return Buffer{}, ErrNotReady
		}
		return Buffer{}, fmt.Errorf("%v on %s: %w", request, q.dev.path, err)
	}
	m := abi.Memory(q.arg.Bytes)
	index := m.Uint32(abi.BufferIndex)
	if index >= uint32(len(q.memory)) {
		return Buffer{}, fmt.Errorf("%v on %s: %w: buffer %d of %d", request, q.dev.path, errSense, index, len(q.memory))
	}
	seconds, micros := q.dev.abi.Timeval(m, q.layout.Timestamp)
	b := Buffer{
		Index:     int(index),
		Flags:     BufferFlags(m.Uint32(abi.BufferFlags)),
		Sequence:  m.Uint32(q.layout.Sequence),
		Timestamp: time.Duration(seconds)*time.Second + time.Duration(micros)*time.Microsecond,
	}
	if q.view(b.Index) {
		b.Planes = q.views[index]
	} else {
		b.Flags |= Broken
	}
	return b, nil
}

// view sets a buffer's view to the bytes that the argument says are used; false if
// there are not that many.
func (q *Queue) view(index int) bool {
	for i, memory := range q.memory[index] {
		start, end := uint32(0), abi.Memory(q.arg.Bytes).Uint32(abi.BufferUsed)
		if q.kind.Multiplanar() {
			p := q.plane(i)
			start, end = p.Uint32(q.dev.abi.PlaneDataOffset()), p.Uint32(abi.PlaneUsed)
			if end == 0 { // an output buffer, or an empty last one
				start = 0
			}
		}
		if end > uint32(len(memory)) || start > end {
			return false
		}
		q.views[index][i] = memory[start:end]
	}
	return true
}

// Start starts the queue: a camera's pictures come. Where it fails, the buffers are
// the program's again.
func (q *Queue) Start() error {
	if err := q.stream(abi.StreamOn); err != nil {
		return err
	}
	q.on = true
	return nil
}

// Stop stops the queue. All buffers are the program's again.
func (q *Queue) Stop() error {
	q.on = false
	return q.stream(abi.StreamOff)
}

func (q *Queue) stream(ordinal int) error {
	m := make(abi.Memory, 4)
	m.SetUint32(0, uint32(q.kind))
	return q.dev.ioctl(ordinal, m)
}

// Close stops the queue, unmaps its memory and has the driver free it. All of
// that is done, whatever fails, and it may be called again. That the device is
// gone is no error: then there is nothing to stop and to free.
func (q *Queue) Close() error {
	if q.closed {
		return nil
	}
	q.closed = true
	var errs []error
	if q.on {
		errs = append(errs, notGone(q.Stop()))
	}
	for index, planes := range q.memory {
		for _, memory := range planes {
			if err := q.dev.node.Unmap(memory); err != nil {
				errs = append(errs, fmt.Errorf("unmap buffer %d of %s: %w", index, q.dev.path, err))
			}
		}
	}
	q.memory, q.views = nil, nil
	_, err := q.dev.requestBuffers(q.kind, 0)
	return errors.Join(append(errs, notGone(err))...)
}

// notGone takes ENODEV for nil.
func notGone(err error) error {
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
