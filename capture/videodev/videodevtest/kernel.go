//go:build linux

// Package videodevtest is a made-up kernel with cameras and an encoder, for the
// tests of those who use package videodev.
//
// It owns what the V4L2 specification and the drivers' common code do: states,
// refusals, the order that calls must have, and faults by script. It never makes
// up good behaviour for a caller: buffers that are queued twice, memory that is
// freed while it is mapped, and formats set while buffers exist are errors as in the
// kernel. It counts open files and mapped memory, and writes the calls down.
//
// Time is the test's own: within a testing/synctest bubble nothing really waits.
package videodevtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture/videodev"
	"github.com/lensward/lensward/capture/videodev/internal/abi"
)

// Kernel is a made-up [videodev.Kernel]. Its exported fields are set before its
// use.
type Kernel struct {
	// Fault is asked at every call, and its error is returned in place of the call.
	// It must not call the Kernel.
	Fault func(Call) error
	// Bits32 has the structures of 32-bit ARM, and Time32 takes buffers with 32-bit
	// times alone.
	Bits32, Time32 bool

	mu      sync.Mutex
	began   time.Time
	nodes   map[string]*node
	changed chan struct{} // closed and made anew at every change
	counts  map[string]int
	trace   []string
	files   int
	maps    int
}

// Call is one call of a program.
type Call struct {
	Path string
	// Name is an ioctl's without VIDIOC_, such as QBUF; or open, mmap, poll.
	Name string
	// N counts the calls of that name on that path from 1.
	N int
}

// node is a device node with its driver.
type node struct {
	path   string
	driver driver
	gone   bool
	owner  *file // who has buffers
}

// driver is what answers for a node, under the kernel's lock.
type driver interface {
	capability() videodev.Capability
	queue(kind videodev.BufferType) *queue
	formats(kind videodev.BufferType) []Format
	// adjust is what the driver makes of a format.
	adjust(kind videodev.BufferType, f videodev.Format) videodev.Format
	controls() []*Control
	inputs() []videodev.Input
	interval(kind videodev.BufferType) *videodev.Fraction
	// controlled is told of a control's new value.
	controlled(c *Control)
	command(cmd uint32) error
	subscribe(kind videodev.EventType)
	event() (videodev.Event, bool)
	// advance does what is due by now, and says when something is due next; 0 if
	// nothing is.
	advance(now time.Duration) time.Duration
	stop(q *queue)
}

// New returns a kernel without any nodes.
func New() *Kernel {
	return &Kernel{
		began: time.Now(), nodes: make(map[string]*node),
		changed: make(chan struct{}), counts: make(map[string]int),
	}
}

// add plugs a driver in.
func (k *Kernel) add(path string, d driver) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.nodes[path] = &node{path: path, driver: d}
	k.wake()
}

// Unplug takes a node away. Open files of it get ENODEV from then on.
func (k *Kernel) Unplug(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := k.nodes[path]; n != nil {
		n.gone = true
		delete(k.nodes, path)
	}
	k.wake()
}

// Paths returns the nodes that are there, sorted.
func (k *Kernel) Paths() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var paths []string
	for path := range k.nodes {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// Held returns how many files are open and how many buffers are mapped.
func (k *Kernel) Held() (files, maps int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.files, k.maps
}

// Trace returns the calls so far, each as "path NAME detail", with its error if it
// had one. Waiting, and looking for a buffer that was not there, are left out.
func (k *Kernel) Trace() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.trace)
}

// Word is the length of a pointer.
func (k *Kernel) Word() int {
	if k.Bits32 {
		return 4
	}
	return 8
}

// Monotonic begins an hour before the kernel was made.
func (k *Kernel) Monotonic() time.Duration { return time.Hour + time.Since(k.began) }

// wake lets everyone who waits look again.
func (k *Kernel) wake() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// enter counts a call, and returns the fault that the script has for it.
func (k *Kernel) enter(path, name string) error {
	key := path + " " + name
	k.counts[key]++
	if k.Fault == nil {
		return nil
	}
	return k.Fault(Call{path, name, k.counts[key]})
}

// note writes a call down.
func (k *Kernel) note(path, name, detail string, err error) {
	if err == unix.EAGAIN {
		return
	}
	line := path + " " + name
	if detail != "" {
		line += " " + detail
	}
	if err != nil {
		line += ": " + err.Error()
	}
	k.trace = append(k.trace, line)
}

// Open opens a node.
func (k *Kernel) Open(path string) (videodev.Node, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.enter(path, "open")
	n := k.nodes[path]
	if err == nil && n == nil {
		err = unix.ENOENT
	}
	k.note(path, "open", "", err)
	if err != nil {
		return nil, err
	}
	k.files++
	return &file{kernel: k, node: n, maps: make(map[*byte]*mapping)}, nil
}

// file is an open node.
type file struct {
	kernel *Kernel
	node   *node
	maps   map[*byte]*mapping
	closed bool
}

// mapping is a piece of a buffer that is mapped.
type mapping struct{ buffer *buffer }

