package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/lensward/lensward/internal/durable"
)

// The vectors of docs/ref/cluster.md.
func TestSecretVectors(t *testing.T) {
	scalar := make([]byte, 32)
	for i := range scalar {
		scalar[i] = byte(i + 1)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		t.Fatal(err)
	}
	a := &Authority{key: key}
	for purpose, want := range map[string]string{
		"broker issuer": "2a49eaf9e60c67993c30a8e1c05eb9bd9fe55a3ec9e2a0e3c99c21b42ec8a0bc",
		"broker auth":   "592c52a7f6b6fe5c9653ecb9fbb9b638aedab55ac536cb9ece90a97d1a8030cc",
		"broker hub":    "5d40563900b56138c6503ee857bc94ff599cd8ddccba748d55b5fcf367f3a8d7",
		"broker route":  "5574305981fdedea00447d2b016cac04ef721851ff2896fa7e344ce3be45ad44",
	} {
		got, err := a.Secret(purpose)
		if err != nil || hex.EncodeToString(got[:]) != want {
			t.Errorf("%s: %x, %v", purpose, got, err)
		}
	}
}

func TestNodeCertificateAnswersAndCalls(t *testing.T) {
	dir, err := durable.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Node([]string{"hub.example", "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("for usage %v: %v", usage, err)
		}
	}
	for _, host := range []string{"hub.example", "192.0.2.1"} {
		if err := cert.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if _, err := DeviceID(cert.Leaf); err == nil {
		t.Error("it passes for a device's")
	}
	for _, name := range Files() {
		if names, err := dir.Names(); err != nil || !slices.Contains(names, name) {
			t.Errorf("%s is not among %v, %v", name, names, err)
		}
	}
}
