//go:build linux

package videodev_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture/videodev"
	"github.com/lensward/lensward/capture/videodev/videodevtest"
)

const node = "/dev/video7"

// camera gives YUYV pictures of 64×32 whose bytes are their number.
func camera() videodevtest.Camera {
	return videodevtest.Camera{
		Driver: "made-up", Card: "A camera", Bus: "usb-1.2",
		Formats: []videodevtest.Format{
			{PixelFormat: videodev.YUYV, Text: "YUYV 4:2:2", Sizes: []videodev.SizeRange{videodevtest.Size(64, 32), videodevtest.Size(32, 16)}, Rates: videodevtest.Rates(30, 15)},
			{PixelFormat: videodev.NM12, Text: "Y/CbCr 4:2:0 (N-C)", Sizes: []videodev.SizeRange{{MinWidth: 16, MaxWidth: 1920, StepWidth: 8, MinHeight: 16, MaxHeight: 1080, StepHeight: 2}}, Rates: []videodev.RateRange{{Min: 1, Max: 60}}},
		},
		Interval: &videodev.Fraction{Numerator: 1, Denominator: 5},
		Controls: []*videodevtest.Control{
			{Control: videodev.Control{ID: videodev.ControlGain, Name: "Gain", Type: videodev.Integer, Min: -10, Max: 100, Step: 1}, Value: -3},
			{Control: videodev.Control{ID: videodev.ControlPowerLineFrequency, Name: "Power Line Frequency", Type: videodev.Menu, Max: 3}, Items: []videodev.MenuItem{{Value: 0, Name: "Disabled"}, {Value: 2, Name: "60 Hz"}}},
		},
		Inputs: []videodev.Input{{Name: "Webcam 0"}, {Index: 1, Name: "HDMI", Fault: "no signal"}},
		Picture: func(n int, f videodev.Format) videodevtest.Picture {
			var planes [][]byte
			for _, p := range f.Planes {
				planes = append(planes, slices.Repeat([]byte{byte(n)}, p.Size))
			}
			return videodevtest.Picture{Planes: planes}
		},
	}
}

