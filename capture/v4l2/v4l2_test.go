//go:build linux

package v4l2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/blackjack/webcam"
	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture"
)

// step is what the made-up camera does next.
type step struct {
	data []byte
	err  error // of frame
	wait error
}

// fake is a made-up camera of 64×32. It goes through its steps, and then gives
// no more frames.
type fake struct {
	has      map[PixelFormat]string
	mode     func(format PixelFormat) Mode // nil: what is asked for
	startErr error
	steps    []step

	buffer  []byte // reused for every frame, as a driver does
	held    bool
	started bool
	closed  int
}

func (d *fake) formats() map[PixelFormat]string { return d.has }

func (d *fake) configure(format PixelFormat, width, height int, fps float64) (Mode, error) {
	if d.mode != nil {
		return d.mode(format), nil
	}
	return Mode{Format: format, Width: 64, Height: 32, FPS: fps}, nil
}

func (d *fake) start() error {
	d.started = d.startErr == nil
	return d.startErr
}

func (d *fake) wait() error {
	if len(d.steps) == 0 {
		time.Sleep(time.Second)
		return errTimeout
	}
	if err := d.steps[0].wait; err != nil {
		d.steps = d.steps[1:]
		return err
	}
	time.Sleep(100 * time.Millisecond)
	return nil
}

func (d *fake) frame() ([]byte, uint32, error) {
	s := d.steps[0]
	d.steps = d.steps[1:]
	if s.err != nil {
		return nil, 0, s.err
	}
	d.held = true
	d.buffer = append(d.buffer[:0], s.data...)
	return d.buffer, 3, nil
}

func (d *fake) release(buffer uint32) error {
	if !d.held || buffer != 3 {
		return fmt.Errorf("buffer %d is not held", buffer)
	}
	d.held = false
	for i := range d.buffer { // the driver fills it again
		d.buffer[i] = 0xee
	}
	return nil
}

func (d *fake) close() error {
	d.closed++
	return nil
}

func picture(t *testing.T, width, height int, shade uint8) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = shade
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func camera(t *testing.T, d *fake, s Settings) *Camera {
	t.Helper()
	if d.has == nil {
		d.has = map[PixelFormat]string{MJPEG: "Motion-JPEG", YUYV: "YUYV 4:2:2"}
	}
	s.Path = "/dev/video9"
	c, err := openWith(s, func(path string) (device, error) {
		if path != "/dev/video9" {
			t.Errorf("%s is opened", path)
		}
		return d, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// run runs the camera until it fails or its time is over.
func run(t *testing.T, c *Camera, limit time.Duration) ([]capture.Frame, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var frames []capture.Frame
	err := c.Run(ctx, func(f capture.Frame) { frames = append(frames, f) })
	return frames, err
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := [][]byte{picture(t, 64, 32, 10), picture(t, 64, 32, 200), picture(t, 64, 32, 90)}
		noEnd := good[0][:len(good[0])-2]
		d := &fake{steps: []step{
			{data: good[0]},
			{err: unix.EAGAIN},
			{data: append(bytes.Clone(good[1]), make([]byte, 500)...)}, // padded
			{data: nil},
			{data: noEnd},
			{data: []byte("no picture")},
			{data: picture(t, 32, 32, 0)},
			{err: unix.EIO},
			{wait: errTimeout},
			{data: good[2]},
		}}
		c := camera(t, d, Settings{FPS: 10})
		if d.started || d.closed != 1 {
			t.Errorf("after Open: started %v, closed %d times", d.started, d.closed)
		}
		began := time.Now()
		frames, err := run(t, c, 5*time.Second)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		wantSeq, wantAt := []uint64{0, 1, 7}, []time.Duration{100, 300, 900}
		if len(frames) != 3 {
			t.Fatalf("%d frames, want 3", len(frames))
		}
		for i, f := range frames {
			if !bytes.Equal(f.Data, good[i]) {
				t.Errorf("frame %d is not what the camera gave", i)
			}
			if f.Seq != wantSeq[i] || f.Time.Sub(began) != wantAt[i]*time.Millisecond {
				t.Errorf("frame %d has number %d and time %v", i, f.Seq, f.Time.Sub(began))
			}
			if f.Width != 64 || f.Height != 32 || !f.Key || f.Format != capture.FormatMJPEG {
				t.Errorf("frame %d is %+v", i, f)
			}
		}
		if c.Broken() != 5 || d.held || d.closed != 2 {
			t.Errorf("%d broken, buffer held %v, closed %d times; want 5, false, 2", c.Broken(), d.held, d.closed)
		}
	})
}

func TestFailures(t *testing.T) {
	many := make([]step, maxBroken+10)
	for i := range many {
		many[i].data = []byte("broken")
	}
	tests := []struct {
		name string
		dev  *fake
		want string
		is   error
		took time.Duration
	}{
		{"nothing comes", &fake{}, "no frame for 10 s", nil, 10 * time.Second},
		{"unplugged", &fake{steps: []step{{wait: unix.ENODEV}}}, "the camera is gone", unix.ENODEV, 0},
		{"unplugged later", &fake{steps: []step{{err: unix.ENODEV}}}, "the camera is gone", unix.ENODEV, 100 * time.Millisecond},
		{"broken for good", &fake{steps: many}, "50 broken frames one after another: 6 bytes", nil, 5 * time.Second},
		{"busy", &fake{startErr: unix.EBUSY}, "hint: another program uses the camera", unix.EBUSY, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				frames, err := run(t, camera(t, test.dev, Settings{}), time.Minute)
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "/dev/video9") {
					t.Errorf("error is %v, want %q in it", err, test.want)
				}
				if test.is != nil && !errors.Is(err, test.is) {
					t.Errorf("error %v is not %v", err, test.is)
				}
				if len(frames) != 0 || time.Since(began) != test.took || test.dev.closed != 2 {
					t.Errorf("%d frames, after %v, closed %d times", len(frames), time.Since(began), test.dev.closed)
				}
			})
		})
	}
}

