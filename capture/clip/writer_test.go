package clip_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/clip"
	"github.com/lensward/lensward/capture/jpegdc"
)

var update = flag.Bool("update", false, "write the golden files anew")

// near reports whether a time read back is, within a tick, the one written.
func near(a, b time.Time) bool {
	return a.Sub(b).Abs() <= time.Second/90_000+1
}

func TestMJPEG(t *testing.T) {
	frames := jpegFrames(t, 95)
	for i := range frames {
		if i%2 == 1 {
			frames[i].Data = withoutTables(t, frames[i].Data)
		}
	}
	parts := write(t, clip.Settings{}, frames)
	got := read(t, join(parts))
	if len(got) != len(frames) {
		t.Fatalf("%d frames read, %d written", len(got), len(frames))
	}
	for i, f := range got {
		want := frames[i]
		if f.Format != want.Format || f.Width != 64 || f.Height != 48 || !f.Key || f.Seq != want.Seq || !near(f.Time, want.Time) {
			t.Errorf("frame %d: got %v %dx%d key=%v seq %d at %v", i, f.Format, f.Width, f.Height, f.Key, f.Seq, f.Time)
		}
		if !bytes.Equal(f.Data, jpegdc.WithTables(want.Data)) {
			t.Errorf("frame %d: other bytes than written", i)
		}
		if _, err := jpeg.Decode(bytes.NewReader(f.Data)); err != nil {
			t.Errorf("frame %d: %v", i, err)
		}
	}
	if got, want := parts[0].MediaType, `video/mp4; codecs="mp4v.6c"`; got != want {
		t.Errorf("media type %s, want %s", got, want)
	}
	p := probe(t, join(parts))
	s := p.Streams[0]
	if s.Codec != "mjpeg" || s.Width != 64 || s.Height != 48 || s.Frames != count(len(frames)) {
		t.Errorf("ffprobe reads %s %dx%d, %s frames", s.Codec, s.Width, s.Height, s.Frames)
	}
	if got, want := s.Tags["creation_time"], "2026-03-01T12:00:00.000000Z"; got != want {
		t.Errorf("ffprobe reads creation time %q, want %q", got, want)
	}
}

func TestH264(t *testing.T) {
	frames := highFrames(t)
	parts := write(t, clip.Settings{}, frames)
	data := join(parts)
	got := read(t, data)
	if len(got) != len(frames) {
		t.Fatalf("%d frames read, %d written", len(got), len(frames))
	}
	for i, f := range got {
		want := frames[i]
		if f.Format != want.Format || f.Width != 192 || f.Height != 108 || f.Key != want.Key || f.Seq != want.Seq || !near(f.Time, want.Time) {
			t.Errorf("frame %d: got %v %dx%d key=%v seq %d at %v", i, f.Format, f.Width, f.Height, f.Key, f.Seq, f.Time)
		}
		// Only the delimiter, and the length of start codes, is not kept.
		if !bytes.Equal(units(f.Data), units(want.Data)) {
			t.Errorf("frame %d: other units than written", i)
		}
	}
	if got, want := parts[0].MediaType, `video/mp4; codecs="avc1.64000c"`; got != want {
		t.Errorf("media type %s, want %s", got, want)
	}
	p := probe(t, data)
	s := p.Streams[0]
	if s.Codec != "h264" || s.Tag != "avc1" || s.Width != 192 || s.Height != 108 || s.Frames != count(len(frames)) {
		t.Errorf("ffprobe reads %s %s %dx%d, %s frames", s.Codec, s.Tag, s.Width, s.Height, s.Frames)
	}
	checkPTS(t, p, frames)
	samePictures(t, data, "high-192x108-10fps.h264")
}

// units writes an access unit without its delimiter, with short start codes.
func units(stream []byte) []byte {
	stream = bytes.ReplaceAll(stream, []byte{0, 0, 0, 1}, []byte{0, 0, 1})
	if len(stream) > 5 && stream[3] == 9 {
		stream = stream[5:]
	}
	return stream
}

