package encode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/internal/filestest"
)

// newHelped makes a source that encodes by ffmpeg, or what stands in for it.
func newHelped(t *testing.T, r *capture.Raw, s Settings) *Source {
	t.Helper()
	s.Want = FFmpeg
	return newSource(t, nil, r, s)
}

// decode gives the pictures of an H.264 stream, by the real ffmpeg.
func decode(t *testing.T, frames []capture.Frame) []*image.YCbCr {
	t.Helper()
	var stream bytes.Buffer
	for _, f := range frames {
		stream.Write(f.Data)
	}
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "h264", "-i", "pipe:0",
		"-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1")
	cmd.Stdin = &stream
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("decode the stream: %v", err)
	}
	w, h := frames[0].Width, frames[0].Height
	var pictures []*image.YCbCr
	for size := w * h * 3 / 2; len(out) >= size; out = out[size:] {
		img := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
		copy(img.Y, out)
		copy(img.Cb, out[w*h:])
		copy(img.Cr, out[w*h*5/4:])
		pictures = append(pictures, img)
	}
	return pictures
}

// paced is a camera that has one picture at a time under way.
func paced(t *testing.T, s *Source, r *capture.Raw, n int, fps float64) (frames []capture.Frame) {
	t.Helper()
	out := make(chan struct{}, n)
	out <- struct{}{}
	s.raw = numbered(r, n, fps, func() {
		select {
		case <-out:
		case <-time.After(30 * time.Second):
			t.Error("no frame for 30 s")
		}
	})
	err := s.Run(t.Context(), func(f capture.Frame) {
		frames = append(frames, f)
		out <- struct{}{}
	})
	if err != nil {
		t.Fatal(err)
	}
	return frames
}

// Frames come out one for one, each with its picture's number and time, each at
// once: the next picture is given only when the last one's frame is there.
func TestHelper(t *testing.T) {
	for _, layout := range layouts() {
		t.Run(layout.String(), func(t *testing.T) {
			r := rawBars(layout, 321, 241, 5, layout == capture.LayoutNV12)
			s := newHelped(t, r, Settings{FPS: 29.97, GOP: 500 * time.Millisecond})
			frames := paced(t, s, r, 40, 29.97)
			if len(frames) != 40 || s.Dropped() != 0 || s.Restarts() != 0 {
				t.Fatalf("%d frames, %d left out, %d restarts; want 40, 0, 0", len(frames), s.Dropped(), s.Restarts())
			}
			previews := 0
			for i, f := range frames {
				if f.Seq != uint64(i) || f.Format != capture.FormatH264 || f.Width != 320 || f.Height != 240 {
					t.Errorf("frame %d is %d, %v, %d×%d", i, f.Seq, f.Format, f.Width, f.Height)
				}
				if f.Key != (i%15 == 0) {
					t.Errorf("frame %d: key is %v", i, f.Key)
				}
				if sets := bytes.Contains(f.Data, []byte{0, 0, 0, 1, 0x67}) && bytes.Contains(f.Data, []byte{0, 0, 0, 1, 0x68}); sets != f.Key {
					t.Errorf("frame %d: key is %v, parameter sets %v", i, f.Key, sets)
				}
				if f.Preview != nil {
					previews++
				}
			}
			if previews < 12 || previews > 15 { // 1.33 s
				t.Errorf("%d previews, want about 13", previews)
			}
			checkBars(t, frames)
		})
	}
}

// checkBars decodes the frames and compares the colours, and the preview's.
func checkBars(t *testing.T, frames []capture.Frame) {
	t.Helper()
	pictures := decode(t, frames)
	if len(pictures) != len(frames) {
		t.Fatalf("%d pictures of %d frames", len(pictures), len(frames))
	}
	last, small := pictures[len(pictures)-1], frames[0].Preview.Image
	for x := 20; x < 320; x += 40 {
		want := barAt(x, 321)
		if !nearColour(last, x, 200, narrow(want), 6) {
			t.Errorf("column %d is %v, want %v", x, last.YCbCrAt(x, 200), narrow(want))
		}
		if !nearColour(small, x, 200, want, 2) {
			t.Errorf("column %d of the preview is %v, want %v", x, small.YCbCrAt(x, 200), want)
		}
	}
}

