//go:build linux

package rpicam

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/internal/filestest"
	"github.com/lensward/lensward/capture/videodev"
)

// noEncoder is a board without devices.
type noEncoder struct{ videodev.Linux }

func (noEncoder) Open(string) (videodev.Node, error) { return nil, unix.ENOENT }

// newCamera is a camera that is filmed with by the made-up program.
func newCamera(t *testing.T, mode string, codec Codec) *Camera {
	t.Helper()
	c, err := Open(Settings{Program: program(t, mode), Codec: codec, Width: 128, Height: 96, kernel: noEncoder{}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// film runs a camera until it has given n frames.
func film(t *testing.T, c *Camera, n int) ([]capture.Frame, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var frames []capture.Frame
	err := c.Run(ctx, func(f capture.Frame) {
		if frames = append(frames, f); len(frames) == n {
			cancel()
		}
	})
	return frames, err
}

// Both codecs give whole frames, in order, of the size that the stream has.
func TestFilm(t *testing.T) {
	for _, codec := range []Codec{H264, MJPEG} {
		t.Run(string(codec), func(t *testing.T) {
			c := newCamera(t, "films", codec)
			began := time.Now()
			frames, err := film(t, c, 50)
			if !errors.Is(err, context.Canceled) || len(frames) < 50 {
				t.Fatalf("%d frames, %v", len(frames), err)
			}
			for i, f := range frames {
				if f.Seq != uint64(i) || f.Width != 128 || f.Height != 96 || f.Format != c.Choice().Format || f.Time.Before(began) {
					t.Errorf("frame %d is %d, %d×%d, %v, %v", i, f.Seq, f.Width, f.Height, f.Format, f.Time)
				}
				if i > 0 && f.Time.Before(frames[i-1].Time) {
					t.Errorf("frame %d was taken before frame %d", i, i-1)
				}
				checkFrame(t, i, f)
			}
			if c.Broken() != 0 {
				t.Errorf("%d are broken", c.Broken())
			}
		})
	}
}

// checkFrame compares a frame with what the made-up program gave.
func checkFrame(t *testing.T, i int, f capture.Frame) {
	t.Helper()
	if f.Format == capture.FormatMJPEG {
		if !f.Key || !bytes.Equal(f.Data, picture(128, 96, byte(10*(i%streamPictures)))) {
			t.Errorf("frame %d is not the picture that was given", i)
		}
		return
	}
	key := i%streamPictures%streamGOP == 0
	if f.Key != key || key != bytes.Contains(f.Data, []byte{0, 0, 1, 0x67}) || !bytes.Contains(stream, f.Data) {
		t.Errorf("frame %d: key is %v, want %v, or it is not of the stream", i, f.Key, key)
	}
}

// What the program's end says, as a fault and in words.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		mode  string
		codec Codec
		fault capture.Fault
		says  string
	}{
		{"none", MJPEG, capture.FaultUnplugged, "no cameras available"},
		{"busy", MJPEG, capture.FaultBusy, "another program uses the camera"},
		{"silent", MJPEG, capture.FaultSilent, "no picture for 300ms"},
		{"silent", H264, capture.FaultSilent, "Device timeout detected"},
		{"noise", MJPEG, capture.FaultBroken, "50 one after another"},
		{"noise", H264, capture.FaultBroken, "no H.264"},
		{"ends", MJPEG, capture.FaultFailed, "ended by itself"},
		{"dies", MJPEG, capture.FaultFailed, "signal: killed"},
	} {
		t.Run(c.mode+" "+string(c.codec), func(t *testing.T) {
			camera := newCamera(t, c.mode, c.codec)
			if c.mode == "silent" {
				camera.start = 300 * time.Millisecond
			}
			_, err := film(t, camera, 1000)
			if capture.FaultOf(err) != c.fault || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v: %v; want %v and %q", capture.FaultOf(err), err, c.fault, c.says)
			}
		})
	}
}

// A program that goes silent while it films is found out.
func TestFallsSilent(t *testing.T) {
	camera := newCamera(t, "films", MJPEG)
	camera.silence = time.Nanosecond
	frames, err := film(t, camera, 1<<30)
	if capture.FaultOf(err) != capture.FaultSilent || !strings.Contains(err.Error(), "no picture for 1ns") {
		t.Errorf("after %d frames: %v", len(frames), err)
	}
}

// With ctx the program ends, even one that does not care.
func TestCancel(t *testing.T) {
	for _, mode := range []string{"films", "stubborn"} {
		t.Run(mode, func(t *testing.T) {
			before := filestest.Open(t)
			if _, err := film(t, newCamera(t, mode, H264), 1); !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v", err)
			}
			if after := filestest.Open(t); after > before {
				t.Errorf("%d files are open, %d were before", after, before)
			}
		})
	}
}

// A camera that has failed can be run again.
func TestAgain(t *testing.T) {
	c := newCamera(t, "ends", MJPEG)
	for range 2 {
		if frames, err := film(t, c, 1000); len(frames) != streamPictures || capture.FaultOf(err) != capture.FaultFailed {
			t.Errorf("%d frames, %v", len(frames), err)
		}
	}
}

// The last picture of a stream that was cut off is not taken for a whole one.
func TestCutOff(t *testing.T) {
	frames, err := film(t, newCamera(t, "ends", H264), 1000)
	if len(frames) != streamPictures-1 || capture.FaultOf(err) != capture.FaultFailed {
		t.Errorf("%d frames, %v", len(frames), err)
	}
}

