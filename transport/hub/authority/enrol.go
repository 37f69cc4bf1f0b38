package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/lensward/lensward/transport/enrol"
	"github.com/lensward/lensward/transport/seal"
)

const (
	mediaType = "application/x-pem-file"
	// derType is of a challenge.
	derType = "application/octet-stream"
	// answerTimeout is how long register and issuer may take together.
	answerTimeout = 45 * time.Second
)

// errRequest marks a request that is wrong, as against a CA that fails.
var errRequest = errors.New("bad enrolment request")

// Enrol issues a client certificate of DefaultLife for a PEM PKCS #10 request that proves
// itself: signed by its own ECDSA P-256 key, with that key's ID as its common name. It
// asks for nothing else. It returns the device's ID, and the certificate and the CA's as
// PEM.
func (a *Authority) Enrol(request []byte) (seal.ID, []byte, error) {
	asked, err := parseApplication(request)
	if err != nil {
		return seal.ID{}, nil, err
	}
	chain, err := a.Devices(0).Issue(context.Background(), asked.csr)
	return asked.device, chain, err
}

// application is what a device sent, once it has proven itself.
type application struct {
	*enrol.Message
	csr    *x509.CertificateRequest
	device seal.ID
}

// parseApplication reads a message and checks that its request proves itself.
func parseApplication(b []byte) (*application, error) {
	m, err := enrol.ParseMessage(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	csr, err := x509.ParseCertificateRequest(m.Request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	id, err := seal.IDOf(csr.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: not signed by its own key: %w", errRequest, err)
	}
	if csr.Subject.CommonName != id.String() {
		return nil, fmt.Errorf("%w: the common name is not the ID of the key", errRequest)
	}
	if _, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok {
		return nil, fmt.Errorf("%w: not an ECDSA key", errRequest)
	}
	return &application{Message: m, csr: csr, device: id}, nil
}

// Attester judges what a device says of how its key is kept.
type Attester interface {
	// Challenge is what the request's device has to answer; nil if nothing is asked of it.
	Challenge(request *x509.CertificateRequest, now time.Time) ([]byte, error)
	// Check returns an error, for the device's owner to read, if a device that gave this
	// answer, nil for none, may not have a certificate.
	Check(request *x509.CertificateRequest, answer []byte, now time.Time) error
}

// Enrolment answers devices that ask for a certificate. Authority, Register, Rate and Log
// are needed.
type Enrolment struct {
	// Authority has the keys of tokens, and issues where there is no Issuer.
	Authority *Authority
	// Issuer signs the certificates; nil is the Authority.
	Issuer Issuer
	// Admission is what lets a device in; "" is a token alone.
	Admission Admission
	// Token, where set, lets in any device, any number of times, and something is asked
	// of every device.
	Token string
	// Owners are those whose devices AdmitPaired lets in; nil is any.
	Owners map[seal.ID]bool
	// Register remembers tokens and who was revoked.
	Register Register
	// Attester judges how keys are kept; nil asks for nothing.
	Attester Attester
	// Grace is for how long an expired certificate may be renewed; 0 is DefaultGrace.
	Grace time.Duration
	// Rate bounds how often requests are answered, over all callers.
	Rate *rate.Limiter
	// Log gets one line for each certificate issued.
	Log *slog.Logger
}

// Handle adds the enrolment's paths to mux, as docs/ref/enrolment.md says.
func (e *Enrolment) Handle(mux *http.ServeMux) {
	mux.HandleFunc("POST /enrol", e.serve(e.enrol))
	mux.HandleFunc("POST /enrol/challenge", e.serve(e.challenge))
	mux.HandleFunc("POST /renew", e.serve(e.renew))
}

// serve reads an application and answers with what do makes of it; nothing is 204.
func (e *Enrolment) serve(do func(*http.Request, *application) (body []byte, mediaType string, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !e.Rate.Allow() {
			fail(w, refuse(http.StatusTooManyRequests, "try again later", "too many enrolments"))
			return
		}
		a, err := read(w, r)
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		if err == nil && e.Register.Revoked(a.device) {
			err = refuse(http.StatusForbidden, "ask the fleet's operator", "the device was revoked")
		}
		var body []byte
		var kind string
		if err == nil {
			body, kind, err = do(r, a)
		}
		var no *refusal
		switch {
		case errors.As(err, &no):
			e.Log.Info("enrolment refused", "path", r.URL.Path, "from", r.RemoteAddr, "status", no.status, "err", err)
			fail(w, no)
		case err != nil:
			e.Log.Error("enrol device", "path", r.URL.Path, "device", a.device.String(), "err", err)
			fail(w, refuse(http.StatusServiceUnavailable, "try again later", "the certificate could not be made just now"))
		case body == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Type", kind)
			// The caller is gone if this fails: there is nobody to tell.
			_, _ = w.Write(body)
		}
	}
}

// read reads an application from a request's body.
func read(w http.ResponseWriter, r *http.Request) (*application, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, enrol.MaxMessage))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, refuse(http.StatusRequestEntityTooLarge, "at most 112 KiB", "enrolment request is too large")
		}
		return nil, refuse(http.StatusBadRequest, "", "enrolment request was cut off")
	}
	a, err := parseApplication(body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "send a PKCS #10 request whose common name is the SHA-256 of its key", "%v", err)
	}
	return a, nil
}

