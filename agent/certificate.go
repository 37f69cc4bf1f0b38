package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/hw/devicekey"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/enrol"
	"github.com/lensward/lensward/transport/seal"
)

const maxTokenFile = 4 << 10

// certificates gets the device its certificate and keeps it good.
type certificates struct {
	agent   *Agent
	trust   *tls.Config // RootCAs are the fleet's
	renewal *enrol.Renewal

	asked   int // how often a certificate was asked for in vain: the next node's turn
	forget  sync.Once
	expired bool // the hub has said so of the one that is kept
}

func (a *Agent) newCertificates(trust *tls.Config) (*certificates, error) {
	c := &certificates{agent: a, trust: trust}
	o := c.options()
	o.URL, o.Token, o.Record = "", "", nil
	var err error
	c.renewal, err = enrol.NewRenewal(enrol.RenewalOptions{
		Options: o, URLs: a.config.Hub.URL, Clock: setClock, Seen: c.seen,
	})
	return c, err
}

// options are those of every request.
func (c *certificates) options() enrol.Options {
	a := c.agent
	return enrol.Options{TLS: c.trust, Prover: prover{a.device.Key()}, Key: a.device.Key(), Dir: a.device.Dir(), Log: a.log}
}

// setClock is the time, and whether the clock was ever set.
func setClock() (time.Time, bool) {
	now := time.Now()
	return now, clockTrust(now) != seal.ClockUnset
}

// get gives the certificate to connect with, and asks the hub for it where there is none,
// or the hub says that it has expired.
func (c *certificates) get(ctx context.Context) (tls.Certificate, error) {
	a := c.agent
	cert, err := enrol.Load(a.device.Dir(), a.device.Key())
	switch {
	case err == nil && !enrol.IsFrom(cert, c.trust.RootCAs):
		a.log.Warn("the kept certificate is of another fleet; enrolling at this one")
		cert, err = c.enrol(ctx)
	case err == nil && c.expired:
		cert, err = c.revive(ctx, cert)
	case errors.Is(err, enrol.ErrChain):
		a.log.Warn("the kept certificate is not good; enrolling again", slog.Any("error", err))
		cert, err = c.enrol(ctx)
	case errors.Is(err, enrol.ErrNone):
		cert, err = c.enrol(ctx)
	}
	if err != nil {
		return tls.Certificate{}, err
	}
	c.expired = false
	c.forget.Do(c.forgetToken)
	return cert, nil
}

// revive renews a certificate that has expired. Where the hub will not, the device enrols
// as a new one does.
func (c *certificates) revive(ctx context.Context, old tls.Certificate) (tls.Certificate, error) {
	cert, err := c.renewal.Renew(ctx, old)
	var status *enrol.StatusError
	if errors.As(err, &status) && status.Code == http.StatusForbidden {
		c.agent.log.Warn("the expired certificate cannot be renewed; enrolling again", slog.Any("error", err))
		return c.enrol(ctx)
	}
	return cert, err
}

// enrol asks for a first certificate, by the token or else by the ownership record.
func (c *certificates) enrol(ctx context.Context) (tls.Certificate, error) {
	a, o := c.agent, c.options()
	token, err := a.readToken()
	if err != nil {
		return tls.Certificate{}, err
	}
	urls := a.config.Hub.URL
	o.URL, o.Token = urls[c.asked%len(urls)], token
	if owned := a.Known(); owned != nil {
		o.Record = owned.Bytes()
	}
	cert, err := enrol.Enrol(ctx, o)
	if err != nil {
		c.asked++
	}
	return cert, err
}

// connected takes in how a connect with the certificate went.
func (c *certificates) connected(err error) {
	if enrol.IsExpired(err) {
		c.expired = true
		c.agent.log.Warn("the hub says that the certificate has expired; it is renewed before the next connect")
	}
}

// seen says by a condition that the certificate ends soon.
func (c *certificates) seen(leaf *x509.Certificate, now time.Time, err error) {
	const name = "certificate-expiring"
	a := c.agent
	if !enrol.Expiring(leaf, now) {
		a.health.Clear(name)
		return
	}
	until := leaf.NotAfter.UTC().Format(time.DateOnly)
	cause := fmt.Sprintf("the hub's certificate for this device ends on %s and could not be renewed: %v", until, err)
	if err == nil {
		cause = fmt.Sprintf("the hub's certificate for this device ends on %s", until)
	}
	if a.health.Set(name, health.Warning, cause) {
		a.log.Warn("the certificate ends soon", slog.String("cause", cause))
	}
}

// readToken reads the enrolment token, "" where there is none.
func (a *Agent) readToken() (secret.Text, error) {
	name := a.config.Hub.EnrolTokenFile
	if name == "" {
		return "", nil
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("there is no enrolment token: it was used, or never put there", slog.String("file", name))
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read enrolment token: %w", err)
	}
	defer f.Close() // read-only: nothing to lose
	b, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
	if err != nil {
		return "", fmt.Errorf("read enrolment token: %w", err)
	}
	return secret.Text(strings.TrimSpace(string(b))), nil
}

// forgetToken removes a claim token, which is worth nothing once there is a certificate.
// A fleet's own token stays: it may be needed again.
func (c *certificates) forgetToken() {
	a := c.agent
	name := a.config.Hub.EnrolTokenFile
	if _, err := os.Stat(name); name == "" || err != nil {
		return
	}
	token, err := a.readToken()
	if err == nil && !enrol.IsToken(string(token)) {
		return
	}
	var dir *durable.Dir
	if err == nil {
		dir, err = durable.Open(filepath.Dir(name))
	}
	if err == nil {
		err = dir.Remove(filepath.Base(name))
	}
	if err != nil {
		a.log.Warn("the claim token was used and is still in its file", slog.String("file", name), slog.Any("error", err))
		return
	}
	a.log.Info("the claim token was used, and its file removed", slog.String("file", name))
}

// prover says of the device's key how it is kept.
type prover struct{ key *devicekey.Key }

// Extension is enrol.Prover's.
func (p prover) Extension(ctx context.Context) (pkix.Extension, bool, error) {
	s, err := p.key.Statement(ctx)
	if err != nil {
		return pkix.Extension{}, false, err
	}
	e, err := s.Extension()
	return e, len(s.Endorsements) > 0, err
}

// Answer is enrol.Prover's.
func (p prover) Answer(ctx context.Context, challenge []byte) ([]byte, error) {
	return p.key.Answer(ctx, challenge)
}
