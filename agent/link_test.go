package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestOfflineIsRemembered has a link that goes down for a moment, between two things
// that were noticed late.
func TestOfflineIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, own := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("10.0.0.7")
		var unrouted, dead atomic.Bool
		l := newLink(func() []netip.Addr { return []netip.Addr{hub} })
		l.route = func(to netip.Addr) (netip.Addr, bool) { return own, !unrouted.Load() && to == hub }
		l.running = func(a netip.Addr) bool { return !dead.Load() && a == own }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()

		time.Sleep(time.Minute)
		if l.Offline() {
			t.Error("offline though nothing has happened")
		}
		for name, state := range map[string]*atomic.Bool{"the route": &unrouted, "the carrier": &dead} {
			state.Store(true)
			time.Sleep(11 * time.Second)
			state.Store(false)
			time.Sleep(time.Minute)
			if !l.Offline() {
				t.Errorf("%s was gone a minute ago, and is forgotten", name)
			}
			time.Sleep(time.Minute)
			if l.Offline() {
				t.Errorf("%s is back for two minutes, and not forgiven", name)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestLinkWithoutAddresses asks for a way to anywhere while no name was looked up.
func TestLinkWithoutAddresses(t *testing.T) {
	var asked []netip.Addr
	l := newLink(func() []netip.Addr { return nil })
	l.route = func(to netip.Addr) (netip.Addr, bool) { asked = append(asked, to); return to, to.Is6() }
	l.running = func(netip.Addr) bool { return true }
	if l.Offline() || len(asked) != 2 || slices.ContainsFunc(asked, netip.Addr.IsLoopback) {
		t.Errorf("offline %v after asking for %v", l.Offline(), asked)
	}
}

// TestLinkOfThisMachine asks the kernel itself.
func TestLinkOfThisMachine(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	if from, ok := route(loopback); !ok || from != loopback || !running(from) {
		t.Errorf("to %v from %v, %v", loopback, from, ok)
	}
	if from, ok := route(netip.MustParseAddr("fe80::1%nowhere")); ok {
		t.Errorf("a way through an interface that does not exist, from %v", from)
	}
	if newLink(func() []netip.Addr { return []netip.Addr{loopback} }).Offline() {
		t.Error("no way to this machine itself")
	}
}
