package systest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/seal"
)

// BenchmarkSealBesidePeers seals the same 20,000 bytes with this product (sign and
// encrypt, post-quantum), with the age program (encrypt, post-quantum, no
// signature) and with openssl (encrypt with CMS to a P-256 key, then sign). The
// programs' figures hold a process's start, as a camera that called them would pay.
func BenchmarkSealBesidePeers(b *testing.B) {
	dir := b.TempDir()
	plain := make([]byte, 20_000)
	_, _ = rand.Read(plain) // never fails
	in := filepath.Join(dir, "in")
	must(b, os.WriteFile(in, plain, 0o600))
	id, err := age.GenerateHybridIdentity()
	must(b, err)
	b.Run("lensward", func(b *testing.B) { benchSeal(b, plain, id) })
	b.Run("age", func(b *testing.B) {
		tool := filepath.Join(dir, "age")
		run(b, "go", "build", "-o", tool, "filippo.io/age/cmd/age")
		for b.Loop() {
			run(b, tool, "-r", id.Recipient().String(), "-o", filepath.Join(dir, "out.age"), in)
		}
	})
	b.Run("openssl", func(b *testing.B) {
		key, cert, enc := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "out.cms")
		run(b, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-keyout", key, "-out", cert)
		for b.Loop() {
			run(b, "openssl", "cms", "-encrypt", "-binary", "-aes-256-gcm", "-in", in, "-outform", "DER", "-out", enc, cert)
			run(b, "openssl", "dgst", "-sha256", "-sign", key, "-out", filepath.Join(dir, "sig"), enc)
		}
	})
}

func benchSeal(b *testing.B, plain []byte, id *age.HybridIdentity) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(b, err)
	owner := seal.ID{1}
	s, err := seal.NewSealer(seal.Device{Key: key, Protection: seal.ProtectionFile, Firmware: "test", Boot: 1},
		seal.Binding{Owner: owner, Epoch: 1, Record: seal.Hash{2}, Recipients: []age.Recipient{id.Recipient()}})
	must(b, err)
	d := seal.Draft{
		Kind: seal.KindThumbnail, Event: seal.EventID{3}, Captured: time.Now(), Clock: seal.ClockFloor,
		MediaType: "image/jpeg", Body: plain,
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal(d, seal.Link{Chain: 1, Seq: 1, Prev: seal.Hash{2}}); err != nil {
			b.Fatal(err)
		}
	}
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, &errs)
	}
}
