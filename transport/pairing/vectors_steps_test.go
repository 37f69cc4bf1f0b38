package pairing_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/seal"
)

func hmacOf(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)
}

const (
	begun, agreed, done, failed = pairing.PhaseBegun, pairing.PhaseAgreed, pairing.PhaseDone, pairing.PhaseFailed
)

// toOwner writes the messages to the owner's side.
func (m *maker) toOwner() {
	hello, offer, accept := m.said[0], m.said[1], m.said[2]
	step := func(name, about string, at int, msg []byte, expect pairing.Reason, phase pairing.Phase) {
		m.step("owner", name, about, at, msg, string(expect), phase)
	}
	const ok = "ok"
	step("hello", "a hello", 0, hello, ok, agreed)
	step("hello-new", "a hello of a device that has never had an owner", 0, m.hello(m.fake, map[uint64]any{6: 1, 7: nil}), ok, agreed)
	step("hello-forgot", "a hello of a device that says the same, and that this owner has seen", 0, m.hello(m.d, map[uint64]any{6: 1, 7: nil}), ok, agreed)
	step("hello-again", "the hello again", 2, hello, ok, agreed)
	step("accept", "an accept", 2, accept, ok, done)
	step("accept-again", "the accept again", 4, accept, ok, done)
	step("abort", "the camera gave up", 2, m.cameraSays, pairing.ReasonExpired, failed)

	step("empty", "nothing", 0, nil, pairing.ReasonMalformed, begun)
	step("large", "too large", 0, make([]byte, pairing.MaxMessage+1), pairing.ReasonTooLarge, begun)
	step("mac", "a bit of the MAC", 0, flip(hello, len(hello)-1), pairing.ReasonBadMAC, begun)
	step("envelope", "a bit of the envelope", 0, flip(hello, 40), pairing.ReasonBadMAC, begun)
	step("reflected", "the owner's own offer", 2, offer, pairing.ReasonBadMAC, agreed)
	step("other-code", "a hello with another code's keys", 0, forge(m.t, string(m.who.code(m.t, m.now).Text())).hello(m.t, m.d.key), pairing.ReasonBadMAC, begun)
	step("no-envelope", "a good MAC over no envelope", 0, m.remac(m.f.camera, []byte("hello")), pairing.ReasonMalformed, begun)
	step("behind", "a byte behind the envelope", 0, m.remac(m.f.camera, append(slices.Clone(hello[:len(hello)-32]), 0)), pairing.ReasonMalformed, begun)
	step("signature", "a bit of the signature, with a good MAC", 0, m.remac(m.f.camera, flip(hello[:len(hello)-32], len(hello)-33)), pairing.ReasonBadSignature, begun)
	step("label", "a hello of version 2", 0, m.hello(m.d, map[uint64]any{0: "lensward/pairing-hello/2"}), pairing.ReasonUnexpected, begun)
	step("early-accept", "an accept before an offer", 0, accept, pairing.ReasonUnexpected, begun)
	step("early-abort", "an abort before a hello", 0, m.cameraSays, pairing.ReasonUnexpected, begun)
	step("field-8", "a field that is not listed", 0, m.hello(m.d, map[uint64]any{8: 1}), pairing.ReasonMalformed, begun)
	step("no-firmware", "a field that is missing", 0, m.hello(m.d, map[uint64]any{5: nil}), pairing.ReasonBadField, begun)
	step("long-firmware", "a firmware version of 65 characters", 0, m.hello(m.d, map[uint64]any{5: strings.Repeat("1", 65)}), pairing.ReasonBadField, begun)
	step("nonce", "a nonce of 15 bytes", 0, m.hello(m.d, map[uint64]any{3: make([]byte, 15)}), pairing.ReasonBadField, begun)
	step("protection", "a key protection that is not known", 0, m.hello(m.d, map[uint64]any{4: 3}), pairing.ReasonBadField, begun)
	step("key", "a device key that is none", 0, m.hello(m.d, map[uint64]any{2: []byte("key")}), pairing.ReasonBadField, begun)
	step("known-missing", "reset, without the ownership before", 0, m.hello(m.d, map[uint64]any{7: nil}), pairing.ReasonBadField, begun)
	step("known-there", "no owner, with an ownership before", 0, m.hello(m.d, map[uint64]any{6: 1}), pairing.ReasonBadField, begun)
	step("known-zero", "the epoch before is 0", 0, m.hello(m.d, map[uint64]any{7: map[uint64]any{1: 0, 2: make([]byte, 32)}}), pairing.ReasonBadField, begun)
	step("transcript", "the transcript's start with a bit changed", 0, m.hello(m.d, map[uint64]any{1: flip(m.f.start, 0)}), pairing.ReasonWrongTranscript, begun)
	step("short-transcript", "a transcript of 31 bytes", 0, m.hello(m.d, map[uint64]any{1: m.f.start[:31]}), pairing.ReasonBadField, begun)
	step("other-signer", "signed by another key than it names", 0,
		m.f.seal(m.t, m.fake.key, m.f.camera, m.f.helloMap(m.t, m.d.key)), pairing.ReasonBadSignature, begun)
	step("rival", "a hello of another device", 2, m.hello(m.fake, nil), pairing.ReasonRival, agreed)
	step("rival-late", "a hello of another device, when all is done", 4, m.hello(m.fake, nil), pairing.ReasonRival, done)
	step("second-hello", "another hello of the device", 2, m.hello(m.d, nil), pairing.ReasonSecondHello, agreed)
	step("abort-other-run", "the device gave up another run", 2,
		m.f.abort(m.t, m.d.key, m.d.key, m.f.camera, m.f.after(m.hello(m.d, nil)), pairing.ReasonExpired), pairing.ReasonSecondHello, agreed)
	step("abort-other-device", "another device gave up", 2,
		m.f.abort(m.t, m.fake.key, m.fake.key, m.f.camera, m.f.after(hello), pairing.ReasonExpired), pairing.ReasonWrongDevice, agreed)
	step("abort-forged", "somebody gave up in the device's name", 2,
		m.f.abort(m.t, m.fake.key, m.d.key, m.f.camera, m.f.after(hello), pairing.ReasonExpired), pairing.ReasonBadSignature, agreed)
	step("abort-reason", "a reason that is none", 2,
		m.f.abort(m.t, m.d.key, m.d.key, m.f.camera, m.f.after(hello), "bored"), pairing.ReasonBadField, agreed)
	m.acceptsToOwner(step)
}

