//go:build linux

// Package serialtest has serial lines that tests open: pseudo-terminals, two of them joined
// as by a cable. It is for tests only.
package serialtest

import (
	"io"
	"os"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Open makes a pseudo-terminal: one end, and the path of the other. Where there are none,
// the test is skipped.
func Open(t testing.TB) (*os.File, string) {
	t.Helper()
	end, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	raw, err := end.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var failed error
	err = raw.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	t.Cleanup(func() { _ = end.Close() })
	return end, "/dev/pts/" + strconv.Itoa(number)
}

// Cable joins two serial lines until the test ends, and gives the paths of its ends.
func Cable(t testing.TB) (left, right string) {
	t.Helper()
	a, left := Open(t)
	b, right := Open(t)
	// Held open, so that a line is there while nobody else has it.
	var held []*os.File
	for _, path := range []string{left, right} {
		f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, f)
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(a, b) })
	both.Go(func() { _, _ = io.Copy(b, a) })
	t.Cleanup(func() {
		_, _ = a.Close(), b.Close()
		both.Wait()
		for _, f := range held {
			_ = f.Close()
		}
	})
	return left, right
}
