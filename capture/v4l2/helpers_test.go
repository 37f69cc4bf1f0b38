//go:build linux

package v4l2

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/videodev"
	"github.com/lensward/lensward/capture/videodev/videodevtest"
)

// machine is a made-up computer with cameras: a kernel and what sysfs says.
type machine struct {
	t      *testing.T
	kernel *videodevtest.Kernel
	root   string
	set    []string // controls, as "name=value"
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, kernel: videodevtest.New(), root: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(m.root, "class"), 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) system() system {
	return system{kernel: m.kernel, class: filepath.Join(m.root, "class"), dev: "/dev", knobs: func(string) (knobs, error) { return made{m}, nil }}
}

// made are a made-up camera's controls.
type made struct{ *machine }

func (k made) list() []Control {
	return []Control{
		{ID: videodev.ControlExposureAuto, Name: "Auto Exposure", Max: 3, Step: 1},
		{ID: videodev.ControlExposureAbsolute, Name: "Exposure Time, Absolute", Min: 3, Max: 2047, Step: 1},
		{ID: videodev.ControlPowerLineFrequency, Name: "Power Line Frequency", Max: 2, Step: 1},
		{ID: videodev.ControlHorizontalFlip, Name: "Horizontal Flip", Max: 1, Step: 1},
	}
}

func (k made) set(id uint32, value int32) error {
	i := slices.IndexFunc(k.list(), func(c Control) bool { return c.ID == id })
	k.machine.set = append(k.machine.set, fmt.Sprintf("%s=%d", k.list()[i].Name, value))
	return nil
}

func (k made) close() error { return nil }

// usb is where a camera is plugged in.
type usb struct {
	port, serial string
	index        int
}

// plug plugs a camera in as /dev/videoN.
func (m *machine) plug(n int, at usb, cam videodevtest.Camera) {
	m.t.Helper()
	name := fmt.Sprintf("video%d", n)
	device := filepath.Join(m.root, "devices", at.port)
	class := filepath.Join(m.root, "class", name)
	files := map[string]string{
		filepath.Join(device, "idVendor"): "1234\n", filepath.Join(device, "idProduct"): "abcd\n",
		filepath.Join(class, "name"): cam.Card + "\n", filepath.Join(class, "index"): fmt.Sprintln(at.index),
	}
	if at.serial != "" {
		files[filepath.Join(device, "serial")] = at.serial + "\n"
	}
	intf := filepath.Join(device, at.port+":1.0")
	for _, dir := range []string{class, intf} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			m.t.Fatal(err)
		}
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := os.Symlink(intf, filepath.Join(class, "device")); err != nil {
		m.t.Fatal(err)
	}
	m.kernel.AddCamera("/dev/"+name, cam)
}

func (m *machine) unplug(n int) {
	m.t.Helper()
	m.kernel.Unplug(fmt.Sprintf("/dev/video%d", n))
	if err := os.RemoveAll(filepath.Join(m.root, "class", fmt.Sprintf("video%d", n))); err != nil {
		m.t.Fatal(err)
	}
}

// open opens a camera of 64×32.
func (m *machine) open(s Settings) *Camera {
	m.t.Helper()
	c, err := Open(m.settings(s))
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

func (m *machine) settings(s Settings) Settings {
	s.system = m.system()
	if s.Width == 0 {
		s.Width, s.Height, s.FPS = 64, 32, 10
	}
	return s
}

// nothingHeld checks that all files and maps were given back.
func (m *machine) nothingHeld() {
	m.t.Helper()
	if files, maps := m.kernel.Held(); files != 0 || maps != 0 {
		m.t.Errorf("%d files and %d maps are left over", files, maps)
	}
}

// film runs a camera for a while.
func film(t *testing.T, c *Camera, limit time.Duration) ([]capture.Frame, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var frames []capture.Frame
	err := c.Run(ctx, func(f capture.Frame) { frames = append(frames, f) })
	return frames, err
}

// picture makes a grey JPEG.
func grey(t testing.TB, width, height int, shade uint8) []byte {
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

// tenth is ten pictures a second.
func tenth() *videodev.Fraction { return &videodev.Fraction{Numerator: 1, Denominator: 10} }

// gives is a camera of one format that goes through pictures, and then hangs.
func gives(p PixelFormat, pictures ...videodevtest.Picture) videodevtest.Camera {
	return videodevtest.Camera{
		Driver: "uvcvideo", Card: "A camera", Interval: tenth(),
		Formats: []videodevtest.Format{{PixelFormat: p, Text: p.String()}},
		Picture: func(n int, _ videodev.Format) videodevtest.Picture {
			if n < len(pictures) {
				return pictures[n]
			}
			return videodevtest.Picture{Hang: true}
		},
	}
}

// endless is a camera of Motion JPEG without end.
func endless(t testing.TB) videodevtest.Camera {
	cam := gives(videodev.MJPEG)
	data := grey(t, 64, 32, 100)
	cam.Picture = func(int, videodev.Format) videodevtest.Picture { return videodevtest.Picture{Planes: [][]byte{data}} }
	return cam
}

func data(b []byte) videodevtest.Picture { return videodevtest.Picture{Planes: [][]byte{b}} }
