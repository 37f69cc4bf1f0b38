//go:build linux

package videodevtest

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture/videodev"
)

// Encoder is a made-up memory-to-memory encoder, multi-planar as the Raspberry
// Pi's bcm2835-codec: rows padded to 32 bytes, heights to 16, all of a raw picture's
// planes in one buffer. Its exported fields are set before AddEncoder.
type Encoder struct {
	Card string
	// Inputs are the raw formats; the default is YU12, NV12 and YUYV.
	Inputs []videodev.PixelFormat
	// Controls are those that it has; EncoderControls is the default.
	Controls []*Control
	// Hold is how many pictures it keeps before it gives the first.
	Hold int
	// Encode makes the n-th picture, from 0, of what was handed in. The default is an
	// access unit of a plausible form.
	Encode func(n int, f videodev.Format, planes [][]byte, key bool) []byte
	// Flags are added to those of the n-th frame.
	Flags func(n int) videodev.BufferFlags
	// Stuck has it take pictures and give nothing.
	Stuck bool

	in, out  queue
	fraction videodev.Fraction
	held     []frame
	n        int
	sequence uint32
	forced   bool
	stopping bool
	wants    []videodev.EventType
	events   []videodev.Event
}

// frame is an encoded picture that has not been given yet.
type frame struct {
	data  []byte
	flags videodev.BufferFlags
	stamp time.Duration
}

// EncoderControls are the controls of a Pi's encoder.
func EncoderControls() []*Control {
	whole := func(id uint32, name string, low, high, value int64) *Control {
		return &Control{Control: videodev.Control{ID: id, Name: name, Type: videodev.Integer, Min: low, Max: high, Step: 1, Default: value}, Value: int32(value)}
	}
	return []*Control{
		whole(videodev.ControlBitrateMode, "Video Bitrate Mode", 0, 1, 0),
		whole(videodev.ControlBitrate, "Video Bitrate", 25_000, 25_000_000, 10_000_000),
		whole(videodev.ControlHeaderMode, "Sequence Header Mode", 1, 1, 1),
		whole(videodev.ControlRepeatSequenceHeader, "Repeat Sequence Header", 0, 1, 0),
		{Control: videodev.Control{ID: videodev.ControlForceKeyFrame, Name: "Force Key Frame", Type: videodev.Button}},
		whole(videodev.ControlH264IPeriod, "H264 I-Frame Period", 0, 0x7fffffff, 60),
		whole(videodev.ControlH264Level, "H264 Level", 0, 15, 11),
		whole(videodev.ControlH264Profile, "H264 Profile", 0, 4, 4),
	}
}

// AddEncoder plugs an encoder in.
func (k *Kernel) AddEncoder(path string, e *Encoder) {
	if e.Inputs == nil {
		e.Inputs = []videodev.PixelFormat{videodev.YU12, videodev.NV12, videodev.YUYV}
	}
	if e.Controls == nil {
		e.Controls = EncoderControls()
	}
	if e.Encode == nil {
		e.Encode = e.plausible
	}
	e.fraction = videodev.Fraction{Numerator: 1, Denominator: 30}
	e.in = queue{kind: videodev.OutputMultiplanar, format: e.adjust(videodev.OutputMultiplanar, videodev.Format{PixelFormat: e.Inputs[0], Width: 640, Height: 480})}
	e.out = queue{kind: videodev.CaptureMultiplanar, format: e.adjust(videodev.CaptureMultiplanar, videodev.Format{Width: 640, Height: 480})}
	k.add(path, e)
}

// plausible makes an access unit: parameter sets as the control wants them, and a
// slice that says which it is.
func (e *Encoder) plausible(n int, _ videodev.Format, _ [][]byte, key bool) []byte {
	var au []byte
	if key && (n == 0 || e.value(videodev.ControlRepeatSequenceHeader) != 0) {
		au = append(au, 0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe4)
		au = append(au, 0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80)
	}
	kind := byte(0x41)
	if key {
		kind = 0x65
	}
	return append(au, 0, 0, 0, 1, kind, 0x88, byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)|0x80)
}

func (e *Encoder) value(id uint32) int32 {
	for _, c := range e.Controls {
		if c.ID == id {
			return c.Value
		}
	}
	return 0
}

func (e *Encoder) capability() videodev.Capability {
	card := e.Card
	if card == "" {
		card = "bcm2835-codec-encode"
	}
	return videodev.Capability{Driver: "bcm2835-codec", Card: card, Bus: "platform:bcm2835-codec", Caps: videodev.Streams | videodev.M2MMultiplanar}
}

func (e *Encoder) queue(kind videodev.BufferType) *queue {
	switch kind {
	case e.in.kind:
		return &e.in
	case e.out.kind:
		return &e.out
	default:
		return nil
	}
}

