// Package authority is the hub's development CA: the key that device and server
// certificates of one fleet come from, and the enrolment of devices.
//
// It owns the CA's key and certificate in the state directory, and what a device has to
// show to be let in. It never decides whose a device is, and never signs a name that is
// not the hash of the key that asks for it. A fleet in production brings its own CA in
// this one's place, as an Issuer (docs/ref/enrolment.md).
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/seal"
)

const (
	keyFile  = "ca-key.pem"
	certFile = "ca.pem"

	fileLimit = 16 << 10 // bytes
)

// Authority is a CA with its key in memory. Its methods may be called at once
// from many goroutines.
type Authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	id   seal.ID
}

// Open reads the CA in dir, or makes it where there is none.
func Open(dir *durable.Dir) (*Authority, error) {
	key, err := openKey(dir)
	if err != nil {
		return nil, fmt.Errorf("open CA key: %w", err)
	}
	id, err := seal.IDOf(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("open CA key: %w", err)
	}
	cert, err := openCert(dir, key, id)
	if err != nil {
		return nil, fmt.Errorf("open CA certificate: %w", err)
	}
	return &Authority{key: key, cert: cert, id: id}, nil
}

func openKey(dir *durable.Dir) (*ecdsa.PrivateKey, error) {
	b, err := dir.ReadFile(keyFile, fileLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(dir)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s: not a PEM private key", keyFile)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: not an ECDSA P-256 key", keyFile)
	}
	return key, nil
}

func makeKey(dir *durable.Dir) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := dir.WriteFile(keyFile, b, 0o600); err != nil {
		return nil, err
	}
	return key, nil
}

// openCert reads the CA's certificate. A missing one is made again from the key:
// devices trust the name and the key, so that the new one serves as well.
func openCert(dir *durable.Dir, key *ecdsa.PrivateKey, id seal.ID) (*x509.Certificate, error) {
	b, err := dir.ReadFile(certFile, fileLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return makeCert(dir, key, id)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: not a PEM certificate", certFile)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s is not the certificate of %s", certFile, keyFile)
	}
	return cert, nil
}

func makeCert(dir *durable.Dir, key *ecdsa.PrivateKey, id seal.ID) (*x509.Certificate, error) {
	t := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Lensward"}, CommonName: "Lensward hub " + id.Short()},
		NotBefore:             always(),
		NotAfter:              never(),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, err := issue(t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := dir.WriteFile(certFile, b, 0o644); err != nil {
		return nil, err
	}
	return cert, nil
}

// always is the beginning of the validity of what devices check: before anything that a
// clock which was never set may say.
func always() time.Time { return time.Unix(0, 0).UTC() }

// never is RFC 5280's date (section 4.1.2.5) for a certificate without a
// well-defined end, as the hub's own have.
func never() time.Time { return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }

// ID is the hub's ID: that of the CA's key.
func (a *Authority) ID() seal.ID { return a.id }

// PEM is the CA's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Pool holds the CA's certificate alone.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// Server makes a certificate for a listener under these host names and IP
// addresses, with a new key that is never written anywhere. From and until bound
// its validity; the zero time leaves that end open, as devices with wrong clocks
// need it.
func (a *Authority) Server(hosts []string, from, until time.Time) (tls.Certificate, error) {
	t := listener("hub", hosts, x509.ExtKeyUsageServerAuth)
	if !from.IsZero() {
		t.NotBefore = from
	}
	if !until.IsZero() {
		t.NotAfter = until
	}
	return a.withNewKey(t)
}

// listener is a certificate without end for who listens under these host names and IP
// addresses.
func listener(name string, hosts []string, usages ...x509.ExtKeyUsage) *x509.Certificate {
	t := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"Lensward"}, CommonName: name},
		NotBefore:   always(),
		NotAfter:    never(),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: usages,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return t
}

// withNewKey issues a certificate for a key that is made for it.
func (a *Authority) withNewKey(t *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make %s key: %w", t.Subject.CommonName, err)
	}
	cert, err := issue(t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make %s certificate: %w", t.Subject.CommonName, err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// client makes a client certificate: a device's, whose name is the ID of its key, or
// the hub's own.
func (a *Authority) client(pub *ecdsa.PublicKey, name string, from, until time.Time) (*x509.Certificate, error) {
	t := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		NotBefore:   from,
		NotAfter:    until,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	cert, err := issue(t, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("make client certificate: %w", err)
	}
	return cert, nil
}

// issue signs a certificate with a random serial number.
func issue(t, parent *x509.Certificate, pub *ecdsa.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return nil, err
	}
	serial[0] = serial[0]&0x7f | 0x40 // positive, and of one length
	t.SerialNumber = new(big.Int).SetBytes(serial)
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// DeviceID is the ID in a device's certificate. It returns an error unless the
// common name is the ID of the certificate's own key, whoever signed it.
func DeviceID(cert *x509.Certificate) (seal.ID, error) {
	id, err := seal.ParseID(cert.Subject.CommonName)
	if err != nil {
		return seal.ID{}, fmt.Errorf("device certificate: common name: %w", err)
	}
	own, err := seal.IDOf(cert.PublicKey)
	if err != nil {
		return seal.ID{}, fmt.Errorf("device certificate: %w", err)
	}
	if own != id {
		return seal.ID{}, fmt.Errorf("device certificate: common name %s is not the ID of its key", id.Short())
	}
	return id, nil
}
