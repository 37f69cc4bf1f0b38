//go:build linux

package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/internal/lab/usbip"
)

// Serve does what the host asks on a connection, until that ends.
func Serve(conn io.ReadWriteCloser, trouble []string) error {
	s := rpc.NewServer()
	if err := s.RegisterName(serviceName, &service{trouble: trouble, running: map[int]*exec.Cmd{}}); err != nil {
		return fmt.Errorf("serve host: %w", err)
	}
	s.ServeConn(conn)
	return nil
}

// service has the methods that net/rpc calls. Each is what the Client's of the same
// name says.
type service struct {
	trouble []string

	mu      sync.Mutex
	running map[int]*exec.Cmd
}

// SetClock is Client.SetClock.
func (s *service) SetClock(t time.Time, _ *struct{}) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("set clock: %w", err)
	}
	return nil
}

// Facts is Client.Facts.
func (s *service) Facts(_ struct{}, out *Facts) error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return fmt.Errorf("read uptime: %w", err)
	}
	*out = Facts{
		Kernel: unix.ByteSliceToString(name.Release[:]), Machine: unix.ByteSliceToString(name.Machine[:]),
		Uptime: time.Duration(up.Nano()), Trouble: s.trouble,
	}
	return nil
}

// Put is Client.Put.
func (s *service) Put(f File, _ *struct{}) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return fmt.Errorf("put file: %w", err)
	}
	return os.WriteFile(f.Path, f.Data, os.FileMode(f.Mode))
}

// Get is Client.Get.
func (s *service) Get(path string, out *[]byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // read-only: nothing to lose
	*out, err = io.ReadAll(io.LimitReader(f, maxFile))
	return err
}

// Start is Client.Start.
func (s *service) Start(p Program, pid *int) error {
	log, err := os.OpenFile(p.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start program: %w", err)
	}
	defer log.Close() // the program has it too
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start program: %w", err)
	}
	*pid = cmd.Process.Pid
	s.mu.Lock()
	s.running[*pid] = cmd
	s.mu.Unlock()
	return nil
}

// program finds what Start started.
func (s *service) program(pid int) (*exec.Cmd, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cmd := s.running[pid]; cmd != nil {
		return cmd, nil
	}
	return nil, fmt.Errorf("no program %d was started", pid)
}

// Signal is Client.Signal.
func (s *service) Signal(c SignalCall, _ *struct{}) error {
	cmd, err := s.program(c.PID)
	if err != nil {
		return err
	}
	return cmd.Process.Signal(syscall.Signal(c.Signal))
}

// Wait is Client.Wait.
func (s *service) Wait(pid int, out *Exit) error {
	cmd, err := s.program(pid)
	if err != nil {
		return err
	}
	var failed *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &failed) {
		return err
	}
	s.mu.Lock()
	delete(s.running, pid)
	s.mu.Unlock()
	out.Code = cmd.ProcessState.ExitCode()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		out.Signal = int(status.Signal())
	}
	return nil
}

// Ask is Client.Ask.
func (s *service) Ask(c AskCall, out *[]byte) error {
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.Socket)
		},
	}}
	res, err := client.Get("http://guest" + c.Path)
	if err != nil {
		return err
	}
	defer res.Body.Close() // nothing more is read from it
	*out, err = io.ReadAll(io.LimitReader(res.Body, maxFile))
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("the answer is %s: %s", res.Status, *out)
	}
	return err
}

// attachFile is where the virtual host controller takes connections.
const attachFile = "/sys/devices/platform/vhci_hcd.0/attach"

// Attach is Client.Attach.
func (s *service) Attach(a AttachCall, _ *struct{}) error {
	conn, err := net.DialTimeout("tcp", a.Address, 10*time.Second)
	if err != nil {
		return fmt.Errorf("attach USB device: %w", err)
	}
	defer conn.Close() // the kernel has its own
	info, err := usbip.Import(conn, a.BusID)
	if err != nil {
		return err
	}
	f, err := conn.(*net.TCPConn).File()
	if err != nil {
		return fmt.Errorf("attach USB device: %w", err)
	}
	defer f.Close()
	line := fmt.Sprintf("%d %d %d %d", a.Port, f.Fd(), info.DevID(), info.Speed)
	if err := os.WriteFile(attachFile, []byte(line), 0o200); err != nil {
		return fmt.Errorf("attach USB device: %w", err)
	}
	return nil
}

// control is struct v4l2_control, and setControl VIDIOC_S_CTRL.
type control struct {
	id    uint32
	value int32
}

const setControl = 0xc008561c

// SetControl is Client.SetControl.
func (s *service) SetControl(c ControlCall, _ *struct{}) error {
	f, err := os.OpenFile(c.Device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close() // nothing was written to it
	return ioctl(f.Fd(), setControl, &control{c.ID, c.Value})
}

// Videos is Client.Videos.
func (s *service) Videos(_ struct{}, out *[]Video) error {
	nodes, err := filepath.Glob("/sys/class/video4linux/video*")
	if err != nil {
		return err
	}
	for _, node := range nodes {
		name, err := os.ReadFile(filepath.Join(node, "name"))
		if err != nil {
			continue // it has just gone
		}
		*out = append(*out, Video{Path: "/dev/" + filepath.Base(node), Name: string(name[:max(0, len(name)-1)])})
	}
	return nil
}
