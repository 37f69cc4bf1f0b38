package preview

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/internal/annexb"
	"github.com/lensward/lensward/capture/scene"
)

// clip is 40 pictures of 320×180 at 10 fps, a key frame every 10, with B-frames:
//
//	ffmpeg -f lavfi -i testsrc2=size=320x180:rate=10:duration=4 -c:v libx264 -preset veryslow \
//	  -crf 36 -g 10 -bf 2 -pix_fmt yuv420p -bsf:v filter_units=remove_types=6 testsrc2.mp4
const clip = "testdata/testsrc2.mp4"

// newDecoder returns a decoder for the clip that waits little.
func newDecoder(t *testing.T, program string) *Decoder {
	t.Helper()
	d, err := New(Settings{Width: 320, Height: 180, Small: 64, Program: program})
	if err != nil {
		t.Fatalf("%v: the tests of this package run ffmpeg (apt-get install ffmpeg)", err)
	}
	d.backoff = time.Millisecond
	return d
}

// clipFrames returns the clip's frames in order of decoding.
func clipFrames(t *testing.T) []capture.Frame {
	t.Helper()
	f, err := scene.OpenFile(clip, scene.FileOptions{Fast: true, Start: time.Unix(1_700_000_000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	var frames []capture.Frame
	if err := f.Run(t.Context(), func(f capture.Frame) { frames = append(frames, f) }); err != nil {
		t.Fatal(err)
	}
	if len(frames) != 40 {
		t.Fatalf("the clip has %d frames, want 40", len(frames))
	}
	return frames
}

// reference decodes the whole clip at once, by another way, and returns each
// frame's luma by its Seq.
func reference(t *testing.T, d *Decoder, frames []capture.Frame) map[uint64][]byte {
	t.Helper()
	width, height := d.Size()
	out, err := exec.CommandContext(t.Context(), d.settings.Program, "-v", "error", "-i", clip, "-fps_mode", "passthrough",
		"-vf", fmt.Sprintf("scale=%d:%d:flags=area:out_range=full:out_color_matrix=bt601,format=yuv420p", width, height),
		"-f", "rawvideo", "-").Output()
	if err != nil {
		t.Fatalf("decode the clip: %v", err)
	}
	shown := slices.Clone(frames)
	slices.SortFunc(shown, func(a, b capture.Frame) int { return a.Time.Compare(b.Time) })
	size := width * height * 3 / 2
	if len(out) != size*len(shown) {
		t.Fatalf("the clip decodes to %d bytes, want %d", len(out), size*len(shown))
	}
	luma := make(map[uint64][]byte)
	for i, f := range shown {
		luma[f.Seq] = out[i*size:][:width*height]
	}
	return luma
}

// decode runs frames through the decoder and returns the pictures.
func decode(t *testing.T, d *Decoder, frames []capture.Frame) ([]Picture, error) {
	t.Helper()
	in := make(chan capture.Frame, len(frames))
	for _, f := range frames {
		in <- f
	}
	close(in)
	var pictures []Picture
	err := d.Run(t.Context(), in, func(p Picture) { pictures = append(pictures, p) })
	return pictures, err
}

// checkPictures checks that each picture is the one of its frame, in the order
// of being shown, and returns their numbers.
func checkPictures(t *testing.T, d *Decoder, pictures []Picture, frames []capture.Frame) []uint64 {
	t.Helper()
	want := reference(t, d, clipFrames(t))
	times := make(map[uint64]time.Time)
	for _, f := range frames {
		times[f.Seq] = f.Time
	}
	var seqs []uint64
	for i, p := range pictures {
		if !bytes.Equal(p.Image.Y, want[p.Seq]) {
			t.Errorf("picture %d is not that of frame %d", i, p.Seq)
		}
		if !p.Time.Equal(times[p.Seq]) {
			t.Errorf("picture of frame %d is of %v, want %v", p.Seq, p.Time, times[p.Seq])
		}
		if i > 0 && !p.Time.After(pictures[i-1].Time) {
			t.Errorf("picture of frame %d is not later than the one before it", p.Seq)
		}
		seqs = append(seqs, p.Seq)
	}
	slices.Sort(seqs)
	return seqs
}

func numbers(from, to uint64) []uint64 {
	var all []uint64
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

// Pictures of reordered video find their frames.
func TestDecode(t *testing.T) {
	d, frames := newDecoder(t, ""), clipFrames(t)
	if slices.IsSortedFunc(frames, func(a, b capture.Frame) int { return a.Time.Compare(b.Time) }) {
		t.Fatal("the clip has no B-frames")
	}
	pictures, err := decode(t, d, frames)
	if err != nil {
		t.Fatal(err)
	}
	if got := checkPictures(t, d, pictures, frames); !slices.Equal(got, numbers(0, 40)) {
		t.Errorf("pictures of frames %v, want all", got)
	}
	if d.Lost() != 0 || d.Restarts() != 0 {
		t.Errorf("%d lost, %d restarts, want none", d.Lost(), d.Restarts())
	}
	if size := pictures[0].Image.Rect.Size(); size != image.Pt(64, 36) {
		t.Errorf("a picture is %v, want 64×36", size)
	}
}

// After a frame that is missing, the stream is taken up at the next key frame.
func TestMissingFrame(t *testing.T) {
	d := newDecoder(t, "")
	frames := slices.Delete(clipFrames(t), 15, 16)
	pictures, err := decode(t, d, frames)
	if err != nil {
		t.Fatal(err)
	}
	got := checkPictures(t, d, pictures, frames)
	want := append(numbers(0, 15), numbers(20, 40)...)
	if !slices.Equal(got, want) {
		t.Errorf("pictures of frames %v, want %v", got, want)
	}
	if d.Lost() != 4 { // 16 to 19; nobody gave it 15
		t.Errorf("%d lost, want 4", d.Lost())
	}
}

// Frames that are damaged may give odd pictures or none, but all others' pictures
// are theirs.
func TestDamagedFrames(t *testing.T) {
	d, frames := newDecoder(t, ""), clipFrames(t)
	for i := 11; i < 16; i++ {
		frames[i].Data = append([]byte{0, 0, 0, 1, 0x41}, bytes.Repeat([]byte{0xa5}, 40)...)
	}
	frames[17].Data = []byte{1, 2, 3}
	pictures, err := decode(t, d, frames)
	if err != nil {
		t.Fatal(err)
	}
	whole := slices.DeleteFunc(pictures, func(p Picture) bool { return p.Seq > 10 && p.Seq < 20 })
	got := checkPictures(t, d, whole, frames)
	want := append(numbers(0, 11), numbers(20, 40)...)
	if !slices.Equal(got, want) {
		t.Errorf("pictures of frames %v, want %v", got, want)
	}
	if d.Lost() == 0 {
		t.Error("no frame counts as lost")
	}
}

// The child is replaced at a key frame without a loss.
func TestReplacement(t *testing.T) {
	d, frames := newDecoder(t, ""), clipFrames(t)
	d.framesAChild = 15
	pictures, err := decode(t, d, frames)
	if err != nil {
		t.Fatal(err)
	}
	if got := checkPictures(t, d, pictures, frames); !slices.Equal(got, numbers(0, 40)) {
		t.Errorf("pictures of frames %v, want all", got)
	}
	if d.Lost() != 0 || d.Restarts() != 0 {
		t.Errorf("%d lost, %d restarts, want none", d.Lost(), d.Restarts())
	}
}

// A wall clock that is set forwards by years, or back, ends no mapping.
func TestClockSet(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forwards": 100_000 * time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			d, frames := newDecoder(t, ""), clipFrames(t)
			for i := range frames {
				if i >= 20 {
					frames[i].Time = frames[i].Time.Add(jump)
				}
			}
			in := make(chan capture.Frame, len(frames))
			for _, f := range frames {
				in <- f
			}
			close(in)
			var pictures []Picture
			if err := d.Run(t.Context(), in, func(p Picture) { pictures = append(pictures, p) }); err != nil {
				t.Fatal(err)
			}
			half := slices.IndexFunc(pictures, func(p Picture) bool { return p.Seq >= 20 })
			if half < 0 {
				t.Fatal("no picture after the clock was set")
			}
			got := append(checkPictures(t, d, pictures[:half], frames), checkPictures(t, d, pictures[half:], frames)...)
			if !slices.Equal(got, numbers(0, 40)) {
				t.Errorf("pictures of frames %v, want all", got)
			}
		})
	}
}

// program writes a shell script that stands in for ffmpeg.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ffmpeg")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// A child that dies half-way is started again, and what follows finds its frames.
func TestChildDies(t *testing.T) {
	real := newDecoder(t, "").settings.Program
	frames := clipFrames(t)
	bytesOfTwenty := 0
	for _, f := range frames[:20] {
		bytesOfTwenty += len(f.Data)
	}
	mark := filepath.Join(t.TempDir(), "died")
	d := newDecoder(t, program(t, fmt.Sprintf(
		`if [ -e %[1]s ]; then exec %[2]s "$@"; fi; : > %[1]s; head -c %[3]d | %[2]s "$@"; exit 7`, mark, real, bytesOfTwenty)))
	in := make(chan capture.Frame) // not buffered: what the dead child did not take is still here
	go func() {
		defer close(in)
		for _, f := range frames {
			in <- f
		}
	}()
	var pictures []Picture
	if err := d.Run(t.Context(), in, func(p Picture) { pictures = append(pictures, p) }); err != nil {
		t.Fatal(err)
	}
	if d.Restarts() == 0 {
		t.Error("the child was not started again")
	}
	// The picture that was cut may come out damaged: it belongs to neither child's
	// whole ones.
	cut := slices.DeleteFunc(pictures, func(p Picture) bool { return p.Seq >= 15 && p.Seq < 30 })
	got := checkPictures(t, d, cut, frames)
	if !slices.Contains(got, 0) {
		t.Errorf("pictures of frames %v, want some before the death", got)
	}
	if d.Lost() == 0 {
		t.Error("no frame counts as lost")
	}
	if n := uint64(len(got)) + d.Lost(); n > 40 {
		t.Errorf("%d pictures and %d lost are more than 40 frames", len(got), d.Lost())
	}
}

// A program that never gives a picture ends Run, with what it said.
func TestUselessPrograms(t *testing.T) {
	scripts := map[string]string{
		"dies":           "echo no such codec >&2; exit 1",
		"ends":           "exit 0",
		"hangs":          "exec sleep 60",
		"talks nonsense": "echo rubbish >&3; exec cat >/dev/null",
	}
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			d := newDecoder(t, program(t, script))
			d.stall = 200 * time.Millisecond
			d.settings.InFlight = 32
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			in := make(chan capture.Frame)
			frame := clipFrames(t)[0]
			go func() {
				for {
					select {
					case in <- frame:
						frame.Seq++
						frame.Time = frame.Time.Add(time.Second / 10)
					case <-ctx.Done():
						return
					}
				}
			}()
			err := d.Run(ctx, in, func(Picture) { t.Error("a picture") })
			if err == nil || !strings.Contains(err.Error(), "no picture from ffmpeg in 5 starts") {
				t.Fatalf("error is %v", err)
			}
			if name == "dies" && !strings.Contains(err.Error(), "no such codec") {
				t.Errorf("error %q does not say what ffmpeg said", err)
			}
			if d.Restarts() != maxFailures || d.Lost() == 0 {
				t.Errorf("%d restarts, %d lost", d.Restarts(), d.Lost())
			}
		})
	}
}

