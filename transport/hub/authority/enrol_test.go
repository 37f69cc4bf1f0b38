package authority

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/enrol"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// book is a register in memory.
type book struct {
	mu      sync.Mutex
	claims  map[[32]byte]seal.ID
	revoked map[seal.ID]bool
}

func (b *book) Claim(_ context.Context, token [sha256.Size]byte, device seal.ID) (seal.ID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, used := b.claims[token]; !used {
		b.claims[token] = device
	}
	return b.claims[token], nil
}

func (b *book) Revoked(device seal.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.revoked[device]
}

// device is one that asks for a certificate.
type device struct {
	key    *ecdsa.PrivateKey
	id     seal.ID
	record []byte
}

func newDevice(t testing.TB) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	id, err := seal.IDOf(&key.PublicKey)
	must(t, err)
	owner, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ownerID, err := seal.IDOf(&owner.PublicKey)
	must(t, err)
	spki := func(k *ecdsa.PrivateKey) []byte {
		b, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
		must(t, err)
		return b
	}
	signed, err := ownership.Sign(owner, ownership.Record{
		Device: id, DeviceKey: spki(key), Owner: ownerID, OwnerKey: spki(owner), Epoch: 1, Revision: 1,
		Acquired: ownership.AcquiredPaired, Created: time.Unix(1_700_000_000, 0),
		Recipients: []ownership.Recipient{{Kind: ownership.RecipientHousehold, Age: "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"}},
	})
	must(t, err)
	o, err := signed.Accept(key, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: time.Unix(1_700_000_000, 0), Firmware: "1"})
	must(t, err)
	return &device{key: key, id: id, record: o.Bytes()}
}

// answerTo is what a device that keeps its key as it should answers a challenge.
func answerTo(challenge []byte) []byte {
	a := sha256.Sum256(append([]byte("answer"), challenge...))
	return a[:]
}

// judge asks every device a question of its own.
type judge struct{}

func (judge) Challenge(r *x509.CertificateRequest, _ time.Time) ([]byte, error) {
	q := sha256.Sum256(r.RawSubjectPublicKeyInfo)
	return q[:], nil
}

func (j judge) Check(r *x509.CertificateRequest, answer []byte, now time.Time) error {
	q, err := j.Challenge(r, now)
	if err == nil && string(answer) != string(answerTo(q)) {
		err = errors.New("the key is not where it should be")
	}
	return err
}

type goodProver struct{}

func (goodProver) Extension(context.Context) (pkix.Extension, bool, error) {
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}, true, nil
}
func (goodProver) Answer(_ context.Context, c []byte) ([]byte, error) { return answerTo(c), nil }

// recorder is an issuer that notes for whom.
type recorder struct {
	Issuer
	mu     sync.Mutex
	issued []string
}

func (r *recorder) Issue(ctx context.Context, csr *x509.CertificateRequest) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.issued = append(r.issued, csr.Subject.CommonName)
	return r.Issuer.Issue(ctx, csr)
}

// site is a hub's enrolment behind whatever wraps it.
type site struct {
	ca     *Authority
	book   *book
	issuer *recorder
	enrol  *Enrolment
	url    string
}

func newSite(t testing.TB, wrap func(http.Handler) http.Handler) *site {
	t.Helper()
	ca, err := open(t, t.TempDir())
	must(t, err)
	s := &site{ca: ca, book: &book{claims: map[[32]byte]seal.ID{}, revoked: map[seal.ID]bool{}}, issuer: &recorder{Issuer: ca.Devices(0)}}
	s.enrol = &Enrolment{Authority: ca, Issuer: s.issuer, Admission: AdmitPaired, Register: s.book,
		Rate: rate.NewLimiter(rate.Inf, 1), Log: slog.New(slog.DiscardHandler)}
	mux := http.NewServeMux()
	s.enrol.Handle(mux)
	server := httptest.NewUnstartedServer(wrap(mux))
	cert, err := ca.Server([]string{"127.0.0.1"}, time.Time{}, time.Time{})
	must(t, err)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func plain(h http.Handler) http.Handler { return h }

// options are a device's for this site.
func (s *site) options(t testing.TB, d *device) enrol.Options {
	t.Helper()
	dir, err := durable.Open(durabletest.TempDir(t))
	must(t, err)
	return enrol.Options{URL: s.url, TLS: &tls.Config{RootCAs: s.ca.Pool()}, Key: d.key, Dir: dir, Record: d.record}
}

// held is a certificate for a device, from one time to another.
func (s *site) held(t testing.TB, pub crypto.PublicKey, key crypto.Signer, name string, from, until time.Time) tls.Certificate {
	t.Helper()
	cert, err := s.ca.client(pub.(*ecdsa.PublicKey), name, from, until)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{cert.Raw, s.ca.cert.Raw}, PrivateKey: key, Leaf: cert}
}

