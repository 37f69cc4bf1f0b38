// Package recorder makes of frames what the owner gets to see of an event: a
// thumbnail at once, a clip in parts while it runs, a better thumbnail and the
// event's record in the end.
//
// It owns the pre-roll and the event that is being recorded. What it makes it
// hands on as drafts; it never seals, stores or sends anything.
package recorder

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lensward/lensward/agent/event"
	"github.com/lensward/lensward/agent/watch"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/clip"
	"github.com/lensward/lensward/capture/jpegdc"
	"github.com/lensward/lensward/capture/motion"
	"github.com/lensward/lensward/transport/seal"
)

// Settings say how an event is recorded.
type Settings struct {
	Watch watch.Settings
	Clip  clip.Settings
	Ring  clip.RingSettings
	// Clock says how far the frames' times can be trusted.
	Clock func() seal.ClockTrust
	// Tampered, unless nil, is told when something is done to the camera, and when it
	// is over.
	Tampered func(motion.Tamper)
	// Introduce has the camera show itself once, though nothing moves: see introduce.go.
	Introduce bool
	Log       *slog.Logger
}

// Sink takes a draft. It returns false if there was no room for it, and an error
// if recording is to end.
type Sink func(context.Context, seal.Draft) (bool, error)

// Recorder records the frames of one source.
type Recorder struct {
	settings Settings
	sink     Sink
	log      *slog.Logger

	frames, broken, damaged, events atomic.Uint64
	unread                          uint64 // by the watchers before this one

	ring    *clip.Ring
	watcher *watch.Watcher
	whole   jpegdc.Decoder // finds frames that are not
	format  capture.Format // of the frames that watcher looks at
	width   int
	height  int
	current *recording
	last    seal.EventID // the event before
	tamper  motion.Tamper
	shown   bool      // there is a picture: the camera need not show itself
	since   time.Time // when it was first looked
}

// recording is the event that is being recorded.
type recording struct {
	id        seal.EventID
	continues seal.EventID
	writer    *clip.Writer
	declared  time.Time
	best      watch.Observation
	zones     []string // that were touched, in the order in which they were
	lost      uint32
	parts     uint32
}

// New returns a Recorder that gives what it makes to sink.
func New(s Settings, sink Sink) *Recorder {
	return &Recorder{settings: s, sink: sink, log: s.Log, shown: !s.Introduce}
}

// Counts are what a Recorder did so far, for any goroutine.
type Counts struct {
	// Frames came, Broken were looked at and could not be read, Damaged were left out
	// of clips (most of them are Broken too), Events were declared.
	Frames, Broken, Damaged, Events uint64
}

// Counts returns what was done so far.
func (r *Recorder) Counts() Counts {
	return Counts{
		Frames: r.frames.Load(), Broken: r.broken.Load(), Damaged: r.damaged.Load(), Events: r.events.Load(),
	}
}

// Run records until frames is closed, then ends what is open and returns nil;
// or until ctx is done or the sink fails, and returns that error. It may be
// called once.
func (r *Recorder) Run(ctx context.Context, frames <-chan capture.Frame) (err error) {
	if r.ring, err = clip.NewRing(r.settings.Ring); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	defer func() {
		if r.watcher != nil {
			err = errors.Join(err, r.watcher.Close())
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case f, ok := <-frames:
			if !ok {
				return r.finish(ctx)
			}
			if err := r.frame(ctx, f); err != nil {
				return err
			}
		}
	}
}

// frame takes one frame the whole way: into the pre-roll, into the clip that
// runs, and past the watcher.
func (r *Recorder) frame(ctx context.Context, f capture.Frame) error {
	if r.watcher == nil || f.Format != r.format || f.Width != r.width || f.Height != r.height {
		if err := r.begun(ctx, f); err != nil {
			return err
		}
	}
	r.frames.Add(1)
	r.ring.Push(f)
	if r.current != nil {
		if err := r.write(f); err != nil {
			return err
		}
	}
	seen, err := r.watcher.Feed(ctx, f)
	if err != nil {
		return err
	}
	r.broken.Store(r.unread + r.watcher.Broken())
	return r.observe(ctx, seen)
}

// begun looks at frames of another kind from here on: the first, or another camera
// in the place of the one before. An open event ends, since no clip holds both.
func (r *Recorder) begun(ctx context.Context, f capture.Frame) error {
	if r.watcher != nil {
		r.log.Info("the camera's pictures are of another kind", "format", f.Format, "width", f.Width, "height", f.Height)
		if err := r.finish(ctx); err != nil {
			return err
		}
		r.ring.Clear()
	}
	w, err := watch.Open(ctx, f.Format, f.Width, f.Height, r.settings.Watch)
	if err != nil {
		return err
	}
	r.watcher, r.format, r.width, r.height = w, f.Format, f.Width, f.Height
	return nil
}

// finish ends what is open and lets go of the watcher.
func (r *Recorder) finish(ctx context.Context) error {
	if r.watcher == nil {
		return nil
	}
	seen, err := r.watcher.Finish(ctx)
	if err != nil {
		return err
	}
	if err := r.observe(ctx, seen); err != nil {
		return err
	}
	r.unread += r.watcher.Broken()
	err = r.watcher.Close()
	r.watcher = nil
	return err
}

