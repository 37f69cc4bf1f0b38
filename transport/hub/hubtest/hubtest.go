// Package hubtest lets a whole hub run without a network, so that a test can
// hold it, devices and viewers in one testing/synctest bubble.
//
// It owns an in-memory listener and a small MQTT gateway that takes the place of
// the broker's listener; everything behind that, store and checks and API, is
// the real hub. It is for tests only and never part of a program.
package hubtest

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server/ats"
)

// Prepare has to be called before the bubble begins. NATS has one goroutine in a
// process that ticks while any stream is open; born in a bubble it would keep
// the bubble's time from passing.
func Prepare(t testing.TB) {
	ats.Register()
	t.Cleanup(ats.Unregister)
}

// Listener is a net.Listener in memory. Its connections are net.Pipe's.
type Listener struct {
	name    string
	waiting chan net.Conn
	closed  chan struct{}
	close   func()
}

// Listen makes a listener whose address is name, a host:port that means nothing
// outside the test.
func Listen(name string) *Listener {
	closed := make(chan struct{})
	return &Listener{
		name: name, waiting: make(chan net.Conn), closed: closed,
		close: sync.OnceFunc(func() { close(closed) }),
	}
}

// Dial connects to the listener. It returns net.ErrClosed once that is closed.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.waiting <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept waits for the next Dial.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.waiting:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close refuses further connections. Those that there are stay.
func (l *Listener) Close() error {
	l.close()
	return nil
}

// Addr is the listener's name.
func (l *Listener) Addr() net.Addr { return addr(l.name) }

type addr string

func (addr) Network() string  { return "memory" }
func (a addr) String() string { return string(a) }
