// Package statement is the one signed form that everything in Lensward takes:
// a COSE_Sign1 (RFC 9052, ES256) over a deterministic CBOR map whose entry 0 is
// a label, such as "lensward/item/1", that names what is being said and in
// which version.
//
// It owns the envelope: its strict parsing, its signature, and the rule that
// one meaning has one encoding. It never decides whom to believe: seal and
// ownership do. It keeps go-cose and the CBOR modes behind this one door.
package statement

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// What can be wrong with an envelope. Each is wrapped with what was being read.
var (
	// ErrTruncated means that the bytes end inside the envelope.
	ErrTruncated = errors.New("the bytes end too early")
	// ErrMalformed means that the bytes are not a COSE_Sign1 of the form that is used here.
	ErrMalformed = errors.New("not a signed statement")
	// ErrTooLarge means that a limit on the size was passed.
	ErrTooLarge = errors.New("too large")
	// ErrUnsigned means that the place of the signature is empty.
	ErrUnsigned = errors.New("the signature is missing")
	// ErrAlgorithm means that another signature algorithm than ES256 is named.
	ErrAlgorithm = errors.New("unknown signature algorithm")
	// ErrNotCanonical means that the bytes are not the one deterministic encoding of
	// what they say, or say something that is not known.
	ErrNotCanonical = errors.New("not the deterministic encoding")
	// ErrFields means that a field is missing, or there though its value says that
	// it should be left out.
	ErrFields = errors.New("a field is missing or should be left out")
	// ErrSignature means that the signature is not the key's over these bytes.
	ErrSignature = errors.New("the signature does not verify")
	// ErrKey means that a public key is not an ECDSA P-256 SubjectPublicKeyInfo.
	ErrKey = errors.New("not an ECDSA P-256 public key")
)

// Reason is the word by which the specifications (docs/ref) call what is wrong with an
// envelope or its map; "" if err is no error of this package.
func Reason(err error) string {
	for _, r := range []struct {
		is   error
		word string
	}{
		{ErrTooLarge, "too-large"}, {ErrTruncated, "truncated"}, {ErrAlgorithm, "unknown-algorithm"},
		{ErrUnsigned, "unsigned"}, {ErrNotCanonical, "not-canonical"}, {ErrFields, "bad-field"},
		{ErrKey, "bad-field"}, {ErrSignature, "bad-signature"}, {ErrMalformed, "malformed"},
	} {
		if errors.Is(err, r.is) {
			return r.word
		}
	}
	return ""
}

const (
	// SignatureSize is an ES256 signature's size in bytes: r and s, 32 bytes each.
	SignatureSize = 64
	// MaxInt is the largest integer in any statement, 2^53-1, the largest that a
	// JavaScript number holds exactly.
	MaxInt = 1<<53 - 1

	sign1Tag = 18 // RFC 9052, section 2
	algES256 = -7 // RFC 9053, section 2.1
)

// protectedES256 is the encoded protected header {1: -7}, the only one there is.
var protectedES256 = []byte{0xa1, 0x01, 0x26}

// Statement is a parsed envelope. Parsing does not verify it.
type Statement struct {
	// Payload is the signed CBOR map.
	Payload []byte
	// Envelope is the whole COSE_Sign1 as it was read.
	Envelope []byte
}

// envelope is COSE_Sign1's array, with the header maps still encoded.
type envelope struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected cbor.RawMessage
	Payload     []byte
	Signature   []byte
}

// Sign encodes v deterministically and signs it. The key must be ECDSA P-256.
func Sign(key crypto.Signer, v any) ([]byte, error) {
	if _, err := SPKI(key.Public()); err != nil {
		return nil, fmt.Errorf("sign statement: %w", err)
	}
	payload, err := Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("sign statement: %w", err)
	}
	signer, err := cose.NewSigner(cose.AlgorithmES256, key)
	if err != nil {
		return nil, fmt.Errorf("sign statement: %w", err)
	}
	msg := cose.NewSign1Message()
	msg.Headers.Protected.SetAlgorithm(cose.AlgorithmES256)
	msg.Payload = payload
	if err := msg.Sign(rand.Reader, nil, signer); err != nil {
		return nil, fmt.Errorf("sign statement: %w", err)
	}
	b, err := msg.MarshalCBOR()
	if err != nil {
		return nil, fmt.Errorf("sign statement: encode: %w", err)
	}
	return b, nil
}

// Parse reads one envelope of at most limit bytes from the front of b and
// returns what follows it. It verifies the form, not the signature.
func Parse(b []byte, limit int) (*Statement, []byte, error) {
	head := b
	if len(head) > limit {
		head = head[:limit]
	}
	mode, err := decMode()
	if err != nil {
		return nil, nil, err
	}
	var tag cbor.RawTag
	rest, err := mode.UnmarshalFirst(head, &tag)
	if err != nil {
		return nil, nil, fmt.Errorf("read envelope: %w", classify(err, len(b) > limit))
	}
	raw := head[:len(head)-len(rest)]
	if tag.Number != sign1Tag {
		return nil, nil, fmt.Errorf("read envelope: tag %d: %w", tag.Number, ErrMalformed)
	}
	var env envelope
	if err := mode.Unmarshal(tag.Content, &env); err != nil {
		return nil, nil, fmt.Errorf("read envelope: %w: %w", ErrMalformed, err)
	}
	if err := env.check(raw); err != nil {
		return nil, nil, fmt.Errorf("read envelope: %w", err)
	}
	return &Statement{Payload: env.Payload, Envelope: raw}, b[len(raw):], nil
}

