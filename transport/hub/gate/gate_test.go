package gate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/seal"
)

// caller is a connection from an address, of which only that and its end matter.
type caller struct {
	net.Conn
	from   net.Addr
	closed atomic.Bool
}

func (c *caller) RemoteAddr() net.Addr { return c.from }
func (c *caller) Close() error         { c.closed.Store(true); return nil }

func from(address string) *caller {
	return &caller{from: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))}
}

// run has a gate swept until the test ends.
func run(t *testing.T, places int) *Gate {
	t.Helper()
	g := New(places)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return g
}

// arrive has a connection come to the gate; what becomes of it is in the channel.
func arrive(g *Gate, c *caller) <-chan error {
	out := make(chan error, 1)
	go func() { _, err := g.enter(c); out <- err }()
	synctest.Wait()
	return out
}

// outcome is what has become of a connection: "in", "refused" or "waits".
func outcome(out <-chan error) string {
	select {
	case err := <-out:
		if errors.Is(err, ErrRefused) {
			return "refused"
		}
		return "in"
	default:
		return "waits"
	}
}

func expect(t *testing.T, out <-chan error, want string) {
	t.Helper()
	if got := outcome(out); got != want {
		t.Errorf("the connection is %s, not %s", got, want)
	}
}

// as lets the connection in place show this device's certificate.
func (g *Gate) as(c *caller, device seal.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for v := range g.inside {
		if v.conn == net.Conn(c) {
			v.device = device
		}
	}
}

// Two have a place, two wait and the fifth is refused; whoever waited longest is next.
func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := run(t, 2)
		var outs []<-chan error
		var callers []*caller
		for range 5 {
			c := from("192.0.2.1:1000")
			callers, outs = append(callers, c), append(outs, arrive(g, c))
		}
		for i, want := range []string{"in", "in", "waits", "waits", "refused"} {
			expect(t, outs[i], want)
		}
		if f := g.Figures(); f.Connecting != 2 || f.Waiting != 2 || f.Refused != 1 || f.Dropped != 0 {
			t.Errorf("figures: %+v", f)
		}
		g.as(callers[1], seal.ID{1})
		time.Sleep(time.Second)
		g.Settled(seal.ID{2}) // who is not there
		synctest.Wait()
		expect(t, outs[2], "waits")
		g.Settled(seal.ID{1})
		synctest.Wait()
		expect(t, outs[2], "in")
		expect(t, outs[3], "waits")
		time.Sleep(waitLimit)
		expect(t, outs[3], "refused")
		if f := g.Figures(); f.Admitted != 1 || f.Refused != 2 || f.Waiting != 0 || f.Full != time.Second+waitLimit {
			t.Errorf("figures: %+v", f)
		}
	})
}

// A handshake that stalls loses its place to those who wait, and keeps it where nobody does.
func TestSlowHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := run(t, 2)
		stalled := []*caller{from("192.0.2.1:1"), from("192.0.2.2:1")}
		for _, c := range stalled {
			expect(t, arrive(g, c), "in")
		}
		time.Sleep(handshakeLimit - waitLimit/2)
		if stalled[0].closed.Load() {
			t.Fatal("cut off while nobody waits")
		}
		late := arrive(g, from("192.0.2.3:1"))
		expect(t, late, "waits")
		time.Sleep(waitLimit - time.Millisecond)
		expect(t, late, "in")
		if !stalled[0].closed.Load() || !stalled[1].closed.Load() {
			t.Error("a stalled handshake holds the gate")
		}
		if f := g.Figures(); f.Slow != 2 || f.Connecting != 1 {
			t.Errorf("figures: %+v", f)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		g := run(t, 2)
		c := from("192.0.2.1:1")
		expect(t, arrive(g, c), "in")
		time.Sleep(time.Hour)
		if c.closed.Load() || g.Figures().Connecting != 1 {
			t.Error("cut off while nobody waits")
		}
	})
}

// Where it is the hub that takes long, nobody is cut off for it.
func TestSlowHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := run(t, 2)
		for range 64 {
			c := from("192.0.2.1:1")
			expect(t, arrive(g, c), "in")
			g.as(c, seal.ID{1})
			time.Sleep(4 * time.Second)
			g.Settled(seal.ID{1})
		}
		slow := []*caller{from("192.0.2.1:1"), from("192.0.2.2:1")}
		for _, c := range slow {
			expect(t, arrive(g, c), "in")
		}
		for range 3 {
			expect(t, arrive(g, from("192.0.2.3:1")), "waits")
			time.Sleep(waitLimit + time.Millisecond)
		}
		if f := g.Figures(); f.Slow != 0 || f.Refused != 3 {
			t.Errorf("figures: %+v", f)
		}
		for range 3 {
			arrive(g, from("192.0.2.3:1"))
			time.Sleep(waitLimit + time.Millisecond)
		}
		if f := g.Figures(); f.Slow != 2 {
			t.Errorf("figures: %+v", f)
		}
	})
}

