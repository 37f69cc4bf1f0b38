package encode

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/internal/annexb"
	"github.com/lensward/lensward/capture/videodev"
)

const (
	inputBuffers  = 3 // raw pictures: what a camera of 30 fps gives in 100 ms
	outputBuffers = 4
	// encoderQuiet is how long an encoder that has pictures may give no frame.
	encoderQuiet = 5 * time.Second
	// turn is how long is waited at a time for what has no event of its own.
	turn = 200 * time.Millisecond
	// firstStamp is the time of the first picture: drivers take 0 for none.
	firstStamp = time.Second
)

// m2m is one run of a hardware encoder, by the order of V4L2's "Memory-to-Memory
// Stateful Video Encoder Interface". The raw queue and the controls belong to the
// camera's goroutine, the frames and all waiting to run's.
type m2m struct {
	source  *Source
	dev     *videodev.Device
	raw     *videodev.Queue // pictures in
	frames  *videodev.Queue // frames out
	full    *ranges
	box     shrinker
	writer  *writer
	flight  *flight
	free    []int // buffers of raw
	bitrate int64
	stamp   time.Duration // of the last picture
	taken   time.Time     // Time of the last picture
	fault   error         // of the raw queue, found by ready

	stopped    chan struct{} // closed by finish
	parameters []byte        // SPS and PPS with start codes
	begun      bool          // a key frame has been emitted
}

// beginM2M opens the encoder and sets it up. It takes what the driver makes of the
// formats, where that suits.
func (s *Source) beginM2M() (session, error) {
	kernel, _ := s.settings.hardware.open()
	dev, err := videodev.Open(kernel, s.choice.Device)
	if err != nil {
		return nil, err
	}
	m := &m2m{
		source: s, dev: dev, full: toFull(), flight: newFlight(), stamp: firstStamp,
		bitrate: s.wishes.bitrate.Load(), stopped: make(chan struct{}),
	}
	if err := m.setUp(); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *m2m) setUp() error {
	in, out := queueTypes(m.dev.Capability())
	if err := m.setFormats(in, out); err != nil {
		return err
	}
	if err := m.setControls(); err != nil {
		return err
	}
	var err error
	if m.raw, err = m.dev.NewQueue(in, inputBuffers); err != nil {
		return fmt.Errorf("get buffers for pictures: %w", err)
	}
	if m.frames, err = m.dev.NewQueue(out, outputBuffers); err != nil {
		return fmt.Errorf("get buffers for frames: %w", err)
	}
	for i := range m.raw.Len() {
		m.free = append(m.free, i)
	}
	if err := m.frames.EnqueueAll(); err != nil {
		return fmt.Errorf("hand in buffers for frames: %w", err)
	}
	if err := m.raw.Start(); err != nil {
		return fmt.Errorf("start the encoder: %w", err)
	}
	if err := m.frames.Start(); err != nil {
		return fmt.Errorf("start the encoder: %w", err)
	}
	return nil
}

// setFormats sets what comes out first, as the interface wants it, then what goes
// in, and the rate.
func (m *m2m) setFormats(in, out videodev.BufferType) error {
	s := m.source.settings
	w, h := m.source.Size()
	// A frame must fit into one buffer: half a raw picture does for the worst.
	coded, err := m.dev.SetFormat(out, videodev.Format{PixelFormat: videodev.H264, Width: w, Height: h,
		Field: videodev.Progressive, Planes: []videodev.PlaneFormat{{Size: max(w*h*3/4, 512<<10)}}})
	if err != nil {
		return fmt.Errorf("set the format of frames: %w", err)
	}
	if coded.PixelFormat != videodev.H264 {
		return fmt.Errorf("set the format of frames: the encoder gives %v, not H.264", coded.PixelFormat)
	}
	want, err := shapeFor(m.dev, in, s)
	if err != nil {
		return fmt.Errorf("set the format of pictures: the encoder %w", err)
	}
	f, err := m.dev.SetFormat(in, want.format)
	if err != nil {
		return fmt.Errorf("set the format of pictures: %w", err)
	}
	made, err := newShape(f, want.format.PixelFormat, w, h)
	if err != nil {
		return fmt.Errorf("set the format of pictures: the encoder %w", err)
	}
	m.writer = newWriter(made)
	rate := videodev.Fraction{Numerator: 1000, Denominator: uint32(milliFPS(s.FPS))}
	if _, err := m.dev.SetFrameInterval(in, rate); err != nil {
		m.source.settings.Log.Warn("the encoder takes no frame rate", "encoder", m.dev.Path(), "error", err)
	}
	return nil
}

