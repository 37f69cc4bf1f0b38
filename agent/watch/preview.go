package watch

import (
	"context"
	"log/slog"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/preview"
)

// previewDepth is how many frames may wait for the decoder before a live source's
// are passed over.
const previewDepth = 32

// previewEye sees H.264 through small pictures that a decoder makes, some frames
// late. From a live source it never waits: a decoder that does not keep up costs
// sight, not recording.
type previewEye struct {
	frames chan capture.Frame
	sights chan sight
	stop   context.CancelFunc
	done   chan struct{}
	err    error // after done
	wait   bool
	closed bool
}

func openPreview(ctx context.Context, width, height int, wait bool, log *slog.Logger) (*previewEye, error) {
	d, err := preview.New(preview.Settings{Width: width, Height: height, Log: log})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	e := &previewEye{
		frames: make(chan capture.Frame, previewDepth), sights: make(chan sight, previewDepth),
		stop: stop, done: make(chan struct{}), wait: wait,
	}
	go func() {
		defer close(e.done)
		defer close(e.sights)
		e.err = d.Run(ctx, e.frames, func(p preview.Picture) {
			select {
			case e.sights <- sight{seq: p.Seq, time: p.Time, grid: preview.Grid(p.Image, capture.Grid{}), still: imageStill{p.Image}}:
			case <-ctx.Done():
			}
		})
	}()
	return e, nil
}

func (e *previewEye) feed(ctx context.Context, f capture.Frame) ([]sight, error) {
	if !e.wait {
		select {
		case e.frames <- f:
		default: // passed over
		}
		return e.collect(nil)
	}
	var out []sight
	for {
		select {
		case e.frames <- f:
			return e.collect(out)
		case s, ok := <-e.sights:
			if !ok {
				return out, e.ended()
			}
			out = append(out, s)
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
}

// collect adds the sights that are ready.
func (e *previewEye) collect(out []sight) ([]sight, error) {
	for {
		select {
		case s, ok := <-e.sights:
			if !ok {
				return out, e.ended()
			}
			out = append(out, s)
		default:
			return out, nil
		}
	}
}

// ended is why there are no more sights.
func (e *previewEye) ended() error {
	<-e.done
	return e.err
}

func (e *previewEye) drain(context.Context) ([]sight, error) {
	e.shut()
	var out []sight
	for s := range e.sights {
		out = append(out, s)
	}
	return out, e.ended()
}

func (e *previewEye) close() error {
	e.stop()
	e.shut()
	<-e.done
	return nil
}

func (e *previewEye) shut() {
	if !e.closed {
		e.closed = true
		close(e.frames)
	}
}
