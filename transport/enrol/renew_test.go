package enrol

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/seal"
)

const day = 24 * time.Hour

// pipes is a listener in memory.
type pipes struct {
	waiting chan net.Conn
	closed  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.waiting:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.waiting <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// office is a hub that renews, in a bubble.
type office struct {
	*fleet
	pipes
	mu     sync.Mutex
	life   time.Duration
	away   func(time.Time) bool // answers 503
	served []time.Time
	tried  []time.Time
}

// openOffice serves until the test ends.
func openOffice(t *testing.T) *office {
	o := &office{fleet: newFleet(t), pipes: pipes{make(chan net.Conn), make(chan struct{})}, life: 90 * day, away: func(time.Time) bool { return false }}
	o.fleet.cert = nil
	o.fleet.cert = o.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "fleet"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(50, 0, 0)}, o.key.Public())
	key := newKey(t)
	server := o.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "hub"}, DNSNames: []string{"hub"}, NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(50, 0, 0)}, key.Public())
	s := &http.Server{Handler: o, TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{server.Raw}, PrivateKey: key}}, ClientAuth: tls.RequestClientCert}}
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(o, "", "") }()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
		time.Sleep(time.Minute) // both ends of a pipe may be saying goodbye, which TLS gives 5 s
	})
	return o
}

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tried = append(o.tried, time.Now())
	body, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/renew" || len(r.TLS.PeerCertificates) == 0 {
		o.t.Errorf("%s, %v", r.URL, err)
	}
	if o.away(time.Now()) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	o.served = append(o.served, time.Now())
	_, _ = w.Write(o.issueFor(body))
}

func (o *office) issueFor(body []byte) []byte {
	o.change = func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now(), time.Now().Add(o.life) }
	return o.issue(body)
}

// device is enrolled now, and renews until ctx ends.
func (o *office) device(t *testing.T, key *ecdsa.PrivateKey, change func(*RenewalOptions)) (*durable.Dir, *Renewal) {
	t.Helper()
	request, err := Request(key)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := durable.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o.mu.Lock()
	chain := o.issueFor(request)
	o.mu.Unlock()
	if err := dir.WriteFile(fileName, chain, 0o600); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(o.cert)
	ro := RenewalOptions{Options: Options{TLS: &tls.Config{RootCAs: pool}, Key: key, Dir: dir, Dial: o.dial}, URLs: []string{"https://hub"}}
	if change != nil {
		change(&ro)
	}
	r, err := NewRenewal(ro)
	if err != nil {
		t.Fatal(err)
	}
	return dir, r
}

// A fleet that was enrolled in one hour renews over weeks, each device once in its
// certificate's life, and long before that ends.
func TestFleetRenewsInSlots(t *testing.T) {
	const devices = 200
	synctest.Test(t, func(t *testing.T) {
		o := openOffice(t)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		began := time.Now()
		for range devices {
			_, r := o.device(t, newKey(t), nil)
			all.Go(func() { _ = r.Run(ctx) })
		}
		time.Sleep(80 * day)
		o.mu.Lock()
		days := make(map[int]int)
		for _, at := range o.served {
			days[int(at.Sub(began)/day)]++
		}
		served := len(o.served)
		first, last := o.served[0].Sub(began), o.served[served-1].Sub(began)
		o.mu.Unlock()
		busiest := 0
		for _, n := range days {
			busiest = max(busiest, n)
		}
		t.Logf("%d devices of one hour: %d renewals in 80 days, from day %.1f to day %.1f, on %d days, at most %d on one (%.1f on average over 22.5)",
			devices, served, first.Hours()/24, last.Hours()/24, len(days), busiest, devices/22.5)
		if served != devices || first < 45*day || last > 68*day || len(days) < 20 || busiest > 3*devices/22 {
			t.Error("they are not spread")
		}
		cancel()
		all.Wait()
	})
}

// RenewAt spreads any number of devices evenly over the window.
func TestRenewAt(t *testing.T) {
	leaf := &x509.Certificate{NotBefore: time.Unix(1_800_000_000, 0), NotAfter: time.Unix(1_800_000_000, 0).Add(80 * day)}
	var slots [20]int
	for i := range 20_000 {
		var id seal.ID
		id[0], id[1] = byte(i), byte(i>>8)
		at := RenewAt(leaf, id).Sub(leaf.NotBefore)
		if at < 40*day || at >= 60*day {
			t.Fatalf("device %d renews after %v", i, at)
		}
		slots[int((at-40*day)/day)]++
	}
	if low, high := slices.Min(slots[:]), slices.Max(slots[:]); low < 850 || high > 1150 {
		t.Errorf("a day has %d to %d of 20,000 devices, not 1,000", low, high)
	}
	// A certificate that never ends is not renewed in anybody's time.
	leaf.NotBefore, leaf.NotAfter = time.Unix(0, 0), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	if at := RenewAt(leaf, seal.ID{1}); at.Year() < 2100 || Expiring(leaf, time.Unix(1_800_000_000, 0)) {
		t.Errorf("one without end is renewed %v", at)
	}
}