// A device that came in and says nothing is left alone, and holds no place.
func TestSilentDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := run(t, 1)
		c := from("192.0.2.1:1")
		expect(t, arrive(g, c), "in")
		g.as(c, seal.ID{1})
		time.Sleep(settleLimit + 2*sweepEvery)
		if c.closed.Load() || g.Figures().Connecting != 0 {
			t.Errorf("closed: %v, figures %+v", c.closed.Load(), g.Figures())
		}
		g.Settled(seal.ID{1})
		if n := g.Figures().Admitted; n != 0 {
			t.Errorf("%d admitted, of whom none was answered in time", n)
		}
	})
}

// While the hub is behind nobody is let in, whatever places there are, and that is the
// time in which the gate was full.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := run(t, 1)
		g.Hold(true)
		first, second := arrive(g, from("192.0.2.1:1000")), arrive(g, from("192.0.2.1:1001"))
		expect(t, first, "waits")
		expect(t, second, "refused")
		time.Sleep(time.Second)
		g.Hold(false)
		synctest.Wait()
		expect(t, first, "in")
		g.Hold(true)
		time.Sleep(time.Second)
		g.Hold(false)
		if f := g.Figures(); f.Connecting != 1 || f.Refused != 1 || f.Full != 2*time.Second {
			t.Errorf("figures: %+v", f)
		}
		time.Sleep(time.Second)
		if f := g.Figures(); f.Full != 3*time.Second { // its one place is taken
			t.Errorf("figures: %+v", f)
		}
	})
}

// While the gate is shut everybody is refused, the waiting too, and afterwards nobody.
func TestShut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := run(t, 1)
		c := from("192.0.2.1:1")
		expect(t, arrive(g, c), "in")
		waiting := arrive(g, from("192.0.2.2:1"))
		g.Shut(true)
		synctest.Wait()
		expect(t, waiting, "refused")
		expect(t, arrive(g, from("192.0.2.3:1")), "refused")
		if f := g.Figures(); f.Shut != 2 || f.Refused != 0 || c.closed.Load() {
			t.Errorf("figures: %+v, closed %v", f, c.closed.Load())
		}
		g.as(c, seal.ID{1})
		g.Settled(seal.ID{1})
		g.Shut(false)
		expect(t, arrive(g, from("192.0.2.4:1")), "in")
	})
}

// A source that keeps coming while it is refused is dropped, is let in as soon as there
// is room, and is forgiven; another source, and loopback, are not dropped at all.
func TestPushing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := run(t, 1)
		inside := from("192.0.2.1:1")
		expect(t, arrive(g, inside), "in")
		arrive(g, from("192.0.2.1:2")) // fills the queue
		for i := range pushLimit {
			c := from("192.0.2.66:1")
			expect(t, arrive(g, c), "refused")
			if c.closed.Load() {
				t.Fatalf("dropped at refusal %d", i)
			}
		}
		pushing, local := from("192.0.2.66:1"), from("127.0.0.1:1")
		other := from("192.0.2.67:1")
		for _, c := range []*caller{pushing, other, local} {
			expect(t, arrive(g, c), "refused")
		}
		if !pushing.closed.Load() || other.closed.Load() || local.closed.Load() {
			t.Errorf("dropped: the pushing source %v, another %v, loopback %v", pushing.closed.Load(), other.closed.Load(), local.closed.Load())
		}
		g.Shut(true) // empties the queue
		g.Shut(false)
		pushing = from("192.0.2.66:2")
		expect(t, arrive(g, pushing), "refused") // it may not wait
		g.as(inside, seal.ID{1})
		g.Settled(seal.ID{1})
		expect(t, arrive(g, from("192.0.2.66:3")), "in") // but there is room
		time.Sleep(pushPeriod + time.Millisecond)
		expect(t, arrive(g, from("192.0.2.66:4")), "waits")
		time.Sleep(waitLimit) // for the last
		if f := g.Figures(); f.Dropped != 2 || f.Refused < pushLimit+4 {
			t.Errorf("figures: %+v", f)
		}
	})
}

func TestSources(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7:80":              "192.0.2.7/32",
		"[::ffff:192.0.2.7]:80":     "192.0.2.7/32",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"127.0.0.1:80":              "",
		"[::1]:80":                  "",
		"[::ffff:127.0.0.1]:80":     "",
	} {
		got, known := sourceOf(from(address))
		if known != (want != "") || known && got.String() != want {
			t.Errorf("%s comes from %v, %v", address, got, known)
		}
	}
	if _, known := sourceOf(&caller{from: &net.UnixAddr{Name: "pipe"}}); known {
		t.Error("a pipe has a source")
	}
}

// world is a TLS listener behind a gate.
type world struct {
	gate   *Gate
	ca     *authority.Authority
	base   *tls.Config
	addr   string
	device tls.Certificate
	id     seal.ID
	served chan *tls.Conn // of handshakes that succeeded
}

