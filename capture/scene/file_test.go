package scene

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/lensward/lensward/capture"
)

// The H.264 clips are 30 pictures of 160×90 at 10 fps, a key frame every 10, with
// B-frames:
//
//	ffmpeg -f lavfi -i testsrc2=size=160x90:rate=10:duration=3 -c:v libx264 -preset veryslow \
//	  -crf 38 -g 10 -bf 2 -pix_fmt yuv420p -bsf:v filter_units=remove_types=6 h264.mp4
//	ffmpeg -i h264.mp4 -c copy -movflags frag_keyframe+empty_moov+default_base_moof h264-fragmented.mp4
const (
	progressive = "testdata/h264.mp4"
	fragmented  = "testdata/h264-fragmented.mp4"
)

// pictures returns n different JPEGs of 64×64.
func pictures(t testing.TB, n int) [][]byte {
	t.Helper()
	s := Settings{Width: 64, Height: 64, FPS: 1}
	r := newRenderer(s.withDefaults())
	all := make([][]byte, n)
	for i := range all {
		data, err := r.render(uint64(i), time.Duration(i)*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = data
	}
	return all
}

func write(t *testing.T, name string, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, slices.Concat(parts...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string, o FileOptions) *File {
	t.Helper()
	f, err := OpenFile(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMJPEG(t *testing.T) {
	want := pictures(t, 5)
	start := time.Unix(1000, 0)
	f := open(t, write(t, "a.mjpeg", want...), FileOptions{Fast: true, FPS: 4, Start: start})
	if got := f.Info(); got != (FileInfo{capture.FormatMJPEG, 64, 64, 4}) {
		t.Errorf("info is %+v", got)
	}
	frames := play(t, f)
	if len(frames) != len(want) {
		t.Fatalf("%d frames, want %d", len(frames), len(want))
	}
	for i, got := range frames {
		at := start.Add(time.Duration(i) * 250 * time.Millisecond)
		if got.Seq != uint64(i) || !got.Time.Equal(at) || !got.Key || got.Width != 64 || !bytes.Equal(got.Data, want[i]) {
			t.Errorf("frame %d is %d at %v of %d bytes", i, got.Seq, got.Time, len(got.Data))
		}
	}
}

// segment makes a JPEG segment.
func segment(mark byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, mark}, uint16(len(body)+2)), body...)
}

// insert puts bytes behind a picture's SOI.
func insert(picture []byte, more ...[]byte) []byte {
	return slices.Concat(picture[:2], slices.Concat(more...), picture[2:])
}

// What is broken is left out and counted, and all else is there.
func TestBrokenMJPEG(t *testing.T) {
	p := pictures(t, 3)
	a, b, c := p[0], p[1], p[2]
	sof := bytes.Index(b, []byte{0xff, 0xc0})
	change := func(at int, to ...byte) []byte {
		d := bytes.Clone(b)
		copy(d[at:], to)
		return d
	}
	tests := []struct {
		name   string
		file   [][]byte
		want   [][]byte
		broken uint64
	}{
		{"whole", [][]byte{a, b, c}, [][]byte{a, b, c}, 0},
		{"cut in its data", [][]byte{a, b[:len(b)-100], c}, [][]byte{a, c}, 1},
		{"cut in its tables", [][]byte{a, b[:60], c}, [][]byte{a, c}, 1},
		{"cut in a marker", [][]byte{a, b[:sof+1], c}, [][]byte{a, c}, 1},
		{"two cut, the second behind the first's false length", [][]byte{a, b[:60], b[:50], b[:40], c}, [][]byte{a, c}, 3},
		{"cut at the end of the file", [][]byte{a, b, c[:len(c)-1]}, [][]byte{a, b}, 1},
		{"between two", [][]byte{a, []byte("--boundary\r\nContent-Type: image/jpeg\r\n\r\n"), b, {0xff}, c, {0}}, [][]byte{a, b, c}, 0},
		{"an end marker inside a comment", [][]byte{a, insert(b, segment(0xfe, 0xff, 0xd9, 0xff, 0xd8, 0xff)), c},
			[][]byte{a, insert(b, segment(0xfe, 0xff, 0xd9, 0xff, 0xd8, 0xff)), c}, 0},
		{"a picture inside a picture", [][]byte{a, insert(b, segment(0xe1, c...)), c}, [][]byte{a, insert(b, segment(0xe1, c...)), c}, 0},
		{"fill bytes", [][]byte{a, insert(b, []byte{0xff, 0xff}), c}, [][]byte{a, b, c}, 0},
		{"a length of 1", [][]byte{a, insert(b, []byte{0xff, 0xfe, 0, 1}), c}, [][]byte{a, c}, 1},
		{"a restart marker among the tables", [][]byte{a, insert(b, []byte{0xff, 0xd3}), c}, [][]byte{a, c}, 1},
		{"progressive", [][]byte{a, change(sof, 0xff, 0xc2), c}, [][]byte{a, c}, 1},
		{"another size", [][]byte{a, change(sof+5, 0, 32), c}, [][]byte{a, c}, 1},
		{"no size", [][]byte{a, change(sof+5, 0, 0), c}, [][]byte{a, c}, 1},
		{"size out of bounds", [][]byte{a, change(sof+5, 0xff, 0xff), c}, [][]byte{a, c}, 1},
		{"two frame headers", [][]byte{a, slices.Insert(bytes.Clone(b), sof, b[sof:sof+19]...), c}, [][]byte{a, c}, 1},
		{"no data", [][]byte{a, {0xff, 0xd8, 0xff, 0xd9}, c}, [][]byte{a, c}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := open(t, write(t, "a.mjpg", test.file...), FileOptions{Fast: true})
			frames := play(t, f)
			var got [][]byte
			for _, fr := range frames {
				got = append(got, fr.Data)
			}
			if !slices.EqualFunc(got, test.want, bytes.Equal) {
				t.Errorf("%d frames, not the %d that are whole", len(got), len(test.want))
			}
			if f.Broken() != test.broken {
				t.Errorf("%d broken, want %d", f.Broken(), test.broken)
			}
		})
	}
}

