package authority

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

const (
	// DefaultLife is how long a device's certificate holds.
	DefaultLife = 90 * 24 * time.Hour
	// DefaultGrace is for how long one that has expired may still be renewed.
	DefaultGrace = 365 * 24 * time.Hour
	// backdated is how long before its making a certificate begins to hold, for brokers
	// whose clocks are behind.
	backdated = 24 * time.Hour

	maxChain        = 64 << 10 // bytes of PEM
	maxCertificates = 8
	commandTimeout  = 30 * time.Second
	maxComplaint    = 512 // bytes of a command's stderr that are kept
)

// Issuer signs devices' certificates. What it signs is checked before it is given to a
// device, so that a mistake of its shows at the hub.
type Issuer interface {
	// Issue gives a chain (PEM, the device's certificate first) for a request whose
	// signature and name have been checked. The certificate has to be for the request's
	// key and have its common name, for client authentication.
	Issue(ctx context.Context, request *x509.CertificateRequest) (chain []byte, err error)
	// Roots are the certificates that its chains lead to.
	Roots() []*x509.Certificate
}

// Devices is the hub's own CA as an Issuer.
type Devices struct {
	authority *Authority
	life      time.Duration
}

// Devices issues certificates that hold for life; 0 is DefaultLife.
func (a *Authority) Devices(life time.Duration) *Devices {
	if life <= 0 {
		life = DefaultLife
	}
	return &Devices{authority: a, life: life}
}

// Issue signs a certificate for the request's key and name; all else in it is ignored.
func (d *Devices) Issue(_ context.Context, request *x509.CertificateRequest) ([]byte, error) {
	pub, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("issue certificate: not an ECDSA key")
	}
	now := time.Now()
	cert, err := d.authority.client(pub, request.Subject.CommonName, now.Add(-backdated), now.Add(d.life))
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), d.authority.PEM()...), nil
}

// Roots is the CA's certificate.
func (d *Devices) Roots() []*x509.Certificate { return []*x509.Certificate{d.authority.cert} }

// Command is a program as an Issuer: it gets the request (PEM) on its standard input, and
// the device's ID as its last argument, and prints the chain. So any CA with a command
// line can sign for a fleet.
type Command struct {
	argv  []string
	roots []*x509.Certificate
}

// NewCommand takes the program with its arguments, and the roots (PEM) of its chains.
func NewCommand(argv []string, roots []byte) (*Command, error) {
	if len(argv) == 0 {
		return nil, errors.New("set up issuer: no command")
	}
	certs, err := parseCertificates(roots)
	if err != nil {
		return nil, fmt.Errorf("set up issuer: roots: %w", err)
	}
	return &Command{argv: argv, roots: certs}, nil
}

// Issue runs the command for at most 30 seconds.
func (c *Command) Issue(ctx context.Context, request *x509.CertificateRequest) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	args := append(append([]string(nil), c.argv[1:]...), request.Subject.CommonName)
	cmd := exec.CommandContext(ctx, c.argv[0], args...)
	cmd.WaitDelay = time.Second
	var out, complaint limited
	out.limit, complaint.limit = maxChain+1, maxComplaint
	cmd.Stdin = bytes.NewReader(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request.Raw}))
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("run issuer %s: %w: %q", c.argv[0], err, bytes.TrimSpace(complaint.b))
	}
	return out.b, nil
}

// Roots are as they were given.
func (c *Command) Roots() []*x509.Certificate { return c.roots }

// limited keeps the beginning of what is written to it.
type limited struct {
	b     []byte
	limit int
}

// Write never fails: who writes more is not stopped.
func (l *limited) Write(p []byte) (int, error) {
	l.b = append(l.b, p[:min(len(p), l.limit-len(l.b))]...)
	return len(p), nil
}

// parseCertificates reads one or more certificates (PEM) and nothing else.
func parseCertificates(b []byte) (certs []*x509.Certificate, err error) {
	if len(b) > maxChain {
		return nil, fmt.Errorf("larger than %d bytes", maxChain)
	}
	for rest := bytes.TrimSpace(b); len(rest) > 0 || certs == nil; rest = bytes.TrimSpace(rest) {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" || len(certs) == maxCertificates {
			return nil, fmt.Errorf("not one to %d PEM certificates", maxCertificates)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs, rest = append(certs, cert), after
	}
	return certs, nil
}

// poolOf holds these certificates.
func poolOf(certs []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

// leads checks that a device's certificate, the first, leads to the roots and holds at
// that time.
func leads(certs, roots []*x509.Certificate, at time.Time) error {
	_, err := certs[0].Verify(x509.VerifyOptions{
		Roots: poolOf(roots), Intermediates: poolOf(certs[1:]), CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

// checkIssued checks that an issuer did what it was asked.
func checkIssued(chain []byte, device seal.ID, roots []*x509.Certificate, now time.Time) error {
	certs, err := parseCertificates(chain)
	if err != nil {
		return fmt.Errorf("check what was issued: %w", err)
	}
	got, err := DeviceID(certs[0])
	if err == nil && got != device {
		err = fmt.Errorf("it is for device %s", got.Short())
	}
	if err == nil {
		err = leads(certs, roots, now)
	}
	if err != nil {
		return fmt.Errorf("check what was issued: %w", err)
	}
	return nil
}
