// Package seal is the sealed item: the one form in which a camera says anything
// to its owner, on the wire, in the spool, in the hub's store and in a file. An
// item is a header, signed by the device's key (package statement), followed by
// a body, encrypted with age to the owner. The header names the device and the
// owner by the hashes of their keys, so nothing has to be looked up to know
// whose it is. docs/ref/sealed-item.md is the specification.
//
// It owns the format, sealing, verification, opening and the audit of a chain
// of items. It never stores, sends or fetches anything, never asks anyone whose
// an item is, and depends on the standard library, age, COSE and CBOR alone, so
// that an app or a cloud service can import it.
package seal

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/statement"
)

// Limits on an item, in bytes. A verifier refuses what is larger before it reads it.
const (
	// MaxEnvelope bounds the signed header with its signature.
	MaxEnvelope = 2 << 10
	// MaxClipBody bounds the encrypted body of a clip part.
	MaxClipBody = 4<<20 + 8<<10
	// MaxSmallBody bounds the encrypted body of every other kind.
	MaxSmallBody = 112 << 10
	// MaxItem bounds a whole item.
	MaxItem = MaxEnvelope + MaxClipBody
	// MaxSmallItem bounds a whole item that is not a clip part.
	MaxSmallItem = MaxEnvelope + MaxSmallBody
	// MaxThumbnail bounds a thumbnail before it is sealed.
	MaxThumbnail = 96 << 10
	// MaxClipPart bounds a clip part before it is sealed.
	MaxClipPart = 4 << 20
)

// Item is one sealed item. Its fields are read-only: they are what the bytes say.
type Item struct {
	// Header is what the device signed.
	Header Header
	// Envelope is the COSE_Sign1 with the header inside.
	Envelope []byte
	// Body is the age file, nil when only the envelope was read.
	Body []byte

	statement *statement.Statement
}

// Draft is what a device wants to say, before it has a place in the chain.
type Draft struct {
	Kind Kind
	// Event is the event that a thumbnail, clip part or event record belongs to.
	Event EventID
	// Part counts a clip's parts from 0; Last marks the final one.
	Part uint32
	Last bool
	// Captured is when the picture was taken, or the statement made.
	Captured time.Time
	// Clock says how far Captured can be trusted.
	Clock ClockTrust
	// MediaType is the body's, as in Kind.MediaType.
	MediaType string
	// Body is the plaintext. Seal does not keep it.
	Body []byte
}

// Link is a place in a chain: what the next item is sealed into.
type Link struct {
	// Chain is the boot counter at which the chain began.
	Chain uint64
	// Seq is the item's number, from 1.
	Seq uint64
	// Prev is the hash of the item before, or for the first one the record's hash.
	Prev Hash
}

// Binding says for whom a device seals: one revision of an ownership record.
type Binding struct {
	Owner  ID
	Epoch  uint64
	Record Hash
	// Recipients are whom bodies are encrypted to, at least one.
	Recipients []age.Recipient
}

// Sealer seals a device's items for one owner. It is safe for concurrent use.
type Sealer struct {
	key        crypto.Signer
	spki       []byte
	device     ID
	protection Protection
	firmware   string
	boot       uint64
	binding    Binding
}

// Device is what a Sealer needs to know of the device it seals for.
type Device struct {
	// Key is the device's ECDSA P-256 key.
	Key crypto.Signer
	// Protection says how well the key is kept.
	Protection Protection
	// Firmware is the running version, at most 64 characters.
	Firmware string
	// Boot counts the device's starts, from 1.
	Boot uint64
}

// NewSealer returns a Sealer for a device and the ownership it is bound by.
func NewSealer(dev Device, b Binding) (*Sealer, error) {
	spki, err := statement.SPKI(dev.Key.Public())
	if err != nil {
		return nil, fmt.Errorf("make sealer: %w", err)
	}
	if len(b.Recipients) == 0 {
		return nil, errors.New("make sealer: no recipients: nobody could open the items")
	}
	return &Sealer{
		key: dev.Key, spki: spki, device: KeyID(spki), protection: dev.Protection,
		firmware: dev.Firmware, boot: dev.Boot, binding: b,
	}, nil
}

// Device is the ID of the device that the Sealer seals for.
func (s *Sealer) Device() ID { return s.device }

// Binding is the ownership that the Sealer seals under.
func (s *Sealer) Binding() Binding { return s.binding }

// Seal encrypts and signs a draft into its place in the chain. What it returns
// verifies; a draft that could not is refused with the field at fault.
func (s *Sealer) Seal(d Draft, l Link) (*Item, error) {
	if limit := plainLimit(d.Kind); len(d.Body) > limit {
		return nil, fmt.Errorf("seal %s: body of %d bytes, at most %d", d.Kind, len(d.Body), limit)
	}
	body, err := encrypt(d.Body, s.binding.Recipients)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", d.Kind, err)
	}
	h := Header{
		Kind: d.Kind, DeviceKey: s.spki, Device: s.device, Owner: s.binding.Owner,
		Epoch: s.binding.Epoch, Record: s.binding.Record, Boot: s.boot,
		Chain: l.Chain, Seq: l.Seq, Prev: l.Prev, Event: d.Event, Part: d.Part, Last: d.Last,
		Captured: d.Captured.UTC().Truncate(time.Millisecond), Clock: d.Clock,
		MediaType: d.MediaType, Firmware: s.firmware, Protection: s.protection,
		BodySize: uint64(len(body)), BodyHash: sha256.Sum256(body),
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("seal %s: %w", d.Kind, err)
	}
	env, err := statement.Sign(s.key, h.wire())
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", d.Kind, err)
	}
	it, err := ParseEnvelope(env)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", d.Kind, err)
	}
	it.Body = body
	return it, nil
}

