package pairing_test

import (
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/statement"
)

// forger makes messages as docs/ref/pairing.md has them, by code of its own: what it
// makes of a code that it saw is a check of the specification, and what it makes of one
// that it did not see is a forgery.
type forger struct {
	start, camera, owner []byte
}

// forge derives what follows from a code.
func forge(t testing.TB, text string) forger {
	t.Helper()
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimPrefix(text, "LENSWARD1:"))
	must(t, err)
	var code struct {
		Secret []byte `cbor:"2,keyasint"`
	}
	must(t, cbor.Unmarshal(raw, &code))
	salt := sha256.Sum256([]byte(text))
	key := func(name string) []byte {
		k, err := hkdf.Key(sha256.New, code.Secret, salt[:], "lensward/pairing/1 "+name, 32)
		must(t, err)
		return k
	}
	return forger{key("transcript"), key("camera"), key("owner")}
}

// seal signs a CBOR map and authenticates it.
func (f forger) seal(t testing.TB, signer crypto.Signer, key []byte, v map[uint64]any) []byte {
	t.Helper()
	envelope, err := statement.Sign(signer, v)
	must(t, err)
	h := hmac.New(sha256.New, key)
	h.Write(envelope)
	return h.Sum(envelope)
}

// after is the transcript after some messages.
func (f forger) after(msgs ...[]byte) []byte {
	sum := f.start
	for _, m := range msgs {
		h := sha256.Sum256(append(append([]byte(nil), sum...), m...))
		sum = h[:]
	}
	return sum
}

func (f forger) hello(t testing.TB, device crypto.Signer) []byte {
	return f.seal(t, device, f.camera, f.helloMap(t, device))
}

func (f forger) helloMap(t testing.TB, device crypto.Signer) map[uint64]any {
	return map[uint64]any{
		0: "lensward/pairing-hello/1", 1: f.start, 2: spki(t, device), 3: make([]byte, 16), 4: 1, 5: "1.0", 6: 1,
	}
}

func (f forger) offer(t testing.TB, root crypto.Signer, transcript, record []byte) []byte {
	return f.seal(t, root, f.owner, map[uint64]any{0: "lensward/pairing-offer/1", 1: transcript, 2: record})
}

func (f forger) accept(t testing.TB, device crypto.Signer, transcript, ownership []byte) []byte {
	return f.seal(t, device, f.camera, map[uint64]any{0: "lensward/pairing-accept/1", 1: transcript, 2: ownership})
}

func (f forger) done(t testing.TB, root crypto.Signer, transcript []byte) []byte {
	return f.seal(t, root, f.owner, map[uint64]any{0: "lensward/pairing-done/1", 1: transcript})
}

// abort is signed by signer, in the name of whose key this is, by the side with this MAC
// key.
func (f forger) abort(t testing.TB, signer, name crypto.Signer, key, transcript []byte, why pairing.Reason) []byte {
	return f.seal(t, signer, key, map[uint64]any{
		0: "lensward/pairing-abort/1", 1: transcript, 2: spki(t, name), 3: string(why),
	})
}
