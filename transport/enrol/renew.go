package enrol

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
)

// A certificate's life in parts. With 90 days a fleet's renewals are spread over 22 days
// from the 45th on, and another 22 are left for a hub that is away.
const (
	renewFrom     = 2       // the window begins after life/renewFrom
	renewWindow   = 4       // it is life/renewWindow wide
	expiringLast  = 4       // a certificate is expiring in its last life/expiringLast
	firstBackoff  = 1 << 13 // the first retry comes after life/firstBackoff, a quarter of an hour of 90 days
	longestPause  = 100     // at most life/longestPause between two tries, and at least that after a success
	shortestPause = time.Second
	// lookEvery is how often it is looked whether there is a certificate and a clock that
	// was set, lookAgain how often at one that is not due: the clock may have been changed.
	lookEvery = time.Hour
	lookAgain = 24 * time.Hour
	// momentLabel is of the device's place in the window.
	momentLabel = "certificate"
)

// RenewAt is when a device begins to renew this certificate of its: after half of its
// life, at a place of the device's own in the quarter that follows.
func RenewAt(leaf *x509.Certificate, device seal.ID) time.Time {
	life := lifeOf(leaf)
	return leaf.NotBefore.Add(life/renewFrom + recovery.Moment(device, momentLabel, life/renewWindow))
}

// Expiring says that a certificate is in the last quarter of its life, or past it.
func Expiring(leaf *x509.Certificate, now time.Time) bool {
	return now.After(leaf.NotAfter.Add(-lifeOf(leaf) / expiringLast))
}

// lifeOf is a certificate's life, at most what a Duration holds, 292 years.
func lifeOf(leaf *x509.Certificate) time.Duration { return leaf.NotAfter.Sub(leaf.NotBefore) }

// IsExpired says that a server refused a session because the device's certificate has
// expired, whatever the device's clock says.
func IsExpired(err error) bool {
	// crypto/tls gives the other side's alert in words alone.
	return err != nil && strings.Contains(err.Error(), "remote error: tls: expired certificate")
}

// RenewalOptions are a Renewal's.
type RenewalOptions struct {
	// Options are those of each try; the URL is one of URLs.
	Options
	// URLs are the hub's addresses; after a failure the next one is asked.
	URLs []string
	// Clock is the time, and whether it was ever set; nil is the machine's. While it was
	// not, nothing is renewed until a server says that it is expired.
	Clock func() (time.Time, bool)
	// Seen is told at every look how the certificate is, with the error of the last try
	// to renew it, if it failed; nil tells nobody.
	Seen func(leaf *x509.Certificate, now time.Time, err error)
}

// Renewal renews the device's certificate for as long as it runs.
type Renewal struct {
	o      RenewalOptions
	device seal.ID

	mu     sync.Mutex // one renewal at a time
	failed int        // tries in vain since the last success
}

// NewRenewal is for a device with this key. It returns an error for a key that no device has.
func NewRenewal(o RenewalOptions) (*Renewal, error) {
	id, err := seal.IDOf(o.Key.Public())
	if err != nil {
		return nil, err
	}
	if o.Clock == nil {
		o.Clock = func() (time.Time, bool) { return time.Now(), true }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Seen == nil {
		o.Seen = func(*x509.Certificate, time.Time, error) {}
	}
	return &Renewal{o: o, device: id}, nil
}

// Run looks after the certificate until ctx is done, whose error it returns. It first
// looks at a moment within the hour, sooner where certificates are short: a fleet that
// comes back from an outage has other things to ask.
func (r *Renewal) Run(ctx context.Context) error {
	first := lookEvery
	if cert, err := Load(r.o.Dir, r.o.Key); err == nil {
		first = min(first, lifeOf(cert.Leaf)/longestPause)
	}
	pause := jitter(first)
	for {
		if err := wait.For(ctx, pause); err != nil {
			return err
		}
		pause = r.look(ctx)
	}
}

// look renews the certificate if it is due, and says when to look again.
func (r *Renewal) look(ctx context.Context) time.Duration {
	cert, err := Load(r.o.Dir, r.o.Key)
	if err != nil {
		return lookEvery // whoever connects next gets one
	}
	now, set := r.o.Clock()
	life := lifeOf(cert.Leaf)
	if !set {
		return lookEvery
	}
	if due := RenewAt(cert.Leaf, r.device).Sub(now); due > 0 {
		r.o.Seen(cert.Leaf, now, nil)
		return max(min(due, lookAgain), shortestPause)
	}
	renewed, err := r.Renew(ctx, cert)
	if ctx.Err() != nil {
		return 0
	}
	if err != nil {
		r.o.Seen(cert.Leaf, now, err)
		pause := r.backoff(life, err)
		r.o.Log.Warn("the certificate could not be renewed", slog.Any("error", err), slog.Time("until", cert.Leaf.NotAfter), slog.Duration("again_in", pause))
		return pause
	}
	r.o.Seen(renewed.Leaf, now, nil)
	return max(life/longestPause, shortestPause) // whatever a wrong clock makes of the new one
}

// Renew renews a certificate now, due or not. If another was kept meanwhile it gives that.
func (r *Renewal) Renew(ctx context.Context, old tls.Certificate) (tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kept, err := Load(r.o.Dir, r.o.Key); err == nil && !kept.Leaf.Equal(old.Leaf) {
		return kept, nil
	}
	o := r.o.Options
	o.URL = r.o.URLs[r.failed%len(r.o.URLs)]
	cert, err := Renew(ctx, o, old)
	if err != nil {
		r.failed++
		return tls.Certificate{}, err
	}
	r.failed = 0
	return cert, nil
}

// backoff is how long to wait after a failure: longer each time, as the hub asks, and
// never so long that few tries are left.
func (r *Renewal) backoff(life time.Duration, err error) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	longest := max(life/longestPause, shortestPause)
	pause := min(max(life/firstBackoff, shortestPause)<<min(r.failed-1, 10), longest)
	var status *StatusError
	if errors.As(err, &status) {
		pause = min(max(pause, 2*status.RetryAfter), longest)
	}
	return pause/2 + jitter(pause/2)
}

// jitter is a duration below d.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}
