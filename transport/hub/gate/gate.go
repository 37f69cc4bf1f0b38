// Package gate keeps a hub from taking in more devices at once than it can serve.
//
// It owns how many devices are connecting, from a device's ClientHello to the hub's
// answer to its ownership record, the short queue before that, and the refusal of all
// others before any expensive cryptography. It never decides who a device is or what it
// may do, and never touches a device that has come in.
//
// A hub that begins everything at once finishes nothing in time: each device then waits
// behind all the others, gives up, and comes back for work that is done twice. At the
// gate those who are let in are served promptly, and the others learn at once that they
// are to come later.
package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/seal"
)

// ErrRefused is the end of a handshake that was refused at the gate. The device sees a
// TLS alert, or its connection reset.
var ErrRefused = errors.New("refused at the gate")

const (
	perProcessor = 256 // devices connecting for each processor: about a second of its work
	waitLimit    = 3 * time.Second
	// While others are kept out, a handshake that takes longer is cut off. At 250 ms for
	// a round trip one takes half a second.
	handshakeLimit = 5 * time.Second
	// What has its certificate through and then says nothing holds no place for longer.
	settleLimit = 10 * time.Second
	// Both are longer where the hub itself takes long: so many times what a connect took
	// of late, of those that were answered; at most longestLimit, when the broker ends it.
	patience     = 4
	longestLimit = 30 * time.Second

	sweepEvery = 200 * time.Millisecond

	// A source's refusals in one period beyond which it is dropped without an alert.
	pushLimit  = 20
	pushPeriod = 10 * time.Second
	maxSources = 1 << 16
)

// Figures are what happened at the gate since it was made. Admitted devices were
// answered; Refused is all that were kept out because it was crowded, Dropped those of
// them whose connection was reset for coming too often, Shut those that came while the
// gate was shut, and Slow those that were cut off in their handshake.
type Figures struct {
	Admitted, Refused, Dropped, Shut, Slow int
	// Full is the time in which the gate had no free place, or was held.
	Full time.Duration
	// Connecting and Waiting are how many there are now.
	Connecting, Waiting int
}

// Gate is a gate. Its methods may be called from many goroutines.
type Gate struct {
	places int

	mu      sync.Mutex
	shut    bool
	held    bool
	inside  map[*visit]struct{}
	waiting []*visit
	refused map[netip.Prefix]int // refusals in this period, by source
	crowded time.Time            // when one was last kept out
	full    time.Time            // since when nobody can be let in; zero if somebody can
	took    time.Duration        // from a place to the answer, of late
	figures Figures
}

// visit is one connection at the gate.
type visit struct {
	conn    net.Conn
	since   time.Time  // when it was let in
	verdict chan error // nil lets it in; takes one
	device  seal.ID    // zero until the certificate was shown
}

// New makes a gate for so many devices connecting at once; 0 is 256 for each processor.
// As many more may wait, for three seconds.
func New(places int) *Gate {
	if places <= 0 {
		places = perProcessor * runtime.GOMAXPROCS(0)
	}
	return &Gate{places: places, inside: make(map[*visit]struct{}), refused: make(map[netip.Prefix]int)}
}

// Run clears away connections that ended or stalled, until ctx ends.
func (g *Gate) Run(ctx context.Context) error {
	sweep, forgive := time.NewTicker(sweepEvery), time.NewTicker(pushPeriod)
	defer sweep.Stop()
	defer forgive.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-sweep.C:
			g.sweep(now)
		case <-forgive.C:
			g.mu.Lock()
			clear(g.refused)
			g.mu.Unlock()
		}
	}
}

// Guard is base with the gate before it: its handshakes wait, or fail with ErrRefused.
func (g *Gate) Guard(base *tls.Config) *tls.Config {
	outer := base.Clone()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		inner := base
		if base.GetConfigForClient != nil {
			c, err := base.GetConfigForClient(hello)
			if err != nil {
				return nil, err
			}
			if c != nil {
				inner = c
			}
		}
		v, err := g.enter(hello.Conn)
		if err != nil {
			return nil, err
		}
		check := inner.VerifyConnection
		inner = inner.Clone()
		inner.VerifyConnection = func(cs tls.ConnectionState) error {
			if err := g.identify(v, cs); err != nil || check == nil {
				return err
			}
			return check(cs)
		}
		return inner, nil
	}
	return outer
}

// Settled notes that a device was answered: its place is free.
func (g *Gate) Settled(device seal.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for v := range g.inside {
		if v.device == device {
			g.figures.Admitted++
			g.took += (time.Since(v.since) - g.took) / 16
			g.release(v)
		}
	}
}

// Shut refuses everybody, those who wait too, or ends that.
func (g *Gate) Shut(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if !shut {
		return
	}
	for _, v := range g.waiting {
		g.figures.Shut++
		v.verdict <- ErrRefused
	}
	g.waiting = nil
}

// Hold lets nobody in, or ends that: whoever comes meanwhile waits for a place. It is for
// a hub that is behind with what those who are in have sent.
func (g *Gate) Hold(held bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = held
	g.settle()
}

