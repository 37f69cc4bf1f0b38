package encode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/internal/child"
	"github.com/lensward/lensward/internal/wait"
)

// Limits of supervision.
const (
	firstBackoff = time.Second
	longBackoff  = 30 * time.Second
	maxFailures  = 5                // starts without one frame, after which Run gives up
	stallAfter   = 20 * time.Second // a child that takes nothing and gives nothing is dead
	// maxStamp is when a child is replaced, at a key frame, in ms of its life: FLV's
	// timestamps end after 24 days.
	maxStamp = 1 << 30
)

// helper encodes by an ffmpeg child process.
type helper struct {
	source *Source
	desk   *desk
	held   *sheet // for the next child
	full   *ranges
	video  *ranges
	box    shrinker

	backoff  time.Duration // the first
	stall    time.Duration
	maxStamp uint64
}

func newHelper(s *Source) *helper {
	return &helper{
		source: s,
		desk:   newDesk(s.Size()),
		full:   toFull(), video: toVideo(),
		backoff: firstBackoff, stall: stallAfter, maxStamp: maxStamp,
	}
}

func (h *helper) ready() bool { return h.desk.ready() }

func (h *helper) take(r *capture.Raw, p picture, preview bool) error {
	s := h.desk.sheet()
	s.seq, s.time, s.preview = r.Seq, r.Time, nil
	asVideo := (*ranges)(nil)
	if r.Full {
		asVideo = h.video
	}
	h.box.into(s.img, p, 1, asVideo)
	if preview { // of the copy, whose samples lie closer together
		s.preview = h.box.smallPicture(componentsOf(s.img), h.full)
	}
	h.desk.hand(s)
	return nil
}

func (h *helper) finish() { h.desk.finish() }

func (h *helper) close() error { return nil }

// run starts children one after another. A child that dies is started again, after
// 1 s at first and 30 s at last; five in a row that have given no frame are the
// end.
func (h *helper) run(ctx context.Context, emit func(capture.Frame)) error {
	failures, backoff := 0, h.backoff
	for {
		if h.held == nil {
			s, err := h.desk.next(ctx, nil)
			if s == nil {
				return err
			}
			h.held = s
		}
		c := &ffmpeg{helper: h, emit: emit, flight: newFlight(), bitrate: int(h.source.wishes.bitrate.Load())}
		err := c.run(ctx)
		h.source.dropped.Add(uint64(c.flight.close()))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			continue // replaced in good order, or at the end of the pictures
		}
		h.source.restarts.Add(1)
		if c.frames > 0 {
			failures, backoff = 0, h.backoff
		} else if failures++; failures == maxFailures {
			return fmt.Errorf("no frame from ffmpeg in %d starts: %w", failures, err)
		}
		h.source.settings.Log.Warn("ffmpeg died; it is started again", "error", err, "after", backoff)
		if err := wait.For(ctx, backoff); err != nil {
			return err
		}
		h.discard()
		backoff = min(2*backoff, longBackoff)
	}
}

// discard frees the pictures that have grown old while no child was there.
func (h *helper) discard() {
	if h.held != nil {
		h.desk.giveBack(h.held)
		h.source.dropped.Add(1)
		h.held = nil
	}
	for {
		select {
		case s := <-h.desk.full:
			if s == nil {
				return
			}
			h.desk.giveBack(s)
			h.source.dropped.Add(1)
		default:
			return
		}
	}
}

// arguments are ffmpeg's. Nothing is guessed or buffered: format, size and rate
// are given, probing is off, and each frame is written out as soon as it is there.
// Key frames come by the clock of frames alone, without B-frames between.
func (h *helper) arguments(bitrate int) []string {
	s := h.source.settings
	width, height := h.source.Size()
	number := strconv.Itoa
	threads := max(1, min(4, runtime.NumCPU()-1)) // the camera needs one too
	return []string{
		"-hide_banner", "-loglevel", "error", "-nostats",
		"-protocol_whitelist", "pipe", "-probesize", "32", "-analyzeduration", "0",
		"-f", "rawvideo", "-pixel_format", "yuv420p",
		"-video_size", fmt.Sprintf("%dx%d", width, height),
		"-framerate", fmt.Sprintf("%d/1000", milliFPS(s.FPS)), "-i", "pipe:0",
		"-an", "-fps_mode", "passthrough", "-threads", number(threads),
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
		"-bf", "0", "-g", number(s.gopFrames()), "-keyint_min", number(s.gopFrames()), "-sc_threshold", "0",
		"-b:v", number(bitrate), "-maxrate", number(bitrate), "-bufsize", number(bitrate),
		"-color_range", "tv", "-colorspace", "smpte170m",
		"-flush_packets", "1", "-f", "flv", "-flvflags", "no_duration_filesize+no_metadata", "pipe:1",
	}
}

// milliFPS is a rate in frames in 1000 s, the form that ffmpeg and we count in.
func milliFPS(fps float64) uint64 { return uint64(max(1, math.Round(1000*fps))) }

