//go:build linux

// Package serial opens serial ports.
//
// It owns how a port is set so that bytes pass as they are. It never says what the bytes
// mean.
package serial

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Open opens a port for reading and writing, raw, 8 data bits, no parity, at speed bits a
// second; 0 leaves the speed as it is. A port without modem lines does.
func Open(path string, speed int) (*os.File, error) {
	// Non-blocking, so that closing it ends a read.
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open serial port: %w", err)
	}
	if err := set(f, speed); err != nil {
		return nil, errors.Join(fmt.Errorf("open serial port %s: %w", path, err), f.Close())
	}
	return f, nil
}

func set(f *os.File, speed int) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = setFD(int(fd), speed) })
	return errors.Join(err, failed)
}

func setFD(fd, speed int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		return fmt.Errorf("is it a serial port? %w", err)
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON | unix.IXOFF
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CSIZE | unix.PARENB | unix.CSTOPB | unix.CRTSCTS
	t.Cflag |= unix.CS8 | unix.CLOCAL | unix.CREAD
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if speed > 0 {
		t.Cflag = t.Cflag&^unix.CBAUD | unix.BOTHER
		t.Ispeed, t.Ospeed = uint32(speed), uint32(speed)
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETS2, t); err != nil {
		return fmt.Errorf("set it to %d bits a second: %w", speed, err)
	}
	return nil
}