func (e *Encoder) formats(kind videodev.BufferType) []Format {
	if kind == e.out.kind {
		return []Format{{PixelFormat: videodev.H264, Text: "H.264"}}
	}
	var formats []Format
	if kind == e.in.kind {
		for _, p := range e.Inputs {
			formats = append(formats, Format{PixelFormat: p, Text: p.String(), Sizes: []videodev.SizeRange{
				{MinWidth: 32, MaxWidth: 1920, StepWidth: 2, MinHeight: 32, MaxHeight: 1920, StepHeight: 2},
			}})
		}
	}
	return formats
}

// adjust pads as the driver of a Pi does.
func (e *Encoder) adjust(kind videodev.BufferType, f videodev.Format) videodev.Format {
	f.Width, f.Height = min(max(f.Width, 32), 1920), min(max(f.Height, 32), 1920)
	f.Field = videodev.Progressive
	if kind == videodev.CaptureMultiplanar {
		f.PixelFormat = videodev.H264
		f.Planes = []videodev.PlaneFormat{{Size: 768 << 10}}
		return f
	}
	has := false
	for _, p := range e.Inputs {
		has = has || p == f.PixelFormat
	}
	if !has {
		f.PixelFormat = e.Inputs[0]
	}
	stride, rows := (f.Width+31)&^31, (f.Height+15)&^15
	if f.PixelFormat == videodev.YUYV {
		stride *= 2
		f.Planes = []videodev.PlaneFormat{{Stride: stride, Size: stride * rows}}
	} else {
		f.Planes = []videodev.PlaneFormat{{Stride: stride, Size: stride * rows * 3 / 2}}
	}
	return f
}

func (e *Encoder) controls() []*Control     { return e.Controls }
func (e *Encoder) inputs() []videodev.Input { return nil }

func (e *Encoder) interval(kind videodev.BufferType) *videodev.Fraction {
	if kind != e.in.kind {
		return nil
	}
	return &e.fraction
}

func (e *Encoder) controlled(c *Control) {
	e.forced = e.forced || c.ID == videodev.ControlForceKeyFrame
}

func (e *Encoder) command(cmd uint32) error {
	switch cmd {
	case 0:
		e.stopping, e.out.ended = false, false
	case 1:
		e.stopping = true
		e.advance(0)
	default:
		return unix.EINVAL
	}
	return nil
}

func (e *Encoder) subscribe(kind videodev.EventType) { e.wants = append(e.wants, kind) }

func (e *Encoder) event() (videodev.Event, bool) {
	if len(e.events) == 0 {
		return videodev.Event{}, false
	}
	first := e.events[0]
	e.events = e.events[1:]
	first.Pending = len(e.events)
	return first, true
}

func (e *Encoder) advance(time.Duration) time.Duration {
	if !e.in.on || !e.out.on || e.Stuck {
		return 0
	}
	for len(e.in.queued) > 0 {
		e.encode(e.in.next())
	}
	for len(e.held) > 0 && (len(e.held) > e.Hold || e.stopping) && len(e.out.queued) > 0 {
		b, f := e.out.next(), e.held[0]
		e.held = e.held[1:]
		b.fill([][]byte{f.data})
		b.flags, b.stamp, b.sequence = f.flags, f.stamp, e.sequence
		e.sequence++
		e.out.finish(b)
	}
	if e.stopping && len(e.held) == 0 && len(e.out.queued) > 0 {
		b := e.out.next()
		b.fill(nil)
		b.flags = videodev.Last
		e.out.finish(b)
		e.stopping = false
		for _, kind := range e.wants {
			if kind == videodev.EndOfStream {
				e.events = append(e.events, videodev.Event{Type: kind})
			}
		}
	}
	return 0
}

// encode takes a picture in.
func (e *Encoder) encode(b *buffer) {
	planes := make([][]byte, len(b.memory))
	for i, memory := range b.memory {
		planes[i] = memory[:b.used[i]]
	}
	period := max(e.value(videodev.ControlH264IPeriod), 1)
	key := e.forced || e.n%int(period) == 0
	e.forced = false
	f := frame{data: e.Encode(e.n, e.in.format, planes, key), stamp: b.stamp, flags: videodev.Copied}
	if key {
		f.flags |= videodev.KeyFrame
	}
	if e.Flags != nil {
		f.flags |= e.Flags(e.n)
	}
	e.held = append(e.held, f)
	e.n++
	b.flags = 0
	e.in.finish(b)
}

func (e *Encoder) stop(q *queue) {
	if q == &e.out {
		e.held, e.n, e.sequence, e.stopping = nil, 0, 0, false
	}
}
