package encode

import (
	"sync"
	"time"

	"github.com/lensward/lensward/capture"
)

// maxInFlight is how many pictures may be in an encoder: it bounds how late a
// frame can be.
const maxInFlight = 8

// ticket is what a frame is given back when its picture comes out encoded.
type ticket struct {
	n       uint64 // grows from picture to picture
	seq     uint64
	time    time.Time
	preview *capture.Preview
}

// flight is the pictures that are in an encoder, in order.
type flight struct {
	mu      sync.Mutex
	tickets []ticket
	room    chan struct{} // holds a token when pictures may have left
}

func newFlight() *flight {
	return &flight{tickets: make([]ticket, 0, maxInFlight), room: make(chan struct{}, 1)}
}

// add takes a picture in; false is a full encoder.
func (f *flight) add(t ticket) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.tickets) == maxInFlight {
		return false
	}
	f.tickets = append(f.tickets, t)
	return true
}

// hasRoom says whether add would take a picture in.
func (f *flight) hasRoom() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.tickets) < maxInFlight
}

// empty says that no picture is in it.
func (f *flight) empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.tickets) == 0
}

// land takes out the picture that n was given to. Those before it are lost, and are taken out too.
func (f *flight) land(n uint64) (t ticket, lost int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gone := 0
	for gone < len(f.tickets) && f.tickets[gone].n < n {
		gone++
	}
	lost = gone
	if gone < len(f.tickets) && f.tickets[gone].n == n {
		t, ok = f.tickets[gone], true
		gone++
	}
	kept := copy(f.tickets, f.tickets[gone:])
	clear(f.tickets[kept:]) // previews are large
	f.tickets = f.tickets[:kept]
	select {
	case f.room <- struct{}{}:
	default:
	}
	return t, lost, ok
}

// close empties the encoder and returns how many pictures were in it.
func (f *flight) close() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	lost := len(f.tickets)
	clear(f.tickets)
	f.tickets = f.tickets[:0]
	return lost
}
