// Package attestation is what a device says in its certificate request of how its key
// is kept, and how a fleet's authority finds out whether that is true.
//
// It owns the request's extension, the form of a key in a TPM, and the challenge
// that only the TPM with that key can answer (docs/ref/device-key.md). It never
// talks to a TPM. What a claim is worth a Policy says, which the caller makes.
package attestation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Limits of a Statement.
const (
	// MaxCertificates is how many endorsement certificates there may be.
	MaxCertificates = 4
	// MaxCertificate is the size of one, in bytes.
	MaxCertificate = 2 << 10
	// maxExtension is the size of the extension's value, in bytes.
	maxExtension = MaxCertificates*(MaxCertificate+4) + 16
)

const version = 1

// Protection says where a private key is. The numbers are those of sealed items and
// ownership records.
type Protection int

// The protections.
const (
	// File: in a file, which whoever reads the disk can copy.
	File Protection = 1
	// TPM: in a TPM 2.0, which it never leaves.
	TPM Protection = 2
)

// ErrNone means that a request says nothing of its key.
var ErrNone = errors.New("the certificate request does not say how its key is kept")

// ErrMalformed means that what a request says cannot be read.
var ErrMalformed = errors.New("what the certificate request says of its key cannot be read")

// Statement is what a device says of its key.
type Statement struct {
	Protection Protection
	// Endorsements are the certificates (DER) by which the TPM's maker vouches for its
	// endorsement keys. A TPM may have none, and then nobody can tell it from software.
	Endorsements [][]byte
}

// statement is the extension's value.
type statement struct {
	Version      int
	Protection   int
	Endorsements [][]byte
}

// oid names the extension: a random UUID below the arc that Microsoft gives to UUIDs
// in pieces. The arc 2.25 would have it in one number of 128 bits, which encoding/asn1
// cannot hold.
func oid() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113556, 1, 8000, 2554, 10698, 32107, 59186, 20071, 34099, 4246186, 12728286}
}

func (s *Statement) check() error {
	switch {
	case s.Protection != File && s.Protection != TPM:
		return fmt.Errorf("%w: key protection %d is not known", ErrMalformed, s.Protection)
	case s.Protection == File && len(s.Endorsements) > 0:
		return fmt.Errorf("%w: a key in a file has no endorsement", ErrMalformed)
	case len(s.Endorsements) > MaxCertificates:
		return fmt.Errorf("%w: %d endorsement certificates, at most %d", ErrMalformed, len(s.Endorsements), MaxCertificates)
	}
	for _, c := range s.Endorsements {
		if len(c) == 0 || len(c) > MaxCertificate {
			return fmt.Errorf("%w: endorsement certificate of %d bytes, at most %d", ErrMalformed, len(c), MaxCertificate)
		}
	}
	return nil
}

// Extension is the statement as an extension of a certificate request, to be put in
// x509.CertificateRequest.ExtraExtensions.
func (s *Statement) Extension() (pkix.Extension, error) {
	if err := s.check(); err != nil {
		return pkix.Extension{}, err
	}
	value, err := asn1.Marshal(statement{version, int(s.Protection), s.Endorsements})
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("encode statement of a key: %w", err)
	}
	return pkix.Extension{Id: oid(), Value: value}, nil
}

// FromRequest gives what a request says of its key: ErrNone if nothing, ErrMalformed if
// it cannot be read. It believes nothing yet; the request's own signature is the
// caller's to check.
func FromRequest(csr *x509.CertificateRequest) (*Statement, error) {
	var found *Statement
	for _, e := range csr.Extensions {
		if !e.Id.Equal(oid()) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: it is said twice", ErrMalformed)
		}
		s, err := parse(e.Value)
		if err != nil {
			return nil, err
		}
		found = s
	}
	if found == nil {
		return nil, ErrNone
	}
	return found, nil
}

func parse(value []byte) (*Statement, error) {
	if len(value) > maxExtension {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(value), maxExtension)
	}
	var w statement
	if err := unmarshal(value, &w); err != nil {
		return nil, err
	}
	if w.Version != version {
		return nil, fmt.Errorf("%w: version %d is not known", ErrMalformed, w.Version)
	}
	s := &Statement{Protection: Protection(w.Protection), Endorsements: w.Endorsements}
	return s, s.check()
}

// unmarshal reads DER that is nothing but w. encoding/asn1 itself passes over what a
// SEQUENCE has more.
func unmarshal[T any](der []byte, w *T) error {
	if _, err := asn1.Unmarshal(der, w); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if again, err := asn1.Marshal(*w); err != nil || !bytes.Equal(again, der) {
		return fmt.Errorf("%w: there is more in it than there should be", ErrMalformed)
	}
	return nil
}

// PublicArea is a device key as its TPM describes it: made in the TPM, bound to it,
// signing with ECDSA and SHA-256, with an empty password and outside the dictionary
// attack lockout. It is exact but for the point, so that a key's name follows from
// its public key and vouches for all of this.
func PublicArea(key *ecdsa.PublicKey) (*tpm2.TPMTPublic, error) {
	if key.Curve != elliptic.P256() {
		return nil, errors.New("the key is not on P-256")
	}
	point, err := key.Bytes() // 4, X, Y
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	area := Template()
	area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
		X: tpm2.TPM2BECCParameter{Buffer: point[1:33]}, Y: tpm2.TPM2BECCParameter{Buffer: point[33:]},
	})
	return area, nil
}

// Template is PublicArea before there is a key: what a TPM is asked to make.
func Template() *tpm2.TPMTPublic {
	return &tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, // it never leaves
			UserWithAuth: true, NoDA: true, // and can always be used
			SignEncrypt: true,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme: tpm2.TPMTECCScheme{
				Scheme:  tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
			},
			CurveID: tpm2.TPMECCNistP256,
		}),
	}
}
