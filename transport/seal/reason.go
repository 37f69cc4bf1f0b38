package seal

import (
	"errors"
	"fmt"

	"github.com/lensward/lensward/transport/statement"
)

// Reason says in one word why an item is not shown. The words are part of the
// format: both implementations use them, and the viewer's list is made of them.
type Reason string

// Every reason, in the order in which a verifier looks for them.
const (
	ReasonTooLarge         Reason = "too-large"         // larger than the limits allow
	ReasonTruncated        Reason = "truncated"         // the bytes end too early
	ReasonMalformed        Reason = "malformed"         // not an item at all
	ReasonUnknownAlgorithm Reason = "unknown-algorithm" // signed in a way that is not known
	ReasonUnsigned         Reason = "unsigned"          // the signature was taken away
	ReasonNotCanonical     Reason = "not-canonical"     // not the one encoding of what it says
	ReasonUnknownVersion   Reason = "unknown-version"   // a label that is not lensward/item/1
	ReasonBadField         Reason = "bad-field"         // a field breaks its rule
	ReasonDeviceMismatch   Reason = "device-mismatch"   // the device ID is not its key's
	ReasonBadSignature     Reason = "bad-signature"     // not signed by the device's key
	ReasonBodySize         Reason = "body-size"         // another length than was signed
	ReasonBodyHash         Reason = "body-hash"         // another body than was signed
	ReasonNotAskedFor      Reason = "not-asked-for"     // a valid item, but not the one asked for
	ReasonWrongOwner       Reason = "wrong-owner"       // it belongs to another owner
	ReasonUnknownDevice    Reason = "unknown-device"    // from a camera that is not paired
	ReasonWrongEpoch       Reason = "wrong-epoch"       // from another ownership of this camera
	ReasonUnknownRecord    Reason = "unknown-record"    // names an ownership record that is not known
	ReasonReplayed         Reason = "replayed"          // an item that was already taken
	ReasonFork             Reason = "fork"              // two different items in one place of the chain
	ReasonBrokenChain      Reason = "broken-chain"      // does not follow the item before it
	ReasonCannotDecrypt    Reason = "cannot-decrypt"    // not encrypted to these keys, or damaged
)

// Error is a verifier's refusal.
type Error struct {
	// Reason is what a program decides by.
	Reason Reason
	// Detail is for a person and holds no secret.
	Detail string
}

// Error returns the reason and the detail.
func (e *Error) Error() string {
	if e.Detail == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Detail
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

// fromStatement names an envelope's fault as the format does.
func fromStatement(err error) *Error {
	r := Reason(statement.Reason(err))
	if r == "" {
		r = ReasonMalformed
	}
	return &Error{Reason: r, Detail: err.Error()}
}
