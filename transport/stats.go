package transport

import (
	"sync"
	"time"

	"github.com/lensward/lensward/transport/recovery"
)

// State says what the delivery loop is doing.
type State string

// The loop's states, in the order in which a connect passes through them.
const (
	Stopped    State = "stopped"
	Waiting    State = "waiting"    // for its slot
	Asking     State = "asking"     // elsewhere than at the hub, for a hint
	Connecting State = "connecting" // or waiting for the record's receipt
	Delivering State = "delivering"
)

// Stats is what a delivery loop did since it was made.
type Stats struct {
	State State
	// Since is when the state began.
	Since time.Time
	// Next is what comes after Waiting, "connect" or "fetch hint", at NextAt.
	Next   string
	NextAt time.Time
	// Outcome says how the last connect failed, in recovery's words; "" if it did not.
	Outcome string
	// Hint is the newest hint, nil while there is none.
	Hint *HintStats
	// Connects counts tries, Sessions those that the hub admitted, Fetches how often a
	// hint was asked for elsewhere.
	Connects, Sessions, Fetches uint64
	// Delivered counts receipts that let the spool forget an item, Bytes their size.
	Delivered, Bytes uint64
	// SetAside counts refusals.
	SetAside uint64
	// Resent counts items sent again because no answer came; Rested those that were
	// left alone for a while.
	Resent, Rested uint64
	// Letters counts letters that were taken, LettersRefused those that were not. One that
	// comes in several sessions counts in each.
	Letters, LettersRefused uint64
	// Ignored counts messages of the hub that fitted nothing that was sent, or could
	// not be read.
	Ignored uint64
	// InFlight is how many items wait for an answer now.
	InFlight int
	// LastError is what went wrong last, at LastErrorAt; "" if nothing did.
	LastError   string
	LastErrorAt time.Time
}

// HintStats is a hint that a device goes by.
type HintStats struct {
	// Serial and Issued are the hub's, by its clock.
	Serial uint64
	Issued time.Time
	// Came is when it came last; zero if it was kept from an earlier run.
	Came time.Time
	// Window and Current are as recovery.Hint has them, Drain is messages a second, 0 if
	// the hub does not say.
	Window, Current time.Duration
	Drain           float64
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

// await says what is waited for.
func (b *board) await(step recovery.Step) {
	next := "connect"
	if step.Do == recovery.FetchHint {
		next = "fetch hint"
	}
	b.update(func(s *Stats) {
		s.State, s.Since, s.Next, s.NextAt = Waiting, time.Now(), next, time.Now().Add(step.Wait)
	})
}

func (b *board) failed(err error) {
	b.update(func(s *Stats) { s.LastError, s.LastErrorAt = err.Error(), time.Now() })
}

func (b *board) snapshot() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats
}
