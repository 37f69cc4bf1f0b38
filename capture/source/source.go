//go:build linux

// Package source opens a camera by its URL.
//
// It owns the URLs that name cameras in a configuration and on a command line, and
// how a camera's parts are put together: a camera, the mask before it, the encoder
// behind it. It owns nothing of the parts themselves.
//
//	scene:?width=1280&height=720&fps=10&seed=1   a made-up room with walkers
//	file:PATH?rate=max                           a .mjpeg, .mjpg or .mp4 file
//	v4l2:/dev/video0?width=1280&height=720       a camera
//	v4l2:auto, v4l2:usb=1-1.2, v4l2:serial=NUMBER
//	rpicam:0                                     a Raspberry Pi camera module
//
// All parameters are optional. An unknown one, one given twice, and a value that
// is out of its limits are errors.
package source

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/mask"
	"github.com/lensward/lensward/capture/v4l2"
)

// Options are what a URL does not say.
type Options struct {
	// Start is the time of the first frame of a scene or a file. The default is when
	// Run is called.
	Start time.Time
	// Masks are parts of the picture that stay black, at most 32.
	Masks []capture.Area
	// Controls are a camera's properties; scenes and files have none. Of rpicam:,
	// exposure, gain and flip are known.
	Controls v4l2.Controls
	// Log is told of broken frames. The default is no log.
	Log *slog.Logger
}

// Info is what is known of a source before it runs.
type Info struct {
	Format        capture.Format
	Width, Height int
	// FPS is the nominal frame rate; 0 where it is not known.
	FPS float64
	// Finite says that the source ends by itself.
	Finite bool
	// Why says how the format was chosen, where there was a choice.
	Why string
	// Live says that frames come at their own rate, so that one which nobody takes
	// in time is lost. It is false for media that are played as fast as they are
	// taken.
	Live bool
}

// Opener opens one source, as often as need be. It remembers which camera it was,
// and finds it again where that is plugged in elsewhere.
type Opener struct {
	name  string
	url   sourceURL
	opts  Options
	known v4l2.Identity
}

// New takes a URL apart. Nothing is opened.
func New(name string, opts Options) (*Opener, error) {
	u, err := parse(name)
	if err != nil {
		return nil, err
	}
	for _, a := range opts.Masks {
		if err := a.Validate(); err != nil {
			return nil, fmt.Errorf("source %q: mask: %w", name, err)
		}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Opener{name: name, url: u, opts: opts}, nil
}

// Open is New and [Opener.Open] in one.
func Open(ctx context.Context, name string, opts Options) (capture.Source, Info, error) {
	o, err := New(name, opts)
	if err != nil {
		return nil, Info{}, err
	}
	return o.Open(ctx)
}

// Open opens the source that the URL names. Nothing is held open until the source
// runs. An error that is a camera's, who may come or recover, is a
// [*capture.FaultError]; others stay.
//
// Parameters of scene: are width and height (even, 64 to 1920 and 64 to 1080;
// 1280 and 720), fps (up to 60; 10), seed (an integer; 1), duration (such as 60s;
// without end), empty (true leaves the walkers out; false) and rate.
//
// Parameters of file: are fps (.mjpeg alone, up to 240; 10), loop (true or false)
// and rate. %XX in the path stands for a byte, as in any URL; a path with ?
// or % in it needs that.
//
// The rate of both is real (by the clock, the default) or max (as fast as frames
// are taken).
//
// Parameters of v4l2: are width and height (16 to 8192; 1280 and 720), fps (up to
// 240; 15), format (see [v4l2.Want]), and for raw pictures encode (see
// [encode.Kind]) and bitrate (bits a second). The driver may choose another size
// and rate: Info has those.
//
// Parameters of rpicam: are width, height, fps, format (auto, h264 or mjpeg) and
// bitrate. Its path is the camera's number.
func (o *Opener) Open(ctx context.Context) (capture.Source, Info, error) {
	src, info, err := o.open(ctx)
	if err != nil {
		return nil, Info{}, fmt.Errorf("source %q: %w", o.name, err)
	}
	return src, info, nil
}

func (o *Opener) open(ctx context.Context) (capture.Source, Info, error) {
	o.url.params.err = nil
	switch o.url.scheme {
	case "v4l2":
		return o.openV4L2(ctx)
	case "rpicam":
		return o.masked(openRpicam(o.url, o.opts))
	case "scene":
		return o.masked(openScene(o.url, o.opts))
	default:
		return o.masked(openFile(o.url, o.opts))
	}
}

// masked puts the masks before an encoded source.
func (o *Opener) masked(src capture.Source, info Info, err error) (capture.Source, Info, error) {
	if err != nil || len(o.opts.Masks) == 0 {
		return src, info, err
	}
	m, err := mask.NewSource(src, info.Format, o.opts.Masks, o.opts.Log)
	if err != nil {
		return nil, Info{}, err
	}
	return m, info, nil
}