// plainLimit is how large a body may be before it is sealed.
func plainLimit(k Kind) int {
	if k == KindClip {
		return MaxClipPart
	}
	return MaxThumbnail
}

// encrypt is age, binary format, no armour.
func encrypt(plain []byte, to []age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(plain) + 4<<10)
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		return nil, fmt.Errorf("encrypt body: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("encrypt body: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypt body: %w", err)
	}
	return out.Bytes(), nil
}

// Parse reads an item: its structure, limits and canonical form. It needs no
// keys and believes nothing yet. The item shares b's memory. Errors are *Error.
func Parse(b []byte) (*Item, error) {
	if len(b) > MaxItem {
		return nil, refuse(ReasonTooLarge, "item of %d bytes, at most %d", len(b), MaxItem)
	}
	it, rest, err := parseEnvelope(b)
	if err != nil {
		return nil, err
	}
	switch n := uint64(len(rest)); {
	case n < it.Header.BodySize:
		return nil, refuse(ReasonTruncated, "body of %d bytes, the header says %d", n, it.Header.BodySize)
	case n > it.Header.BodySize:
		return nil, refuse(ReasonBodySize, "body of %d bytes, the header says %d", n, it.Header.BodySize)
	}
	it.Body = rest
	return it, nil
}

// ParseEnvelope reads an item's signed header alone. Its Body is nil.
func ParseEnvelope(b []byte) (*Item, error) {
	if len(b) > MaxEnvelope {
		return nil, refuse(ReasonTooLarge, "envelope of %d bytes, at most %d", len(b), MaxEnvelope)
	}
	it, rest, err := parseEnvelope(b)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, refuse(ReasonMalformed, "%d bytes after the envelope", len(rest))
	}
	return it, nil
}

func parseEnvelope(b []byte) (*Item, []byte, error) {
	st, rest, err := statement.Parse(b, MaxEnvelope)
	if err != nil {
		return nil, nil, fromStatement(err)
	}
	h, err := parseHeader(st.Payload)
	if err != nil {
		return nil, nil, err
	}
	return &Item{Header: h, Envelope: st.Envelope, statement: st}, rest, nil
}

// Bytes is the item as it travels: envelope, then body.
func (it *Item) Bytes() []byte {
	return append(bytes.Clone(it.Envelope), it.Body...)
}

// Size is the length of Bytes.
func (it *Item) Size() int { return len(it.Envelope) + len(it.Body) }

// Hash is SHA-256 of the signed header: the item's identity and what the next
// item's Prev holds. The signature is no part of it, since a signature can be
// changed into another that verifies.
func (it *Item) Hash() Hash { return sha256.Sum256(it.statement.Payload) }

// VerifyEnvelope checks that the device ID is the hash of the device key and
// that this key signed the header. It says nothing of whose the device is: see
// Policy. Errors are *Error.
func (it *Item) VerifyEnvelope() error {
	pub, err := statement.ParseKey(it.Header.DeviceKey)
	if err != nil {
		return refuse(ReasonBadField, "device key: %v", err)
	}
	if KeyID(it.Header.DeviceKey) != it.Header.Device {
		return refuse(ReasonDeviceMismatch, "device ID %s is not the hash of the device key", it.Header.Device.Short())
	}
	if err := it.statement.Verify(pub); err != nil {
		return fromStatement(err)
	}
	return nil
}

// Verify is VerifyEnvelope and then the body against the header's size and hash.
func (it *Item) Verify() error {
	if err := it.VerifyEnvelope(); err != nil {
		return err
	}
	if uint64(len(it.Body)) != it.Header.BodySize {
		return refuse(ReasonBodySize, "body of %d bytes, the header says %d", len(it.Body), it.Header.BodySize)
	}
	if sha256.Sum256(it.Body) != it.Header.BodyHash {
		return refuse(ReasonBodyHash, "the body is not the one that the header was signed for")
	}
	return nil
}

// Open decrypts the body. Call it only on an item that Verify and Policy.Check
// have passed: age says nothing of who wrote a body. Errors are *Error.
func (it *Item) Open(ids ...age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(it.Body), ids...)
	if err != nil {
		return nil, refuse(ReasonCannotDecrypt, "%v", err)
	}
	limit := int64(plainLimit(it.Header.Kind))
	plain, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, refuse(ReasonCannotDecrypt, "%v", err)
	}
	if int64(len(plain)) > limit {
		return nil, refuse(ReasonTooLarge, "body of more than %d bytes", limit)
	}
	return plain, nil
}