func TestCancel(t *testing.T) {
	d, frames := newDecoder(t, ""), clipFrames(t)
	ctx, cancel := context.WithCancel(t.Context())
	in := make(chan capture.Frame, len(frames)) // never closed
	for _, f := range frames {
		in <- f
	}
	err := d.Run(ctx, in, func(Picture) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want %v", err, context.Canceled)
	}
}

func TestNew(t *testing.T) {
	_, err := New(Settings{Width: 320, Height: 180, Program: "no-such-ffmpeg"})
	if !errors.Is(err, ErrNoFFmpeg) || !strings.Contains(err.Error(), "install ffmpeg") {
		t.Errorf("without ffmpeg the error is %v", err)
	}
	for _, s := range []Settings{{}, {Width: 320, Height: 9000}, {Width: 320, Height: 180, Small: 8}, {Width: 320, Height: 180, InFlight: 2}} {
		if _, err := New(s); err == nil || errors.Is(err, ErrNoFFmpeg) {
			t.Errorf("settings %+v give error %v", s, err)
		}
	}
}

func TestSmallSize(t *testing.T) {
	tests := []struct{ width, height, small, wantW, wantH int }{
		{1280, 720, 320, 320, 180},
		{768, 432, 320, 320, 180},
		{640, 480, 320, 320, 240},
		{1280, 722, 320, 320, 182},
		{101, 33, 320, 100, 34},
		{1080, 1920, 320, 320, 570},
		{8192, 16, 320, 320, 2},
	}
	for _, test := range tests {
		w, h := smallSize(test.width, test.height, test.small)
		if w != test.wantW || h != test.wantH {
			t.Errorf("%d×%d in %d is %d×%d, want %d×%d", test.width, test.height, test.small, w, h, test.wantW, test.wantH)
		}
	}
}

