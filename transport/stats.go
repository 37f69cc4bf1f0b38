package transport

import (
	"sync"
	"time"
)

// State says what the delivery loop is doing.
type State string

// The loop's states, in the order in which a connect passes through them.
const (
	Stopped    State = "stopped"
	Waiting    State = "waiting"    // for its slot
	Connecting State = "connecting" // or waiting for the record's receipt
	Delivering State = "delivering"
)

// Stats is what a delivery loop did since it was made.
type Stats struct {
	State State
	// Since is when the state began.
	Since time.Time
	// Connects counts tries, Sessions those that the hub admitted.
	Connects, Sessions uint64
	// Delivered counts receipts that let the spool forget an item, Bytes their size.
	Delivered, Bytes uint64
	// SetAside counts refusals.
	SetAside uint64
	// Resent counts items sent again because no answer came; Rested those that were
	// left alone for a while.
	Resent, Rested uint64
	// Ignored counts messages of the hub that fitted nothing that was sent, or could
	// not be read.
	Ignored uint64
	// InFlight is how many items wait for an answer now.
	InFlight int
	// LastError is what went wrong last, at LastErrorAt; "" if nothing did.
	LastError   string
	LastErrorAt time.Time
}

// board holds the statistics for whoever asks.
type board struct {
	mu    sync.Mutex
	stats Stats
}

func (b *board) update(change func(*Stats)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.stats)
}

func (b *board) enter(state State) {
	b.update(func(s *Stats) { s.State, s.Since = state, time.Now() })
}

func (b *board) failed(err error) {
	b.update(func(s *Stats) { s.LastError, s.LastErrorAt = err.Error(), time.Now() })
}

func (b *board) snapshot() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats
}
