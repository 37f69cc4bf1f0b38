package seal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/fxamacker/cbor/v2"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

func (m *maker) makeGood() {
	s := m.small()
	start := first(m.record)
	for k := seal.KindThumbnail; k <= seal.KindCheckpoint; k++ {
		m.good("good-"+k.String(), "a "+k.String()+", first of its chain", m.seal(s, m.draft(k), start))
	}
	m.good("good-hybrid", "a thumbnail to a post-quantum recipient",
		m.seal(m.sealerOf(m.key, m.owner, 2, m.record, m.hybrid.Recipient()), m.draft(seal.KindThumbnail), start))
	m.good("good-two-recipients", "two recipients, one of whom we are",
		m.seal(m.sealerOf(m.key, m.owner, 2, m.record, m.alien.Recipient(), m.x25519.Recipient()), m.draft(seal.KindEvent), start))
	d := m.draft(seal.KindClip)
	d.Part = 3
	m.good("good-part", "part 3 of a clip", m.seal(s, d, start))
	d.Part, d.Last = 1<<20, true
	m.good("good-part-max", "the largest part index, and the last part", m.seal(s, d, start))
	d = m.draft(seal.KindThumbnail)
	d.Body = bytes.Repeat([]byte{0xa5}, 20_000)
	m.good("good-20k", "a thumbnail of 20,000 bytes", m.seal(s, d, start))
	d.Body, d.Captured, d.Clock = nil, time.UnixMilli(0), seal.ClockUnset
	m.good("good-empty-1970", "an empty body, from a clock that was never set", m.seal(s, d, start))
	d = m.draft(seal.KindCheckpoint)
	m.good("good-largest-numbers", "every count at its limit",
		m.seal(s, d, seal.Link{Chain: 7, Seq: statement.MaxInt, Prev: m.record})).Missing =
		[]vectorMissing{{Chain: 7, From: 1, To: statement.MaxInt - 1}}
	v := m.good("good-envelope", "a time line's row: the envelope alone", m.seal(s, m.draft(seal.KindThumbnail), start))
	v.EnvelopeOnly, v.PlainSHA256 = true, ""
	v.Items = []string{base64.RawURLEncoding.EncodeToString(m.seal(s, m.draft(seal.KindThumbnail), start).Envelope)}
	it, err := seal.ParseEnvelope(unbase64(m, v.Items[0]))
	must(m.t, err)
	v.Header = headerJSON(it.Header)
	asked := m.seal(s, m.draft(seal.KindThumbnail), start)
	m.good("good-asked", "the very item that was asked for", asked).Asked = asked.Header.Ref().String()
	m.makeGoodChains(s)
}

func (m *maker) makeGoodChains(s *seal.Sealer) {
	run := m.chain(s, 5)
	m.good("good-chain", "five items in a row", run...)
	m.good("good-out-of-order", "five items, fetched newest first", run[4], run[3], run[2], run[1], run[0])
	m.good("good-missing", "items 2 and 3 of 5 were not handed out", run[0], run[3], run[4]).Missing =
		[]vectorMissing{{Chain: 5, From: 2, To: 3}}
	m.good("good-gap", "items 2 and 3 were dropped, and the device says so", run[0], run[3], m.gap(s, run[:4], 2, 3)).Missing =
		[]vectorMissing{{Chain: 5, From: 2, To: 3, Dropped: true, Reason: "budget"}}
	m.good("good-gap-and-missing", "items 2 to 4 are missing, the device dropped only 3", run[0], m.gap(s, run, 3, 3)).Missing =
		[]vectorMissing{{Chain: 5, From: 2, To: 2}, {Chain: 5, From: 3, To: 3, Dropped: true, Reason: "budget"}, {Chain: 5, From: 4, To: 5}}
	m.good("good-gap-overridden", "an item is there that a gap says was dropped", run[0], run[1], run[2], run[3], run[4], m.gap(s, run, 2, 3))
	second := m.seal(s, m.draft(seal.KindEvent), seal.Link{Chain: 6, Seq: 1, Prev: m.record})
	m.good("good-new-chain", "the device lost its spool and began again", run[0], second)
}

// chain is n thumbnails in a row.
func (m *maker) chain(s *seal.Sealer, n int) []*seal.Item {
	var run []*seal.Item
	link := first(m.record)
	for i := range n {
		d := m.draft(seal.KindThumbnail)
		d.Body = fmt.Appendf(nil, "thumbnail %d", i+1)
		it := m.seal(s, d, link)
		run, link = append(run, it), after(it)
	}
	return run
}

