//go:build linux

package v4l2

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/videodev"
	"github.com/lensward/lensward/capture/videodev/videodevtest"
)

// A camera is found by what it is called, and nothing that is no camera is.
func TestFind(t *testing.T) {
	m := newMachine(t)
	metadata := videodevtest.Camera{Card: "B", Caps: videodev.Metadata | videodev.Streams}
	m.plug(0, usb{port: "1-1", serial: "S0"}, metadata)
	m.plug(2, usb{port: "1-2", serial: "S1"}, endless(t))
	m.plug(10, usb{port: "1-3", serial: "S2"}, endless(t))
	for name, want := range map[string]string{
		"": "/dev/video2", "auto": "/dev/video2", "/dev/video10": "/dev/video10", "usb=1-3": "/dev/video10",
		"serial=S1": "/dev/video2", "usb=1-1": "", "usb=9": "", "serial=S9": "", "/dev/video7": "",
	} {
		c, err := Open(m.settings(Settings{Name: name}))
		switch {
		case want == "" && capture.FaultOf(err) != capture.FaultUnplugged:
			t.Errorf("%q: %v", name, err)
		case want != "" && (err != nil || c.Identity().Node != want):
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := Open(m.settings(Settings{Name: "/dev/video0"})); capture.FaultOf(err) != capture.FaultUnsuitable {
		t.Errorf("a metadata node: %v", err)
	}
	m.nothingHeld()
}

// The known camera is found at another node; another one is not taken for it where
// the name says which.
func TestFindKnown(t *testing.T) {
	m := newMachine(t)
	m.plug(0, usb{port: "1-1", serial: "S1"}, endless(t))
	known := m.open(Settings{Name: "/dev/video0"}).Identity()
	m.unplug(0)
	m.plug(0, usb{port: "1-4", serial: "S2"}, endless(t))
	m.plug(3, usb{port: "1-2", serial: "S1"}, endless(t))
	if c := m.open(Settings{Name: "/dev/video0", Known: known}); c.Identity().Node != "/dev/video3" || c.Identity().Port != "1-2" {
		t.Errorf("it is taken for %v", c.Identity())
	}
	m.unplug(3)
	var log bytes.Buffer
	c := m.open(Settings{Name: "/dev/video0", Known: known, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if c.Identity().Serial != "S2" || !strings.Contains(log.String(), "another camera is there now") {
		t.Errorf("it is taken for %v, and the log says %s", c.Identity(), &log)
	}
	if _, err := Open(m.settings(Settings{Name: "serial=S1", Known: known})); capture.FaultOf(err) != capture.FaultUnplugged {
		t.Errorf("by its serial number: %v", err)
	}
}

// A camera that gives something else than before does not pass for the one that
// was opened.
func TestOtherMode(t *testing.T) {
	m := newMachine(t)
	m.plug(0, usb{port: "1-1"}, endless(t))
	c := m.open(Settings{Name: "/dev/video0"})
	m.unplug(0)
	other := endless(t)
	other.Adjust = func(f videodev.Format) videodev.Format {
		f.Width, f.Planes = 128, videodevtest.Planes(f.PixelFormat, 128, 32)
		return f
	}
	m.plug(0, usb{port: "1-1"}, other)
	if _, err := film(t, c, time.Hour); err == nil || !strings.Contains(err.Error(), "gave MJPG 64×32 before") {
		t.Errorf("the error is %v", err)
	}
	m.nothingHeld()
}

func TestChooses(t *testing.T) {
	tests := []struct {
		has  []PixelFormat
		asks Want
		want PixelFormat
		why  string
	}{
		{[]PixelFormat{videodev.YUYV, videodev.H264, videodev.MJPEG}, "", videodev.MJPEG, "passed over: YUYV, H264"},
		{[]PixelFormat{videodev.YUYV, videodev.H264}, "", videodev.YUYV, "encoded here"},
		{[]PixelFormat{videodev.H264}, "", videodev.H264, "small pictures"},
		{[]PixelFormat{videodev.YUYV, videodev.JPEG}, "", videodev.JPEG, "without decoding"},
		{[]PixelFormat{videodev.YUYV, videodev.MJPEG}, WantYUYV, videodev.YUYV, "asked for"},
		{[]PixelFormat{videodev.GREY, videodev.NV12}, WantRaw, videodev.NV12, "asked for"},
	}
	for _, test := range tests {
		m := newMachine(t)
		cam := gives(test.has[0])
		cam.Formats = nil
		for _, p := range test.has {
			cam.Formats = append(cam.Formats, videodevtest.Format{PixelFormat: p, Text: p.String()})
		}
		m.plug(0, usb{port: "1-1"}, cam)
		if mode := m.open(Settings{Want: test.asks}).Mode(); mode.PixelFormat != test.want || mode.FPS != 10 || !strings.Contains(mode.Why, test.why) {
			t.Errorf("of %v, asked for %q: %+v", test.has, test.asks, mode)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	adjusted := func(change func(*videodev.Format)) videodevtest.Camera {
		cam := gives(videodev.YUYV)
		cam.Adjust = func(f videodev.Format) videodev.Format {
			f.Field, f.Planes = videodev.Progressive, videodevtest.Planes(f.PixelFormat, f.Width, f.Height)
			change(&f)
			return f
		}
		return cam
	}
	bayer := gives(PixelFormat('R' | 'G'<<8 | '1'<<16 | '0'<<24))
	bayer.Formats[0].Text = "10-bit Bayer RGRG/GBGB"
	tests := []struct {
		name string
		cam  videodevtest.Camera
		s    Settings
		want string
	}{
		{"raw sensor data", bayer, Settings{}, "use the source rpicam:"},
		{"a format that it lacks", gives(videodev.YUYV), Settings{Want: WantH264}, "does not give h264 but YUYV (YUYV)"},
		{"another format than asked", adjusted(func(f *videodev.Format) { f.PixelFormat = videodev.GREY }), Settings{}, "gives GREY instead of YUYV"},
		{"rows that are too short", adjusted(func(f *videodev.Format) { f.Planes[0].Stride = 100 }), Settings{}, "rows of 100 bytes"},
		{"half pictures", adjusted(func(f *videodev.Format) { f.Field = 2 }), Settings{}, "half pictures"},
		{"a size out of bounds", adjusted(func(f *videodev.Format) { f.Width = 8 }), Settings{}, "out of bounds"},
	}
	for _, test := range tests {
		m := newMachine(t)
		m.plug(0, usb{port: "1-1"}, test.cam)
		_, err := Open(m.settings(test.s))
		if err == nil || capture.FaultOf(err) != capture.FaultUnsuitable || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v (%s), want %q", test.name, err, capture.FaultOf(err), test.want)
		}
		m.nothingHeld()
	}
	for _, s := range []Settings{{Name: "video0"}, {Name: "usb="}, {Width: 1, Height: 100}, {Width: 100, Height: 9000}, {FPS: -1}, {Want: "png"}, {Controls: Controls{Gain: -1}}} {
		if _, err := Open(s); err == nil || capture.FaultOf(err) != capture.FaultFailed {
			t.Errorf("%+v is not refused as a setting: %v", s, err)
		}
	}
}

// Controls are set in the order that drivers want, within bounds, and what the
// camera lacks is told.
func TestControls(t *testing.T) {
	m := newMachine(t)
	m.plug(0, usb{port: "1-1"}, endless(t))
	var log bytes.Buffer
	c := m.open(Settings{
		Controls: Controls{Exposure: 10 * time.Second, Gain: 5, PowerLine: PowerLine50, Flip: capture.FlipBoth, Named: map[string]int{"auto exposure": 2, "focus": 1}},
		Log:      slog.New(slog.NewTextHandler(&log, nil)),
	})
	if _, err := film(t, c, 10*time.Millisecond); !strings.Contains(fmt.Sprint(err), "deadline") {
		t.Error(err)
	}
	want := []string{"Auto Exposure=1", "Exposure Time, Absolute=2047", "Power Line Frequency=1", "Horizontal Flip=1", "Auto Exposure=2"}
	if !slices.Equal(m.set, want) {
		t.Errorf("set were %q, want %q", m.set, want)
	}
	for _, text := range []string{"control=gain", "vertical flip", "control=focus", "does not go so far"} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("the log does not say %q:\n%s", text, &log)
		}
	}
}

func TestDiscover(t *testing.T) {
	m := newMachine(t)
	cam := endless(t)
	cam.Formats[0].Sizes, cam.Formats[0].Rates = []videodev.SizeRange{videodevtest.Size(64, 32)}, videodevtest.Rates(30, 15)
	cam.Formats = append(cam.Formats, videodevtest.Format{PixelFormat: 'X', Text: "unknown"})
	m.plug(0, usb{port: "1-1", serial: "S1"}, cam)
	m.plug(1, usb{port: "1-1", index: 1}, videodevtest.Camera{Caps: videodev.Metadata | videodev.Streams})
	m.plug(2, usb{port: "1-2"}, endless(t))
	m.kernel.Fault = func(c videodevtest.Call) error {
		if c.Path == "/dev/video2" && c.Name == "open" {
			return unix.EACCES
		}
		return nil
	}
	found, err := m.system().discover()
	if err != nil || len(found) != 2 {
		t.Fatalf("%d cameras, %v", len(found), err)
	}
	f := found[0]
	if f.Identity.Port != "1-1" || f.Identity.Serial != "S1" || f.Identity.Vendor != "1234" || len(f.Offers) != 2 || len(f.Controls) != 4 || f.Err != nil {
		t.Errorf("the first is %+v", f)
	}
	if o := f.Offers[0]; !o.Usable || f.Offers[1].Usable || fmt.Sprint(o.Sizes[0].SizeRange, o.Sizes[0].Rates) != "64×32 [30 15]" {
		t.Errorf("it offers %+v", f.Offers)
	}
	if capture.FaultOf(found[1].Err) != capture.FaultForbidden || !errors.Is(found[1].Err, unix.EACCES) {
		t.Errorf("the second is %+v", found[1])
	}
	m.nothingHeld()
}