// The command lines, written out.
func TestArguments(t *testing.T) {
	for _, c := range []struct {
		name   string
		s      Settings
		choice Choice
		want   string
	}{
		{"defaults", Settings{}, Choice{Format: capture.FormatH264},
			"--nopreview --timeout 0 --camera 0 --width 1280 --height 720 --framerate 15 " +
				"--codec h264 --inline --intra 30 --bitrate 1382400 --flush --output -"},
		{"no encoder", Settings{Codec: H264}, Choice{Format: capture.FormatH264, software: true},
			"--nopreview --timeout 0 --camera 0 --width 1280 --height 720 --framerate 15 " +
				"--codec h264 --inline --intra 30 --bitrate 1382400 --libav-format h264 --flush --output -"},
		{"all", Settings{Camera: 1, Width: 640, Height: 480, FPS: 12.5, Flip: capture.FlipBoth, Exposure: 8 * time.Millisecond, Gain: 1.5},
			Choice{Format: capture.FormatMJPEG},
			"--nopreview --timeout 0 --camera 1 --width 640 --height 480 --framerate 12.5 " +
				"--codec mjpeg --quality 80 --hflip --vflip --shutter 8000 --gain 1.5 --flush --output -"},
		{"mirrored", Settings{Flip: capture.FlipHorizontal, GOP: 100 * time.Millisecond, Bitrate: 500_000}, Choice{Format: capture.FormatH264},
			"--nopreview --timeout 0 --camera 0 --width 1280 --height 720 --framerate 15 " +
				"--codec h264 --inline --intra 2 --bitrate 500000 --hflip --flush --output -"},
	} {
		args := arguments(c.s.withDefaults(), c.choice)
		if got := strings.Join(args, " "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		if _, wrong := options(args); wrong != "" {
			t.Errorf("%s: the program has no option %s", c.name, wrong)
		}
	}
}

func TestChoice(t *testing.T) {
	for _, c := range []struct {
		codec  Codec
		format capture.Format
		says   string
	}{
		{Auto, capture.FormatMJPEG, "the board has no H.264 encoder"},
		{H264, capture.FormatH264, "by the processor"},
		{MJPEG, capture.FormatMJPEG, "as is wanted"},
	} {
		choice := newCamera(t, "films", c.codec).Choice()
		if choice.Format != c.format || !strings.Contains(choice.Why, c.says) || !strings.HasSuffix(choice.Program, "/rpicam-vid") {
			t.Errorf("%s gives %+v", c.codec, choice)
		}
	}
	_, err := Open(Settings{Program: "no-such-program"})
	if !errors.Is(err, ErrNoProgram) || capture.FaultOf(err) != capture.FaultUnsuitable {
		t.Errorf("without a program: %v", err)
	}
}

func TestSettings(t *testing.T) {
	for _, s := range []Settings{
		{Camera: -1}, {Width: 63, Height: 64}, {Width: 640, Height: 481}, {FPS: 1000}, {Codec: "h265"}, {Bitrate: 1},
		{GOP: time.Hour}, {Flip: "upside down"}, {Exposure: time.Minute}, {Gain: 0.5},
	} {
		s.Program = "sh"
		if _, err := Open(s); err == nil || errors.Is(err, ErrNoProgram) {
			t.Errorf("settings %+v give %v", s, err)
		}
	}
}

func TestList(t *testing.T) {
	cameras, err := list(t.Context(), program(t, "list"))
	if err != nil || len(cameras) != 2 {
		t.Fatalf("%+v, %v", cameras, err)
	}
	first := cameras[0]
	if first.Model != "imx219" || first.Path != "/base/soc/i2c0mux/i2c@1/imx219@10" || first.Width != 3280 || first.Height != 2464 {
		t.Errorf("the first camera is %+v", first)
	}
	want := []Mode{{"SRGGB10_CSI2P", 640, 480, 206.65}, {"SRGGB10_CSI2P", 1640, 1232, 83.70}, {"SRGGB8", 640, 480, 206.65}}
	if len(first.Modes) != 3 || first.Modes[0] != want[0] || first.Modes[1] != want[1] || first.Modes[2] != want[2] {
		t.Errorf("its modes are %+v", first.Modes)
	}
	if second := cameras[1]; second.Index != 1 || second.Model != "ov9281" || len(second.Modes) != 1 {
		t.Errorf("the second camera is %+v", second)
	}
	if cameras, err := list(t.Context(), program(t, "empty list")); err != nil || len(cameras) != 0 {
		t.Errorf("no cameras are %+v, %v", cameras, err)
	}
	if _, err := list(t.Context(), program(t, "endless list")); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("an endless list gives %v", err)
	}
	if _, err := list(t.Context(), program(t, "none")); capture.FaultOf(err) != capture.FaultUnplugged {
		t.Errorf("a failed program gives %v", err)
	}
	if _, err := list(t.Context(), "no-such-program"); !errors.Is(err, ErrNoProgram) {
		t.Errorf("without a program: %v", err)
	}
}

func FuzzList(f *testing.F) {
	f.Add(listText)
	f.Add("0 : imx219 [] ()\n    Modes: 'X' : 1x1\n")
	f.Fuzz(func(t *testing.T, text string) {
		cameras, err := parseList(text)
		if err != nil {
			return
		}
		if len(cameras) > maxCameras {
			t.Fatalf("%d cameras", len(cameras))
		}
		for _, c := range cameras {
			if c.Model == "" || c.Index < 0 || c.Index > 99 || len(c.Modes) > maxModes {
				t.Fatalf("camera %+v", c)
			}
		}
	})
}