// checkPTS wants the frames to be shown one after another, at the camera's rate.
// The first one is where the reckoning starts: ffmpeg moves a track with reordered
// pictures on as a whole, so that no picture is shown before it is decoded.
func checkPTS(t *testing.T, p probed, frames []capture.Frame) {
	t.Helper()
	if len(p.Frames) != len(frames) {
		t.Fatalf("ffprobe reads %d frames, want %d", len(p.Frames), len(frames))
	}
	var first time.Duration
	for i, f := range p.Frames {
		seconds, err := strconv.ParseFloat(f.PTS, 64)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Duration(seconds * float64(time.Second))
		if i == 0 {
			first = at
		}
		if want := time.Duration(i) * interval; (at - first - want).Abs() > time.Millisecond {
			t.Fatalf("frame %d is shown %v after the first, want %v", i, at-first, want)
		}
	}
}

// samePictures decodes the clip and the stream it was made of.
func samePictures(t *testing.T, data []byte, stream string) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", stream))
	if err != nil {
		t.Fatal(err)
	}
	hash := []string{"-v", "warning", "-f", "rawvideo", "-fps_mode", "passthrough", "-f", "md5", "-"}
	want := tool(t, nil, "ffmpeg", append([]string{"-v", "error", "-i", path}, hash...)...)
	got := tool(t, data, "ffmpeg", append([]string{"-v", "warning", "-i", "clip.mp4"}, hash...)...)
	if !bytes.Equal(got, want) {
		t.Errorf("the clip's pictures hash to %s, those of the stream to %s", got, want)
	}
}

// Pictures that come in another order than they are shown in.
func TestH264Reordered(t *testing.T) {
	frames := h264Frames(t, "bframes-192x108-10fps.h264", bOrder)
	for _, s := range []clip.Settings{{}, {PartDuration: time.Second}, {PartDuration: 400 * time.Millisecond}} {
		parts := write(t, s, frames)
		data := join(parts)
		for i, f := range read(t, data) {
			if !near(f.Time, frames[i].Time) || f.Key != frames[i].Key {
				t.Errorf("part duration %v: frame %d at %v key=%v, want %v key=%v",
					s.PartDuration, i, f.Time, f.Key, frames[i].Time, frames[i].Key)
			}
		}
		p := probe(t, data)
		checkPTS(t, p, frames)
		samePictures(t, data, "bframes-192x108-10fps.h264")
	}
}

// Each first parts are a file by themselves.
func TestPrefixes(t *testing.T) {
	for name, frames := range map[string][]capture.Frame{"MJPEG": jpegFrames(t, 40), "H.264": highFrames(t)} {
		parts := write(t, clip.Settings{PartDuration: time.Second}, frames)
		if len(parts) < 4 {
			t.Fatalf("%s: %d parts, want at least 4", name, len(parts))
		}
		var whole int
		var until time.Duration
		for n, p := range parts {
			if p.Index != uint32(n) || p.Last != (n == len(parts)-1) || p.MediaType != parts[0].MediaType {
				t.Errorf("%s: part %d says index %d, last %v, %s", name, n, p.Index, p.Last, p.MediaType)
			}
			until += p.Duration
			prefix := read(t, join(parts[:n+1]))
			if !near(prefix[whole].Time, p.Start) {
				t.Errorf("%s: part %d begins at %v, its first frame was taken at %v", name, n, p.Start, prefix[whole].Time)
			}
			whole = len(prefix)
			if got := probe(t, join(parts[:n+1])).Streams[0].Frames; got != count(whole) {
				t.Errorf("%s: of parts 0 to %d ffprobe reads %s frames, want %d", name, n, got, whole)
			}
			if n == 0 && !bytes.Equal(p.Data[4:8], []byte("ftyp")) || n > 0 && bytes.Contains(p.Data, []byte("ftyp")) {
				t.Errorf("%s: part %d: ftyp where it should not be, or not where it should", name, n)
			}
		}
		if whole != len(frames) {
			t.Errorf("%s: %d frames in all, want %d", name, whole, len(frames))
		}
		if want := time.Duration(len(frames)) * interval; (until - want).Abs() > time.Millisecond {
			t.Errorf("%s: parts last %v together, want %v", name, until, want)
		}
	}
}

