package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/internal/lab/board"
)

// fakeGuest is what can be booted on an emulator that is a shell script.
func fakeGuest(t *testing.T, script string) Options {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "kernel/lib/modules/1")
	must(t, os.MkdirAll(tree, 0o755))
	must(t, os.WriteFile(filepath.Join(tree, "modules.builtin"), []byte("kernel/net.ko\n"), 0o600))
	emulator := filepath.Join(dir, "emulator")
	must(t, os.WriteFile(emulator, []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	return Options{
		Board:  board.Board{Name: "fake", Emulator: emulator, Modules: []string{"net"}},
		Kernel: filepath.Join(dir, "kernel"), Init: emulator, Dir: dir,
	}
}

// An emulator that ends says why in the error, at once.
func TestBootThatFails(t *testing.T) {
	_, err := Boot(t.Context(), fakeGuest(t, "echo no such machine >&2; exit 1"))
	if err == nil || !strings.Contains(err.Error(), "no such machine") || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("Boot returned %v", err)
	}
}

// A guest that never calls is given up, and does not run on.
func TestBootThatHangs(t *testing.T) {
	o := fakeGuest(t, "echo $$ >"+filepath.Join(t.TempDir(), "pid")+"; exec sleep 600")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Boot(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Boot returned %v", err)
	}
}

// A guest without a module that it wants is not started.
func TestBootWithoutModule(t *testing.T) {
	o := fakeGuest(t, "echo started; exit 1")
	o.Modules = []string{"ghost"}
	if _, err := Boot(t.Context(), o); err == nil || strings.Contains(err.Error(), "started") {
		t.Errorf("Boot returned %v", err)
	}
}
