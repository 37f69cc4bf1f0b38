// Package watch looks at a camera's frames and says what moves in them: the
// frame's grid, the detector's verdict, and the event's beginning and end.
//
// It owns the way from an encoded frame to its grid, whatever the encoding, and
// it hands out the picture of a moment where a thumbnail is wanted. Where the source
// gives small pictures with its frames, it looks at those. It never keeps frames,
// makes clips or knows whose camera it is.
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
	// Zones are the names of the zones that what was seen is in.
	Zones []string
	// Transitions are the events that ended and began with this frame, in order. An
	// event about the camera itself, covered or moved, says so in its Cause.
	Transitions []event.Transition

	still still
}

// Thumbnail is the frame as a JPEG of at most 96 KB.
func (o *Observation) Thumbnail() ([]byte, error) {
	if o.still == nil {
		return nil, errors.New("make thumbnail: no frame was looked at")
	}
	return o.still.thumbnail()
}

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
	// Rate is how many frames a second are looked at, where more come; 0 is all. At
	// some 12 and above nothing more is found.
	Rate int
	// Wait says that frames come as fast as they are taken, so that none need be
	// passed over.
	Wait bool
	Log  *slog.Logger
}

// previewPatience is how long a stream that the watcher cannot decode is waited on
// to give previews.
const previewPatience = 2 * time.Second

// Watcher looks at the frames of one source. It is not safe for concurrent use.
type Watcher struct {
	settings      Settings
	format        capture.Format
	width, height int
	eye           eye   // nil until a frame without a preview comes
	blind         error // why there is no eye
	previews      bool  // the source gives previews: frames without one are passed over
	detector      *motion.Detector
	machine       *event.Machine
	log           *slog.Logger
	start, looked time.Time
	tamper        motion.Tamper
	broken        uint64
}

// Open returns a Watcher for frames of one format, of about the size given. For
// H.264 without previews it needs the program ffmpeg. Close it.
//
// A source whose frames change their format or size is another source: Finish ends
// what is open, Close lets go of what Open took, and a new Watcher begins with
// nothing learnt.
func Open(_ context.Context, format capture.Format, width, height int, s Settings) (*Watcher, error) {
	if err := s.Motion.Validate(); err != nil {
		return nil, fmt.Errorf("watch: motion settings: %w", err)
	}
	machine, err := event.New(s.Event)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	if format != capture.FormatMJPEG && format != capture.FormatH264 {
		return nil, fmt.Errorf("watch: frames of %v", format)
	}
	if s.Rate < 0 {
		return nil, fmt.Errorf("watch: %d frames a second", s.Rate)
	}
	return &Watcher{
		settings: s, format: format, width: width, height: height,
		detector: motion.New(s.Motion), machine: machine, log: s.Log,
	}, nil
}

