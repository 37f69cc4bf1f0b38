package enrol

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// fleet is a hub's enrolment.
type fleet struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	// change spoils what is issued.
	change func(*x509.Certificate)
}

func newFleet(t testing.TB) *fleet {
	f := &fleet{t: t, key: newKey(t)}
	f.cert = f.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "fleet"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, f.key.Public())
	return f
}

func (f *fleet) sign(template *x509.Certificate, pub crypto.PublicKey) *x509.Certificate {
	f.t.Helper()
	template.SerialNumber = big.NewInt(1)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent := f.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fleet) issue(request []byte) []byte {
	f.t.Helper()
	block, _ := pem.Decode(request)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		f.t.Fatalf("request: %v", err)
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: csr.Subject.CommonName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	template.PublicKey = csr.PublicKey
	if f.change != nil {
		f.change(template)
	}
	return chainOf(f.sign(template, template.PublicKey), f.cert)
}

func chainOf(certs ...*x509.Certificate) (out []byte) {
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// hub serves the fleet's enrolment, or something else, and gives the options for it.
func hub(t *testing.T, f *fleet, answer http.HandlerFunc) Options {
	t.Helper()
	s := httptest.NewTLSServer(answer)
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	pool.AddCert(f.cert)
	dir, err := durable.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return Options{URL: s.URL, TLS: &tls.Config{RootCAs: pool}, Key: newKey(t), Dir: dir, Token: "open sesame"}
}

func TestEnrol(t *testing.T) {
	f := newFleet(t)
	asked := 0
	o := hub(t, f, func(w http.ResponseWriter, r *http.Request) {
		asked++
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/enrol" || r.Header.Get("Authorization") != "Bearer open sesame" || len(body) > 8<<10 {
			t.Errorf("%s %s, %v, %d bytes: %v", r.Method, r.URL, r.Header, len(body), err)
		}
		_, _ = w.Write(f.issue(body))
	})
	if _, err := Load(o.Dir, o.Key); !errors.Is(err, ErrNone) {
		t.Fatalf("before: %v", err)
	}
	cert, err := LoadOrEnrol(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	id, err := seal.IDOf(o.Key.Public())
	if err != nil || cert.Leaf.Subject.CommonName != id.String() || len(cert.Certificate) != 2 || cert.PrivateKey != o.Key {
		t.Errorf("certificate %+v, %v", cert.Leaf.Subject, err)
	}
	again, err := LoadOrEnrol(t.Context(), o)
	if err != nil || !bytes.Equal(again.Certificate[0], cert.Certificate[0]) || asked != 1 {
		t.Errorf("again: %v, the hub was asked %d times", err, asked)
	}

	// Another key, or a file that is broken or too large: enrolled again.
	o.Key = newKey(t)
	for i, spoil := range []func() error{
		func() error { return nil },
		func() error { return os.WriteFile(o.Dir.Path(fileName), []byte("rubbish"), 0o600) },
		func() error { return os.WriteFile(o.Dir.Path(fileName), make([]byte, maxChain+1), 0o600) },
		func() error { return os.WriteFile(o.Dir.Path(fileName), nil, 0o600) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(o.Dir, o.Key); !errors.Is(err, ErrChain) {
			t.Errorf("spoilt %d: %v", i, err)
		}
		if _, err := LoadOrEnrol(t.Context(), o); err != nil || asked != i+2 {
			t.Errorf("spoilt %d: %v, asked %d times", i, err, asked)
		}
	}
}

// What a hub may issue in place of the device's certificate: it is not kept, and what was
// kept stays.
func TestBadCertificates(t *testing.T) {
	f, other := newFleet(t), newFleet(t)
	for name, issue := range map[string]func(request []byte) []byte{
		"of another fleet": other.issue,
		"for another key": func(request []byte) []byte {
			defer func() { f.change = nil }()
			f.change = func(c *x509.Certificate) { c.PublicKey = newKey(t).Public() }
			return f.issue(request)
		},
		"in another name": func(request []byte) []byte {
			defer func() { f.change = nil }()
			f.change = func(c *x509.Certificate) { c.Subject.CommonName = "admin" }
			return f.issue(request)
		},
		"for servers": func(request []byte) []byte {
			defer func() { f.change = nil }()
			f.change = func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
			return f.issue(request)
		},
		"expired": func(request []byte) []byte {
			defer func() { f.change = nil }()
			f.change = func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
			}
			return f.issue(request)
		},
		"nothing":    func([]byte) []byte { return nil },
		"rubbish":    func([]byte) []byte { return []byte("rubbish") },
		"a request":  func(request []byte) []byte { return request },
		"a flood":    func([]byte) []byte { return bytes.Repeat([]byte("x"), 10<<20) },
		"many":       func(request []byte) []byte { return bytes.Repeat(f.issue(request), 8) },
		"with junk":  func(request []byte) []byte { return append(f.issue(request), "junk"...) },
		"the CA's":   func([]byte) []byte { return chainOf(f.cert) },
		"broken DER": func([]byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}) },
	} {
		t.Run(name, func(t *testing.T) {
			o := hub(t, f, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				_, _ = w.Write(issue(body)) // cut short for the flood
			})
			if err := o.Dir.WriteFile(fileName, []byte("kept"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Enrol(t.Context(), o); !errors.Is(err, ErrChain) {
				t.Errorf("got %v", err)
			}
			if kept, err := o.Dir.ReadFile(fileName, maxChain); err != nil || string(kept) != "kept" {
				t.Errorf("kept is %q, %v", kept, err)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	f := newFleet(t)
	for code, after := range map[int]string{400: "", 401: "", 429: "5", 503: "99999999", 302: "x", 500: "-1", 204: ""} {
		o := hub(t, f, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", after)
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, strings.Repeat("no\x00 ", 1000))
		})
		_, err := LoadOrEnrol(t.Context(), o)
		var status *StatusError
		if !errors.As(err, &status) || status.Code != code || len(status.Detail) > maxDetail || strings.Contains(status.Detail, "\x00") {
			t.Fatalf("%d: %v", code, err)
		}
		if want := map[int]time.Duration{429: 5 * time.Second, 503: maxRetryAfter}[code]; status.RetryAfter != want {
			t.Errorf("%d: retry after %v, want %v", code, status.RetryAfter, want)
		}
		if recovery.Classify(err) != recovery.Refused {
			t.Errorf("%d counts as %v", code, recovery.Classify(err))
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v", err, o, o), "sesame") {
			t.Error("the token shows")
		}
	}
}

// The disk fails before the rename or after it: in both cases the call says so, and what
// is kept is the old or the new, whole.
func TestDiskFaults(t *testing.T) {
	f := newFleet(t)
	fault := errors.New("input/output error")
	o := hub(t, f, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(f.issue(body))
	})
	for cut := 1; ; cut++ {
		path := t.TempDir()
		step := 0
		dir, err := durable.Open(path, durable.WithHook(func(durable.Step) error {
			if step++; step == cut {
				return fault
			}
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		o.Dir = dir
		_, err = Enrol(t.Context(), o)
		if step < cut {
			if cut < 5 || err != nil {
				t.Errorf("only %d steps, %v", step, err)
			}
			return
		}
		if !errors.Is(err, fault) {
			t.Errorf("fault at step %d: %v", cut, err)
		}
		o.Dir, err = durable.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Load(o.Dir, o.Key); err != nil && !errors.Is(err, ErrNone) {
			t.Errorf("fault at step %d left %v", cut, err)
		}
	}
}

func TestOptions(t *testing.T) {
	f := newFleet(t)
	o := hub(t, f, func(http.ResponseWriter, *http.Request) { t.Error("the hub was asked") })
	for name, change := range map[string]func(*Options){
		"no authority": func(o *Options) { o.TLS = &tls.Config{} },
		"plain HTTP":   func(o *Options) { o.URL = strings.Replace(o.URL, "https", "http", 1) },
		"no URL":       func(o *Options) { o.URL = "" },
	} {
		o := o
		change(&o)
		if _, err := Enrol(t.Context(), o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Enrol(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is done: %v", err)
	}
}

// A chain that parses is this key's, whatever it came from.
func FuzzParse(f *testing.F) {
	fl := newFleet(f)
	key := newKey(f)
	request, err := Request(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(fl.issue(request))
	f.Add(request)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cert, err := parse(data, key)
		if err != nil {
			if !errors.Is(err, ErrChain) {
				t.Fatalf("got %v", err)
			}
			return
		}
		if !key.PublicKey.Equal(cert.Leaf.PublicKey) || len(cert.Certificate) > maxCertificates || len(data) > maxChain {
			t.Fatalf("accepted %q", data)
		}
	})
}
