package enrol

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/lensward/lensward/transport/ownership"
)

// Limits of what a device sends, in bytes.
const (
	// MaxMessage bounds the whole message as PEM.
	MaxMessage = 112 << 10
	// MaxRequest bounds the certificate request in it (DER).
	MaxRequest = 12 << 10
	// maxAnswer bounds the answer to a challenge.
	maxAnswer = 64
	// maxChallenge bounds a challenge.
	maxChallenge = 4 << 10
)

// The types of a message's PEM blocks.
const (
	blockRequest = "CERTIFICATE REQUEST"
	blockRecord  = "LENSWARD OWNERSHIP RECORD"
	blockAnswer  = "LENSWARD ATTESTATION ANSWER"
)

// ErrMessage means that an enrolment message cannot be read.
var ErrMessage = errors.New("bad enrolment message")

// Message is what a device sends to get a certificate.
type Message struct {
	// Request is the PKCS #10 request, DER. Needed.
	Request []byte
	// Record is the ownership record that the device has accepted; nil for none.
	Record []byte
	// Answer is the answer to the hub's challenge; nil for none.
	Answer []byte
}

// Encode writes the message as PEM, the request first.
func (m *Message) Encode() []byte {
	out := pem.EncodeToMemory(&pem.Block{Type: blockRequest, Bytes: m.Request})
	for _, b := range []pem.Block{{Type: blockRecord, Bytes: m.Record}, {Type: blockAnswer, Bytes: m.Answer}} {
		if b.Bytes != nil {
			out = append(out, pem.EncodeToMemory(&b)...)
		}
	}
	return out
}

// ParseMessage reads what Encode writes: each block at most once, and nothing but white
// space beside them. What is in them is the caller's to check. Errors are ErrMessage.
func ParseMessage(data []byte) (*Message, error) {
	if len(data) > MaxMessage {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMessage, len(data), MaxMessage)
	}
	var m Message
	places := map[string]struct {
		to    *[]byte
		limit int
	}{
		blockRequest: {&m.Request, MaxRequest}, blockRecord: {&m.Record, ownership.MaxOwnership}, blockAnswer: {&m.Answer, maxAnswer},
	}
	for rest := bytes.TrimSpace(data); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		block, after := pem.Decode(rest)
		begin, read := []byte("-----BEGIN "), rest[:len(rest)-len(after)]
		if block == nil || !bytes.HasPrefix(read, begin) || bytes.Count(read, begin) != 1 { // the library passes over what is none
			return nil, fmt.Errorf("%w: it is not PEM", ErrMessage)
		}
		rest = after
		place, known := places[block.Type]
		switch {
		case !known:
			return nil, fmt.Errorf("%w: a block of type %.64q", ErrMessage, block.Type)
		case *place.to != nil:
			return nil, fmt.Errorf("%w: two blocks of type %q", ErrMessage, block.Type)
		case len(block.Bytes) == 0 || len(block.Bytes) > place.limit:
			return nil, fmt.Errorf("%w: a block of type %q has %d bytes, 1 to %d are allowed", ErrMessage, block.Type, len(block.Bytes), place.limit)
		}
		*place.to = block.Bytes
	}
	if m.Request == nil {
		return nil, fmt.Errorf("%w: there is no certificate request in it", ErrMessage)
	}
	return &m, nil
}
