package pairing_test

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
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/agent/pairing"
	"github.com/lensward/lensward/hw/light"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	protocol "github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/exchange"
	"github.com/lensward/lensward/transport/seal"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

// authority is a hub's CA with a server's certificate.
type authority struct {
	id   seal.ID
	pem  []byte
	leaf tls.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key := newKey(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	must(t, err)
	a := &authority{pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	a.id, err = seal.IDOf(key.Public())
	must(t, err)
	own := newKey(t)
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err = x509.CreateCertificate(rand.Reader, server, ca, own.Public(), key)
	must(t, err)
	a.leaf = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}
	return a
}

// desk is a hub as far as pairing knows it: a courier that forgets when it is told to.
type desk struct {
	authority *authority
	// ca is what it gives as its certificate; nil is the true one.
	ca []byte

	mu      sync.Mutex
	lose    func(side string, msg []byte) bool // says that a message is not to be kept
	newest  map[string][]byte                  // by rendezvous/side
	changed chan struct{}
}

func newDesk(a *authority) *desk {
	return &desk{authority: a, newest: map[string][]byte{}, changed: make(chan struct{})}
}

// losing has messages lost of which lose says so.
func (d *desk) losing(lose func(side string, msg []byte) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lose = lose
}

// copy is another desk with the same messages.
func (d *desk) copy() *desk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := newDesk(d.authority)
	maps.Copy(c.newest, d.newest)
	return c
}

// serve is the desk's address, until the test ends or stop is called.
func (d *desk) serve(t testing.TB) (address string, stop func()) {
	t.Helper()
	s := httptest.NewUnstartedServer(d)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{d.authority.leaf}}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.StartTLS()
	stop = sync.OnceFunc(func() {
		s.CloseClientConnections()
		s.Close()
	})
	t.Cleanup(stop)
	return s.Listener.Addr().String(), stop
}

// ServeHTTP is the part of a hub's listener for devices that a camera pairs by.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/ca":
		b := d.ca
		if b == nil {
			b = d.authority.pem
		}
		_, _ = w.Write(b)
	case r.URL.Path == "/hub":
		fmt.Fprint(w, `{"mqtt":"127.0.0.1:8883"}`)
	case r.Method == http.MethodPut:
		b, _ := io.ReadAll(r.Body)
		d.put(strings.TrimPrefix(r.URL.Path, "/pair/"), b)
		w.WriteHeader(http.StatusNoContent)
	default:
		have, _ := hex.DecodeString(r.URL.Query().Get("not"))
		side := strings.TrimPrefix(r.URL.Path, "/pair/")
		if b := d.get(r.Context(), side, have); b != nil {
			_, _ = w.Write(b)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func (d *desk) put(box string, msg []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, side, _ := strings.Cut(box, "/"); d.lose != nil && d.lose(side, msg) {
		return
	}
	d.newest[box] = msg
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *desk) get(ctx context.Context, box string, have []byte) []byte {
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	for {
		d.mu.Lock()
		msg, changed := d.newest[box], d.changed
		d.mu.Unlock()
		if sum := sha256.Sum256(msg); msg != nil && string(sum[:]) != string(have) {
			return msg
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			return nil
		case <-changed:
		}
	}
}

// side is a carrier that goes to the desk without a network.
type side struct {
	desk         *desk
	mine, theirs string
}

// Put is the desk's.
func (s side) Put(_ context.Context, rendezvous string, msg []byte) error {
	s.desk.put(rendezvous+"/"+s.mine, msg)
	return nil
}

// Get is the desk's.
func (s side) Get(ctx context.Context, rendezvous string, have []byte) ([]byte, error) {
	return s.desk.get(ctx, rendezvous+"/"+s.theirs, have), nil
}

// owner is a person with keys.
type owner struct {
	keys *keyring.Keyring

	mu    sync.Mutex
	state []byte
}

func newOwner(t testing.TB) *owner {
	t.Helper()
	k, err := keyring.New(t.TempDir())
	must(t, err)
	return &owner{keys: k}
}

func (o *owner) save(state []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = state
	return nil
}

func (o *owner) saved() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state
}

