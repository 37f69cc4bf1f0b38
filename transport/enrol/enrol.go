// Package enrol gets a device its certificate from a fleet, and the next one long before
// that ends: the device's side of docs/ref/enrolment.md, and the forms of what goes over
// the wire.
//
// It owns the certificate file, which is written durably and only after the certificate
// was found to be this key's, from the fleet that was asked. It never makes or sees a
// private key (it signs through a crypto.Signer), never decides when to try again to get
// a first certificate, and a certificate says nothing about whose the camera is.
package enrol

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/seal"
)

const (
	fileName  = "certificate.pem"
	mediaType = "application/x-pem-file"
	// maxChain is the largest certificate chain, in bytes of PEM.
	maxChain = 64 << 10
	// maxCertificates is how many certificates a chain may have.
	maxCertificates = 8
	maxDetail       = 256 // of an error answer, kept for a person
	maxRetryAfter   = 24 * time.Hour
	defaultTimeout  = time.Minute
)

var (
	// ErrNone means that there is no certificate yet.
	ErrNone = errors.New("the device is not enrolled")
	// ErrChain means that a certificate chain is not one, or not this device's, or not
	// from the fleet.
	ErrChain = errors.New("not a certificate chain of this device")
)

// Options say where to enrol, and as whom.
type Options struct {
	// URL is the hub's HTTPS address for devices, such as "https://hub.example:8443".
	URL string
	// TLS holds in RootCAs the fleet's authorities: they sign the hub's certificate and
	// must sign the device's. Needed.
	TLS *tls.Config
	// Token is sent to a hub that asks for one; "" sends none.
	Token secret.Text
	// Record is the ownership record that the device has accepted, by which a hub may let
	// it in. It is sent where there is no token.
	Record []byte
	// Prover says how the key is kept, and proves it; nil says nothing.
	Prover Prover
	// Key is the device's key.
	Key crypto.Signer
	// Dir is where the certificate is kept.
	Dir *durable.Dir
	// Timeout bounds one try; default one minute.
	Timeout time.Duration
	// Dial opens a connection in place of TCP; for tests.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Log is told when a certificate is got or found broken; default none.
	Log *slog.Logger
}

// Prover says of the device's key how it is kept.
type Prover interface {
	// Extension is the statement in the certificate request; provable says that a
	// challenge could be answered.
	Extension(ctx context.Context) (e pkix.Extension, provable bool, err error)
	// Answer answers a hub's challenge.
	Answer(ctx context.Context, challenge []byte) ([]byte, error)
}

// StatusError is a hub that answered, and not with a certificate.
type StatusError struct {
	// Code is the HTTP status.
	Code int
	// Detail is the start of what the hub said, for a person.
	Detail string
	// RetryAfter is how long the hub asks to be left alone, at most a day; 0 if it does not.
	RetryAfter time.Duration
}

// Error gives the status and the detail.
func (e *StatusError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("the hub answers %d %s: %s", e.Code, http.StatusText(e.Code), e.Detail), ": ")
}

// Refused is true: a live hub said no.
func (e *StatusError) Refused() bool { return true }

// LoadOrEnrol gives the certificate that is kept, or asks the hub once for one if there is
// none or it is not good. When to ask again is the caller's to decide.
func LoadOrEnrol(ctx context.Context, o Options) (tls.Certificate, error) {
	cert, err := Load(o.Dir, o.Key)
	if err == nil {
		return cert, nil
	}
	if errors.Is(err, ErrChain) && o.Log != nil {
		o.Log.Warn("the kept certificate is not good; enrolling again", slog.Any("error", err))
	} else if !errors.Is(err, ErrNone) && !errors.Is(err, ErrChain) {
		return tls.Certificate{}, err
	}
	return Enrol(ctx, o)
}

// Load gives the certificate that is kept for a key: ErrNone if there is none, ErrChain if
// what is kept is not one for this key.
func Load(dir *durable.Dir, key crypto.Signer) (tls.Certificate, error) {
	data, err := dir.ReadFile(fileName, maxChain)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return tls.Certificate{}, fmt.Errorf("read certificate: %w", ErrNone)
	case errors.Is(err, durable.ErrTooLarge):
		return tls.Certificate{}, fmt.Errorf("read certificate: %w: %w", ErrChain, err)
	case err != nil:
		return tls.Certificate{}, fmt.Errorf("read certificate: %w", err)
	}
	cert, err := parse(data, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read certificate %s: %w", dir.Path(fileName), err)
	}
	return cert, nil
}

