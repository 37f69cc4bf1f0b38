package clip

import (
	"fmt"
	"slices"
	"time"

	"github.com/lensward/lensward/capture"
)

// RingSettings bound a [Ring].
type RingSettings struct {
	// Duration is how old a frame may be, beside the newest one. H.264 is kept in
	// whole groups of pictures: those that have a frame which is not too old. 0 to
	// 5 minutes.
	Duration time.Duration
	// Bytes bounds the encoded frames that the ring refers to. 1 B to 1 GiB.
	Bytes int
}

// Validate returns an error that names the first field with an unusable value.
func (s RingSettings) Validate() error {
	if s.Duration < 0 || s.Duration > 5*time.Minute {
		return fmt.Errorf("ring settings: Duration is %v, want 0 to 5m", s.Duration)
	}
	if s.Bytes < 1 || s.Bytes > 1<<30 {
		return fmt.Errorf("ring settings: Bytes is %d, want 1 to %d", s.Bytes, 1<<30)
	}
	return nil
}

// Ring keeps the newest frames of a camera, as the pre-roll of an event that may
// come. It refers to the frames' data and copies none, so its memory is that
// data, at most RingSettings.Bytes, and less than 300 bytes for each frame; a data
// slice whose array is larger than itself holds the whole array. What the ring
// holds always begins with a key frame.
//
// A Ring is not safe for concurrent use.
type Ring struct {
	settings RingSettings
	clock    clock
	groups   []group // oldest first
	bytes    int
	format   capture.Format
}

// group is a key frame and the frames that depend on it.
type group struct {
	at     time.Duration // the newest frame's place on the ring's clock
	bytes  int
	frames []capture.Frame
}

// NewRing returns an empty ring, or the error of [RingSettings.Validate].
func NewRing(s RingSettings) (*Ring, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return &Ring{settings: s}, nil
}

// Push adds the next frame and lets go of whole groups from the front that are too
// old, or while there are too many bytes. If the group that is still growing is too large by
// itself, all is let go of and the ring begins again with the next key frame.
func (r *Ring) Push(f capture.Frame) {
	if f.Format != r.format {
		r.Clear()
		r.format = f.Format
	}
	r.clock.place(f)
	if f.Key {
		r.groups = append(r.groups, group{})
	}
	if len(r.groups) == 0 {
		return
	}
	g := &r.groups[len(r.groups)-1]
	g.frames, g.at = append(g.frames, f), r.clock.at
	g.bytes += len(f.Data)
	r.bytes += len(f.Data)
	for len(r.groups) > 0 && (r.bytes > r.settings.Bytes || r.clock.at-r.groups[0].at > r.settings.Duration) {
		r.drop()
	}
}

// drop lets go of the oldest group.
func (r *Ring) drop() {
	r.bytes -= r.groups[0].bytes
	r.groups[0] = group{}
	r.groups = r.groups[1:]
}

// Clear lets go of all frames.
func (r *Ring) Clear() {
	r.groups, r.bytes, r.clock = nil, 0, clock{}
}

// Bytes returns the size of the frames that the ring holds.
func (r *Ring) Bytes() int { return r.bytes }

// Since returns the frames taken from a moment on, oldest first; in H.264 from the
// key frame that the first of them needs. The zero time means all. The slice is
// the caller's; the frames' data is shared.
func (r *Ring) Since(t time.Time) []capture.Frame {
	first := slices.IndexFunc(r.groups, func(g group) bool {
		return !g.frames[len(g.frames)-1].Time.Before(t)
	})
	if first < 0 {
		return nil
	}
	var n int
	for _, g := range r.groups[first:] {
		n += len(g.frames)
	}
	frames := make([]capture.Frame, 0, n)
	for _, g := range r.groups[first:] {
		frames = append(frames, g.frames...)
	}
	return frames
}