func open(t *testing.T, k *videodevtest.Kernel) *videodev.Device {
	t.Helper()
	dev, err := videodev.Open(k, node)
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

// given checks that everything was given back.
func given(t *testing.T, k *videodevtest.Kernel) {
	t.Helper()
	if files, maps := k.Held(); files != 0 || maps != 0 {
		t.Errorf("%d files and %d maps are left over", files, maps)
	}
}

func TestLists(t *testing.T) {
	k := videodevtest.New()
	k.AddCamera(node, camera())
	dev := open(t, k)
	is := dev.Capability()
	if is.Card != "A camera" || is.Driver != "made-up" || is.Bus != "usb-1.2" {
		t.Errorf("the camera is %+v", is)
	}
	if kind, ok := is.CaptureType(); !ok || kind != videodev.Capture {
		t.Errorf("its queue is %v, %v", kind, ok)
	}
	formats, err := dev.Formats(videodev.Capture)
	if err != nil || len(formats) != 2 || formats[0].PixelFormat != videodev.YUYV || formats[0].Text != "YUYV 4:2:2" {
		t.Errorf("formats are %v, %v", formats, err)
	}
	sizes, err := dev.FrameSizes(videodev.YUYV)
	if err != nil || fmt.Sprint(sizes) != "[64×32 32×16]" {
		t.Errorf("sizes are %v, %v", sizes, err)
	}
	if sizes, err = dev.FrameSizes(videodev.NM12); err != nil || fmt.Sprint(sizes) != "[16×16 to 1920×1080]" || sizes[0].StepWidth != 8 {
		t.Errorf("stepwise sizes are %v, %v", sizes, err)
	}
	if rates, err := dev.FrameRates(videodev.YUYV, 64, 32); err != nil || fmt.Sprint(rates) != "[30 15]" {
		t.Errorf("rates are %v, %v", rates, err)
	}
	if rates, err := dev.FrameRates(videodev.NM12, 64, 32); err != nil || fmt.Sprint(rates) != "[1 to 60]" {
		t.Errorf("continuous rates are %v, %v", rates, err)
	}
	if inputs, err := dev.Inputs(); err != nil || len(inputs) != 2 || inputs[1].Fault != "no signal" {
		t.Errorf("inputs are %v, %v", inputs, err)
	}
	if rate, err := dev.SetFrameInterval(videodev.Capture, videodev.Fraction{Numerator: 2, Denominator: 25}); err != nil || rate.Rate() != 12.5 {
		t.Errorf("the rate is %v, %v", rate, err)
	}
	if err := dev.Close(); err != nil {
		t.Error(err)
	}
	given(t, k)
}

func TestControls(t *testing.T) {
	k := videodevtest.New()
	k.AddCamera(node, camera())
	dev := open(t, k)
	controls, err := dev.Controls()
	if err != nil || len(controls) != 2 || controls[0].Name != "Gain" || controls[0].Min != -10 {
		t.Fatalf("controls are %+v, %v", controls, err)
	}
	if items, err := dev.MenuItems(controls[1]); err != nil || len(items) != 2 || items[1] != (videodev.MenuItem{Value: 2, Name: "60 Hz"}) {
		t.Errorf("the menu is %v, %v", items, err)
	}
	for _, plain := range []bool{false, true} { // drivers without the extended calls
		k.Fault = func(c videodevtest.Call) error {
			if plain && strings.HasSuffix(c.Name, "EXT_CTRLS") {
				return unix.ENOTTY
			}
			return nil
		}
		if err := dev.SetValue(videodev.ControlGain, -3); err != nil {
			t.Error(err)
		}
		if v, err := dev.Value(videodev.ControlGain); v != -3 || err != nil {
			t.Errorf("gain is %d, %v", v, err)
		}
		if err := dev.SetValue(videodev.ControlGain, 1000); !errors.Is(err, unix.ERANGE) {
			t.Errorf("a value out of bounds: %v", err)
		}
		if _, err := dev.Value(videodev.ControlExposure); err == nil {
			t.Error("a control that is not there has a value")
		}
	}
	if err := dev.Close(); err != nil {
		t.Error(err)
	}
}

// Pictures come whole, in order, with their numbers and times, whatever the form
// of the structures.
func TestQueue(t *testing.T) {
	for name, k := range map[string]*videodevtest.Kernel{
		"64 bits": {}, "ARM": {Bits32: true}, "ARM with 32-bit times": {Bits32: true, Time32: true},
	} {
		for _, multiplanar := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, multi-planar %v", name, multiplanar), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					fresh := videodevtest.New()
					fresh.Bits32, fresh.Time32 = k.Bits32, k.Time32
					streams(t, fresh, multiplanar)
				})
			})
		}
	}
}

