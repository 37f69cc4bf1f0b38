//go:build linux

// Package source opens a camera by its URL.
//
// It owns the URLs that name cameras in a configuration and on a command line,
// and nothing of the cameras themselves:
//
//	scene:?width=1280&height=720&fps=10&seed=1   a made-up room with walkers
//	file:PATH?rate=max                           a .mjpeg, .mjpg or .mp4 file
//	v4l2:/dev/video0?width=1280&height=720       a camera
//
// All parameters are optional. An unknown one, one given twice, and a value that
// is out of its limits are errors.
package source

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/scene"
	"github.com/lensward/lensward/capture/v4l2"
)

// maxURLBytes is the length of the longest URL that is read.
const maxURLBytes = 4096

// Options are what a URL does not say.
type Options struct {
	// Start is the time of the first frame of a scene or a file. The default is when
	// Run is called.
	Start time.Time
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
	// Live says that frames come at their own rate, so that one which nobody takes
	// in time is lost. It is false for media that are played as fast as they are
	// taken.
	Live bool
}

// Open opens the source that a URL names. Nothing is held open until the source
// runs.
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
// 240; 15) and format (auto, mjpeg or yuyv; auto is mjpeg where the camera has
// it, else yuyv). The driver may choose another size and rate: Info has those.
func Open(name string, opts Options) (capture.Source, Info, error) {
	u, err := parse(name)
	if err != nil {
		return nil, Info{}, err
	}
	var src capture.Source
	var info Info
	switch u.scheme {
	case "scene":
		src, info, err = openScene(u, opts)
	case "file":
		src, info, err = openFile(u, opts)
	case "v4l2":
		src, info, err = openV4L2(u, opts)
	}
	if err != nil {
		return nil, Info{}, fmt.Errorf("source %q: %w", name, err)
	}
	return src, info, nil
}

// sourceURL is a URL taken apart.
type sourceURL struct {
	scheme, path string
	params       *params
}

// known are the parameters of each scheme.
func known(scheme string) []string {
	switch scheme {
	case "scene":
		return []string{"width", "height", "fps", "seed", "duration", "empty", "rate"}
	case "file":
		return []string{"fps", "loop", "rate"}
	case "v4l2":
		return []string{"width", "height", "fps", "format"}
	default:
		return nil
	}
}

// parse takes a URL apart and checks the names of its parameters.
func parse(name string) (sourceURL, error) {
	if len(name) > maxURLBytes {
		return sourceURL{}, fmt.Errorf("source URL has %d bytes, more than %d", len(name), maxURLBytes)
	}
	scheme, rest, found := strings.Cut(name, ":")
	names := known(scheme)
	if !found || names == nil {
		return sourceURL{}, fmt.Errorf("source %q: it begins with none of scene:, file: and v4l2:; hint: a file is file:PATH", name)
	}
	raw, query, _ := strings.Cut(rest, "?")
	path, err := url.PathUnescape(raw)
	if err != nil {
		return sourceURL{}, fmt.Errorf("source %q: path: %w; hint: %% is written %%25", name, err)
	}
	if strings.ContainsRune(path, 0) {
		return sourceURL{}, fmt.Errorf("source %q: the path has a NUL in it", name)
	}
	if host, local := strings.CutPrefix(path, "//"); local { // file:///a/path
		if !strings.HasPrefix(host, "/") {
			return sourceURL{}, fmt.Errorf("source %q: it names a host; hint: a path has one slash or three before it", name)
		}
		path = host
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return sourceURL{}, fmt.Errorf("source %q: parameters: %w", name, err)
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(names, key) {
			return sourceURL{}, fmt.Errorf("source %q: %s: has no parameter %q, only %s", name, scheme, key, strings.Join(names, ", "))
		}
		if len(values[key]) > 1 {
			return sourceURL{}, fmt.Errorf("source %q: parameter %s is given %d times", name, key, len(values[key]))
		}
	}
	return sourceURL{scheme, path, &params{values: values}}, nil
}

// params reads parameters and keeps the first error.
type params struct {
	values url.Values
	err    error
}

func (p *params) fail(key, wants string) {
	if p.err == nil {
		p.err = fmt.Errorf("parameter %s is %q, not %s", key, p.values.Get(key), wants)
	}
}

