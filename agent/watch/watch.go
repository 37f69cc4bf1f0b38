// Package watch looks at a camera's frames and says what moves in them: the
// frame's grid, the detector's verdict, and the event's beginning and end.
//
// It owns the way from an encoded frame to its grid, whatever the encoding, and
// it hands out the picture of a moment where a thumbnail is wanted. It never keeps
// frames, makes clips or knows whose camera it is.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lensward/lensward/agent/event"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
	"github.com/lensward/lensward/capture/motion"
)

// Observation is what was seen in one frame.
type Observation struct {
	// Seq and Time are the frame's.
	Seq  uint64
	Time time.Time
	// Motion is the detector's verdict; Box is where, as shares of the picture: left,
	// top, width, height.
	Motion motion.Result
	Box    [4]float64
	// Transitions are the events that ended and began with this frame, in order.
	Transitions []event.Transition

	still still
}

// Thumbnail is the frame as a JPEG of at most 96 KB.
func (o *Observation) Thumbnail() ([]byte, error) { return o.still.thumbnail() }

// still is a picture that can become a thumbnail.
type still interface {
	thumbnail() ([]byte, error)
}

// eye turns frames into grids. Grids may come later than their frames.
type eye interface {
	// feed gives the next frame and returns the sights that are ready.
	feed(ctx context.Context, f capture.Frame) ([]sight, error)
	// drain returns what is still to come, after the last frame.
	drain(ctx context.Context) ([]sight, error)
	close() error
}

// sight is one frame as an eye sees it. Its grid is valid until the next feed.
type sight struct {
	seq   uint64
	time  time.Time
	grid  capture.Grid
	still still
}

// Settings say what counts as motion and as an event.
type Settings struct {
	Motion motion.Settings
	Event  event.Settings
	// Wait says that frames come as fast as they are taken, so that none need be
	// passed over.
	Wait bool
	Log  *slog.Logger
}

// Watcher looks at the frames of one source. It is not safe for concurrent use.
type Watcher struct {
	eye      eye
	detector *motion.Detector
	machine  *event.Machine
	log      *slog.Logger
	start    time.Time
	broken   uint64
}

// Open returns a Watcher for frames of one format, of about the size given. For
// H.264 it needs the program ffmpeg. Close it.
func Open(ctx context.Context, format capture.Format, width, height int, s Settings) (*Watcher, error) {
	if err := s.Motion.Validate(); err != nil {
		return nil, fmt.Errorf("watch: motion settings: %w", err)
	}
	machine, err := event.New(s.Event)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	w := &Watcher{detector: motion.New(s.Motion), machine: machine, log: s.Log}
	switch format {
	case capture.FormatMJPEG:
		w.eye = &jpegEye{}
	case capture.FormatH264:
		if w.eye, err = openPreview(ctx, width, height, s.Wait, s.Log); err != nil {
			return nil, fmt.Errorf("watch: %w", err)
		}
	default:
		return nil, fmt.Errorf("watch: frames of %v", format)
	}
	return w, nil
}

// Feed looks at the next frame and returns what has been seen by now: nothing, or
// one observation for each frame that was looked at. A frame that cannot be read
// is counted and passed over. An error ends the watch.
func (w *Watcher) Feed(ctx context.Context, f capture.Frame) ([]Observation, error) {
	sights, err := w.eye.feed(ctx, f)
	if errors.Is(err, errBroken) {
		w.broken++
		w.log.Debug("frame cannot be read", "frame", f.Seq, "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at frame %d: %w", f.Seq, err)
	}
	return w.judge(sights), nil
}

// Finish says that no more frames come and returns the last observations. An open
// event ends with the last of them.
func (w *Watcher) Finish(ctx context.Context) ([]Observation, error) {
	sights, err := w.eye.drain(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the last frames: %w", err)
	}
	out := w.judge(sights)
	if end := w.machine.Stop(); len(end) > 0 {
		out = append(out, Observation{Time: end[0].Event.End, Transitions: end})
	}
	return out, nil
}

// Broken counts the frames that could not be read.
func (w *Watcher) Broken() uint64 { return w.broken }

// Current is the open event, if there is one.
func (w *Watcher) Current() (event.Event, bool) { return w.machine.Current() }

// Close lets go of what Open took.
func (w *Watcher) Close() error { return w.eye.close() }

func (w *Watcher) judge(sights []sight) []Observation {
	out := make([]Observation, 0, len(sights))
	for _, s := range sights {
		if w.start.IsZero() {
			w.start = s.time
		}
		r := w.detector.Feed(s.time.Sub(w.start), s.grid)
		o := Observation{Seq: s.seq, Time: s.time, Motion: r, still: s.still}
		if gw, gh := float64(s.grid.Width), float64(s.grid.Height); !r.Box.Empty() {
			o.Box = [4]float64{float64(r.Box.Min.X) / gw, float64(r.Box.Min.Y) / gh, float64(r.Box.Dx()) / gw, float64(r.Box.Dy()) / gh}
		}
		o.Transitions = w.machine.Feed(s.time, r.Moving, r.Score)
		out = append(out, o)
	}
	return out
}

// errBroken marks a frame that cannot be read, which is no reason to stop.
var errBroken = errors.New("broken frame")

// jpegEye reads the grid straight from the JPEG.
type jpegEye struct{ decoder jpegdc.Decoder }

func (e *jpegEye) feed(_ context.Context, f capture.Frame) ([]sight, error) {
	grid, err := e.decoder.Decode(f.Data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	return []sight{{seq: f.Seq, time: f.Time, grid: grid, still: jpegStill(f.Data)}}, nil
}

func (*jpegEye) drain(context.Context) ([]sight, error) { return nil, nil }

func (*jpegEye) close() error { return nil }