// shape is how many frames each part has, and whether it begins with a key frame.
func shape(t *testing.T, parts []clip.Part) string {
	t.Helper()
	var text string
	var before int
	for n := range parts {
		frames := read(t, join(parts[:n+1]))
		key := ""
		if !frames[before].Key {
			key = "!"
		}
		text += fmt.Sprintf(" %s%d", key, len(frames)-before)
		before = len(frames)
	}
	return text
}

func TestCuts(t *testing.T) {
	// padded makes a frame larger, with bytes that decoders skip.
	padded := func(f capture.Frame, size int) capture.Frame {
		if f.Format == capture.FormatMJPEG {
			f.Data = append(bytes.Clone(f.Data), make([]byte, size)...)
		} else {
			f.Data = append(append(bytes.Clone(f.Data), 0, 0, 1, 6), bytes.Repeat([]byte{0xff}, size)...)
		}
		return f
	}
	all := func(frames []capture.Frame, size int) []capture.Frame {
		out := make([]capture.Frame, len(frames))
		for i, f := range frames {
			out[i] = padded(f, size)
		}
		return out
	}
	high := highFrames(t) // 80 frames, a key frame each 20
	long := make([]capture.Frame, 0, 80)
	for i, f := range high { // one group only
		f.Key = i == 0
		if i%20 != 0 || i == 0 {
			long = append(long, f)
		}
	}
	big := jpegFrames(t, 3)
	big[1] = padded(big[1], 3<<20)
	tests := []struct {
		name     string
		settings clip.Settings
		frames   []capture.Frame
		want     string
	}{
		{"MJPEG by duration", clip.Settings{}, jpegFrames(t, 95), " 40 40 15"},
		{"MJPEG by size", clip.Settings{PartBytes: 64 << 10}, all(jpegFrames(t, 10), 25<<10), " 2 2 2 2 2"},
		{"MJPEG, a frame larger than a part", clip.Settings{}, big, " 1 1 1"},
		{"H.264 by duration at key frames", clip.Settings{PartDuration: time.Second}, high, " 20 20 20 20"},
		{"H.264 waits for a key frame", clip.Settings{PartDuration: 2100 * time.Millisecond}, high, " 40 40"},
		{"H.264 by size at key frames", clip.Settings{PartDuration: time.Minute, PartBytes: 256 << 10}, all(high, 5<<10), " 40 40"},
		{"H.264 by size within a group", clip.Settings{PartBytes: 64 << 10}, all(high, 5<<10)[:20], " 11 !9"},
		{"H.264, no key frame comes", clip.Settings{PartDuration: time.Second}, long, " 20 !19 !19 !19"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			parts := write(t, test.settings, test.frames)
			if got := shape(t, parts); got != test.want {
				t.Errorf("parts of%s frames, want%s", got, test.want)
			}
			for _, p := range parts {
				if len(p.Data) > clip.MaxPartBytes {
					t.Errorf("part %d has %d bytes", p.Index, len(p.Data))
				}
				if limit := test.settings.PartBytes; limit > 0 && len(p.Data) > limit {
					t.Errorf("part %d has %d bytes, want at most %d", p.Index, len(p.Data), limit)
				}
			}
		})
	}
}