func streams(t *testing.T, k *videodevtest.Kernel, multiplanar bool) {
	cam := camera()
	cam.Multiplanar = multiplanar
	k.AddCamera(node, cam)
	dev := open(t, k)
	kind, _ := dev.Capability().CaptureType()
	p := videodev.YUYV
	if multiplanar {
		p = videodev.NM12
	}
	f, err := dev.SetFormat(kind, videodev.Format{PixelFormat: p, Width: 64, Height: 32})
	if err != nil || f.PixelFormat != p || f.Width != 64 || f.Height != 32 || f.Field != videodev.Progressive {
		t.Fatalf("format %+v, %v", f, err)
	}
	q, err := dev.NewQueue(kind, 4)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dev.SetFormat(kind, f); !errors.Is(err, unix.EBUSY) {
		t.Errorf("a format is set while there are buffers: %v", err)
	}
	if err := errors.Join(q.EnqueueAll(), q.Start()); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Dequeue(); !errors.Is(err, videodev.ErrNotReady) {
		t.Errorf("before the first picture: %v", err)
	}
	for n := range 10 {
		if events, err := dev.Wait(t.Context(), videodev.Readable, time.Second); err != nil || events != videodev.Readable {
			t.Fatalf("waiting gave %v, %v", events, err)
		}
		b, err := q.Dequeue()
		if err != nil || b.Sequence != uint32(n) || dev.Age(b.Timestamp) != 0 || b.Flags.TimestampKind() != videodev.Monotonic || len(b.Planes) != len(f.Planes) {
			t.Fatalf("picture %d is %+v, %v old, %v", n, b, dev.Age(b.Timestamp), err)
		}
		for i, plane := range b.Planes {
			if len(plane) != f.Planes[i].Size || plane[0] != byte(n) || plane[len(plane)-1] != byte(n) {
				t.Errorf("plane %d of picture %d has %d bytes of %d", i, n, len(plane), plane[0])
			}
		}
		if err := q.Enqueue(b.Index); err != nil {
			t.Fatal(err)
		}
		if err := q.Enqueue(b.Index); !errors.Is(err, unix.EINVAL) {
			t.Errorf("a buffer was handed in twice: %v", err)
		}
	}
	if err := errors.Join(q.Close(), q.Close(), dev.Close()); err != nil {
		t.Error(err)
	}
	given(t, k)
}

// Waiting ends with ctx, at once.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := videodevtest.New()
		cam := camera()
		cam.Picture = func(int, videodev.Format) videodevtest.Picture { return videodevtest.Picture{Hang: true} }
		k.AddCamera(node, cam)
		dev := open(t, k)
		q, err := dev.NewQueue(videodev.Capture, 4)
		if err = errors.Join(err, q.EnqueueAll(), q.Start()); err != nil {
			t.Fatal(err)
		}
		if events, err := dev.Wait(t.Context(), videodev.Readable, 1500*time.Millisecond); events != 0 || err != nil {
			t.Errorf("of a camera that hangs: %v, %v", events, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		began := time.Now()
		if _, err := dev.Wait(ctx, videodev.Readable, time.Hour); !errors.Is(err, context.Canceled) || time.Since(began) != 10*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		time.AfterFunc(10*time.Millisecond, func() { k.Unplug(node) })
		if events, err := dev.Wait(t.Context(), videodev.Readable, time.Hour); err != nil || events&videodev.Gone == 0 {
			t.Errorf("of a camera that goes: %v, %v", events, err)
		}
		if err := errors.Join(q.Close(), dev.Close()); err != nil {
			t.Error(err)
		}
		given(t, k)
	})
}

// Whatever call fails, with whatever error, everything is given back, and the error
// comes out. A device that is gone stays so.
func TestQueueFaults(t *testing.T) {
	happen := map[string]int{"REQBUFS": 2, "QUERYBUF": 4, "mmap": 4, "QBUF": 9, "STREAMON": 1, "DQBUF": 5}
	for call, times := range happen {
		for n := 1; n <= min(times, 3); n++ {
			for _, errno := range []unix.Errno{unix.EINVAL, unix.ENODEV, unix.EIO, unix.ENOMEM, unix.ENOTTY} {
				k := videodevtest.New()
				cam := camera()
				cam.Fast = true
				k.AddCamera(node, cam)
				gone := false
				k.Fault = func(c videodevtest.Call) error {
					hit := c.Name == call && c.N == n
					if gone = gone || hit && errno == unix.ENODEV; hit || gone {
						return errno
					}
					return nil
				}
				dev := open(t, k)
				err := takeFive(dev)
				freed := call == "REQBUFS" && n == 2 && errno == unix.ENODEV // a device that is gone has freed them
				if (err == nil) != freed || err != nil && !errors.Is(err, errno) {
					t.Errorf("%s %d fails with %v: the error is %v", call, n, errno, err)
				}
				if err := dev.Close(); err != nil {
					t.Error(err)
				}
				given(t, k)
			}
		}
	}
}

