//go:build linux

package videodev

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNotVideo says that a path is no V4L2 node.
var ErrNotVideo = errors.New("not a V4L2 device")

// videoMajor is the number of the device class video4linux.
const videoMajor = 81

// Linux is the kernel that runs.
type Linux struct{}

// Word returns the length of a pointer.
func (Linux) Word() int { return int(unsafe.Sizeof(uintptr(0))) }

// Monotonic reads CLOCK_MONOTONIC.
func (Linux) Monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0 // no Linux lacks it
	}
	return time.Duration(now.Nano())
}

// Open opens a node. Nothing but a V4L2 node is opened, since to open some other
// devices is to do something: a watchdog's starts it.
func (Linux) Open(path string) (Node, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return nil, err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFCHR || unix.Major(uint64(stat.Rdev)) != videoMajor {
		return nil, ErrNotVideo
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	n, err := newNode(fd)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return n, nil
}

// node is an open file of the kernel.
type node struct {
	fd    int
	polls [2]unix.PollFd // the file, and wake; kept, so that Wait allocates nothing

	watched context.Context // whose end writes to wake
	unwatch func() bool

	mu   sync.Mutex // guards wake against its closing
	wake int        // an eventfd; -1 once closed
}

// newNode takes over an open file.
func newNode(fd int) (*node, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	return &node{fd: fd, wake: wake}, nil
}

// Ioctl runs one call, again while signals interrupt it.
func (n *node) Ioctl(request uint32, arg *Argument) error {
	if len(arg.Array) > 0 {
		var pin runtime.Pinner
		pin.Pin(&arg.Array[0])
		defer pin.Unpin()
		address := uintptr(unsafe.Pointer(&arg.Array[0]))
		copy(arg.Bytes[arg.Pointer:], unsafe.Slice((*byte)(unsafe.Pointer(&address)), unsafe.Sizeof(address)))
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(n.fd), uintptr(request), uintptr(unsafe.Pointer(&arg.Bytes[0])))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// Map maps a buffer.
func (n *node) Map(offset int64, length int) ([]byte, error) {
	return unix.Mmap(n.fd, offset, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// Unmap undoes Map.
func (n *node) Unmap(memory []byte) error { return unix.Munmap(memory) }

// Wait polls the file.
func (n *node) Wait(ctx context.Context, events Events, timeout time.Duration) (Events, error) {
	n.watch(ctx)
	for until := time.Now().Add(timeout); ; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		left := (max(time.Until(until), 0) + time.Millisecond - 1).Milliseconds()
		n.polls = [2]unix.PollFd{
			{Fd: int32(n.fd), Events: int16(events)},
			{Fd: int32(n.wake), Events: unix.POLLIN},
		}
		count, err := unix.Poll(n.polls[:], int(min(left, 1<<30)))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("poll: %w", err)
		case n.polls[1].Revents != 0: // ctx's, or one before it: looked at above
			n.drain()
		case n.polls[0].Revents != 0:
			return Events(n.polls[0].Revents), nil
		case count == 0 && !time.Now().Before(until):
			return 0, nil
		}
	}
}

// watch has the end of ctx wake Wait up. It costs nothing while ctx stays the same.
func (n *node) watch(ctx context.Context) {
	if n.watched == ctx {
		return
	}
	if n.unwatch != nil {
		n.unwatch()
	}
	n.watched, n.unwatch = ctx, context.AfterFunc(ctx, n.signal)
}

// signal makes wake readable.
func (n *node) signal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wake < 0 {
		return
	}
	one := uint64(1)
	// It fails only if wake is readable already.
	_, _ = unix.Write(n.wake, unsafe.Slice((*byte)(unsafe.Pointer(&one)), unsafe.Sizeof(one)))
}

// drain makes wake unreadable.
func (n *node) drain() {
	var count [8]byte
	_, _ = unix.Read(n.wake, count[:]) // it fails only if there is nothing to read
}

// Close closes both files. A signal that is under way finds wake closed.
func (n *node) Close() error {
	if n.unwatch != nil {
		n.unwatch()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wake < 0 {
		return unix.EBADF
	}
	err := errors.Join(unix.Close(n.fd), unix.Close(n.wake))
	n.wake = -1
	return err
}