// gap is the item after run that says that from..to of it were dropped.
func (m *maker) gap(s *seal.Sealer, run []*seal.Item, from, to uint64) *seal.Item {
	d := m.draft(seal.KindGap)
	var err error
	d.Body, err = json.Marshal(seal.Gap{Dropped: []seal.Dropped{{
		Chain: 5, From: from, To: to, FirstPrev: run[from-1].Header.Prev, LastHash: run[to-1].Hash(),
		Kind: seal.KindThumbnail, Reason: "budget",
	}}})
	must(m.t, err)
	return m.seal(s, d, after(run[len(run)-1]))
}

func (m *maker) makeBadBytes() {
	it := m.seal(m.small(), m.draft(seal.KindThumbnail), first(m.record))
	b, env := it.Bytes(), it.Envelope
	m.bad("bad-empty", "no bytes at all", seal.ReasonTruncated, []byte{})
	m.bad("bad-not-an-item", "a JPEG's first bytes", seal.ReasonMalformed, []byte("\xff\xd8\xff\xe0\x00\x10JFIF"))
	m.bad("bad-truncated-envelope", "cut inside the envelope", seal.ReasonTruncated, b[:len(env)/2])
	m.bad("bad-truncated-body", "a clip part cut inside its body", seal.ReasonTruncated, b[:len(b)-10])
	m.bad("bad-no-body", "the envelope alone where an item should be", seal.ReasonTruncated, env)
	m.bad("bad-longer-body", "one byte too many", seal.ReasonBodySize, append(bytes.Clone(b), 0))
	m.bad("bad-too-large", "more bytes than any item may have", seal.ReasonTooLarge, b).Pad = seal.MaxItem
	long := append([]byte{0xd2, 0x84, 0x43, 0xa1, 1, 0x26, 0xa0, 0x59, 0x40, 0}, bytes.Repeat([]byte{0}, 4000)...)
	m.bad("bad-long-envelope", "an envelope that says it is longer than the limit", seal.ReasonTooLarge, long)
	huge := append([]byte{0xd2, 0x84, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{0}, 100)...)
	m.bad("bad-huge-length", "a byte string of 2^63-1 bytes", seal.ReasonTruncated, huge)
	huger := append([]byte{0xd2, 0x84, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{0}, 100)...)
	m.bad("bad-huger-length", "a byte string of 2^64-1 bytes", seal.ReasonTruncated, huger)
	other := m.seal(m.small(), m.draft(seal.KindThumbnail), first(m.record))
	m.bad("bad-swapped-bodies", "another item's body of the same size", seal.ReasonBodyHash, append(bytes.Clone(env), other.Body...))
	flipped := bytes.Clone(b)
	flipped[len(flipped)-1] ^= 0x80
	m.bad("bad-flipped-body", "one bit of the body changed", seal.ReasonBodyHash, flipped)
	flipped = bytes.Clone(b)
	flipped[len(env)-1] ^= 1
	m.bad("bad-flipped-signature", "one bit of the signature changed", seal.ReasonBadSignature, flipped)
	flipped = bytes.Clone(b)
	i := bytes.Index(flipped, []byte("1.2.3"))
	flipped[i] = '2'
	m.bad("bad-changed-header", "the firmware version changed after signing", seal.ReasonBadSignature, flipped)
	v := m.bad("bad-envelope-with-more", "bytes after an envelope on its own", seal.ReasonMalformed, append(bytes.Clone(env), 1))
	v.EnvelopeOnly = true
	m.makeBadEnvelopes(it)
}