func takeFive(dev *videodev.Device) (err error) {
	q, err := dev.NewQueue(videodev.Capture, 4)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	if err := q.EnqueueAll(); err != nil {
		return err
	}
	if err := q.Start(); err != nil {
		return err
	}
	for range 5 {
		b, err := q.Dequeue()
		if err != nil {
			return err
		}
		if err := q.Enqueue(b.Index); err != nil {
			return err
		}
	}
	return nil
}

// More bytes than a buffer has are no picture.
func TestLies(t *testing.T) {
	for _, multiplanar := range []bool{false, true} {
		k := videodevtest.New()
		cam := camera()
		cam.Fast, cam.Multiplanar = true, multiplanar
		cam.Picture = func(n int, f videodev.Format) videodevtest.Picture {
			return videodevtest.Picture{Lie: n == 0, Offset: 8 * n}
		}
		k.AddCamera(node, cam)
		dev := open(t, k)
		kind, _ := dev.Capability().CaptureType()
		q, err := dev.NewQueue(kind, 4)
		if err = errors.Join(err, q.EnqueueAll(), q.Start()); err != nil {
			t.Fatal(err)
		}
		if b, err := q.Dequeue(); err != nil || b.Flags&videodev.Broken == 0 || b.Planes != nil {
			t.Errorf("the picture is %+v, %v", b, err)
		}
		if b, err := q.Dequeue(); err != nil || b.Flags&videodev.Broken != 0 || len(b.Planes[0]) != 0 {
			t.Errorf("an empty picture is %+v, %v", b, err)
		}
		if err := errors.Join(q.Close(), dev.Close()); err != nil {
			t.Error(err)
		}
	}
}

// An encoder takes pictures with their times and gives frames with the same.
func TestEncoder(t *testing.T) {
	for _, bits32 := range []bool{false, true} {
		k := videodevtest.New()
		k.Bits32 = bits32
		k.AddEncoder(node, &videodevtest.Encoder{Hold: 1})
		dev := open(t, k)
		if _, ok := dev.Capability().CaptureType(); ok || !dev.Capability().Encodes() {
			t.Error("the encoder passes for a camera")
		}
		in, err := dev.SetFormat(videodev.OutputMultiplanar, videodev.Format{PixelFormat: videodev.YU12, Width: 1280, Height: 720, Planes: []videodev.PlaneFormat{{}}})
		if err != nil || in.Planes[0] != (videodev.PlaneFormat{Stride: 1280, Size: 1280 * 720 * 3 / 2}) {
			t.Fatalf("the format is %+v, %v", in, err)
		}
		raw, err := dev.NewQueue(videodev.OutputMultiplanar, 2)
		if err != nil {
			t.Fatal(err)
		}
		frames, err := dev.NewQueue(videodev.CaptureMultiplanar, 2)
		if err = errors.Join(err, dev.Subscribe(videodev.EndOfStream, 0), frames.EnqueueAll(), raw.Start(), frames.Start()); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if err := raw.Submit(i, []int{in.Planes[0].Size}, time.Duration(i+1)*time.Second+time.Microsecond); err != nil {
				t.Fatal(err)
			}
		}
		if err := dev.EncoderStop(); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			b, err := frames.Dequeue()
			if err != nil || b.Timestamp != time.Duration(i+1)*time.Second+time.Microsecond || b.Flags&videodev.KeyFrame != 0 != (i == 0) || b.Flags.TimestampKind() != videodev.Copied {
				t.Errorf("frame %d is %+v, %v", i, b, err)
			}
			if err := frames.Enqueue(b.Index); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := frames.Dequeue(); err != nil || b.Flags&videodev.Last == 0 || len(b.Planes[0]) != 0 {
			t.Errorf("the last is %+v, %v", b, err)
		}
		if _, err := frames.Dequeue(); !errors.Is(err, unix.EPIPE) {
			t.Errorf("after the last: %v", err)
		}
		if e, err := dev.DequeueEvent(); err != nil || e.Type != videodev.EndOfStream {
			t.Errorf("the event is %+v, %v", e, err)
		}
		if _, err := dev.DequeueEvent(); !errors.Is(err, videodev.ErrNotReady) {
			t.Errorf("after the last event: %v", err)
		}
		if err := errors.Join(raw.Close(), frames.Close(), dev.Close()); err != nil {
			t.Error(err)
		}
		given(t, k)
	}
}