func (r *Recorder) observe(ctx context.Context, seen []watch.Observation) error {
	for _, o := range seen {
		if t := o.Motion.Tamper; t != r.tamper {
			r.tamper = t
			if r.settings.Tampered != nil {
				r.settings.Tampered(t)
			}
		}
		for _, tr := range o.Transitions {
			var err error
			if tr.Kind == event.Declared {
				err = r.begin(ctx, tr.Event, o)
			} else {
				err = r.end(ctx, tr.Event)
			}
			if err != nil {
				return err
			}
		}
		if r.current != nil {
			r.current.see(o)
		}
		if err := r.introduce(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// see keeps what is worth remembering of an observation.
func (rec *recording) see(o watch.Observation) {
	if o.Motion.Score > rec.best.Motion.Score {
		rec.best = o
	}
	for _, name := range o.Zones {
		if len(rec.zones) < seal.MaxZones && !slices.Contains(rec.zones, name) {
			rec.zones = append(rec.zones, name)
		}
	}
}

// begin sends the thumbnail first: it is what the owner is waiting for. Then the
// clip begins with the pre-roll.
func (r *Recorder) begin(ctx context.Context, e event.Event, o watch.Observation) error {
	r.events.Add(1)
	r.shown = true
	rec := &recording{declared: e.Declared, best: o}
	if _, err := rand.Read(rec.id[:]); err != nil {
		return fmt.Errorf("name event: %w", err)
	}
	if e.Continuation {
		rec.continues = r.last
	}
	r.current = rec
	r.log.Info("event declared", "event", rec.id, "cause", e.Cause, "at", e.Declared)
	if err := r.thumbnail(ctx, rec, o); err != nil {
		return err
	}
	return r.openClip(ctx, rec, e.Start)
}

// thumbnail sends one, or goes without where the picture cannot be read.
func (r *Recorder) thumbnail(ctx context.Context, rec *recording, o watch.Observation) error {
	jpeg, err := o.Thumbnail()
	if err != nil {
		r.log.Warn("no thumbnail", "event", rec.id, "error", err)
		return nil
	}
	_, err = r.sink(ctx, seal.Draft{
		Kind: seal.KindThumbnail, Event: rec.id, Captured: o.Time, Clock: r.settings.Clock(),
		MediaType: seal.KindThumbnail.MediaType(), Body: jpeg,
	})
	return err
}

func (r *Recorder) openClip(ctx context.Context, rec *recording, from time.Time) error {
	w, err := clip.NewWriter(r.settings.Clip, func(p clip.Part) error { return r.part(ctx, rec, p) })
	if err != nil {
		return fmt.Errorf("begin clip: %w", err)
	}
	rec.writer = w
	for _, f := range r.ring.Since(from) {
		if err := r.write(f); err != nil {
			return err
		}
	}
	return nil
}

// part hands on a part of the clip. One for which there is no room is counted.
func (r *Recorder) part(ctx context.Context, rec *recording, p clip.Part) error {
	rec.parts++
	kept, err := r.sink(ctx, seal.Draft{
		Kind: seal.KindClip, Event: rec.id, Part: p.Index, Last: p.Last, Captured: p.Start,
		Clock: r.settings.Clock(), MediaType: p.MediaType, Body: p.Data,
	})
	if !kept {
		rec.lost++
	}
	return err
}

// write adds a frame to the clip that runs. A frame that cannot be added is left
// out, and so is a JPEG that lost something on its way: it can still have both its
// ends, and nobody has looked at it if more frames come than are looked at. A frame
// of another format or size ends this clip, and the rest of the event goes on
// without one.
func (r *Recorder) write(f capture.Frame) error {
	rec := r.current
	if rec.writer == nil {
		return nil
	}
	if f.Format == capture.FormatMJPEG {
		if _, err := r.whole.Decode(f.Data); err != nil {
			r.damaged.Add(1)
			r.log.Debug("damaged frame left out of the clip", "event", rec.id, "frame", f.Seq, "error", err)
			return nil
		}
	}
	err := rec.writer.Write(f)
	var changed *clip.ChangedError
	switch {
	case err == nil, errors.Is(err, clip.ErrNoKeyFrame):
		return nil
	case errors.As(err, &changed):
		r.log.Warn("clip ends early", "event", rec.id, "error", err)
		w := rec.writer
		rec.writer = nil
		return w.Close()
	case errors.Is(err, clip.ErrBadFrame), errors.Is(err, clip.ErrFrameTooLarge):
		r.log.Debug("frame left out of the clip", "event", rec.id, "frame", f.Seq, "error", err)
		return nil
	default:
		return err
	}
}

// end closes the clip, sends the better thumbnail if there is one, and says what
// the event was.
func (r *Recorder) end(ctx context.Context, e event.Event) error {
	rec := r.current
	if rec.writer != nil {
		if err := rec.writer.Close(); err != nil {
			return err
		}
	}
	if rec.best.Time.After(rec.declared) {
		if err := r.thumbnail(ctx, rec, rec.best); err != nil {
			return err
		}
	}
	body, err := json.Marshal(seal.Event{
		Start: e.Declared.UnixMilli(), End: e.LastMotion.UnixMilli(), Score: rec.best.Motion.Score, Box: rec.best.Box,
		Parts: rec.parts, LostParts: rec.lost, Continues: rec.continues, Cause: causeOf(e), Zones: rec.zones,
	})
	if err != nil {
		return fmt.Errorf("write event record: %w", err)
	}
	r.log.Info("event ended", "event", rec.id, "why", e.Ending, "parts", rec.parts)
	r.current, r.last = nil, rec.id
	_, err = r.sink(ctx, seal.Draft{
		Kind: seal.KindEvent, Event: rec.id, Captured: e.End, Clock: r.settings.Clock(),
		MediaType: seal.KindEvent.MediaType(), Body: body,
	})
	return err
}

// causeOf is the event's cause in the words of its record, which leave motion out.
func causeOf(e event.Event) seal.EventCause {
	switch e.Cause {
	case event.CauseCovered:
		return seal.CauseCovered
	case event.CauseMoved:
		return seal.CauseMoved
	default:
		return ""
	}
}