func (m *maker) makeBadEnvelopes(it *seal.Item) {
	es256 := []byte{0xa1, 1, 0x26}
	st, _, err := statement.Parse(it.Envelope, seal.MaxEnvelope)
	must(m.t, err)
	sig := it.Envelope[len(it.Envelope)-64:]
	build := func(tag uint64, parts ...any) []byte {
		return append(m.encode(cbor.Tag{Number: tag, Content: parts}), it.Body...)
	}
	none := map[int]int{}
	m.bad("bad-stripped-signature", "the signature taken away", seal.ReasonUnsigned, build(18, es256, none, st.Payload, []byte{}))
	m.bad("bad-short-signature", "a signature of 63 bytes", seal.ReasonMalformed, build(18, es256, none, st.Payload, sig[:63]))
	m.bad("bad-der-signature", "a signature of 70 bytes, as DER would have", seal.ReasonMalformed, build(18, es256, none, st.Payload, make([]byte, 70)))
	m.bad("bad-tag", "a COSE_Mac0", seal.ReasonMalformed, build(17, es256, none, st.Payload, sig))
	m.bad("bad-three-parts", "an array of three", seal.ReasonMalformed, build(18, es256, none, st.Payload))
	m.bad("bad-detached-payload", "the payload is null", seal.ReasonMalformed, build(18, es256, none, nil, sig))
	m.bad("bad-algorithm-es384", "algorithm -35", seal.ReasonUnknownAlgorithm, build(18, []byte{0xa1, 1, 0x38, 0x22}, none, st.Payload, sig))
	m.bad("bad-algorithm-none", "no algorithm", seal.ReasonUnknownAlgorithm, build(18, []byte{0xa0}, none, st.Payload, sig))
	m.bad("bad-algorithm-unprotected", "the algorithm in the header that is not signed", seal.ReasonUnknownAlgorithm,
		build(18, []byte{0xa0}, map[int]int{1: -7}, st.Payload, sig))
	m.bad("bad-protected-more", "another protected parameter", seal.ReasonNotCanonical,
		append(m.envelope([]byte{0xa2, 1, 0x26, 4, 0x41, 1}, none, st.Payload), it.Body...))
	m.bad("bad-unprotected-more", "an unprotected parameter", seal.ReasonNotCanonical, build(18, es256, map[int][]byte{4: {1}}, st.Payload, sig))
	m.bad("bad-long-tag", "the tag in two bytes", seal.ReasonNotCanonical, append([]byte{0xd8, 0x12}, it.Bytes()[1:]...))
	untagged := it.Bytes()[1:]
	m.bad("bad-untagged", "no tag", seal.ReasonMalformed, untagged)
	indefinite := append([]byte{0xd2, 0x9f}, it.Envelope[2:]...)
	m.bad("bad-indefinite-array", "an array of indefinite length", seal.ReasonNotCanonical, append(append(indefinite, 0xff), it.Body...))
}

func (m *maker) makeBadHeaders() {
	set := func(name, about string, reason seal.Reason, change func(h map[uint64]any)) {
		h, body := m.header()
		change(h)
		m.bad(name, about, reason, m.forge(h, body))
	}
	put := func(key uint64, v any) func(map[uint64]any) {
		return func(h map[uint64]any) { h[key] = v }
	}
	set("bad-version", "version 2", seal.ReasonUnknownVersion, put(0, "lensward/item/2"))
	set("bad-label", "another statement's label", seal.ReasonMalformed, put(0, "lensward/ownership/1"))
	set("bad-label-type", "a label that is a number", seal.ReasonMalformed, put(0, 1))
	set("bad-kind", "kind 6", seal.ReasonBadField, put(1, 6))
	set("bad-kind-type", "a kind that is text", seal.ReasonMalformed, put(1, "thumbnail"))
	set("bad-key", "a device key that is no key", seal.ReasonBadField, put(2, []byte{1, 2, 3}))
	set("bad-device-size", "a device ID of 31 bytes", seal.ReasonBadField, put(3, make([]byte, 31)))
	set("bad-epoch-zero", "epoch 0", seal.ReasonBadField, put(5, 0))
	set("bad-seq-2-53", "a sequence number above 2^53-1", seal.ReasonBadField, put(9, uint64(1)<<53))
	set("bad-first-prev", "the first item does not follow its record", seal.ReasonBadField, put(10, make([]byte, 32)))
	set("bad-chain-after-boot", "a chain that began after this boot", seal.ReasonBadField, put(8, 8))
	set("bad-event-zero", "an event ID of zeros", seal.ReasonBadField, put(11, make([]byte, 16)))
	set("bad-no-event", "a thumbnail of no event", seal.ReasonBadField, func(h map[uint64]any) { delete(h, 11) })
	set("bad-part-of-thumbnail", "a thumbnail with parts", seal.ReasonBadField, put(12, 1))
	set("bad-part-zero", "part 0 written out", seal.ReasonBadField, put(12, 0))
	set("bad-last-false", "last: false written out", seal.ReasonBadField, put(13, false))
	set("bad-clock", "clock trust 5", seal.ReasonBadField, put(15, 5))
	set("bad-media-type", "a thumbnail that says it is HTML", seal.ReasonBadField, put(16, "text/html"))
	set("bad-media-type-long", "a media type of 97 characters", seal.ReasonBadField, put(16, "image/jpeg"+strings.Repeat("x", 87)))
	set("bad-firmware-control", "a firmware version with a line break", seal.ReasonBadField, put(17, "1.2\n3"))
	set("bad-firmware-missing", "no firmware version", seal.ReasonBadField, func(h map[uint64]any) { delete(h, 17) })
	set("bad-protection", "key protection 0", seal.ReasonBadField, put(18, 0))
	set("bad-body-size-limit", "a body larger than its kind may have", seal.ReasonBadField, put(19, seal.MaxSmallBody+1))
	set("bad-field-21", "a field that is not listed", seal.ReasonNotCanonical, put(21, 1))
	h, body := m.header()
	canon := m.encode(h)
	m.bad("bad-long-integer", "an integer longer than need be", seal.ReasonNotCanonical, m.forge(lengthenKind(canon), body))
	m.bad("bad-key-order", "keys out of order", seal.ReasonNotCanonical, m.forge(swapFirstKeys(canon), body))
	m.bad("bad-duplicate-key", "a key twice", seal.ReasonNotCanonical, m.forge(repeatKind(canon), body))
	m.bad("bad-payload-array", "a header that is an array", seal.ReasonMalformed, m.forge([]any{seal.Label}, body))
	m.bad("bad-payload-short", "a header that ends too early", seal.ReasonMalformed, m.forge(canon[:100], body))
}

