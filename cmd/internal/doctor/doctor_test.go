package doctor

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/capture/v4l2"
	"github.com/lensward/lensward/capture/videodev"
)

var update = flag.Bool("update", false, "write the golden files anew")

// cameras are what a machine may have: one that works, one that is of no use, one
// that may not be opened.
func cameras() []v4l2.Found {
	size := func(w, h int) videodev.SizeRange {
		return videodev.SizeRange{MinWidth: w, MaxWidth: w, StepWidth: 1, MinHeight: h, MaxHeight: h, StepHeight: 1}
	}
	return []v4l2.Found{
		{
			Identity: v4l2.Identity{Node: "/dev/video0", Card: "Door Cam", Port: "1-1.2", Vendor: "1209", Product: "ca3e", Serial: "SN7"},
			Driver:   "uvcvideo", Bus: "usb-0000:01:00.0-1.2",
			Offers: []v4l2.Offer{
				{PixelFormat: videodev.MJPEG, Text: "Motion-JPEG", Usable: true, Sizes: []v4l2.Size{
					{SizeRange: size(1280, 720), Rates: []videodev.RateRange{{Min: 30, Max: 30}, {Min: 15, Max: 15}}},
					{SizeRange: size(640, 480)},
				}},
				{PixelFormat: videodev.YUYV, Text: "YUYV 4:2:2", Usable: true},
			},
			Controls: []v4l2.Control{{Name: "Gain", Max: 100}, {Name: "Infrared Lamp", Max: 1}},
		},
		{
			Identity: v4l2.Identity{Node: "/dev/video2", Card: "unicam"}, Driver: "unicam", Bus: "platform:fe801000.csi",
			Offers: []v4l2.Offer{{PixelFormat: 'p' | 'R'<<8 | 'A'<<16 | 'A'<<24, Text: "10-bit Bayer RGRG/GBGB (Packed)"}},
			Advice: "this is part of a Raspberry Pi camera's own processing; use the source rpicam:",
		},
		{Identity: v4l2.Identity{Node: "/dev/video4", Card: "Yard Cam"}, Err: errors.New("open /dev/video4: permission denied; hint: add the user to the group video")},
	}
}

// TestReport holds the whole report to its golden file. That the first camera is
// not there when it is tried belongs to it.
func TestReport(t *testing.T) {
	r, err := Look(t.Context(), Options{discover: func() ([]v4l2.Found, error) {
		all := cameras()
		all[0].Identity.Node = filepath.Join(t.TempDir(), "video0")
		return all, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Works() {
		t.Error("a camera works that is not there")
	}
	trial := r.Cameras[0].Trial
	if trial == nil || trial.Condition != "camera-unplugged" || trial.Problem == "" {
		t.Errorf("the camera that is not there: %+v", trial)
	}
	r.Cameras[0].Node = "/dev/video0"
	r.Cameras[0].Trial = &Trial{Source: "v4l2:/dev/video0", Format: "MJPEG", Width: 1280, Height: 720, FPS: 15, Why: "it was asked for", Measured: 14.96, Bytes: 38_000, Picture: "video0.jpg"}
	r.Tools = []Tool{{Name: "ffmpeg", For: "much"}, {Name: "rpicam-vid", Path: "/usr/bin/rpicam-vid", For: "more"}}
	r.Modules = []Module{{Source: "rpicam:0", Model: "imx219", Size: "3280×2464", Trial: &Trial{Source: "rpicam:0", Condition: "camera-busy", Problem: "in use"}}}
	var out bytes.Buffer
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "report.txt")
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("the report is\n%s\nwant\n%s", &out, want)
	}
	if !r.Works() {
		t.Error("no camera works, though one gave pictures")
	}
}

// TestTrial runs a source and looks at the picture that it took.
func TestTrial(t *testing.T) {
	opener, err := source.New("scene:?width=128&height=96&fps=10", source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	none := func() ([]v4l2.Found, error) { return nil, nil }
	r, err := Look(t.Context(), Options{Configured: opener, Name: "scene:", Pictures: dir, discover: none})
	if err != nil {
		t.Fatal(err)
	}
	c := r.Configured
	if !r.Works() || c.Format != "MJPEG" || c.Width != 128 || !(c.Measured > 0) || c.Bytes < 100 {
		t.Errorf("the trial found %+v", c)
	}
	f, err := os.Open(filepath.Join(dir, "configured.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if img, err := jpeg.Decode(f); err != nil || img.Bounds().Dx() != 128 {
		t.Errorf("the picture: %v", err)
	}
}

// TestTrialOfNothing has a source that ends at once, and one that is told to stop.
func TestTrialOfNothing(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.mjpeg")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	opener, err := source.New("file:"+empty, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := try(t.Context(), opener, "empty", ""); got.Works() {
		t.Errorf("a file without pictures works: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	opener, err = source.New("scene:", source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := try(ctx, opener, "scene:", ""); got.Works() {
		t.Errorf("a trial that was ended works: %+v", got)
	}
}