// layouts are the forms of structures that this kernel takes.
func (k *Kernel) layouts() []abi.ABI {
	switch {
	case !k.Bits32:
		return []abi.ABI{{Word: 8, Time: 8}}
	case k.Time32:
		return []abi.ABI{{Word: 4, Time: 4}}
	default:
		return []abi.ABI{{Word: 4, Time: 8}, {Word: 4, Time: 4}}
	}
}

// Ioctl runs one call.
func (f *file) Ioctl(request uint32, arg *videodev.Argument) error {
	k := f.kernel
	k.mu.Lock()
	defer k.mu.Unlock()
	r := abi.Request(request)
	c := &call{file: f, ordinal: r.Ordinal(), m: arg.Bytes, arg: arg}
	err := k.enter(f.node.path, r.String())
	if err == nil {
		err = c.check(r)
	}
	if err == nil {
		f.node.driver.advance(k.Monotonic())
		err = c.run()
	}
	k.note(f.node.path, r.String(), c.detail, err)
	k.wake()
	return err
}

// check finds the layout that the request's number implies.
func (c *call) check(r abi.Request) error {
	if c.file.closed {
		return unix.EBADF
	}
	if c.file.node.gone {
		return unix.ENODEV
	}
	for _, a := range c.file.kernel.layouts() {
		if a.Request(r.Ordinal()) == r {
			if r.Bytes() != len(c.m) {
				return unix.EFAULT
			}
			c.abi = a
			return nil
		}
	}
	return unix.ENOTTY
}

// Map maps a buffer.
func (f *file) Map(offset int64, length int) ([]byte, error) {
	k := f.kernel
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.enter(f.node.path, "mmap"); err != nil {
		k.note(f.node.path, "mmap", "", err)
		return nil, err
	}
	for _, q := range f.queues() {
		for _, b := range q.buffers {
			for i, memory := range b.memory {
				if b.offset(i) == uint32(offset) && len(memory) == length {
					b.mapped++
					k.maps++
					f.maps[&memory[0]] = &mapping{b}
					return memory[:length:length], nil
				}
			}
		}
	}
	return nil, unix.EINVAL
}

// Unmap undoes Map.
func (f *file) Unmap(memory []byte) error {
	f.kernel.mu.Lock()
	defer f.kernel.mu.Unlock()
	m := f.maps[&memory[0]]
	if m == nil {
		return unix.EINVAL
	}
	delete(f.maps, &memory[0])
	m.buffer.mapped--
	f.kernel.maps--
	spoil(memory)
	return nil
}

// spoil makes memory unlike any picture, as what is no longer the program's.
func spoil(memory []byte) {
	for i := range memory {
		memory[i] = 0xee
	}
}

func (f *file) queues() []*queue {
	var queues []*queue
	for _, kind := range []videodev.BufferType{videodev.Capture, videodev.Output, videodev.CaptureMultiplanar, videodev.OutputMultiplanar} {
		if q := f.node.driver.queue(kind); q != nil {
			queues = append(queues, q)
		}
	}
	return queues
}

// Wait waits for events.
func (f *file) Wait(ctx context.Context, events videodev.Events, timeout time.Duration) (videodev.Events, error) {
	k := f.kernel
	until := time.Now().Add(timeout)
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		k.mu.Lock()
		if err := k.enter(f.node.path, "poll"); err != nil {
			k.mu.Unlock()
			return 0, err
		}
		now := k.Monotonic()
		next := f.node.driver.advance(now)
		got, changed := f.poll(events), k.changed
		k.mu.Unlock()
		if got != 0 {
			return got, nil
		}
		left := time.Until(until)
		if left <= 0 {
			return 0, nil
		}
		if next > 0 {
			left = min(left, next-now)
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// poll says what is there now.
func (f *file) poll(events videodev.Events) videodev.Events {
	if f.node.gone {
		return videodev.Failed | videodev.Gone | events&videodev.Eventful
	}
	var got videodev.Events
	for _, q := range f.queues() {
		ready := videodev.Readable
		if q.output() {
			ready = videodev.Writable
		}
		switch {
		case q.failed || !q.on && events&ready != 0:
			got |= videodev.Failed
		case len(q.done) > 0 || q.ended:
			got |= ready & events
		}
	}
	if e, ok := f.node.driver.(*Encoder); ok && len(e.events) > 0 {
		got |= videodev.Eventful & events
	}
	return got
}

// Close closes the file: what it had is given back, its maps are not.
func (f *file) Close() error {
	k := f.kernel
	k.mu.Lock()
	defer k.mu.Unlock()
	k.note(f.node.path, "close", "", nil)
	if f.closed {
		return unix.EBADF
	}
	f.closed = true
	k.files--
	if f.node.owner == f {
		f.node.owner = nil
		for _, q := range f.queues() {
			q.reset()
			q.buffers = nil
		}
	}
	k.wake()
	return nil
}

// String says what the kernel holds, for a test's failures.
func (k *Kernel) String() string {
	files, maps := k.Held()
	return fmt.Sprintf("a made-up kernel with %d open files and %d maps", files, maps)
}