// Enrol asks the hub for a certificate, checks it, and has it on stable storage before it
// returns it. A certificate that was kept before is replaced only then. Errors: a
// *StatusError, an ErrChain, or what went wrong on the way.
func Enrol(ctx context.Context, o Options) (tls.Certificate, error) {
	if o.Token != "" {
		o.Record = nil
	}
	cert, err := get(ctx, o, "enrol")
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("enrol at %s: %w", o.URL, err)
	}
	if o.Log != nil {
		o.Log.Info("enrolled", slog.Time("until", cert.Leaf.NotAfter))
	}
	return cert, nil
}

// Renew gets another certificate in place of old, which shows that the device was let in
// before; otherwise it is as Enrol. An old one that has expired is the hub's to judge.
func Renew(ctx context.Context, o Options, old tls.Certificate) (tls.Certificate, error) {
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
		o.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &old, nil }
	}
	o.Token, o.Record = "", nil
	cert, err := get(ctx, o, "renew")
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("renew certificate at %s: %w", o.URL, err)
	}
	if o.Log != nil {
		o.Log.Info("certificate renewed", slog.Time("until", cert.Leaf.NotAfter))
	}
	return cert, nil
}

// get asks for a certificate at a path of the hub's, checks it and keeps it.
func get(ctx context.Context, o Options, path string) (tls.Certificate, error) {
	if o.TLS == nil || o.TLS.RootCAs == nil {
		return tls.Certificate{}, errors.New("no authority of the fleet was given")
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	m, err := message(ctx, o)
	if err != nil {
		return tls.Certificate{}, err
	}
	a, err := ask(ctx, o, path, m)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := parse(a.body, o.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := fromFleet(cert, o.TLS.RootCAs, a.date); err != nil {
		return tls.Certificate{}, err
	}
	if err := o.Dir.WriteFile(fileName, a.body, 0o600); err != nil {
		return tls.Certificate{}, fmt.Errorf("keep certificate: %w", err)
	}
	return cert, nil
}

// message is what is sent: with the answer to a challenge, where the hub gives one.
func message(ctx context.Context, o Options) (*Message, error) {
	var extensions []pkix.Extension
	provable := false
	if o.Prover != nil {
		e, can, err := o.Prover.Extension(ctx)
		if err != nil {
			return nil, fmt.Errorf("say how the device key is kept: %w", err)
		}
		extensions, provable = []pkix.Extension{e}, can
	}
	der, err := request(o.Key, extensions)
	if err != nil {
		return nil, err
	}
	m := &Message{Request: der, Record: o.Record}
	if !provable {
		return m, nil
	}
	a, err := ask(ctx, o, "enrol/challenge", &Message{Request: der})
	var status *StatusError
	switch {
	case errors.As(err, &status) && (status.Code == http.StatusNoContent || status.Code == http.StatusNotFound):
		return m, nil // it does not ask for proof, or is older than proofs are
	case err != nil:
		return nil, fmt.Errorf("ask for a challenge: %w", err)
	case len(a.body) > maxChallenge:
		return nil, fmt.Errorf("ask for a challenge: it is larger than %d bytes", maxChallenge)
	}
	m.Answer, err = o.Prover.Answer(ctx, a.body)
	return m, err
}

// Request is a PKCS #10 request (PEM) for a key, in the name of the key's own ID.
func Request(key crypto.Signer) ([]byte, error) {
	der, err := request(key, nil)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockRequest, Bytes: der}), nil
}

func request(key crypto.Signer, extensions []pkix.Extension) ([]byte, error) {
	id, err := seal.IDOf(key.Public())
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: id.String()}, ExtraExtensions: extensions,
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return der, nil
}

// answer is what a hub gave with status 200, and the time that it has.
type answer struct {
	body []byte
	date time.Time
}

// ask posts a message and gives what came back with status 200. The body may be one byte
// longer than a chain may be.
func ask(ctx context.Context, o Options, path string, m *Message) (*answer, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Scheme != "https" || base.Host == "" || base.User != nil {
		return nil, errors.New("not an https URL")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base.JoinPath(path).String(), bytes.NewReader(m.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", mediaType)
	if o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+string(o.Token))
	}
	resp, err := client(o).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxChain+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	a := &answer{body: data, date: time.Now()}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		a.date = date // the device's own clock may never have been set
	}
	return a, nil
}

func client(o Options) *http.Client {
	config := o.TLS.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return &http.Client{
		Transport: &http.Transport{
			DialContext: o.Dial, TLSClientConfig: config,
			MaxResponseHeaderBytes: 16 << 10,
			DisableKeepAlives:      true, // it is a request or two in months
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func statusError(resp *http.Response) error {
	start, err := io.ReadAll(io.LimitReader(resp.Body, maxDetail))
	if err != nil {
		start = nil // the status is what counts
	}
	e := &StatusError{Code: resp.StatusCode, Detail: strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, string(start))}
	if seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31); err == nil {
		e.RetryAfter = min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	return e
}
