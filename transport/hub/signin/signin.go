// Package signin is the statement by which a viewer signs in to a hub: no
// account and no password, a key's signature over the hub's challenge.
//
// It owns the statement's form (docs/ref/hub-protocol.md, "Signing in"), for the
// viewer that makes it and the hub that reads it. It never decides who may see
// what: the hub does, by ownership records.
package signin

import (
	"crypto"
	"crypto/ecdsa"
	"fmt"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// Label is entry 0 of the statement.
const Label = "lensward/signin/1"

// MaxStatement bounds a statement, in bytes.
const MaxStatement = 1 << 10

// Nonce is the hub's challenge.
type Nonce [32]byte

// Statement is what a viewer says: I am this viewer of this owner, here and now.
type Statement struct {
	Owner seal.ID
	// Viewer is the viewer's public key. Sign takes it from the signing key.
	Viewer *ecdsa.PublicKey
	Nonce  Nonce
	Hub    seal.ID
}

// wire is the statement's CBOR map.
type wire struct {
	Label  string `cbor:"0,keyasint"`
	Owner  []byte `cbor:"1,keyasint"`
	Viewer []byte `cbor:"2,keyasint"`
	Nonce  []byte `cbor:"3,keyasint"`
	Hub    []byte `cbor:"4,keyasint"`
}

// Sign makes the statement of the viewer with this key, ECDSA P-256.
func Sign(key crypto.Signer, owner, hub seal.ID, nonce Nonce) ([]byte, error) {
	spki, err := statement.SPKI(key.Public())
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	b, err := statement.Sign(key, wire{
		Label: Label, Owner: owner[:], Viewer: spki, Nonce: nonce[:], Hub: hub[:],
	})
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	return b, nil
}

// Verify reads a statement and checks that the key which it names signed it.
// Whether the nonce, the hub and the viewer are the right ones is for the caller.
func Verify(b []byte) (Statement, error) {
	st, rest, err := statement.Parse(b, MaxStatement)
	if err != nil {
		return Statement{}, fmt.Errorf("sign-in statement: %w", err)
	}
	if len(rest) != 0 {
		return Statement{}, fmt.Errorf("sign-in statement: %d bytes after its end: %w", len(rest), statement.ErrMalformed)
	}
	var w wire
	if err := statement.Unmarshal(st.Payload, &w); err != nil {
		return Statement{}, fmt.Errorf("sign-in statement: %w", err)
	}
	if w.Label != Label {
		return Statement{}, fmt.Errorf("sign-in statement: label %.32q: %w", w.Label, statement.ErrMalformed)
	}
	var s Statement
	if len(w.Owner) != len(s.Owner) || len(w.Nonce) != len(s.Nonce) || len(w.Hub) != len(s.Hub) {
		return Statement{}, fmt.Errorf("sign-in statement: an entry is not 32 bytes: %w", statement.ErrMalformed)
	}
	copy(s.Owner[:], w.Owner)
	copy(s.Nonce[:], w.Nonce)
	copy(s.Hub[:], w.Hub)
	if s.Viewer, err = statement.ParseKey(w.Viewer); err != nil {
		return Statement{}, fmt.Errorf("sign-in statement: %w", err)
	}
	if err := st.Verify(s.Viewer); err != nil {
		return Statement{}, fmt.Errorf("sign-in statement: %w", err)
	}
	return s, nil
}
