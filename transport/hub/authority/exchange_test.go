package authority

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/enrol"
)

// said is one message of a device's and what the hub answered.
type said struct {
	path   string
	header http.Header
	body   []byte
	reply  *httptest.ResponseRecorder
}

// courier stands between a device and its hub, and has the hub's own key: it is the hub
// that lies. From anybody else TLS keeps the messages.
type courier struct {
	mu    sync.Mutex
	hub   http.Handler
	heard []said
	at    int // which message of a conversation is tampered with; -1 for none
	fault fault
	// other is another device's conversation, and record its ownership record.
	other  []said
	record []byte
}

// fault is one thing that is done to a message.
type fault struct {
	name string
	do   func(c *courier, w http.ResponseWriter, r *http.Request, body []byte)
}

func (c *courier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(c.heard) == c.at {
		c.heard = append(c.heard, said{path: r.URL.Path, body: body, reply: httptest.NewRecorder()})
		c.fault.do(c, w, r, body)
		return
	}
	rec := c.ask(r, r.URL.Path, r.Header, body)
	c.heard = append(c.heard, said{r.URL.Path, r.Header.Clone(), body, rec})
	give(w, rec)
}

// ask has the hub answer, with the TLS connection of r.
func (c *courier) ask(r *http.Request, path string, header http.Header, body []byte) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(r.Context(), http.MethodPost, path, bytes.NewReader(body))
	req.Header, req.TLS = header.Clone(), r.TLS
	rec := httptest.NewRecorder()
	c.hub.ServeHTTP(rec, req)
	return rec
}

func give(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// begin takes in the next conversation, which is tampered with at one message.
func (c *courier) begin(at int, f fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard, c.at, c.fault = nil, at, f
}

func (c *courier) end() []said {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard
}

// of is the other device's message on the same path.
func (c *courier) of(path string) said {
	i := slices.IndexFunc(c.other, func(s said) bool { return s.path == path })
	return c.other[i]
}

// blocks changes the PEM blocks of a message.
func blocks(body []byte, change func(*pem.Block) *pem.Block) (out []byte) {
	for rest := body; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return out
		}
		if b = change(b); b != nil {
			out = append(out, pem.EncodeToMemory(b)...)
		}
	}
}

