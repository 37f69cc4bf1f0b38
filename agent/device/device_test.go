package device_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *device.Device {
	t.Helper()
	d, err := device.Open(dir, "1.0")
	must(t, err)
	return d
}

func sign(t *testing.T, k *keyring.Keyring, d *device.Device, known *ownership.Signed) *ownership.Signed {
	t.Helper()
	r, err := k.Draft(d.Key().SPKI(), known, time.Now())
	must(t, err)
	s, err := ownership.Sign(k.Root(), r)
	must(t, err)
	return s
}

func TestStartsAreCountedAndIdentityStays(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	id := d.ID()
	if _, err := device.Open(dir, "1.0"); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("opened twice at once: %v", err)
	}
	must(t, d.Close())
	for want := uint64(2); want < 5; want++ {
		d = open(t, dir)
		if d.Boot() != want || d.ID() != id {
			t.Errorf("start %d is counted as %d, of device %s", want, d.Boot(), d.ID())
		}
		must(t, d.Close())
	}
}

func TestOwnershipIsKeptAndOnlyFollowed(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	if _, err := d.Ownership(); !errors.Is(err, device.ErrUnpaired) {
		t.Fatalf("a new camera has an owner: %v", err)
	}
	k, err := keyring.New(t.TempDir())
	must(t, err)
	changed := d.Changed()
	first, err := d.Accept(sign(t, k, d, nil), time.Now())
	must(t, err)
	select {
	case <-changed:
	default:
		t.Error("nobody was told of the new record")
	}
	thief, err := keyring.New(t.TempDir())
	must(t, err)
	if _, err := d.Accept(sign(t, thief, d, nil), time.Now()); err == nil {
		t.Error("a stranger's first record replaced the owner's")
	}
	theirs := sign(t, thief, d, nil).Record
	theirs.Epoch, theirs.Previous = first.Record.Epoch+1, first.Hash()
	for _, how := range []ownership.Acquired{ownership.AcquiredPaired, ownership.AcquiredReleased, ownership.AcquiredReset} {
		theirs.Acquired = how
		next, err := ownership.Sign(thief.Root(), theirs)
		must(t, err)
		if _, err := d.Accept(next, time.Now()); !errors.Is(err, ownership.ErrRight) {
			t.Errorf("a stranger's next record, acquired in way %d: %v", how, err)
		}
	}
	second, err := d.Accept(sign(t, k, d, &first.Signed), time.Now())
	must(t, err)
	if _, err := d.Accept(&first.Signed, time.Now()); !errors.Is(err, ownership.ErrRollBack) {
		t.Errorf("rolled back: %v", err)
	}
	must(t, d.Close())
	d = open(t, dir)
	defer d.Close()
	o, err := d.Ownership()
	must(t, err)
	if o.Hash() != second.Hash() {
		t.Error("another record is in force after a restart")
	}
}

func TestDamagedRecordIsNoFreeCamera(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	k, err := keyring.New(t.TempDir())
	must(t, err)
	_, err = d.Accept(sign(t, k, d, nil), time.Now())
	must(t, err)
	must(t, d.Close())
	must(t, os.WriteFile(filepath.Join(dir, "ownership"), []byte("damaged"), 0o600))
	if _, err := device.Open(dir, "1.0"); err == nil {
		t.Error("a camera whose record is damaged opened, and could be paired by anyone")
	}
}
