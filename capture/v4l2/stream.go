//go:build linux

package v4l2

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/videodev"
	"github.com/lensward/lensward/internal/wait"
)

const (
	// buffers is how many pictures the driver may hold: enough to ride out a short
	// stall, few enough not to show the past.
	buffers = 4
	// silence is how long a camera may give nothing.
	silence = 10 * time.Second
	// maxBroken is how many pictures one after another may be broken.
	maxBroken = 50
	// maxAge is the oldest a driver's timestamp is believed to be.
	maxAge = 10 * time.Second
	// idleStep is how long a driver is left alone that called itself ready, and was not.
	idleStep = 5 * time.Millisecond
	// maxGap is the longest jump of a driver's sequence number that is believed.
	maxGap = 10_000
)

// stream runs the camera: it opens it, has buffers filled and hands them on until
// ctx is done or something fails. Everything is given back before it returns.
func (c *Camera) stream(ctx context.Context, t taker) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	dev, f, err := c.connect()
	if err != nil {
		return err
	}
	defer func() { err = c.ended(ctx, err, dev.Close()) }()
	if !f.mode.same(c.mode) {
		return fmt.Errorf("set up camera %s: it gives %v %d×%d now and gave %v %d×%d before", dev.Path(),
			f.mode.PixelFormat, f.mode.Width, f.mode.Height, c.mode.PixelFormat, c.mode.Width, c.mode.Height)
	}
	c.settings.Controls.apply(c.settings.system.knobs, dev.Path(), c.settings.Log)
	queue, err := dev.NewQueue(f.kind, buffers)
	if err != nil {
		return fmt.Errorf("get buffers: %w", err)
	}
	defer func() { err = c.ended(ctx, err, queue.Close()) }()
	if err := queue.EnqueueAll(); err != nil {
		return fmt.Errorf("hand in buffers: %w", err)
	}
	if err := queue.Start(); err != nil {
		return fmt.Errorf("start camera: %w", err)
	}
	r := reader{camera: c, dev: dev, queue: queue, taker: t, picture: picture{format: f}}
	for {
		if err := r.next(ctx); err != nil {
			return err
		}
	}
}

// ended is what a run ended with: ctx's error if that is why, else the camera's,
// by its name. What fails in giving things back after another error, or after the
// camera went, is told only to the log.
func (c *Camera) ended(ctx context.Context, err, closing error) error {
	switch {
	case closing == nil:
	case err == nil:
		err = closing
	default:
		c.settings.Log.Debug("closing the camera", "error", closing)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fault(err)
}

// reader is the state of one stream.
type reader struct {
	camera  *Camera
	dev     *videodev.Device
	queue   *videodev.Queue
	taker   taker
	picture picture

	begun    bool
	sequence uint32        // the driver's number of the picture before
	bad      int           // broken pictures one after another
	idle     time.Duration // spent on a driver that called itself ready, since the last picture
}

// next waits for a picture and hands it on.
func (r *reader) next(ctx context.Context) error {
	events, err := r.dev.Wait(ctx, videodev.Readable, silence)
	switch {
	case err != nil:
		return err
	case events == 0:
		return r.silent()
	case events&videodev.Gone != 0:
		return fmt.Errorf("camera %s: %w", r.dev.Path(), unix.ENODEV)
	}
	b, err := r.queue.Dequeue()
	switch {
	case errors.Is(err, videodev.ErrNotReady) && events&videodev.Failed != 0:
		return fmt.Errorf("camera %s: the driver gave up", r.dev.Path())
	case errors.Is(err, videodev.ErrNotReady): // a driver that is ready for nothing must not spin us
		return r.spare(ctx)
	case errors.Is(err, unix.EIO) && events&videodev.Failed == 0: // a passing fault, by the specification
		return r.fault(err)
	case err != nil:
		return fmt.Errorf("take picture: %w", err)
	}
	r.idle = 0
	if err := r.hand(b); err != nil {
		return err
	}
	if err := r.queue.Enqueue(b.Index); err != nil {
		return fmt.Errorf("hand in buffer: %w", err)
	}
	return nil
}

// spare lets a moment pass after the driver had nothing to give.
func (r *reader) spare(ctx context.Context) error {
	if r.idle += idleStep; r.idle >= silence {
		return r.silent()
	}
	return wait.For(ctx, idleStep)
}

func (r *reader) silent() error {
	return &capture.FaultError{Fault: capture.FaultSilent, Err: fmt.Errorf("camera %s: no picture for %v", r.dev.Path(), silence)}
}

// hand gives a buffer's picture to the taker.
func (r *reader) hand(b videodev.Buffer) error {
	r.count(b)
	if b.Flags&videodev.Broken != 0 {
		return r.fault(errors.New("the driver marks it as damaged"))
	}
	r.picture.planes, r.picture.time = b.Planes, r.taken(b)
	if used(b) == 0 {
		return r.fault(errors.New("it is empty"))
	}
	faulty, err := r.taker.take(&r.picture)
	if err != nil {
		return err
	}
	if faulty != nil {
		return r.fault(faulty)
	}
	r.bad, r.picture.gap = 0, false
	return nil
}

// used is how many bytes a buffer's picture has.
func used(b videodev.Buffer) int {
	n := 0
	for _, plane := range b.Planes {
		n += len(plane)
	}
	return n
}

// count moves the picture's number on by the driver's, where that makes sense: some
// drivers do not count.
func (r *reader) count(b videodev.Buffer) {
	step := b.Sequence - r.sequence
	r.sequence = b.Sequence
	if !r.begun {
		r.begun = true
		return
	}
	if step < 1 || step > maxGap {
		step = 1
	}
	r.picture.seq += uint64(step)
	if step > 1 {
		r.picture.gap = true
		r.camera.lost.Add(uint64(step - 1))
	}
}

// taken is when the picture was taken, by the driver's clock where that makes
// sense. Time does not go backwards from one picture to the next.
func (r *reader) taken(b videodev.Buffer) time.Time {
	now := time.Now()
	at := now
	if b.Flags.TimestampKind() == videodev.Monotonic {
		if age := r.dev.Age(b.Timestamp); age >= 0 && age <= maxAge {
			at = now.Add(-age)
		}
	}
	if at.Before(r.picture.time) {
		at = r.picture.time
	}
	return at
}

// fault counts a picture that is left out, and says when it was one too many.
func (r *reader) fault(reason error) error {
	r.picture.gap = true
	if r.camera.broken.Add(1) == 1 {
		r.camera.settings.Log.Warn("broken picture left out", "camera", r.dev.Path(), "reason", reason)
	}
	if r.bad++; r.bad >= maxBroken {
		return &capture.FaultError{
			Fault: capture.FaultBroken,
			Err:   fmt.Errorf("camera %s: %d broken pictures one after another: %w", r.dev.Path(), r.bad, reason),
		}
	}
	return nil
}
