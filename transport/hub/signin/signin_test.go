package signin

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

func sign(t testing.TB) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Sign(k, seal.ID{1}, seal.ID{2}, Nonce{3})
	if err != nil {
		t.Fatal(err)
	}
	return k, b
}

func TestSignAndVerify(t *testing.T) {
	k, b := sign(t)
	s, err := Verify(b)
	if err != nil {
		t.Fatal(err)
	}
	if s.Owner != (seal.ID{1}) || s.Hub != (seal.ID{2}) || s.Nonce != (Nonce{3}) || !s.Viewer.Equal(&k.PublicKey) {
		t.Errorf("read as %+v", s)
	}
	if len(b) > MaxStatement {
		t.Errorf("%d bytes, more than the limit", len(b))
	}
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	_, b := sign(t)
	for i := range 8 * len(b) {
		bad := bytes.Clone(b)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := Verify(bad); err == nil {
			t.Errorf("bit %d flipped, and it verifies", i)
		}
	}
	for n := range len(b) {
		if _, err := Verify(b[:n]); err == nil {
			t.Errorf("%d of %d bytes verify", n, len(b))
		}
	}
	if _, err := Verify(append(b, 0)); !errors.Is(err, statement.ErrMalformed) {
		t.Errorf("with a byte too many: %v", err)
	}
}

func TestOtherStatementsAreNotSignIns(t *testing.T) {
	k, _ := sign(t)
	spki, err := statement.SPKI(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	ok := wire{Label: Label, Owner: make([]byte, 32), Viewer: spki, Nonce: make([]byte, 32), Hub: make([]byte, 32)}
	for name, change := range map[string]func(*wire){
		"another label":   func(w *wire) { w.Label = "lensward/item/1" },
		"another version": func(w *wire) { w.Label = "lensward/signin/2" },
		"a short owner":   func(w *wire) { w.Owner = w.Owner[1:] },
		"a long nonce":    func(w *wire) { w.Nonce = append(w.Nonce, 0) },
		"no hub":          func(w *wire) { w.Hub = nil },
		"no key":          func(w *wire) { w.Viewer = []byte{1} },
	} {
		w := ok
		w.Nonce, w.Owner = bytes.Clone(w.Nonce), bytes.Clone(w.Owner)
		change(&w)
		b, err := statement.Sign(k, w)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(b); err == nil {
			t.Errorf("%s: it verifies", name)
		}
	}
	if b, err := statement.Sign(k, ok); err != nil {
		t.Fatal(err)
	} else if _, err := Verify(b); err != nil {
		t.Errorf("the unchanged one: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	_, b := sign(f)
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add([]byte{0xd2, 0x84, 0x43, 0xa1, 0x01, 0x26, 0xa0, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Verify(b)
		if err == nil && (s.Viewer == nil || len(b) > MaxStatement) {
			t.Fatalf("accepted %+v from %d bytes", s, len(b))
		}
	})
}
