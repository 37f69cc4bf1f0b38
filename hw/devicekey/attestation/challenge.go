package attestation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-tpm/tpm2"
)

const (
	// MaxChallenge is the size of a challenge, in bytes.
	MaxChallenge = 1 << 10
	// AnswerSize is the size of an answer, in bytes.
	AnswerSize = sha256.Size
	// Period is how long a challenge may be answered at least; at most twice as long.
	Period = 10 * time.Minute

	label = "lensward/attest/1"
)

// ErrUnproven means that a statement does not lead to a TPM of a maker that is trusted:
// the key may be in a TPM all the same.
var ErrUnproven = errors.New("no trusted maker vouches for the TPM")

// Claim is a statement of a key in a TPM whose maker is trusted. That the key is in
// that TPM is proven by the answer to a challenge, and by nothing less.
type Claim struct {
	// Endorsement is the certificate of the TPM's endorsement key.
	Endorsement *x509.Certificate
	// name is the key's name in the TPM, a hash of all that the TPM knows of it.
	name []byte
	ek   tpm2.LabeledEncapsulationKey
}

// Challenge is for a TPM to answer.
type Challenge struct {
	// Endorsement is the SHA-256 of the certificate of the endorsement key.
	Endorsement [sha256.Size]byte
	// Credential and Secret are TPM2_ActivateCredential's credentialBlob and secret,
	// without their sizes.
	Credential, Secret []byte
}

// challenge is the form on the wire.
type challenge struct {
	Version     int
	Endorsement []byte
	Credential  []byte
	Secret      []byte
}

// Check takes the first of the statement's endorsements that leads to a trusted maker:
// makers holds their certificates, and those in between. key is the request's. Without
// one the error is ErrUnproven.
func (s *Statement) Check(key *ecdsa.PublicKey, makers *x509.CertPool, now time.Time) (*Claim, error) {
	if s.Protection != TPM || len(s.Endorsements) == 0 {
		return nil, fmt.Errorf("%w: there is no endorsement certificate", ErrUnproven)
	}
	area, err := PublicArea(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnproven, err)
	}
	name, err := tpm2.ObjectName(area)
	if err != nil {
		return nil, fmt.Errorf("name key: %w", err)
	}
	var faults []error
	for _, der := range s.Endorsements {
		cert, ek, err := endorsement(der, makers, now)
		if err == nil {
			return &Claim{Endorsement: cert, name: name.Buffer, ek: ek}, nil
		}
		faults = append(faults, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrUnproven, errors.Join(faults...))
}

// endorsement reads an endorsement certificate and checks where it leads.
func endorsement(der []byte, makers *x509.CertPool, now time.Time) (*x509.Certificate, tpm2.LabeledEncapsulationKey, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	// Its alternative name is the TPM's model, which crypto/x509 does not read.
	cert.UnhandledCriticalExtensions = slices.DeleteFunc(cert.UnhandledCriticalExtensions, asn1.ObjectIdentifier{2, 5, 29, 17}.Equal)
	if _, err := cert.Verify(x509.VerifyOptions{
		Roots: makers, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}); err != nil {
		return nil, nil, err
	}
	tcgEK := asn1.ObjectIdentifier{2, 23, 133, 8, 1} // tcg-kp-EKCertificate
	if !slices.ContainsFunc(cert.UnknownExtKeyUsage, tcgEK.Equal) {
		return nil, nil, errors.New("the certificate is not of an endorsement key")
	}
	var area tpm2.TPMTPublic
	switch pub := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if pub.Size() != 256 || pub.E != 65537 {
			return nil, nil, errors.New("the endorsement key is not RSA of 2048 bits with exponent 65537")
		}
		area = tpm2.RSAEKTemplate
		area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: pub.N.FillBytes(make([]byte, 256))})
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return nil, nil, errors.New("the endorsement key is not on P-256")
		}
		point, err := pub.Bytes()
		if err != nil {
			return nil, nil, err
		}
		area = tpm2.ECCEKTemplate
		area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: point[1:33]}, Y: tpm2.TPM2BECCParameter{Buffer: point[33:]},
		})
	default:
		return nil, nil, errors.New("the endorsement key is neither RSA nor ECDSA")
	}
	ek, err := tpm2.ImportEncapsulationKey(&area)
	return cert, ek, err
}

// Challenger challenges claims and checks the answers. It remembers neither: what is in
// a challenge follows from its key, the claim and the time, so that whoever has the same
// key can check the answer.
type Challenger struct{ key [32]byte }

// NewChallenger takes a key that only the authority has.
func NewChallenger(key [32]byte) *Challenger { return &Challenger{key} }

// Challenge makes a challenge that can be opened only in the TPM of the claim's
// endorsement key, and there only while the claim's key is loaded.
func (c *Challenger) Challenge(claim *Claim, now time.Time) ([]byte, error) {
	credential, secret, err := tpm2.CreateCredential(rand.Reader, claim.ek, claim.name, c.answer(claim, period(now)))
	if err != nil {
		return nil, fmt.Errorf("challenge TPM: %w", err)
	}
	id := sha256.Sum256(claim.Endorsement.Raw)
	der, err := asn1.Marshal(challenge{version, id[:], credential, secret})
	if err != nil {
		return nil, fmt.Errorf("encode challenge: %w", err)
	}
	return der, nil
}

// Check says whether an answer is that to a challenge of this claim from this period or
// the one before.
func (c *Challenger) Check(claim *Claim, answer []byte, now time.Time) bool {
	p := period(now)
	return hmac.Equal(answer, c.answer(claim, p)) || hmac.Equal(answer, c.answer(claim, p-1))
}

func period(now time.Time) uint64 { return uint64(now.Unix() / int64(Period/time.Second)) }

func (c *Challenger) answer(claim *Claim, period uint64) []byte {
	endorsement := sha256.Sum256(claim.Endorsement.Raw)
	m := hmac.New(sha256.New, c.key[:])
	m.Write([]byte(label))
	m.Write(endorsement[:])
	m.Write(claim.name)
	m.Write(binary.BigEndian.AppendUint64(nil, period))
	return m.Sum(nil)
}

// ParseChallenge reads a challenge; one that cannot be read is ErrMalformed.
func ParseChallenge(b []byte) (*Challenge, error) {
	var w challenge
	if len(b) > MaxChallenge {
		return nil, fmt.Errorf("%w: challenge of %d bytes, at most %d", ErrMalformed, len(b), MaxChallenge)
	}
	if err := unmarshal(b, &w); err != nil {
		return nil, err
	}
	if w.Version != version || len(w.Endorsement) != sha256.Size || len(w.Credential) == 0 || len(w.Secret) == 0 {
		return nil, fmt.Errorf("%w: not a challenge of version %d", ErrMalformed, version)
	}
	ch := &Challenge{Credential: w.Credential, Secret: w.Secret}
	copy(ch.Endorsement[:], w.Endorsement)
	return ch, nil
}
