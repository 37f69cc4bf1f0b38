package enrol

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// parse reads a chain (PEM, the device's certificate first) and holds it against the
// device's key: what is kept, or what a hub sent.
func parse(data []byte, key crypto.Signer) (tls.Certificate, error) {
	if len(data) > maxChain {
		return tls.Certificate{}, fmt.Errorf("%w: larger than %d bytes", ErrChain, maxChain)
	}
	cert := tls.Certificate{PrivateKey: key}
	for rest := data; len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" || len(cert.Certificate) == maxCertificates {
			return tls.Certificate{}, fmt.Errorf("%w: not one to %d PEM certificates", ErrChain, maxCertificates)
		}
		cert.Certificate = append(cert.Certificate, block.Bytes)
	}
	if len(cert.Certificate) == 0 {
		return tls.Certificate{}, fmt.Errorf("%w: it is empty", ErrChain)
	}
	var err error
	if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
		return tls.Certificate{}, fmt.Errorf("%w: %w", ErrChain, err)
	}
	return cert, ownedBy(cert.Leaf, key)
}

// ownedBy checks that a certificate is for this key, in its own name.
func ownedBy(leaf *x509.Certificate, key crypto.Signer) error {
	id, err := seal.IDOf(key.Public())
	if err != nil {
		return fmt.Errorf("read the device's key: %w", err)
	}
	public, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || !public.Equal(key.Public()) {
		return fmt.Errorf("%w: it is for another key", ErrChain)
	}
	if leaf.Subject.CommonName != id.String() {
		return fmt.Errorf("%w: it is in the name %q", ErrChain, leaf.Subject.CommonName)
	}
	return nil
}

// IsFrom says that a certificate leads to one of these authorities, whether or not it
// has expired. A device that has changed its fleet has one that does not.
func IsFrom(cert tls.Certificate, roots *x509.CertPool) bool {
	return fromFleet(cert, roots, cert.Leaf.NotBefore) == nil
}

// fromFleet checks that one of the fleet's authorities signed the certificate, for a
// client, and that it holds at that time: the hub's, not the device's.
func fromFleet(cert tls.Certificate, roots *x509.CertPool, at time.Time) error {
	opts := x509.VerifyOptions{
		Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, der := range cert.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrChain, err)
		}
		opts.Intermediates.AddCert(c)
	}
	if _, err := cert.Leaf.Verify(opts); err != nil {
		return fmt.Errorf("%w: %w", ErrChain, err)
	}
	return nil
}
