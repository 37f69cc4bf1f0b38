package clip_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/clip"
)

func addFile(f *testing.F, name string) []byte {
	f.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		f.Fatal(err)
	}
	return data
}

// FuzzFrames reads anything. What it yields refers to no more than was there, and
// an error is one of those promised.
func FuzzFrames(f *testing.F) {
	for _, name := range []string{"mjpeg.mp4", "h264.mp4"} {
		data := addFile(f, name)
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var frames, size int
		for frame, err := range clip.Frames(data) {
			if err != nil {
				if !errors.Is(err, clip.ErrFormat) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("error %v is neither of those promised", err)
				}
				continue
			}
			frames++
			if frame.Format == capture.FormatMJPEG {
				size += len(frame.Data)
			}
		}
		if size > len(data) || frames > len(data) {
			t.Fatalf("%d frames with %d bytes out of %d bytes", frames, size, len(data))
		}
	})
}

// FuzzWriter writes anything as frames, after some that are good. What is taken
// must be read back, and nothing that was good may be lost.
func FuzzWriter(f *testing.F) {
	jpegs, high := jpegFrames(f, 1), highFrames(f)[:2]
	f.Add(true, jpegs[0].Data, int64(0))
	f.Add(false, high[0].Data, int64(40_000_000))
	f.Add(false, high[1].Data, int64(-1))
	f.Add(false, bytes.Join([][]byte{high[0].Data, high[1].Data}, nil), int64(1<<62))
	f.Fuzz(func(t *testing.T, isJPEG bool, data []byte, step int64) {
		for _, good := range [][]capture.Frame{nil, jpegs, high} {
			var parts []clip.Part
			w := newWriter(t, clip.Settings{}, &parts)
			var taken int
			put := func(frame capture.Frame) {
				if err := w.Write(frame); err == nil {
					taken++
				}
			}
			for _, frame := range good {
				put(frame)
			}
			if taken != len(good) {
				t.Fatalf("%d of %d good frames taken", taken, len(good))
			}
			odd := capture.Frame{Format: capture.FormatH264, Time: start.Add(time.Duration(step)), Data: data}
			if isJPEG {
				odd.Format = capture.FormatMJPEG
			}
			put(odd)
			odd.Time = odd.Time.Add(time.Duration(step))
			put(odd)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if taken == 0 {
				continue
			}
			if got := len(read(t, join(parts))); got != taken {
				t.Fatalf("%d frames read, %d taken", got, taken)
			}
		}
	})
}

// FuzzThumbnail makes a thumbnail of anything, within its limit.
func FuzzThumbnail(f *testing.F) {
	picture := addFile(f, "frame-16x16.jpg")
	f.Add(picture, 640, 80)
	f.Add(picture, 16, 1)
	f.Add(encodeJPEG(f, 64, 48, 1), 32, 100)
	f.Fuzz(func(t *testing.T, frame []byte, width, quality int) {
		got, err := clip.Thumbnail(frame, clip.ThumbnailSettings{MaxWidth: width, Quality: quality, MaxBytes: 4096})
		if err == nil && (len(got) > 4096 || len(got) == 0) {
			t.Fatalf("a thumbnail of %d bytes", len(got))
		}
	})
}
