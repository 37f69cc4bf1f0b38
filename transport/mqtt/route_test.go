package mqtt

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport/mqtt/mqtttest"
	"github.com/lensward/lensward/transport/recovery"
)

// network is what a route sees: names, and servers of which each is well or fails in
// its way.
type network struct {
	t      *testing.T
	broker mqtttest.Broker
	route  *Route

	mu     sync.Mutex
	names  map[string][]string
	faults map[string]error // by address
	tried  []string
}

func newNetwork(t *testing.T, names map[string][]string, addresses ...string) *network {
	t.Helper()
	n := &network{t: t, names: names, faults: map[string]error{}}
	var err error
	n.route, err = NewRoute(addresses)
	must(t, err)
	n.route.lookup, n.route.dial = n.lookup, n.dial
	t.Cleanup(n.broker.Close)
	return n
}

func (n *network) lookup(_ context.Context, name string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.names[name] == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	var all []netip.Addr
	for _, a := range n.names[name] {
		all = append(all, netip.MustParseAddr(a))
	}
	return all, nil
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	n.tried = append(n.tried, address)
	fault := n.faults[address]
	n.mu.Unlock()
	if fault == nil {
		return n.broker.Dial(ctx)
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fault}
}

// connect is one slot: it says which addresses were tried. What the broker does after
// the connection stands is up to ok.
func (n *network) connect(ok bool) ([]string, error) {
	n.t.Helper()
	n.mu.Lock()
	n.tried = nil
	n.mu.Unlock()
	conn, _, err := n.route.open(n.t.Context())
	if err == nil {
		must(n.t, conn.Close())
		if ok {
			n.route.done()
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tried, err
}

func three() []string { return []string{"10.0.0.1:8883", "10.0.0.2:8883", "10.0.0.3:8883"} }

// Every address is somebody's first.
func TestRouteDrawsTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		firsts := map[string]int{}
		for range 300 {
			tried, err := newNetwork(t, nil, three()...).connect(true)
			must(t, err)
			firsts[tried[0]]++
		}
		for _, a := range three() {
			if firsts[a] < 50 {
				t.Errorf("%s was the first of %d in 300", a, firsts[a])
			}
		}
	})
}

// What costs no server anything is gone on from within a slot; what may, is not.
func TestRouteWithinASlot(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault error
		tries int
		want  recovery.Outcome
	}{
		{"nobody listens", syscall.ECONNREFUSED, 3, recovery.Dead},
		{"no way there", syscall.ENETUNREACH, 3, recovery.Unreachable},
		{"hung up on", syscall.ECONNRESET, 1, recovery.Refused},
		{"no answer", os.ErrDeadlineExceeded, 1, recovery.TimedOut},
		{"who knows", errors.New("who knows"), 1, recovery.TimedOut},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t, nil, three()...)
			for _, a := range three() {
				n.faults[a] = c.fault
			}
			firsts := map[string]bool{}
			for range 3 {
				tried, err := n.connect(true)
				if len(tried) != c.tries || recovery.Classify(err) != c.want {
					t.Errorf("%s: %v were tried, %v", c.name, tried, err)
				}
				firsts[tried[0]] = true
			}
			if c.tries == 1 && len(firsts) != 3 {
				t.Errorf("%s: three slots went to %v", c.name, firsts)
			}
		})
	}
}

// A dead server says more than a route that is not there.
func TestRouteTellsTheMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			n := newNetwork(t, map[string][]string{"hub": {"10.0.0.1", "2001:db8::1"}}, "hub:8883")
			n.faults["10.0.0.1:8883"], n.faults["[2001:db8::1]:8883"] = syscall.ECONNREFUSED, syscall.ENETUNREACH
			if tried, err := n.connect(true); len(tried) != 2 || recovery.Classify(err) != recovery.Dead {
				t.Errorf("%v were tried, %v", tried, err)
			}
		}
	})
}

// A device stays with an address that served it well, and leaves one that did not.
func TestRouteStaysOrMovesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, nil, three()...)
		next := func(a string) string { return three()[(slices.Index(three(), a)+1)%3] }
		connect := func(ok bool) string {
			tried, err := n.connect(ok)
			must(t, err)
			return tried[len(tried)-1]
		}
		first := connect(true)
		time.Sleep(time.Hour)
		if got := connect(true); got != first {
			t.Errorf("after an hour at %s it went to %s", first, got)
		}
		time.Sleep(time.Minute)
		second := connect(true)
		if second != next(first) {
			t.Errorf("after a minute at %s it went to %s", first, second)
		}
		time.Sleep(time.Hour)
		third := connect(false) // the address took the connection, and then refused
		time.Sleep(time.Hour)
		if got := connect(true); third != second || got != next(second) {
			t.Errorf("refused at %s it went to %s", third, got)
		}
		n.faults[next(next(second))] = syscall.ECONNREFUSED
		if got := connect(true); got != second {
			t.Errorf("past a dead address it went to %s, want %s", got, second)
		}
		if got := n.route.Last(); got != second {
			t.Errorf("the last address is %q", got)
		}
	})
}

// All addresses of all names are used, and each server is asked for its own name.
func TestRouteLooksNamesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, map[string][]string{"a": {"10.0.0.2", "10.0.0.1"}, "b": {"2001:db8::1"}}, "a:1", "b:2")
		seen := map[string]string{}
		for range 3 {
			conn, name, err := n.route.open(t.Context())
			must(t, err)
			must(t, conn.Close())
			seen[n.tried[len(n.tried)-1]] = name
		}
		if len(seen) != 3 || seen["10.0.0.1:1"] != "a" || seen["10.0.0.2:1"] != "a" || seen["[2001:db8::1]:2"] != "b" {
			t.Errorf("connected to %v", seen)
		}
		if got := n.route.Last(); !strings.HasPrefix(got, "a:1 (10.0.0.") && got != "b:2 (2001:db8::1)" {
			t.Errorf("the last address is %q", got)
		}
		if got := n.route.Known(); len(got) != 3 {
			t.Errorf("known: %v", got)
		}
	})
}

// Without names there is no way, unless the names had addresses before.
func TestRouteWithoutNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, map[string][]string{}, "hub:8883")
		if _, err := n.connect(true); recovery.Classify(err) != recovery.NoName {
			t.Errorf("without a name: %v", err)
		}
		n.names["hub"] = []string{"10.0.0.1"}
		_, err := n.connect(true)
		must(t, err)
		delete(n.names, "hub")
		if tried, err := n.connect(true); err != nil || tried[0] != "10.0.0.1:8883" {
			t.Errorf("the name is lost: %v, %v", tried, err)
		}
		n.names["hub"] = []string{"10.0.0.9"}
		if tried, err := n.connect(true); err != nil || tried[0] != "10.0.0.9:8883" {
			t.Errorf("the name has moved: %v, %v", tried, err)
		}
	})
}

// A name that hangs costs five seconds, and the addresses that it had are used.
func TestRouteWithSlowNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, nil, "hub:8883", "10.0.0.1:8883")
		n.route.lookup = func(ctx context.Context, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		if tried, err := n.connect(true); err != nil || tried[0] != "10.0.0.1:8883" || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v, %v", tried, time.Since(start), err)
		}
	})
}

func TestRouteOptions(t *testing.T) {
	for _, bad := range [][]string{nil, {"hub"}, {"hub:"}, {"hub:0x1"}, {":8883"}, {"hub:70000"}, {"good:1", "bad"}} {
		if _, err := NewRoute(bad); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}