// acceptsToOwner writes what cannot be accepted as an accept.
func (m *maker) acceptsToOwner(step func(name, about string, at int, msg []byte, expect pairing.Reason, phase pairing.Phase)) {
	t2 := m.f.after(m.said[:2]...)
	step("accept-transcript", "an accept that follows the hello", 2, m.f.accept(m.t, m.d.key, m.f.after(m.said[0]), m.own.Bytes()), pairing.ReasonWrongTranscript, agreed)
	step("accept-rubbish", "an accept of no ownership", 2, m.f.accept(m.t, m.d.key, t2, []byte("mine")), pairing.ReasonBadRecord, agreed)
	step("accept-half", "an accept with the owner's half alone", 2, m.f.accept(m.t, m.d.key, t2, m.own.Signed.Bytes()), pairing.ReasonBadRecord, agreed)
	step("accept-before", "an accept of the ownership before", 2, m.f.accept(m.t, m.d.key, t2, m.before.Bytes()), pairing.ReasonWrongRecord, agreed)
	step("accept-signer", "signed by another device", 2, m.f.accept(m.t, m.fake.key, t2, m.own.Bytes()), pairing.ReasonBadSignature, agreed)
	other := pair(m.t, m.thief, m.fake, m.now)
	step("accept-device", "another device's ownership", 2, m.f.accept(m.t, m.fake.key, t2, other.Bytes()), pairing.ReasonWrongDevice, agreed)
	hash := m.before.Hash()
	seen := m.before
	m.before = m.own // an owner who has seen the later one
	step("rolled-back", "the device has forgotten an ownership", 0,
		m.hello(m.d, map[uint64]any{7: map[uint64]any{1: seen.Record.Epoch, 2: hash[:]}}), pairing.ReasonRolledBack, failed)
	m.before = seen
}