func TestChoosesFormat(t *testing.T) {
	tests := []struct {
		has  []PixelFormat
		asks PixelFormat
		want PixelFormat
	}{
		{[]PixelFormat{YUYV, MJPEG}, 0, MJPEG},
		{[]PixelFormat{YUYV, MJPEG}, YUYV, YUYV},
		{[]PixelFormat{YUYV, JPEG}, 0, JPEG},
		{[]PixelFormat{YUYV}, 0, YUYV},
	}
	for _, test := range tests {
		d := &fake{has: map[PixelFormat]string{}}
		for _, f := range test.has {
			d.has[f] = f.String()
		}
		if got := camera(t, d, Settings{Format: test.asks}).Mode(); got.Format != test.want || got.Width != 64 || got.FPS != 15 {
			t.Errorf("of %v, asked for %v: %+v", test.has, test.asks, got)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	give := func(m Mode) func(PixelFormat) Mode { return func(PixelFormat) Mode { return m } }
	tests := []struct {
		name string
		dev  *fake
		open error
		s    Settings
		want string
	}{
		{"no path", nil, nil, Settings{}, "no device is named"},
		{"a width that is too small", nil, nil, Settings{Path: "x", Width: 1, Height: 100}, "width 1"},
		{"a height that is too large", nil, nil, Settings{Path: "x", Width: 100, Height: 9000}, "height 9000"},
		{"a rate below 0", nil, nil, Settings{Path: "x", FPS: -1}, "fps -1"},
		{"a format that cannot be read", nil, nil, Settings{Path: "x", Format: 'X' | 'Y'<<8}, "format XY??"},
		{"no camera", nil, os.ErrNotExist, Settings{Path: "x"}, "hint: is the camera plugged in?"},
		{"no permission", nil, unix.EACCES, Settings{Path: "x"}, "group video"},
		{"nothing at all", &fake{}, nil, Settings{Path: "x"}, "try the others"},
		{"H.264 alone", &fake{has: map[PixelFormat]string{'H' | '2'<<8 | '6'<<16 | '4'<<24: "H.264"}}, nil, Settings{Path: "x"}, "neither MJPG nor YUYV but H264 (H.264)"},
		{"raw data", &fake{has: map[PixelFormat]string{'R' | 'G'<<8: "8-bit Bayer RGRG/GBGB"}}, nil, Settings{Path: "x"}, "need libcamera"},
		{"another format than asked", &fake{mode: give(Mode{Format: YUYV, Width: 64, Height: 32})}, nil, Settings{Path: "x", Format: MJPEG}, "gives YUYV instead of MJPG"},
		{"a strange size", &fake{mode: give(Mode{Format: MJPEG})}, nil, Settings{Path: "x", Format: MJPEG}, "size 0×0"},
		{"rows that are too short", &fake{mode: give(Mode{Format: YUYV, Width: 64, Height: 32, Stride: 100})}, nil, Settings{Path: "x", Format: YUYV}, "rows of 100 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := openWith(test.s, func(string) (device, error) {
				if test.open != nil {
					return nil, test.open
				}
				return test.dev, nil
			})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q in it", err, test.want)
			}
			if test.dev != nil && test.dev.closed != 1 {
				t.Errorf("the device was closed %d times", test.dev.closed)
			}
		})
	}
}

// A camera that another program set otherwise between Open and Run is refused.
func TestModeChanges(t *testing.T) {
	width := 64
	d := &fake{mode: func(f PixelFormat) Mode { width += 16; return Mode{Format: f, Width: width, Height: 32} }}
	c := camera(t, d, Settings{})
	if _, err := run(t, c, time.Second); err == nil || !strings.Contains(err.Error(), "gave") {
		t.Errorf("error is %v", err)
	}
}

