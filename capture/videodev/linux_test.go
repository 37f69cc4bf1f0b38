//go:build linux

package videodev

import (
	"context"
	"errors"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture/internal/filestest"
)

// pipe is a node of a pipe's reading end, and the pipe's writing end.
func pipe(t *testing.T) (*node, int) {
	t.Helper()
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	n, err := newNode(ends[0])
	if err != nil {
		t.Fatal(err)
	}
	return n, ends[1]
}

// The kernel's own poll: events, time-outs, the end of ctx, and another ctx after it.
func TestNodeWait(t *testing.T) {
	before := filestest.Open(t)
	n, writer := pipe(t)
	if got, err := n.Wait(t.Context(), Readable, time.Millisecond); got != 0 || err != nil {
		t.Errorf("of nothing: %v, %v", got, err)
	}
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if _, err := n.Wait(ctx, Readable, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("the end of ctx gave %v", err)
		}
	}
	if got, err := n.Wait(t.Context(), Readable, time.Millisecond); got != 0 || err != nil {
		t.Errorf("after the end of another ctx: %v, %v", got, err)
	}
	if _, err := unix.Write(writer, []byte{1}); err != nil {
		t.Fatal(err)
	}
	if got, err := n.Wait(t.Context(), Readable, time.Hour); got != Readable || err != nil {
		t.Errorf("of a byte: %v, %v", got, err)
	}
	var one [1]byte
	if _, err := unix.Read(n.fd, one[:]); err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(writer); err != nil {
		t.Fatal(err)
	}
	if got, err := n.Wait(t.Context(), Readable, time.Hour); got&Gone == 0 || err != nil {
		t.Errorf("of a pipe whose other end is gone: %v, %v", got, err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	n.signal() // of a ctx that ends now
	if err := n.Close(); err == nil {
		t.Error("it is closed twice")
	}
	if after := filestest.Open(t); after != before {
		t.Errorf("%d files are open, %d were", after, before)
	}
}

// An ioctl of a real file, and what a pointer in an argument becomes.
func TestNodeIoctl(t *testing.T) {
	n, writer := pipe(t)
	if _, err := unix.Write(writer, make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	arg := &Argument{Bytes: make([]byte, 4)}
	if err := n.Ioctl(unix.TIOCINQ, arg); err != nil || arg.Bytes[0] != 7 {
		t.Errorf("%d bytes wait: %v", arg.Bytes[0], err)
	}
	word := int(unsafe.Sizeof(uintptr(0)))
	arg = &Argument{Bytes: make([]byte, 4*word), Array: []byte{42}, Pointer: 2 * word}
	if err := n.Ioctl(unix.TIOCINQ, arg); err != nil || arg.Bytes[0] != 7 {
		t.Errorf("with an array: %v", err)
	}
	if address := *(*uintptr)(unsafe.Pointer(&arg.Bytes[2*word])); address != uintptr(unsafe.Pointer(&arg.Array[0])) {
		t.Errorf("the pointer is %#x", address)
	}
	if err := errors.Join(n.Close(), unix.Close(writer)); err != nil {
		t.Error(err)
	}
}

// Waiting allocates nothing while ctx stays the same.
func TestNodeWaitAllocates(t *testing.T) {
	n, writer := pipe(t)
	if _, err := unix.Write(writer, []byte{1}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if got := testing.AllocsPerRun(100, func() {
		if _, err := n.Wait(ctx, Readable, time.Second); err != nil {
			t.Error(err)
		}
	}); got > 1 {
		t.Errorf("%v allocations a wait", got)
	}
	if err := errors.Join(n.Close(), unix.Close(writer)); err != nil {
		t.Error(err)
	}
}
