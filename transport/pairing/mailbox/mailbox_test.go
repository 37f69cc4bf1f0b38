package mailbox_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/exchange"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
)

var _ exchange.Carrier = (*mailbox.Mailbox)(nil)

const meeting = "0123456789abcdef0123456789abcdef"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ask gives a camera's mailbox at a server that answers with h.
func ask(t *testing.T, h http.HandlerFunc) *mailbox.Mailbox {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	m, err := mailbox.New(mailbox.Options{URL: s.URL, Path: mailbox.DevicePath, Side: mailbox.SideCamera, Wait: 9 * time.Second})
	must(t, err)
	return m
}

func TestRequests(t *testing.T) {
	have := sha256.Sum256([]byte("have"))
	var asked []string
	m := ask(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		must(t, err)
		asked = append(asked, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+r.Header.Get("Content-Type")+" "+string(b)))
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, err = w.Write([]byte("offer"))
		must(t, err)
	})
	must(t, m.Put(t.Context(), meeting, []byte("hello")))
	for _, not := range [][]byte{nil, have[:]} {
		if got, err := m.Get(t.Context(), meeting, not); err != nil || string(got) != "offer" {
			t.Errorf("%q, %v", got, err)
		}
	}
	want := []string{
		"PUT /pair/" + meeting + "/camera application/octet-stream hello",
		"GET /pair/" + meeting + "/owner?wait=9",
		"GET /pair/" + meeting + "/owner?not=" + hex.EncodeToString(have[:]) + "&wait=9",
	}
	if strings.Join(asked, "\n") != strings.Join(want, "\n") {
		t.Errorf("it asks\n%s\nnot\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
	}
}

// Whatever a server answers ends in a message, nothing, or an error that says what it was.
func TestAnswers(t *testing.T) {
	reply := func(status int, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}
	}
	largest := bytes.Repeat([]byte{1}, pairing.MaxMessage)
	if got, err := ask(t, reply(http.StatusOK, largest)).Get(t.Context(), meeting, nil); err != nil || !bytes.Equal(got, largest) {
		t.Errorf("the largest message comes as %d bytes, %v", len(got), err)
	}
	if got, err := ask(t, reply(http.StatusNoContent, nil)).Get(t.Context(), meeting, nil); err != nil || got != nil {
		t.Errorf("nothing comes as %q, %v", got, err)
	}
	for _, body := range [][]byte{nil, append(largest, 1)} {
		if _, err := ask(t, reply(http.StatusOK, body)).Get(t.Context(), meeting, nil); !errors.Is(err, mailbox.ErrAnswer) {
			t.Errorf("a message of %d bytes: %v", len(body), err)
		}
	}
	for _, status := range []int{http.StatusFound, http.StatusTooManyRequests, http.StatusInternalServerError} {
		m := ask(t, reply(status, []byte("x")))
		_, err := m.Get(t.Context(), meeting, nil)
		for _, err := range []error{err, m.Put(t.Context(), meeting, []byte("x"))} {
			var e *mailbox.StatusError
			if !errors.As(err, &e) || e.Status != status || e.After != 7*time.Second {
				t.Errorf("status %d: %v", status, err)
			}
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := mailbox.Options{URL: "https://hub.example:8443", Path: mailbox.DevicePath, Side: mailbox.SideOwner}
	for name, spoil := range map[string]func(*mailbox.Options){
		"no URL":       func(o *mailbox.Options) { o.URL = "" },
		"another kind": func(o *mailbox.Options) { o.URL = "ftp://hub.example" },
		"a password":   func(o *mailbox.Options) { o.URL = "https://a:b@hub.example" },
		"no path":      func(o *mailbox.Options) { o.Path = "/" },
		"no side":      func(o *mailbox.Options) { o.Side = "hub" },
	} {
		o := good
		spoil(&o)
		if _, err := mailbox.New(o); err == nil {
			t.Errorf("%s: a mailbox", name)
		}
	}
	m, err := mailbox.New(good)
	must(t, err)
	for _, at := range []string{"", strings.ToUpper(meeting), meeting + "0", strings.Repeat(".", 32)} {
		if err := m.Put(t.Context(), at, []byte("x")); err == nil {
			t.Errorf("a message is put at %q", at)
		}
	}
}

// authority is a CA certificate of a key, PEM, and the key's ID.
func authority(t testing.TB, isCA bool) ([]byte, seal.ID) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub"}, IsCA: isCA, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	must(t, err)
	id, err := seal.IDOf(k.Public())
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), id
}

func TestCheckCA(t *testing.T) {
	ca, id := authority(t, true)
	other, _ := authority(t, true)
	leaf, leafID := authority(t, false)
	if got, err := mailbox.CheckCA(append([]byte("some text\n"), ca...), id); err != nil || !bytes.Equal(got, ca) {
		t.Errorf("the hub's own: %q, %v", got, err)
	}
	for name, c := range map[string]struct {
		pem  []byte
		id   seal.ID
		want error
	}{
		"another's":   {other, id, mailbox.ErrWrongHub},
		"two":         {append(bytes.Clone(ca), other...), id, mailbox.ErrAnswer},
		"no CA":       {leaf, leafID, mailbox.ErrAnswer},
		"not PEM":     {[]byte("x"), id, mailbox.ErrAnswer},
		"nothing":     {nil, id, mailbox.ErrAnswer},
		"another PEM": {bytes.ReplaceAll(ca, []byte("CERTIFICATE"), []byte("PUBLIC KEY")), id, mailbox.ErrAnswer},
	} {
		if got, err := mailbox.CheckCA(c.pem, c.id); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// A server that is not the hub's, or gives too much, is refused; so is what is no address.
func TestFetchCA(t *testing.T) {
	ca, id := authority(t, true)
	for _, body := range [][]byte{ca, bytes.Repeat([]byte("x"), 64<<10)} {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/ca" {
				t.Errorf("it asks for %s", r.URL)
			}
			_, _ = w.Write(body)
		}))
		defer s.Close()
		address := strings.TrimPrefix(s.URL, "https://")
		got, err := mailbox.FetchCA(t.Context(), nil, address, id)
		if good := bytes.Equal(body, ca); good != (err == nil) || good && !bytes.Equal(got, ca) {
			t.Errorf("%d bytes: %v", len(body), err)
		}
		// With a CA that is known, a server that it does not vouch for is asked nothing.
		if _, err := mailbox.FetchWhere(t.Context(), nil, address, ca); err == nil {
			t.Error("a server of another CA is believed")
		}
	}
	never := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("dialled") }
	for _, address := range []string{"", "hub", "hub:0", ":1", "hub:x", strings.Repeat("a", 300) + ":1"} {
		if _, err := mailbox.FetchCA(t.Context(), never, address, id); err == nil || strings.Contains(err.Error(), "dialled") {
			t.Errorf("%.20q: %v", address, err)
		}
	}
}

func FuzzCheckCA(f *testing.F) {
	ca, id := authority(f, true)
	f.Add(ca)
	f.Add(ca[:len(ca)-10])
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := mailbox.CheckCA(b, id); err == nil && !bytes.Equal(got, ca) {
			// The key is nobody else's: another certificate of it cannot be made.
			t.Fatalf("%q is taken for the hub's certificate", b)
		}
	})
}
