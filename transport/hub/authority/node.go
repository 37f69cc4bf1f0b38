package authority

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// Node makes a certificate for a broker that both answers and calls other brokers of
// its cluster, under these host names and IP addresses. Its key is never written by
// this package.
//
// A device's certificate is from the same CA and good for calling, so that brokers must
// ask one another for Secret as well.
func (a *Authority) Node(hosts []string) (tls.Certificate, error) {
	return a.withNewKey(listener("hub node", hosts, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth))
}

// Secret is a secret of this purpose, the same at every hub that has the CA's key, and
// of no use in finding that key or another purpose's secret (HKDF, RFC 5869).
func (a *Authority) Secret(purpose string) ([32]byte, error) {
	var out [32]byte
	secret, err := a.key.Bytes()
	if err != nil {
		return out, fmt.Errorf("derive secret: %w", err)
	}
	b, err := hkdf.Key(sha256.New, secret, nil, "lensward/secret/1\x00"+purpose, len(out))
	if err != nil {
		return out, fmt.Errorf("derive secret: %w", err)
	}
	copy(out[:], b)
	return out, nil
}

// Files are the names of the CA's files in its state directory, the key's among them.
func Files() []string { return []string{keyFile, certFile} }
