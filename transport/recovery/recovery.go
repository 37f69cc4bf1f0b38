// Package recovery decides when a camera connects. It owns every such decision: the
// slot before each connect, the first after power-up included, when to ask for a hint,
// how fast a backlog goes out afterwards; and, at the hub's end, what a hint says.
//
// It never connects, sleeps, verifies or reads a clock: times and answers come in, waits
// go out. The same code runs in the agent and in the simulator.
//
// # The law
//
// A fleet's rate of connects is N / mean interval, for N cameras that want in. Jitter
// takes away synchrony, not volume, so any fixed longest interval fails once N over the
// server's capacity C outgrows it. So the interval is a window that scales: with the
// fleet where the hub has said how large it is, with the outage's age A where not.
//
// An outage is cut into windows that follow one another without overlap. Each holds one
// slot, at a phase that is drawn uniformly once and kept while nobody answers, so that
// cameras which lost the same server at the same moment stay spread evenly, and whoever
// returns finds a constant rate. A window that begins at age A is
//
//	with a hint   max(hint, A/2000)
//	without       max(First, min(A/2, 6 min), A/10), and 8 · First after a lost session
//
// wide. The hub makes the hint N / (0.92 · C): the fleet then comes at 92 % of what the
// hub can take, whenever it returns, and is back after one window.
//
// A live server that says no, or that takes a connection and does not answer, cannot
// take the rate. Each such answer widens the camera's window, a refusal by a quarter
// (it is cheap, and cameras that are in ask no more), a stall to the fourfold (its work
// was wasted in full), and draws the phase anew.
//
// A fresh hint, one that was issued after the session was lost, says more: how wide a
// window those need who are out now. A camera whose own window was drawn for another
// fleet than that draws once more, from now to the end of that window. All who do so end
// at the same moment, so the rate stays what it should be, whenever each of them hears.
//
// A network that cannot be reached from this machine, or a link of its own that went
// down, concerns this machine alone, or its street: the window is an eighth of what it
// would be, and no slot is used up. With fresh proof that the hub is calm it takes the
// hub's word for how soon.
//
// Only a session that lasted for Good ends the outage: a server that comes up, lets
// cameras in and falls over again does not get the rush of a first try.
//
// docs/design/recovery.md has the reasons, and what was measured.
package recovery

import (
	"fmt"
	"time"
)

// Settings are the law's constants. Take DefaultSettings and change what must differ.
type Settings struct {
	// First is the narrowest window without a hint: of the first connect after power-up
	// and of the first after a good session. At least 1 ms.
	First time.Duration
	// Cap is the widest window, at least First and at most MaxWindow. Anything short of
	// MaxWindow fails some fleet.
	Cap time.Duration
	// Good is how long a session must last to end the outage. Minutes.
	Good time.Duration
	// Awaited says that a person waits for the first connect, as after a pairing: it has
	// its slot within a second, unless a stored hint says otherwise. Nothing that happens
	// to many cameras at once may set it.
	Awaited bool
	// Fetch says that hints can be had elsewhere than from the hub. Asking a dead hub
	// for one would be load of its own.
	Fetch bool
}

// DefaultSettings suit a camera that knows nothing of its fleet.
func DefaultSettings() Settings {
	return Settings{
		First: 30 * time.Second,
		Cap:   MaxWindow,
		Good:  5 * time.Minute,
	}
}

// Validate says which setting is out of its range.
func (s Settings) Validate() error {
	switch {
	case s.First < time.Millisecond:
		return fmt.Errorf("recovery settings: first window %v is under 1ms", s.First)
	case s.Cap < s.First:
		return fmt.Errorf("recovery settings: cap %v is under the first window %v", s.Cap, s.First)
	case s.Cap > MaxWindow:
		return fmt.Errorf("recovery settings: cap %v is over %v", s.Cap, MaxWindow)
	case s.Good < 0:
		return fmt.Errorf("recovery settings: good session %v is negative", s.Good)
	}
	return nil
}
