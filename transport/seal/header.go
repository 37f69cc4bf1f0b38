package seal

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lensward/lensward/transport/statement"
)

// Label is entry 0 of every item's header: what it is and in which version.
const Label = "lensward/item/1"

// Kind says what an item is.
type Kind uint8

// The kinds of item. The values are on the wire.
const (
	KindThumbnail  Kind = 1 // a still of an event
	KindClip       Kind = 2 // one part of an event's video
	KindEvent      Kind = 3 // what the event was
	KindCheckpoint Kind = 4 // where the chain stands
	KindGap        Kind = 5 // what the device had to drop
)

// String is the kind's name.
func (k Kind) String() string {
	switch k {
	case KindThumbnail:
		return "thumbnail"
	case KindClip:
		return "clip"
	case KindEvent:
		return "event"
	case KindCheckpoint:
		return "checkpoint"
	case KindGap:
		return "gap"
	default:
		return fmt.Sprintf("kind %d", uint8(k))
	}
}

// MediaType is the media type of the kind's body. A clip's carries its codecs
// as a parameter after this.
func (k Kind) MediaType() string {
	switch k {
	case KindThumbnail:
		return "image/jpeg"
	case KindClip:
		return "video/mp4"
	case KindEvent:
		return "application/vnd.lensward.event+json"
	case KindCheckpoint:
		return "application/vnd.lensward.checkpoint+json"
	case KindGap:
		return "application/vnd.lensward.gap+json"
	default:
		return ""
	}
}

// ClockTrust says how far the device's clock can be trusted.
type ClockTrust uint8

// The degrees of trust. The values are on the wire.
const (
	ClockUnset   ClockTrust = 1 // never set: only the order of items means something
	ClockFloor   ClockTrust = 2 // not before this time
	ClockRTC     ClockTrust = 3 // from a battery-backed clock
	ClockNetwork ClockTrust = 4 // from the network
)

// String is the degree's name.
func (c ClockTrust) String() string {
	switch c {
	case ClockUnset:
		return "unset"
	case ClockFloor:
		return "floor"
	case ClockRTC:
		return "rtc"
	case ClockNetwork:
		return "network"
	default:
		return fmt.Sprintf("clock %d", uint8(c))
	}
}

// Protection says how well the device's key is kept.
type Protection uint8

// The ways a key is kept. The values are on the wire.
const (
	ProtectionFile Protection = 1 // a file that who takes the disk can copy
	ProtectionTPM  Protection = 2 // inside a TPM 2.0 or secure element
)

// String is the way's name.
func (p Protection) String() string {
	switch p {
	case ProtectionFile:
		return "file"
	case ProtectionTPM:
		return "tpm"
	default:
		return fmt.Sprintf("protection %d", uint8(p))
	}
}

// Header is what the device signs. docs/ref/sealed-item.md gives each field's rule.
type Header struct {
	Kind      Kind
	DeviceKey []byte // SubjectPublicKeyInfo, DER
	Device    ID
	Owner     ID
	Epoch     uint64
	Record    Hash // the ownership record sealed under
	Boot      uint64
	Chain     uint64
	Seq       uint64
	Prev      Hash
	Event     EventID
	Part      uint32
	Last      bool
	Captured  time.Time // UTC, whole milliseconds
	Clock     ClockTrust
	MediaType string
	Firmware  string
	// Protection is the device's own claim.
	Protection Protection
	// BodySize and BodyHash are of the ciphertext: a hash of the plaintext would let
	// others test guesses.
	BodySize uint64
	BodyHash Hash
}

// Ref is the item's place.
func (h Header) Ref() Ref {
	return Ref{Device: h.Device, Epoch: h.Epoch, Chain: h.Chain, Seq: h.Seq}
}