func (o *owner) code(t testing.TB, hub *protocol.Hub) *protocol.Code {
	t.Helper()
	c, err := protocol.NewCode(o.keys.Owner(), time.Now().Add(protocol.CodeLife), hub, nil)
	must(t, err)
	return c
}

// wait carries the owner's side until it is over or ctx is done.
func (o *owner) wait(ctx context.Context, p *protocol.Owner, d *desk) error {
	return exchange.Run(ctx, exchange.Options{Side: p, Carriers: []exchange.Carrier{side{d, "owner", "camera"}}})
}

// camera is a device's key and state directory.
type camera struct {
	t   testing.TB
	key *ecdsa.PrivateKey
	dir *durable.Dir

	health health.Board
	mu     sync.Mutex
	shown  []light.Pattern
	reset  bool
	logged strings.Builder
}

func newCamera(t testing.TB, key *ecdsa.PrivateKey, root string, opts ...durable.Option) *camera {
	t.Helper()
	dir, err := durable.Open(root, opts...)
	must(t, err)
	return &camera{t: t, key: key, dir: dir}
}

// Write keeps the log.
func (c *camera) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logged.Write(p)
}

func (c *camera) log() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logged.String()
}

// Show keeps the pattern.
func (c *camera) Show(p light.Pattern) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = append(c.shown, p)
}

func (c *camera) patterns() []light.Pattern {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown
}

// Ownership is what is on the disk: a camera has no other memory here.
func (c *camera) Ownership() *ownership.Ownership {
	b, err := c.dir.ReadFile("ownership", ownership.MaxOwnership)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		c.t.Error(err)
		return nil
	}
	o, err := ownership.Parse(b)
	if err != nil || o.Verify() != nil {
		c.t.Errorf("the ownership on the disk does not verify: %v", err)
		return nil
	}
	return o
}

// Accept countersigns and writes.
func (c *camera) Accept(s *ownership.Signed, now time.Time) (*ownership.Ownership, error) {
	var known *ownership.Signed
	if o := c.Ownership(); o != nil {
		known = &o.Signed
	}
	if err := s.Succeeds(known, ownership.Right{Reset: c.wasReset()}, now); err != nil {
		return nil, err
	}
	o, err := s.Accept(c.key, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: now, Firmware: "1.0"})
	if err != nil {
		return nil, err
	}
	if err := c.dir.WriteFile("ownership", o.Bytes(), 0o600); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset = false
	return o, nil
}

func (c *camera) wasReset() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reset
}

func (c *camera) free() (ownership.Acquired, bool) {
	switch {
	case c.Ownership() == nil:
		return ownership.AcquiredPaired, true
	case c.wasReset():
		return ownership.AcquiredReset, true
	}
	return 0, false
}

// pairing runs the camera's pairing until stop is called.
func (c *camera) pairing(edit func(*pairing.Options)) (*pairing.Pairing, func()) {
	o := pairing.Options{
		Device: c, Key: crypto.Signer(c.key), Protection: seal.ProtectionFile, Firmware: "1.0", Dir: c.dir, Free: c.free,
		Light: c, Health: &c.health, Log: slog.New(slog.NewTextHandler(c, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if edit != nil {
		edit(&o)
	}
	p := pairing.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			c.t.Errorf("pairing ended with %v", err)
		}
	})
	c.t.Cleanup(stop)
	return p, stop
}

// conditions are the names of what ails the camera.
func (c *camera) conditions() string {
	var names []string
	for _, x := range c.health.List() {
		names = append(names, x.Name)
	}
	return strings.Join(names, " ")
}

// until waits for something that another goroutine does.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it does not come", what)
		}
	}
}
