package statement_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/lensward/lensward/transport/statement"
)

// saying is a statement with a field that may be left out.
type saying struct {
	Label string `cbor:"0,keyasint"`
	Count uint64 `cbor:"1,keyasint"`
	Note  string `cbor:"2,keyasint,omitempty"`
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSignParseVerify(t *testing.T) {
	key := newKey(t)
	b, err := statement.Sign(key, saying{Label: "x/1", Count: 7})
	if err != nil {
		t.Fatal(err)
	}
	st, rest, err := statement.Parse(append(bytes.Clone(b), "rest"...), 1<<10)
	if err != nil || string(rest) != "rest" || statement.Label(st.Payload) != "x/1" {
		t.Fatalf("read %q, then %q: %v", st.Payload, rest, err)
	}
	if err := st.Verify(&key.PublicKey); err != nil {
		t.Error(err)
	}
	if err := st.Verify(&newKey(t).PublicKey); !errors.Is(err, statement.ErrSignature) {
		t.Errorf("another key's signature verifies: %v", err)
	}
	var s saying
	if err := statement.Unmarshal(st.Payload, &s); err != nil || s.Count != 7 {
		t.Errorf("read %+v, %v", s, err)
	}
}

func TestParseKeepsItsLimit(t *testing.T) {
	b, err := statement.Sign(newKey(t), saying{Label: "x/1", Note: string(make([]byte, 200))})
	if err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int]error{len(b): nil, len(b) - 1: statement.ErrTooLarge, 10: statement.ErrTooLarge} {
		if _, _, err := statement.Parse(b, limit); !errors.Is(err, want) {
			t.Errorf("limit %d of %d bytes: %v", limit, len(b), err)
		}
	}
	if _, _, err := statement.Parse(b[:len(b)-1], len(b)); !errors.Is(err, statement.ErrTruncated) {
		t.Errorf("cut: %v", err)
	}
}

func TestUnmarshalTakesOneEncoding(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"good":               {[]byte{0xa2, 0, 0x61, 'x', 1, 5}, nil},
		"long integer":       {[]byte{0xa2, 0, 0x61, 'x', 1, 0x18, 5}, statement.ErrNotCanonical},
		"keys out of order":  {[]byte{0xa2, 1, 5, 0, 0x61, 'x'}, statement.ErrNotCanonical},
		"repeated key":       {[]byte{0xa3, 0, 0x61, 'x', 1, 5, 1, 5}, statement.ErrNotCanonical},
		"indefinite map":     {[]byte{0xbf, 0, 0x61, 'x', 1, 5, 0xff}, statement.ErrNotCanonical},
		"unknown key":        {[]byte{0xa3, 0, 0x61, 'x', 1, 5, 9, 0}, statement.ErrNotCanonical},
		"missing key":        {[]byte{0xa1, 0, 0x61, 'x'}, statement.ErrFields},
		"empty, not omitted": {[]byte{0xa3, 0, 0x61, 'x', 1, 5, 2, 0x60}, statement.ErrFields},
		"wrong type":         {[]byte{0xa2, 0, 0x61, 'x', 1, 0x61, 'y'}, statement.ErrMalformed},
		"negative":           {[]byte{0xa2, 0, 0x61, 'x', 1, 0x20}, statement.ErrMalformed},
		"no map":             {[]byte{0x80}, statement.ErrMalformed},
		"invalid UTF-8":      {[]byte{0xa2, 0, 0x61, 0xff, 1, 5}, statement.ErrMalformed},
		"nothing":            {nil, statement.ErrTruncated},
	} {
		var s saying
		if err := statement.Unmarshal(c.b, &s); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestOnlyP256Signs(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := statement.Sign(p384, saying{}); !errors.Is(err, statement.ErrKey) {
		t.Errorf("P-384 signed: %v", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(p384.Public())
	if err != nil {
		t.Fatal(err)
	}
	good, err := statement.SPKI(newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"P-384": spki, "longer": append(bytes.Clone(good), 0), "cut": good[:80], "nothing": nil, "huge": make([]byte, 300)} {
		if _, err := statement.ParseKey(b); !errors.Is(err, statement.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	b, err := statement.Sign(newKey(f), saying{Label: "x/1", Count: 7})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		st, rest, err := statement.Parse(b, 1<<10)
		if err == nil && !bytes.Equal(append(bytes.Clone(st.Envelope), rest...), b) {
			t.Fatal("read and put together again, it is something else")
		}
		var s saying
		if err == nil && statement.Unmarshal(st.Payload, &s) == nil {
			again, err := statement.Marshal(s)
			if err != nil || !bytes.Equal(again, st.Payload) {
				t.Fatalf("%x reads as %+v", st.Payload, s)
			}
		}
	})
}
