// Package encode makes frames of raw pictures: H.264 by a hardware encoder
// (V4L2 memory-to-memory) or by an ffmpeg child, else Motion JPEG.
//
// It owns the choice between them and its reason, the encoder or the child while
// it runs, and the small pictures that go with the frames. It never keeps the
// camera waiting: a picture that no encoder has room for is left out and counted.
// It does not begin again after a fault of an encoder's driver: whoever supervises
// the camera does.
//
// H.264 is in video range and Motion JPEG in full range, whichever range the
// camera's pictures are in. There are no B-frames: what goes in first comes out
// first.
//
// The hardware encoder's dialogue is tested against a made-up driver that behaves
// as the Raspberry Pi's bcm2835-codec is documented to, and is untested on
// hardware.
package encode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/lensward/lensward/capture"
)

// Kind says how pictures are encoded.
type Kind string

// What can be wanted, and (the last three) what is chosen.
const (
	// Auto is the first of M2M, FFmpeg and MJPEG that can be had.
	Auto Kind = "auto"
	// H264 is the first of M2M and FFmpeg.
	H264 Kind = "h264"
	// M2M is H.264 by a V4L2 memory-to-memory encoder, such as a Raspberry Pi's up
	// to model 4.
	M2M Kind = "m2m"
	// FFmpeg is H.264 by an ffmpeg child process with libx264.
	FFmpeg Kind = "ffmpeg"
	// MJPEG is a JPEG each picture. It is always there.
	MJPEG Kind = "mjpeg"
)

// Settings say what is encoded, and how. The zero value of a field takes its
// default.
type Settings struct {
	// Want is what is asked for. The default is Auto.
	Want Kind
	// Width and Height are the raw pictures' size in pixels, 16 to 8192. They have no
	// default. H.264 has even sizes only: the last column or row of an odd one is
	// left out.
	Width, Height int
	// Layout is that of the raw pictures. It has no default.
	Layout capture.Layout
	// FPS is the rate of the raw pictures, above 0 and up to 240: the bit rate is kept
	// by it. The default is 15.
	FPS float64
	// Bitrate is what H.264 is to take, in bits a second, 64,000 to 50,000,000. The
	// default is a tenth of a bit for each pixel, at least 250,000 and at most
	// 8,000,000.
	Bitrate int
	// GOP is the time between two key frames of H.264, 100 ms to 1 min. The default
	// is 2 s.
	GOP time.Duration
	// Program is the ffmpeg to run, version 5.1 or later. The default is the one in
	// PATH.
	Program string
	// Log is told of what an encoder does not take, and when a child dies. The
	// default is no log.
	Log *slog.Logger

	// The kernel and the nodes that are looked at; tests set their own.
	hardware hardware
}

// Limits and defaults of Settings.
const (
	minSide    = 16
	minBitrate = 64_000
	maxBitrate = 50_000_000
	defaultGOP = 2 * time.Second
)