// What is shown, and which wall-clock time is kept, when time does odd things.
func TestTimes(t *testing.T) {
	ms := time.Millisecond
	tests := []struct {
		name  string
		taken []time.Duration // since start
		parts []time.Duration // how long each plays
	}{
		{"one frame", []time.Duration{0}, []time.Duration{100 * ms}},
		{"variable rate", []time.Duration{0, 40 * ms, 400 * ms, 410 * ms}, []time.Duration{420 * ms}},
		{"a pause", []time.Duration{0, 50 * ms, 3050 * ms, 3100 * ms}, []time.Duration{3150 * ms}},
		{"equal times", []time.Duration{0, 100 * ms, 100 * ms, 200 * ms}, []time.Duration{300 * ms}},
		{"a jump of an hour", []time.Duration{0, 50 * ms, time.Hour, time.Hour + 50*ms}, []time.Duration{100 * ms, 100 * ms}},
		{"set back by an hour", []time.Duration{0, 50 * ms, -time.Hour, -time.Hour + 50*ms}, []time.Duration{100 * ms, 100 * ms}},
		{"set back by a frame", []time.Duration{0, 50 * ms, 100 * ms, 70 * ms, 120 * ms}, []time.Duration{150 * ms, 100 * ms}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			frames := jpegFrames(t, len(test.taken))
			for i := range frames {
				frames[i].Time = start.Add(test.taken[i])
			}
			parts := write(t, clip.Settings{}, frames)
			if len(parts) != len(test.parts) {
				t.Fatalf("%d parts, want %d", len(parts), len(test.parts))
			}
			for i, want := range test.parts {
				if got := parts[i].Duration; (got - want).Abs() > ms {
					t.Errorf("part %d plays for %v, want %v", i, got, want)
				}
			}
			for i, f := range read(t, join(parts)) {
				// A frame with the time of the one before is placed a tick after it.
				if f.Time.Sub(frames[i].Time).Abs() > 25*time.Microsecond {
					t.Errorf("frame %d taken at %v, read %v", i, frames[i].Time, f.Time)
				}
			}
		})
	}
}

// Times outside what MP4's and NTP's fields once were made for.
func TestEras(t *testing.T) {
	for _, taken := range []string{"1970-01-01T00:00:00Z", "2035-12-31T23:59:59.999Z", "2036-02-07T06:28:16Z", "2039-12-31T00:00:00.5Z", "2100-06-01T00:00:00Z"} {
		at, err := time.Parse(time.RFC3339Nano, taken)
		if err != nil {
			t.Fatal(err)
		}
		frames := jpegFrames(t, 1)
		frames[0].Time = at
		if got := read(t, join(write(t, clip.Settings{}, frames)))[0].Time; !near(got, at) {
			t.Errorf("taken at %v, read %v", at, got)
		}
	}
}

