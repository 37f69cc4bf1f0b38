//go:build linux

package guest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Run is all that process 1 does: it makes the guest usable, calls the host and
// does what it asks. It returns when the host has gone.
func Run() error {
	trouble := start()
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	host, err := parameter(string(line), HostParameter)
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout("tcp", host, 30*time.Second)
	if err != nil {
		return fmt.Errorf("call host: %w", err)
	}
	return Serve(conn, trouble)
}

// start does what can be done, and returns what could not.
func start() (trouble []string) {
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"mount file systems", mount}, {"load modules", loadModules}, {"bring network up", network},
	} {
		if err := step.do(); err != nil {
			trouble = append(trouble, step.what+": "+err.Error())
		}
	}
	return trouble
}

// PowerOff ends the guest, and does not return.
func PowerOff() {
	unix.Sync()
	// A kernel that cannot power off panics when process 1 ends, which ends it too.
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// parameter finds a value on the kernel's command line.
func parameter(line, name string) (string, error) {
	for _, word := range strings.Fields(line) {
		if key, value, ok := strings.Cut(word, "="); ok && key == name {
			return value, nil
		}
	}
	return "", fmt.Errorf("the kernel's command line has no %s=", name)
}

func mount() error {
	var errs []error
	for _, m := range [][3]string{
		{"proc", "/proc", "proc"}, {"sysfs", "/sys", "sysfs"}, {"devtmpfs", "/dev", "devtmpfs"},
		{"tmpfs", "/tmp", "tmpfs"}, {"tmpfs", "/run", "tmpfs"},
	} {
		if err := unix.Mount(m[0], m[1], m[2], 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("%s: %w", m[1], err))
		}
	}
	return errors.Join(errs...)
}

// loadModules loads what the list names, in its order.
func loadModules() error {
	list, err := os.ReadFile(ModuleList)
	if err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(string(list)) {
		file, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		if file != "" {
			errs = append(errs, loadModule(file, params))
		}
	}
	return errors.Join(errs...)
}

func loadModule(file, params string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() // read-only: nothing to lose
	if err := unix.FinitModule(int(f.Fd()), params, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return nil
}

// network gives the first network card that appears the guest's address. The host
// is in the same network: no route is needed.
func network() error {
	errs := []error{bringUp("lo", net.IPv4(127, 0, 0, 1))}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		cards, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, card := range cards {
			if card.Flags&net.FlagLoopback == 0 && len(card.HardwareAddr) == 6 {
				return errors.Join(append(errs, bringUp(card.Name, net.ParseIP(Address)))...)
			}
		}
	}
	return errors.Join(append(errs, errors.New("no network card appears"))...)
}

// interfaceRequest is struct ifreq: a name and, here, an address or flags.
type interfaceRequest struct {
	name   [unix.IFNAMSIZ]byte
	family uint16 // or the flags
	port   uint16
	addr   [4]byte
	_      [16]byte
}

// bringUp sets an address with 24 bits of network, and the flag UP.
func bringUp(name string, ip net.IP) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r := interfaceRequest{family: unix.AF_INET}
	copy(r.name[:len(r.name)-1], name)
	for _, step := range []struct {
		number uintptr
		value  net.IP
	}{{unix.SIOCSIFADDR, ip.To4()}, {unix.SIOCSIFNETMASK, net.IPv4(255, 255, 255, 0).To4()}} {
		copy(r.addr[:], step.value)
		if err := ioctl(uintptr(fd), step.number, &r); err != nil {
			return fmt.Errorf("set address of %s: %w", name, err)
		}
	}
	r.family, r.port, r.addr = unix.IFF_UP|unix.IFF_RUNNING, 0, [4]byte{}
	if err := ioctl(uintptr(fd), unix.SIOCSIFFLAGS, &r); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

// ioctl makes the call with a structure.
func ioctl[T any](fd, number uintptr, arg *T) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, number, uintptr(unsafe.Pointer(arg))); errno != 0 {
		return errno
	}
	return nil
}
