package recovery

import (
	"math"
	"time"
)

// MinWindow and MaxWindow are the narrowest and the widest window that a hint may ask
// for. Whoever needs more than eight hours to let its fleet in needs a larger server; a
// camera that waited longer for one message would be as good as lost.
const (
	MinWindow = time.Second
	MaxWindow = 8 * time.Hour
)

// The slowest and the fastest drain that a hint may ask for, messages a second.
const (
	minDrain = 0.001
	maxDrain = 1000
)

// Hint is what a hub says of its fleet. Who uses one has verified where it comes from;
// Clamp bounds what it can do.
type Hint struct {
	// Serial grows with every hint that a hub publishes.
	Serial uint64
	// Window is as wide as the whole fleet needs, for the next outage:
	// fleet / (Margin · admitted connects a second).
	Window time.Duration
	// Current is as wide as those need who are not connected now: little in a calm
	// fleet, and what is left of Window in a recovery.
	Current time.Duration
	// Drain is how many messages of its backlog one device may send in a second; 0 is
	// not said.
	Drain float64
}

// Clamp brings each value into its range: windows from MinWindow to MaxWindow, the
// drain from 0.001 to 1000 messages a second or 0. What is not a number is not said.
func (h Hint) Clamp() Hint {
	h.Window = min(max(h.Window, MinWindow), MaxWindow)
	h.Current = min(max(h.Current, MinWindow), MaxWindow)
	if math.IsNaN(h.Drain) || h.Drain <= 0 {
		h.Drain = 0
	} else {
		h.Drain = min(max(h.Drain, minDrain), maxDrain)
	}
	return h
}
