package button_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/hw/button"
)

// event is an input_event as the kernel of this machine gives it.
func event(kind, code uint16, value int32) []byte {
	b := make([]byte, 2*strconv.IntSize/8, 24)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, code)
	return binary.NativeEndian.AppendUint32(b, uint32(value))
}

// TestHeld: only the key itself counts, and only if it is down for long enough; once each
// time.
func TestHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		held, opened := 0, 0
		b := &button.Button{
			Key: 408, Held: func() { held++ }, Log: slog.New(slog.DiscardHandler),
			Open: func() (io.ReadCloser, error) {
				if opened++; opened == 1 {
					return nil, errors.New("no such device")
				}
				return r, nil
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		for i, step := range []struct {
			kind, code uint16
			value      int32
			then       time.Duration
			want       int
		}{
			{1, 408, 1, 4 * time.Second, 0}, // down, not long enough
			{1, 408, 0, 10 * time.Second, 0},
			{1, 30, 1, 10 * time.Second, 0},  // another key
			{3, 408, 1, 10 * time.Second, 0}, // no key at all
			{1, 408, 1, 3 * time.Second, 0},
			{1, 408, 2, 3 * time.Second, 1}, // the keyboard repeats it
			{1, 408, 2, time.Minute, 1},
			{1, 408, 0, time.Second, 1},
			{1, 408, 1, 6 * time.Second, 2},
		} {
			if _, err := w.Write(event(step.kind, step.code, step.value)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(step.then)
			synctest.Wait()
			if held != step.want {
				t.Errorf("step %d: held %d times, want %d", i, held, step.want)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	})
}
