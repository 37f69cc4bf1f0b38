package viewer

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// The heads that members compare: docs/ref/findings.md.
const (
	headsLabel = "heads/1"
	// MaxHeads is how many heads a file of heads has at most, MaxHeadsFile its size in
	// bytes.
	MaxHeads     = 512
	MaxHeadsFile = 2 << 20
)

// MemberHeads are the newest items that another member of the household has seen.
// They are that member's word until they have verified.
type MemberHeads struct {
	Owner     seal.ID
	Made      time.Time
	Envelopes [][]byte
}

// headsFile is the form of a file of heads.
type headsFile struct {
	Label string   `json:"lensward"`
	Owner seal.ID  `json:"owner"`
	Made  int64    `json:"made"`
	Heads []string `json:"heads"`
}

// ParseHeads reads a file of heads. Whether they verify is seen later, by the records
// that the viewer knows then.
func ParseHeads(b []byte) (MemberHeads, error) {
	if len(b) > MaxHeadsFile {
		return MemberHeads{}, fmt.Errorf("read heads: %d bytes, at most %d", len(b), MaxHeadsFile)
	}
	var f headsFile
	if err := decode(b, &f); err != nil {
		return MemberHeads{}, fmt.Errorf("read heads: %w", err)
	}
	switch {
	case f.Label != headsLabel:
		return MemberHeads{}, fmt.Errorf("read heads: %.40q is no file of heads that is known", f.Label)
	case f.Owner.IsZero() || f.Made < 0:
		return MemberHeads{}, errors.New("read heads: not complete")
	case len(f.Heads) > MaxHeads:
		return MemberHeads{}, fmt.Errorf("read heads: %d heads, at most %d", len(f.Heads), MaxHeads)
	}
	out := MemberHeads{Owner: f.Owner, Made: time.UnixMilli(f.Made)}
	for _, s := range f.Heads {
		e, err := row{Envelope: s}.envelope()
		if err != nil {
			return MemberHeads{}, fmt.Errorf("read heads: %w", err)
		}
		out.Envelopes = append(out.Envelopes, e)
	}
	return out, nil
}

// Encode writes a file of heads.
func (m MemberHeads) Encode() ([]byte, error) {
	f := headsFile{Label: headsLabel, Owner: m.Owner, Made: m.Made.UnixMilli(), Heads: []string{}}
	for _, e := range m.Envelopes {
		f.Heads = append(f.Heads, base64.RawURLEncoding.EncodeToString(e))
	}
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write heads: %w", err)
	}
	return append(b, '\n'), nil
}

// Heads gives the heads that this viewer has seen, for another member: of each camera's
// newest epochs, at most MaxHeads. It waits while Run or SyncOnce is under way.
func (v *Viewer) Heads() MemberHeads {
	v.running.Lock()
	defer v.running.Unlock()
	out := MemberHeads{Owner: v.keys.Owner, Made: time.Now()}
	for _, h := range slices.Backward(v.pins.Heads) { // the newest last
		if len(h.Envelope) > 0 && len(out.Envelopes) < MaxHeads {
			out.Envelopes = append(out.Envelopes, h.Envelope)
		}
	}
	return out
}

// expectHeads takes what is known from earlier visits as what the hub must fit with.
func (v *Viewer) expectHeads() {
	for _, h := range v.pins.Heads {
		if !h.Hash.IsZero() {
			v.expected[h.Ref()] = h
		}
	}
}

// hearMembers holds the heads of other members against what is known, as soon as the
// records are known that they name.
func (v *Viewer) hearMembers() {
	v.strangers = slices.DeleteFunc(v.strangers, func(envelope []byte) bool {
		it, err := seal.ParseEnvelope(envelope)
		if err == nil {
			err = it.VerifyEnvelope()
		}
		if err != nil {
			v.log.Warn("a member's head does not verify", "err", err)
			return true
		}
		if v.policy.Check(it.Header) != nil {
			return false // a record that comes later may know it
		}
		v.hearMember(it)
		return true
	})
}

func (v *Viewer) hearMember(it *seal.Item) {
	h := it.Header
	if err := v.fits(it); err != nil {
		v.find(Finding{Name: FoundFork, Detail: "a member's head: " + err.Error()}.at(h.Ref()).
			with("asked", v.contradicted(h)).with("answer", it.Envelope))
		return
	}
	head := Head{Device: h.Device, Epoch: h.Epoch, Chain: h.Chain, Seq: h.Seq, Hash: it.Hash(), Envelope: it.Envelope}
	v.expected[h.Ref()] = head
	v.told = append(v.told, head)
}

// fits checks an item against the heads that are known and the items that were taken.
// Errors are *seal.Error: fork, broken-chain.
func (v *Viewer) fits(it *seal.Item) error {
	here, hash := it.Header.Ref(), it.Hash()
	before, after := here, here
	before.Seq--
	after.Seq++
	if known, _, ok := v.known(here); ok && known != hash {
		return &seal.Error{Reason: seal.ReasonFork, Detail: fmt.Sprintf("item %d is not the one that is known", here.Seq)}
	}
	if known, _, ok := v.known(before); ok && known != it.Header.Prev {
		return &seal.Error{Reason: seal.ReasonBrokenChain, Detail: fmt.Sprintf("item %d does not follow the item %d that is known", here.Seq, before.Seq)}
	}
	if _, prev, ok := v.known(after); ok && prev != hash {
		return &seal.Error{Reason: seal.ReasonBrokenChain, Detail: fmt.Sprintf("item %d is not the one that the known item %d follows", here.Seq, after.Seq)}
	}
	return nil
}

// known gives the hash of the item in a place, and of the one before it, from the heads
// that are known or the items that were taken.
func (v *Viewer) known(r seal.Ref) (hash, prev seal.Hash, ok bool) {
	e, ok := v.expected[r]
	if !ok {
		return v.audit.At(r)
	}
	it, err := seal.ParseEnvelope(e.Envelope)
	if err != nil { // the file of pins was written by somebody else
		return v.audit.At(r)
	}
	return it.Hash(), it.Header.Prev, true
}
