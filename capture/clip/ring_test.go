package clip_test

import (
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/clip"
)

// script makes frames 100 ms apart, of 10 bytes, from a string: k is a key frame,
// p one that depends on it, > an hour's pause, < a clock set back by an hour.
func script(format capture.Format, text string) []capture.Frame {
	var frames []capture.Frame
	at := start
	for _, c := range text {
		switch c {
		case '>':
			at = at.Add(time.Hour)
		case '<':
			at = at.Add(-time.Hour)
		default:
			frames = append(frames, capture.Frame{
				Seq: uint64(len(frames)), Time: at, Format: format, Key: c == 'k', Data: make([]byte, 10),
			})
			at = at.Add(interval)
		}
	}
	return frames
}

func newRing(t testing.TB, s clip.RingSettings) *clip.Ring {
	t.Helper()
	r, err := clip.NewRing(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seqs returns the first and last sequence number of frames without a gap.
func seqs(t *testing.T, frames []capture.Frame) (first, last int) {
	t.Helper()
	if len(frames) == 0 {
		return -1, -1
	}
	for i := range frames[1:] {
		if frames[i+1].Seq != frames[i].Seq+1 {
			t.Errorf("frame %d after frame %d", frames[i+1].Seq, frames[i].Seq)
		}
	}
	return int(frames[0].Seq), int(frames[len(frames)-1].Seq)
}

func TestRing(t *testing.T) {
	const many = 1 << 20
	h264, mjpeg := capture.FormatH264, capture.FormatMJPEG
	tests := []struct {
		name        string
		duration    time.Duration
		bytes       int
		frames      []capture.Frame
		first, last int // -1: none
	}{
		{"empty", time.Second, many, nil, -1, -1},
		{"MJPEG reaches back by the duration", 500 * time.Millisecond, many, script(mjpeg, "kkkkkkkkkk"), 4, 9},
		{"MJPEG of no duration", 0, many, script(mjpeg, "kkk"), 2, 2},
		{"MJPEG in few bytes", time.Second, 35, script(mjpeg, "kkkkkkkkkk"), 7, 9},
		{"MJPEG after a pause", time.Second, many, script(mjpeg, "kkkk>k"), 4, 4},
		{"MJPEG after the clock was set back", 500 * time.Millisecond, many, script(mjpeg, "kkkkkkkk<kkk"), 5, 10},
		{"H.264 keeps the group that it needs", 500 * time.Millisecond, many, script(h264, "kppkppkppkpp"), 6, 11},
		{"H.264 begins with a key frame", time.Second, many, script(h264, "ppkpp"), 2, 4},
		{"H.264 waits for a key frame", time.Second, many, script(h264, "ppp"), -1, -1},
		{"H.264 in few bytes", time.Second, 65, script(h264, "kppkppkpp"), 3, 8},
		{"H.264 group too large", time.Second, 45, script(h264, "kppppp"), -1, -1},
		{"H.264 after a group too large", time.Second, 45, script(h264, "kpppppkp"), 6, 7},
		{"H.264 one long group", 200 * time.Millisecond, many, script(h264, "kpppppppp"), 0, 8},
		{"another format", time.Second, many, append(script(h264, "kp"), script(mjpeg, "kk")...), 0, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRing(t, clip.RingSettings{Duration: test.duration, Bytes: test.bytes})
			for _, f := range test.frames {
				r.Push(f)
				if held := r.Since(time.Time{}); r.Bytes() > test.bytes || r.Bytes() != 10*len(held) || len(held) > 0 && !held[0].Key {
					t.Fatalf("after frame %d: %d bytes, %d frames", f.Seq, r.Bytes(), len(held))
				}
			}
			first, last := seqs(t, r.Since(time.Time{}))
			if first != test.first || last != test.last {
				t.Errorf("holds frames %d to %d, want %d to %d", first, last, test.first, test.last)
			}
			r.Clear()
			if r.Bytes() != 0 || r.Since(time.Time{}) != nil {
				t.Error("not empty after Clear")
			}
		})
	}
}

func TestRingSince(t *testing.T) {
	r := newRing(t, clip.RingSettings{Duration: time.Minute, Bytes: 1 << 20})
	frames := script(capture.FormatH264, "kppkppkpp")
	for _, f := range frames {
		r.Push(f)
	}
	for _, test := range []struct {
		since time.Duration
		first int
	}{{-time.Hour, 0}, {0, 0}, {200 * time.Millisecond, 0}, {201 * time.Millisecond, 3}, {500 * time.Millisecond, 3}, {501 * time.Millisecond, 6}} {
		held := r.Since(start.Add(test.since))
		if first, last := seqs(t, held); first != test.first || last != 8 {
			t.Errorf("since %v: frames %d to %d, want %d to 8", test.since, first, last, test.first)
		}
		if unsafe.SliceData(held[0].Data) != unsafe.SliceData(frames[held[0].Seq].Data) {
			t.Error("a frame's data was copied")
		}
	}
	if held := r.Since(start.Add(time.Hour)); held != nil {
		t.Errorf("%d frames since an hour after the last", len(held))
	}
	before := r.Since(time.Time{})
	r.Push(frames[0])
	if !slices.EqualFunc(before, frames, func(a, b capture.Frame) bool { return a.Seq == b.Seq }) {
		t.Error("a later frame changed a slice that was handed out")
	}
}

// A ring that always turns does not grow.
func TestRingMemory(t *testing.T) {
	r := newRing(t, clip.RingSettings{Duration: time.Second, Bytes: 1 << 20})
	frames := script(capture.FormatH264, "kppkpp")
	var at time.Time
	push := func() {
		for _, f := range frames {
			at = at.Add(interval)
			f.Time = at
			r.Push(f)
		}
	}
	for range 1000 {
		push()
	}
	// Two groups begin in each round: a slice for each, and now and then one for all.
	if allocs := testing.AllocsPerRun(1000, push); allocs > 10 {
		t.Errorf("%v allocations for 6 frames", allocs)
	}
	if got := len(r.Since(time.Time{})); got > 15 {
		t.Errorf("%d frames held", got)
	}
}

func TestRingSettings(t *testing.T) {
	for _, s := range []clip.RingSettings{{}, {Duration: -1, Bytes: 1}, {Duration: time.Hour, Bytes: 1}, {Bytes: -1}, {Bytes: 1<<30 + 1}} {
		if _, err := clip.NewRing(s); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
}