// A new bit rate replaces the child at a key frame; nothing is lost if the camera
// waits, and the stream goes on.
func TestBitrateChange(t *testing.T) {
	r := rawBars(capture.LayoutI420, 320, 240, 0, false)
	s := newHelped(t, r, Settings{FPS: 15, Bitrate: 500_000})
	out := make(chan struct{}, 1)
	out <- struct{}{}
	s.raw = numbered(r, 20, 15, func() { <-out })
	var frames []capture.Frame
	err := s.Run(t.Context(), func(f capture.Frame) {
		frames = append(frames, f)
		if len(frames) == 10 {
			if err := s.SetBitrate(1_000_000); err != nil {
				t.Error(err)
			}
		}
		out <- struct{}{}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(frames) != 20 || s.Dropped() != 0 || s.Restarts() != 0 {
		t.Fatalf("%d frames, %d left out, %d restarts; want 20, 0, 0", len(frames), s.Dropped(), s.Restarts())
	}
	for i, f := range frames {
		if f.Key != (i == 0 || i == 10) {
			t.Errorf("frame %d: key is %v", i, f.Key)
		}
	}
	if got := len(decode(t, frames)); got != 20 {
		t.Errorf("the stream has %d pictures, want 20", got)
	}
}

// A child is replaced before its timestamps end.
func TestOldChild(t *testing.T) {
	r := rawBars(capture.LayoutI420, 64, 64, 0, false)
	s := newHelped(t, r, Settings{FPS: 10})
	h := newHelper(s)
	h.maxStamp = 1000
	s.raw = numbered(r, 25, 10, func() { waitUntil(t, h.ready) })
	var keys []uint64
	ended := make(chan error, 1)
	go func() {
		ended <- h.run(t.Context(), func(f capture.Frame) {
			if f.Key {
				keys = append(keys, f.Seq)
			}
		})
	}()
	if err := s.film(t.Context(), h, new(atomic.Bool)); err != nil {
		t.Fatal(err)
	}
	h.finish()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(keys) != "[0 11 22]" || s.Restarts() != 0 || s.Dropped() != 0 {
		t.Errorf("key frames are %v, %d restarts, %d left out", keys, s.Restarts(), s.Dropped())
	}
}

// program writes a shell script that stands in for ffmpeg; it says that it can do
// what is asked of it.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ffmpeg")
	text := "#!/bin/sh\ncase \"$*\" in *encoder=*) echo 'Encoder libx264'; exit 0;; esac\n" + script + "\n"
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// endless gives pictures until ctx ends, whenever the helper has room.
func endless(h *helper, r *capture.Raw) rawSource {
	return func(ctx context.Context, emit func(*capture.Raw) error) error {
		p := *r
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
			}
			p.Time = began().Add(time.Duration(p.Seq) * time.Second / 15)
			if err := emit(&p); err != nil {
				return err
			}
			p.Seq++
		}
	}
}

// drive runs a helper with short waits until it ends or stop says so.
func drive(t *testing.T, s *Source, r *capture.Raw, stall time.Duration, emit func(capture.Frame, context.CancelFunc)) error {
	t.Helper()
	h := newHelper(s)
	h.backoff, h.stall = time.Millisecond, stall
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.raw = endless(h, r)
	filmed := make(chan error, 1)
	go func() { filmed <- s.film(ctx, h, new(atomic.Bool)) }()
	err := h.run(ctx, func(f capture.Frame) { emit(f, cancel) })
	cancel()
	if filming := <-filmed; !errors.Is(filming, context.Canceled) {
		t.Errorf("the camera ended with %v", filming)
	}
	return err
}

// A child that dies is started again, and the stream goes on with a key frame.
func TestChildDies(t *testing.T) {
	r := rawBars(capture.LayoutI420, 64, 64, 0, false)
	mark := filepath.Join(t.TempDir(), "died")
	size := 64 * 64 * 3 / 2
	s := newHelped(t, r, Settings{Program: program(t, fmt.Sprintf(
		`if [ -e %[1]s ]; then exec ffmpeg "$@"; fi; : > %[1]s; head -c %[2]d | ffmpeg "$@"; exit 7`, mark, 20*size+100))})
	var frames []capture.Frame
	err := drive(t, s, r, stallAfter, func(f capture.Frame, stop context.CancelFunc) {
		if frames = append(frames, f); len(frames) == 40 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if s.Restarts() != 1 || s.Dropped() == 0 {
		t.Errorf("%d restarts, %d left out; want 1 and some", s.Restarts(), s.Dropped())
	}
	for i, f := range frames {
		if i > 0 && f.Seq <= frames[i-1].Seq {
			t.Errorf("frame %d follows %d", f.Seq, frames[i-1].Seq)
		}
		if f.Key != (i == 0 || i == 20) { // the first child had 20 whole pictures
			t.Errorf("frame %d of the stream: key is %v", i, f.Key)
		}
	}
}

// A program that never gives a frame ends Run, with what it said.
func TestUselessPrograms(t *testing.T) {
	r := rawBars(capture.LayoutI420, 64, 64, 0, false)
	for name, script := range map[string]string{
		"dies": "echo no such codec >&2; exit 1", "ends": "exit 0",
		"hangs": "exec sleep 60", "takes all": "exec cat >/dev/null", "talks nonsense": "exec cat",
	} {
		t.Run(name, func(t *testing.T) {
			s := newHelped(t, r, Settings{Program: program(t, script)})
			err := drive(t, s, r, 300*time.Millisecond, func(capture.Frame, context.CancelFunc) { t.Error("a frame") })
			if err == nil || !strings.Contains(err.Error(), "no frame from ffmpeg in 5 starts") {
				t.Fatalf("error is %v", err)
			}
			if name == "dies" && !strings.Contains(err.Error(), "no such codec") {
				t.Errorf("error %q does not say what ffmpeg said", err)
			}
			if s.Restarts() != maxFailures || s.Dropped() == 0 {
				t.Errorf("%d restarts, %d left out", s.Restarts(), s.Dropped())
			}
		})
	}
}

// With ctx the child is gone, and its pipes are closed, before Run returns.
func TestHelperCancelled(t *testing.T) {
	r := rawBars(capture.LayoutI420, 64, 64, 0, false)
	for name, script := range map[string]string{"encodes": `exec ffmpeg "$@"`, "takes nothing": "exec sleep 1000"} {
		t.Run(name, func(t *testing.T) {
			mark := filepath.Join(t.TempDir(), "pid")
			s := newHelped(t, r, Settings{Program: program(t, "echo $$ >"+mark+".new; mv "+mark+".new "+mark+"; "+script)})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s.raw = rawSource(func(ctx context.Context, emit func(*capture.Raw) error) error {
				return numbered(r, 1<<30, 15, func() {
					if _, err := os.Stat(mark); err == nil { // it runs
						cancel()
					}
				}).RunRaw(ctx, emit)
			})
			before := filestest.Open(t)
			if err := s.Run(ctx, func(capture.Frame) {}); !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v", err)
			}
			pid, err := os.ReadFile(mark)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid))); err == nil {
				t.Errorf("process %s is still there", pid)
			}
			if after := filestest.Open(t); after > before {
				t.Errorf("%d files are open, %d were before", after, before)
			}
		})
	}
}

