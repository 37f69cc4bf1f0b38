package clip_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/clip"
)

// A clip cut off anywhere gives the frames of the parts that are whole, and an
// error unless the cut is between parts (or after the head alone).
func TestFramesCutOff(t *testing.T) {
	parts := write(t, clip.Settings{PartDuration: interval}, jpegFrames(t, 3))
	data := join(parts)
	head := bytes.Index(data, []byte("prft")) - 4
	ends := map[int]bool{}
	var end int
	for _, p := range parts {
		end += len(p.Data)
		ends[end] = true
	}
	for cut := range len(data) {
		var got, whole int
		var failed error
		for _, err := range clip.Frames(data[:cut]) {
			if err != nil {
				failed = err
				continue
			}
			got++
		}
		for e := range ends {
			if e <= cut {
				whole++
			}
		}
		if got != whole || (failed == nil) != (ends[cut] || cut == head) {
			t.Fatalf("cut at byte %d of %d: %d frames, want %d; error %v", cut, len(data), got, whole, failed)
		}
		if failed != nil && !errors.Is(failed, io.ErrUnexpectedEOF) && !errors.Is(failed, clip.ErrFormat) {
			t.Fatalf("cut at byte %d: error %v is neither of those promised", cut, failed)
		}
	}
}

func TestFramesBroken(t *testing.T) {
	data := join(write(t, clip.Settings{}, highFrames(t)[:4]))
	set := func(after string, offset int, value ...byte) []byte {
		out := bytes.Clone(data)
		copy(out[bytes.Index(out, []byte(after))+offset:], value)
		return out
	}
	boxAt := func(name string) int { return bytes.Index(data, []byte(name)) - 4 }
	tests := map[string][]byte{
		"nothing":                       nil,
		"no clip":                       []byte("this is no clip at all"),
		"no head":                       data[boxAt("prft"):],
		"samples alone":                 append(bytes.Clone(data[:boxAt("prft")]), data[boxAt("mdat"):]...),
		"two heads":                     append(bytes.Clone(data[:boxAt("prft")]), data...),
		"another codec":                 set("avc1", 0, 'a', 'v', 'c', '9'),
		"a box smaller than itself":     set("mdat", -4, 0, 0, 0, 7),
		"a sample larger than all":      set("trun", 16+4, 0xff, 0xff, 0xff, 0xff),
		"a unit larger than its sample": set("mdat", 4, 0xff, 0xff, 0xff, 0xff),
		"samples outside the box":       set("trun", 12, 0x7f, 0xff, 0xff, 0xff),
		"samples before the box":        set("trun", 12, 0, 0, 0, 0),
		"more samples than said":        set("trun", 8, 0, 0, 0, 9),
		"another timescale":             set("mdhd", 16, 0, 0, 0, 1),
		"another track":                 set("traf", 0, 'f', 'r', 'e', 'e'),
	}
	for name, broken := range tests {
		var got error
		for _, err := range clip.Frames(broken) {
			got = err
		}
		if !errors.Is(got, clip.ErrFormat) {
			t.Errorf("%s: error %v, want %v", name, got, clip.ErrFormat)
		}
	}
}

// No sample is taken that no writer would have made.
func TestFramesLargest(t *testing.T) {
	data := join(write(t, clip.Settings{}, jpegFrames(t, 1)))
	mdat, trun := bytes.Index(data, []byte("mdat")), bytes.Index(data, []byte("trun"))
	for size, want := range map[uint32]error{clip.MaxPartBytes: nil, clip.MaxPartBytes + 1: clip.ErrFormat} {
		grown := append(bytes.Clone(data[:mdat+4]), make([]byte, size)...)
		binary.BigEndian.PutUint32(grown[mdat-4:], 8+size)
		binary.BigEndian.PutUint32(grown[trun+20:], size)
		var got error
		for _, err := range clip.Frames(grown) {
			got = err
		}
		if !errors.Is(got, want) {
			t.Errorf("a sample of %d bytes: error %v, want %v", size, got, want)
		}
	}
}

// The iteration can be left at any frame.
func TestFramesBreak(t *testing.T) {
	var seen []capture.Frame
	for f, err := range clip.Frames(join(write(t, clip.Settings{}, jpegFrames(t, 5)))) {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, f); len(seen) == 2 {
			break
		}
	}
	if len(seen) != 2 || seen[1].Seq != 1 {
		t.Errorf("%d frames seen before the break, want 2", len(seen))
	}
}
