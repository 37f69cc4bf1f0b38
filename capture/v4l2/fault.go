//go:build linux

package v4l2

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/videodev"
)

// errAbsent says that no camera fits the name.
var errAbsent = errors.New("no such camera is there")

// unsuitableError is a camera that gives nothing that can be used.
type unsuitableError struct{ reason string }

// Error is the reason.
func (e *unsuitableError) Error() string { return e.reason }

// fault names an error and says what a person can do about it; nil stays nil.
func fault(err error) error {
	var named *capture.FaultError
	if err == nil || errors.As(err, &named) {
		return err
	}
	name, hint := capture.FaultFailed, ""
	var unsuitable *unsuitableError
	switch {
	case errors.As(err, &unsuitable):
		name = capture.FaultUnsuitable
	case errors.Is(err, videodev.ErrNotVideo):
		name, hint = capture.FaultUnsuitable, "`lensward doctor` shows the cameras that are there"
	case errors.Is(err, errAbsent), errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		name, hint = capture.FaultUnplugged, "is the camera plugged in? `lensward doctor` shows those that are"
	case errors.Is(err, unix.EBUSY):
		name, hint = capture.FaultBusy, "another program uses the camera"
	case errors.Is(err, fs.ErrPermission):
		name, hint = capture.FaultForbidden, "add the user to the group video"
	case errors.Is(err, unix.ENOSPC):
		hint = "the USB bus has no room for its pictures: ask for fewer or smaller ones, or use another port"
	}
	if hint != "" {
		err = fmt.Errorf("%w; hint: %s", err, hint)
	}
	return &capture.FaultError{Fault: name, Err: err}
}
