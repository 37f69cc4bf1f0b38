//go:build !linux

package child

import (
	"os"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

// signal reaches the program alone.
func (p *Process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

func widen(*os.File) {}
