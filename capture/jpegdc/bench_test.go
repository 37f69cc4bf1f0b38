package jpegdc

import (
	"bytes"
	"os"
	"testing"
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

// BenchmarkDecodeClip reads the MJPEG file that LENSWARD_CLIP names; an
// operation is one frame.
func BenchmarkDecodeClip(b *testing.B) {
	path := os.Getenv("LENSWARD_CLIP")
	if path == "" {
		b.Skip("LENSWARD_CLIP is not set")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	frames := splitFrames(data)
	var d Decoder
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		f := frames[i%len(frames)]
		if _, err := d.Decode(f); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(f)))
	}
}
