package attestation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"testing"
)

// What an authority makes of a key in a TPM, of one in a file, and of requests that say
// nothing or rubbish.
func TestPolicy(t *testing.T) {
	tpm, file := request(t, "tpm.csr.pem"), request(t, "file.csr.pem")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	made := func(extensions ...pkix.Extension) *x509.CertificateRequest {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{ExtraExtensions: extensions}, key)
		must(t, err)
		csr, err := x509.ParseCertificateRequest(der)
		must(t, err)
		return csr
	}
	now := vectorTime()
	s, err := FromRequest(tpm)
	must(t, err)
	claim, err := s.Check(tpm.PublicKey.(*ecdsa.PublicKey), makers(t), now)
	must(t, err)
	right := NewChallenger([32]byte{1}).answer(claim, period(now))
	stolen, err := s.Extension() // another's certificates, with a key of one's own
	must(t, err)
	rubbish := pkix.Extension{Id: stolen.Id, Value: []byte("rubbish")}
	for _, required := range []bool{true, false} {
		p := NewPolicy([32]byte{1}, makers(t), required)
		refused := func(always bool) error {
			if always || required {
				return ErrRefused
			}
			return nil
		}
		for name, c := range map[string]struct {
			csr    *x509.CertificateRequest
			answer []byte
			want   error
			asked  bool
		}{
			"a TPM that proves itself":            {tpm, right, nil, true},
			"a TPM that does not":                 {tpm, nil, refused(false), true},
			"a TPM with a wrong answer":           {tpm, make([]byte, AnswerSize), refused(true), true},
			"a TPM with an empty answer":          {tpm, []byte{}, refused(true), true},
			"a thief of certificates, no answer":  {made(stolen), nil, refused(false), true},
			"a thief of certificates, and answer": {made(stolen), right, refused(true), true},
			"a file":                              {file, nil, refused(false), false},
			"one that says nothing":               {made(), nil, refused(false), false},
			"rubbish":                             {made(rubbish), nil, ErrMalformed, false},
		} {
			if err := p.Check(c.csr, c.answer, now); !errors.Is(err, c.want) {
				t.Errorf("required %v: %s: %v, want %v", required, name, err, c.want)
			}
			b, err := p.Challenge(c.csr, now)
			if (b != nil) != c.asked || c.asked && err != nil {
				t.Errorf("required %v: %s: a challenge of %d bytes, %v", required, name, len(b), err)
			}
		}
	}
	late := NewPolicy([32]byte{1}, makers(t), true)
	if err := late.Check(tpm, right, now.Add(2*Period)); !errors.Is(err, ErrRefused) {
		t.Errorf("an answer that is too late: %v", err)
	}
}
