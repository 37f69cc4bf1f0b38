// Package lab boots the agent on the processors that it ships for, before cameras
// that the kernel's own drivers drive.
//
// It owns a guest's life: what is in it, its start, its console, its end. What the
// guest does is package guest's, the machine's form package board's. It judges
// nothing; its tests do, and scripts/lab.sh runs them.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lensward/lensward/internal/lab/board"
	"github.com/lensward/lensward/internal/lab/guest"
	"github.com/lensward/lensward/internal/lab/initramfs"
)

// Options are what a guest is made of.
type Options struct {
	Board board.Board
	// Kernel is the directory of its unpacked kernel package.
	Kernel string
	// Init is the program that becomes process 1, built for the board.
	Init string
	// Programs are more of the host's files, by their paths in the guest.
	Programs map[string]string
	// Modules are loaded beside those of the network card, each with its parameters.
	Modules []string
	// Processors is how many the guest has; 0 is one.
	Processors int
	// Dir takes the archive and the console's text.
	Dir string
}

// Machine is a guest that runs.
type Machine struct {
	*guest.Client
	// Facts are what the guest said of itself, and Booted how long it took.
	Facts  guest.Facts
	Booted time.Duration

	cmd     *exec.Cmd
	console string
	ended   chan struct{}
	err     error // of the emulator, once ended is closed
	close   func() error
}

// Boot starts a guest and returns when it does what it is asked. ctx bounds the
// start alone; Close ends the guest.
func Boot(ctx context.Context, o Options) (*Machine, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("boot %s: %w", o.Board.Name, err)
	}
	defer l.Close() // one guest calls
	m, err := start(o, l.Addr().(*net.TCPAddr).Port)
	if err != nil {
		return nil, fmt.Errorf("boot %s: %w", o.Board.Name, err)
	}
	if err := m.await(ctx, l); err != nil {
		return nil, errors.Join(fmt.Errorf("boot %s: %w\n%s", o.Board.Name, err, m.Console(30)), m.Close())
	}
	return m, nil
}

// start makes the archive and starts the emulator.
func start(o Options, port int) (*Machine, error) {
	kernel, err := initramfs.OpenKernel(o.Kernel)
	if err != nil {
		return nil, err
	}
	archive, err := o.archive(kernel)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(o.Dir, o.Board.Name+".cpio")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		return nil, err
	}
	s := board.Start{
		Kernel: kernel.Image(), Initramfs: file, Processors: o.Processors,
		Parameters: fmt.Sprintf("%s=%s:%d", guest.HostParameter, guest.HostAddress, port),
	}
	if o.Board.DeviceTree != "" {
		s.DeviceTree = kernel.DeviceTree(o.Board.DeviceTree)
	}
	m := &Machine{
		cmd:     exec.Command(o.Board.Emulator, o.Board.Args(s)...),
		console: filepath.Join(o.Dir, o.Board.Name+".console"), ended: make(chan struct{}),
	}
	out, err := os.Create(m.console)
	if err != nil {
		return nil, err
	}
	m.cmd.Stdout, m.cmd.Stderr = out, out
	// An emulator does not outlive a test that is killed.
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	go func() {
		defer close(m.ended)
		m.err = errors.Join(m.cmd.Wait(), out.Close())
	}()
	m.close = sync.OnceValue(m.end)
	return m, nil
}

// archive is the guest's file system.
func (o Options) archive(kernel *initramfs.Kernel) ([]byte, error) {
	modules, err := kernel.Closure(append(append([]string{}, o.Board.Modules...), o.Modules...)...)
	if err != nil {
		return nil, err
	}
	var a initramfs.Archive
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "run"} {
		a.Directory(dir)
	}
	a.Character("dev/console", 0o600, 5, 1)
	var list strings.Builder
	for _, m := range modules {
		data, err := os.ReadFile(m.Path)
		if err != nil {
			return nil, err
		}
		name := "/lab/modules.d/" + m.Name + ".ko"
		a.File(name, 0o600, data)
		fmt.Fprintf(&list, "%s %s\n", name, m.Params)
	}
	a.File(guest.ModuleList, 0o600, []byte(list.String()))
	programs := map[string]string{"/init": o.Init}
	for to, from := range o.Programs {
		programs[to] = from
	}
	for to, from := range programs {
		data, err := os.ReadFile(from)
		if err != nil {
			return nil, err
		}
		a.File(to, 0o755, data)
	}
	return a.Bytes(), nil
}

// await waits for the guest's call, gives it the time and asks what it is.
func (m *Machine) await(ctx context.Context, l net.Listener) error {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // an emulator that has ended will not call
		select {
		case <-m.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	stop := context.AfterFunc(ctx, func() { l.Close() }) // unblocks Accept
	defer stop()
	conn, err := l.Accept()
	select {
	case <-m.ended:
		return fmt.Errorf("the emulator ended: %w", m.err)
	default:
	}
	if err != nil {
		return fmt.Errorf("the guest does not call: %w", errors.Join(ctx.Err(), err))
	}
	m.Client, m.Booted = guest.NewClient(conn), time.Since(began)
	if err := m.SetClock(ctx, time.Now()); err != nil {
		return err
	}
	m.Facts, err = m.Client.Facts(ctx)
	if err == nil && len(m.Facts.Trouble) > 0 {
		err = fmt.Errorf("the guest has trouble: %s", strings.Join(m.Facts.Trouble, "; "))
	}
	return err
}

// Close ends the guest; again, it does nothing.
func (m *Machine) Close() error { return m.close() }

func (m *Machine) end() error {
	var err error
	if m.Client != nil {
		err = m.Client.Close() // which powers it off
		select {
		case <-m.ended:
			return err
		case <-time.After(5 * time.Second):
		}
	}
	select {
	case <-m.ended:
	default:
		err = errors.Join(err, m.cmd.Process.Kill())
		<-m.ended
	}
	return err
}

// Ended is closed when the emulator has ended.
func (m *Machine) Ended() <-chan struct{} { return m.ended }

// Console is the last lines of what the guest's kernel and process 1 said.
func (m *Machine) Console(lines int) string {
	f, err := os.Open(m.console)
	if err != nil {
		return err.Error()
	}
	defer f.Close() // read-only: nothing to lose
	b, err := io.ReadAll(io.LimitReader(f, 16<<20))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
