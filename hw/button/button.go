// Package button is a button of the board that somebody holds.
//
// It owns the reading of one key of one Linux input device. It never decides what the
// button is for.
package button

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/lensward/lensward/internal/wait"
)

const (
	// Hold is how long a button is to be held.
	Hold = 5 * time.Second
	// again is how long a device that is not there is left alone.
	again = 5 * time.Second
	// eventSize is an input_event: two words of time, then type, code and value.
	eventSize = 2*strconv.IntSize/8 + 8

	typeKey  = 1
	released = 0
	pressed  = 1
)

// Button is one key of an input device.
type Button struct {
	// Open opens the device.
	Open func() (io.ReadCloser, error)
	// Key is the key's code.
	Key uint16
	// Held is called when the key was held for Hold, from Run's goroutine.
	Held func()
	// Log is told when the device is not there.
	Log *slog.Logger
}

// New is a button of the input device at path, such as "/dev/input/event0".
func New(path string, key uint16, held func(), log *slog.Logger) *Button {
	return &Button{Key: key, Held: held, Log: log, Open: func() (io.ReadCloser, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open button: %w", err)
		}
		return f, nil
	}}
}

// Run watches the button until ctx is done, whose error it returns. A device that goes
// away or is not there yet is opened again.
func (b *Button) Run(ctx context.Context) error {
	told := ""
	for {
		err := b.watch(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if text := err.Error(); text != told {
			told = text
			b.Log.Warn("the button cannot be read", "error", err)
		}
		if err := wait.For(ctx, again); err != nil {
			return err
		}
	}
}

// watch reads one opened device to its end.
func (b *Button) watch(ctx context.Context) error {
	f, err := b.Open()
	if err != nil {
		return err
	}
	values, failed := make(chan int32), make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() { failed <- b.read(ctx, f, values) }()
	err = b.count(ctx, values, failed)
	cancel()
	closed := f.Close() // ends the reading
	if err == nil {
		err = <-failed
	}
	return errors.Join(err, closed)
}

// count calls Held when the key has been down long enough. Nil means that ctx is done.
func (b *Button) count(ctx context.Context, values <-chan int32, failed chan error) error {
	timer := time.NewTimer(Hold)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case v := <-values:
			switch v {
			case pressed:
				timer.Reset(Hold)
			case released:
				timer.Stop()
			}
		case <-timer.C:
			b.Held()
		}
	}
}

// read hands on what becomes of the key.
func (b *Button) read(ctx context.Context, r io.Reader, values chan<- int32) error {
	event := make([]byte, eventSize)
	for {
		if _, err := io.ReadFull(r, event); err != nil {
			return fmt.Errorf("read button: %w", err)
		}
		what := event[eventSize-8:]
		kind, code := binary.NativeEndian.Uint16(what), binary.NativeEndian.Uint16(what[2:])
		if kind != typeKey || code != b.Key {
			continue
		}
		select {
		case values <- int32(binary.NativeEndian.Uint32(what[4:])):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
