package enrol

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"

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

// fromFleet checks that one of the fleet's authorities signed the certificate, for a
// client.
func fromFleet(cert tls.Certificate, config *tls.Config) error {
	opts := x509.VerifyOptions{
		Roots: config.RootCAs, Intermediates: x509.NewCertPool(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if config.Time != nil {
		opts.CurrentTime = config.Time()
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
