//go:build linux

package v4l2

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/videodev"
	"github.com/lensward/lensward/capture/videodev/videodevtest"
)

// What is broken does not come out, and is counted; what was lost is counted; times
// are the driver's.
func TestRunMJPEG(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		good := [][]byte{grey(t, 64, 32, 10), grey(t, 64, 32, 200), grey(t, 64, 32, 90)}
		late := data(good[2])
		late.Lost, late.Age = 3, 40*time.Millisecond
		marked := data(good[0])
		marked.Flags = videodev.Broken
		m.plug(0, usb{port: "1-1"}, gives(videodev.MJPEG,
			data(good[0]),
			data(append(bytes.Clone(good[1]), make([]byte, 500)...)), // padded
			marked,
			data(nil),
			data(good[0][:len(good[0])-2]),
			data([]byte("no picture")),
			data(grey(t, 32, 32, 0)),
			videodevtest.Picture{Lie: true},
			late,
		))
		c := m.open(Settings{})
		began := time.Now()
		frames, err := film(t, c, 2*time.Second)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		if len(frames) != 3 {
			t.Fatalf("%d frames, want 3", len(frames))
		}
		wantAt := []time.Duration{100, 200, 860}
		for i, f := range frames {
			if !bytes.Equal(f.Data, good[i]) || f.Seq != []uint64{0, 1, 11}[i] || f.Time.Sub(began) != wantAt[i]*time.Millisecond || f.Width != 64 || !f.Key || f.Format != capture.FormatMJPEG {
				t.Errorf("frame %d has number %d, time %v", i, f.Seq, f.Time.Sub(began))
			}
		}
		if c.Broken() != 6 || c.Lost() != 3 {
			t.Errorf("%d broken and %d lost, want 6 and 3", c.Broken(), c.Lost())
		}
		m.nothingHeld()
	})
}

// Each raw format's planes lie where V4L2 puts them, padding or not.
func TestRunRaw(t *testing.T) {
	for _, p := range rawFormats() {
		t.Run(p.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rawFormat(t, p) })
		})
	}
}

func rawFormat(t *testing.T, p PixelFormat) {
	const width, height, padded = 64, 32, 80
	m := newMachine(t)
	cam := gives(p)
	cam.Multiplanar = p == videodev.NM12 || p == videodev.YM12
	cam.Adjust = func(f videodev.Format) videodev.Format {
		f.Width, f.Height, f.Field, f.Colorspace = width, height, videodev.Progressive, 7
		f.Planes = videodevtest.Planes(p, padded, height)
		return f
	}
	cam.Picture = func(n int, f videodev.Format) videodevtest.Picture {
		if n == 3 {
			return data(make([]byte, 100)) // short
		}
		var planes [][]byte
		for _, plane := range f.Planes {
			b := make([]byte, plane.Size)
			for i := range b {
				b[i] = byte(i/plane.Stride + n) // each row has its number
			}
			planes = append(planes, b)
		}
		return videodevtest.Picture{Planes: planes}
	}
	m.plug(0, usb{port: "1-1"}, cam)
	c := m.open(Settings{Want: WantRaw})
	ctx, cancel := context.WithTimeout(t.Context(), 450*time.Millisecond)
	defer cancel()
	seen := 0
	err := c.RunRaw(ctx, func(r *capture.Raw) error {
		if r.Width != width || r.Height != height || !r.Full || r.Layout != c.Mode().Layout {
			t.Errorf("picture %+v", r)
		}
		for i, plane := range r.Planes {
			if plane != nil {
				checkRows(t, r, i, byte(seen))
			}
		}
		seen++
		return nil
	})
	if seen != 3 || c.Broken() != 1 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d pictures, %d broken: %v", seen, c.Broken(), err)
	}
	if err := c.Run(t.Context(), nil); err == nil {
		t.Error("raw pictures pass for frames")
	}
	want := errors.New("enough")
	if err := c.RunRaw(t.Context(), func(*capture.Raw) error { return want }); !errors.Is(err, want) {
		t.Errorf("the error of emit comes out as %v", err)
	}
	m.nothingHeld()
}

// checkRows checks the first byte of each row of a plane: rows of one buffer are
// numbered on from one plane to the next.
func checkRows(t *testing.T, r *capture.Raw, i int, n byte) {
	t.Helper()
	rows := r.Height
	if i > 0 {
		rows = (r.Height + 1) / 2
	}
	first := r.Planes[i][0] - n
	for y := range rows {
		got := r.Planes[i][y*r.Strides[i]] - n
		if want := first + byte(y); r.Layout != capture.LayoutI420 && got != want {
			t.Fatalf("row %d of plane %d begins with %d, not %d", y, i, got, want)
		}
	}
	switch {
	case i == 0 && first != 0,
		i == 1 && first != 0 && first != byte(r.Height),
		i == 2 && first != 0 && first != byte(r.Height+r.Height/4):
		t.Errorf("plane %d begins in row %d", i, first)
	}
}