func TestPictureTooLong(t *testing.T) {
	p := pictures(t, 2)
	long := slices.Concat(p[0][:len(p[0])-2], bytes.Repeat([]byte{1}, maxPictureBytes), []byte{0xff, 0xd9})
	f := open(t, write(t, "a.mjpeg", p[0], long, p[1]), FileOptions{Fast: true})
	if frames := play(t, f); len(frames) != 2 || f.Broken() != 1 {
		t.Errorf("%d frames, %d broken, want 2 and 1", len(frames), f.Broken())
	}
}

// A broken picture takes up its time, and its number.
func TestBrokenKeepsTime(t *testing.T) {
	p := pictures(t, 3)
	f := open(t, write(t, "a.mjpeg", p[0], p[1][:200], p[2]), FileOptions{Fast: true, FPS: 1, Start: time.Unix(0, 0)})
	frames := play(t, f)
	if len(frames) != 2 {
		t.Fatalf("%d frames, want 2", len(frames))
	}
	if frames[1].Seq != 2 || frames[1].Time.Unix() != 2 {
		t.Errorf("after a broken picture comes %d at %v", frames[1].Seq, frames[1].Time)
	}
}

func TestOpenErrors(t *testing.T) {
	p := pictures(t, 1)[0]
	moov, err := os.ReadFile(progressive)
	if err != nil {
		t.Fatal(err)
	}
	hevc := bytes.ReplaceAll(moov, []byte("avc1"), []byte("hvc1"))
	sound := bytes.ReplaceAll(moov, []byte("vide"), []byte("soun"))
	tests := []struct {
		name, file string
		data       []byte
		opts       FileOptions
		want       string
	}{
		{"an empty file", "a.mjpeg", nil, FileOptions{}, "no picture in it"},
		{"text", "a.mjpeg", []byte("hello"), FileOptions{}, "no picture in it"},
		{"half a picture", "a.mjpeg", p[:99], FileOptions{}, "no whole picture in it: broken JPEG: it ends after"},
		{"many broken ones", "a.mjpeg", bytes.Repeat([]byte{0xff, 0xd8, 0xff, 0xd9}, 2000), FileOptions{}, "no whole picture among the first 1000"},
		{"a rate of less than 0", "a.mjpeg", p, FileOptions{FPS: -1}, "frame rate -1"},
		{"another kind", "a.avi", p, FileOptions{}, `".avi" file cannot be played`},
		{"a rate for an MP4", "a.mp4", moov, FileOptions{FPS: 5}, "own timestamps"},
		{"an empty MP4", "a.mp4", nil, FileOptions{}, "no moov box"},
		{"text as MP4", "a.mp4", []byte("hello, world, this is no video"), FileOptions{}, "no moov box"},
		{"a codec that is not played", "a.mp4", hevc, FileOptions{}, `"hvc1"`},
		{"no video", "a.mp4", sound, FileOptions{}, "no video track"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := OpenFile(write(t, test.file, test.data), test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q in it", err, test.want)
			}
		})
	}
	if _, err := OpenFile(filepath.Join(t.TempDir(), "none.mp4"), FileOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

// Both kinds of MP4 give the same frames: Annex B, parameter sets before each
// IDR, and the times that the file has.
func TestH264(t *testing.T) {
	// Milliseconds at which the pictures of one group are shown, in order of
	// decoding.
	shown := [3][10]int{
		{0, 300, 100, 200, 600, 400, 500, 800, 700, 900},
		{0, 300, 100, 200, 600, 400, 500, 900, 700, 800},
		{0, 300, 100, 200, 600, 400, 500, 900, 700, 800},
	}
	start := time.Unix(1_000_000, 0)
	var both [2][]capture.Frame
	for i, path := range []string{progressive, fragmented} {
		f := open(t, path, FileOptions{Fast: true, Start: start})
		if got := f.Info(); got != (FileInfo{capture.FormatH264, 160, 90, 10}) {
			t.Errorf("%s: info is %+v", path, got)
		}
		both[i] = play(t, f)
		if len(both[i]) != 30 || f.Broken() != 0 {
			t.Fatalf("%s: %d frames, %d broken, want 30 and none", path, len(both[i]), f.Broken())
		}
	}
	for i, f := range both[0] {
		ms := i/10*1000 + shown[i/10][i%10]
		if got := f.Time.Sub(start); got != time.Duration(ms)*time.Millisecond {
			t.Errorf("frame %d is shown at %v, want %d ms", i, got, ms)
		}
		if f.Seq != uint64(i) || f.Key != (i%10 == 0) || f.Width != 160 || f.Height != 90 {
			t.Errorf("frame %d has number %d, key %v, size %d×%d", i, f.Seq, f.Key, f.Width, f.Height)
		}
		if !bytes.HasPrefix(f.Data, []byte{0, 0, 0, 1}) {
			t.Errorf("frame %d does not begin with a start code", i)
		}
		sps := bytes.HasPrefix(f.Data, []byte{0, 0, 0, 1, 0x67})
		pps := bytes.Contains(f.Data, []byte{0, 0, 0, 1, 0x68})
		if sps != f.Key || pps != f.Key {
			t.Errorf("frame %d, key %v, has parameter sets %v, %v", i, f.Key, sps, pps)
		}
		g := both[1][i]
		if g.Seq != f.Seq || !g.Time.Equal(f.Time) || g.Key != f.Key || !bytes.Equal(g.Data, f.Data) {
			t.Errorf("frame %d differs between the two files", i)
		}
	}
}

// A recording that a power cut ended plays up to there, wherever that is.
func TestCutMP4(t *testing.T) {
	whole, err := os.ReadFile(fragmented)
	if err != nil {
		t.Fatal(err)
	}
	all := play(t, open(t, fragmented, FileOptions{Fast: true, Start: time.Unix(0, 0)}))
	least := 0
	for size := len(whole); size > 0; size -= 97 {
		f, err := OpenFile(write(t, "a.mp4", whole[:size]), FileOptions{Fast: true, Start: time.Unix(0, 0)})
		if err != nil {
			continue // not even one picture is left
		}
		frames := play(t, f)
		for _, got := range frames {
			if want := all[got.Seq]; !got.Time.Equal(want.Time) || !bytes.Equal(got.Data, want.Data) {
				t.Fatalf("cut at %d, frame %d differs", size, got.Seq)
			}
		}
		least = len(frames)
	}
	if least == 0 || least > 5 {
		t.Errorf("the shortest file that plays has %d frames", least)
	}
}

// mjpegMP4 writes Motion JPEG as an MP4.
func mjpegMP4(t testing.TB, prefix []byte, frames ...[]byte) []byte {
	t.Helper()
	init := mp4.CreateEmptyInit()
	init.AddEmptyTrack(1000, "video", "und")
	trak := init.Moov.Trak
	if err := trak.SetMJpegDescriptor(64, 64, prefix); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := init.Encode(&out); err != nil {
		t.Fatal(err)
	}
	for i, frame := range frames {
		fragment, err := mp4.CreateFragment(uint32(i+1), trak.Tkhd.TrackID)
		if err != nil {
			t.Fatal(err)
		}
		data := frame[len(prefix):]
		fragment.AddFullSample(mp4.FullSample{
			Sample:     mp4.Sample{Flags: mp4.SyncSampleFlags, Dur: 200, Size: uint32(len(data))},
			DecodeTime: uint64(i) * 200, Data: data,
		})
		if err := fragment.Encode(&out); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func TestMJPEGInMP4(t *testing.T) {
	p := pictures(t, 3)
	for name, prefix := range map[string][]byte{"whole samples": nil, "a common prefix": {0xff, 0xd8}} {
		t.Run(name, func(t *testing.T) {
			bad := bytes.Clone(p[1])
			bad[4]++ // a false length
			data := mjpegMP4(t, prefix, p[0], bad, append(bytes.Clone(p[2]), 0, 0))
			f := open(t, write(t, "a.mp4", data), FileOptions{Fast: true, Start: time.Unix(0, 0)})
			if got := f.Info(); got != (FileInfo{capture.FormatMJPEG, 64, 64, 5}) {
				t.Errorf("info is %+v", got)
			}
			frames := play(t, f)
			if len(frames) != 2 || f.Broken() != 1 {
				t.Fatalf("%d frames, %d broken, want 2 and 1", len(frames), f.Broken())
			}
			if !bytes.Equal(frames[0].Data, p[0]) || !bytes.Equal(frames[1].Data, p[2]) {
				t.Error("a picture differs from what was written")
			}
			if frames[1].Seq != 2 || frames[1].Time.UnixMilli() != 400 {
				t.Errorf("the last frame is %d at %d ms", frames[1].Seq, frames[1].Time.UnixMilli())
			}
		})
	}
}

// At its own rate a file takes its time, and again when it loops.
func TestFilePace(t *testing.T) {
	clip := write(t, "a.mjpeg", pictures(t, 4)...)
	for path, n := range map[string]uint64{clip: 4, progressive: 30} {
		synctest.Test(t, func(t *testing.T) {
			f := open(t, path, FileOptions{Loop: true})
			began, seq := time.Now(), uint64(0)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := f.Run(ctx, func(fr capture.Frame) {
				if fr.Seq != seq {
					t.Errorf("%s: frame %d, want %d", path, fr.Seq, seq)
				}
				// The files' frames are handed on one by one, 100 ms apart.
				if at, want := time.Since(began), time.Duration(seq)*100*time.Millisecond; at != want {
					t.Errorf("%s: frame %d comes at %v, want %v", path, seq, at, want)
				}
				if seq%n == 0 && fr.Time.Sub(began) != time.Duration(seq)*100*time.Millisecond {
					t.Errorf("%s: frame %d is of %v", path, seq, fr.Time.Sub(began))
				}
				if seq++; seq == 2*n+2 {
					cancel()
				}
			})
			if err == nil || seq != 2*n+2 {
				t.Errorf("%s: ended with %v after %d frames", path, err, seq)
			}
		})
	}
}

// FuzzMJPEG splits arbitrary bytes.
func FuzzMJPEG(f *testing.F) {
	p := pictures(f, 2)
	f.Add(slices.Concat(p...))
	f.Add(p[0][:300])
	f.Add(slices.Concat(p[0][:60], p[1]))
	f.Add(insert(p[0], segment(0xe1, p[1]...)))
	f.Add([]byte{0xff, 0xd8, 0xff, 0xda, 0, 2, 0xff, 0xff, 0xd9})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newSplitter(bytes.NewReader(data))
		for taken := 0; ; {
			got, err := s.next()
			var bad *brokenError
			if errors.As(err, &bad) {
				if taken++; taken > 9*len(data) {
					t.Fatal("it does not come to an end")
				}
				continue
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			again, err := newSplitter(bytes.NewReader(got.data)).next()
			if err != nil || !bytes.Equal(again.data, got.data) || again.width != got.width || again.height != got.height {
				t.Fatalf("a picture that was split off splits otherwise the next time: %v", err)
			}
		}
	})
}

// FuzzMP4 reads arbitrary bytes as an MP4.
func FuzzMP4(f *testing.F) {
	for _, path := range []string{progressive, fragmented} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(mjpegMP4(f, nil, pictures(f, 2)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		tape, err := readMP4(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for range 1000 {
			s, err := tape.next()
			var bad *brokenError
			if errors.As(err, &bad) {
				continue
			}
			if err != nil {
				return
			}
			if len(s.data) == 0 || s.width < 1 || s.height < 1 || s.width > maxPictureSide || s.height > maxPictureSide {
				t.Fatalf("a sample of %d bytes and %d×%d", len(s.data), s.width, s.height)
			}
		}
	})
}