// The header begins B5 | 00 6F label(15) | 01 01 | …: a map of 21 where there is
// neither part nor last would be 19 entries (B3).
const labelEntry = 1 + 1 + len(seal.Label)

// lengthenKind writes the kind, 1, as 18 01.
func lengthenKind(b []byte) []byte {
	at := 1 + labelEntry + 1
	return append(append(bytes.Clone(b[:at]), 0x18), b[at:]...)
}

// swapFirstKeys puts entry 1 before entry 0.
func swapFirstKeys(b []byte) []byte {
	out := append([]byte{b[0]}, b[1+labelEntry:1+labelEntry+2]...)
	out = append(out, b[1:1+labelEntry]...)
	return append(out, b[1+labelEntry+2:]...)
}

// repeatKind writes entry 1 twice.
func repeatKind(b []byte) []byte {
	out := append([]byte{b[0] + 1}, b[1:1+labelEntry+2]...)
	return append(out, b[1+labelEntry:]...)
}

func (m *maker) makeBadPolicy() {
	to := m.x25519.Recipient()
	start := first(m.record)
	thumb := m.draft(seal.KindThumbnail)
	foreign := m.seal(m.sealerOf(m.stranger, m.other, 1, sha256.Sum256([]byte("theirs")), m.alien.Recipient()),
		thumb, seal.Link{Chain: 1, Seq: 1, Prev: sha256.Sum256([]byte("theirs"))})
	m.bad("bad-wrong-owner", "a stranger's thumbnail: the incident", seal.ReasonWrongOwner, foreign.Bytes())
	m.bad("bad-wrong-owner-same-device", "this camera's, from when it was another's", seal.ReasonWrongOwner,
		m.seal(m.sealerOf(m.key, m.other, 2, m.record, to), thumb, start).Bytes())
	m.bad("bad-wrong-device", "says our owner, from a device that is not paired", seal.ReasonUnknownDevice,
		m.seal(m.sealerOf(m.stranger, m.owner, 2, m.record, to), thumb, start).Bytes())
	m.bad("bad-wrong-epoch", "from another ownership of this camera", seal.ReasonWrongEpoch,
		m.seal(m.sealerOf(m.key, m.owner, 3, m.record, to), thumb, start).Bytes())
	unknown := seal.Hash(sha256.Sum256([]byte("another record")))
	m.bad("bad-unknown-record", "names a record that is not known", seal.ReasonUnknownRecord,
		m.seal(m.sealerOf(m.key, m.owner, 2, unknown, to), thumb, first(unknown)).Bytes())
	m.bad("bad-not-for-us", "ours by its header, encrypted to another", seal.ReasonCannotDecrypt,
		m.seal(m.sealerOf(m.key, m.owner, 2, m.record, m.alien.Recipient()), thumb, start).Bytes())
	h, _ := m.header()
	noAge := []byte("this is no age file")
	sum := sha256.Sum256(noAge)
	h[19], h[20] = len(noAge), sum[:]
	m.bad("bad-body-not-age", "signed, but the body is no age file", seal.ReasonCannotDecrypt, m.forge(h, noAge))
	mine := m.chain(m.small(), 2)
	m.bad("bad-not-asked-for", "our own item, but not the one asked for", seal.ReasonNotAskedFor, mine[1].Bytes()).Asked = mine[0].Header.Ref().String()
	h, body := m.header()
	other := idOf(m.t, m.stranger)
	h[3] = other[:]
	m.bad("bad-device-mismatch", "a device ID that is not its key's", seal.ReasonDeviceMismatch, m.forge(h, body))
	h, body = m.header()
	spki, err := statement.SPKI(m.stranger.Public())
	must(m.t, err)
	h[2], h[3] = spki, other[:]
	m.bad("bad-signed-by-another", "another device's key and ID, signed by ours", seal.ReasonBadSignature, m.forge(h, body))
	m.bad("bad-big-plaintext", "a plaintext above its limit", seal.ReasonTooLarge, m.oversized())
}

