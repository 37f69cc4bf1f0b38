package clip_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"testing"

	"github.com/lensward/lensward/capture/clip"
)

func decodeJPEG(t testing.TB, data []byte) image.Image {
	t.Helper()
	picture, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

func TestThumbnail(t *testing.T) {
	small := encodeJPEG(t, 320, 180, 3)
	var noisy bytes.Buffer
	if err := jpeg.Encode(&noisy, noise(640, 360), &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name          string
		frame         []byte
		settings      clip.ThumbnailSettings
		width, height int
	}{
		{"scaled down", encodeJPEG(t, 1280, 720, 3), clip.ThumbnailSettings{}, 640, 360},
		{"scaled down, odd size", encodeJPEG(t, 1022, 575, 3), clip.ThumbnailSettings{}, 640, 360},
		{"upright", encodeJPEG(t, 360, 640, 3), clip.ThumbnailSettings{MaxWidth: 180}, 180, 320},
		{"passed through", small, clip.ThumbnailSettings{}, 320, 180},
		{"passed through, tables put back", withoutTables(t, small), clip.ThumbnailSettings{}, 320, 180},
		{"tables put back and scaled", withoutTables(t, small), clip.ThumbnailSettings{MaxWidth: 160}, 160, 90},
		{"small but in too many bytes", noisy.Bytes(), clip.ThumbnailSettings{}, 640, 360},
		{"few bytes, fewer pixels", noisy.Bytes(), clip.ThumbnailSettings{MaxBytes: 4096}, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := clip.Thumbnail(test.frame, test.settings)
			if err != nil {
				t.Fatal(err)
			}
			limit := test.settings.MaxBytes
			if limit == 0 {
				limit = clip.MaxThumbnailBytes
			}
			if len(got) > limit {
				t.Errorf("%d bytes, want at most %d", len(got), limit)
			}
			size := decodeJPEG(t, got).Bounds().Size()
			if want := (image.Point{X: test.width, Y: test.height}); test.width > 0 && size != want {
				t.Errorf("size %v, want %v", size, want)
			}
			if test.width == 0 && (size.X >= 640 || size.X*9 < size.Y*16-32 || size.X*9 > size.Y*16+32) {
				t.Errorf("size %v, want a smaller one of 16 to 9", size)
			}
		})
	}
	if got, err := clip.Thumbnail(small, clip.ThumbnailSettings{}); err != nil || !bytes.Equal(got, small) {
		t.Errorf("a small frame is not passed through as it is (error %v)", err)
	}
}

// A thumbnail looks like the picture: as one scaled by a mean over each 2x2
// square, nearly.
func TestThumbnailQuality(t *testing.T) {
	frame := encodeJPEG(t, 640, 360, 7)
	got, err := clip.Thumbnail(frame, clip.ThumbnailSettings{MaxWidth: 320})
	if err != nil {
		t.Fatal(err)
	}
	large, small := decodeJPEG(t, frame).(*image.YCbCr), decodeJPEG(t, got).(*image.YCbCr)
	var sum int
	for y := range 180 {
		for x := range 320 {
			var mean int
			for i := range 4 {
				mean += int(large.Y[large.YOffset(2*x+i%2, 2*y+i/2)])
			}
			diff := mean/4 - int(small.Y[small.YOffset(x, y)])
			sum += diff * diff
		}
	}
	// 30 dB of peak signal-to-noise ratio is a mean square of 65.
	if mean := sum / (320 * 180); mean > 65 {
		t.Errorf("mean square error %d, want at most 65", mean)
	}
}

func TestThumbnailRefuses(t *testing.T) {
	frame := encodeJPEG(t, 64, 48, 0)
	huge := bytes.Clone(frame)
	sof := bytes.Index(huge, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(huge[sof+5:], 8000)
	binary.BigEndian.PutUint16(huge[sof+7:], 8000)
	for name, test := range map[string]struct {
		frame []byte
		want  error
	}{
		"nothing":                {nil, clip.ErrBadFrame},
		"no JPEG":                {[]byte("no JPEG"), clip.ErrBadFrame},
		"cut off":                {frame[:len(frame)/2], clip.ErrBadFrame},
		"cut off after SOF":      {frame[:sof+19], clip.ErrBadFrame},
		"a bomb of 64 Mi pixels": {huge, clip.ErrFrameTooLarge},
	} {
		if _, err := clip.Thumbnail(test.frame, clip.ThumbnailSettings{}); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
	if _, err := clip.ThumbnailImage(image.NewRGBA(image.Rectangle{}), clip.ThumbnailSettings{}); !errors.Is(err, clip.ErrBadFrame) {
		t.Errorf("an empty picture: error %v, want %v", err, clip.ErrBadFrame)
	}
	for _, s := range []clip.ThumbnailSettings{
		{MaxWidth: 1}, {MaxWidth: 9000}, {Quality: 101}, {Quality: -1}, {MaxBytes: 100}, {MaxBytes: clip.MaxThumbnailBytes + 1},
	} {
		if _, err := clip.Thumbnail(frame, s); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
}

// BenchmarkThumbnail makes thumbnails of a 1280x720 frame.
func BenchmarkThumbnail(b *testing.B) {
	frame := encodeJPEG(b, 1280, 720, 3)
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		if _, err := clip.Thumbnail(frame, clip.ThumbnailSettings{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkThumbnailImage leaves the decoding out.
func BenchmarkThumbnailImage(b *testing.B) {
	picture := decodeJPEG(b, encodeJPEG(b, 1280, 720, 3))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := clip.ThumbnailImage(picture, clip.ThumbnailSettings{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriter writes clips of 38 KB frames.
func BenchmarkWriter(b *testing.B) {
	frames := jpegFrames(b, 40)
	for i := range frames {
		frames[i].Data = append(frames[i].Data, make([]byte, 38_000-len(frames[i].Data))...)
	}
	b.ReportAllocs()
	b.SetBytes(40 * 38_000)
	for b.Loop() {
		write(b, clip.Settings{}, frames)
	}
}
