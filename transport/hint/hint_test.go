package hint_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
	"github.com/lensward/lensward/transport/vectortest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// issuer is a hub's CA key.
type issuer struct {
	*ecdsa.PrivateKey
	id seal.ID
}

func newIssuer(t testing.TB) issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	id, err := seal.IDOf(key.Public())
	must(t, err)
	return issuer{key, id}
}

func (i issuer) spki(t testing.TB) []byte {
	t.Helper()
	b, err := statement.SPKI(i.Public())
	must(t, err)
	return b
}

// plausible is a hint as a hub of 100,000 devices would give it.
func plausible(serial uint64) hint.Statement {
	issued := time.Unix(1_771_000_000, 0).UTC()
	return hint.Statement{
		Serial: serial, Issued: issued, Expires: issued.Add(time.Hour),
		Hint: recovery.Hint{Serial: serial, Window: 217391 * time.Millisecond, Current: 2 * time.Second, Drain: 0.125},
	}
}

func (i issuer) sign(t testing.TB, s hint.Statement) []byte {
	t.Helper()
	b, err := hint.Sign(i, s)
	must(t, err)
	return b
}

func TestSignAndVerify(t *testing.T) {
	i := newIssuer(t)
	want := plausible(7)
	want.Hub = i.id
	got, err := hint.Verify(i.sign(t, want), i.id)
	must(t, err)
	if *got != want {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

// A hub cannot sign what no device would take.
func TestSignRefuses(t *testing.T) {
	i := newIssuer(t)
	for name, change := range map[string]func(*hint.Statement){
		"no serial":          func(s *hint.Statement) { s.Serial = 0 },
		"a serial of 2^53":   func(s *hint.Statement) { s.Serial = 1 << 53 },
		"before 1970":        func(s *hint.Statement) { s.Issued = time.Unix(-1, 0) },
		"over when it began": func(s *hint.Statement) { s.Expires = s.Issued },
	} {
		s := plausible(1)
		change(&s)
		if _, err := hint.Sign(i, s); !errors.Is(err, hint.ErrField) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	if _, err := hint.Sign(other, plausible(1)); !errors.Is(err, statement.ErrKey) {
		t.Errorf("with another curve: %v", err)
	}
}

// Every change of one byte is noticed, whatever the byte says.
func TestEveryByteCounts(t *testing.T) {
	i := newIssuer(t)
	b := i.sign(t, plausible(7))
	for at := range b {
		changed := bytes.Clone(b)
		changed[at] ^= 1
		if _, err := hint.Verify(changed, i.id); err == nil {
			t.Errorf("byte %d was changed, and nobody noticed", at)
		}
	}
}

func FuzzVerify(f *testing.F) {
	keys := readKeys(f)
	for _, v := range vectortest.Read[vector](f, vectorDir) {
		b, err := base64.RawURLEncoding.DecodeString(v.Hint)
		must(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := hint.Verify(b, keys.id)
		if (s == nil) == (err == nil) {
			t.Fatalf("%v and %v", s, err)
		}
		if err != nil {
			if reasonOf(err) == "" {
				t.Errorf("refused without a reason: %v", err)
			}
			return
		}
		again, err := hint.Verify(keys.sign(t, *s), keys.id)
		must(t, err)
		if *again != *s || s.Hint != s.Hint.Clamp() || s.Hub != keys.id {
			t.Errorf("%+v was read, %+v after signing it again", s, again)
		}
	})
}
