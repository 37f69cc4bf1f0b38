package pairing

import (
	"bytes"
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/lensward/lensward/transport/statement"
)

// keys are what both sides make of a code.
type keys struct {
	start      []byte // T0
	camera     []byte // authenticates what the camera says
	owner      []byte // authenticates what the owner says
	rendezvous string
}

const (
	keyInfo        = "lensward/pairing/1 "
	macSize        = sha256.Size
	rendezvousSize = 16
)

func derive(secret []byte, text string) (keys, error) {
	salt := sha256.Sum256([]byte(text))
	var k keys
	var rendezvous []byte
	for _, d := range []struct {
		to   *[]byte
		info string
		size int
	}{{&k.start, "transcript", sha256.Size}, {&k.camera, "camera", macSize}, {&k.owner, "owner", macSize}, {&rendezvous, "rendezvous", rendezvousSize}} {
		b, err := hkdf.Key(sha256.New, secret, salt[:], keyInfo+d.info, d.size)
		if err != nil {
			return keys{}, fmt.Errorf("derive %s: %w", d.info, err)
		}
		*d.to = b
	}
	k.rendezvous = hex.EncodeToString(rendezvous)
	return k, nil
}

// The labels of the messages.
const (
	labelHello  = "lensward/pairing-hello/1"
	labelOffer  = "lensward/pairing-offer/1"
	labelAccept = "lensward/pairing-accept/1"
	labelDone   = "lensward/pairing-done/1"
	labelAbort  = "lensward/pairing-abort/1"
)

type wireHello struct {
	Label      string     `cbor:"0,keyasint"`
	Transcript []byte     `cbor:"1,keyasint"`
	Key        []byte     `cbor:"2,keyasint"`
	Nonce      []byte     `cbor:"3,keyasint"`
	Protection uint64     `cbor:"4,keyasint"`
	Firmware   string     `cbor:"5,keyasint"`
	Acquired   uint64     `cbor:"6,keyasint"`
	Known      *wireKnown `cbor:"7,keyasint,omitempty"`
}

type wireKnown struct {
	Epoch uint64 `cbor:"1,keyasint"`
	Hash  []byte `cbor:"2,keyasint"`
}

// wireOffer is an offer's or an accept's CBOR map: in one Carried is the owner's half of
// the ownership, in the other all of it.
type wireOffer struct {
	Label      string `cbor:"0,keyasint"`
	Transcript []byte `cbor:"1,keyasint"`
	Carried    []byte `cbor:"2,keyasint"`
}

type wireDone struct {
	Label      string `cbor:"0,keyasint"`
	Transcript []byte `cbor:"1,keyasint"`
}

type wireAbort struct {
	Label      string `cbor:"0,keyasint"`
	Transcript []byte `cbor:"1,keyasint"`
	Key        []byte `cbor:"2,keyasint"`
	Reason     Reason `cbor:"3,keyasint"`
}

// say makes a message: v, signed by the sender, and authenticated by its side's key.
func say(signer crypto.Signer, key []byte, v any) ([]byte, error) {
	envelope, err := statement.Sign(signer, v)
	if err != nil {
		return nil, fmt.Errorf("sign pairing message: %w", err)
	}
	return mac(key, envelope).Sum(envelope), nil
}

func mac(key, envelope []byte) interface{ Sum([]byte) []byte } {
	h := hmac.New(sha256.New, key)
	h.Write(envelope)
	return h
}

// hear takes a message apart that was made with key. Nothing of it is looked at before
// its MAC is good. Who signed it is still to be checked.
func hear(key, msg []byte) (*statement.Statement, error) {
	if len(msg) > MaxMessage {
		return nil, refuse(ReasonTooLarge, "message of %d bytes, at most %d", len(msg), MaxMessage)
	}
	if len(msg) <= macSize {
		return nil, refuse(ReasonMalformed, "message of %d bytes", len(msg))
	}
	envelope, sum := msg[:len(msg)-macSize], msg[len(msg)-macSize:]
	if !hmac.Equal(mac(key, envelope).Sum(nil), sum) {
		return nil, refuse(ReasonBadMAC, "not by the other holder of the code")
	}
	st, rest, err := statement.Parse(envelope, len(envelope))
	if err != nil {
		return nil, unreadable(err)
	}
	if len(rest) != 0 {
		return nil, refuse(ReasonMalformed, "%d bytes after the envelope", len(rest))
	}
	return st, nil
}

// next is the transcript after a message.
func next(transcript, msg []byte) []byte {
	h := sha256.New()
	h.Write(transcript)
	h.Write(msg)
	return h.Sum(nil)
}

// read decodes what a message says into v.
func read(st *statement.Statement, v any) error {
	if err := statement.Unmarshal(st.Payload, v); err != nil {
		return unreadable(err)
	}
	return nil
}

// follows checks that a message stands where this side is.
func follows(got, want []byte) error {
	if len(got) != sha256.Size {
		return refuse(ReasonBadField, "transcript of %d bytes", len(got))
	}
	if !bytes.Equal(got, want) {
		return refuse(ReasonWrongTranscript, "it follows another message")
	}
	return nil
}

// signed checks that a message was signed by the key with this SubjectPublicKeyInfo.
func signed(st *statement.Statement, spki []byte) error {
	pub, err := statement.ParseKey(spki)
	if err != nil {
		return refuse(ReasonBadField, "%v", err)
	}
	if err := st.Verify(pub); err != nil {
		return refuse(ReasonBadSignature, "%v", err)
	}
	return nil
}

// check holds an abort against its rules.
func (w *wireAbort) check() error {
	if !w.Reason.aborts() {
		return refuse(ReasonBadField, "abort for reason %.40q", w.Reason)
	}
	if len(w.Transcript) != sha256.Size {
		return refuse(ReasonBadField, "transcript of %d bytes", len(w.Transcript))
	}
	return nil
}

// unexpected is the refusal of what is not to be said now.
func unexpected(st *statement.Statement) *Error {
	return refuse(ReasonUnexpected, "%.40q", statement.Label(st.Payload))
}