// Figures are the gate's up to now.
func (g *Gate) Figures() Figures {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.figures
	f.Connecting, f.Waiting = len(g.inside), len(g.waiting)
	if !g.full.IsZero() {
		f.Full += time.Since(g.full)
	}
	return f
}

// enter gives a connection a place, waits for one, or refuses.
func (g *Gate) enter(conn net.Conn) (*visit, error) {
	v := &visit{conn: conn, verdict: make(chan error, 1)}
	if refuse := g.line(v); refuse != nil {
		return nil, refuse()
	}
	timer := time.NewTimer(waitLimit)
	defer timer.Stop()
	select {
	case err := <-v.verdict:
		return v, err
	case <-timer.C:
		return v, g.giveUp(v)
	}
}

// line gives v a place or puts it in the queue. Otherwise it returns how to refuse.
func (g *Gate) line(v *visit) (refuse func() error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.shut:
		g.figures.Shut++
		return func() error { return ErrRefused }
	case g.vacant() && len(g.waiting) == 0:
		g.admit(v)
		g.settle()
		return nil
	}
	source, known := sourceOf(v.conn)
	pushes := known && g.refused[source] >= pushLimit
	if len(g.waiting) < g.places && !pushes {
		g.waiting = append(g.waiting, v)
		return nil
	}
	g.keepOut(source, known)
	if !pushes {
		return func() error { return ErrRefused }
	}
	g.figures.Dropped++
	return func() error { reset(v.conn); return ErrRefused }
}

// giveUp takes v out of the queue, unless its turn has just come.
func (g *Gate) giveUp(v *visit) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.waiting {
		if w == v {
			g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
			g.keepOut(sourceOf(v.conn))
			return ErrRefused
		}
	}
	return <-v.verdict
}

// keepOut counts a refusal. The lock is held, here and below.
func (g *Gate) keepOut(source netip.Prefix, known bool) {
	g.figures.Refused++
	g.crowded = time.Now()
	if _, there := g.refused[source]; known && (there || len(g.refused) < maxSources) {
		g.refused[source]++
	}
}

// vacant says that somebody can be let in.
func (g *Gate) vacant() bool { return !g.held && len(g.inside) < g.places }

func (g *Gate) admit(v *visit) {
	v.since = time.Now()
	v.verdict <- nil
	g.inside[v] = struct{}{}
}

// release frees v's place.
func (g *Gate) release(v *visit) {
	delete(g.inside, v)
	g.settle()
}

// settle follows each change: whoever waits and can be let in is, and it is noted
// whether there is room for more.
func (g *Gate) settle() {
	for len(g.waiting) > 0 && g.vacant() {
		next := g.waiting[0]
		g.waiting = g.waiting[1:]
		g.admit(next)
	}
	switch vacant := g.vacant(); {
	case !vacant && g.full.IsZero():
		g.full = time.Now()
	case vacant && !g.full.IsZero():
		g.figures.Full += time.Since(g.full)
		g.full = time.Time{}
	}
}

// identify notes whose connection it is. The handshake may still fail: the key behind
// the certificate may not be there.
func (g *Gate) identify(v *visit, cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("no client certificate")
	}
	id, err := authority.DeviceID(cs.PeerCertificates[0])
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	v.device = id
	return nil
}

// sweep frees the places of connections that ended or stalled.
func (g *Gate) sweep(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	crowded := len(g.waiting) > 0 || now.Sub(g.crowded) < time.Second
	for v := range g.inside {
		age, shaking := now.Sub(v.since), v.device.IsZero()
		switch {
		case ended(v.conn):
			g.release(v)
		case shaking && crowded && age > g.limit(handshakeLimit):
			g.figures.Slow++
			reset(v.conn)
			g.release(v)
		case !shaking && age > g.limit(settleLimit):
			g.release(v)
		}
	}
}

// limit is how long something may take that has this limit at a hub that is not slow.
func (g *Gate) limit(usual time.Duration) time.Duration {
	return max(usual, min(patience*g.took, longestLimit))
}

// ended says that this side has closed the connection, as the broker does with those
// that failed. Of a connection in memory it cannot be told.
func ended(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}

// reset closes a connection at once and leaves no state of it in the kernel.
func reset(c net.Conn) {
	if t, ok := c.(interface{ SetLinger(seconds int) error }); ok {
		_ = t.SetLinger(0) // else it is closed the slower way
	}
	_ = c.Close() // whoever reads from it learns of it
}

// sourceOf is where a connection comes from: an IPv4 address, or an IPv6 network of 64
// bits. Loopback is none: behind it stand proxies, and everybody with them.
func sourceOf(c net.Conn) (netip.Prefix, bool) {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	bits, addr := 64, at.Addr().Unmap()
	if err != nil || addr.IsLoopback() {
		return netip.Prefix{}, false
	}
	if addr.Is4() {
		bits = 32
	}
	p, err := addr.Prefix(bits)
	return p, err == nil
}
