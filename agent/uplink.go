package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/blob"
	"github.com/lensward/lensward/transport/enrol"
	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/spool"
)

const maxCAFile = 1 << 20

func (a *Agent) spoolDir() string { return filepath.Join(a.config.State.Dir, "spool") }

// deliver takes items from the spool to the hub until ctx is done.
func (a *Agent) deliver(ctx context.Context, store *spool.Spool) error {
	up := a.opts.Uplink
	if up == nil {
		var err error
		if up, err = a.openUplink(); err != nil {
			return err
		}
	}
	set := recovery.DefaultSettings()
	set.First = max(a.config.Hub.ConnectWindow.Duration, time.Millisecond)
	set.Cap = max(set.Cap, set.First)
	d, err := transport.New(transport.Options{
		Dialer: up.Dialer, Queue: store, Uploader: up.Uploader,
		Schedule:   recovery.New(set, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))),
		Record:     a.record,
		Checkpoint: func(ctx context.Context) error { return a.connected(ctx) },
		Status:     a.status,
		Settings:   transport.DefaultSettings(),
		Log:        a.log,
	})
	if err != nil {
		return err
	}
	a.delivery.Store(d)
	return d.Run(ctx)
}

// connected appends a checkpoint. A full spool is no reason not to deliver.
func (a *Agent) connected(ctx context.Context) error {
	if err := a.checkpoint(ctx, "connect"); err != nil && !errors.Is(err, spool.ErrFull) {
		return err
	}
	return nil
}

// record is the ownership record in force. There is one: without, nothing is delivered.
func (a *Agent) record() transport.Record {
	o := a.Known()
	return transport.Record{Bytes: o.Bytes(), Hash: o.Hash()}
}

// status is what the hub is told of the device.
func (a *Agent) status() transport.Status {
	s := transport.Status{Firmware: a.device.Firmware()}
	for _, c := range a.health.List() {
		s.Conditions = append(s.Conditions, c.Name)
	}
	return s
}

// caPool reads the certificates that the hub's must lead to.
func caPool(name string) (*x509.CertPool, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read hub's CA: %w", err)
	}
	if info.Size() > maxCAFile {
		return nil, fmt.Errorf("read hub's CA: %s has %d bytes, at most %d", name, info.Size(), maxCAFile)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read hub's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("read hub's CA: no certificate in %s", name)
	}
	return pool, nil
}

// openUplink is the way to the configured hub.
func (a *Agent) openUplink() (*Uplink, error) {
	c := a.config.Hub
	pool, err := caPool(c.CAFile)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("read hub.url: %w", err)
	}
	up, err := blob.New(blob.Options{Hosts: []string{base.Host}, TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}})
	if err != nil {
		return nil, err
	}
	return &Uplink{Dialer: &enrolledDialer{agent: a, pool: pool}, Uploader: up}, nil
}

// enrolledDialer connects with the certificate that the fleet gave this device,
// and asks for it first where there is none yet. It asks within the slot that it
// was given for connecting: a fleet's first start is no stampede either.
type enrolledDialer struct {
	agent *Agent
	pool  *x509.CertPool
}

// Dial opens a session.
func (d *enrolledDialer) Dial(ctx context.Context) (transport.Session, error) {
	a, c := d.agent, d.agent.config.Hub
	token, err := readToken(c.EnrolTokenFile)
	if err != nil {
		return nil, err
	}
	trust := &tls.Config{RootCAs: d.pool, MinVersion: tls.VersionTLS13}
	cert, err := enrol.LoadOrEnrol(ctx, enrol.Options{
		URL: c.URL, TLS: trust, Token: token, Key: a.device.Key(), Dir: a.device.Dir(), Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	mutual := trust.Clone()
	mutual.Certificates = []tls.Certificate{cert}
	return mqtt.Dial(ctx, mqtt.Options{Device: a.device.ID(), Address: c.Broker, TLS: mutual, Log: a.log})
}

// readToken reads the enrolment token, "" where none is configured.
func readToken(name string) (secret.Text, error) {
	if name == "" {
		return "", nil
	}
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("read enrolment token: %w", err)
	}
	defer f.Close() // read-only: nothing to lose
	b, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return "", fmt.Errorf("read enrolment token: %w", err)
	}
	return secret.Text(strings.TrimSpace(string(b))), nil
}