// Every trouble of a camera has its name, and leaves nothing behind.
func TestFaults(t *testing.T) {
	good := grey(t, 64, 32, 10)
	bad := slices.Repeat([]videodevtest.Picture{data([]byte("broken"))}, maxBroken)
	fails := func(call string, n int, errno unix.Errno) func(videodevtest.Call) error {
		return func(c videodevtest.Call) error {
			if c.Name == call && c.N >= n {
				return errno
			}
			return nil
		}
	}
	tests := []struct {
		name     string
		pictures []videodevtest.Picture
		fault    func(videodevtest.Call) error
		want     capture.Fault
		text     string
	}{
		{"hangs", []videodevtest.Picture{data(good)}, nil, capture.FaultSilent, "no picture for 10s"},
		{"all broken", bad, nil, capture.FaultBroken, "50 broken pictures one after another: 6 bytes"},
		{"queue error", []videodevtest.Picture{data(good), {QueueError: true}}, nil, capture.FaultFailed, "DQBUF"},
		{"REQBUFS", nil, fails("REQBUFS", 1, unix.EINVAL), capture.FaultFailed, "REQBUFS"},
		{"QBUF", []videodevtest.Picture{data(good)}, fails("QBUF", 5, unix.EINVAL), capture.FaultFailed, "QBUF"},
		{"STREAMON", nil, fails("STREAMON", 1, unix.EINVAL), capture.FaultFailed, "STREAMON"},
		{"no room on the bus", nil, fails("STREAMON", 1, unix.ENOSPC), capture.FaultFailed, "USB bus has no room"},
		{"busy", nil, fails("S_FMT", 2, unix.EBUSY), capture.FaultBusy, "another program"},
		{"not allowed", nil, fails("open", 2, unix.EACCES), capture.FaultForbidden, "group video"},
		{"goes at a call", nil, fails("S_PARM", 2, unix.ENODEV), capture.FaultUnplugged, "plugged in?"},
		{"EIO that passes", []videodevtest.Picture{data(good), data(good)}, fails("DQBUF", 1, unix.EIO), capture.FaultBroken, "50 broken"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				m.kernel.Fault = test.fault
				m.plug(0, usb{port: "1-1"}, gives(videodev.MJPEG, test.pictures...))
				_, err := film(t, m.open(Settings{Name: "/dev/video0"}), time.Hour)
				if err == nil || capture.FaultOf(err) != test.want || !strings.Contains(err.Error(), test.text) {
					t.Errorf("the error is %v (%s), want %s and %q", err, capture.FaultOf(err), test.want, test.text)
				}
				m.nothingHeld()
			})
		})
	}
}

// H.264: parameter sets before every key frame, and nothing that leans on what is
// missing.
func TestRunH264(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sets := []byte{0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 0, 1, 0x68, 4, 5}
		key, delta := []byte{0, 0, 0, 1, 0x65, 0x88, 9}, []byte{0, 0, 0, 1, 0x41, 0x9a, 7}
		broken, after := data(delta), data(delta)
		broken.Flags, after.Lost = videodev.Broken, 1
		m := newMachine(t)
		m.plug(0, usb{port: "1-1"}, gives(videodev.H264,
			data(delta),            // 0: before any key frame
			data(key),              // 1: before its parameter sets
			data(sets),             // 2: on their own
			data(key), data(delta), // 3, 4
			broken, data(delta), // 5, 6: leans on 5
			data(slices.Concat(sets, key)),  // 7
			data(delta), after, data(delta), // 8, 10, 11: 9 was lost
			data(key),                         // 12
			data([]byte("no H.264 whatever")), // 13
		))
		c := m.open(Settings{Want: WantH264})
		frames, err := film(t, c, 3*time.Second)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		var seqs []uint64
		for _, f := range frames {
			seqs = append(seqs, f.Seq)
			if f.Key != bytes.Equal(f.Data, slices.Concat(sets, key)) || !f.Key && !bytes.Equal(f.Data, delta) {
				t.Errorf("frame %d is % x, key %v", f.Seq, f.Data, f.Key)
			}
		}
		if want := []uint64{3, 4, 7, 8, 12}; !slices.Equal(seqs, want) {
			t.Errorf("frames %v, want %v", seqs, want)
		}
		if c.Lost() != 1 || c.Broken() != 7 {
			t.Errorf("%d lost, %d broken, want 1 and 7", c.Lost(), c.Broken())
		}
		m.nothingHeld()
	})
}

