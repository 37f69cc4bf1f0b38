package hint_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
	"github.com/lensward/lensward/transport/vectortest"
)

var update = flag.Bool("update", false, "make the test vectors anew, with new keys")

const (
	vectorDir = "testdata/vectors"
	keyFile   = "testdata/hub-key.txt" // of the vectors' hub, which has no other use
)

// vector is one file: a hint, and what a device of a hub makes of it.
type vector struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// Hint is the bytes, base64url; Hub the ID that the device is configured with.
	Hint string  `json:"hint"`
	Hub  seal.ID `json:"hub"`
	// Expect is "ok" or the reason.
	Expect string `json:"expect"`
	// What a good one says after clamping.
	Serial  uint64 `json:"serial,omitempty"`
	Issued  int64  `json:"issued,omitempty"`
	Expires int64  `json:"expires,omitempty"`
	Window  int64  `json:"window_ms,omitempty"`
	Current int64  `json:"current_ms,omitempty"`
	Drain   int64  `json:"drain_millis,omitempty"`
}

// reasonOf is docs/ref/hint.md's word for an error, "" if there is none.
func reasonOf(err error) string {
	for _, r := range []struct {
		is   error
		word string
	}{
		{hint.ErrLabel, "unknown-version"}, {hint.ErrField, "bad-field"}, {hint.ErrHub, "wrong-hub"},
	} {
		if errors.Is(err, r.is) {
			return r.word
		}
	}
	return statement.Reason(err)
}

func TestVectors(t *testing.T) {
	if *update {
		makeVectors(t)
	}
	good, bad := 0, 0
	for _, v := range vectortest.Read[vector](t, vectorDir) {
		t.Run(v.Name, func(t *testing.T) { v.run(t) })
		if v.Expect == "ok" {
			good++
		} else {
			bad++
		}
	}
	if good < 5 || bad < 25 {
		t.Errorf("%d good and %d bad vectors, want at least 5 and 25", good, bad)
	}
}

func (v vector) run(t *testing.T) {
	b, err := base64.RawURLEncoding.DecodeString(v.Hint)
	must(t, err)
	s, err := hint.Verify(b, v.Hub)
	if v.Expect != "ok" {
		if got := reasonOf(err); got != v.Expect {
			t.Fatalf("got %q (%v), want %q", got, err, v.Expect)
		}
		return
	}
	must(t, err)
	if said := v.said(s); said != v {
		t.Errorf("read as %+v", said)
	}
}

// said is the vector with what a statement says.
func (v vector) said(s *hint.Statement) vector {
	v.Hub, v.Serial, v.Issued, v.Expires = s.Hub, s.Hint.Serial, s.Issued.Unix(), s.Expires.Unix()
	v.Window, v.Current, v.Drain = s.Hint.Window.Milliseconds(), s.Hint.Current.Milliseconds(), int64(s.Hint.Drain*1000+0.5)
	return v
}

// readKeys is the vectors' hub.
func readKeys(t testing.TB) issuer {
	t.Helper()
	text, err := os.ReadFile(keyFile)
	must(t, err)
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	must(t, err)
	key, err := x509.ParsePKCS8PrivateKey(der)
	must(t, err)
	id, err := seal.IDOf(key.(*ecdsa.PrivateKey).Public())
	must(t, err)
	return issuer{key.(*ecdsa.PrivateKey), id}
}
