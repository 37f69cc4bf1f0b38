// Package device is what a camera is, standing in its state directory: its key,
// how often it has started, and whose it is.
//
// It owns the directory's lock, the boot counter and the ownership record's
// succession on the device. It never signs items (seal does) and never decides
// whom to pair with: it takes a record that verifies and follows the one it has.
package device

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lensward/lensward/hw/devicekey"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

const (
	bootFile   = "boot"
	recordFile = "ownership"
)

// ErrUnpaired means that the camera has no owner yet.
var ErrUnpaired = errors.New("this camera has no owner yet")

// Device is the camera's identity and ownership. It is safe for concurrent use.
type Device struct {
	dir      *durable.Dir
	key      *devicekey.Key
	id       seal.ID
	firmware string
	boot     uint64
	unlock   func() error

	mu    sync.Mutex
	owned *ownership.Ownership
	paged chan struct{} // closed and made anew at each new record
}

// Open takes a state directory for this process alone, makes the device's key if
// it is the first start, and counts the start. Close gives the directory back.
func Open(path, firmware string) (*Device, error) {
	dir, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open state directory: %w", err)
	}
	unlock, err := dir.Lock()
	if err != nil {
		return nil, fmt.Errorf("open state directory %s: %w", path, err)
	}
	d := &Device{dir: dir, firmware: firmware, unlock: unlock, paged: make(chan struct{})}
	if err := d.load(path); err != nil {
		return nil, errors.Join(err, unlock())
	}
	return d, nil
}

func (d *Device) load(path string) error {
	var err error
	if d.key, err = devicekey.LoadOrCreate(path); err != nil {
		return err
	}
	d.id = seal.KeyID(d.key.SPKI())
	if err := d.countBoot(); err != nil {
		return err
	}
	b, err := d.dir.ReadFile(recordFile, ownership.MaxOwnership)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read ownership record: %w", err)
	}
	o, err := ownership.Parse(b)
	if err != nil {
		return err
	}
	if err := o.Verify(); err != nil {
		return err
	}
	if o.Record.Device != d.id {
		return fmt.Errorf("read ownership record: it is of device %s, this is %s", o.Record.Device.Short(), d.id.Short())
	}
	d.owned = o
	return nil
}

// countBoot adds one to the counter. It is on disk before anything is signed
// with it, so that no two starts share a number.
func (d *Device) countBoot() error {
	b, err := d.dir.ReadFile(bootFile, 32)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("read boot counter: %w", err)
	default:
		if d.boot, err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 53); err != nil {
			return fmt.Errorf("read boot counter: %w", err)
		}
	}
	d.boot++
	if err := d.dir.WriteFile(bootFile, fmt.Appendf(nil, "%d\n", d.boot), 0o600); err != nil {
		return fmt.Errorf("write boot counter: %w", err)
	}
	return nil
}

// Close gives the directory back.
func (d *Device) Close() error { return d.unlock() }

// ID is the device's ID.
func (d *Device) ID() seal.ID { return d.id }

// Dir is the state directory, for what others keep beside the device's own. Only
// this one handle may be used: opening the directory again would clear away what
// is being written through it.
func (d *Device) Dir() *durable.Dir { return d.dir }

// Key is the device's key.
func (d *Device) Key() *devicekey.Key { return d.key }

// Boot counts the device's starts, this one included.
func (d *Device) Boot() uint64 { return d.boot }

// Firmware is the version that runs.
func (d *Device) Firmware() string { return d.firmware }

// Protection is how well the key is kept.
func (d *Device) Protection() seal.Protection { return seal.ProtectionFile }

// Ownership is the record in force, or ErrUnpaired.
func (d *Device) Ownership() (*ownership.Ownership, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owned == nil {
		return nil, ErrUnpaired
	}
	return d.owned, nil
}

// Changed is closed when another record comes into force.
func (d *Device) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.paged
}

// Accept takes an owner-signed record if it verifies and follows the one in
// force, countersigns it, and has it on disk before it counts.
func (d *Device) Accept(s *ownership.Signed, now time.Time) (*ownership.Ownership, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owned != nil {
		if err := s.Follows(&d.owned.Signed); err != nil {
			return nil, fmt.Errorf("accept ownership record: %w", err)
		}
	}
	o, err := s.Accept(d.key, ownership.Acceptance{
		Boot: d.boot, Protection: d.Protection(), Accepted: now, Firmware: d.firmware,
	})
	if err != nil {
		return nil, err
	}
	if err := d.dir.WriteFile(recordFile, o.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("write ownership record: %w", err)
	}
	d.owned = o
	close(d.paged)
	d.paged = make(chan struct{})
	return o, nil
}