// oversized is a signed thumbnail whose plaintext is a byte too long.
func (m *maker) oversized() []byte {
	var body bytes.Buffer
	w, err := age.Encrypt(&body, m.x25519.Recipient())
	must(m.t, err)
	_, err = w.Write(make([]byte, seal.MaxThumbnail+1))
	must(m.t, err)
	must(m.t, w.Close())
	h, _ := m.header()
	sum := sha256.Sum256(body.Bytes())
	h[19], h[20] = body.Len(), sum[:]
	return m.forge(h, body.Bytes())
}

func (m *maker) makeBadChains() {
	s := m.small()
	run := m.chain(s, 4)
	m.bad("bad-replay", "an item that was already taken", seal.ReasonReplayed, run[0].Bytes(), run[1].Bytes(), run[0].Bytes())
	d := m.draft(seal.KindThumbnail)
	d.Body = []byte("another picture in the same place")
	m.bad("bad-fork", "two different items in one place", seal.ReasonFork, run[0].Bytes(), m.seal(s, d, first(m.record)).Bytes())
	odd := m.seal(s, d, seal.Link{Chain: 5, Seq: 2, Prev: run[2].Hash()})
	m.bad("bad-broken-chain", "item 2 does not follow item 1", seal.ReasonBrokenChain, run[0].Bytes(), odd.Bytes())
	m.bad("bad-broken-chain-before", "item 2 is not the one that item 3 follows", seal.ReasonBrokenChain, run[2].Bytes(), odd.Bytes()).Missing =
		[]vectorMissing{{Chain: 5, From: 1, To: 2}}
	g := m.draft(seal.KindGap)
	var err error
	g.Body, err = json.Marshal(seal.Gap{Dropped: []seal.Dropped{{Chain: 5, From: 2, To: 3, LastHash: run[2].Hash(), Kind: 1, Reason: "budget"}}})
	must(m.t, err)
	m.bad("bad-gap", "a gap that does not join the chain", seal.ReasonBrokenChain,
		run[0].Bytes(), run[3].Bytes(), m.seal(s, g, after(run[3])).Bytes()).Missing = []vectorMissing{{Chain: 5, From: 2, To: 3}}
}

// makeFlips adds an item together with what must be said for each byte changed.
func (m *maker) makeFlips() {
	it := m.seal(m.small(), m.draft(seal.KindThumbnail), first(m.record))
	v := m.bad("bad-flip-each", "every byte in turn XORed with 1; reasons byte by byte", "", it.Bytes())
	j := newJudge(m.t, *v, []age.Identity{m.hybrid, m.x25519})
	for i := range it.Bytes() {
		b := it.Bytes()
		b[i] ^= 1
		fresh := &judge{policy: j.policy, audit: seal.NewAudit(), ids: j.ids}
		v.FlipEach = append(v.FlipEach, outcome(fresh.judge(b, "")))
	}
}

func unbase64(m *maker, s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	must(m.t, err)
	return b
}
