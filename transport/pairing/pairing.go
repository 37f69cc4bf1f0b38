// Package pairing makes a camera a person's: the owner shows it a code, both prove to
// each other that they have it, and what is left is an ownership record that both
// signed. docs/ref/pairing.md is the specification.
//
// It owns the code, the messages, and each side's part as a state machine: messages in,
// messages out, a state that its user keeps. It never reads a picture, sends anything,
// or joins a network, and it trusts whoever carries its messages with nothing.
package pairing

import "time"

// Limits of the protocol.
const (
	// MaxCode bounds a code's text, in characters.
	MaxCode = 640
	// MaxMessage bounds a message, in bytes.
	MaxMessage = 66 << 10
	// MaxState bounds a side's saved state, in bytes.
	MaxState = 256 << 10
	// MaxRefused is how many messages are refused before a pairing is given up.
	MaxRefused = 100
	// CodeLife is how long a code should be good for, MaxCodeLife how long it may.
	CodeLife, MaxCodeLife = 10 * time.Minute, time.Hour
	// Patience is how long a camera tries with one code.
	Patience = 15 * time.Minute
	// clockSlack is how far two clocks that are right may be apart.
	clockSlack = 5 * time.Minute
)

// Phase is how far a side has come. The values are in saved states.
type Phase uint8

// The phases. An owner waits, has offered, and is done; a camera calls, has accepted,
// and is done. Each can fail instead of taking its second step, and an owner that has
// offered fails if the camera says that it will not accept.
const (
	PhaseBegun  Phase = 1 // an owner waits, a camera calls
	PhaseAgreed Phase = 2 // an owner has offered, a camera has accepted: the record is in force
	PhaseDone   Phase = 3 // nothing more is needed
	PhaseFailed Phase = 4 // nothing came of it, and nothing will
)

// String is the phase for logs.
func (p Phase) String() string {
	switch p {
	case PhaseBegun:
		return "begun"
	case PhaseAgreed:
		return "agreed"
	case PhaseDone:
		return "done"
	case PhaseFailed:
		return "failed"
	default:
		return "unknown phase"
	}
}
