package mask

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/lensward/lensward/capture"
)

// camera gives its frames or raw pictures once.
type camera struct {
	frames []capture.Frame
	raws   []*capture.Raw
}

func (c camera) Run(ctx context.Context, emit func(capture.Frame)) error {
	for _, f := range c.frames {
		emit(f)
	}
	return ctx.Err()
}

func (c camera) RunRaw(_ context.Context, emit func(*capture.Raw) error) error {
	for _, r := range c.raws {
		if err := emit(r); err != nil {
			return err
		}
	}
	return nil
}

func TestSource(t *testing.T) {
	good := encode(t, picture(64, 64, 1))
	var c camera
	for seq := range uint64(9) {
		f := capture.Frame{Seq: seq, Format: capture.FormatMJPEG, Width: 64, Height: 64, Data: good}
		switch {
		case seq == 2:
			f.Format = capture.FormatH264
		case seq >= 4 && seq < 8:
			f.Data = good[:len(good)-100]
		}
		c.frames = append(c.frames, f)
	}
	var log bytes.Buffer
	areas := []capture.Area{capture.Rectangle(0, 0, 1, 1)}
	s, err := NewSource(c, capture.FormatMJPEG, areas, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	if err := s.Run(t.Context(), func(f capture.Frame) {
		seqs = append(seqs, f.Seq)
		img := decode(t, f.Data)
		black(t, 64, 64, areas[0], func(x, y int) bool { return img.YCbCrAt(x, y).Y == 0 })
	}); err != nil {
		t.Fatal(err)
	}
	if want := []uint64{0, 1, 3, 8}; len(seqs) != 4 || seqs[2] != want[2] || seqs[3] != want[3] {
		t.Errorf("frames %v came out, want %v", seqs, want)
	}
	if s.Dropped() != 5 {
		t.Errorf("%d frames dropped, want 5", s.Dropped())
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 3 { // 1, 2 and 4
		t.Errorf("%d warnings, want 3:\n%s", n, log.String())
	}
}

func TestSourceRefusesFormat(t *testing.T) {
	areas := []capture.Area{capture.Rectangle(0, 0, 1, 1)}
	_, err := NewSource(camera{}, capture.FormatH264, areas, nil)
	var format *FormatError
	if !errors.As(err, &format) || format.Format != capture.FormatH264 || !strings.Contains(err.Error(), "H.264") {
		t.Errorf("want a format error that names H.264, got %v", err)
	}
	if _, err := NewSource(camera{}, capture.FormatMJPEG, nil, nil); err == nil {
		t.Error("a mask without areas was taken")
	}
	if _, err := NewRawSource(camera{}, nil, nil); err == nil {
		t.Error("a mask without areas was taken for raw pictures")
	}
}

func TestRawSource(t *testing.T) {
	areas := []capture.Area{capture.Rectangle(0, 0, 1, 1)}
	var c camera
	for seq := range uint64(4) {
		r, _ := raw(capture.LayoutYUYV, 32, 16)
		r.Seq = seq
		c.raws = append(c.raws, r)
	}
	c.raws[1].Planes[0] = nil
	s, err := NewRawSource(c, areas, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	var seqs []uint64
	err = s.RunRaw(t.Context(), func(r *capture.Raw) error {
		seqs = append(seqs, r.Seq)
		if r.Planes[0][0] != blackVideo {
			t.Errorf("picture %d is not black", r.Seq)
		}
		if r.Seq == 2 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || len(seqs) != 2 || seqs[1] != 2 || s.Dropped() != 1 {
		t.Errorf("pictures %v, %d dropped, error %v", seqs, s.Dropped(), err)
	}
}

// TestNothingCanBeMasked has a camera none of whose pictures can be masked: it is a
// fault, and not a picture comes out.
func TestNothingCanBeMasked(t *testing.T) {
	var c camera
	for seq := range uint64(maxInRow + 10) {
		c.frames = append(c.frames, capture.Frame{Seq: seq, Format: capture.FormatMJPEG, Width: 64, Height: 64, Data: []byte("no JPEG")})
		c.raws = append(c.raws, &capture.Raw{Seq: seq, Layout: capture.LayoutGrey, Width: 64, Height: 64})
	}
	areas := []capture.Area{capture.Rectangle(0, 0, 1, 1)}
	s, err := NewSource(c, capture.FormatMJPEG, areas, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context(), func(capture.Frame) { t.Error("a frame came out") })
	if capture.FaultOf(err) != capture.FaultUnsuitable || !strings.Contains(err.Error(), "50 one after another") {
		t.Errorf("the source ended with %v", err)
	}
	r, err := NewRawSource(c, areas, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = r.RunRaw(t.Context(), func(*capture.Raw) error {
		t.Error("a picture came out")
		return nil
	})
	if capture.FaultOf(err) != capture.FaultUnsuitable || r.Dropped() != maxInRow {
		t.Errorf("the raw source ended with %v after %d", err, r.Dropped())
	}
}
