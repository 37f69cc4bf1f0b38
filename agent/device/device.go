// Package device is what a camera is, standing in its state directory: its key,
// how often it has started, and whose it is.
//
// It owns the directory's lock, the boot counter and the ownership record's
// succession on the device. It never signs items (seal does) and never decides
// whom to pair with: it takes a record that verifies and follows the one it has.
package device

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
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
	// openLimit is how long Open waits for a TPM.
	openLimit = 10 * time.Second
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
	lost     []seal.ID
	unlock   func() error

	mu    sync.Mutex
	owned *ownership.Ownership
	freedom
	paged chan struct{} // closed and made anew when whose the device is, or whether it is free, has changed
}

// Open is OpenWith for whoever does not configure the key: a new device's key is made in
// a file, and a TPM that has an existing one is waited for 10 seconds.
func Open(path, firmware string) (*Device, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openLimit)
	defer cancel()
	return OpenWith(ctx, path, firmware, devicekey.Options{})
}

// OpenWith takes a state directory for this process alone, makes the device's key if it
// is the first start, and counts the start. Close gives the directory back. While the
// key is in a TPM that cannot be used, it waits until ctx ends; the error is then
// devicekey.ErrUnavailable. Where the TPM has lost the key, this is a new device without
// an owner: KeyLost tells.
func OpenWith(ctx context.Context, path, firmware string, key devicekey.Options) (*Device, error) {
	dir, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open state directory: %w", err)
	}
	return openIn(ctx, dir, firmware, key)
}

func openIn(ctx context.Context, dir *durable.Dir, firmware string, key devicekey.Options) (*Device, error) {
	unlock, err := dir.Lock()
	if err != nil {
		return nil, fmt.Errorf("open state directory %s: %w", dir.Path(""), err)
	}
	d := &Device{dir: dir, firmware: firmware, unlock: unlock, paged: make(chan struct{})}
	if d.key, err = devicekey.Open(ctx, dir, key); err != nil {
		return nil, errors.Join(err, unlock())
	}
	if err := d.load(key.Log); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Device) load(log *slog.Logger) error {
	d.id = seal.KeyID(d.key.SPKI())
	lost, err := devicekey.LostKeys(d.dir)
	if err != nil {
		return err
	}
	for _, text := range lost {
		if id, err := seal.ParseID(text); err == nil {
			d.lost = append(d.lost, id)
		}
	}
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
		return d.setAside(o, log)
	}
	d.owned = o
	return d.loadFreedom(log)
}

// setAside keeps the ownership record of the device that this one was before its key was
// lost, under another name. Any other device's record is an error: this directory, or a
// part of it, is a copy.
func (d *Device) setAside(o *ownership.Ownership, log *slog.Logger) error {
	if !slices.Contains(d.lost, o.Record.Device) {
		return fmt.Errorf("read ownership record: it is of device %s, this is %s", o.Record.Device.Short(), d.id.Short())
	}
	name := recordFile + "." + o.Record.Device.String() + ".lost"
	if err := d.dir.Rename(recordFile, name); err != nil {
		return fmt.Errorf("set ownership record aside: %w", err)
	}
	if log != nil {
		log.Warn("the ownership record is of the device whose key is lost; it is set aside", "device", o.Record.Device, "owner", o.Record.Owner.Short(), "kept_as", d.dir.Path(name))
	}
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

// Close gives the directory back, and the TPM.
func (d *Device) Close() error { return errors.Join(d.key.Close(), d.unlock()) }

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
func (d *Device) Protection() seal.Protection {
	if d.key.Protection() == devicekey.ProtectionTPM {
		return seal.ProtectionTPM
	}
	return seal.ProtectionFile
}

// KeyLost says, for a person, that this device was another one until its TPM lost the
// key. It holds until the device has an owner again; holds is false where it does not.
func (d *Device) KeyLost() (cause string, holds bool) {
	if _, err := d.Ownership(); err == nil || len(d.lost) == 0 {
		return "", false
	}
	was := make([]string, len(d.lost))
	for i, id := range d.lost {
		was[i] = id.Short()
	}
	return fmt.Sprintf("the TPM was cleared or exchanged and the key of device %s is gone: this is a new device, to be paired again",
		strings.Join(was, ", ")), true
}

// Ownership is the record in force, or ErrUnpaired.
func (d *Device) Ownership() (*ownership.Ownership, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owned == nil {
		return nil, ErrUnpaired
	}
	return d.owned, nil
}

// Changed is closed when another record comes into force, or the device is freed, or is
// free no more.
func (d *Device) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.paged
}

// Accept takes an owner-signed record if it verifies and follows the one in force, and its
// owner has a right to the device where it is another ownership. It countersigns it, and
// has it on disk before it counts. The ownership before is then Former's, until its chain
// has ended. After a reset the owner before has no right to any record: ErrRight.
func (d *Device) Accept(s *ownership.Signed, now time.Time) (*ownership.Ownership, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var known *ownership.Signed
	if d.owned != nil {
		known = &d.owned.Signed
	}
	if err := s.Succeeds(known, d.right(), d.latest(now)); err != nil {
		return nil, fmt.Errorf("accept ownership record: %w", err)
	}
	next := known != nil && s.Record.Epoch > known.Record.Epoch
	if d.reset && !next {
		return nil, fmt.Errorf("accept ownership record: the camera was reset since the one in force: %w", ownership.ErrRight)
	}
	o, err := s.Accept(d.key, ownership.Acceptance{
		Boot: d.boot, Protection: d.Protection(), Accepted: now, Firmware: d.firmware,
	})
	if err != nil {
		return nil, err
	}
	if next {
		if err := d.keepFormer(); err != nil {
			return nil, err
		}
	}
	if err := d.dir.WriteFile(recordFile, o.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("write ownership record: %w", err)
	}
	if next && d.former == nil {
		d.former = d.owned
	}
	stale := d.release != nil || d.reset
	d.owned, d.release, d.reset = o, nil, false
	if stale {
		d.dropStale()
	}
	d.page()
	return o, nil
}

// dropStale clears away what was about the record before. It counts no more in any case.
func (d *Device) dropStale() { _ = d.dir.Discard([]string{releaseFile, resetFile}) }
