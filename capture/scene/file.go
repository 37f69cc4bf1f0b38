package scene

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lensward/lensward/capture"
)

// FileOptions say how a file is played. The zero value plays it once at its own
// rate.
type FileOptions struct {
	// Fast gives frames as fast as they are taken. Frame.Time is the same as at the
	// file's own rate.
	Fast bool
	// Loop begins again at the end. Frame.Seq and Frame.Time go on.
	Loop bool
	// FPS is the rate of a .mjpeg file, which does not say it itself: above 0 and up
	// to 240, 10 if not given. MP4 files have their own timestamps, and refuse it.
	FPS float64
	// Start is the time of the file's beginning. The default is when Run is called.
	Start time.Time
	// Log is told of broken pictures. The default is no log.
	Log *slog.Logger
}

// FileInfo is what a file says of itself.
type FileInfo struct {
	Format        capture.Format
	Width, Height int
	// FPS is the nominal rate; 0 if the file does not say.
	FPS float64
}

// File plays a recorded file as a camera. It is a [capture.Source].
//
// A file is a .mjpeg or .mjpg (a run of JPEG pictures), or an .mp4 (progressive or
// fragmented) whose first video track is H.264 or Motion JPEG. Frames come in the
// file's order, which is the order of decoding: where the video has pictures that
// refer to later ones (B-frames), Frame.Time, the time at which the picture is
// shown, goes back now and then.
//
// A picture that is broken is left out and counted; Frame.Seq then jumps.
// Pictures are at most 8 MiB and 8192×8192.
type File struct {
	path   string
	opts   FileOptions
	info   FileInfo
	broken atomic.Uint64
}

// maxBrokenAtStart is how many broken pictures OpenFile passes over.
const maxBrokenAtStart = 1000

// sample is a frame before it is given its number and time.
type sample struct {
	data          []byte
	key           bool
	width, height int
	at            time.Duration // when it is shown, from the file's beginning
	due           time.Duration // when it is handed on; the same but for B-frames
}

// tape plays a file once.
type tape interface {
	// next returns the next sample, io.EOF at the end, or a *brokenError for a
	// sample that is to be left out.
	next() (sample, error)
	// length is how long the tape was, once next has returned io.EOF.
	length() time.Duration
	info() FileInfo
	io.Closer
}

// OpenFile looks into a file and checks that it has a picture to show. The file
// is closed again until Run.
func OpenFile(path string, opts FileOptions) (*File, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	f := &File{path: path, opts: opts}
	t, err := f.open()
	if err != nil {
		return nil, err
	}
	defer t.Close()
	var reason error
	for range maxBrokenAtStart {
		s, err := t.next()
		var bad *brokenError
		switch {
		case err == nil:
			f.info = t.info()
			f.info.Width, f.info.Height = s.width, s.height
			return f, nil
		case errors.As(err, &bad):
			if reason == nil {
				reason = bad
			}
		case errors.Is(err, io.EOF) && reason != nil:
			return nil, fmt.Errorf("open %s: no whole picture in it: %w", path, reason)
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("open %s: no picture in it", path)
		default:
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
	}
	return nil, fmt.Errorf("open %s: no whole picture among the first %d: %w", path, maxBrokenAtStart, reason)
}

// open starts the tape from its beginning.
func (f *File) open() (tape, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("open video file: %w", err)
	}
	var t tape
	switch ext := strings.ToLower(filepath.Ext(f.path)); ext {
	case ".mjpeg", ".mjpg":
		t, err = newMJPEGTape(file, f.opts.FPS)
	case ".mp4":
		if f.opts.FPS != 0 {
			err = errors.New("an MP4 has its own timestamps: leave the frame rate out")
			break
		}
		t, err = newMP4Tape(file)
	default:
		err = fmt.Errorf("a %q file cannot be played: .mjpeg, .mjpg and .mp4 can", ext)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open %s: %w", f.path, err)
	}
	return t, nil
}

// Info returns what the file says of itself.
func (f *File) Info() FileInfo { return f.info }

// Broken returns how many pictures have been left out so far because they were
// broken, or could not be decoded for want of a key frame before them.
func (f *File) Broken() uint64 { return f.broken.Load() }

// Run plays the file.
func (f *File) Run(ctx context.Context, emit func(capture.Frame)) error {
	began := time.Now()
	p := player{file: f, emit: emit, start: f.opts.Start, pace: newPacer(began, f.opts.Fast)}
	defer p.pace.stop()
	if p.start.IsZero() {
		p.start = began
	}
	for {
		shown := p.shown
		if err := p.play(ctx); err != nil {
			return err
		}
		if !f.opts.Loop {
			return nil
		}
		if p.shown == shown {
			return fmt.Errorf("play %s: no whole picture is left in it", f.path)
		}
	}
}

// player is the state of one Run.
type player struct {
	file  *File
	emit  func(capture.Frame)
	start time.Time
	pace  *pacer
	seq   uint64
	shown uint64        // frames emitted
	base  time.Duration // length of the rounds played before
}

// play plays the file once.
func (p *player) play(ctx context.Context) error {
	t, err := p.file.open()
	if err != nil {
		return err
	}
	defer t.Close()
	info := p.file.info
	for keyed := false; ; {
		s, err := t.next()
		if errors.Is(err, io.EOF) {
			p.base += t.length()
			return ctx.Err()
		}
		if err == nil && (s.width != info.Width || s.height != info.Height) {
			err = broken("its size is %d×%d, the first one's %d×%d", s.width, s.height, info.Width, info.Height)
		}
		if keyed = keyed || s.key; err == nil && !keyed {
			err = broken("it comes before the first key frame")
		}
		seq := p.seq
		p.seq++
		var bad *brokenError
		if errors.As(err, &bad) {
			if p.file.broken.Add(1) == 1 {
				p.file.opts.Log.Warn("broken picture left out", "file", p.file.path, "picture", seq, "reason", bad.reason)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", p.file.path, err)
		}
		if err := p.pace.wait(ctx, p.base+s.due); err != nil {
			return err
		}
		p.shown++
		p.emit(capture.Frame{
			Seq: seq, Time: p.start.Add(p.base + s.at), Format: info.Format,
			Width: s.width, Height: s.height, Key: s.key, Data: s.data,
		})
	}
}

// mjpegTape is a run of JPEGs at a fixed rate. A broken one takes up its time.
type mjpegTape struct {
	io.Closer
	split *splitter
	fps   float64
	count uint64
}

func newMJPEGTape(file *os.File, fps float64) (*mjpegTape, error) {
	if fps == 0 {
		fps = 10
	}
	if !(fps > 0 && fps <= 240) { // NaN too
		return nil, fmt.Errorf("frame rate %v is not above 0 and at most 240", fps)
	}
	return &mjpegTape{Closer: file, split: newSplitter(file), fps: fps}, nil
}

func (t *mjpegTape) next() (sample, error) {
	p, err := t.split.next()
	if errors.Is(err, io.EOF) {
		return sample{}, io.EOF
	}
	at := t.length()
	t.count++
	return sample{data: p.data, key: true, width: p.width, height: p.height, at: at, due: at}, err
}

func (t *mjpegTape) length() time.Duration {
	return time.Duration(math.Round(float64(t.count) / t.fps * float64(time.Second)))
}

func (t *mjpegTape) info() FileInfo {
	return FileInfo{Format: capture.FormatMJPEG, FPS: t.fps}
}
