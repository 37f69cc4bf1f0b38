//go:build linux

package serial_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lensward/lensward/hw/serial"
	"github.com/lensward/lensward/hw/serial/serialtest"
)

// TestBytesPassAsTheyAre: all of them, both ways; a terminal's habits are off.
func TestBytesPassAsTheyAre(t *testing.T) {
	master, path := serialtest.Open(t)
	port, err := serial.Open(path, 115200)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, way := range []struct {
		name string
		w    io.Writer
		r    io.Reader
	}{{"out", port, master}, {"in", master, port}} {
		if _, err := way.w.Write(all); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(all))
		if _, err := io.ReadFull(way.r, got); err != nil || !bytes.Equal(got, all) {
			t.Errorf("%s: got %x, %v", way.name, got, err)
		}
	}
	// Closing ends a read.
	ended := make(chan error, 1)
	go func() {
		_, err := port.Read(make([]byte, 1))
		ended <- err
	}()
	if err := port.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("a closed port gives a byte")
	}
}

func TestNoPort(t *testing.T) {
	if _, err := serial.Open(filepath.Join(t.TempDir(), "none"), 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a port that is not there: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := serial.Open(file, 0); err == nil || !strings.Contains(err.Error(), "is it a serial port?") {
		t.Errorf("a file: %v", err)
	}
}