// YUYV is encoded: rows with a stride, video range spread to full range.
func TestYUYV(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const width, height, stride = 64, 32, 140
		raw := make([]byte, stride*height)
		for y := range height {
			for x := range width {
				luma, chroma := byte(16), byte(128)
				if x >= width/2 {
					luma = 235
				}
				if y >= height/2 {
					chroma = 240 // of blue in even pixels, of red in odd ones
				}
				raw[y*stride+2*x], raw[y*stride+2*x+1] = luma, chroma
			}
		}
		d := &fake{
			mode:  func(f PixelFormat) Mode { return Mode{Format: f, Width: width, Height: height, Stride: stride} },
			steps: []step{{data: raw}, {data: raw[:len(raw)-stride]}},
		}
		c := camera(t, d, Settings{Format: YUYV})
		frames, _ := run(t, c, time.Second)
		if len(frames) != 1 || c.Broken() != 1 {
			t.Fatalf("%d frames, %d broken, want 1 and 1", len(frames), c.Broken())
		}
		img, err := jpeg.Decode(bytes.NewReader(frames[0].Data))
		if err != nil {
			t.Fatal(err)
		}
		for at, want := range map[image.Point]color.YCbCr{
			{8, 8}: {0, 128, 128}, {56, 8}: {255, 128, 128}, {8, 24}: {0, 255, 255}, {56, 24}: {255, 255, 255},
		} {
			got := img.At(at.X, at.Y).(color.YCbCr)
			if off(got.Y, want.Y) || off(got.Cb, want.Cb) || off(got.Cr, want.Cr) {
				t.Errorf("at %v there is %v, want %v", at, got, want)
			}
		}
	})
}

func off(a, b uint8) bool { return max(a, b)-min(a, b) > 4 }

// Odd sizes take no byte from outside the picture.
func TestUnpackOddSize(t *testing.T) {
	for _, size := range []image.Point{{17, 17}, {16, 17}, {17, 16}} {
		mode := Mode{Format: YUYV, Width: size.X, Height: size.Y, Stride: 2 * size.X}
		if _, err := newEncoder(mode).picture(make([]byte, 2*size.X*size.Y)); err != nil {
			t.Errorf("%v: %v", size, err)
		}
	}
}

// What unmapBuffers looks for is there in the library.
func TestLibraryBuffers(t *testing.T) {
	field, ok := reflect.TypeFor[webcam.Webcam]().FieldByName("buffers")
	if !ok || field.Type != reflect.TypeFor[[][]byte]() {
		t.Fatalf("webcam.Webcam has no buffers of type [][]byte: %v", field)
	}
	cam := new(webcam.Webcam)
	unmapBuffers(cam) // none
	memory, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	// Set the field as StartStreaming leaves it when it fails half-way.
	*(*[][]byte)(unsafe.Add(unsafe.Pointer(cam), field.Offset)) = [][]byte{memory, nil}
	unmapBuffers(cam)
	if err := unix.Munmap(memory); err == nil {
		t.Error("the memory was still mapped")
	}
}

// The structures are as long as the kernel's.
func TestStructSizes(t *testing.T) {
	want := uintptr(204)
	if unsafe.Sizeof(uintptr(0)) == 8 {
		want = 208
	}
	if got := unsafe.Sizeof(format{}); got != want {
		t.Errorf("struct v4l2_format has %d bytes, want %d", got, want)
	}
	if got := unsafe.Offsetof(format{}.pix); got != want-200 {
		t.Errorf("its union is at %d, want %d", got, want-200)
	}
	if got := unsafe.Sizeof(capability{}); got != 104 {
		t.Errorf("struct v4l2_capability has %d bytes, want 104", got)
	}
}

func TestOpenDevice(t *testing.T) {
	if _, err := Open(Settings{Path: filepath.Join(t.TempDir(), "video0")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a device the error is %v", err)
	}
	if _, err := Open(Settings{Path: "/dev/null"}); err == nil || !strings.Contains(err.Error(), "not a V4L2 device") {
		t.Errorf("with another device the error is %v", err)
	}
}

func TestPixelFormat(t *testing.T) {
	names := []string{MJPEG.String(), JPEG.String(), YUYV.String(), PixelFormat('Y' | ' '<<8 | ' '<<16 | ' '<<24).String(), PixelFormat(0).String()}
	if want := []string{"MJPG", "JPEG", "YUYV", "Y", "????"}; !slices.Equal(names, want) {
		t.Errorf("names are %q, want %q", names, want)
	}
}

// FuzzPicture gives arbitrary bytes as a camera's frame.
func FuzzPicture(f *testing.F) {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, image.NewGray(image.Rect(0, 0, 64, 32)), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte{0xff, 0xd8, 0xff, 0xd9})
	f.Fuzz(func(t *testing.T, data []byte) {
		mode := Mode{Format: MJPEG, Width: 64, Height: 32}
		got, err := newEncoder(mode).picture(data)
		if err == nil && (!bytes.HasPrefix(data, got) || !bytes.HasSuffix(got, []byte{0xff, 0xd9})) {
			t.Error("a picture that is not what the camera gave")
		}
		mode = Mode{Format: YUYV, Width: 16, Height: 16, Stride: 33}
		if _, err := newEncoder(mode).picture(data); (err == nil) != (len(data) >= 33*15+32) {
			t.Errorf("%d bytes of YUYV: %v", len(data), err)
		}
	})
}