// Values of the controls (v4l2-controls.h).
const (
	bitrateConstant     = 1
	headersJoined       = 1
	profileConstrained  = 1 // constrained baseline, which every viewer decodes
	level4, level42, l5 = 11, 13, 15
)

// setControls sets the controls that the encoder has. Only the bit rate must be
// there; one that is refused is told of.
func (m *m2m) setControls() error {
	s := m.source.settings
	blocks := float64((s.Width+15)/16*((s.Height+15)/16)) * s.FPS // macroblocks a second: ITU-T H.264, table A-1
	level := int64(level4)
	if blocks > 245_760 {
		level = level42
	}
	if blocks > 522_240 {
		level = l5
	}
	gop := int64(s.gopFrames())
	for _, c := range []struct {
		id    uint32
		name  string
		value int64
		must  bool
	}{
		{videodev.ControlBitrateMode, "bit rate mode", bitrateConstant, false},
		{videodev.ControlBitrate, "bit rate", m.bitrate, true},
		{videodev.ControlH264Profile, "profile", profileConstrained, false},
		{videodev.ControlH264Level, "level", level, false},
		{videodev.ControlBFrames, "B-frames", 0, false},
		{videodev.ControlGOPSize, "key frame distance", gop, false},
		{videodev.ControlH264IPeriod, "I-frame distance", gop, false},
		{videodev.ControlHeaderMode, "header mode", headersJoined, false},
		{videodev.ControlRepeatSequenceHeader, "headers with each key frame", 1, false},
	} {
		has, ok, err := m.dev.Control(c.id)
		if err == nil && ok {
			err = m.dev.SetValue(c.id, has.Clamp(c.value))
		} else if err == nil && c.must {
			err = errors.New("the encoder has no such control")
		}
		if err != nil && c.must {
			return fmt.Errorf("set the %s: %w", c.name, err)
		}
		if err != nil {
			s.Log.Warn("the encoder refuses a setting", "encoder", m.dev.Path(), "setting", c.name, "value", c.value, "error", err)
		}
	}
	return nil
}

// ready takes back the buffers whose pictures are encoded. A fault there waits for
// take.
func (m *m2m) ready() bool {
	for m.fault == nil {
		b, err := m.raw.Dequeue()
		if errors.Is(err, videodev.ErrNotReady) {
			break
		}
		if err != nil {
			m.fault = fmt.Errorf("take back a picture: %w", err)
			break
		}
		m.free = append(m.free, b.Index)
	}
	return m.fault != nil || len(m.free) > 0 && m.flight.hasRoom()
}

func (m *m2m) take(r *capture.Raw, p picture, preview bool) error {
	if m.fault != nil {
		return m.fault
	}
	if err := m.obey(); err != nil {
		return err
	}
	index := m.free[len(m.free)-1]
	if err := m.writer.write(m.raw.Memory(index), r, p); err != nil {
		return err
	}
	m.advance(r.Time)
	t := ticket{n: uint64(m.stamp / time.Microsecond), seq: r.Seq, time: r.Time}
	if preview {
		full := m.full
		if r.Full {
			full = nil
		}
		t.preview = m.box.smallPicture(p, full)
	}
	m.flight.add(t) // before the encoder has it: its frame may come at once
	if err := m.raw.Submit(index, m.writer.shape.sizes(), m.stamp); err != nil {
		return fmt.Errorf("hand in a picture: %w", err)
	}
	m.free = m.free[:len(m.free)-1]
	return nil
}

// obey asks the encoder for what was wished for meanwhile. A wish that is refused
// is told of, and no more.
func (m *m2m) obey() error {
	log := m.source.settings.Log
	if rate := m.source.wishes.bitrate.Load(); rate != m.bitrate {
		m.bitrate = rate
		if err := m.dev.SetValue(videodev.ControlBitrate, int32(min(rate, math.MaxInt32))); err != nil {
			if gone(err) {
				return fmt.Errorf("set the bit rate: %w", err)
			}
			log.Warn("the encoder refuses a bit rate", "encoder", m.dev.Path(), "bitrate", rate, "error", err)
		}
	}
	if m.source.wishes.key.Swap(false) {
		if err := m.dev.SetValue(videodev.ControlForceKeyFrame, 1); err != nil {
			if gone(err) {
				return fmt.Errorf("ask for a key frame: %w", err)
			}
			log.Warn("the encoder gives no key frame on request", "encoder", m.dev.Path(), "error", err)
		}
	}
	return nil
}

// advance makes the next picture's stamp: by the camera's time, in whole
// microseconds, always later than the last and never by more than 10 s, whatever
// becomes of the clock.
func (m *m2m) advance(at time.Time) {
	const most = 10 * time.Second
	step := at.Sub(m.taken).Truncate(time.Microsecond)
	if step <= 0 || step > most {
		step = time.Duration(float64(time.Second) / m.source.settings.FPS).Truncate(time.Microsecond)
	}
	m.stamp += step
	m.taken = at
}

