package device

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/hw/devicekey"
	"github.com/lensward/lensward/hw/devicekey/swtpmtest"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/enrol"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start is a start of a camera whose key is in a TPM.
func start(t *testing.T, dir string, tpm *swtpmtest.TPM) *Device {
	t.Helper()
	d, err := OpenWith(t.Context(), dir, "1.0", devicekey.Options{Store: devicekey.TPM, TPM: tpm.Path})
	must(t, err)
	return d
}

func pair(t *testing.T, k *keyring.Keyring, d *Device) *ownership.Ownership {
	t.Helper()
	r, err := k.Draft(d.Key().SPKI(), nil, time.Now())
	must(t, err)
	s, err := ownership.Sign(k.Root(), r)
	must(t, err)
	o, err := d.Accept(s, time.Now())
	must(t, err)
	must(t, k.Keep(o))
	return o
}

// record opens the device's spool and puts an item into it, as the agent does.
func record(t *testing.T, dir string, d *Device) (seal.Ref, spool.Stats) {
	t.Helper()
	o, err := d.Ownership()
	must(t, err)
	binding, err := o.Binding()
	must(t, err)
	sealer, err := seal.NewSealer(seal.Device{Key: d.Key(), Protection: d.Protection(), Firmware: "1.0", Boot: d.Boot()}, binding)
	must(t, err)
	s, err := spool.Open(t.Context(), spool.Options{Dir: filepath.Join(dir, "spool"), Sealer: sealer, Boot: d.Boot()})
	must(t, err)
	e, err := s.Append(t.Context(), seal.Draft{
		Kind: seal.KindCheckpoint, Captured: time.Now(), Clock: seal.ClockUnset,
		MediaType: seal.KindCheckpoint.MediaType(), Body: []byte(`{"cause":"start"}`),
	})
	must(t, err)
	stats := s.Stats()
	must(t, s.Close())
	return e.Ref, stats
}

// items are those in the spool's directory that verify, by place.
func items(t *testing.T, dir string) map[seal.Ref]*seal.Item {
	t.Helper()
	found := map[seal.Ref]*seal.Item{}
	names, err := filepath.Glob(filepath.Join(dir, "spool", "*"))
	must(t, err)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // a directory
		}
		if it, err := seal.Parse(b); err == nil {
			must(t, it.Verify())
			found[it.Header.Ref()] = it
		}
	}
	return found
}

// The whole life of a camera with a TPM: made, paired, recording, rebooted, its TPM
// cleared, and paired again as the new device that it then is.
func TestLifeWithATPM(t *testing.T) {
	tpm, dir := swtpmtest.New(t), t.TempDir()
	k, err := keyring.New(t.TempDir())
	must(t, err)
	d := start(t, dir, tpm)
	if d.Protection() != seal.ProtectionTPM {
		t.Errorf("protection %v", d.Protection())
	}
	o := pair(t, k, d)
	must(t, o.Verify())
	if o.Acceptance.Protection != seal.ProtectionTPM {
		t.Errorf("the acceptance says %v", o.Acceptance.Protection)
	}
	must(t, d.Dir().WriteFile("certificate.pem", []byte("of this device"), 0o600))
	ref, _ := record(t, dir, d)
	it := items(t, dir)[ref]
	if it == nil || it.Header.Protection != seal.ProtectionTPM || it.Header.Device != d.ID() {
		t.Fatalf("item %+v", it)
	}
	if _, err := it.Open(k.Household()...); err != nil {
		t.Errorf("the owner cannot open it: %v", err)
	}

	must(t, d.Close())
	tpm.Restart()
	again := start(t, dir, tpm)
	if again.ID() != d.ID() || again.Boot() != 2 {
		t.Errorf("after a reboot it is device %s, start %d", again.ID().Short(), again.Boot())
	}
	if _, err := again.Ownership(); err != nil {
		t.Errorf("after a reboot: %v", err)
	}
	next, _ := record(t, dir, again)
	if next.Chain != ref.Chain || next.Seq != ref.Seq+1 {
		t.Errorf("the chain goes on at %v after %v", next, ref)
	}
	if cause, holds := again.KeyLost(); holds {
		t.Errorf("after a reboot: %s", cause)
	}

	must(t, again.Close())
	tpm.Clear()
	other := start(t, dir, tpm)
	defer func() { must(t, other.Close()) }()
	if other.ID() == d.ID() {
		t.Fatal("a cleared TPM has the key")
	}
	if _, err := other.Ownership(); !errors.Is(err, ErrUnpaired) {
		t.Errorf("the new device has an owner: %v", err)
	}
	if cause, holds := other.KeyLost(); !holds || !strings.Contains(cause, d.ID().Short()) {
		t.Errorf("nobody is told: %q", cause)
	}
	if kept, err := os.ReadFile(filepath.Join(dir, "ownership."+d.ID().String()+".lost")); err != nil || string(kept) != string(o.Bytes()) {
		t.Errorf("the old record is not kept: %v", err)
	}
	if _, err := enrol.Load(other.Dir(), other.Key()); !errors.Is(err, enrol.ErrChain) {
		t.Errorf("the old certificate is still taken: %v", err)
	}
	pair(t, k, other)
	if cause, holds := other.KeyLost(); holds {
		t.Errorf("paired, and still: %s", cause)
	}
	_, stats := record(t, dir, other)
	if stats.AsideItems != 2 {
		t.Errorf("the old device's items: %+v", stats)
	}
	for ref, it := range items(t, dir) {
		if it.Header.Device != other.ID() {
			t.Errorf("item %v of the old device is among the new one's", ref)
		}
	}
}