// Feed looks at the next frame and returns what has been seen by now: nothing, or
// one observation for each frame that was looked at. A frame that cannot be read
// is counted and passed over. An error ends the watch; a frame of another format
// than Open's is one.
func (w *Watcher) Feed(ctx context.Context, f capture.Frame) ([]Observation, error) {
	if f.Format != w.format {
		return nil, fmt.Errorf("look at frame %d: it is %v, and the watcher was opened for %v", f.Seq, f.Format, w.format)
	}
	if w.start.IsZero() {
		w.start = f.Time
	}
	sights, err := w.see(ctx, f)
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

// see turns a frame into what there is to look at by now.
func (w *Watcher) see(ctx context.Context, f capture.Frame) ([]sight, error) {
	if f.Preview != nil {
		return w.preview(ctx, f)
	}
	if w.previews || w.format == capture.FormatMJPEG && w.early(f.Time) {
		return nil, nil
	}
	if w.eye == nil && w.blind == nil {
		w.eye, w.blind = w.openEye(ctx)
	}
	if w.eye != nil {
		return w.eye.feed(ctx, f)
	}
	if f.Time.Sub(w.start) > previewPatience {
		return nil, w.blind
	}
	return nil, nil
}

// preview looks at the small picture that came with a frame. From the first on, no
// decoder is needed any more.
func (w *Watcher) preview(ctx context.Context, f capture.Frame) ([]sight, error) {
	var late []sight
	if !w.previews {
		w.previews = true
		if w.eye != nil {
			var err error
			if late, err = w.eye.drain(ctx); err != nil {
				w.log.Debug("decoder ended", "error", err) // it is not missed
			}
			if err := w.eye.close(); err != nil {
				w.log.Debug("decoder closed", "error", err)
			}
			w.eye = nil
		}
	}
	if w.early(f.Time) {
		return late, nil
	}
	s := sight{seq: f.Seq, time: f.Time, grid: f.Preview.Grid, still: previewStill(f)}
	return append(late, s), nil
}

func (w *Watcher) openEye(ctx context.Context) (eye, error) {
	if w.format == capture.FormatMJPEG {
		return &jpegEye{}, nil
	}
	e, err := openPreview(ctx, w.width, w.height, w.settings.Wait, w.log)
	if err != nil {
		return nil, err // and not a nil *previewEye
	}
	return e, nil
}

// early says that a frame comes sooner after the last one that was looked at than
// Rate asks for. Frames never come quite evenly: a tenth of the time is forgiven.
func (w *Watcher) early(at time.Time) bool {
	if w.settings.Rate == 0 || w.looked.IsZero() {
		return false
	}
	since := at.Sub(w.looked)
	return since >= 0 && since < time.Second*9/10/time.Duration(w.settings.Rate)
}

// Finish says that no more frames come and returns the last observations. An open
// event ends with the last of them.
func (w *Watcher) Finish(ctx context.Context) ([]Observation, error) {
	var out []Observation
	if w.eye != nil {
		sights, err := w.eye.drain(ctx)
		if err != nil {
			return nil, fmt.Errorf("look at the last frames: %w", err)
		}
		out = w.judge(sights)
	}
	if end := w.machine.Stop(); len(end) > 0 {
		out = append(out, Observation{Time: end[0].Event.End, Transitions: end})
	}
	return out, nil
}

// Broken counts the frames that could not be read.
func (w *Watcher) Broken() uint64 { return w.broken }

// Current is the open event, if there is one.
func (w *Watcher) Current() (event.Event, bool) { return w.machine.Current() }

// Tamper is what has been done to the camera by now, if anything.
func (w *Watcher) Tamper() motion.Tamper { return w.tamper }

// Close lets go of what Open took.
func (w *Watcher) Close() error {
	if w.eye == nil {
		return nil
	}
	return w.eye.close()
}

func (w *Watcher) judge(sights []sight) []Observation {
	out := make([]Observation, 0, len(sights))
	for _, s := range sights {
		if w.early(s.time) {
			continue
		}
		w.looked = s.time
		r := w.detector.Feed(s.time.Sub(w.start), s.grid)
		o := Observation{Seq: s.seq, Time: s.time, Motion: r, Zones: w.zones(r.Zones), still: s.still}
		if gw, gh := float64(s.grid.Width), float64(s.grid.Height); !r.Box.Empty() {
			o.Box = [4]float64{float64(r.Box.Min.X) / gw, float64(r.Box.Min.Y) / gh, float64(r.Box.Dx()) / gw, float64(r.Box.Dy()) / gh}
		}
		o.Transitions = w.machine.Feed(s.time, r.Moving, r.Score)
		if cause, begins := tampering(w.tamper, r.Tamper); begins {
			o.Transitions = append(o.Transitions, w.machine.Tamper(s.time, cause, r.Score)...)
		}
		w.tamper = r.Tamper
		out = append(out, o)
	}
	return out
}

// zones names the zones whose bits are set.
func (w *Watcher) zones(bits uint32) []string {
	var names []string
	for i, z := range w.settings.Motion.Zones {
		if bits&(1<<i) != 0 {
			names = append(names, z.Name)
		}
	}
	return names
}

// tampering is what an event is about that a change of the camera's state begins.
func tampering(before, now motion.Tamper) (cause event.Cause, begins bool) {
	switch {
	case now == before:
		return 0, false
	case now == motion.TamperCovered:
		return event.CauseCovered, true
	case now == motion.TamperMoved:
		return event.CauseMoved, true
	default:
		return 0, false
	}
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