// faults are what can be done to one message, its answer, or both.
func faults(foreign *Authority) []fault {
	request := func(name string, change func(c *courier, r *http.Request, b []byte) []byte) fault {
		return fault{name, func(c *courier, w http.ResponseWriter, r *http.Request, b []byte) {
			give(w, c.ask(r, r.URL.Path, r.Header, change(c, r, b)))
		}}
	}
	answer := func(name string, status int, text func(c *courier, r *http.Request, b []byte, good []byte) []byte) fault {
		return fault{name, func(c *courier, w http.ResponseWriter, r *http.Request, b []byte) {
			good := c.ask(r, r.URL.Path, r.Header, b).Body.Bytes()
			w.WriteHeader(status)
			_, _ = w.Write(text(c, r, b, good))
		}}
	}
	record := func(typ string, to func(c *courier) *pem.Block) func(*courier, *http.Request, []byte) []byte {
		return func(c *courier, _ *http.Request, b []byte) []byte {
			return blocks(b, func(p *pem.Block) *pem.Block {
				if p.Type == typ {
					return to(c)
				}
				return p
			})
		}
	}
	gone := func(*courier) *pem.Block { return nil }
	all := []fault{
		{"request dropped", func(*courier, http.ResponseWriter, *http.Request, []byte) { panic(http.ErrAbortHandler) }},
		{"answer dropped", func(c *courier, _ http.ResponseWriter, r *http.Request, b []byte) {
			c.ask(r, r.URL.Path, r.Header, b)
			panic(http.ErrAbortHandler)
		}},
		{"request repeated, second answer", func(c *courier, w http.ResponseWriter, r *http.Request, b []byte) {
			c.ask(r, r.URL.Path, r.Header, b)
			give(w, c.ask(r, r.URL.Path, r.Header, b))
		}},
		{"request repeated, first answer", func(c *courier, w http.ResponseWriter, r *http.Request, b []byte) {
			first := c.ask(r, r.URL.Path, r.Header, b)
			c.ask(r, r.URL.Path, r.Header, b)
			give(w, first)
		}},
		{"token taken off", func(c *courier, w http.ResponseWriter, r *http.Request, b []byte) {
			give(w, c.ask(r, r.URL.Path, http.Header{}, b))
		}},
		request("another device's request", func(c *courier, r *http.Request, _ []byte) []byte { return c.of(r.URL.Path).body }),
		{"the token used for another device first", func(c *courier, w http.ResponseWriter, r *http.Request, b []byte) {
			c.ask(r, r.URL.Path, r.Header, c.of(r.URL.Path).body)
			give(w, c.ask(r, r.URL.Path, r.Header, b))
		}},
		request("nothing", func(*courier, *http.Request, []byte) []byte { return nil }),
		request("record taken off", record("LENSWARD OWNERSHIP RECORD", gone)),
		request("another device's record", record("LENSWARD OWNERSHIP RECORD", func(c *courier) *pem.Block {
			return &pem.Block{Type: "LENSWARD OWNERSHIP RECORD", Bytes: c.record}
		})),
		request("proof taken off", record("LENSWARD ATTESTATION ANSWER", gone)),
		request("another proof", record("LENSWARD ATTESTATION ANSWER", func(*courier) *pem.Block {
			return &pem.Block{Type: "LENSWARD ATTESTATION ANSWER", Bytes: make([]byte, 32)}
		})),
		answer("another device's answer", 200, func(c *courier, r *http.Request, _, _ []byte) []byte {
			return c.of(r.URL.Path).reply.Body.Bytes()
		}),
		answer("another fleet's certificate", 200, func(_ *courier, _ *http.Request, b, _ []byte) []byte {
			_, chain, err := foreign.Enrol(blocks(b, func(p *pem.Block) *pem.Block { return p }))
			if err != nil {
				return []byte(err.Error())
			}
			return chain
		}),
		answer("the request as its answer", 200, func(_ *courier, _ *http.Request, b, _ []byte) []byte { return b }),
		answer("an empty answer", 200, func(*courier, *http.Request, []byte, []byte) []byte { return nil }),
		answer("half the answer", 200, func(_ *courier, _ *http.Request, _, good []byte) []byte { return good[:len(good)/2] }),
		answer("the answer twice", 200, func(_ *courier, _ *http.Request, _, good []byte) []byte { return append(good, good...) }),
		answer("a flood", 200, func(*courier, *http.Request, []byte, []byte) []byte { return make([]byte, 1<<20) }),
		answer("the earlier message's answer", 200, func(c *courier, _ *http.Request, _, _ []byte) []byte {
			if len(c.heard) > 1 {
				return c.heard[0].reply.Body.Bytes()
			}
			return []byte("none")
		}),
	}
	for _, status := range []int{204, 302, 400, 401, 403, 404, 413, 429, 500, 503} {
		all = append(all, answer(fmt.Sprintf("status %d", status), status, func(*courier, *http.Request, []byte, []byte) []byte { return nil }))
	}
	for part := range 16 {
		spoil := func(b []byte) []byte {
			b = bytes.Clone(b)
			if len(b) > 0 {
				b[part*len(b)/16] ^= 1
			}
			return b
		}
		all = append(all,
			request(fmt.Sprintf("request spoilt at %d/16", part), func(_ *courier, _ *http.Request, b []byte) []byte { return spoil(b) }),
			answer(fmt.Sprintf("answer spoilt at %d/16", part), 200, func(_ *courier, _ *http.Request, _, good []byte) []byte { return spoil(good) }))
	}
	return all
}

// exchange is a way to a certificate.
type exchange struct {
	name  string
	token bool
	renew bool
	proof bool
}

// try is one device's try at an exchange.
type try struct {
	device *device
	o      enrol.Options
	hash   [32]byte // of its token
	old    tls.Certificate
}

func (x exchange) try(t *testing.T, s *site, c *courier) *try {
	t.Helper()
	y := &try{device: newDevice(t)}
	y.o = s.options(t, y.device)
	if x.proof {
		y.o.Prover = goodProver{}
	}
	c.begin(-1, fault{})
	if x.renew {
		var err error
		y.old, err = enrol.Enrol(t.Context(), y.o)
		must(t, err)
	}
	if x.token {
		text, err := s.ca.ClaimToken(time.Now().Add(time.Hour), [32]byte{})
		must(t, err)
		tok, err := enrol.ParseToken(string(text))
		must(t, err)
		y.o.Token, y.hash = text, tok.Hash()
	}
	return y
}

