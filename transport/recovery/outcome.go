package recovery

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// Outcome says how a connect failed. The values appear in logs.
type Outcome uint8

// The ways to fail.
const (
	// Refused: a live server said no, or hung up during the handshake.
	Refused Outcome = 1
	// TimedOut: nobody answered; the server is dead, or drops what it cannot take.
	TimedOut Outcome = 2
	// Unreachable: this machine has no way out: no route, no address, no link, or a
	// stranger in between (IsStranger).
	Unreachable Outcome = 3
	// Stalled: the server's side took the connection, then nobody answered in time. It
	// is overloaded, or something in front of it is alive when it is not.
	Stalled Outcome = 4
	// Dead: the host is alive and nobody listens there.
	Dead Outcome = 5
	// NoName: the server's name could not be resolved.
	NoName Outcome = 6
)

// String is the outcome's name.
func (o Outcome) String() string {
	switch o {
	case Refused:
		return "refused"
	case TimedOut:
		return "timed out"
	case Unreachable:
		return "unreachable"
	case Stalled:
		return "stalled"
	case Dead:
		return "dead"
	case NoName:
		return "no name"
	default:
		return fmt.Sprintf("outcome %d", uint8(o))
	}
}

// Refuser is what an error says of itself when it knows whether a live server refused.
type Refuser interface {
	error
	// Refused says that the server was there and would not have this camera now.
	Refused() bool
}

// Staller is what an error says of itself when it knows whether the connection stood
// before nobody answered any more.
type Staller interface {
	error
	// Stalled says that the connection stood and the answer did not come in time.
	Stalled() bool
}

// Classify reads from a failed connect's error which way it failed. What cannot be told
// counts as TimedOut, the outcome with the age's law alone.
//
// A port that nobody listens on (connection refused) is a dead server, not a live one
// that refuses: only an answer that a server gave, or a connection that it took and
// then closed, asks for fewer connects. A name that does not resolve may be the whole
// fleet's trouble and is not taken for this machine's own.
func Classify(err error) Outcome {
	var refuser Refuser
	if errors.As(err, &refuser) && refuser.Refused() {
		return Refused
	}
	var staller Staller
	if errors.As(err, &staller) && staller.Stalled() {
		return Stalled
	}
	if IsStranger(err) {
		return Unreachable
	}
	if isAny(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL) {
		return Unreachable
	}
	var name *net.DNSError
	if errors.As(err, &name) {
		return NoName
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return Dead
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		var op *net.OpError
		if errors.As(err, &op) && (op.Op == "read" || op.Op == "write") {
			return Stalled
		}
		return TimedOut
	}
	if isAny(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE) {
		return Refused
	}
	return TimedOut
}

func isAny(err error, targets ...error) bool {
	for _, e := range targets {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