func listen(t testing.TB, places int) *world {
	t.Helper()
	dir, err := durable.Open(t.TempDir())
	must(t, err)
	ca, err := authority.Open(dir)
	must(t, err)
	server, err := ca.Server([]string{"localhost"}, time.Time{}, time.Time{})
	must(t, err)
	w := &world{gate: New(places), ca: ca, served: make(chan *tls.Conn, 16)}
	w.base = &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()}
	w.device, w.id = identity(t, ca)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	w.addr = l.Addr().String()
	guarded := w.gate.Guard(w.base)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				s := tls.Server(c, guarded)
				if s.HandshakeContext(t.Context()) != nil {
					_ = c.Close() // as the broker does
					return
				}
				w.served <- s
			}()
		}
	}()
	return w
}

// identity is a device's key with the CA's certificate.
func identity(t testing.TB, ca *authority.Authority) (tls.Certificate, seal.ID) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	id, err := seal.IDOf(&key.PublicKey)
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: id.String()}}, key)
	must(t, err)
	_, chain, err := ca.Enrol(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	must(t, err)
	block, _ := pem.Decode(chain)
	return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}, id
}

// dial makes a device's handshake and reads what the server says first, if anything.
func (w *world) dial(certs ...tls.Certificate) (*tls.Conn, error) {
	c, err := tls.Dial("tcp", w.addr, &tls.Config{RootCAs: w.ca.Pool(), ServerName: "localhost", Certificates: certs})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Over real TLS: who has a place gets through and is known by its certificate, and the
// next is refused by an alert before the server has signed anything.
func TestHandshake(t *testing.T) {
	w := listen(t, 1)
	inside, err := w.dial(w.device)
	must(t, err)
	s := <-w.served
	defer s.Close()
	defer inside.Close()
	w.gate.mu.Lock()
	devices := []seal.ID{}
	for v := range w.gate.inside {
		devices = append(devices, v.device)
	}
	w.gate.mu.Unlock()
	if !slices.Equal(devices, []seal.ID{w.id}) {
		t.Errorf("inside are %v, not %v", devices, w.id)
	}
	w.gate.Shut(true)
	var op *net.OpError
	if _, err := w.dial(w.device); !errors.As(err, &op) || op.Op != "remote error" {
		t.Errorf("refused by %v, not by an alert", err)
	}
	w.gate.Shut(false)
	w.gate.Settled(w.id)
	again, err := w.dial(w.device)
	must(t, err)
	defer again.Close()
	defer (<-w.served).Close()
}

// What failed its handshake leaves its place as soon as the server has closed it.
func TestFailedHandshakeLeaves(t *testing.T) {
	w := listen(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.gate.Run(ctx) }()
	c, err := net.Dial("tcp", w.addr)
	must(t, err)
	stranger := tls.Client(c, &tls.Config{RootCAs: w.ca.Pool(), ServerName: "localhost"})
	_ = stranger.Handshake()        // fails for want of a certificate, now or
	_, _ = stranger.Read([]byte{0}) // when the server has seen it
	must(t, c.Close())
	good, err := w.dial(w.device) // waits for the place
	must(t, err)
	defer good.Close()
	defer (<-w.served).Close()
	cancel()
	must(t, <-done)
}

// storm has somebody push from so many addresses while others come once each, at half of
// what the gate can do, and gives the share of those others that were let in.
func storm(t *testing.T, addresses int) (share float64) {
	synctest.Test(t, func(t *testing.T) {
		const service = 100 * time.Millisecond // ten places: 100 a second
		g := run(t, 10)
		var visits sync.WaitGroup
		visit := func(address string) bool {
			v, err := g.enter(from(address))
			if err != nil {
				return false
			}
			visits.Go(func() {
				time.Sleep(service)
				g.mu.Lock()
				defer g.mu.Unlock()
				g.release(v)
			})
			return true
		}
		end := time.Now().Add(20 * time.Second)
		for i := range 200 {
			visits.Go(func() {
				for ; time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
					visit(fmt.Sprintf("198.51.100.%d:1", i%addresses))
				}
			})
		}
		var in, others atomic.Int64
		for time.Now().Before(end) {
			n := others.Add(1)
			visits.Go(func() {
				if visit(fmt.Sprintf("192.0.%d.%d:1", n>>8, n&0xff)) {
					in.Add(1)
				}
			})
			time.Sleep(20 * time.Millisecond)
		}
		visits.Wait()
		share = float64(in.Load()) / float64(others.Load())
	})
	return share
}

// Who pushes from a few addresses does not keep the others out. From many it does: then
// it cannot be told from a fleet.
func TestPushersDoNotCrowdOut(t *testing.T) {
	few, many := storm(t, 4), storm(t, 200)
	t.Logf("others let in: %.2f beside a few pushing addresses, %.2f beside many", few, many)
	if few < 0.9 || many > few/2 {
		t.Errorf("others let in: %.2f beside a few pushing addresses, %.2f beside many", few, many)
	}
}
