package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/url"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/blob"
	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
)

const maxCAFile = 1 << 20

// fleetCA is what the hub's CA file holds.
type fleetCA struct {
	pem   []byte
	pool  *x509.CertPool
	first *x509.Certificate
}

// readCA reads the certificates that the hub's must lead to.
func readCA(name string) (*fleetCA, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read hub's CA: %w", err)
	}
	if info.Size() > maxCAFile {
		return nil, fmt.Errorf("read hub's CA: %s has %d bytes, at most %d", name, info.Size(), maxCAFile)
	}
	ca := &fleetCA{pool: x509.NewCertPool()}
	if ca.pem, err = os.ReadFile(name); err != nil {
		return nil, fmt.Errorf("read hub's CA: %w", err)
	}
	block, _ := pem.Decode(ca.pem)
	if block == nil || !ca.pool.AppendCertsFromPEM(ca.pem) {
		return nil, fmt.Errorf("read hub's CA: no certificate in %s", name)
	}
	if ca.first, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("read hub's CA: %s: %w", name, err)
	}
	return ca, nil
}

// webPool holds the system's authorities and the hub's.
func (ca *fleetCA) webPool() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without any
	}
	pool.AppendCertsFromPEM(ca.pem)
	return pool
}

// openUplink is the way to the configured hub.
func (a *Agent) openUplink() (*Uplink, error) {
	c := a.config.Hub
	ca, err := readCA(c.CAFile)
	if err != nil {
		return nil, err
	}
	route, err := mqtt.NewRoute(c.Broker)
	if err != nil {
		return nil, err
	}
	var hosts []string
	for _, u := range c.URL {
		base, err := url.Parse(u)
		if err != nil {
			return nil, fmt.Errorf("read hub.url: %w", err)
		}
		hosts = append(hosts, base.Host)
	}
	// Not the session's cache: tickets are for a certificate, and uploads show none.
	tickets := tls.NewLRUClientSessionCache(ticketCache)
	uploader, err := blob.New(blob.Options{
		Hosts: hosts, TLS: &tls.Config{RootCAs: ca.pool, MinVersion: tls.VersionTLS13, ClientSessionCache: tickets},
	})
	if err != nil {
		return nil, err
	}
	link := newLink(route.Known)
	certificates, err := a.newCertificates(&tls.Config{RootCAs: ca.pool, MinVersion: tls.VersionTLS13})
	if err != nil {
		return nil, err
	}
	up := &Uplink{
		Dialer: &enrolledDialer{agent: a, certificates: certificates, route: route}, Uploader: uploader,
		Offline: link.Offline, Run: together(link.Run, certificates.renewal.Run), Address: route.Last,
	}
	return up, a.openHints(up, ca)
}

// openHints adds to the way where the hub's hints come from and are kept.
func (a *Agent) openHints(up *Uplink, ca *fleetCA) error {
	hub, err := seal.IDOf(ca.first.PublicKey)
	if err != nil {
		a.log.Warn("hints of the hub cannot be verified: the first certificate in hub.ca_file is not of an ECDSA P-256 key", slog.Any("error", err))
		return nil
	}
	up.Hints = hint.Open(a.device.Dir(), hub, a.log)
	if a.config.Hub.HintURL == "" {
		return nil
	}
	f, err := hint.NewFetcher(hint.FetchOptions{URL: a.config.Hub.HintURL, TLS: &tls.Config{RootCAs: ca.webPool()}})
	if err != nil {
		return fmt.Errorf("read hub.hint_url: %w", err)
	}
	up.Fetch = f.Fetch
	return nil
}

// ticketCache is how many servers' TLS sessions are kept to be resumed.
const ticketCache = 16

// enrolledDialer connects with the certificate that the fleet gave this device,
// and asks for it first where there is none yet. It asks within the slot that it
// was given for connecting: a fleet's first start is no stampede either.
type enrolledDialer struct {
	agent        *Agent
	certificates *certificates
	route        *mqtt.Route

	leaf    []byte // the certificate that tickets are for
	tickets tls.ClientSessionCache
}

// Dial opens a session.
func (d *enrolledDialer) Dial(ctx context.Context) (transport.Session, error) {
	s, err := d.dial(ctx)
	d.agent.noteStranger(err)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (d *enrolledDialer) dial(ctx context.Context) (*mqtt.Session, error) {
	a := d.agent
	cert, err := d.certificates.get(ctx)
	if err != nil {
		return nil, err
	}
	mutual := d.certificates.trust.Clone()
	mutual.Certificates, mutual.ClientSessionCache = []tls.Certificate{cert}, d.ticketsFor(cert)
	s, err := mqtt.Dial(ctx, mqtt.Options{Device: a.device.ID(), Route: d.route, TLS: mutual, Log: a.log})
	d.certificates.connected(err)
	return s, err
}

// ticketsFor is the cache of TLS sessions for a certificate. Another certificate begins
// with none: a resumed session would still speak for the one before.
func (d *enrolledDialer) ticketsFor(cert tls.Certificate) tls.ClientSessionCache {
	if leaf := cert.Certificate[0]; !bytes.Equal(leaf, d.leaf) {
		d.leaf, d.tickets = leaf, tls.NewLRUClientSessionCache(ticketCache)
	}
	return d.tickets
}

// noteStranger says by a condition that something answers in the hub's place.
func (a *Agent) noteStranger(err error) {
	const name = "captive-network"
	if !recovery.IsStranger(err) {
		a.health.Clear(name)
		return
	}
	cause := fmt.Sprintf("something else answers in the hub's place (%v); hint: sign in to this network, or let the camera through it; if the hub has a new CA, set hub.ca_file", err)
	if a.health.Set(name, health.Failure, cause) {
		a.log.Warn("something else answers in the hub's place, such as the login page of a guest network", slog.Any("error", err))
	}
}

// together runs both until one of them ends.
func together(a, b func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return a(ctx) })
		g.Go(func() error { return b(ctx) })
		return g.Wait()
	}
}
