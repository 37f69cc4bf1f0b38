package authority

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"golang.org/x/time/rate"

	"github.com/lensward/lensward/transport/seal"
)

// MaxRequest bounds an enrolment request, in bytes.
const MaxRequest = 8 << 10

// errRequest marks a request that is wrong, as against a CA that fails.
var errRequest = errors.New("bad enrolment request")

// Enrol issues a client certificate for a PEM PKCS #10 request that proves
// itself: signed by its own ECDSA P-256 key, with that key's ID as its common
// name. It returns the device's ID, and the certificate and the CA's as PEM.
func (a *Authority) Enrol(request []byte) (seal.ID, []byte, error) {
	pub, id, err := parseRequest(request)
	if err != nil {
		return seal.ID{}, nil, err
	}
	cert, err := a.client(pub, id.String())
	if err != nil {
		return seal.ID{}, nil, err
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	return id, append(chain, a.PEM()...), nil
}

// parseRequest reads a request and checks that it proves itself.
func parseRequest(request []byte) (*ecdsa.PublicKey, seal.ID, error) {
	if len(request) > MaxRequest {
		return nil, seal.ID{}, fmt.Errorf("%w: %d bytes, at most %d", errRequest, len(request), MaxRequest)
	}
	block, _ := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, seal.ID{}, fmt.Errorf("%w: not a PEM certificate request", errRequest)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, seal.ID{}, fmt.Errorf("%w: %w", errRequest, err)
	}
	id, err := seal.IDOf(csr.PublicKey)
	if err != nil {
		return nil, seal.ID{}, fmt.Errorf("%w: %w", errRequest, err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, seal.ID{}, fmt.Errorf("%w: not signed by its own key: %w", errRequest, err)
	}
	if csr.Subject.CommonName != id.String() {
		return nil, seal.ID{}, fmt.Errorf("%w: the common name is not the ID of the key", errRequest)
	}
	pub, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, seal.ID{}, fmt.Errorf("%w: not an ECDSA key", errRequest)
	}
	return pub, id, nil
}

// Enrolment answers POST /enrol.
type Enrolment struct {
	// Authority issues the certificates.
	Authority *Authority
	// Token, where set, is asked for as a bearer token.
	Token string
	// Rate bounds how often requests are answered, over all callers.
	Rate *rate.Limiter
	// Log gets one line for each certificate issued.
	Log *slog.Logger
}

// ServeHTTP answers one request as docs/ref/hub-protocol.md says.
func (e *Enrolment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !e.Rate.Allow() {
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusTooManyRequests, "too many enrolments", "try again later")
		return
	}
	if !e.admits(r) {
		fail(w, http.StatusUnauthorized, "enrolment token is missing or wrong", "send it as Authorization: Bearer TOKEN")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			fail(w, http.StatusRequestEntityTooLarge, "enrolment request is too large", "at most 8 KiB")
			return
		}
		fail(w, http.StatusBadRequest, "enrolment request was cut off", "")
		return
	}
	id, chain, err := e.Authority.Enrol(body)
	switch {
	case errors.Is(err, errRequest):
		fail(w, http.StatusBadRequest, err.Error(), "send a PKCS #10 request whose common name is the SHA-256 of its key")
	case err != nil:
		e.Log.Error("enrol device", "err", err)
		fail(w, http.StatusInternalServerError, "the certificate could not be made", "")
	default:
		e.Log.Info("device enrolled", "device", id.String())
		w.Header().Set("Content-Type", "application/x-pem-file")
		// The caller is gone if this fails: there is nobody to tell.
		_, _ = w.Write(chain)
	}
}

// admits compares the token in constant time.
func (e *Enrolment) admits(r *http.Request) bool {
	if e.Token == "" {
		return true
	}
	got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(e.Token))
	return ok && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// fail writes the protocol's JSON error.
func fail(w http.ResponseWriter, status int, msg, hint string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The caller is gone if this fails: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
	}{msg, hint})
}