// wireHeader is the header's CBOR map, keys as in the specification.
type wireHeader struct {
	Label      string `cbor:"0,keyasint"`
	Kind       uint64 `cbor:"1,keyasint"`
	DeviceKey  []byte `cbor:"2,keyasint"`
	Device     []byte `cbor:"3,keyasint"`
	Owner      []byte `cbor:"4,keyasint"`
	Epoch      uint64 `cbor:"5,keyasint"`
	Record     []byte `cbor:"6,keyasint"`
	Boot       uint64 `cbor:"7,keyasint"`
	Chain      uint64 `cbor:"8,keyasint"`
	Seq        uint64 `cbor:"9,keyasint"`
	Prev       []byte `cbor:"10,keyasint"`
	Event      []byte `cbor:"11,keyasint,omitempty"`
	Part       uint64 `cbor:"12,keyasint,omitempty"`
	Last       bool   `cbor:"13,keyasint,omitempty"`
	Captured   int64  `cbor:"14,keyasint"`
	Clock      uint64 `cbor:"15,keyasint"`
	MediaType  string `cbor:"16,keyasint"`
	Firmware   string `cbor:"17,keyasint"`
	Protection uint64 `cbor:"18,keyasint"`
	BodySize   uint64 `cbor:"19,keyasint"`
	BodyHash   []byte `cbor:"20,keyasint"`
}

func (h Header) wire() wireHeader {
	w := wireHeader{
		Label: Label, Kind: uint64(h.Kind), DeviceKey: h.DeviceKey, Device: h.Device[:], Owner: h.Owner[:],
		Epoch: h.Epoch, Record: h.Record[:], Boot: h.Boot, Chain: h.Chain, Seq: h.Seq, Prev: h.Prev[:],
		Part: uint64(h.Part), Last: h.Last, Captured: h.Captured.UnixMilli(), Clock: uint64(h.Clock),
		MediaType: h.MediaType, Firmware: h.Firmware, Protection: uint64(h.Protection),
		BodySize: h.BodySize, BodyHash: h.BodyHash[:],
	}
	if !h.Event.IsZero() {
		w.Event = h.Event[:]
	}
	return w
}

// parseHeader reads a header's bytes and holds them against every rule that
// needs no key.
func parseHeader(payload []byte) (Header, error) {
	label := statement.Label(payload)
	switch {
	case label == Label:
	case strings.HasPrefix(label, "lensward/item/"):
		return Header{}, refuse(ReasonUnknownVersion, "%q", label)
	default:
		return Header{}, refuse(ReasonMalformed, "label %q", label)
	}
	var w wireHeader
	if err := statement.Unmarshal(payload, &w); err != nil {
		return Header{}, fromHeader(err)
	}
	h, err := w.header()
	if err != nil {
		return Header{}, refuse(ReasonBadField, "%v", err)
	}
	if err := h.check(); err != nil {
		return Header{}, refuse(ReasonBadField, "%v", err)
	}
	return h, nil
}

// fromHeader names a header's fault: bytes that end too early inside a payload
// whose length the envelope gave are no cut-off item but a malformed one.
func fromHeader(err error) *Error {
	if errors.Is(err, statement.ErrTruncated) {
		return &Error{Reason: ReasonMalformed, Detail: err.Error()}
	}
	return fromStatement(err)
}

