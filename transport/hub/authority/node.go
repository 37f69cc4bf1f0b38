package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
)

// Node makes a certificate for a broker that both answers and calls other brokers of
// its cluster, under these host names and IP addresses. Its key is never written by
// this package.
//
// A device's certificate is from the same CA and good for calling, so that brokers must
// ask one another for Secret as well.
func (a *Authority) Node(hosts []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make node key: %w", err)
	}
	t := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"Lensward"}, CommonName: "hub node"},
		NotBefore:   always(),
		NotAfter:    never(),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	cert, err := issue(t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make node certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key, Leaf: cert}, nil
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
