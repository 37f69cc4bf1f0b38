package encode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/videodev"
)

// on makes a source that encodes by a driver.
func on(t *testing.T, d *driver, r *capture.Raw, s Settings) *Source {
	t.Helper()
	s.Want, s.hardware = M2M, hardware{d, []string{"/dev/video11"}}
	source := newSource(t, nil, r, s)
	d.set(func() { d.calls, d.count = nil, 0 }) // what choosing has asked
	return source
}

// inStep films n pictures, each after the frame of the one before it.
func inStep(t *testing.T, s *Source, r *capture.Raw, n int, at func(i int, f capture.Frame)) ([]capture.Frame, error) {
	t.Helper()
	out := make(chan struct{}, n)
	out <- struct{}{}
	var frames []capture.Frame
	raw := numbered(r, n, 15, func() {})
	s.raw = rawSource(func(ctx context.Context, emit func(*capture.Raw) error) error {
		return raw.RunRaw(ctx, func(r *capture.Raw) error {
			select {
			case <-out:
			case <-ctx.Done():
				return ctx.Err()
			}
			return emit(r)
		})
	})
	err := s.Run(t.Context(), func(f capture.Frame) {
		if at != nil {
			at(len(frames), f)
		}
		frames = append(frames, f)
		out <- struct{}{}
	})
	return frames, err
}

// The whole dialogue, in the order in which V4L2 wants it.
func TestDialogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriver()
		r := rawBars(capture.LayoutI420, 640, 362, 0, false)
		s := on(t, d, r, Settings{FPS: 12.5, Bitrate: 1_000_000})
		frames, err := inStep(t, s, r, 3, func(i int, _ capture.Frame) {
			if i == 0 {
				if err := s.SetBitrate(500_000); err != nil || !s.RequestKey() {
					t.Errorf("asking gives %v", err)
				}
			}
		})
		if err != nil || len(frames) != 3 || !frames[1].Key {
			t.Fatalf("%d frames, %v; the second is to be a key frame", len(frames), err)
		}
		want := []string{
			"S_FMT CAPTURE H264 640×362, rows of 0",
			"S_FMT OUTPUT YU12 640×368, rows of 640",
			"S_PARM OUTPUT 1000/12500",
			"S_EXT_CTRLS 0x9909ce=1",       // constant bit rate
			"S_EXT_CTRLS 0x9909cf=1000000", // the bit rate
			"S_EXT_CTRLS 0x990a6b=1",       // constrained baseline
			"S_EXT_CTRLS 0x990a67=11",      // level 4.0
			"S_EXT_CTRLS 0x9909ca=0",       // no B-frames
			"S_EXT_CTRLS 0x9909cb=25",      // a key frame each 25
			"S_EXT_CTRLS 0x990a66=25",
			"S_EXT_CTRLS 0x9909d8=1", // headers with the first frame
			"S_EXT_CTRLS 0x9909e2=1", // and with each key frame
			"REQBUFS OUTPUT 3",
			"REQBUFS CAPTURE 4",
			"STREAMON OUTPUT",
			"STREAMON CAPTURE",
			"S_EXT_CTRLS 0x9909cf=500000",
			"S_EXT_CTRLS 0x9909e5=1", // a key frame now
			"ENCODER_CMD 1",
			"STREAMOFF OUTPUT",
			"REQBUFS OUTPUT 0",
			"STREAMOFF CAPTURE",
			"REQBUFS CAPTURE 0",
		}
		if got := d.noted(); !slices.Equal(got, want) {
			t.Errorf("the driver was asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if left := d.left(); left != "" {
			t.Error(left)
		}
	})
}

