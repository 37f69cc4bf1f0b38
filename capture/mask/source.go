package mask

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/lensward/lensward/capture"
)

// maxInRow is how many pictures one after another may be left out.
const maxInRow = 50

// dropped counts the pictures that could not be masked, and tells of some of them.
type dropped struct {
	n     atomic.Uint64
	inRow int
	log   *slog.Logger
}

// add counts a picture. The first is logged, the second, the fourth and so on; too
// many in a row are an error.
func (d *dropped) add(seq uint64, err error) error {
	if n := d.n.Add(1); n&(n-1) == 0 {
		d.log.Warn("a picture that cannot be masked was left out", "seq", seq, "count", n, "error", err)
	}
	if d.inRow++; d.inRow < maxInRow {
		return nil
	}
	d.inRow = 0
	return &capture.FaultError{
		Fault: capture.FaultUnsuitable, Err: fmt.Errorf("mask pictures: %d one after another cannot be masked: %w", maxInRow, err),
	}
}

func newDropped(log *slog.Logger) dropped {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return dropped{log: log}
}

// Source is a camera whose frames have a mask's areas black. Frames that cannot be
// masked are left out and counted; Frame.Seq then jumps; 50 of them one after
// another are a fault of the camera. It is a [capture.Source].
type Source struct {
	src     capture.Source
	mask    *Mask
	dropped dropped
}

// NewSource puts a mask before a source of frames in the given format. For a format
// that cannot be masked the error is a *FormatError. A nil log is no log.
func NewSource(src capture.Source, format capture.Format, areas []capture.Area, log *slog.Logger) (*Source, error) {
	if err := Check(format); err != nil {
		return nil, err
	}
	m, err := New(areas)
	if err != nil {
		return nil, err
	}
	return &Source{src: src, mask: m, dropped: newDropped(log)}, nil
}

// Run is [capture.Source.Run].
func (s *Source) Run(ctx context.Context, emit func(capture.Frame)) error {
	s.dropped.inRow = 0
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := s.src.Run(ctx, func(f capture.Frame) {
		masked, err := s.mask.Frame(f)
		if err == nil {
			s.dropped.inRow = 0
			emit(masked)
			return
		}
		if err := s.dropped.add(f.Seq, err); err != nil {
			cancel(err)
		}
	})
	var fault *capture.FaultError
	if cause := context.Cause(ctx); errors.As(cause, &fault) {
		return cause
	}
	return err
}

// Dropped returns how many frames could not be masked so far.
func (s *Source) Dropped() uint64 { return s.dropped.n.Load() }

// RawSource is a camera whose raw pictures have a mask's areas black. Pictures that
// cannot be masked are left out and counted; 50 of them one after another are a
// fault of the camera. It is a [capture.RawSource].
type RawSource struct {
	src     capture.RawSource
	mask    *Mask
	dropped dropped
}

// NewRawSource puts a mask before a source of raw pictures. A nil log is no log.
func NewRawSource(src capture.RawSource, areas []capture.Area, log *slog.Logger) (*RawSource, error) {
	m, err := New(areas)
	if err != nil {
		return nil, err
	}
	return &RawSource{src: src, mask: m, dropped: newDropped(log)}, nil
}

// RunRaw is [capture.RawSource.RunRaw].
func (s *RawSource) RunRaw(ctx context.Context, emit func(*capture.Raw) error) error {
	s.dropped.inRow = 0
	return s.src.RunRaw(ctx, func(r *capture.Raw) error {
		if err := s.mask.Raw(r); err != nil {
			return s.dropped.add(r.Seq, err)
		}
		s.dropped.inRow = 0
		return emit(r)
	})
}

// Dropped returns how many pictures could not be masked so far.
func (s *RawSource) Dropped() uint64 { return s.dropped.n.Load() }
