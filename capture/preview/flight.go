package preview

import (
	"sync"
	"time"
)

// stamp is a timestamp as the child sees it: milliseconds since its first frame,
// made unique.
type stamp = uint32

// ticket is a frame that is in the decoder.
type ticket struct {
	seq  uint64
	time time.Time
}

// flight is the frames that are in the decoder.
type flight struct {
	mu      sync.Mutex
	limit   int
	frames  map[stamp]ticket
	room    chan struct{} // holds a token when frames may have left
	arrived uint64        // pictures so far
}

func newFlight(limit int) *flight {
	return &flight{limit: limit, frames: make(map[stamp]ticket, limit), room: make(chan struct{}, 1)}
}

// add takes a frame in and returns its timestamp, the one wanted or the next that
// is free; false is a full decoder.
func (f *flight) add(want stamp, t ticket) (stamp, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.frames) >= f.limit {
		return 0, false
	}
	for {
		if _, taken := f.frames[want]; !taken {
			f.frames[want] = t
			return want, true
		}
		want++
	}
}

// land takes out the frame of a picture. Pictures come in the order of their
// timestamps, so that all frames before it are lost, and are taken out too.
func (f *flight) land(at stamp) (t ticket, lost int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arrived++
	t, ok = f.frames[at]
	for s := range f.frames {
		if s <= at {
			delete(f.frames, s)
			lost++
		}
	}
	if ok {
		lost--
	}
	select {
	case f.room <- struct{}{}:
	default:
	}
	return t, lost, ok
}

// count returns how many pictures have come so far.
func (f *flight) count() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.arrived
}

// close empties the decoder and returns how many frames were in it.
func (f *flight) close() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	lost := len(f.frames)
	clear(f.frames)
	return lost
}