// Each frame is of the picture whose number and time it has.
func TestFramesFindPictures(t *testing.T) {
	for _, layout := range append(layouts(), capture.LayoutGrey) {
		t.Run(layout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDriver()
				r := rawBars(layout, 321, 241, 5, false)
				s := on(t, d, r, Settings{})
				frames, err := inStep(t, s, r, 30, nil)
				if err != nil || len(frames) != 30 || s.Dropped() != 0 {
					t.Fatalf("%d frames, %d left out, %v", len(frames), s.Dropped(), err)
				}
				previews := 0
				for i, f := range frames {
					if f.Seq != uint64(i) || !f.Time.Equal(began().Add(time.Duration(float64(i)/15*float64(time.Second)))) || f.Key != (i%5 == 0) {
						t.Errorf("frame %d is %d, %v, key %v", i, f.Seq, f.Time, f.Key)
					}
					if luma := f.Data[len(f.Data)-2]; luma != byte(16+i) {
						t.Errorf("frame %d is of picture %d", i, int(luma)-16)
					}
					if f.Preview != nil {
						previews++
					}
				}
				if frames[0].Preview == nil || previews < 18 || previews > 21 { // 2 s
					t.Errorf("%d previews, want about 20", previews)
				}
				if img := frames[0].Preview.Image; layout != capture.LayoutGrey && !nearColour(img, 200, 100, barAt(200, 321), 2) {
					t.Errorf("the preview is %v at 200, 100, want %v", img.YCbCrAt(200, 100), barAt(200, 321))
				}
			})
		})
	}
}

// What an encoder holds back comes out at the end, whether it says which is the
// last or not.
func TestDrain(t *testing.T) {
	for name, noStop := range map[string]bool{"with a last frame": false, "without a stop command": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDriver()
				d.noStop = noStop
				if d.keeps = 2; noStop {
					d.keeps = 0
				}
				r := rawBars(capture.LayoutNV12, 64, 64, 0, false)
				s := on(t, d, r, Settings{})
				s.raw = numbered(r, 10, 15, func() { time.Sleep(time.Second / 15) })
				frames := collect(t, s, 10)
				if len(frames) != 10 || s.Dropped() != 0 {
					t.Errorf("%d frames, %d left out; want 10, 0", len(frames), s.Dropped())
				}
			})
		})
	}
}

// An encoder that is slow costs pictures, which are counted; one that gives nothing
// ends Run.
func TestSlowAndSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriver()
		r := rawBars(capture.LayoutI420, 64, 64, 0, false)
		s := on(t, d, r, Settings{})
		d.set(func() { d.held = true })
		s.raw = numbered(r, 1<<30, 15, func() { time.Sleep(time.Second / 15) })
		start := time.Now()
		go func() {
			time.Sleep(2 * time.Second)
			d.set(func() { d.held = false })
			time.Sleep(time.Second)
			d.set(func() { d.held = true })
		}()
		var seqs []uint64
		err := s.Run(t.Context(), func(f capture.Frame) { seqs = append(seqs, f.Seq) })
		if err == nil || !strings.Contains(err.Error(), "no frame for 5s") {
			t.Fatalf("error is %v", err)
		}
		if took := time.Since(start); took < 8*time.Second || took > 9*time.Second {
			t.Errorf("it took %v to see that nothing comes, want 5 s after the third", took)
		}
		if !slices.Equal(seqs[:3], []uint64{0, 1, 2}) || seqs[3] < 28 || s.Dropped() < 20 {
			t.Errorf("frames %v, %d left out", seqs, s.Dropped())
		}
		if left := d.left(); left != "" {
			t.Error(left)
		}
	})
}

// A frame that the driver flags as broken is left out, and a key frame is asked
// for.
func TestBrokenFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriver()
		d.breakAt = 3
		r := rawBars(capture.LayoutI420, 64, 64, 0, false)
		s := on(t, d, r, Settings{})
		s.raw = numbered(r, 5, 15, func() { time.Sleep(time.Second) })
		frames := collect(t, s, 4)
		if len(frames) != 4 || frames[2].Seq != 3 || !frames[2].Key || s.Dropped() != 1 {
			t.Errorf("%d frames, %d left out; the third is %d, key %v", len(frames), s.Dropped(), frames[2].Seq, frames[2].Key)
		}
	})
}

