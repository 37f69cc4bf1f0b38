package motion

import "time"

// snapshots are how many earlier frames are kept, and spacing is the time between
// two of them.
const (
	snapshots = 10
	spacing   = 120 * time.Millisecond
)

// history is what was different in earlier frames, to tell what moves.
type history struct {
	past   [snapshots]snapshot
	next   int
	newest int // -1 if there is none
}

// snapshot is an earlier frame's diff.
type snapshot struct {
	at    time.Duration
	valid bool
	diff  []int8
}

func newHistory(n int) history {
	h := history{newest: -1}
	for i := range h.past {
		h.past[i].diff = make([]int8, n)
	}
	return h
}

func (h *history) reset() {
	for i := range h.past {
		h.past[i].valid = false
	}
	h.newest = -1
}

// before returns the latest diff that is at least age old, nil if there is none.
func (h *history) before(at, age time.Duration) []int8 {
	var best *snapshot
	for i := range h.past {
		s := &h.past[i]
		if s.valid && at-s.at >= age && (best == nil || s.at > best.at) {
			best = s
		}
	}
	if best == nil {
		return nil
	}
	return best.diff
}

// remember keeps a frame's diff if the last one kept is old enough.
func (h *history) remember(at time.Duration, diff []float32) {
	if h.newest >= 0 && at-h.past[h.newest].at < spacing {
		return
	}
	s := &h.past[h.next]
	h.newest, h.next = h.next, (h.next+1)%snapshots
	s.at, s.valid = at, true
	out := s.diff[:len(diff)]
	for i, d := range diff {
		out[i] = int8(clip(d))
	}
}

// clip bounds a difference to what a snapshot holds.
func clip(d float32) float32 {
	if d > 127 {
		return 127
	}
	if d < -127 {
		return -127
	}
	return d
}
