package jpegdc

import (
	"bytes"
	"image"
	"os"
	"syscall"
	"testing"
	"time"
)

// splitFrames cuts a run of JPEGs into its frames.
func splitFrames(data []byte) [][]byte {
	var frames [][]byte
	for len(data) > 0 {
		end := bytes.Index(data, []byte{0xFF, markerEOI})
		if end < 0 {
			break
		}
		frames = append(frames, data[:end+2])
		data = data[end+2:]
	}
	return frames
}

// cpuTime is the CPU time of this process so far.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchmarkEach runs on the frames of the MJPEG file that LENSWARD_CLIP names, or else
// on pictures of 1280×720 made here, of about 40 and 200 kilobytes.
func benchmarkEach(b *testing.B, run func(*testing.B, [][]byte)) {
	if path := os.Getenv("LENSWARD_CLIP"); path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		run(b, splitFrames(data))
		return
	}
	for _, size := range []struct {
		name    string
		quality int
	}{{"40KB", 12}, {"200KB", 86}} {
		b.Run(size.name, func(b *testing.B) {
			var frames [][]byte
			for seed := range uint64(4) {
				frames = append(frames, encode(b, picture(1280, 720, seed), size.quality))
			}
			run(b, frames)
		})
	}
}

// BenchmarkDecode decodes one frame an operation. Beside the usual figures it gives
// the CPU time of a frame, and the sum of its means averaged over all frames, which
// any other decoder must give too: scripts/bench-jpegdc.sh compares both.
func BenchmarkDecode(b *testing.B) {
	benchmarkEach(b, func(b *testing.B, frames [][]byte) {
		var d Decoder
		size, sum := 0, 0
		for _, f := range frames { // warm, and the sum
			g, err := d.Decode(f)
			if err != nil {
				b.Fatal(err)
			}
			for _, v := range g.Luma {
				sum += int(v)
			}
			size += len(f)
		}
		b.SetBytes(int64(size / len(frames)))
		b.ReportAllocs()
		b.ResetTimer()
		before := cpuTime(b)
		for i := range b.N {
			if _, err := d.Decode(frames[i%len(frames)]); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(cpuTime(b)-before)/1e3/float64(b.N), "cpu-µs/frame")
		b.ReportMetric(float64(sum/len(frames)), "luma/frame")
	})
}

// BenchmarkRedact hides a tenth of one frame an operation.
func BenchmarkRedact(b *testing.B) {
	benchmarkEach(b, func(b *testing.B, frames [][]byte) {
		width, height, err := Size(frames[0])
		if err != nil {
			b.Fatal(err)
		}
		cells := make(map[int][]bool) // by their size: 8×8 and 16×16
		cover := func(w, h, cellWidth, cellHeight int) []bool {
			at := cellWidth<<8 | cellHeight
			if cells[at] == nil {
				part := image.Rect(width/2, height/3, width/2+width/5, height/3+height/2)
				cells[at] = coverOf(part)(w, h, cellWidth, cellHeight)
			}
			return cells[at]
		}
		var r Redactor
		b.SetBytes(int64(len(frames[0])))
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			if _, err := r.Redact(frames[i%len(frames)], cover); err != nil {
				b.Fatal(err)
			}
		}
	})
}