// A camera that never gives a key frame is started anew.
func TestNoKeyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		cam := gives(videodev.H264)
		cam.Picture = func(int, videodev.Format) videodevtest.Picture { return data([]byte{0, 0, 0, 1, 0x41, 0x9a, 7}) }
		m.plug(0, usb{port: "1-1"}, cam)
		if frames, err := film(t, m.open(Settings{}), time.Hour); len(frames) != 0 || capture.FaultOf(err) != capture.FaultBroken {
			t.Errorf("%d frames, %v", len(frames), err)
		}
	})
}

// twin is an H.264 camera whose second node gives small JPEGs.
func twin(t *testing.T, m *machine) {
	key := []byte{0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 0, 1, 0x68, 4, 5, 0, 0, 0, 1, 0x65, 0x88, 9}
	video := gives(videodev.H264)
	video.Interval = &videodev.Fraction{Numerator: 1, Denominator: 30}
	video.Picture = func(int, videodev.Format) videodevtest.Picture { return data(key) }
	small := gives(videodev.MJPEG)
	jpeg := grey(t, 640, 360, 50)
	small.Picture = func(int, videodev.Format) videodevtest.Picture { return data(jpeg) }
	m.plug(0, usb{port: "1-1"}, video)
	m.plug(1, usb{port: "1-1", index: 1}, videodevtest.Camera{Card: "A camera", Caps: videodev.Metadata | videodev.Streams})
	m.plug(2, usb{port: "1-1", index: 2}, small)
}

func TestPreviews(t *testing.T) {
	for name, fault := range map[string]func(videodevtest.Call) error{
		"both": nil,
		"second is busy": func(c videodevtest.Call) error {
			if c.Path == "/dev/video2" && c.Name == "S_FMT" {
				return unix.EBUSY
			}
			return nil
		},
		"second does not start": func(c videodevtest.Call) error {
			if c.Path == "/dev/video2" && c.Name == "STREAMON" {
				return unix.ENOSPC
			}
			return nil
		},
		"first does not start beside it": func(c videodevtest.Call) error {
			if c.Path == "/dev/video0" && c.Name == "STREAMON" && c.N == 1 {
				return unix.ENOSPC
			}
			return nil
		},
		"second is silent": func(c videodevtest.Call) error {
			if c.Path == "/dev/video2" && c.Name == "DQBUF" {
				return unix.EAGAIN
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				twin(t, m)
				m.kernel.Fault = fault
				frames, err := film(t, m.open(Settings{Name: "usb=1-1"}), 10*time.Second)
				if !errors.Is(err, context.DeadlineExceeded) || len(frames) < 75 {
					t.Fatalf("%d frames: %v", len(frames), err)
				}
				previews := 0
				for _, f := range frames {
					if f.Preview != nil {
						previews++
						if f.Preview.Grid.Width != 80 || f.Preview.Grid.Height != 45 || len(f.Preview.JPEG) == 0 {
							t.Fatalf("preview %d×%d", f.Preview.Grid.Width, f.Preview.Grid.Height)
						}
					}
				}
				if name == "both" && (previews < 70 || previews > 101 || frames[0].Preview == nil) || name != "both" && previews != 0 {
					t.Errorf("%d previews in 10 s", previews)
				}
				m.nothingHeld()
			})
		})
	}
}

// A hundred unplugs at any moment, each survived, with nothing left over. The bubble
// sees to the goroutines.
func TestUnplugs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		random := rand.New(rand.NewPCG(1, 2))
		node := 0
		m.plug(node, usb{port: "1-1.2", serial: "S1"}, endless(t))
		c := m.open(Settings{Name: "usb=1-1.2"})
		for round := range 100 {
			calls, last := 0, random.IntN(60)
			plugged := node
			m.kernel.Fault = func(videodevtest.Call) error { // at a call, as a camera does that goes
				if calls++; calls > last {
					return unix.ENODEV
				}
				return nil
			}
			if round%2 == 0 { // or while it is waited for
				m.kernel.Fault = nil
				time.AfterFunc(time.Duration(random.IntN(1000))*time.Millisecond, func() { m.kernel.Unplug("/dev/video" + string(rune('0'+plugged))) })
			}
			if _, err := film(t, c, time.Hour); capture.FaultOf(err) != capture.FaultUnplugged {
				t.Fatalf("round %d: %v", round, err)
			}
			m.nothingHeld()
			m.kernel.Fault = nil
			m.unplug(node)
			node = (node + 1) % 10 // it comes back elsewhere
			m.plug(node, usb{port: "1-1.2", serial: "S1"}, endless(t))
			frames, err := film(t, c, 350*time.Millisecond)
			if len(frames) != 3 || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("round %d: after it came back %d frames, %v", round, len(frames), err)
			}
			m.nothingHeld()
		}
	})
}
