package motion

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
)

// clipVariable names an MJPEG file, a run of JPEGs at ten frames a second: a real
// clip is too large for this repository. scripts/motion-table.sh counts what is
// found in one.
const clipVariable = "LENSWARD_CLIP"

type span struct{ start, end time.Duration }

func (s span) String() string {
	return fmt.Sprintf("%.1f–%.1f s", s.start.Seconds(), s.end.Seconds())
}

// readClip returns a clip's frames.
func readClip(t testing.TB) (frames [][]byte) {
	t.Helper()
	path := os.Getenv(clipVariable)
	if path == "" {
		t.Skipf("%s is not set", clipVariable)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		end := bytes.Index(data, []byte{0xFF, 0xD9})
		if end < 0 {
			break
		}
		frames = append(frames, data[:end+2])
		data = data[end+2:]
	}
	return frames
}

// BenchmarkClip decodes and feeds a clip; an operation is one frame.
func BenchmarkClip(b *testing.B) {
	frames := readClip(b)
	var decoder jpegdc.Decoder
	detector := New(DefaultSettings())
	for _, f := range frames[:min(len(frames), 20)] { // grow the buffers
		if _, err := decoder.Decode(f); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		g, err := decoder.Decode(frames[i%len(frames)])
		if err != nil {
			b.Fatal(err)
		}
		detector.Feed(time.Duration(i)*100*time.Millisecond, g)
	}
}

// BenchmarkFeed feeds a grid of 1280×720 pixels in which a figure walks.
func BenchmarkFeed(b *testing.B) {
	grids := make([]capture.Grid, 100)
	empty := newRoom(160, 90, 1)
	for i := range grids {
		grids[i] = empty.again().figure(i, 40, 8, 20).grid()
	}
	detector := New(DefaultSettings())
	detector.Feed(0, grids[0])
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		detector.Feed(time.Duration(i)*100*time.Millisecond, grids[i%len(grids)])
	}
}
