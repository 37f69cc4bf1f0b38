package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/internal/wait"
)

// How long a camera that failed is left alone: twice as long after each failure. One
// that is not there is looked for more often, since looking costs little and
// whoever plugs it in stands before it.
const (
	firstPause      = time.Second
	longestPause    = 30 * time.Second
	longestAbsence  = 3 * time.Second
	goodAfter       = 30 * time.Second // of pictures, the pauses begin anew
	cameraStopsWell = "the camera stopped by itself"
)

// camera keeps one source running: it opens it, opens it again when it fails, and
// says by a condition what ails it.
type camera struct {
	open   func(context.Context) (capture.Source, source.Info, error)
	health *health.Board
	log    *slog.Logger

	src    capture.Source // nil while there is none
	finite bool
}

// start opens the source for the first time. A camera that is not there, or has any
// other trouble of its own, is no reason not to start: film opens it when it comes.
// What is not a camera's trouble is an error.
func (c *camera) start(ctx context.Context) (source.Info, error) {
	src, info, err := c.open(ctx)
	var trouble *capture.FaultError
	if errors.As(err, &trouble) {
		c.failed(err)
		return source.Info{Live: true}, nil
	}
	if err != nil {
		return source.Info{}, err
	}
	c.take(src, info)
	return info, nil
}

// take makes src the source that runs next.
func (c *camera) take(src capture.Source, info source.Info) {
	c.src, c.finite = src, info.Finite
	if info.Why != "" {
		c.log.Info("camera opened", "format", info.Format, "width", info.Width, "height", info.Height, "fps", info.FPS, "why", info.Why)
	}
}

// film runs the source, and opens it again when it fails. A source that ends by
// itself, as a file does, is not begun again.
func (c *camera) film(ctx context.Context, emit func(capture.Frame)) error {
	pause := firstPause
	for {
		fault := capture.FaultUnplugged
		if c.src != nil {
			started := time.Now()
			err := c.src.Run(ctx, c.seen(emit))
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case c.finite:
				return err
			case err == nil:
				err = errors.New(cameraStopsWell)
			}
			fault = c.failed(err)
			if time.Since(started) > goodAfter {
				pause = firstPause
			}
		}
		if err := wait.For(ctx, pause); err != nil {
			return err
		}
		src, info, err := c.open(ctx)
		if err != nil {
			c.src, fault = nil, c.failed(err)
		} else {
			c.take(src, info)
		}
		longest := longestPause
		if fault == capture.FaultUnplugged {
			longest = longestAbsence
		}
		pause = min(2*pause, longest)
	}
}

// failed says what ails the camera: one condition at a time.
func (c *camera) failed(err error) capture.Fault {
	fault := capture.FaultOf(err)
	for _, f := range capture.Faults() {
		if f != fault {
			c.health.Clear(string(f))
		}
	}
	if c.health.Set(string(fault), health.Failure, err.Error()) {
		c.log.Error("no pictures from the camera", "condition", fault, "error", err)
	}
	return fault
}

// seen clears the camera's conditions with its first frame.
func (c *camera) seen(emit func(capture.Frame)) func(capture.Frame) {
	first := true
	return func(f capture.Frame) {
		if first {
			first = false
			for _, fault := range capture.Faults() {
				if c.health.Clear(string(fault)) {
					c.log.Info("the camera gives pictures again", "condition", fault)
				}
			}
		}
		emit(f)
	}
}
