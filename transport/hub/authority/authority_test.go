package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/seal"
)

func open(t testing.TB, path string, opts ...durable.Option) (*Authority, error) {
	t.Helper()
	dir, err := durable.Open(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return Open(dir)
}

func deviceRequest(t testing.TB) ([]byte, seal.ID) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := seal.IDOf(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: id.String(), Organization: []string{"ignored"}}, DNSNames: []string{"ignored.example"},
	}, k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), id
}

func TestDeviceCertificate(t *testing.T) {
	ca, err := open(t, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	req, id := deviceRequest(t)
	got, chain, err := ca.Enrol(req)
	if err != nil || got != id {
		t.Fatalf("enrolled as %s, %v", got, err)
	}
	block, rest := pem.Decode(chain)
	if !bytes.Equal(rest, ca.PEM()) {
		t.Error("the CA's certificate does not follow")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if name, err := DeviceID(cert); err != nil || name != id {
		t.Errorf("named %s, %v", name, err)
	}
	if cert.Subject.String() != "CN="+id.String() || cert.IsCA || len(cert.DNSNames) != 0 ||
		len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("certificate for %s, uses %v, names %v", cert.Subject, cert.ExtKeyUsage, cert.DNSNames)
	}
	now := time.Now()
	for after, want := range map[time.Duration]bool{
		-backdated - time.Minute: false, -backdated + time.Minute: true, 0: true,
		DefaultLife - time.Minute: true, DefaultLife + time.Minute: false,
	} {
		_, err := cert.Verify(x509.VerifyOptions{
			Roots: ca.Pool(), CurrentTime: now.Add(after), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if (err == nil) != want {
			t.Errorf("after %v: %v", after, err)
		}
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: ca.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
		t.Error("a device's certificate serves as a server's")
	}
}

func TestCAIsKept(t *testing.T) {
	path := t.TempDir()
	first, err := open(t, path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := open(t, path)
	if err != nil || second.ID() != first.ID() || !bytes.Equal(second.PEM(), first.PEM()) {
		t.Fatalf("opened again as %v: %v", second, err)
	}
	// Cut off between the key and the certificate: another certificate, good for what
	// the first one was pinned for.
	if err := os.Remove(filepath.Join(path, certFile)); err != nil {
		t.Fatal(err)
	}
	third, err := open(t, path)
	if err != nil || third.ID() != first.ID() {
		t.Fatalf("opened without its certificate: %v", err)
	}
	server, err := third.Server([]string{"localhost"}, time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Leaf.Verify(x509.VerifyOptions{Roots: first.Pool(), DNSName: "localhost"}); err != nil {
		t.Errorf("the certificate that devices have does not serve any more: %v", err)
	}
}

func TestDamagedStateIsSaidAndKept(t *testing.T) {
	for _, name := range []string{keyFile, certFile} {
		path := t.TempDir()
		if _, err := open(t, path); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(path, name)
		for _, content := range []string{"", "junk", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := open(t, path); err == nil {
				t.Errorf("%s with %.8q opens", name, content)
			}
			if b, err := os.ReadFile(file); err != nil || string(b) != content {
				t.Errorf("%s was changed to %.8q, %v", name, b, err)
			}
		}
	}
	a, b := t.TempDir(), t.TempDir()
	for _, path := range []string{a, b} {
		if _, err := open(t, path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(b, certFile), filepath.Join(a, certFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, a); err == nil {
		t.Error("another CA's certificate is taken")
	}
}

// A CA whose state was cut off at any step opens the next time with the key that
// it may have told to anybody, or with a new one if it told nobody.
func TestCutOffAtEveryStep(t *testing.T) {
	for cut := 0; ; cut++ {
		path, steps := t.TempDir(), 0
		_, err := open(t, path, durable.WithHook(func(durable.Step) error {
			if steps++; steps == cut+1 {
				return fs.ErrClosed
			}
			return nil
		}))
		if err == nil {
			if steps > cut {
				t.Fatalf("step %d fails and nobody is told", cut)
			}
			return
		}
		if !errors.Is(err, fs.ErrClosed) {
			t.Fatalf("cut at step %d: %v", cut, err)
		}
		if _, err := open(t, path); err != nil {
			t.Errorf("after a cut at step %d: %v", cut, err)
		}
	}
}

func FuzzEnrol(f *testing.F) {
	ca, err := open(f, f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	req, _ := deviceRequest(f)
	f.Add(req)
	f.Add(req[:len(req)/2])
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, chain, err := ca.Enrol(b)
		if err != nil {
			if !errors.Is(err, errRequest) {
				t.Fatalf("a bad request is the CA's failure: %v", err)
			}
			return
		}
		block, _ := pem.Decode(chain)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DeviceID(cert); err != nil || got != id {
			t.Fatalf("issued to %s, named %s, %v", id, got, err)
		}
	})
}