// header converts the wire form, checking sizes and ranges.
func (w wireHeader) header() (Header, error) {
	h := Header{
		DeviceKey: w.DeviceKey, Epoch: w.Epoch, Boot: w.Boot, Chain: w.Chain, Seq: w.Seq, Last: w.Last,
		MediaType: w.MediaType, Firmware: w.Firmware, BodySize: w.BodySize,
	}
	if w.Captured < 0 || w.Captured > statement.MaxInt {
		return h, fmt.Errorf("captured %d is out of range", w.Captured)
	}
	h.Captured = time.UnixMilli(w.Captured).UTC()
	for _, f := range []struct {
		name     string
		dst, src []byte
	}{
		{"device ID", h.Device[:], w.Device}, {"owner ID", h.Owner[:], w.Owner},
		{"record hash", h.Record[:], w.Record}, {"previous hash", h.Prev[:], w.Prev},
		{"body hash", h.BodyHash[:], w.BodyHash},
	} {
		if len(f.src) != len(f.dst) {
			return h, fmt.Errorf("%s of %d bytes, not %d", f.name, len(f.src), len(f.dst))
		}
		copy(f.dst, f.src)
	}
	if w.Event != nil {
		if len(w.Event) != len(h.Event) || copy(h.Event[:], w.Event) == 0 || h.Event.IsZero() {
			return h, fmt.Errorf("event ID is not 16 bytes, or zero")
		}
	}
	if w.Kind > 255 || w.Clock > 255 || w.Protection > 255 || w.Part > 1<<20 {
		return h, fmt.Errorf("kind, clock, protection or part is out of range")
	}
	h.Kind, h.Clock, h.Protection = Kind(w.Kind), ClockTrust(w.Clock), Protection(w.Protection)
	h.Part = uint32(w.Part)
	return h, nil
}

// check holds the header against its rules.
func (h Header) check() error {
	if h.Kind < KindThumbnail || h.Kind > KindGap {
		return fmt.Errorf("kind %d is not known", h.Kind)
	}
	for _, n := range []struct {
		name string
		v    uint64
	}{{"epoch", h.Epoch}, {"boot", h.Boot}, {"chain", h.Chain}, {"sequence number", h.Seq}} {
		if n.v < 1 || n.v > statement.MaxInt {
			return fmt.Errorf("%s %d is out of range", n.name, n.v)
		}
	}
	if h.Chain > h.Boot {
		return fmt.Errorf("chain %d began after boot %d", h.Chain, h.Boot)
	}
	if h.Seq == 1 && h.Prev != h.Record {
		return fmt.Errorf("the first item does not follow its ownership record")
	}
	if h.Captured.UnixMilli() < 0 || h.Captured.UnixMilli() > statement.MaxInt {
		return fmt.Errorf("captured is out of range")
	}
	if h.Clock < ClockUnset || h.Clock > ClockNetwork {
		return fmt.Errorf("clock trust %d is not known", h.Clock)
	}
	if h.Protection < ProtectionFile || h.Protection > ProtectionTPM {
		return fmt.Errorf("key protection %d is not known", h.Protection)
	}
	if err := checkText("firmware version", h.Firmware, 64); err != nil {
		return err
	}
	return h.checkKind()
}

// checkKind holds the fields that depend on the kind.
func (h Header) checkKind() error {
	ofEvent := h.Kind == KindThumbnail || h.Kind == KindClip || h.Kind == KindEvent
	if ofEvent == h.Event.IsZero() {
		return fmt.Errorf("a %s with or without an event ID", h.Kind)
	}
	if h.Kind != KindClip && (h.Part != 0 || h.Last) {
		return fmt.Errorf("a %s has no parts", h.Kind)
	}
	if h.Part > 1<<20 {
		return fmt.Errorf("part %d is out of range", h.Part)
	}
	limit := uint64(MaxSmallBody)
	if h.Kind == KindClip {
		limit = MaxClipBody
	}
	if h.BodySize < 1 || h.BodySize > limit {
		return fmt.Errorf("body of %d bytes, at most %d", h.BodySize, limit)
	}
	if err := checkText("media type", h.MediaType, 96); err != nil {
		return err
	}
	base, _, params := strings.Cut(h.MediaType, ";")
	if base != h.Kind.MediaType() || (params && h.Kind != KindClip) {
		return fmt.Errorf("media type %q of a %s", h.MediaType, h.Kind)
	}
	return nil
}

// checkText allows printable ASCII, 1 to limit characters.
func checkText(name, s string, limit int) error {
	if s == "" || len(s) > limit {
		return fmt.Errorf("%s of %d characters, 1 to %d", name, len(s), limit)
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e || !utf8.ValidString(s) {
			return fmt.Errorf("%s with a character that is not printable ASCII", name)
		}
	}
	return nil
}