// stampOf is the timestamp of a child's n-th picture in ms, as ffmpeg rounds it.
func stampOf(n, milli uint64) uint64 { return (n*1_000_000 + milli/2) / milli }

// indexOf is the reverse of stampOf. Rates of up to 240 leave no doubt.
func indexOf(stamp uint32, milli uint64) uint64 {
	return (uint64(stamp)*milli + 500_000) / 1_000_000
}

// ffmpeg is one run of the child.
type ffmpeg struct {
	helper  *helper
	emit    func(capture.Frame)
	flight  *flight
	bitrate int
	frames  int // emitted; read after run
}

// run starts the child, feeds it and hands on its frames. It returns nil at the
// end of the pictures, and when the child is to be replaced in good order.
func (c *ffmpeg) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := child.Start(ctx, child.Command{
		Program: c.helper.source.choice.Device, Args: c.helper.arguments(c.bitrate), Fed: true,
	})
	if err != nil {
		return err
	}
	defer p.Close()
	ended := make(chan struct{})
	var readErr error
	go func() {
		defer close(ended)
		if readErr = c.read(p.Output); readErr != nil {
			cancel()
		}
	}()
	feedErr := c.feed(ctx, p.Input, ended)
	p.Input.Close()
	if feedErr == nil {
		feedErr = c.drain(ctx, ended)
	}
	if feedErr != nil {
		cancel()
	}
	<-ended
	exitErr := p.Wait()
	switch {
	case readErr != nil:
		return p.Explain(readErr)
	case feedErr != nil && !errors.Is(feedErr, errGone) && !errors.Is(feedErr, os.ErrClosed):
		return p.Explain(feedErr)
	case exitErr != nil:
		return exitErr
	case feedErr != nil:
		return p.Explain(errGone)
	}
	return nil
}

// feed gives pictures to the child: nil is the end of them, or a child that is to
// be replaced. A picture that was not taken stays held.
func (c *ffmpeg) feed(ctx context.Context, input *os.File, ended <-chan struct{}) error {
	h := c.helper
	milli := milliFPS(h.source.settings.FPS)
	for n := uint64(0); ; n++ {
		if h.held == nil {
			s, err := h.desk.next(ctx, ended)
			if s == nil {
				return err
			}
			h.held = s
		}
		if int(h.source.wishes.bitrate.Load()) != c.bitrate || stampOf(n, milli) > h.maxStamp {
			return nil
		}
		s := h.held
		if err := c.admit(ctx, ended, ticket{n, s.seq, s.time, s.preview}); err != nil {
			return err
		}
		h.held = nil // in the child's hands, whole or not
		err := c.write(input, s)
		h.desk.giveBack(s)
		if err != nil {
			return err
		}
	}
}

// admit waits until there is room in the child, and has the picture in it.
func (c *ffmpeg) admit(ctx context.Context, ended <-chan struct{}, t ticket) error {
	timer := time.NewTimer(c.helper.stall)
	defer timer.Stop()
	for !c.flight.add(t) {
		select {
		case <-c.flight.room:
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return errGone
		case <-timer.C:
			return fmt.Errorf("no frame for %v", c.helper.stall)
		}
	}
	return nil
}

// write gives a picture to the child, which must take it in time.
func (c *ffmpeg) write(input *os.File, s *sheet) error {
	if err := input.SetWriteDeadline(time.Now().Add(c.helper.stall)); err != nil {
		return fmt.Errorf("feed ffmpeg: %w", err)
	}
	for _, plane := range [][]byte{s.img.Y, s.img.Cb, s.img.Cr} {
		if _, err := input.Write(plane); err != nil {
			return fmt.Errorf("feed ffmpeg: %w", err)
		}
	}
	return nil
}

// drain waits until the child, whose input is closed, has given all it has.
func (c *ffmpeg) drain(ctx context.Context, ended <-chan struct{}) error {
	timer := time.NewTimer(c.helper.stall)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("no end for %v after the last picture", c.helper.stall)
	}
}

// read emits the child's frames until it ends.
func (c *ffmpeg) read(output io.Reader) error {
	w, h := c.helper.source.Size()
	milli := milliFPS(c.helper.source.settings.FPS)
	stream := newFLVReader(output)
	for {
		f, err := stream.next()
		if errors.Is(err, io.EOF) { // a child that was killed ends anywhere, and says so by its exit
			return nil
		}
		if err != nil {
			return fmt.Errorf("read ffmpeg's frames: %w", err)
		}
		t, lost, ok := c.flight.land(indexOf(f.stamp, milli))
		c.helper.source.dropped.Add(uint64(lost))
		if !ok {
			return fmt.Errorf("a frame from ffmpeg is of no picture: its timestamp is %d ms", f.stamp)
		}
		if c.frames == 0 && !f.key {
			return errors.New("ffmpeg's first frame is no key frame")
		}
		c.frames++
		c.emit(capture.Frame{
			Seq: t.seq, Time: t.time, Format: capture.FormatH264,
			Width: w, Height: h, Key: f.key, Data: f.data, Preview: t.preview,
		})
	}
}