func (x exchange) run(t *testing.T, y *try) (tls.Certificate, error) {
	if x.renew {
		return enrol.Renew(t.Context(), y.o, y.old)
	}
	return enrol.Enrol(t.Context(), y.o)
}

// A hub that drops, repeats, swaps, spoils or invents any message of enrolment and
// renewal: the device has its own certificate of its own fleet, or what it had before and
// a stated failure; a token lets in one device; and the next try, if nobody lies, comes to
// its end.
func TestEveryMessageTamperedWith(t *testing.T) {
	foreign, err := open(t, t.TempDir())
	must(t, err)
	c := &courier{at: -1}
	s := newSite(t, func(h http.Handler) http.Handler { c.hub = h; return c })
	tried, failed, stolen := 0, 0, 0
	for _, x := range []exchange{
		{"by token", true, false, false}, {"by token, with proof", true, false, true},
		{"by record", false, false, false}, {"by record, with proof", false, false, true},
		{"renewal", false, true, false}, {"renewal, with proof", false, true, true},
	} {
		s.enrol.Attester = nil
		if x.proof {
			s.enrol.Attester = judge{}
		}
		other := x.try(t, s, c)
		c.begin(-1, fault{})
		_, err := x.run(t, other)
		must(t, err)
		c.other, c.record = c.end(), other.device.record
		for at := range c.other {
			for _, f := range faults(foreign) {
				y := x.try(t, s, c)
				s.issuer.issued = nil
				c.begin(at, f)
				cert, err := x.run(t, y)
				tried++
				what := fmt.Sprintf("%s, message %d, %s", x.name, at, f.name)
				if err != nil {
					failed++
				}
				y.check(t, what, s, cert, err)
				issued := slices.Compact(slices.Sorted(slices.Values(s.issuer.issued)))
				if x.token && len(issued) > 1 {
					t.Errorf("%s: a token let in %d devices", what, len(issued))
				}
				c.begin(-1, fault{})
				_, err = x.run(t, y)
				switch holder, used := s.book.claims[y.hash]; {
				case x.token && used && holder != y.device.id:
					stolen++
					if statusOf(err) != http.StatusForbidden {
						t.Errorf("%s: a token that was stolen: %v", what, err)
					}
				case err != nil:
					t.Errorf("%s: and then honestly: %v", what, err)
				}
			}
		}
	}
	t.Logf("%d conversations, each with one message tampered with: %d stated failures, %d certificates, %d tokens stolen by the hub and said so; no wrong device", tried, failed, tried-failed, stolen)
	if tried < 500 || stolen == 0 || failed == tried {
		t.Error("too little was tried")
	}
}

// check looks at what a device has after a conversation.
func (y *try) check(t *testing.T, what string, s *site, cert tls.Certificate, err error) {
	t.Helper()
	kept, loaded := enrol.Load(y.o.Dir, y.device.key)
	switch {
	case err != nil && err.Error() == "":
		t.Errorf("%s: a failure without a word", what)
	case err != nil && y.old.Leaf == nil && loaded == nil:
		t.Errorf("%s: it failed (%v), and a certificate is kept", what, err)
	case err != nil && y.old.Leaf != nil && (loaded != nil || !kept.Leaf.Equal(y.old.Leaf)):
		t.Errorf("%s: it failed (%v), and the old certificate is gone", what, err)
	case err == nil && (loaded != nil || !kept.Leaf.Equal(cert.Leaf)):
		t.Errorf("%s: another certificate is kept than was got: %v", what, loaded)
	case err == nil:
		id, err := DeviceID(cert.Leaf)
		if err == nil {
			_, err = cert.Leaf.Verify(x509.VerifyOptions{Roots: s.ca.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		}
		if err != nil || id != y.device.id {
			t.Errorf("%s: a certificate for %s, %v", what, id.Short(), err)
		}
	}
}

// What an issuer prints is one to eight certificates, or an error.
func FuzzCertificates(f *testing.F) {
	ca, err := open(f, f.TempDir())
	must(f, err)
	req, _ := deviceRequest(f)
	_, chain, err := ca.Enrol(req)
	must(f, err)
	f.Add(chain)
	f.Add(ca.PEM())
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		certs, err := parseCertificates(b)
		if (len(certs) == 0) != (err != nil) || len(certs) > maxCertificates || err == nil && len(b) > maxChain {
			t.Fatalf("%d certificates of %d bytes, %v", len(certs), len(b), err)
		}
	})
}
