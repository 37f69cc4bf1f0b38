package attestation

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ErrRefused means that a device may not have a certificate for its key.
var ErrRefused = errors.New("the device key is not proven to be in a TPM")

// Policy is what a fleet's authority asks of device keys. It remembers nothing, so that
// whoever has the same key can go on where another began.
type Policy struct {
	challenger *Challenger
	makers     *x509.CertPool
	required   bool
}

// NewPolicy takes a key that only the authority has, and the certificates of the makers
// of TPMs that are trusted, with those in between. If it is required every key must be
// proven to be in such a TPM; else one that claims to be need not prove it, but whoever
// tries and fails is refused.
func NewPolicy(key [32]byte, makers *x509.CertPool, required bool) *Policy {
	return &Policy{challenger: NewChallenger(key), makers: makers, required: required}
}

// Challenge is what the request's device has to answer, nil if nothing is asked of it.
// Errors are ErrMalformed and ErrRefused.
func (p *Policy) Challenge(request *x509.CertificateRequest, now time.Time) ([]byte, error) {
	claim, err := p.claim(request, now)
	if err != nil || claim == nil {
		return nil, err
	}
	return p.challenger.Challenge(claim, now)
}

// Check says whether a device that gave this answer, nil for none, may have a
// certificate: ErrMalformed or ErrRefused if not.
func (p *Policy) Check(request *x509.CertificateRequest, answer []byte, now time.Time) error {
	claim, err := p.claim(request, now)
	switch {
	case err != nil:
		return err
	case claim == nil, answer == nil && !p.required:
		return nil
	case answer == nil:
		return fmt.Errorf("%w: the challenge was not answered", ErrRefused)
	case !p.challenger.Check(claim, answer, now):
		return fmt.Errorf("%w: the answer to the challenge is wrong, or too late", ErrRefused)
	}
	return nil
}

// claim is what a request claims and could be proven, nil if nothing.
func (p *Policy) claim(request *x509.CertificateRequest, now time.Time) (*Claim, error) {
	s, err := FromRequest(request)
	switch {
	case errors.Is(err, ErrNone):
		s = &Statement{Protection: File}
	case err != nil:
		return nil, err
	}
	key, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: it is not an ECDSA key", ErrRefused)
	}
	claim, err := s.Check(key, p.makers, now)
	switch {
	case err == nil:
		return claim, nil
	case !errors.Is(err, ErrUnproven):
		return nil, err
	case p.required:
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil, nil
}
