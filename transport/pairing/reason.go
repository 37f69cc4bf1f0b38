package pairing

import (
	"errors"
	"fmt"

	"github.com/lensward/lensward/transport/statement"
)

// Reason says in one word why a code or a message is refused, or a pairing failed. The
// words are part of the protocol.
type Reason string

// Every reason.
const (
	ReasonTooLarge        Reason = "too-large"        // beyond the limits
	ReasonNotACode        Reason = "not-a-code"       // some other text
	ReasonUnknownVersion  Reason = "unknown-version"  // a code of another version
	ReasonMalformed       Reason = "malformed"        // not of the form that is specified
	ReasonBadField        Reason = "bad-field"        // a field breaks its rule
	ReasonExpired         Reason = "expired"          // the code, or the time to use it, is over
	ReasonOver            Reason = "over"             // the pairing has ended
	ReasonBadMAC          Reason = "bad-mac"          // from somebody who does not have the code
	ReasonUnexpected      Reason = "unexpected"       // not what is to be said now
	ReasonWrongTranscript Reason = "wrong-transcript" // of another run, or another moment in it
	ReasonBadRecord       Reason = "bad-record"       // the ownership record does not verify
	ReasonWrongDevice     Reason = "wrong-device"     // by another device than the one that was taken
	ReasonWrongOwner      Reason = "wrong-owner"      // by another owner than the code's
	ReasonBadSignature    Reason = "bad-signature"    // not signed by who it says
	ReasonRival           Reason = "rival"            // a second device has the code
	ReasonSecondHello     Reason = "second-hello"     // the device began again with the same code
	ReasonWrongRecord     Reason = "wrong-record"     // another record than the one that is due
	ReasonRolledBack      Reason = "rolled-back"      // the device has forgotten an ownership
	ReasonCancelled       Reason = "cancelled"        // a person ended it
	ReasonTooMany         Reason = "too-many"         // too many messages were refused
)

// Advice says to a person what happened and what to do. It is empty for a word that is
// no reason.
func (r Reason) Advice() string {
	switch r {
	case ReasonNotACode:
		return "This is not a pairing code. Show the code from the owner's page."
	case ReasonUnknownVersion:
		return "The code is of another version. Update the camera or the owner's page."
	case ReasonTooLarge, ReasonMalformed, ReasonBadField:
		return "The code or message is damaged. Make a new code and try again."
	case ReasonExpired:
		return "The code has expired. Make a new one and show it to the camera."
	case ReasonOver:
		return "This pairing has ended. To pair again, make a new code."
	case ReasonBadMAC, ReasonWrongTranscript, ReasonWrongDevice, ReasonWrongOwner, ReasonBadSignature, ReasonBadRecord, ReasonUnexpected:
		return "Something on the way between camera and owner changed or mixed up a message. It was ignored."
	case ReasonRival:
		return "A second camera answered to the same code. If the picture is not your camera's, remove this camera and pair again where nobody else sees the code."
	case ReasonSecondHello:
		return "The camera began anew with a code that it had used. Make a new code and show it to the camera."
	case ReasonWrongRecord:
		return "The owner's side offered something else than the camera asked for. Update both and make a new code."
	case ReasonRolledBack:
		return "The camera has forgotten an ownership that this owner has seen: its memory was put back to an older state. Reset it with its button and make a new code."
	case ReasonCancelled:
		return "The pairing was cancelled. To pair, make a new code."
	case ReasonTooMany:
		return "Too many wrong messages came. Something on the way disturbs the pairing: try another network, then make a new code."
	default:
		return ""
	}
}

// aborts says whether an abort may give this reason.
func (r Reason) aborts() bool {
	switch r {
	case ReasonExpired, ReasonCancelled, ReasonRolledBack, ReasonWrongRecord, ReasonTooMany:
		return true
	default:
		return false
	}
}

// Error is a refusal, or a pairing's failure.
type Error struct {
	// Reason is what a program decides by.
	Reason Reason
	// Detail is for a person and holds no secret.
	Detail string
	// Theirs says that the other side gave the reason.
	Theirs bool
}

// Error returns the reason and the detail.
func (e *Error) Error() string {
	text := string(e.Reason)
	if e.Theirs {
		text += ", says the other side"
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// ReasonOf returns the reason of the *Error in err's chain, or "".
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func refuse(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// unreadable names a fault of CBOR or of an envelope as the specification does.
func unreadable(err error) *Error {
	if errors.Is(err, statement.ErrFields) {
		return &Error{Reason: ReasonBadField, Detail: err.Error()}
	}
	return &Error{Reason: ReasonMalformed, Detail: err.Error()}
}