// Open waits; a running out of patience is no new identity.
func TestAbsentTPMIsNoNewDevice(t *testing.T) {
	tpm, dir := swtpmtest.New(t), t.TempDir()
	d := start(t, dir, tpm)
	must(t, d.Close())
	tpm.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log strings.Builder
	_, err := OpenWith(ctx, dir, "1.0", devicekey.Options{
		Store: devicekey.Auto, TPM: tpm.Path, Waiting: func(error) { cancel() }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if !errors.Is(err, devicekey.ErrUnavailable) || !strings.Contains(log.String(), "waiting for the TPM") {
		t.Errorf("error %v, log %s", err, &log)
	}
	tpm.Start()
	again := start(t, dir, tpm)
	defer func() { must(t, again.Close()) }()
	if again.ID() != d.ID() || again.Boot() != 2 {
		t.Errorf("it is device %s, start %d", again.ID().Short(), again.Boot())
	}
}

// A record of some other device is not set aside because some key was lost.
func TestRecordOfAStrangerIsRefused(t *testing.T) {
	tpm, dir, other := swtpmtest.New(t), t.TempDir(), t.TempDir()
	must(t, start(t, dir, tpm).Close())
	k, err := keyring.New(t.TempDir())
	must(t, err)
	stranger, err := Open(other, "1.0")
	must(t, err)
	o := pair(t, k, stranger)
	must(t, stranger.Close())
	must(t, os.WriteFile(filepath.Join(dir, recordFile), o.Bytes(), 0o600))
	tpm.Clear()
	for range 2 {
		if _, err := OpenWith(t.Context(), dir, "1.0", devicekey.Options{TPM: tpm.Path}); err == nil || !strings.Contains(err.Error(), "it is of device") {
			t.Errorf("error %v", err)
		}
	}
}

// TestPowerCutWhileKeyIsLost cuts the power at every write of the first start after the
// TPM was cleared. Whatever is left, the next start is one new device without an owner,
// and the old one's key and record are there.
func TestPowerCutWhileKeyIsLost(t *testing.T) {
	tpm, dir := swtpmtest.New(t), t.TempDir()
	k, err := keyring.New(t.TempDir())
	must(t, err)
	old := start(t, dir, tpm)
	pair(t, k, old)
	must(t, old.Close())
	tpm.Clear()
	options := devicekey.Options{Store: devicekey.TPM, TPM: tpm.Path}
	cutter := durabletest.NewCutter(t, dir, func(c durabletest.Crash) {
		first := start(t, c.Root, tpm)
		must(t, first.Close())
		second := start(t, c.Root, tpm)
		must(t, second.Close())
		if first.ID() != second.ID() || first.ID() == old.ID() || second.Boot() <= first.Boot() || first.Boot() < 2 {
			t.Errorf("%v: device %s, then %s", c, first.ID().Short(), second.ID().Short())
		}
		if _, err := second.Ownership(); !errors.Is(err, ErrUnpaired) {
			t.Errorf("%v: %v", c, err)
		}
		for _, name := range []string{"device-key", "ownership"} {
			if _, err := os.Stat(filepath.Join(c.Root, name+"."+old.ID().String()+".lost")); err != nil {
				t.Errorf("%v: %v", c, err)
			}
		}
	})
	cut, err := durable.Open(dir, durable.WithHook(cutter.Hook))
	must(t, err)
	d, err := openIn(t.Context(), cut, "1.0", options)
	must(t, err)
	must(t, d.Close())
	if cutter.Steps() < 25 {
		t.Errorf("only %d steps were cut", cutter.Steps())
	}
}