// What may be renewed, and what not.
func TestRenewal(t *testing.T) {
	s, other := newSite(t, plain), newSite(t, plain)
	d, thief := newDevice(t), newDevice(t)
	now := time.Now()
	mine := func(s *site, from, until time.Duration) tls.Certificate {
		return s.held(t, d.key.Public(), d.key, d.id.String(), now.Add(from), now.Add(until))
	}
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		old  tls.Certificate
		want int // 0: renewed
	}{
		"one that holds":             {mine(s, -day, day), 0},
		"one that has just expired":  {mine(s, -2*day, -time.Minute), 0},
		"one in its grace":           {mine(s, -800*day, -DefaultGrace+day), 0},
		"one past its grace":         {mine(s, -800*day, -DefaultGrace-day), 403},
		"another fleet's":            {mine(other, -day, day), 403},
		"another device's":           {s.held(t, thief.key.Public(), thief.key, thief.id.String(), now.Add(-day), now.Add(day)), 403},
		"in a name that is no ID":    {s.held(t, d.key.Public(), d.key, "hub", now.Add(-day), now.Add(day)), 403},
		"a key that the name is not": {s.held(t, thief.key.Public(), thief.key, d.id.String(), now.Add(-day), now.Add(day)), 403},
		"none":                       {tls.Certificate{}, 401},
	} {
		o := s.options(t, d)
		cert, err := enrol.Renew(t.Context(), o, c.old)
		if got := statusOf(err); got != c.want || err == nil && c.want != 0 || err != nil && c.want == 0 {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && cert.Leaf.NotAfter.Before(now.Add(DefaultLife-time.Minute)) {
			t.Errorf("%s: renewed until %v", name, cert.Leaf.NotAfter)
		}
	}
	// A server's certificate of the same CA is no device's.
	server, err := s.ca.Server([]string{d.id.String()}, time.Time{}, time.Time{})
	must(t, err)
	if _, err := enrol.Renew(t.Context(), s.options(t, d), server); statusOf(err) != 403 {
		t.Errorf("a server's certificate: %v", err)
	}
	s.book.revoked[d.id] = true
	if _, err := enrol.Renew(t.Context(), s.options(t, d), mine(s, -day, day)); statusOf(err) != 403 {
		t.Errorf("revoked: %v", err)
	}
	if _, err := enrol.Enrol(t.Context(), s.options(t, d)); statusOf(err) != 403 {
		t.Errorf("revoked, enrolling again: %v", err)
	}
}

func statusOf(err error) int {
	var s *enrol.StatusError
	if errors.As(err, &s) {
		return s.Code
	}
	return 0
}

// Where proof is asked for, neither enrolment nor renewal goes without.
func TestAttestationIsAskedFor(t *testing.T) {
	s := newSite(t, plain)
	s.enrol.Attester = judge{}
	d := newDevice(t)
	o := s.options(t, d)
	if _, err := enrol.Enrol(t.Context(), o); statusOf(err) != 403 || !strings.Contains(err.Error(), "not where it should be") {
		t.Errorf("without proof: %v", err)
	}
	o.Prover = goodProver{}
	cert, err := enrol.Enrol(t.Context(), o)
	must(t, err)
	if _, err := enrol.Renew(t.Context(), o, cert); err != nil {
		t.Errorf("renewed with proof: %v", err)
	}
	o.Prover = nil
	if _, err := enrol.Renew(t.Context(), o, cert); statusOf(err) != 403 {
		t.Errorf("renewed without proof: %v", err)
	}
	s.enrol.Attester = nil
	o.Prover = goodProver{}
	if _, err := enrol.Renew(t.Context(), o, cert); err != nil {
		t.Errorf("with a proof that nobody asks for: %v", err)
	}
}

// A program signs in the CA's place: it gets the request and the ID, and what it prints is
// checked.
func TestCommandIssuer(t *testing.T) {
	root, err := open(t, t.TempDir())
	must(t, err)
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700))
		return path
	}
	d := newDevice(t)
	request, err := enrol.Request(d.key)
	must(t, err)
	_, chain, err := root.Enrol(request)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "chain"), chain, 0o600))
	for name, c := range map[string]struct {
		argv []string
		want string
	}{
		"signs":        {[]string{script("good", fmt.Sprintf(`grep -q 'BEGIN CERTIFICATE REQUEST' && [ "$1" = sign ] && [ "$2" = %s ] && cat %s/chain`, d.id, dir)), "sign"}, ""},
		"fails":        {[]string{script("bad", "echo no such profile >&2; exit 3")}, "no such profile"},
		"says nothing": {[]string{script("mute", "cat >/dev/null")}, "check what was issued"},
		"floods":       {[]string{script("flood", "head -c 1000000 /dev/zero")}, "check what was issued"},
		"is not there": {[]string{filepath.Join(dir, "nowhere")}, "run issuer"},
	} {
		issuer, err := NewCommand(c.argv, root.PEM())
		must(t, err)
		e := &Enrolment{Authority: root, Issuer: issuer}
		a, err := parseApplication(request)
		must(t, err)
		if _, err := e.issue(t.Context(), a); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("one that %s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		argv  []string
		roots []byte
	}{"no command": {nil, root.PEM()}, "no roots": {[]string{"x"}, nil}, "rubbish": {[]string{"x"}, []byte("rubbish")}, "a key": {[]string{"x"}, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}})}} {
		if _, err := NewCommand(c.argv, c.roots); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