// The hub is away for weeks: tries get rarer, the condition says so in the last quarter,
// and once it is back the certificate is renewed within a day.
func TestHubIsAwayForWeeks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := openOffice(t)
		began := time.Now()
		back := began.Add(80 * day)
		o.away = func(now time.Time) bool { return now.Before(back) }
		var expiring, good time.Duration
		dir, r := o.device(t, newKey(t), func(ro *RenewalOptions) {
			ro.Seen = func(leaf *x509.Certificate, now time.Time, err error) {
				switch {
				case Expiring(leaf, now) && expiring == 0:
					if expiring = now.Sub(began); err == nil {
						t.Error("no cause is given")
					}
				case !Expiring(leaf, now) && expiring != 0 && good == 0:
					good = now.Sub(began)
				}
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _ = r.Run(ctx) })
		time.Sleep(85 * day)
		cancel()
		all.Wait()
		cert, err := Load(dir, r.o.Key)
		if err != nil || cert.Leaf.NotAfter.Before(back.Add(89*day)) {
			t.Fatalf("until %v, %v", cert.Leaf.NotAfter, err)
		}
		tries, renewed := len(o.tried), o.served[0].Sub(began)
		t.Logf("%d tries; said to be expiring on day %.1f, renewed on day %.1f", tries, expiring.Hours()/24, renewed.Hours()/24)
		if len(o.served) != 1 || renewed > 81*day || tries < 15 || tries > 120 || expiring < 67*day || expiring > 69*day || good < renewed.Truncate(day) {
			t.Error("it is tried too often or too rarely, or not said")
		}
	})
}

// A clock that was never set renews nothing, one that is years ahead not without end.
func TestWrongClocks(t *testing.T) {
	for name, c := range map[string]struct {
		clock func() (time.Time, bool)
		most  int
	}{
		"never set":   {func() (time.Time, bool) { return time.Unix(0, 0), false }, 0},
		"years ahead": {func() (time.Time, bool) { return time.Now().AddDate(5, 0, 0), true }, 40},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := openOffice(t)
			_, r := o.device(t, newKey(t), func(ro *RenewalOptions) { ro.Clock = c.clock })
			ctx, cancel := context.WithTimeout(t.Context(), 30*day)
			defer cancel()
			if err := r.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			if n := len(o.tried); n > c.most {
				t.Errorf("%s: %d renewals in 30 days", name, n)
			}
		})
	}
}

// The power is cut at every step of keeping a renewed certificate: what is there is the
// old one or the new one, whole, and good for the key.
func TestPowerCutWhileRenewing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := openOffice(t)
		key := newKey(t)
		dir, r := o.device(t, key, nil)
		old, err := Load(dir, key)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * day)
		cuts, olds, news := 0, 0, 0
		cutter := durabletest.NewCutter(t, dir.Path(""), func(c durabletest.Crash) {
			after, err := durable.Open(c.Root)
			if err != nil {
				t.Fatalf("%v: %v", c, err)
			}
			kept, err := Load(after, key)
			if err != nil {
				t.Fatalf("%v: neither is there: %v", c, err)
			}
			cuts++
			if kept.Leaf.Equal(old.Leaf) {
				olds++
			} else {
				news++
			}
		})
		if r.o.Dir, err = durable.Open(dir.Path(""), durable.WithHook(cutter.Hook)); err != nil {
			t.Fatal(err)
		}
		renewed, err := r.Renew(t.Context(), old)
		if err != nil || renewed.Leaf.Equal(old.Leaf) {
			t.Fatal(err)
		}
		t.Logf("%d cuts in %d steps: %d times the old certificate, %d times the new one, never neither", cuts, cutter.Steps(), olds, news)
		if olds == 0 || news == 0 {
			t.Error("no cut made a difference")
		}
		// Whoever asks with the old one gets what is kept, without asking the hub again.
		again, err := r.Renew(t.Context(), old)
		if err != nil || !again.Leaf.Equal(renewed.Leaf) || len(o.served) != 1 {
			t.Errorf("asked %d times, %v", len(o.served), err)
		}
	})
}

func TestIsExpired(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false}, {errors.New("remote error: tls: bad certificate"), false},
		{fmt.Errorf("connect: %w", errors.New("remote error: tls: expired certificate")), true},
	} {
		if IsExpired(c.err) != c.want {
			t.Errorf("%v", c.err)
		}
	}
}
