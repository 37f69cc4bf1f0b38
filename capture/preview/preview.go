// Package preview makes small pictures of an H.264 stream, on which motion is
// found and of which thumbnails are made.
//
// It owns the decoding child process: an ffmpeg that it starts, feeds, watches
// and starts again. It never decodes by itself and never keeps a picture.
//
// # How a picture finds its frame
//
// A decoder gives pictures late, in another order than it took them in (where
// there are B-frames), and fewer than it took in (where something is damaged).
// Counting would drift. So each frame goes in with its time as a timestamp, in a
// container that carries it (FLV), and each picture comes out with its timestamp
// beside it: pixels on one pipe, timestamps on another, the n-th of each belonging
// together. The timestamp leads back to the frame's Seq and Time; a frame whose
// picture never comes is counted as lost.
package preview

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"os/exec"
	"sync/atomic"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/internal/wait"
)

// ErrNoFFmpeg says that the program ffmpeg, which decodes H.264, is not there.
var ErrNoFFmpeg = errors.New("ffmpeg is not installed; hint: install ffmpeg")

// Settings say how pictures are made. The zero value of a field takes its
// default.
type Settings struct {
	// Width and Height are the video's size in pixels, 16 to 8192. They have no
	// default.
	Width, Height int
	// Small is the longest width of a small picture, 32 to 1920; the height keeps the
	// aspect. Both come out even. The default is 320.
	Small int
	// Program is the ffmpeg to run, version 5.1 or later. The default is the one in
	// PATH.
	Program string
	// InFlight is how many frames may be in the decoder, 32 to 1000: where more are
	// given, they wait. The default is 64.
	InFlight int
	// Log is told when the child dies, and why. The default is no log.
	Log *slog.Logger
}

// Picture is a small picture of a frame.
type Picture struct {
	// Seq and Time are the frame's.
	Seq  uint64
	Time time.Time
	// Image is 4:2:0 and full range (BT.601), as in a JPEG. It belongs to whoever
	// receives it.
	Image *image.YCbCr
}

// Limits of supervision.
const (
	firstBackoff = time.Second
	longBackoff  = 30 * time.Second
	maxFailures  = 5                // starts without one picture, after which Run gives up
	stallAfter   = 20 * time.Second // a child that takes nothing and gives nothing is dead
	// After so many frames the child is replaced, at a key frame: it bounds what a
	// demuxer collects over weeks, and keeps FLV's 31-bit timestamps from their end.
	maxFramesAChild = 200_000
)

// Decoder makes small pictures.
type Decoder struct {
	settings Settings
	width    int // of a small picture
	height   int

	framesAChild uint64
	backoff      time.Duration // the first
	stall        time.Duration

	restarts atomic.Uint64
	lost     atomic.Uint64
}

// New checks the settings and that ffmpeg is there: the error is [ErrNoFFmpeg] if
// it is not.
func New(s Settings) (*Decoder, error) {
	if s.Small == 0 {
		s.Small = 320
	}
	if s.InFlight == 0 {
		s.InFlight = 64
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case s.Width < 16 || s.Height < 16 || s.Width > 8192 || s.Height > 8192:
		return nil, fmt.Errorf("preview: video of %d×%d is not from 16×16 to 8192×8192", s.Width, s.Height)
	case s.Small < 32 || s.Small > 1920:
		return nil, fmt.Errorf("preview: width %d is not from 32 to 1920", s.Small)
	case s.InFlight < 32 || s.InFlight > 1000:
		return nil, fmt.Errorf("preview: %d frames in flight are not from 32 to 1000", s.InFlight)
	}
	if s.Program == "" {
		s.Program = "ffmpeg"
	}
	program, err := exec.LookPath(s.Program)
	if err != nil {
		return nil, fmt.Errorf("decode H.264: %w (%w)", ErrNoFFmpeg, err)
	}
	s.Program = program
	d := &Decoder{settings: s, framesAChild: maxFramesAChild, backoff: firstBackoff, stall: stallAfter}
	d.width, d.height = smallSize(s.Width, s.Height, s.Small)
	return d, nil
}

