package motion

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
)

// A real clip is too large for this repository. These variables bring one in:
//
//	LENSWARD_CLIP        an MJPEG file, a run of JPEGs
//	LENSWARD_CLIP_FPS    its frames per second, 10 if not set
//	LENSWARD_CLIP_TRUTH  a CSV file with the columns enter_s, leave_s; without it
//	                     nobody is in the clip and every event is a false one
const (
	clipVariable  = "LENSWARD_CLIP"
	fpsVariable   = "LENSWARD_CLIP_FPS"
	truthVariable = "LENSWARD_CLIP_TRUTH"
)

// mergeGap is the pause that ends an event.
const mergeGap = 3 * time.Second

type span struct{ start, end time.Duration }

func (s span) String() string {
	return fmt.Sprintf("%.1f–%.1f s", s.start.Seconds(), s.end.Seconds())
}

// readClip returns a clip's frames and the time between two.
func readClip(t testing.TB) (frames [][]byte, interval time.Duration) {
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
	fps := 10.0
	if s := os.Getenv(fpsVariable); s != "" {
		if fps, err = strconv.ParseFloat(s, 64); err != nil || fps <= 0 {
			t.Fatalf("%s: %q is no frame rate", fpsVariable, s)
		}
	}
	return frames, time.Duration(float64(time.Second) / fps)
}

// readTruth returns when somebody is in the clip.
func readTruth(t testing.TB) []span {
	t.Helper()
	path := os.Getenv(truthVariable)
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var visits []span
	for _, row := range rows[1:] {
		var at [2]float64
		for i := range at {
			if at[i], err = strconv.ParseFloat(row[i], 64); err != nil {
				t.Fatal(err)
			}
		}
		visits = append(visits, span{time.Duration(at[0] * 1e9), time.Duration(at[1] * 1e9)})
	}
	return visits
}

// TestClip finds every visit in a clip, in at most 14 events, and none outside.
func TestClip(t *testing.T) {
	frames, interval := readClip(t)
	visits := readTruth(t)
	var events []span
	var decoder jpegdc.Decoder
	detector := New(DefaultSettings())
	for i, f := range frames {
		g, err := decoder.Decode(f)
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		at := time.Duration(i) * interval
		r := detector.Feed(at, g)
		if r.Relearned {
			t.Logf("relearned at %v", at)
		}
		if !r.Moving {
			continue
		}
		if n := len(events); n > 0 && at-events[n-1].end <= mergeGap {
			events[n-1].end = at
		} else {
			events = append(events, span{at, at})
		}
	}
	found, outside := 0, 0
	for _, v := range visits {
		for _, e := range events {
			if e.start <= v.end && e.end >= v.start {
				found++
				break
			}
		}
	}
	for _, e := range events {
		real := false
		for _, v := range visits { // the truth is good to a second, pauses drain slowly
			real = real || e.start <= v.end+2*time.Second && e.end >= v.start-2*time.Second
		}
		if !real {
			outside++
		}
	}
	t.Logf("%d of %d visits in %d events, %d of them false: %v", found, len(visits), len(events), outside, events)
	if found < len(visits) || outside > 0 || len(events) > max(14, 2*len(visits)) {
		t.Errorf("want every visit and no false event")
	}
}

// BenchmarkClip decodes and feeds a clip; an operation is one frame.
func BenchmarkClip(b *testing.B) {
	frames, interval := readClip(b)
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
		detector.Feed(time.Duration(i)*interval, g)
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
