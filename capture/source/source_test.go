//go:build linux

package source

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/scene"
)

// mjpeg writes a file of three pictures of 64×64 and returns its path.
func mjpeg(t testing.TB, name string) string {
	t.Helper()
	var data []byte
	s := scene.New(scene.Settings{Width: 64, Height: 64, FPS: 1, Duration: 3 * time.Second, Fast: true})
	if err := s.Run(context.Background(), func(f capture.Frame) { data = append(data, f.Data...) }); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpen(t *testing.T) {
	path := mjpeg(t, "a b?.mjpeg")
	escaped := strings.ReplaceAll(strings.ReplaceAll(path, "?", "%3F"), " ", "%20")
	tests := []struct {
		url  string
		want Info
	}{
		{"scene:", Info{Format: capture.FormatMJPEG, Width: 1280, Height: 720, FPS: 10, Finite: false, Live: true}},
		{"scene:?width=64&height=66&fps=2.5&seed=-3&duration=1s&rate=max", Info{Format: capture.FormatMJPEG, Width: 64, Height: 66, FPS: 2.5, Finite: true, Live: false}},
		{"scene:?empty=true&rate=real", Info{Format: capture.FormatMJPEG, Width: 1280, Height: 720, FPS: 10, Finite: false, Live: true}},
		{"file:" + escaped, Info{Format: capture.FormatMJPEG, Width: 64, Height: 64, FPS: 10, Finite: true, Live: true}},
		{"file://" + escaped + "?rate=max&fps=30", Info{Format: capture.FormatMJPEG, Width: 64, Height: 64, FPS: 30, Finite: true, Live: false}},
		{"file:" + strings.ReplaceAll(path, "?", "%3f") + "?loop=true", Info{Format: capture.FormatMJPEG, Width: 64, Height: 64, FPS: 10, Finite: false, Live: true}},
	}
	for _, test := range tests {
		src, info, err := Open(t.Context(), test.url, Options{})
		if err != nil || src == nil || info != test.want {
			t.Errorf("%s: %+v, %v; want %+v", test.url, info, err, test.want)
		}
	}
}

// A source that was opened by its URL runs as the URL says.
func TestRun(t *testing.T) {
	start := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, url := range []string{
		"scene:?width=64&height=64&fps=2&duration=1500ms&rate=max",
		"file:" + mjpeg(t, "a.mjpg") + "?rate=max&fps=2",
	} {
		src, info, err := Open(t.Context(), url, Options{Start: start})
		if err != nil {
			t.Fatal(err)
		}
		var frames []capture.Frame
		if err := src.Run(t.Context(), func(f capture.Frame) { frames = append(frames, f) }); err != nil {
			t.Fatal(err)
		}
		if len(frames) != 3 {
			t.Fatalf("%s: %d frames, want 3", url, len(frames))
		}
		if last := frames[2]; !last.Time.Equal(start.Add(time.Second)) || last.Width != info.Width || last.Format != info.Format {
			t.Errorf("%s: the last frame is %+v", url, last)
		}
	}
}

func TestErrors(t *testing.T) {
	path := mjpeg(t, "a.mjpeg")
	tests := []struct{ url, want string }{
		{"", "none of scene:, file:, v4l2: and rpicam:"},
		{path, "hint: a file is file:PATH"},
		{"rtsp://camera/", "none of scene:, file:, v4l2: and rpicam:"},
		{"SCENE:", "none of scene:, file:, v4l2: and rpicam:"},
		{"scene:?hight=720", `scene: has no parameter "hight", only width, height, fps, seed, duration, empty, rate`},
		{"file:" + path + "?seed=1", `file: has no parameter "seed", only fps, loop, rate`},
		{"v4l2:/dev/video0?rate=max", `v4l2: has no parameter "rate", only width, height, fps, format, encode, bitrate`},
		{"scene:?fps=1&fps=2", "parameter fps is given 2 times"},
		{"scene:?fps=fast", `parameter fps is "fast", not a number above 0`},
		{"scene:?fps=NaN", `parameter fps is "NaN"`},
		{"scene:?fps=1e9", "fps 1e+09 is not above 0 and at most 60"},
		{"scene:?width=640", "width and height are given both or not at all"},
		{"scene:?width=640&height=0", `parameter height is "0"`},
		{"scene:?width=99999999999&height=2", `parameter width is "99999999999"`},
		{"scene:?width=3840&height=2160", "width 3840 is not an even number from 64 to 1920"},
		{"scene:?rate=slow", `parameter rate is "slow", not real or max`},
		{"scene:?empty=", `parameter empty is "", not false or true`},
		{"scene:?duration=5", `parameter duration is "5"`},
		{"scene:width=5", "parameters come after a ?"},
		{"scene:?a;b", "parameters: invalid semicolon"},
		{"file:", "names no file"},
		{"file:%zz", "hint: % is written %25"},
		{"file:a%00b.mjpeg", "NUL"},
		{"file://host/a.mjpeg", "names a host"},
		{"file:" + path + "?fps=1000", "frame rate 1000"},
		{"file:" + path + ".none.mjpeg", "no such file"},
		{"v4l2:video0", "names no camera"},
		{"v4l2:usb=", "names no camera"},
		{"rpicam:front", "is no camera's number"},
		{"rpicam:16", "camera 16"},
		{"v4l2:auto?encode=vp8", `parameter encode is "vp8"`},
		{"v4l2:/dev/video0?format=av1", `parameter format is "av1", not auto or mjpeg or h264`},
		{"v4l2:/dev/null?format=yuyv", "not a V4L2 device"},
		{"scene:?" + strings.Repeat("x", maxURLBytes), "more than 4096"},
	}
	for _, test := range tests {
		src, info, err := Open(t.Context(), test.url, Options{})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.60q: error is %v, want %q in it", test.url, err, test.want)
		}
		if src != nil || info != (Info{}) {
			t.Errorf("%.60q: an error comes with %v, %+v", test.url, src, info)
		}
	}
}

// FuzzParse takes arbitrary URLs apart. Nothing is opened.
func FuzzParse(f *testing.F) {
	for _, url := range []string{
		"scene:?width=1280&height=720&fps=10&seed=1&duration=1m&empty=true&rate=max",
		"file:/a%20b.mp4?loop=true&rate=max", "file:///x.mjpeg?fps=3", "v4l2:/dev/video0?format=yuyv", "v4l2:usb=1-1.2", "rpicam:1?format=mjpeg",
	} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		u, err := parse(url)
		if err != nil {
			return
		}
		if len(url) > maxURLBytes || !strings.HasPrefix(url, u.scheme+":") || strings.ContainsRune(u.path, 0) {
			t.Fatalf("%q is taken apart into %+v", url, u)
		}
		if u.scheme == "scene" {
			src, info, err := openScene(u, Options{})
			if err == nil && (src == nil || info.Width < 64 || info.Height < 64 || !(info.FPS > 0)) {
				t.Fatalf("%q opens as %+v", url, info)
			}
		}
	})
}