// toCamera writes the messages to the camera's side.
func (m *maker) toCamera() {
	hello, offer, doneMsg := m.said[0], m.said[1], m.said[3]
	step := func(name, about string, at int, msg []byte, expect pairing.Reason, phase pairing.Phase) {
		m.step("camera", name, about, at, msg, string(expect), phase)
	}
	const ok = "ok"
	t1, t3 := m.f.after(hello), m.f.after(m.said[:3]...)
	step("offer", "an offer", 1, offer, ok, agreed)
	step("offer-again", "the offer again", 3, offer, ok, agreed)
	step("done", "done", 3, doneMsg, ok, done)
	step("done-again", "done again", 4, doneMsg, ok, done)
	step("offer-late", "the offer, when all is done", 4, offer, ok, done)
	step("abort", "the owner cancelled", 1, m.ownerAbort, pairing.ReasonCancelled, failed)

	step("empty", "nothing", 1, nil, pairing.ReasonMalformed, begun)
	step("mac", "a bit of the MAC", 1, flip(offer, len(offer)-1), pairing.ReasonBadMAC, begun)
	step("reflected", "the camera's own hello", 1, hello, pairing.ReasonBadMAC, begun)
	step("no-envelope", "a good MAC over no envelope", 1, m.remac(m.f.owner, []byte("offer")), pairing.ReasonMalformed, begun)
	step("early-done", "done before an offer", 1, doneMsg, pairing.ReasonUnexpected, begun)
	step("late-abort", "an abort after it accepted", 3, m.ownerAbort, pairing.ReasonUnexpected, agreed)
	step("over", "a message when all is done", 4, m.ownerAbort, pairing.ReasonOver, done)
	step("transcript", "an offer that follows another hello", 1, m.f.offer(m.t, m.who.key, m.f.after(m.hello(m.d, nil)), m.own.Signed.Bytes()), pairing.ReasonWrongTranscript, begun)
	step("rubbish", "an offer of no record", 1, m.f.offer(m.t, m.who.key, t1, []byte("mine")), pairing.ReasonBadRecord, begun)
	step("record-signature", "a bit of the record's signature", 1,
		m.f.offer(m.t, m.who.key, t1, flip(m.own.Signed.Bytes(), len(m.own.Signed.Bytes())-1)), pairing.ReasonBadRecord, begun)
	stolen := m.record(m.thief, nil)
	step("owner", "another owner's record", 1, m.f.offer(m.t, m.thief.key, t1, stolen), pairing.ReasonWrongOwner, begun)
	step("signer", "the owner's record, offered by another", 1, m.f.offer(m.t, m.thief.key, t1, m.own.Signed.Bytes()), pairing.ReasonBadSignature, begun)
	offered := func(name, about string, change func(*ownership.Record)) {
		step(name, about, 1, m.f.offer(m.t, m.who.key, t1, m.record(m.who, change)), pairing.ReasonWrongRecord, failed)
	}
	offered("epoch", "an epoch too many", func(r *ownership.Record) { r.Epoch++ })
	offered("previous", "another previous record", func(r *ownership.Record) { r.Previous = seal.Hash{1} })
	offered("revision", "the second revision", func(r *ownership.Record) { r.Revision = 2 })
	offered("acquired", "paired, though it was reset", func(r *ownership.Record) { r.Acquired = ownership.AcquiredPaired })
	offered("device", "another device's record", func(r *ownership.Record) {
		r.DeviceKey = spki(m.t, m.fake.key)
		r.Device = seal.KeyID(r.DeviceKey)
	})
	step("abort-owner", "an abort by another owner", 1,
		m.f.abort(m.t, m.thief.key, m.thief.key, m.f.owner, m.f.start, pairing.ReasonCancelled), pairing.ReasonWrongOwner, begun)
	step("abort-forged", "an abort in the owner's name", 1,
		m.f.abort(m.t, m.thief.key, m.who.key, m.f.owner, m.f.start, pairing.ReasonCancelled), pairing.ReasonBadSignature, begun)
	step("abort-transcript", "an abort that follows the hello", 1,
		m.f.abort(m.t, m.who.key, m.who.key, m.f.owner, t1, pairing.ReasonCancelled), pairing.ReasonWrongTranscript, begun)
	step("abort-reason", "a reason that is none", 1,
		m.f.abort(m.t, m.who.key, m.who.key, m.f.owner, m.f.start, "bored"), pairing.ReasonBadField, begun)
	step("done-transcript", "done that follows the offer", 3, m.f.done(m.t, m.who.key, m.f.after(m.said[:2]...)), pairing.ReasonWrongTranscript, agreed)
	step("done-signer", "done by another owner", 3, m.f.done(m.t, m.thief.key, t3), pairing.ReasonBadSignature, agreed)
}

// record is the owner's half of what would be a good record but for a change.
func (m *maker) record(by *owner, change func(*ownership.Record)) []byte {
	r := m.own.Record
	r.OwnerKey, r.Created = spki(m.t, by.key), time.Unix(1_790_000_100, 0)
	r.Owner = seal.KeyID(r.OwnerKey)
	if change != nil {
		change(&r)
	}
	s, err := ownership.Sign(by.key, r)
	must(m.t, err)
	return s.Bytes()
}
