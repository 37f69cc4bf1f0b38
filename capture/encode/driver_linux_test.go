package encode

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture/videodev"
)

// driver is a made-up encoder behind a made-up kernel: multi-planar, and as slow to
// speak as the Raspberry Pi's bcm2835-codec is documented to be. It writes down
// what it is asked. Structures are laid out as on a machine of 64 bits.
type driver struct {
	mu      sync.Mutex
	changed chan struct{} // closed and made anew when something is there

	// What it is like.
	caps      uint32
	takes     []videodev.PixelFormat
	maxHeight int
	align     int  // of rows and their number
	keeps     int  // pictures that it holds back until it is told to stop
	headers   bool // the headers come in a buffer of their own
	bare      bool // and not with each key frame
	held      bool // it encodes nothing
	lost      bool // it is unplugged
	noStop    bool // it knows no stop command
	noMemory  bool // for buffers
	openErr   error
	failAt    int // the number of the call that fails, from 1
	failWith  error
	breakAt   int // the number of the frame that is flagged as broken, from 1
	absent    uint32
	// What it has become.
	calls            []string
	count, open      int
	mapped           int
	format           map[videodev.BufferType]videodev.Format
	buffers          map[videodev.BufferType][][]byte
	queued           map[videodev.BufferType][]queued
	done             map[videodev.BufferType][]queued
	on               map[videodev.BufferType]bool
	controls         map[uint32]int32
	force            bool
	stopping, ended  bool
	frames, pictures int
	lumas            []byte // the first sample of each picture
}

// queued is a buffer on its way.
type queued struct {
	index, used int
	stamp       [16]byte
	flags       uint32
}

const (
	outType = videodev.OutputMultiplanar
	capType = videodev.CaptureMultiplanar
)

func newDriver() *driver {
	return &driver{
		changed: make(chan struct{}),
		caps:    uint32(videodev.M2MMultiplanar | videodev.Streams),
		takes:   []videodev.PixelFormat{videodev.YU12, videodev.NV12, videodev.YUYV}, maxHeight: 1920, align: 64,
		format: map[videodev.BufferType]videodev.Format{}, buffers: map[videodev.BufferType][][]byte{},
		queued: map[videodev.BufferType][]queued{}, done: map[videodev.BufferType][]queued{},
		on: map[videodev.BufferType]bool{}, controls: map[uint32]int32{},
	}
}

func (d *driver) Word() int                { return 8 }
func (d *driver) Monotonic() time.Duration { return 0 }

func (d *driver) Open(path string) (videodev.Node, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.openErr != nil {
		return nil, d.openErr
	}
	d.open++
	return d, nil
}

func (d *driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	return nil
}

func (d *driver) Map(offset int64, length int) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mapped++
	return d.buffers[videodev.BufferType(offset>>8)][offset&0xff], nil
}

func (d *driver) Unmap([]byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mapped--
	return nil
}

// Wait waits in the bubble's time where there is one.
func (d *driver) Wait(ctx context.Context, _ videodev.Events, timeout time.Duration) (videodev.Events, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		d.mu.Lock()
		changed, events := d.changed, videodev.Events(0)
		if d.lost {
			events |= videodev.Gone
		}
		if len(d.done[capType]) > 0 || d.ended {
			events |= videodev.Readable
		}
		d.mu.Unlock()
		if events != 0 {
			return events, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-timer.C:
			return 0, nil
		case <-changed:
		}
	}
}

// set changes the driver and lets it go on.
func (d *driver) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	d.work()
}

func (d *driver) Ioctl(request uint32, arg *videodev.Argument) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	if d.count == d.failAt {
		return d.failWith
	}
	if d.lost {
		return unix.ENODEV
	}
	err := d.call(request&0xff, arg.Bytes, arg.Array)
	d.work()
	return err
}

func u32(b []byte, at int) uint32       { return binary.NativeEndian.Uint32(b[at:]) }
func setU32(b []byte, at int, v uint32) { binary.NativeEndian.PutUint32(b[at:], v) }

