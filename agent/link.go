package agent

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/lensward/lensward/internal/wait"
)

const (
	// linkLook is how often the link is looked at.
	linkLook = 10 * time.Second
	// linkMemory is how long a link that was down is held to be the reason for what is
	// noticed later: a session notices within its keep alive, twice 30 s.
	linkMemory = 90 * time.Second
)

// link knows whether this machine has a way to the hub, as far as the machine itself can
// tell: a route, and a network interface that runs. It sends nothing.
type link struct {
	// hub lists the addresses that are known of the hub.
	hub func() []netip.Addr
	// route is the address from which this machine would speak to another; false if it
	// has no way there.
	route func(to netip.Addr) (from netip.Addr, ok bool)
	// running says that the interface with this address runs.
	running func(netip.Addr) bool

	mu   sync.Mutex
	down time.Time // when it was last seen down
}

func newLink(hub func() []netip.Addr) *link {
	return &link{hub: hub, route: route, running: running}
}

// Run looks at the link until ctx is done, whose error it returns.
func (l *link) Run(ctx context.Context) error {
	for {
		l.look()
		if err := wait.For(ctx, linkLook); err != nil {
			return err
		}
	}
}

// Offline says that there is no way to the hub, or was none a moment ago.
func (l *link) Offline() bool {
	l.look()
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.down.IsZero() && time.Since(l.down) < linkMemory
}

func (l *link) look() {
	if l.up() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = time.Now()
}

func (l *link) up() bool {
	to := l.hub()
	if len(to) == 0 { // no name was ever looked up: is there a way to anywhere?
		to = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	}
	for _, addr := range to {
		if from, ok := l.route(addr); ok && l.running(from) {
			return true
		}
	}
	return false
}

// route asks the kernel: connecting a UDP socket looks a route up, and sends nothing.
func route(to netip.Addr) (from netip.Addr, ok bool) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
	if err != nil {
		return netip.Addr{}, false
	}
	defer conn.Close() // nothing was sent
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	return local.AddrPort().Addr().Unmap(), ok
}

// running says that an interface with this address is up and has a carrier. The kernel
// keeps the routes of one that lost it.
func running(addr netip.Addr) bool {
	all, err := net.Interfaces()
	if err != nil {
		return true // as if we had not looked
	}
	for _, i := range all {
		own, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range own {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap().WithZone("") == addr.WithZone("") {
				return i.Flags&net.FlagUp != 0 && i.Flags&net.FlagRunning != 0
			}
		}
	}
	return true // loopback takes addresses that no interface lists, such as 127.0.0.2
}
