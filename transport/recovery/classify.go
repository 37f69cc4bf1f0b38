package recovery

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// Refuser is what an error says of itself when it knows whether a live server refused.
type Refuser interface {
	error
	// Refused says that the server was there and would not have this camera now.
	Refused() bool
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
	if errors.As(err, &refuser) {
		if refuser.Refused() {
			return Refused
		}
	}
	for _, e := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return Unreachable
		}
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return TimedOut
	}
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return Refused
		}
	}
	return TimedOut
}