// Drivers that give the headers once, in a buffer of their own, get them put before
// each key frame.
func TestHeadersApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriver()
		d.headers, d.bare = true, true
		r := rawBars(capture.LayoutI420, 64, 64, 0, false)
		s := on(t, d, r, Settings{})
		frames, err := inStep(t, s, r, 11, nil)
		if err != nil || len(frames) != 11 {
			t.Fatalf("%d frames, %v", len(frames), err)
		}
		for i, f := range frames {
			if has := strings.Contains(string(f.Data), "\x67SPS\x00\x00\x00\x01\x68PPS\x00\x00\x00\x01\x65"); has != (i%5 == 0) || f.Key != has {
				t.Errorf("frame %d: key %v, headers %v", i, f.Key, has)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d := newDriver()
		d.bare = true
		r := rawBars(capture.LayoutI420, 64, 64, 0, false)
		if _, err := inStep(t, on(t, d, r, Settings{}), r, 1, nil); err == nil || !strings.Contains(err.Error(), "no parameter sets") {
			t.Errorf("without headers the error is %v", err)
		}
	})
}

// Whichever call fails, and however: Run ends with an error or does without it, and
// gives back all that it held.
func TestEveryCallFails(t *testing.T) {
	run := func(t *testing.T, d *driver) (err error) {
		synctest.Test(t, func(t *testing.T) {
			r := rawBars(capture.LayoutI420, 64, 64, 0, false)
			failAt := d.failAt
			d.failAt = 0
			s := on(t, d, r, Settings{})
			d.set(func() { d.failAt = failAt })
			_, err = inStep(t, s, r, 3, nil)
			if left := d.left(); left != "" {
				t.Errorf("call %d fails: %s", failAt, left)
			}
		})
		return err
	}
	d := newDriver()
	if err := run(t, d); err != nil {
		t.Fatal(err)
	}
	total, failures := d.count, 0
	for _, errno := range []unix.Errno{unix.EIO, unix.ENODEV, unix.EINVAL} {
		for at := 1; at <= total; at++ {
			d := newDriver()
			d.failAt, d.failWith = at, errno
			err := run(t, d)
			if err != nil {
				failures++
			}
			// EINVAL is also what says that a driver has not what was asked for.
			if err != nil && !errors.Is(err, errno) && errno != unix.EINVAL {
				t.Errorf("call %d fails with %v, and Run with %v", at, errno, err)
			}
		}
	}
	if failures < total { // of three times as many
		t.Errorf("%d of %d failures ended Run", failures, 3*total)
	}
}

// An encoder that is gone ends Run at once, whoever notices first.
func TestEncoderGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriver()
		r := rawBars(capture.LayoutI420, 64, 64, 0, false)
		s := on(t, d, r, Settings{})
		_, err := inStep(t, s, r, 10, func(i int, _ capture.Frame) {
			if i == 4 {
				d.set(func() { d.lost = true })
			}
		})
		if err == nil || !strings.Contains(err.Error(), "gone") && !errors.Is(err, unix.ENODEV) {
			t.Errorf("error is %v", err)
		}
		if left := d.left(); left != "" {
			t.Error(left)
		}
	})
}

// With ctx the encoder is given back at once.
func TestEncoderCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriver()
		r := rawBars(capture.LayoutI420, 64, 64, 0, false)
		s := on(t, d, r, Settings{})
		d.set(func() { d.held = true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s.raw = numbered(r, 1<<30, 15, func() { time.Sleep(time.Second / 15) })
		start := time.Now()
		if err := s.Run(ctx, func(capture.Frame) { t.Error("a frame") }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		if took := time.Since(start); took > time.Second+time.Second/15 {
			t.Errorf("it took %v", took)
		}
		if left := d.left(); left != "" {
			t.Error(left)
		}
	})
}