// integer returns a whole number other than 0, or 0 if it is not given.
func (p *params) integer(key string) int {
	if !p.values.Has(key) {
		return 0
	}
	n, err := strconv.ParseInt(p.values.Get(key), 10, 32)
	if err != nil || n == 0 {
		p.fail(key, "a whole number other than 0")
	}
	return int(n)
}

// size returns width and height: both or neither.
func (p *params) size() (width, height int) {
	width, height = p.integer("width"), p.integer("height")
	if p.err == nil && (width == 0) != (height == 0) {
		p.err = errors.New("width and height are given both or not at all")
	}
	return width, height
}

// number returns a number above 0, or 0 if it is not given.
func (p *params) number(key string) float64 {
	if !p.values.Has(key) {
		return 0
	}
	n, err := strconv.ParseFloat(p.values.Get(key), 64)
	if err != nil || !(n > 0) { // NaN too
		p.fail(key, "a number above 0")
	}
	return n
}

// duration returns a duration above 0, or 0 if it is not given.
func (p *params) duration(key string) time.Duration {
	if !p.values.Has(key) {
		return 0
	}
	d, err := time.ParseDuration(p.values.Get(key))
	if err != nil || d <= 0 {
		p.fail(key, "a duration such as 60s")
	}
	return d
}

// choice returns the value's index among the words; the first is the default.
func (p *params) choice(key string, words ...string) int {
	if !p.values.Has(key) {
		return 0
	}
	i := slices.Index(words, p.values.Get(key))
	if i < 0 {
		p.fail(key, strings.Join(words, " or "))
	}
	return i
}

func openScene(u sourceURL, opts Options) (capture.Source, Info, error) {
	if u.path != "" {
		return nil, Info{}, fmt.Errorf("scene: has no path, but %q; hint: parameters come after a ?", u.path)
	}
	s := scene.Settings{
		FPS:      u.params.number("fps"),
		Seed:     int64(u.params.integer("seed")),
		Duration: u.params.duration("duration"),
		Empty:    u.params.choice("empty", "false", "true") == 1,
		Fast:     u.params.choice("rate", "real", "max") == 1,
		Start:    opts.Start,
	}
	s.Width, s.Height = u.params.size()
	if u.params.err != nil {
		return nil, Info{}, u.params.err
	}
	if err := s.Validate(); err != nil {
		return nil, Info{}, err
	}
	src := scene.New(s)
	s = src.Settings()
	return src, Info{
		Format: capture.FormatMJPEG, Width: s.Width, Height: s.Height, FPS: s.FPS,
		Finite: s.Duration > 0, Live: !s.Fast,
	}, nil
}

func openFile(u sourceURL, opts Options) (capture.Source, Info, error) {
	o := scene.FileOptions{
		FPS:   u.params.number("fps"),
		Loop:  u.params.choice("loop", "false", "true") == 1,
		Fast:  u.params.choice("rate", "real", "max") == 1,
		Start: opts.Start,
		Log:   opts.Log,
	}
	if u.params.err != nil {
		return nil, Info{}, u.params.err
	}
	if u.path == "" {
		return nil, Info{}, errors.New("file: names no file")
	}
	src, err := scene.OpenFile(u.path, o)
	if err != nil {
		return nil, Info{}, err
	}
	i := src.Info()
	return src, Info{
		Format: i.Format, Width: i.Width, Height: i.Height, FPS: i.FPS,
		Finite: !o.Loop, Live: !o.Fast,
	}, nil
}

func openV4L2(u sourceURL, opts Options) (capture.Source, Info, error) {
	formats := []v4l2.PixelFormat{0, v4l2.MJPEG, v4l2.YUYV}
	s := v4l2.Settings{
		Path:   u.path,
		FPS:    u.params.number("fps"),
		Format: formats[max(u.params.choice("format", "auto", "mjpeg", "yuyv"), 0)],
		Log:    opts.Log,
	}
	s.Width, s.Height = u.params.size()
	if u.params.err != nil {
		return nil, Info{}, u.params.err
	}
	src, err := v4l2.Open(s)
	if err != nil {
		return nil, Info{}, err
	}
	m := src.Mode()
	return src, Info{
		Format: capture.FormatMJPEG, Width: m.Width, Height: m.Height, FPS: m.FPS, Live: true,
	}, nil
}
