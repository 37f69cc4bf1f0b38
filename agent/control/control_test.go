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