// check holds the envelope against the one form that is allowed.
func (e *envelope) check(raw []byte) error {
	if !bytes.Equal(e.Protected, protectedES256) {
		return algorithmError(e.Protected)
	}
	if !bytes.Equal(e.Unprotected, []byte{0xa0}) {
		return fmt.Errorf("unprotected header is not empty: %w", ErrNotCanonical)
	}
	switch len(e.Signature) {
	case SignatureSize:
	case 0:
		return ErrUnsigned
	default:
		return fmt.Errorf("signature of %d bytes: %w", len(e.Signature), ErrMalformed)
	}
	return sameAgain(cbor.Tag{Number: sign1Tag, Content: e}, raw, ErrNotCanonical)
}

// algorithmError tells another algorithm from a header that makes no sense.
func algorithmError(protected []byte) error {
	var h map[int64]any
	mode, err := decMode()
	if err != nil {
		return err
	}
	if err := mode.Unmarshal(protected, &h); err != nil {
		return fmt.Errorf("protected header: %w", ErrMalformed)
	}
	if alg, ok := h[1]; !ok || alg != int64(algES256) {
		return fmt.Errorf("algorithm %v: %w", h[1], ErrAlgorithm)
	}
	return fmt.Errorf("protected header: %w", ErrNotCanonical)
}

// Verify checks the signature. It returns ErrSignature if it is not the key's.
func (s *Statement) Verify(pub *ecdsa.PublicKey) error {
	verifier, err := cose.NewVerifier(cose.AlgorithmES256, pub)
	if err != nil {
		return fmt.Errorf("verify statement: %w", err)
	}
	var msg cose.Sign1Message
	if err := msg.UnmarshalCBOR(s.Envelope); err != nil {
		return fmt.Errorf("verify statement: %w: %w", ErrMalformed, err)
	}
	if err := msg.Verify(nil, verifier); err != nil {
		return fmt.Errorf("verify statement: %w", ErrSignature)
	}
	return nil
}

// Marshal encodes v in the deterministic form of RFC 8949, section 4.2.1.
func Marshal(v any) ([]byte, error) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, fmt.Errorf("set up CBOR: %w", err)
	}
	b, err := mode.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode CBOR: %w", err)
	}
	return b, nil
}

// Unmarshal decodes b into v, a pointer to a struct, and refuses whatever is
// not the deterministic encoding (ErrNotCanonical) of exactly what v can hold
// (ErrNotCanonical for an unknown field, ErrMalformed for a wrong type, ErrFields).
func Unmarshal(b []byte, v any) error {
	mode, err := decMode()
	if err != nil {
		return err
	}
	var whatever any
	if err := mode.Unmarshal(b, &whatever); err != nil {
		return fmt.Errorf("decode CBOR: %w", classify(err, false))
	}
	if err := sameAgain(whatever, b, ErrNotCanonical); err != nil {
		return err
	}
	if err := mode.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode CBOR: %w", classify(err, false))
	}
	return sameAgain(v, b, ErrFields)
}

// sameAgain encodes v and returns otherwise unless that gives b.
func sameAgain(v any, b []byte, otherwise error) error {
	again, err := Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return fmt.Errorf("decode CBOR: %w", otherwise)
	}
	return nil
}

// Label returns a payload's entry 0, which says what the payload is. It is empty
// where there is none.
func Label(payload []byte) string {
	var v struct {
		Label string `cbor:"0,keyasint"`
	}
	// Only entry 0 is looked at here; the rest is judged by whoever knows the label.
	if err := cbor.Unmarshal(payload, &v); err != nil {
		return ""
	}
	return v.Label
}

// decMode is the strict reading: small, shallow, no surprises.
func decMode() (cbor.DecMode, error) {
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   8,
		MaxArrayElements:  256,
		MaxMapPairs:       64,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		return nil, fmt.Errorf("set up CBOR: %w", err)
	}
	return mode, nil
}

// classify turns the CBOR library's errors into this package's. Cut says that
// more bytes were there than the limit let be read.
func classify(err error, cut bool) error {
	var unknown *cbor.UnknownFieldError
	var dup *cbor.DupMapKeyError
	var indef *cbor.IndefiniteLengthError
	short := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || isBeyondMemory(err)
	switch {
	case short && cut:
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	case short:
		return fmt.Errorf("%w: %w", ErrTruncated, err)
	case errors.As(err, &unknown), errors.As(err, &dup), errors.As(err, &indef):
		return fmt.Errorf("%w: %w", ErrNotCanonical, err)
	default:
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
}

// isBeyondMemory recognises a string that says it is longer than an int counts,
// which the library has no error of its own for. The bytes end before it does, on
// a 32-bit machine as on a 64-bit one.
func isBeyondMemory(err error) bool {
	return strings.Contains(err.Error(), "string length") && strings.Contains(err.Error(), "integer overflow")
}

// ParseKey reads a SubjectPublicKeyInfo in DER. Only ECDSA P-256 in its one
// usual encoding is taken, so that a key has one ID.
func ParseKey(spki []byte) (*ecdsa.PublicKey, error) {
	if len(spki) > 256 {
		return nil, fmt.Errorf("read public key of %d bytes: %w", len(spki), ErrKey)
	}
	k, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w: %w", ErrKey, err)
	}
	pub, ok := k.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, fmt.Errorf("read public key: %w", ErrKey)
	}
	again, err := SPKI(pub)
	if err != nil || !bytes.Equal(again, spki) {
		return nil, fmt.Errorf("read public key: not the usual encoding: %w", ErrKey)
	}
	return pub, nil
}

// SPKI is the key's SubjectPublicKeyInfo in DER, what its ID is the hash of.
func SPKI(pub crypto.PublicKey) ([]byte, error) {
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok || k.Curve != elliptic.P256() {
		return nil, fmt.Errorf("encode public key: %w", ErrKey)
	}
	b, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w: %w", ErrKey, err)
	}
	return b, nil
}