func (d *driver) note(format string, args ...any) {
	d.calls = append(d.calls, fmt.Sprintf(format, args...))
}

// call is the kernel's switch (videodev2.h).
func (d *driver) call(ordinal uint32, b, array []byte) error {
	switch ordinal {
	case 0: // QUERYCAP
		copy(b, "made-up")
		copy(b[16:], "made-up-encode")
		setU32(b, 84, d.caps)
		setU32(b, 88, d.caps)
	case 2: // ENUM_FMT
		return d.enumerate(b)
	case 5, 64: // S_FMT, TRY_FMT
		return d.setFormat(ordinal == 5, b)
	case 8: // REQBUFS
		return d.request(b)
	case 9: // QUERYBUF
		kind, index := videodev.BufferType(u32(b, 4)), u32(b, 0)
		setU32(b, 72, 1)
		setU32(array, 4, uint32(len(d.buffers[kind][index])))
		setU32(array, 8, uint32(kind)<<8|index)
	case 15: // QBUF
		kind := videodev.BufferType(u32(b, 4))
		q := queued{index: int(u32(b, 0)), used: int(u32(array, 0))}
		copy(q.stamp[:], b[24:40])
		d.queued[kind] = append(d.queued[kind], q)
	case 17: // DQBUF
		return d.dequeue(b, array)
	case 18, 19: // STREAMON, STREAMOFF
		kind := videodev.BufferType(u32(b, 0))
		d.note("%s %s", map[uint32]string{18: "STREAMON", 19: "STREAMOFF"}[ordinal], name(kind))
		if d.on[kind] = ordinal == 18; ordinal == 19 {
			d.queued[kind], d.done[kind] = nil, nil
		}
	case 22: // S_PARM
		d.note("S_PARM %s %d/%d", name(videodev.BufferType(u32(b, 0))), u32(b, 12), u32(b, 16))
	case 103: // QUERY_EXT_CTRL
		if u32(b, 0) == d.absent {
			return unix.EINVAL
		}
		setU32(b, 48, 1<<30)
	case 72: // S_EXT_CTRLS
		id, value := u32(array, 0), int32(u32(array, 12))
		d.note("S_EXT_CTRLS %#x=%d", id, value)
		d.controls[id] = value
		d.force = d.force || id == videodev.ControlForceKeyFrame
	case 77: // ENCODER_CMD
		if d.noStop {
			return unix.ENOTTY
		}
		d.note("ENCODER_CMD %d", u32(b, 0))
		d.stopping = true
	default:
		return unix.ENOTTY
	}
	return nil
}

func name(kind videodev.BufferType) string {
	if kind == outType {
		return "OUTPUT"
	}
	return "CAPTURE"
}

func (d *driver) enumerate(b []byte) error {
	list := d.takes
	if videodev.BufferType(u32(b, 4)) == capType {
		list = []videodev.PixelFormat{videodev.H264}
	}
	if i := int(u32(b, 0)); i < len(list) {
		setU32(b, 44, uint32(list[i]))
		return nil
	}
	return unix.EINVAL
}

func (d *driver) setFormat(set bool, b []byte) error {
	kind := videodev.BufferType(u32(b, 0))
	u := b[8:]
	f := videodev.Format{Width: int(u32(u, 0)), Height: min(int(u32(u, 4)), d.maxHeight), PixelFormat: videodev.PixelFormat(u32(u, 8))}
	plane := videodev.PlaneFormat{Size: int(u32(u, 20))}
	if kind == outType {
		f.Height = (f.Height + d.align/4 - 1) / (d.align / 4) * (d.align / 4)
		plane.Stride = (f.Width + d.align - 1) / d.align * d.align
		plane.Size = plane.Stride * f.Height * 3 / 2
		if f.PixelFormat == videodev.YUYV {
			plane.Stride *= 2
			plane.Size = plane.Stride * f.Height
		}
	}
	f.Planes = []videodev.PlaneFormat{plane}
	setU32(u, 4, uint32(f.Height))
	setU32(u, 20, uint32(plane.Size))
	setU32(u, 24, uint32(plane.Stride))
	u[180] = 1
	if set {
		d.note("S_FMT %s %v %d×%d, rows of %d", name(kind), f.PixelFormat, f.Width, f.Height, plane.Stride)
		d.format[kind] = f
	}
	return nil
}

