package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lensward/lensward/transport/recovery"
)

const (
	// lookupTimeout is how long a name may take before the addresses are used that it had.
	lookupTimeout = 5 * time.Second
	// settled is how long ago the last connect must be for its address to be the first again.
	settled = 5 * time.Minute
	// maxPerName bounds the addresses of one name.
	maxPerName = 16
)

// Route finds the way to a broker that has several addresses: several names, and all the
// addresses of each. The first is drawn. After that a connect begins with the address of
// the last session if that began well, a while ago; else with the one after it.
//
// One connect goes on to the next address only where the last could cost no server
// anything: nobody listened there, or there was no way to it. Where a server refused, or
// did not answer in time, all may be overloaded alike, and the next address has to wait
// for the next slot.
//
// Names are looked up at each connect. One that cannot be keeps the addresses that it had.
type Route struct {
	hosts  []host
	lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	known  map[string][]netip.Addr // by name
	at     target                  // what the last connect used
	since  time.Time               // when
	failed bool                    // it came to nothing
}

// host is a name, or an address, and a port.
type host struct {
	name string
	port uint16
}

// target is one address of a host.
type target struct {
	host host
	addr netip.Addr
}

func (t target) String() string {
	return net.JoinHostPort(t.addr.String(), strconv.Itoa(int(t.host.port)))
}

// NewRoute makes a route to these addresses, each "host:port".
func NewRoute(addresses []string) (*Route, error) {
	r := &Route{
		lookup: func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		},
		dial:  new(net.Dialer).DialContext,
		known: make(map[string][]netip.Addr),
	}
	for _, a := range addresses {
		name, text, err := net.SplitHostPort(a)
		if err != nil {
			return nil, fmt.Errorf("read the broker's address: %w", err)
		}
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || name == "" {
			return nil, fmt.Errorf("read the broker's address %q: not a host and a port", a)
		}
		r.hosts = append(r.hosts, host{name, uint16(port)})
	}
	if len(r.hosts) == 0 {
		return nil, errors.New("no address of the broker was given")
	}
	return r, nil
}

// Last is the address that the last connect used, "" before the first.
func (r *Route) Last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.since.IsZero():
		return ""
	case r.at.host.name == r.at.addr.String():
		return r.at.String()
	default:
		return fmt.Sprintf("%s (%s)", net.JoinHostPort(r.at.host.name, strconv.Itoa(int(r.at.host.port))), r.at.addr)
	}
}

// Known lists the addresses that are known without asking anyone.
func (r *Route) Known() []netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []netip.Addr
	for _, h := range r.hosts {
		if addr, err := netip.ParseAddr(h.name); err == nil {
			all = append(all, addr)
		}
		all = append(all, r.known[h.name]...)
	}
	return all
}

// open connects, and gives the name that the server's certificate must have.
func (r *Route) open(ctx context.Context) (conn net.Conn, name string, err error) {
	targets, err := r.targets(ctx)
	if err != nil {
		return nil, "", err
	}
	start := r.start(targets)
	for i := range targets {
		t := targets[(start+i)%len(targets)]
		r.use(t)
		conn, e := r.dial(ctx, "tcp", t.String())
		if e == nil {
			return conn, t.host.name, nil
		}
		outcome := recovery.Classify(e)
		if err == nil || outcome != recovery.Unreachable { // a dead server tells more than a missing route
			err = e
		}
		if outcome != recovery.Dead && outcome != recovery.Unreachable {
			break
		}
	}
	return nil, "", err
}

// targets are all the addresses there are, in an order that stays.
func (r *Route) targets(ctx context.Context) ([]target, error) {
	found := make([][]netip.Addr, len(r.hosts))
	errs := make([]error, len(r.hosts))
	var asking sync.WaitGroup
	for i, h := range r.hosts {
		asking.Go(func() { found[i], errs[i] = r.resolve(ctx, h.name) })
	}
	asking.Wait()
	var all []target
	for i, h := range r.hosts {
		for _, addr := range found[i] {
			all = append(all, target{h, addr})
		}
	}
	if len(all) == 0 {
		return nil, errors.Join(errs...)
	}
	return all, nil
}

// resolve gives a name's addresses: those that it has, or had.
func (r *Route) resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{addr}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := r.lookup(ctx, name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if had := r.known[name]; len(had) > 0 {
			return had, nil
		}
		return nil, fmt.Errorf("look up the broker: %w", err)
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare)
	r.known[name] = slices.Compact(found[:min(len(found), maxPerName)])
	return r.known[name], nil
}

// start is where in the list a connect begins.
func (r *Route) start(targets []target) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.Index(targets, r.at)
	switch {
	case at < 0:
		return rand.N(len(targets))
	case r.failed || time.Since(r.since) < settled:
		return at + 1
	default:
		return at
	}
}

// use notes which address is tried. It counts as failed until done says otherwise.
func (r *Route) use(t target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.since, r.failed = t, time.Now(), true
}

// done notes that the connect to the address in use came to a session.
func (r *Route) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = false
}
