package devicekey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/lensward/lensward/hw/devicekey/swtpmtest"
)

// certify is a fleet's authority: it gives a certificate for a certificate request.
func certify(t testing.TB, authority *ecdsa.PrivateKey, root *x509.Certificate, key *Key) tls.Certificate {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: idOf(key.SPKI())}}, key)
	must(t, err)
	csr, err := x509.ParseCertificateRequest(der)
	must(t, err)
	must(t, csr.CheckSignature())
	cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: csr.Subject, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, root, csr.PublicKey, authority)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key}
}

// A key in a TPM is a client's in TLS 1.3 and 1.2, like one in a file.
func TestTLSWithClientCertificate(t *testing.T) {
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fleet"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, DNSNames: []string{"hub"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, authority.Public(), authority)
	must(t, err)
	root, err := x509.ParseCertificate(der)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(root)

	inFile, err := LoadOrCreate(t.TempDir())
	must(t, err)
	for _, key := range []*Key{open(t, t.TempDir(), swtpmtest.New(t)), inFile} {
		certificate := certify(t, authority, root, key)
		for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
			near, far := net.Pipe()
			server := tls.Server(far, &tls.Config{
				Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: authority}},
				ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool, MaxVersion: version,
			})
			client := tls.Client(near, &tls.Config{RootCAs: pool, ServerName: "hub", Certificates: []tls.Certificate{certificate}})
			done := make(chan error, 1)
			go func() { done <- client.HandshakeContext(t.Context()) }()
			if err := server.HandshakeContext(t.Context()); err != nil {
				t.Errorf("%s, %s: the server: %v", key.Protection(), tls.VersionName(version), err)
			}
			if err := <-done; err != nil {
				t.Errorf("%s, %s: the client: %v", key.Protection(), tls.VersionName(version), err)
			}
			if chains := server.ConnectionState().VerifiedChains; len(chains) == 0 || chains[0][0].Subject.CommonName != idOf(key.SPKI()) {
				t.Errorf("%s, %s: the server knows %v", key.Protection(), tls.VersionName(version), chains)
			}
			must(t, near.Close())
		}
	}
}

// recorder keeps the last command.
type recorder struct {
	transport.TPM
	command []byte
}

func (r *recorder) Send(command []byte) ([]byte, error) {
	r.command = command
	return r.TPM.Send(command)
}

// BenchmarkSign says how long a signature takes (key), how long the TPM alone takes for
// the same command over the same socket (swtpm), and the difference (over).
func BenchmarkSign(b *testing.B) {
	key := open(b, b.TempDir(), swtpmtest.New(b))
	digest := sha256.Sum256([]byte("frame"))
	var r recorder
	_, err := use(b.Context(), key.private.(*tpmKey), func(conn transport.TPM, handle tpm2.AuthHandle) ([]byte, error) {
		r.TPM = conn
		return sign(&r, handle, digest[:])
	})
	must(b, err)
	var all, alone time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := key.Sign(nil, digest[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
		half := time.Now()
		if _, err := r.TPM.Send(r.command); err != nil {
			b.Fatal(err)
		}
		all, alone = all+half.Sub(began), alone+time.Since(half)
	}
	perOp := func(d time.Duration) float64 { return d.Seconds() * 1e3 / float64(b.N) }
	b.ReportMetric(perOp(all), "key-ms/op")
	b.ReportMetric(perOp(alone), "swtpm-ms/op")
	b.ReportMetric(perOp(all-alone), "over-ms/op")
}
