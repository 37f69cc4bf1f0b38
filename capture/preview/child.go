package preview

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/internal/annexb"
	process "github.com/lensward/lensward/capture/internal/child"
)

// Timestamps begin a while after 0, so that a picture may be shown a little
// before the first one, and each frame is decoded a while before it is shown, so
// that the order of decoding and that of showing can differ.
const (
	stampOrigin = 20_000 // ms
	decodeLead  = 10_000 // ms
	// maxUnknown is how many pictures in a row may have a timestamp that nothing was
	// sent with: a wall clock that was set back makes ffmpeg doubt them all.
	maxUnknown = 8
)

// child is one run of ffmpeg.
type child struct {
	decoder  *Decoder
	emit     func(Picture)
	flight   *flight
	pictures int // emitted; read after run

	began         time.Time // Time of the first frame
	newest        stamp     // the highest timestamp so far
	fed           uint64
	configuration []byte
}

func newChild(d *Decoder, emit func(Picture)) *child {
	return &child{decoder: d, emit: emit, flight: newFlight(d.settings.InFlight)}
}

// arguments are ffmpeg's. Nothing is guessed or buffered: format and size are
// given, probing is off, one thread decodes, and each picture is written out as
// soon as it is there.
func (d *Decoder) arguments() []string {
	out := []string{"-fps_mode", "passthrough", "-enc_time_base", "1:1000", "-threads", "1", "-flush_packets", "1"}
	// Means over areas, as the means of a JPEG's blocks are; then full range.
	graph := fmt.Sprintf("[0:v]scale=%d:%d:flags=area:out_range=full:out_color_matrix=bt601,format=yuv420p,split[pixels][clock];[clock]crop=2:2[times]",
		d.width, d.height)
	args := []string{
		"-hide_banner", "-loglevel", "error", "-nostats",
		"-protocol_whitelist", "pipe", "-probesize", "32", "-analyzeduration", "0",
		"-copyts", "-threads", "1", "-f", "flv", "-i", "pipe:0",
		"-filter_complex_threads", "1", "-filter_complex", graph,
		"-map", "[pixels]",
	}
	args = append(args, out...)
	args = append(args, "-f", "rawvideo", "pipe:1", "-map", "[times]")
	args = append(args, out...)
	return append(args, "-f", "mkvtimestamp_v2", "pipe:3")
}

// run starts ffmpeg, feeds it and hands on its pictures. It returns nil at the
// end of the frames, and when the child is to be replaced in good order.
func (c *child) run(ctx context.Context, feed *feeder) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := process.Start(ctx, process.Command{
		Program: c.decoder.settings.Program, Args: c.decoder.arguments(), Fed: true, Second: true,
	})
	if err != nil {
		return err
	}
	defer p.Close()
	ended := make(chan struct{})
	var readErr error
	go func() {
		defer close(ended)
		readErr = c.read(p.Output, p.Second, cancel)
	}()
	feedErr := c.feed(ctx, feed, p.Input, ended)
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
		return readErr
	case feedErr != nil && !errors.Is(feedErr, errChildEnded) && !errors.Is(feedErr, os.ErrClosed):
		return p.Explain(feedErr)
	case exitErr != nil:
		return exitErr
	case feedErr != nil:
		return p.Explain(errChildEnded)
	}
	return nil
}

// feed gives frames to the child: nil is the end of the frames, or a child that
// has had its share.
func (c *child) feed(ctx context.Context, feed *feeder, input *os.File, ended <-chan struct{}) error {
	if err := c.write(input, flvHeader()); err != nil {
		return err
	}
	for {
		frame, ok, err := feed.take(ctx, ended)
		if err != nil || !ok {
			return err
		}
		if c.fed >= c.decoder.framesAChild && frame.Key {
			feed.held = &frame
			return nil
		}
		units := slices.Collect(annexb.Units(frame.Data))
		record, err := c.record(frame, units)
		if err != nil {
			c.decoder.settings.Log.Warn("frame cannot be decoded", "seq", frame.Seq, "reason", err)
			c.decoder.lost.Add(1)
			feed.skipped = true
			continue
		}
		c.fed++
		wants, ok := c.stampOf(frame.Time)
		if !ok { // the clock was set, or weeks have passed
			if frame.Key {
				feed.held = &frame
			} else {
				c.decoder.lost.Add(1)
			}
			return nil
		}
		at, err := c.admit(ctx, ended, wants, ticket{frame.Seq, frame.Time})
		if err != nil {
			return err
		}
		if err := c.write(input, c.tags(frame.Key, record, units, at)); err != nil {
			return err
		}
	}
}

// record returns the decoder configuration that a frame brings, nil if there is
// none or it is the one that holds already.
func (c *child) record(frame capture.Frame, units [][]byte) ([]byte, error) {
	if len(units) == 0 {
		return nil, errors.New("it has no H.264 units")
	}
	if !frame.Key {
		return nil, nil
	}
	record, err := configuration(units)
	if err != nil || bytes.Equal(record, c.configuration) {
		return nil, err
	}
	c.configuration = record
	return record, nil
}