// smallSize fits a picture to a width. Both sides come out even, and at least 2.
func smallSize(width, height, small int) (int, int) {
	w := min(small, width) &^ 1
	h := (height*w + width/2) / width
	return w, min(max((h+1)&^1, 2), 4096)
}

// Size returns the size of the small pictures in pixels.
func (d *Decoder) Size() (width, height int) { return d.width, d.height }

// Restarts returns how often the child had to be started again.
func (d *Decoder) Restarts() uint64 { return d.restarts.Load() }

// Lost returns how many frames gave no picture: those in a child that died, those
// before a key frame, and those that could not be decoded.
func (d *Decoder) Lost() uint64 { return d.lost.Load() }

// Run decodes the frames and hands their pictures to emit, in the order in which
// they are shown and from one goroutine. When frames is closed it hands on what is
// still in the decoder, and returns nil.
//
// At most Settings.InFlight frames are in the decoder. Beyond that, and while a
// child that died is being replaced, Run takes no frame: a subscription that drops
// then drops, and one that waits waits. After a jump in Seq the stream is
// taken up again at the next key frame.
//
// A child that dies is started again, after 1 s at first and 30 s at last. Run
// gives up with an error when five children in a row have given no picture.
func (d *Decoder) Run(ctx context.Context, frames <-chan capture.Frame, emit func(Picture)) error {
	feed := &feeder{decoder: d, frames: frames}
	failures, backoff := 0, d.backoff
	for {
		if ok, err := feed.awaitKey(ctx); !ok {
			return err
		}
		c := newChild(d, emit)
		err := c.run(ctx, feed)
		d.lost.Add(uint64(c.flight.close()))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			continue // replaced in good order, or at the end of the frames
		}
		d.restarts.Add(1)
		if c.pictures > 0 {
			failures, backoff = 0, d.backoff
		} else if failures++; failures == maxFailures {
			return fmt.Errorf("decode H.264: no picture from ffmpeg in %d starts: %w", failures, err)
		}
		d.settings.Log.Warn("ffmpeg died; it is started again", "error", err, "after", backoff)
		if err := wait.For(ctx, backoff); err != nil {
			return err
		}
		backoff = min(2*backoff, longBackoff)
	}
}

// feeder takes frames and knows where a decoder may begin.
type feeder struct {
	decoder *Decoder
	frames  <-chan capture.Frame

	held    *capture.Frame // a key frame for the next child
	next    uint64         // the Seq that follows the last frame
	skipped bool           // frames are passed over until a key frame
}

// awaitKey waits for a key frame and holds it; false is the end of the frames, or
// of ctx.
func (f *feeder) awaitKey(ctx context.Context) (bool, error) {
	for f.held == nil {
		f.skipped = true
		frame, ok, err := f.take(ctx, nil)
		if err != nil || !ok {
			return false, err
		}
		f.held = &frame
	}
	return true, nil
}

// errChildEnded says that the child is no longer there to be fed.
var errChildEnded = errors.New("the child has ended")

// take returns the next frame that can be decoded; false is the end of the
// frames. It gives up when ctx or the child ends.
func (f *feeder) take(ctx context.Context, ended <-chan struct{}) (capture.Frame, bool, error) {
	if f.held != nil {
		frame := *f.held
		f.held = nil
		return frame, true, nil
	}
	for {
		select {
		case <-ctx.Done():
			return capture.Frame{}, false, ctx.Err()
		case <-ended:
			return capture.Frame{}, false, errChildEnded
		case frame, ok := <-f.frames:
			if !ok {
				return capture.Frame{}, false, nil
			}
			f.skipped = f.skipped || frame.Seq != f.next
			f.next = frame.Seq + 1
			if f.skipped && !frame.Key {
				f.decoder.lost.Add(1)
				continue
			}
			f.skipped = false
			return frame, true, nil
		}
	}
}
