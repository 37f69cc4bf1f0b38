package viewer

import (
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// Event is one thing that a viewer has to say: an Opened, a Withheld, a Missing,
// an Unavailable, a RecordPinned, a RecordRefused, a Trouble or a Finding.
type Event interface{ isEvent() }

// Opened is an item that verified, is the owner's own, and was decrypted. Only
// such an item may be shown.
type Opened struct {
	// Header is what the camera signed, Hash the item's identity.
	Header seal.Header
	Hash   seal.Hash
	// Body is the plaintext: a JPEG, a part of an MP4, or JSON.
	Body []byte
	// Event, Checkpoint and Gap are the body of an item of that kind, else nil.
	Event      *seal.Event
	Checkpoint *seal.Checkpoint
	Gap        *seal.Gap
}

// Withheld is an answer of the hub that is not shown.
type Withheld struct {
	// At is when it came, by this machine's clock.
	At time.Time
	// Reason is why, Detail the same for a person.
	Reason seal.Reason
	Detail string
	// Cursor is the row in which it stood, 0 if it was no row.
	Cursor uint64
	// Asked is the item that it was the answer for, nil for a row.
	Asked *seal.Ref
	// Proof is its signed header, only where the signature verifies: it proves which
	// camera of which owner the hub answered with. Header is what it says.
	Proof  []byte
	Header *seal.Header
	// Misrouted is wrong-owner, unknown-device or wrong-epoch where the answer was
	// somebody else's: Proof goes to the hub as a report. Else it is empty. It differs
	// from Reason where the answer was not even the item that was asked for.
	Misrouted seal.Reason
}

// Missing says that the list of missing items changed; it is the whole list,
// with what the cameras themselves dropped marked as such.
type Missing struct{ Ranges []seal.Missing }

// RecordPinned says that an ownership record is now held for this camera, and
// none that is older will be taken.
type RecordPinned struct{ Pin PinnedRecord }

// RecordRefused says that the hub gave an ownership record that was not taken,
// or did not give one that is pinned.
type RecordRefused struct {
	// Device is whose record it is, zero if that could not be read.
	Device seal.ID
	Err    error
}

// Unavailable says that a listed item could not be had after all tries. It is
// asked for again later.
type Unavailable struct {
	Ref  seal.Ref
	Hash seal.Hash
	Err  error
}

// Trouble says that the hub could not be used, and when it is tried again.
type Trouble struct {
	Err   error
	Retry time.Duration
}

func (Opened) isEvent()        {}
func (Withheld) isEvent()      {}
func (Missing) isEvent()       {}
func (RecordPinned) isEvent()  {}
func (RecordRefused) isEvent() {}
func (Unavailable) isEvent()   {}
func (Trouble) isEvent()       {}
func (Finding) isEvent()       {}