// finish has the encoder give what it still holds.
func (m *m2m) finish() {
	close(m.stopped)                            // before the encoder can say which is its last
	if err := m.dev.EncoderStop(); err != nil { // run waits until all is out, or for long enough
		m.source.settings.Log.Debug("the encoder does not take a stop", "encoder", m.dev.Path(), "error", err)
	}
}

func (m *m2m) close() error {
	var errs []error
	for _, q := range []*videodev.Queue{m.raw, m.frames} {
		if q != nil {
			errs = append(errs, q.Close())
		}
	}
	m.source.dropped.Add(uint64(m.flight.close()))
	return errors.Join(append(errs, m.dev.Close())...)
}

// run hands on the encoder's frames.
func (m *m2m) run(ctx context.Context, emit func(capture.Frame)) error {
	quiet := time.Duration(0) // with pictures in the encoder and no frame out of it
	for {
		events, err := m.dev.Wait(ctx, videodev.Readable, turn)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case events&videodev.Gone != 0:
			return errors.New("the encoder is gone")
		case events&videodev.Failed != 0:
			return errors.New("the encoder's driver has given up")
		}
		last, err := m.collect(emit)
		if err != nil {
			return err
		}
		select {
		case <-m.stopped:
			if last || m.flight.empty() {
				return nil
			}
		default:
			if last {
				return errors.New("the encoder has ended by itself")
			}
		}
		if quiet += turn; events != 0 || m.flight.empty() {
			quiet = 0
		}
		if quiet >= encoderQuiet {
			return fmt.Errorf("no frame for %v", quiet)
		}
	}
}

// collect hands on the frames that are there, and returns whether the encoder has
// said that none follows.
func (m *m2m) collect(emit func(capture.Frame)) (last bool, err error) {
	for {
		b, err := m.frames.Dequeue()
		switch {
		case errors.Is(err, videodev.ErrNotReady):
			return false, nil
		case errors.Is(err, unix.EPIPE): // after the last
			return true, nil
		case err != nil:
			return false, fmt.Errorf("take a frame: %w", err)
		}
		f, ok, err := m.frame(b)
		if err != nil {
			return false, err
		}
		last := b.Flags&videodev.Last != 0
		if !last {
			if err := m.frames.Enqueue(b.Index); err != nil {
				return false, fmt.Errorf("hand in a buffer for frames: %w", err)
			}
		}
		if ok {
			emit(f)
		}
		if last {
			return true, nil
		}
	}
}

// frame makes a frame of a buffer; false is one without, or with one that is left
// out.
func (m *m2m) frame(b videodev.Buffer) (capture.Frame, bool, error) {
	if len(b.Planes) > 0 && len(b.Planes[0]) == 0 && b.Flags&videodev.Broken == 0 {
		return capture.Frame{}, false, nil // as the last one may be
	}
	var data []byte
	if len(b.Planes) > 0 {
		data = b.Planes[0]
	}
	has := annexb.Look(data)
	if has.Parameters != nil {
		m.parameters = has.Parameters
	}
	if !has.Picture && b.Flags&videodev.Broken == 0 {
		return capture.Frame{}, false, nil // headers of their own
	}
	t, lost, ok := m.flight.land(uint64(b.Timestamp / time.Microsecond))
	m.source.dropped.Add(uint64(lost))
	if b.Flags&videodev.Broken != 0 { // what follows leans on it
		if ok {
			m.source.dropped.Add(1)
		}
		m.source.wishes.key.Store(true)
		return capture.Frame{}, false, nil
	}
	if !ok {
		return capture.Frame{}, false, fmt.Errorf("a frame is of no picture: its time is %v", b.Timestamp)
	}
	if m.begun = m.begun || has.IDR; !m.begun {
		m.source.dropped.Add(1)
		m.source.wishes.key.Store(true)
		return capture.Frame{}, false, nil
	}
	var before []byte
	if has.IDR && has.Parameters == nil {
		if before = m.parameters; before == nil {
			return capture.Frame{}, false, errors.New("a key frame has no parameter sets")
		}
	}
	w, h := m.source.Size()
	return capture.Frame{
		Seq: t.seq, Time: t.time, Format: capture.FormatH264, Width: w, Height: h,
		Key: has.IDR, Data: slices.Concat(before, data), Preview: t.preview,
	}, true, nil
}

// gone says that an error is of a device that is no longer there.
func gone(err error) bool { return errors.Is(err, unix.ENODEV) }
