// Package transport takes what a camera has sealed to a hub that nobody trusts.
//
// It owns the delivery loop: when which item is sent, again or not, and what the hub's
// answers are allowed to do. It also owns the control messages that device and hub
// exchange. The one rule behind it: an item is the spool's until a receipt names its
// place and its hash, after it was sent. Nothing that the hub says, or fails to say, can
// do more than delay.
//
// It never keeps an item itself, opens or makes one, and it speaks no protocol:
// sessions (package mqtt), uploads (package blob) and the spool are handed in.
package transport

import (
	"context"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

// Dialer makes sessions. A session that was given must be closed.
type Dialer interface {
	Dial(ctx context.Context) (Session, error)
}

// Session is one connection to a hub. A publish that returned nil left this machine, and
// no more is known of it; one that cannot leave ends by itself, and the session with it.
type Session interface {
	PublishRecord(ctx context.Context, record []byte) error
	PublishItem(ctx context.Context, item []byte) error
	PublishWant(ctx context.Context, w Want) error
	PublishStatus(ctx context.Context, s Status) error
	PublishAnswer(ctx context.Context, a Answer) error
	// Down gives the hub's messages in no promised order; it has a bound, and a hub that
	// passes it loses the session.
	Down() <-chan Message
	// Done is closed when the session is over; then Err says why.
	Done() <-chan struct{}
	Err() error
	Close() error
}

// Uploader puts an item to a URL that the hub granted. It trusts the URL no more than
// the hub. It must end by itself, with or without success.
type Uploader interface {
	Upload(ctx context.Context, url string, item []byte) error
}

// Rejected is the error of an upload that need not be tried again: it was the item that
// was refused.
type Rejected interface {
	error
	// Rejected is the reason in one word.
	Rejected() string
}

// Queue is what the delivery loop needs of the spool; *spool.Spool is one. It is called
// from several goroutines.
type Queue interface {
	// NewestThumbnail is the latest thumbnail in the queue; false if there is none.
	NewestThumbnail() (spool.Entry, bool)
	// Next is the first item in the queue's order for which skip is false: of the clip
	// parts if parts, else of everything else. False if there is none. skip must not call
	// the queue.
	Next(parts bool, skip func(seal.Ref) bool) (spool.Entry, bool)
	// Head is the place of the newest item that was ever appended: nothing that waits has
	// a later one.
	Head() seal.Ref
	// Read gives a whole item's bytes.
	Read(ref seal.Ref) ([]byte, error)
	// Forget drops an item for which there is a receipt. One that is gone is no error.
	Forget(ref seal.Ref, hash seal.Hash) error
	// SetAside takes an item that was refused out of the queue, and keeps it. One that
	// is gone is no error.
	SetAside(ref seal.Ref, reason string) error
	// Changed gives a channel that is closed, or sent to, once something was added after
	// the call.
	Changed() <-chan struct{}
}

// Record is the ownership record that is shown to the hub, at each connect and whenever
// another came into force.
type Record struct {
	// Bytes is what is sent, at most MaxRecord bytes.
	Bytes []byte
	// Hash is what the hub's receipt must name.
	Hash seal.Hash
}
