package device

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// What stands beside the ownership record. Each names the record that it is about, so
// that another record in force is enough for it to count no more: nothing has to be
// written in one step with the record.
const (
	// releaseFile is the newest release, as it travels.
	releaseFile = "release"
	// resetFile is the hash of the record in force when the button was held.
	resetFile = "reset"
	// formerFile is the ownership before, until its chain has ended.
	formerFile = "ownership.before"
)

// ErrOwned means that the camera belongs to somebody: nothing frees it.
var ErrOwned = errors.New("this camera has an owner")

// freedom is what may free the device from the owner in force. The Device's mu guards it.
type freedom struct {
	release *ownership.Release   // nil while there is none of the record in force
	reset   bool                 // the button was held under the record in force
	former  *ownership.Ownership // nil while no chain is left to be ended
}

// loadFreedom reads what stands beside the record, which has been read.
func (d *Device) loadFreedom(log *slog.Logger) error {
	for _, f := range []struct {
		name  string
		limit int64
		take  func(b []byte) error
	}{
		{releaseFile, ownership.MaxRelease, d.loadRelease},
		{resetFile, 128, d.loadReset},
		{formerFile, ownership.MaxOwnership, d.loadFormer},
	} {
		b, err := d.dir.ReadFile(f.name, f.limit)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", f.name, err)
		}
		// What is damaged frees nobody's camera.
		if err := f.take(b); err != nil && log != nil {
			log.Warn("what stands beside the ownership record cannot be read; it is left out", "file", d.dir.Path(f.name), "error", err)
		}
	}
	return nil
}

func (d *Device) loadRelease(b []byte) error {
	r, err := ownership.ParseRelease(b)
	if err != nil {
		return err
	}
	if d.owned != nil && r.Frees(&d.owned.Signed, time.Time{}) == nil {
		d.release = r
	}
	return nil
}

func (d *Device) loadReset(b []byte) error {
	hash, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(hash) != len(seal.Hash{}) {
		return errors.New("not the hash of a record")
	}
	d.reset = d.owned != nil && d.owned.Hash() == seal.Hash(hash)
	return nil
}

func (d *Device) loadFormer(b []byte) error {
	o, err := ownership.Parse(b)
	if err != nil {
		return err
	}
	if err := o.Verify(); err != nil {
		return err
	}
	if o.Record.Device == d.id && d.owned != nil && o.Record.Epoch < d.owned.Record.Epoch {
		d.former = o
	}
	return nil
}

// latest is the latest time that is known to have come: a clock that was never set is
// behind the record in force, which has the time of the owner who will sign a release.
func (d *Device) latest(now time.Time) time.Time {
	if d.owned != nil && d.owned.Record.Created.After(now) {
		return d.owned.Record.Created
	}
	return now
}

// free says how the device may be taken. The caller holds mu.
func (d *Device) free(now time.Time) (ownership.Acquired, error) {
	switch {
	case d.owned == nil:
		return ownership.AcquiredPaired, nil
	case d.reset:
		return ownership.AcquiredReset, nil
	case d.release != nil && d.release.Frees(&d.owned.Signed, d.latest(now)) == nil:
		return ownership.AcquiredReleased, nil
	}
	return 0, ErrOwned
}

// Free says how the device may become another owner's, which is what its hello says in a
// pairing: it has no owner, was released, or was reset. ErrOwned means that it may not.
// While it may, nothing is to be recorded.
func (d *Device) Free(now time.Time) (ownership.Acquired, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.free(now)
}

// Released is the release by which the device is free; nil if there is none that is good
// now.
func (d *Device) Released(now time.Time) *ownership.Release {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owned == nil || d.release == nil || d.release.Frees(&d.owned.Signed, d.latest(now)) != nil {
		return nil
	}
	return d.release
}

// Lapse drops a release that has expired, for good: a clock that goes back does not bring
// it again. It reports whether it did.
func (d *Device) Lapse(now time.Time) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owned == nil || d.release == nil || d.release.Frees(&d.owned.Signed, d.latest(now)) == nil {
		return false, nil
	}
	if err := d.dir.Remove(releaseFile); err != nil {
		return false, fmt.Errorf("drop the expired release: %w", err)
	}
	d.release = nil
	d.page()
	return true, nil
}

// Reset notes that somebody held the device's button: from then on the device is nobody's,
// and the owner before cannot take it back. Where there is no owner, and the second time,
// it does nothing. It is on the disk when it returns.
func (d *Device) Reset() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owned == nil || d.reset {
		return nil
	}
	if err := d.dir.WriteFile(resetFile, []byte(d.owned.Hash().String()+"\n"), 0o600); err != nil {
		return fmt.Errorf("note the reset: %w", err)
	}
	d.reset = true
	d.page()
	return nil
}

// Former is the ownership whose chain has not been ended yet, nil for none.
func (d *Device) Former() *ownership.Ownership {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.former
}

// ForgetFormer drops the ownership before, once its chain has ended: whom its owner
// shared the camera with is nobody else's business.
func (d *Device) ForgetFormer() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.former == nil {
		return nil
	}
	if err := d.dir.Remove(formerFile); err != nil {
		return fmt.Errorf("forget the ownership before: %w", err)
	}
	d.former = nil
	return nil
}

// keepFormer keeps the ownership in force before another's takes its place. One whose
// chain has not been ended stays: nothing was sealed under those after it. The caller
// holds mu.
func (d *Device) keepFormer() error {
	if d.former != nil {
		return nil
	}
	if err := d.dir.WriteFile(formerFile, d.owned.Bytes(), 0o600); err != nil {
		return fmt.Errorf("keep the ownership before: %w", err)
	}
	return nil
}

// right is by what a record of the next epoch may be accepted. The caller holds mu.
func (d *Device) right() ownership.Right {
	return ownership.Right{Release: d.release, Reset: d.reset}
}

// page tells who waits for Changed. The caller holds mu.
func (d *Device) page() {
	close(d.paged)
	d.paged = make(chan struct{})
}