// enrol lets a new device in, or one that has lost its certificate.
func (e *Enrolment) enrol(r *http.Request, a *application) ([]byte, string, error) {
	if err := e.attested(a); err != nil {
		return nil, "", err
	}
	by, err := e.admit(r, a.device, a.Record)
	if err != nil {
		return nil, "", err
	}
	chain, err := e.issue(r.Context(), a)
	if err == nil {
		e.Log.Info("device enrolled", "device", a.device.String(), "by", by)
	}
	return chain, mediaType, err
}

// challenge asks for a proof of how the key is kept.
func (e *Enrolment) challenge(_ *http.Request, a *application) ([]byte, string, error) {
	if e.Attester == nil {
		return nil, "", nil
	}
	b, err := e.Attester.Challenge(a.csr, time.Now())
	if err != nil {
		return nil, "", refuse(http.StatusForbidden, "", "%v", err)
	}
	return b, derType, nil
}

// renew takes the device's old certificate for a token. It may have expired: its key is
// what proves the device, and who took the key could have renewed in time.
func (e *Enrolment) renew(r *http.Request, a *application) ([]byte, string, error) {
	const hint = "enrol the device again"
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, "", refuse(http.StatusUnauthorized, hint, "no certificate was shown that could be renewed")
	}
	now, old := time.Now(), r.TLS.PeerCertificates
	if id, err := DeviceID(old[0]); err != nil || id != a.device {
		return nil, "", refuse(http.StatusForbidden, hint, "the certificate is not that of the key in the request")
	}
	grace := e.Grace
	if grace == 0 {
		grace = DefaultGrace
	}
	at := now
	if ended := old[0].NotAfter; now.After(ended) {
		if now.Sub(ended) > grace {
			return nil, "", refuse(http.StatusForbidden, hint, "the certificate expired more than %v ago", grace)
		}
		at = ended
	}
	if err := leads(old, e.roots(), at); err != nil {
		return nil, "", refuse(http.StatusForbidden, hint, "the certificate is not one of this fleet's: %v", err)
	}
	if err := e.attested(a); err != nil {
		return nil, "", err
	}
	chain, err := e.issue(r.Context(), a)
	if err == nil {
		e.Log.Info("certificate renewed", "device", a.device.String(), "old", old[0].NotAfter)
	}
	return chain, mediaType, err
}

// attested checks what the device says of its key.
func (e *Enrolment) attested(a *application) error {
	if e.Attester == nil {
		return nil
	}
	if err := e.Attester.Check(a.csr, a.Answer, time.Now()); err != nil {
		return refuse(http.StatusForbidden, "", "%v", err)
	}
	return nil
}

// issue has a certificate made and looks at it before it goes out.
func (e *Enrolment) issue(ctx context.Context, a *application) ([]byte, error) {
	issuer := e.Issuer
	if issuer == nil {
		issuer = e.Authority.Devices(0)
	}
	chain, err := issuer.Issue(ctx, a.csr)
	if err != nil {
		return nil, err
	}
	return chain, checkIssued(chain, a.device, issuer.Roots(), time.Now())
}

// roots are the issuer's and the hub's own: a fleet that moves to another CA renews what
// the first one gave.
func (e *Enrolment) roots() []*x509.Certificate {
	roots := []*x509.Certificate{e.Authority.cert}
	if e.Issuer != nil {
		roots = append(roots, e.Issuer.Roots()...)
	}
	return roots
}

// fail writes the protocol's JSON error.
func fail(w http.ResponseWriter, no *refusal) {
	if no.status == http.StatusTooManyRequests || no.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(no.status)
	// The caller is gone if this fails: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
	}{no.msg, no.hint})
}