// stampOf returns the timestamp that a time should have; false is one that is
// too far from the first.
func (c *child) stampOf(at time.Time) (stamp, bool) {
	if c.began.IsZero() {
		c.began = at
	}
	ms := at.Sub(c.began).Milliseconds() + stampOrigin
	return stamp(ms), ms >= stampOrigin-decodeLead && ms < math.MaxInt32-decodeLead
}

// admit waits until there is room in the decoder.
func (c *child) admit(ctx context.Context, ended <-chan struct{}, wants stamp, t ticket) (stamp, error) {
	timer := time.NewTimer(c.decoder.stall)
	defer timer.Stop()
	for {
		if at, ok := c.flight.add(wants, t); ok {
			return at, nil
		}
		select {
		case <-c.flight.room:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-ended:
			return 0, errChildEnded
		case <-timer.C:
			return 0, fmt.Errorf("no picture for %v", c.decoder.stall)
		}
	}
}

// tags is what a frame is in FLV, after its decoder configuration if that is new.
func (c *child) tags(key bool, record []byte, units [][]byte, at stamp) []byte {
	c.newest = max(c.newest, at)
	decode := c.newest - decodeLead
	kind := byte(frameInter)
	if key {
		kind = frameKey
	}
	var out []byte
	if record != nil {
		out = flvTag(kind, packetSequence, decode, 0, record)
	}
	return append(out, flvTag(kind, packetUnits, decode, int32(at-decode), withLengths(units))...)
}

// write gives bytes to the child, which must take them in time.
func (c *child) write(input *os.File, data []byte) error {
	if err := input.SetWriteDeadline(time.Now().Add(c.decoder.stall)); err != nil {
		return fmt.Errorf("feed ffmpeg: %w", err)
	}
	if _, err := input.Write(data); err != nil {
		return fmt.Errorf("feed ffmpeg: %w", err)
	}
	return nil
}

// drain waits until the child, whose input is closed, has given all it has.
func (c *child) drain(ctx context.Context, ended <-chan struct{}) error {
	for before := c.flight.count(); ; {
		timer := time.NewTimer(c.decoder.stall)
		select {
		case <-ended:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		now := c.flight.count()
		if now == before {
			return fmt.Errorf("no picture for %v at the end", c.decoder.stall)
		}
		before = now
	}
}

// read puts pixels and timestamps together and emits pictures until both pipes
// end. The pipes are read apart: ffmpeg may fill one while the other is waited
// for. When what comes makes no sense, it kills the child, which ends the pipes.
func (c *child) read(pixels, stamps io.Reader, kill func()) error {
	images := make(chan *image.YCbCr, 4)
	times := make(chan stamp, c.decoder.settings.InFlight)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var pixelErr, stampErr error
	wg.Go(func() {
		defer close(images)
		if pixelErr = c.readPixels(pixels, images, stop); pixelErr != nil {
			kill()
		}
	})
	wg.Go(func() {
		defer close(times)
		if stampErr = readStamps(stamps, times, stop); stampErr != nil {
			kill()
		}
	})
	err := c.join(images, times)
	if err != nil {
		kill()
	}
	close(stop)
	wg.Wait()
	return errors.Join(err, pixelErr, stampErr)
}

// join emits each image with the frame that its timestamp leads to.
func (c *child) join(images <-chan *image.YCbCr, times <-chan stamp) error {
	for unknown := 0; ; {
		img, more := <-images
		at, timed := <-times
		if !more || !timed {
			return nil
		}
		t, lost, ok := c.flight.land(at)
		c.decoder.lost.Add(uint64(lost))
		if !ok {
			if unknown++; unknown == maxUnknown {
				return fmt.Errorf("%d pictures with timestamps that no frame has", unknown)
			}
			continue
		}
		unknown = 0
		c.pictures++
		c.emit(Picture{Seq: t.seq, Time: t.time, Image: img})
	}
}

// readPixels reads planar 4:2:0 pictures.
func (c *child) readPixels(from io.Reader, to chan<- *image.YCbCr, stop <-chan struct{}) error {
	width, height := c.decoder.Size()
	luma, chroma := width*height, width*height/4
	in := bufio.NewReaderSize(from, 64<<10)
	for {
		buf := make([]byte, luma+2*chroma)
		if _, err := io.ReadFull(in, buf); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrClosed) {
				return nil
			}
			return fmt.Errorf("read pictures from ffmpeg: %w", err)
		}
		img := &image.YCbCr{
			Y: buf[:luma:luma], Cb: buf[luma : luma+chroma : luma+chroma], Cr: buf[luma+chroma:],
			YStride: width, CStride: width / 2,
			SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: image.Rect(0, 0, width, height),
		}
		select {
		case to <- img:
		case <-stop:
			return nil
		}
	}
}

// readStamps reads timestamps in mkvtoolnix's format 2: a comment, then one line
// of milliseconds a picture.
func readStamps(from io.Reader, to chan<- stamp, stop <-chan struct{}) error {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms < 0 || ms > math.MaxInt32 {
			return fmt.Errorf("read timestamps from ffmpeg: %q is not one", text)
		}
		select {
		case to <- stamp(ms):
		case <-stop:
			return nil
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("read timestamps from ffmpeg: %w", err)
	}
	return nil
}
