package control_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/control"
	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// speaker is an agent that consists of its device.
type speaker struct{ dev *device.Device }

// Status is nearly nothing.
func (s speaker) Status() any { return map[string]uint64{"boot": s.dev.Boot()} }

// DeviceKey is the device's.
func (s speaker) DeviceKey() []byte { return s.dev.Key().SPKI() }

// Known is the device's record.
func (s speaker) Known() *ownership.Ownership {
	o, err := s.dev.Ownership()
	if err != nil {
		return nil
	}
	return o
}

// Pair is the device's.
func (s speaker) Pair(r *ownership.Signed) (*ownership.Ownership, error) {
	return s.dev.Accept(r, time.Now())
}

// TakeCode takes one code, and refuses all others.
func (s speaker) TakeCode(_ context.Context, code secret.Text) error {
	if string(code) != "LENSWARD1:RIGHT" {
		return errors.New("this code was used before")
	}
	return nil
}

// Free is the device's.
func (s speaker) Free() ownership.Acquired {
	how, err := s.dev.Free(time.Now())
	if err != nil {
		return 0
	}
	return how
}

// Reset resets the device.
func (s speaker) Reset() error { return s.dev.Reset() }

// serve runs a server on a new state directory until the test ends.
func serve(t *testing.T) (string, *device.Device) {
	t.Helper()
	dir := t.TempDir()
	dev, err := device.Open(dir, "1.0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.NewServer(dir, speaker{dev}).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("server ended with %v", err)
		}
		must(t, dev.Close())
	})
	for range 500 {
		if _, err := os.Stat(filepath.Join(dir, "agent.sock")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return dir, dev
}

func TestPairOverTheSocket(t *testing.T) {
	dir, dev := serve(t)
	info, err := os.Stat(filepath.Join(dir, "agent.sock"))
	must(t, err)
	if info.Mode().Perm()&0o077 != 0 || info.Mode()&fs.ModeSocket == 0 {
		t.Errorf("the socket's mode is %v", info.Mode())
	}
	c, err := control.Dial(t.Context(), dir)
	must(t, err)
	known, err := c.Known(t.Context())
	must(t, err)
	if known != nil {
		t.Fatal("a new camera has an owner")
	}
	key, err := c.DeviceKey(t.Context())
	must(t, err)
	k, err := keyring.New(t.TempDir())
	must(t, err)
	draft, err := k.Draft(key, nil, time.Now())
	must(t, err)
	signed, err := ownership.Sign(k.Root(), draft)
	must(t, err)
	o, err := c.Pair(t.Context(), signed)
	must(t, err)
	must(t, o.Verify())
	mine, err := dev.Ownership()
	must(t, err)
	if mine.Hash() != o.Hash() {
		t.Error("the device has another record than it answered with")
	}
	if _, err := c.Pair(t.Context(), signed); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("the same record again: %v", err)
	}
	status, err := c.Status(t.Context())
	must(t, err)
	if !strings.Contains(string(status), `"boot":1`) {
		t.Errorf("status %s", status)
	}
}

func TestNobodyThere(t *testing.T) {
	if _, err := control.Dial(t.Context(), t.TempDir()); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

func TestSocketPathTooLong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	err := control.NewServer(dir, speaker{}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v", err)
	}
}

// TestCodeOverTheSocket hands in a code, one that is refused, and one that is too long.
func TestCodeOverTheSocket(t *testing.T) {
	dir, _ := serve(t)
	c, err := control.Dial(t.Context(), dir)
	must(t, err)
	must(t, c.TakeCode(t.Context(), "LENSWARD1:RIGHT"))
	for code, want := range map[string]string{
		"LENSWARD1:OTHER":          "used before",
		strings.Repeat("A", 1<<12): "too large",
	} {
		if err := c.TakeCode(t.Context(), secret.Text(code)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a code of %d characters gives %v, want %q", len(code), err, want)
		}
	}
}

// TestResetOverTheSocket makes a paired camera nobody's.
func TestResetOverTheSocket(t *testing.T) {
	dir, dev := serve(t)
	c, err := control.Dial(t.Context(), dir)
	must(t, err)
	k, err := keyring.New(t.TempDir())
	must(t, err)
	r, err := k.Draft(dev.Key().SPKI(), nil, time.Now())
	must(t, err)
	s, err := ownership.Sign(k.Root(), r)
	must(t, err)
	_, err = c.Pair(t.Context(), s)
	must(t, err)
	if _, err := dev.Free(time.Now()); !errors.Is(err, device.ErrOwned) {
		t.Fatalf("a paired camera is free: %v", err)
	}
	if how, err := c.Free(t.Context()); err != nil || how != 0 {
		t.Errorf("the agent says that it is free in way %d, %v", how, err)
	}
	must(t, c.Reset(t.Context()))
	if how, err := c.Free(t.Context()); err != nil || how != ownership.AcquiredReset {
		t.Errorf("after the reset it is free in way %d, %v", how, err)
	}
}
