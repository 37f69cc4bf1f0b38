package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/internal/wait"
)

// flaky gives a frame a second, and then fails.
type flaky struct {
	frames int
	fault  capture.Fault
}

// Run gives the frames, then fails.
func (f flaky) Run(ctx context.Context, emit func(capture.Frame)) error {
	for i := range f.frames {
		emit(capture.Frame{Seq: uint64(i)})
		if err := wait.For(ctx, time.Second); err != nil {
			return err
		}
	}
	return &capture.FaultError{Fault: f.fault, Err: fmt.Errorf("read camera: %s", f.fault)}
}

func absent() error {
	return &capture.FaultError{Fault: capture.FaultUnplugged, Err: errors.New("open camera: no such device")}
}

// ailments are the names of the conditions that hold.
func ailments(b *health.Board) []string {
	var names []string
	for _, c := range b.List() {
		names = append(names, c.Name)
	}
	return names
}

// TestCameraComesAndGoes has a camera that is not there at first, then fails
// again and again: it is opened anew, later each time, and what ails it is told.
func TestCameraComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var board health.Board
		var opened []time.Duration
		begin := time.Now()
		c := &camera{health: &board, log: slog.New(slog.DiscardHandler), open: func(context.Context) (capture.Source, source.Info, error) {
			opened = append(opened, time.Since(begin))
			if len(opened) < 3 {
				return nil, source.Info{}, absent()
			}
			return flaky{frames: 2, fault: capture.FaultSilent}, source.Info{Live: true}, nil
		}}
		info, err := c.start(t.Context())
		if err != nil || info.Finite || !info.Live {
			t.Fatalf("a camera that is not there gives %+v, %v", info, err)
		}
		if got := ailments(&board); !slices.Equal(got, []string{"camera-unplugged"}) {
			t.Errorf("of a camera that is not there is said %v", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		frames := 0
		err = c.film(ctx, func(capture.Frame) {
			frames++
			if got := ailments(&board); got != nil {
				t.Errorf("with a frame in hand it is said %v", got)
			}
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("filming ended with %v", err)
		}
		if got := ailments(&board); !slices.Equal(got, []string{"camera-silent"}) {
			t.Errorf("of a camera that gives no more is said %v", got)
		}
		if frames < 10 {
			t.Errorf("%d frames", frames)
		}
		if n := len(opened); n < 8 || n > 20 {
			t.Errorf("opened %d times in five minutes: %v", n, opened)
		}
	})
}

// TestAbsentCameraIsLookedFor counts how long a camera waits that is plugged in
// after an hour.
func TestAbsentCameraIsLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plugged := time.Now().Add(time.Hour)
		var board health.Board
		c := &camera{health: &board, log: slog.New(slog.DiscardHandler), open: func(context.Context) (capture.Source, source.Info, error) {
			if time.Now().Before(plugged) {
				return nil, source.Info{}, absent()
			}
			return flaky{frames: 1, fault: capture.FaultUnplugged}, source.Info{Live: true}, nil
		}}
		if _, err := c.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := c.film(ctx, func(capture.Frame) {
			if late := time.Since(plugged); late < 0 || late > longestAbsence {
				t.Errorf("the first frame came %v after the camera", late)
			}
			cancel()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("filming ended with %v", err)
		}
	})
}

// TestEndOfFileIsTheEnd has a source that ends, and one that ought not to.
func TestEndOfFileIsTheEnd(t *testing.T) {
	var board health.Board
	opened := 0
	c := &camera{health: &board, log: slog.New(slog.DiscardHandler), open: func(context.Context) (capture.Source, source.Info, error) {
		opened++
		return ending{}, source.Info{Finite: true}, nil
	}}
	if _, err := c.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.film(t.Context(), func(capture.Frame) {}); err != nil || opened != 1 {
		t.Errorf("a file that ended: %v, opened %d times", err, opened)
	}
}

type ending struct{}

func (ending) Run(context.Context, func(capture.Frame)) error { return nil }

// TestBadSourceIsNoCamera has a source that no waiting will bring.
func TestBadSourceIsNoCamera(t *testing.T) {
	c := &camera{health: &health.Board{}, log: slog.New(slog.DiscardHandler), open: func(context.Context) (capture.Source, source.Info, error) {
		return nil, source.Info{}, errors.New("no such file")
	}}
	if _, err := c.start(t.Context()); err == nil {
		t.Error("a missing file was waited for")
	}
}