// noise is a kernel whose every answer is arbitrary.
type noise struct {
	data []byte
	word int
}

func (n *noise) Open(string) (videodev.Node, error) { return n, nil }
func (n *noise) Monotonic() time.Duration           { return 0 }
func (n *noise) Word() int                          { return n.word }
func (n *noise) Close() error                       { return nil }
func (n *noise) Unmap([]byte) error                 { return nil }
func (n *noise) Map(_ int64, length int) ([]byte, error) {
	return make([]byte, min(length, 1<<16)), nil
}

func (n *noise) Wait(context.Context, videodev.Events, time.Duration) (videodev.Events, error) {
	return videodev.Readable, nil
}

func (n *noise) take(into []byte) {
	n.data = n.data[copy(into, n.data):]
}

func (n *noise) Ioctl(request uint32, arg *videodev.Argument) error {
	var verdict [1]byte
	if n.take(verdict[:]); verdict[0] > 200 || len(n.data) == 0 {
		return unix.EINVAL
	}
	n.take(arg.Bytes)
	n.take(arg.Array)
	return nil
}

// FuzzDriver has a driver answer anything at all: no panic, no end to a list that
// has none, no picture beyond its memory.
func FuzzDriver(f *testing.F) {
	f.Add(make([]byte, 2000), true)
	f.Add(slices.Repeat(binary.NativeEndian.AppendUint32(nil, 1), 800), false)
	f.Add(slices.Repeat([]byte{0, 4, 0, 0, 0}, 900), false)
	f.Fuzz(func(t *testing.T, data []byte, wide bool) {
		n := &noise{data: data, word: 4}
		if wide {
			n.word = 8
		}
		dev, err := videodev.Open(n, node)
		if err != nil {
			return
		}
		_, _ = dev.Formats(videodev.Capture)
		_, _ = dev.FrameSizes(videodev.YUYV)
		_, _ = dev.FrameRates(videodev.YUYV, 64, 32)
		if controls, _ := dev.Controls(); len(controls) > 0 {
			_, _ = dev.MenuItems(controls[0])
		}
		for _, kind := range []videodev.BufferType{videodev.Capture, videodev.CaptureMultiplanar} {
			if f, err := dev.Format(kind); err == nil && (f.Width > videodev.MaxSide || len(f.Planes) < 1) {
				t.Errorf("format %+v", f)
			}
			q, err := dev.NewQueue(kind, 4)
			if err != nil {
				continue
			}
			for range 4 {
				b, err := q.Dequeue()
				if err == nil && b.Flags&videodev.Broken == 0 && len(b.Planes) != len(q.Memory(b.Index)) {
					t.Errorf("%d planes of %d", len(b.Planes), len(q.Memory(b.Index)))
				}
			}
			_ = q.Close() // its calls get arbitrary answers too
		}
	})
}

func TestLinuxOpens(t *testing.T) {
	if _, err := videodev.Open(videodev.Linux{}, "/dev/null"); !errors.Is(err, videodev.ErrNotVideo) {
		t.Errorf("of another device: %v", err)
	}
	if _, err := videodev.Open(videodev.Linux{}, t.TempDir()+"/video0"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("of no device: %v", err)
	}
}