func (s Settings) withDefaults() Settings {
	if s.Want == "" {
		s.Want = Auto
	}
	if s.FPS == 0 {
		s.FPS = 15
	}
	if s.Bitrate == 0 {
		perSecond := float64(s.Width) * float64(s.Height) * s.FPS / 10
		s.Bitrate = int(min(max(perSecond, 250_000), 8_000_000))
	}
	if s.GOP == 0 {
		s.GOP = defaultGOP
	}
	if s.Program == "" {
		s.Program = "ffmpeg"
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	return s
}

func (s Settings) validate() error {
	switch s.Want {
	case Auto, H264, M2M, FFmpeg, MJPEG:
	default:
		return fmt.Errorf("encode: %q is none of auto, h264, m2m, ffmpeg and mjpeg", string(s.Want))
	}
	switch {
	case s.Width < minSide || s.Height < minSide || s.Width > maxSide || s.Height > maxSide:
		return fmt.Errorf("encode: a picture of %d×%d is not from %d×%[3]d to %d×%[4]d", s.Width, s.Height, minSide, maxSide)
	case s.Layout < capture.LayoutGrey || s.Layout > capture.LayoutYUYV:
		return fmt.Errorf("encode: pictures in %v cannot be read", s.Layout)
	case !(s.FPS > 0 && s.FPS <= 240): // NaN too
		return fmt.Errorf("encode: fps %v is not above 0 and at most 240", s.FPS)
	case s.GOP < 100*time.Millisecond || s.GOP > time.Minute:
		return fmt.Errorf("encode: %v between key frames is not from 100 ms to 1 min", s.GOP)
	}
	return checkBitrate(s.Bitrate)
}

func checkBitrate(bps int) error {
	if bps < minBitrate || bps > maxBitrate {
		return fmt.Errorf("encode: bit rate %d is not from %d to %d a second", bps, minBitrate, maxBitrate)
	}
	return nil
}

// gopFrames is the number of frames from one key frame to the next, at least 1.
func (s Settings) gopFrames() int {
	return int(max(1, math.Round(s.FPS*s.GOP.Seconds())))
}

// Choice is how pictures are encoded, and why so.
type Choice struct {
	// Kind is M2M, FFmpeg or MJPEG.
	Kind Kind
	// Device is the hardware encoder's node or the child's program; "" for MJPEG.
	Device string
	// Why is a sentence for people: what was chosen, and what was passed over for
	// which reason.
	Why string
}

// Source is a [capture.Source] of encoded pictures. Run may be called again after
// it has returned, if the raw source may.
type Source struct {
	raw      capture.RawSource
	settings Settings
	choice   Choice
	wishes   wishes
	dropped  atomic.Uint64
	restarts atomic.Uint64
}

// wishes are what an encoder is asked for while it runs; it looks before each
// picture.
type wishes struct {
	bitrate atomic.Int64
	key     atomic.Bool
}

// New checks the settings and chooses an encoder for the pictures of raw, which is
// not begun until Run. ctx bounds the look at what this machine has, a few seconds
// at most. An error names what is wanted and not there.
func New(ctx context.Context, raw capture.RawSource, s Settings) (*Source, error) {
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	choice, err := choose(ctx, s)
	if err != nil {
		return nil, err
	}
	out := &Source{raw: raw, settings: s, choice: choice}
	out.wishes.bitrate.Store(int64(s.Bitrate))
	return out, nil
}

// Choice returns what was chosen, and why.
func (s *Source) Choice() Choice { return s.choice }

// Format returns the encoding of the frames.
func (s *Source) Format() capture.Format {
	if s.choice.Kind == MJPEG {
		return capture.FormatMJPEG
	}
	return capture.FormatH264
}

// Size returns the frames' size in pixels.
func (s *Source) Size() (width, height int) {
	if s.choice.Kind == MJPEG {
		return s.settings.Width, s.settings.Height
	}
	return s.settings.Width &^ 1, s.settings.Height &^ 1
}

// Dropped returns how many pictures have been left out so far because the encoder
// had no room for them, or lost them. Frame.Seq jumps there.
func (s *Source) Dropped() uint64 { return s.dropped.Load() }

// Restarts returns how often a child that died has been started again.
func (s *Source) Restarts() uint64 { return s.restarts.Load() }

// RequestKey asks that one of the next frames be a key frame, and returns whether
// it can be had. A child cannot be asked: there the next one comes by itself, at
// most Settings.GOP later. With Motion JPEG every frame is one.
func (s *Source) RequestKey() bool {
	if s.choice.Kind == M2M {
		s.wishes.key.Store(true)
	}
	return s.choice.Kind != FFmpeg
}

// SetBitrate asks for another bit rate of H.264, in bits a second, 64,000 to
// 50,000,000. A hardware encoder takes it from the next picture on; a child is
// replaced, which costs some pictures and gives a key frame, so that it should not
// be asked for more than once in some seconds. For Motion JPEG it has no meaning.
func (s *Source) SetBitrate(bps int) error {
	if err := checkBitrate(bps); err != nil {
		return err
	}
	s.wishes.bitrate.Store(int64(bps))
	return nil
}

// session is one run of an encoder. All but run are called on the camera's
// goroutine.
type session interface {
	// ready says whether a picture can be taken in now. It does not wait.
	ready() bool
	// take takes a picture in, after ready, with a preview if it is to have one. r's
	// planes are the camera's; p is r, taken apart.
	take(r *capture.Raw, p picture, preview bool) error
	// finish says that no more pictures come.
	finish()
	// run hands frames to emit, in order, until all that was taken in has come out
	// after finish (nil), ctx is done (its error) or the encoder fails.
	run(ctx context.Context, emit func(capture.Frame)) error
	// close gives back what the session holds, after all else.
	close() error
}

// Run films and encodes until the raw source ends (nil), ctx is done (its error),
// or either fails.
func (s *Source) Run(ctx context.Context, emit func(capture.Frame)) error {
	enc, err := s.begin()
	if err != nil {
		return fmt.Errorf("begin to encode (%s): %w", s.choice.Kind, err)
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	var begun atomic.Bool
	go func() {
		err := enc.run(running, func(f capture.Frame) { begun.Store(true); emit(f) })
		cancel() // an encoder that has ended has no use for a camera
		ended <- err
	}()
	filming := s.film(running, enc, &begun)
	if filming != nil {
		cancel()
	}
	enc.finish()
	encoding := <-ended
	closing := enc.close()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case filming != nil && !errors.Is(filming, context.Canceled):
		return filming
	case encoding != nil:
		return fmt.Errorf("encode (%s): %w", s.choice.Kind, encoding)
	case filming != nil:
		return fmt.Errorf("encode (%s): %w", s.choice.Kind, errGone)
	case closing != nil:
		return fmt.Errorf("end encoding (%s): %w", s.choice.Kind, closing)
	}
	return nil
}

// errGone says that the encoder is no longer there.
var errGone = errors.New("the encoder has ended")

// begin opens the chosen encoder.
func (s *Source) begin() (session, error) {
	switch s.choice.Kind {
	case M2M:
		return s.beginM2M()
	case FFmpeg:
		return newHelper(s), nil
	default:
		return newJPEGs(s.settings), nil
	}
}

// film hands the camera's pictures to the encoder. Until the first frame has come
// out each gets a preview, since that one must have it, whichever it is.
func (s *Source) film(ctx context.Context, enc session, begun *atomic.Bool) error {
	var previews pace
	return s.raw.RunRaw(ctx, func(r *capture.Raw) error {
		if r.Width != s.settings.Width || r.Height != s.settings.Height || r.Layout != s.settings.Layout {
			return &capture.FaultError{Fault: capture.FaultUnsuitable, Err: fmt.Errorf(
				"the camera gives %v pictures of %d×%d now, and gave %v of %d×%d before",
				r.Layout, r.Width, r.Height, s.settings.Layout, s.settings.Width, s.settings.Height)}
		}
		p, err := takeApart(r)
		if err != nil {
			return &capture.FaultError{Fault: capture.FaultBroken, Err: err}
		}
		if !enc.ready() {
			s.dropped.Add(1)
			return nil
		}
		due := previews.due(r.Time)
		return enc.take(r, p, due || !begun.Load())
	})
}