func TestFlight(t *testing.T) {
	f := newFlight(4)
	for i, want := range []stamp{100, 100, 103, 99} {
		if _, ok := f.add(want, ticket{seq: uint64(i)}); !ok {
			t.Fatalf("no room for frame %d", i)
		}
	}
	if _, ok := f.add(200, ticket{}); ok {
		t.Error("a fifth frame found room among four")
	}
	// 99 never comes; 101 is the second frame, whose stamp was taken.
	steps := []struct {
		at   stamp
		seq  uint64
		lost int
		ok   bool
	}{{100, 0, 1, true}, {102, 0, 1, false}, {103, 2, 0, true}}
	for _, s := range steps {
		got, lost, ok := f.land(s.at)
		if ok != s.ok || lost != s.lost || ok && got.seq != s.seq {
			t.Errorf("picture %d lands as frame %d, %d lost, %v; want %+v", s.at, got.seq, lost, ok, s)
		}
	}
	if f.count() != 3 || f.close() != 0 {
		t.Error("the decoder is not empty after all have landed")
	}
}

func TestGrid(t *testing.T) {
	img := image.NewYCbCr(image.Rect(0, 0, 5, 3), image.YCbCrSubsampleRatio420)
	for y := range 3 {
		for x := range 5 {
			img.Y[y*img.YStride+x] = byte(10*y + x)
		}
	}
	reuse := make([]byte, 0, 10)
	g := Grid(img, capture.Grid{Luma: reuse})
	want := []byte{6, 8, 9, 21, 23, 24} // (0+1+10+11+2)/4 …; the last column and row stand alone
	if g.Width != 3 || g.Height != 2 || !bytes.Equal(g.Luma, want) {
		t.Errorf("grid is %d×%d %v, want 3×2 %v", g.Width, g.Height, g.Luma, want)
	}
	if &g.Luma[0] != &reuse[:1][0] {
		t.Error("the grid's memory is not reused")
	}
	full := Grid(image.NewYCbCr(image.Rect(0, 0, 320, 180), image.YCbCrSubsampleRatio420), capture.Grid{})
	if full.Width != 160 || full.Height != 90 {
		t.Errorf("a picture of 320×180 gives %d×%d cells, want 160×90", full.Width, full.Height)
	}
}

// FuzzConfiguration feeds arbitrary bytes as a key frame.
func FuzzConfiguration(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1e, 0xd9, 0, 0, 1, 0x68, 0xce, 0, 0, 1, 0x65, 1})
	f.Add([]byte{0, 0, 1})
	if data, err := os.ReadFile(clip); err == nil {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		units := slices.Collect(annexb.Units(data))
		total := 0
		for _, u := range units {
			if len(u) == 0 {
				t.Fatal("an empty unit")
			}
			total += 4 + len(u)
		}
		if got := len(withLengths(units)); got != total {
			t.Fatalf("%d bytes with lengths, want %d", got, total)
		}
		record, err := configuration(units)
		if len(record) == 0 && err == nil {
			t.Fatal("neither a configuration nor an error")
		}
	})
}
