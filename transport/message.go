package transport

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/seal"
)

// Limits of the control messages, in bytes.
const (
	// MaxMessage is the largest control message (down, want, status, answer), but for a
	// letter.
	MaxMessage = 4 << 10
	// MaxLetterMessage is the largest control message that is a letter.
	MaxLetterMessage = 96 << 10
	// MaxLetter is the largest letter in it.
	MaxLetter = 64 << 10
	// MaxRecord is the largest ownership record.
	MaxRecord = 64 << 10
	// MaxSmallItem is the largest item that travels as a message; a clip part does not.
	MaxSmallItem = 128 << 10

	maxURL    = 2 << 10
	maxHint   = (hint.MaxSize*8 + 5) / 6 // base64url
	maxLetter = (MaxLetter*8 + 5) / 6    // base64url
	maxReason = 64
	maxDetail = 512
)

// MessageType says what the hub answers. The words are on the wire.
type MessageType string

// What a hub may say to a device.
const (
	// Receipt: the item was verified and stored.
	Receipt MessageType = "receipt"
	// Refusal: the item will never be taken, for the reason given.
	Refusal MessageType = "refusal"
	// Grant: the item that was asked about may be put to the URL.
	Grant MessageType = "grant"
	// RecordReceipt: the ownership record was verified and stored.
	RecordReceipt MessageType = "record-receipt"
	// RecordRefusal: the ownership record was not taken.
	RecordRefusal MessageType = "record-refusal"
	// Hint: what the hub says of its fleet, signed (package hint).
	Hint MessageType = "hint"
	// Letter: what the device's owner tells it. The hub's word for it counts for nothing.
	Letter MessageType = "letter"
	// Unreadable is never on the wire: a session hands it up in place of a message that
	// made no sense, so that it is counted. Detail says why.
	Unreadable MessageType = ""
)

// Message is one control message from the hub to a device. It is the hub's word and
// proves nothing; the delivery loop acts on it only where it fits what was sent.
type Message struct {
	Type MessageType `json:"type"`
	// Ref and Hash name the item; a record's messages have its hash alone. A refusal of
	// something that the hub could not read has no ref, and the SHA-256 of the bytes.
	Ref  seal.Ref  `json:"ref,omitzero"`
	Hash seal.Hash `json:"hash,omitzero"`
	// URL is where to put a granted item, at most 2 KiB.
	URL string `json:"url,omitempty"`
	// Expires is the end of a grant in Unix seconds, by the hub's clock. It is not
	// compared with the device's, which may be wrong: an expired grant is refused.
	Expires int64 `json:"expires,omitempty"`
	// Reason is one word, at most 64 bytes of a-z, 0-9 and hyphens.
	Reason string `json:"reason,omitempty"`
	// Detail is for a person, at most 512 bytes.
	Detail string `json:"detail,omitempty"`
	// Hint is a signed hint in base64url without padding. It has not been verified.
	Hint string `json:"hint,omitempty"`
	// Letter is a letter in base64url without padding, Hash the SHA-256 of its bytes, both
	// as they came. Neither has been verified.
	Letter string `json:"letter,omitempty"`
}

// ErrUnknownType is a control message of a type that this version does not know.
var ErrUnknownType = errors.New("unknown message type")

// ParseMessage reads a control message of at most MaxMessage bytes, a letter's of at most
// MaxLetterMessage, and checks that what its type needs is there and within its limits. Unknown fields are ignored; the error
// for an unknown type is ErrUnknownType.
func ParseMessage(b []byte) (Message, error) {
	if len(b) > MaxLetterMessage {
		return Message{}, fmt.Errorf("read control message: %d bytes, at most %d are allowed", len(b), MaxLetterMessage)
	}
	// The type alone first: an unknown one may use the other names in its own way.
	var head struct {
		Type MessageType `json:"type"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return Message{}, fmt.Errorf("read control message: %w", err)
	}
	if len(b) > MaxMessage && head.Type != Letter {
		return Message{}, fmt.Errorf("read control message: %d bytes, at most %d are allowed", len(b), MaxMessage)
	}
	switch head.Type {
	case Receipt, Refusal, Grant, RecordReceipt, RecordRefusal, Hint, Letter:
	default:
		return Message{}, fmt.Errorf("read control message: %w", ErrUnknownType)
	}
	var m Message
	if err := json.Unmarshal(b, &m); err != nil {
		return Message{}, fmt.Errorf("read control message: %w", err)
	}
	if err := m.check(); err != nil {
		return Message{}, fmt.Errorf("read %s: %w", head.Type, err)
	}
	if m.Type == Hint {
		return Message{Type: Hint, Hint: m.Hint}, nil // it has nothing else
	}
	if m.Type == Letter {
		return Message{Type: Letter, Letter: m.Letter, Hash: m.Hash}, nil
	}
	m.Detail = printable(m.Detail)
	return m, nil
}

// check holds a message against its type's needs.
func (m *Message) check() error {
	if m.Type == Hint {
		if m.Hint == "" || len(m.Hint) > maxHint {
			return fmt.Errorf("the hint is missing or longer than %d characters", maxHint)
		}
		return nil
	}
	if m.Hash.IsZero() {
		return errors.New("the hash is missing")
	}
	if m.Type == Letter && (m.Letter == "" || len(m.Letter) > maxLetter) {
		return fmt.Errorf("the letter is missing or longer than %d characters", maxLetter)
	}
	switch m.Type {
	case Receipt, Grant:
		if m.Ref.Seq == 0 || m.Ref.Device.IsZero() {
			return errors.New("the item reference is missing")
		}
	}
	switch m.Type {
	case Refusal, RecordRefusal:
		if !isReason(m.Reason) {
			return errors.New("the reason is missing or not one word")
		}
	case Grant:
		if m.URL == "" || len(m.URL) > maxURL {
			return fmt.Errorf("the URL is missing or longer than %d bytes", maxURL)
		}
	}
	return nil
}

func isReason(s string) bool {
	return s != "" && len(s) <= maxReason && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// printable makes a stranger's words fit for a log: cut to maxDetail bytes, without
// control characters or broken UTF-8.
func printable(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail]
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// Want asks the hub for a place to put an item that is too large for a message.
type Want struct {
	Ref  seal.Ref  `json:"ref"`
	Hash seal.Hash `json:"hash"`
	// Size is the whole item's, in bytes.
	Size int64 `json:"size"`
}

// Status is what a device says of itself. The hub shows it and decides nothing by it.
type Status struct {
	Online bool `json:"online"`
	// Firmware is the version that runs, at most 64 characters.
	Firmware string `json:"firmware,omitempty"`
	// Conditions are the names of what is wrong now, such as "spool-full": at most 32, each
	// of at most 64 characters.
	Conditions []string `json:"conditions,omitempty"`
}

// Answer is what a device says of a letter: that it took it, or why it did not.
type Answer struct {
	// Hash is the letter's, as the hub gave it.
	Hash seal.Hash `json:"hash"`
	OK   bool      `json:"ok"`
	// Reason is one word, at most 64 characters, where it was not taken.
	Reason string `json:"reason,omitempty"`
}