// Stamps grow in whole microseconds, whatever the clock does.
func TestAdvance(t *testing.T) {
	m := &m2m{source: &Source{settings: Settings{FPS: 10}}, stamp: firstStamp}
	at := began()
	for i, c := range []struct{ by, want time.Duration }{
		{0, 100 * time.Millisecond}, // the first
		{66_666_667, 66_666 * time.Microsecond}, {0, 100 * time.Millisecond}, {-time.Hour, 100 * time.Millisecond},
		{30 * 365 * 24 * time.Hour, 100 * time.Millisecond}, {time.Nanosecond, 100 * time.Millisecond}, {9 * time.Second, 9 * time.Second},
	} {
		before := m.stamp
		at = at.Add(c.by)
		if m.advance(at); m.stamp-before != c.want {
			t.Errorf("picture %d, %v later, is stamped %v later, want %v", i, c.by, m.stamp-before, c.want)
		}
	}
}

// What is found, and what is said of what is not taken.
func TestFindM2M(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*driver, *Settings)
		kind   Kind
		says   string
	}{
		{"an encoder", func(*driver, *Settings) {}, M2M, "H.264 by the hardware encoder /dev/video11."},
		{"another layout", func(_ *driver, s *Settings) { s.Layout = capture.LayoutGrey }, M2M, "/dev/video11"},
		{"too large", func(_ *driver, s *Settings) { s.Height = 2160 }, MJPEG,
			"the encoder /dev/video11 (made-up-encode) takes pictures of 1280×1920 and not of 1280×2160"},
		{"no layout", func(d *driver, _ *Settings) { d.takes = []videodev.PixelFormat{videodev.MJPEG} }, MJPEG, "takes no pictures in NV12"},
		{"no memory", func(d *driver, _ *Settings) { d.noMemory = true }, MJPEG,
			"since the encoder /dev/video11 (made-up-encode) does not start (get buffers for pictures: REQBUFS on /dev/video11: cannot allocate memory), and ffmpeg is not installed."},
		{"a camera", func(d *driver, _ *Settings) { d.caps = uint32(videodev.CapturesMultiplanar | videodev.Streams) }, MJPEG, "since no /dev/video* encodes H.264"},
		{"none", func(d *driver, _ *Settings) { d.openErr = unix.ENOENT }, MJPEG, "since no /dev/video* encodes H.264"},
		{"forbidden", func(d *driver, _ *Settings) { d.openErr = unix.EACCES }, MJPEG, "not permitted: /dev/video11; hint: add the user to the group video"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDriver()
			s := Settings{Width: 1280, Height: 720, Layout: capture.LayoutNV12, Program: "no-such-ffmpeg"}
			s.hardware = hardware{d, []string{"/dev/video11"}}
			c.change(d, &s)
			source, err := New(t.Context(), nil, s)
			if err != nil {
				t.Fatal(err)
			}
			if got := source.Choice(); got.Kind != c.kind || !strings.Contains(got.Why, c.says) {
				t.Errorf("%+v, want %s and %q", got, c.kind, c.says)
			}
			if left := d.left(); left != "" {
				t.Error(left)
			}
			if _, err := source.begin(); c.kind == M2M && err != nil {
				t.Error(err)
			}
		})
	}
}

// A control that is not there is done without, but for the bit rate.
func TestAbsentControls(t *testing.T) {
	for id, fatal := range map[uint32]bool{
		videodev.ControlBitrate: true, videodev.ControlH264Profile: false, videodev.ControlRepeatSequenceHeader: false,
	} {
		t.Run(fmt.Sprintf("%#x", id), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDriver()
				r := rawBars(capture.LayoutI420, 64, 64, 0, false)
				s := on(t, d, r, Settings{})
				d.set(func() { d.absent = id })
				frames, err := inStep(t, s, r, 3, nil)
				if fatal != (err != nil) || !fatal && len(frames) != 3 {
					t.Errorf("%d frames, %v", len(frames), err)
				}
				if left := d.left(); left != "" {
					t.Error(left)
				}
			})
		})
	}
}