func (d *driver) request(b []byte) error {
	kind, n := videodev.BufferType(u32(b, 4)), int(u32(b, 0))
	d.note("REQBUFS %s %d", name(kind), n)
	if d.noMemory && n > 0 {
		return unix.ENOMEM
	}
	d.buffers[kind], d.queued[kind], d.done[kind] = nil, nil, nil
	for range n {
		d.buffers[kind] = append(d.buffers[kind], make([]byte, d.format[kind].Planes[0].Size))
	}
	return nil
}

func (d *driver) dequeue(b, array []byte) error {
	kind := videodev.BufferType(u32(b, 4))
	if len(d.done[kind]) == 0 {
		if kind == capType && d.ended {
			return unix.EPIPE
		}
		return unix.EAGAIN
	}
	q := d.done[kind][0]
	d.done[kind] = d.done[kind][1:]
	setU32(b, 0, uint32(q.index))
	setU32(b, 12, q.flags)
	copy(b[24:40], q.stamp[:])
	setU32(array, 0, uint32(q.used))
	return nil
}

// work encodes what can be encoded.
func (d *driver) work() {
	for !d.held && d.on[outType] && d.on[capType] && len(d.queued[capType]) > 0 {
		switch {
		case len(d.queued[outType]) > d.keeps || d.stopping && len(d.queued[outType]) > 0:
			if d.headers && d.pictures == 0 && d.frames == 0 {
				d.give(queued{}, []byte("\x00\x00\x00\x01\x67SPS\x00\x00\x00\x01\x68PPS"), 0)
				d.frames++
				continue
			}
			d.encode()
		case d.stopping && !d.ended:
			d.ended = true
			d.give(queued{}, nil, uint32(videodev.Last))
		default:
			return
		}
	}
}

// encode makes a frame of the oldest picture: each fifth is a key frame.
func (d *driver) encode() {
	in := d.queued[outType][0]
	d.queued[outType] = d.queued[outType][1:]
	d.done[outType] = append(d.done[outType], queued{index: in.index})
	luma := d.buffers[outType][in.index][0]
	d.lumas = append(d.lumas, luma)
	data, flags := []byte{0, 0, 0, 1, 0x41, 0x9a, luma, 1}, uint32(0)
	if d.pictures%5 == 0 || d.force {
		data, flags = []byte{0, 0, 0, 1, 0x65, 0x88, luma, 1}, uint32(videodev.KeyFrame)
		if !d.bare {
			data = append([]byte("\x00\x00\x00\x01\x67SPS\x00\x00\x00\x01\x68PPS"), data...)
		}
	}
	d.force = false
	d.pictures++
	if d.pictures == d.breakAt {
		flags |= uint32(videodev.Broken)
	}
	d.give(in, data, flags)
}

// give fills a buffer for frames.
func (d *driver) give(in queued, data []byte, flags uint32) {
	out := d.queued[capType][0]
	d.queued[capType] = d.queued[capType][1:]
	out.used = copy(d.buffers[capType][out.index], data)
	out.stamp, out.flags = in.stamp, flags
	d.done[capType] = append(d.done[capType], out)
	close(d.changed)
	d.changed = make(chan struct{})
}

// left says what has not been given back.
func (d *driver) left() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != 0 || d.mapped != 0 {
		return fmt.Sprintf("%d nodes are open and %d buffers mapped", d.open, d.mapped)
	}
	return ""
}

// noted returns the calls so far.
func (d *driver) noted() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls)
}
