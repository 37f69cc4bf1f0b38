package child

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes put a program into a process group of its own, so that a terminal's
// Ctrl-C does not reach it before us and what it starts ends with it, and have the
// kernel kill it when the thread that started it dies: that is when we do, since no
// goroutine here ends with its thread locked.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// signal sends a signal to the program and to all that it started;
// os.ErrProcessDone says that none of them is left.
func (p *Process) signal(s syscall.Signal) error {
	err := syscall.Kill(-p.cmd.Process.Pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// pipeSize is what a pipe for pictures should hold: without privileges it is the
// most that the kernel gives.
const pipeSize = 1 << 20

// widen makes a pipe hold more, so that a picture takes fewer turns. A kernel that
// refuses leaves it as it is, which is only slower.
func widen(f *os.File) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	// The size is a wish: whether it was granted makes no difference to what is done.
	_ = conn.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
}
