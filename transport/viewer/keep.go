package viewer

import (
	"slices"

	"github.com/lensward/lensward/transport/seal"
)

// maxKept bounds how many envelopes are kept for proofs: about 12 MB.
const maxKept = 16_384

// keep holds the newest envelopes that were taken.
type keep struct {
	envelopes map[seal.Ref][]byte
	order     []seal.Ref // a ring, once it is full
	next      int
}

func newKeep() *keep { return &keep{envelopes: map[seal.Ref][]byte{}} }

func (k *keep) add(r seal.Ref, envelope []byte) {
	if _, there := k.envelopes[r]; there {
		return
	}
	if len(k.order) < maxKept {
		k.order = append(k.order, r)
	} else {
		delete(k.envelopes, k.order[k.next])
		k.order[k.next] = r
		k.next = (k.next + 1) % maxKept
	}
	k.envelopes[r] = slices.Clone(envelope)
}

// envelope is nil if it is not kept.
func (k *keep) envelope(r seal.Ref) []byte { return k.envelopes[r] }

// header reads a kept envelope.
func (k *keep) header(r seal.Ref) (seal.Header, bool) {
	it, err := seal.ParseEnvelope(k.envelopes[r])
	if err != nil {
		return seal.Header{}, false
	}
	return it.Header, true
}
