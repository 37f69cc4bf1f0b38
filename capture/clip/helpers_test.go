package clip_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/clip"
)

// start is when the first frame of each test was taken. It has a fraction that a
// float would lose.
var start = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)

const interval = 100 * time.Millisecond

// bOrder is the order in which the pictures of each group of ten come in
// testdata/bframes-192x108-10fps.h264.
var bOrder = []int{0, 4, 1, 2, 3, 8, 5, 6, 7, 9}

// h264Frames reads a stream of access units that each begin with a delimiter.
func h264Frames(t testing.TB, name string, order []int) []capture.Frame {
	t.Helper()
	stream, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	units := bytes.Split(stream, []byte{0, 0, 0, 1, 9})[1:]
	frames := make([]capture.Frame, len(units))
	for i, unit := range units {
		place := i
		if order != nil {
			place = i/len(order)*len(order) + order[i%len(order)]
		}
		data := append([]byte{0, 0, 0, 1, 9}, unit...)
		frames[i] = capture.Frame{
			Seq: uint64(i), Time: start.Add(time.Duration(place) * interval), Format: capture.FormatH264,
			Width: 192, Height: 108, Key: bytes.Contains(data, []byte{0, 0, 1, 0x65}), Data: data,
		}
	}
	return frames
}

func highFrames(t testing.TB) []capture.Frame {
	return h264Frames(t, "high-192x108-10fps.h264", nil)
}

// encodeJPEG makes a picture with a bar whose place follows from i.
func encodeJPEG(t testing.TB, width, height, i int) []byte {
	t.Helper()
	picture := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for y := range height {
		for x := range width {
			picture.Y[y*picture.YStride+x] = uint8(x*3 + y*5)
			if x/8 == i%max(width/8, 1) {
				picture.Y[y*picture.YStride+x] = 250
			}
		}
	}
	for i := range picture.Cb {
		picture.Cb[i], picture.Cr[i] = 120, 140
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, picture, &jpeg.Options{Quality: 80}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// noise makes a picture that compresses badly.
func noise(width, height int) *image.RGBA {
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	state := uint32(1)
	for y := range height {
		for x := range width {
			state = state*1664525 + 1013904223
			picture.SetRGBA(x, y, color.RGBA{R: uint8(state >> 24), G: uint8(state >> 16), B: uint8(state >> 8), A: 255})
		}
	}
	return picture
}

func jpegFrames(t testing.TB, n int) []capture.Frame {
	t.Helper()
	frames := make([]capture.Frame, n)
	for i := range frames {
		frames[i] = capture.Frame{
			Seq: uint64(i), Time: start.Add(time.Duration(i) * interval), Format: capture.FormatMJPEG,
			Width: 64, Height: 48, Key: true, Data: encodeJPEG(t, 64, 48, i),
		}
	}
	return frames
}

// withoutTables takes the Huffman tables out of a JPEG, as many cameras do.
func withoutTables(t testing.TB, picture []byte) []byte {
	t.Helper()
	out := bytes.Clone(picture[:2])
	for rest := picture[2:]; ; {
		if len(rest) < 4 || rest[0] != 0xff {
			t.Fatalf("not a JPEG segment: % x", rest[:min(4, len(rest))])
		}
		if rest[1] == 0xda {
			return append(out, rest...)
		}
		size := 2 + int(rest[2])<<8 + int(rest[3])
		if rest[1] != 0xc4 {
			out = append(out, rest[:size]...)
		}
		rest = rest[size:]
	}
}

// write makes a clip and returns its parts.
func write(t testing.TB, s clip.Settings, frames []capture.Frame) []clip.Part {
	t.Helper()
	var parts []clip.Part
	w := newWriter(t, s, &parts)
	for _, f := range frames {
		if err := w.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return parts
}

func newWriter(t testing.TB, s clip.Settings, parts *[]clip.Part) *clip.Writer {
	t.Helper()
	w, err := clip.NewWriter(s, func(p clip.Part) error {
		*parts = append(*parts, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func join(parts []clip.Part) []byte {
	var data []byte
	for _, p := range parts {
		data = append(data, p.Data...)
	}
	return data
}

// read returns the frames of a clip that must be whole.
func read(t testing.TB, data []byte) []capture.Frame {
	t.Helper()
	var frames []capture.Frame
	for f, err := range clip.Frames(data) {
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f)
	}
	return frames
}

// tool runs ffprobe or ffmpeg on a clip that it finds at the path "clip.mp4".
func tool(t *testing.T, data []byte, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%v\nhint: this test checks clips with ffmpeg's tools; install the package ffmpeg", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "clip.mp4"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.Bytes())
	}
	return out
}

// probed is what ffprobe says of a clip.
type probed struct {
	Streams []struct {
		Codec  string `json:"codec_name"`
		Tag    string `json:"codec_tag_string"`
		Width  int
		Height int
		Frames string            `json:"nb_read_frames"`
		Tags   map[string]string `json:"tags"`
	}
	Frames []struct {
		Key int    `json:"key_frame"`
		PTS string `json:"pts_time"`
	}
}

func probe(t *testing.T, data []byte) probed {
	t.Helper()
	out := tool(t, data, "ffprobe", "-v", "warning", "-count_frames", "-show_streams", "-show_frames", "-of", "json", "clip.mp4")
	var p probed
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Streams) != 1 {
		t.Fatalf("ffprobe finds %d streams, want 1", len(p.Streams))
	}
	return p
}

func count(n int) string { return fmt.Sprint(n) }