// The numbers that go in as timestamps come out again.
func TestStamps(t *testing.T) {
	for _, fps := range []float64{0.5, 1, 7.5, 15, 23.976, 29.97, 30, 60, 119.88, 240} {
		milli := milliFPS(fps)
		for n := uint64(0); stampOf(n, milli) < maxStamp; n += 1 + n/1000 {
			if got := indexOf(uint32(stampOf(n, milli)), milli); got != n {
				t.Fatalf("at %v fps picture %d comes back as %d", fps, n, got)
			}
		}
	}
}

func TestFlight(t *testing.T) {
	f := newFlight()
	for n := range uint64(maxInFlight) {
		if !f.add(ticket{n: 2 * n, seq: 100 + n}) {
			t.Fatalf("no room for picture %d", n)
		}
	}
	if f.add(ticket{n: 99}) {
		t.Error("one too many found room")
	}
	for _, c := range []struct {
		n, seq uint64
		lost   int
		ok     bool
	}{{0, 100, 0, true}, {4, 102, 1, true}, {5, 0, 0, false}, {9, 0, 2, false}, {2, 0, 0, false}} {
		got, lost, ok := f.land(c.n)
		if lost != c.lost || ok != c.ok || got.seq != c.seq {
			t.Errorf("picture %d lands as %d, %d lost, %v; want %+v", c.n, got.seq, lost, ok, c)
		}
	}
	if lost := f.close(); lost != 3 || !f.add(ticket{}) {
		t.Errorf("%d were left, want 3, and room after", lost)
	}
}

// flvOf is a stream with one key frame, as ffmpeg writes it.
func flvOf(t testing.TB) []byte {
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x64:r=10:d=0.5",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-f", "flv", "-")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("make a stream: %v", err)
	}
	return out
}

// FuzzFLV reads streams that need not be any.
func FuzzFLV(f *testing.F) {
	whole := flvOf(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00\x09\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x17\x01\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newFLVReader(bytes.NewReader(data))
		for {
			frame, err := r.next()
			if err != nil {
				return
			}
			if !bytes.HasPrefix(frame.data, []byte{0, 0, 0, 1}) || len(frame.data) < 5 {
				t.Fatalf("a frame begins %x", frame.data[:min(len(frame.data), 8)])
			}
			if frame.key && !bytes.Contains(frame.data, []byte{0, 0, 0, 1, r.parameters[4]}) {
				t.Fatal("a key frame has no parameter sets")
			}
			if len(frame.data) > len(data)+len(r.parameters) {
				t.Fatalf("%d bytes of frame out of %d", len(frame.data), len(data))
			}
		}
	})
}

// A stream that stops in the middle is told from one that ends.
func TestFLVEnds(t *testing.T) {
	whole := flvOf(t)
	ends := map[int]bool{}
	for at := 13; at < len(whole); {
		ends[at] = true
		at += 11 + int(whole[at+1])<<16 + int(whole[at+2])<<8 + int(whole[at+3]) + 4
	}
	for cut := range len(whole) {
		r := newFLVReader(bytes.NewReader(whole[:cut]))
		var err error
		for err == nil {
			_, err = r.next()
		}
		if (err == io.EOF) != ends[cut] {
			t.Fatalf("cut at %d, an end: %v, the error is %v", cut, ends[cut], err)
		}
	}
}