func TestFramesLeftOut(t *testing.T) {
	jpegs, high := jpegFrames(t, 4), highFrames(t)
	other := h264Frames(t, "bframes-192x108-10fps.h264", bOrder)
	bare := high[20] // a key frame without parameter sets
	bare.Data = append([]byte{0, 0, 1}, bare.Data[bytes.Index(bare.Data, []byte{0, 0, 1, 0x65})+3:]...)
	with := func(f capture.Frame, data []byte) capture.Frame { f.Data = data; return f }
	large := append(bytes.Clone(jpegs[0].Data), make([]byte, clip.MaxPartBytes)...)
	wide := with(jpegs[0], encodeJPEG(t, 72, 48, 0))
	unknown := jpegs[0]
	unknown.Format = 9
	var changed *clip.ChangedError
	tests := []struct {
		name  string
		first []capture.Frame // that are taken
		frame capture.Frame
		want  error // nil: a ChangedError
	}{
		{"no key frame yet", nil, high[1], clip.ErrNoKeyFrame},
		{"first key frame without parameter sets", nil, bare, clip.ErrBadFrame},
		{"unknown format", nil, unknown, clip.ErrBadFrame},
		{"not a JPEG", jpegs[:2], with(jpegs[2], []byte("not a JPEG")), clip.ErrBadFrame},
		{"empty JPEG", jpegs[:2], with(jpegs[2], nil), clip.ErrBadFrame},
		{"too large", jpegs[:2], with(jpegs[2], large), clip.ErrFrameTooLarge},
		{"too large a first frame", nil, with(jpegs[2], large), clip.ErrFrameTooLarge},
		{"H.264 without a slice", high[:2], with(high[2], []byte{0, 0, 1, 9, 0x10}), clip.ErrBadFrame},
		{"H.264 without a start code", high[:2], with(high[2], []byte("stream")), clip.ErrBadFrame},
		{"another size", jpegs[:2], wide, nil},
		{"another format", jpegs[:2], high[0], nil},
		{"the other format", high[:2], jpegs[0], nil},
		{"other parameter sets", high[:2], other[0], nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var parts []clip.Part
			w := newWriter(t, clip.Settings{}, &parts)
			for _, f := range test.first {
				if err := w.Write(f); err != nil {
					t.Fatal(err)
				}
			}
			err := w.Write(test.frame)
			if test.want != nil && !errors.Is(err, test.want) || test.want == nil && !errors.As(err, &changed) {
				t.Errorf("got error %v, want %v", err, test.want)
			}
			// The clip goes on, or begins, as if the frame had not been there.
			next := jpegs[3]
			if len(test.first) > 0 && test.first[0].Format == capture.FormatH264 || test.first == nil && test.frame.Format == capture.FormatH264 {
				next = high[20]
			}
			if err := w.Write(next); err != nil {
				t.Fatalf("write the next frame: %v", err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if got, want := len(read(t, join(parts))), len(test.first)+1; got != want {
				t.Errorf("the clip has %d frames, want %d", got, want)
			}
		})
	}
}

// A key frame that repeats no parameter sets is taken, once they are known.
func TestH264SetsOnce(t *testing.T) {
	frames := highFrames(t)
	for i, f := range frames {
		if f.Key && i > 0 {
			frames[i].Data = f.Data[bytes.Index(f.Data, []byte{0, 0, 1, 0x65}):]
		}
	}
	data := join(write(t, clip.Settings{}, frames))
	if got := probe(t, data).Streams[0].Frames; got != count(len(frames)) {
		t.Errorf("ffprobe reads %s frames, want %d", got, len(frames))
	}
}

func TestClose(t *testing.T) {
	var parts []clip.Part
	w := newWriter(t, clip.Settings{}, &parts)
	for range 2 {
		if err := w.Close(); err != nil || len(parts) > 0 {
			t.Errorf("close an empty clip: error %v, %d parts", err, len(parts))
		}
	}
	if err := w.Write(jpegFrames(t, 1)[0]); !errors.Is(err, clip.ErrClosed) {
		t.Errorf("write after close: %v, want %v", err, clip.ErrClosed)
	}
}

func TestEmitFails(t *testing.T) {
	full := errors.New("spool is full")
	var calls int
	w, err := clip.NewWriter(clip.Settings{}, func(clip.Part) error { calls++; return full })
	if err != nil {
		t.Fatal(err)
	}
	var failed int
	for _, f := range jpegFrames(t, 100) {
		if err := w.Write(f); err != nil {
			failed++
			if !errors.Is(err, full) {
				t.Fatalf("got %v, want %v", err, full)
			}
		}
	}
	if err := w.Close(); !errors.Is(err, full) || calls != 1 || failed != 60 {
		t.Errorf("close: %v; %d calls, %d failed writes, want 1 and 60", err, calls, failed)
	}
}

func TestSettings(t *testing.T) {
	for _, s := range []clip.Settings{
		{PartDuration: time.Millisecond}, {PartDuration: time.Hour}, {PartDuration: -1},
		{PartBytes: 1}, {PartBytes: clip.MaxPartBytes + 1}, {PartBytes: -1},
	} {
		if _, err := clip.NewWriter(s, nil); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
}

// The format is fixed: what was written once is written again.
func TestGolden(t *testing.T) {
	picture, err := os.ReadFile(filepath.Join("testdata", "frame-16x16.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	jpegs := jpegFrames(t, 2)
	jpegs[0].Data, jpegs[1].Data = picture, picture
	for name, frames := range map[string][]capture.Frame{"mjpeg.mp4": jpegs, "h264.mp4": highFrames(t)[:2]} {
		path := filepath.Join("testdata", name)
		got := join(write(t, clip.Settings{}, frames))
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes than the golden file's", name)
		}
	}
}
