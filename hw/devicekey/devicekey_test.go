package devicekey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
)

func TestCreateThenLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := Load(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("load without a key: %v", err)
	}
	made, err := LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	for name, load := range map[string]func(string) (*Key, error){"Load": Load, "LoadOrCreate": LoadOrCreate} {
		loaded, err := load(dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(loaded.SPKI(), made.SPKI()) {
			t.Errorf("%s: another key", name)
		}
	}
	if made.Protection() != "file" {
		t.Errorf("protection %q", made.Protection())
	}
}

func TestSignVerifies(t *testing.T) {
	key, err := LoadOrCreate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("frame"))
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(key.SPKI())
	if err != nil {
		t.Fatal(err)
	}
	if !ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), digest[:], sig) {
		t.Error("the signature does not verify under SPKI")
	}
	if !key.Public().(*ecdsa.PublicKey).Equal(public) {
		t.Error("Public and SPKI differ")
	}
	key.SPKI()[0] ^= 1
	if key.SPKI()[0] != 0x30 {
		t.Error("SPKI can be changed from outside")
	}
}

func TestConcurrentCreationGivesOneKey(t *testing.T) {
	dir := t.TempDir()
	keys := make([]*Key, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key, err := LoadOrCreate(dir)
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k == nil || !bytes.Equal(k.SPKI(), keys[0].SPKI()) {
			t.Fatal("two callers got different keys")
		}
	}
}

func encode(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
}

// badKeys returns files that are not a P-256 key, by what is wrong with them.
func badKeys(t testing.TB) map[string][]byte {
	t.Helper()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := encode(t, p256)
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"empty":          {},
		"zeros":          make([]byte, 240),
		"truncated":      good[:len(good)/2],
		"flipped":        bytes.Replace(good, []byte("MIG"), []byte("MIH"), 1),
		"P-384":          encode(t, p384),
		"Ed25519":        encode(t, ed),
		"RSA":            encode(t, rsaKey),
		"SEC 1":          pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}),
		"two keys":       append(append([]byte{}, good...), good...),
		"text before":    append([]byte("key:\n"), good...),
		"headers":        pem.EncodeToMemory(&pem.Block{Type: pemType, Headers: map[string]string{"A": "b"}, Bytes: sec1}),
		"over its limit": append(append([]byte{}, good...), bytes.Repeat([]byte("\n"), maxFile)...),
	}
}

func TestDamagedKeyIsRefusedAndKept(t *testing.T) {
	for name, data := range badKeys(t) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, FileName)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadOrCreate(dir); !errors.Is(err, ErrCorrupt) {
				t.Errorf("error %v, want ErrCorrupt", err)
			}
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(after, data) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}

func TestExposedKeyIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadOrCreate(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FileName)
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o644, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadOrCreate(dir)
		if !errors.Is(err, ErrExposed) || !strings.Contains(err.Error(), "hint: chmod 600 "+path) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err != nil {
		t.Errorf("mode 0400: %v", err)
	}
}

func TestKeyFileMustBeAFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, FileName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreate(dir); !errors.Is(err, ErrCorrupt) {
		t.Errorf("error %v, want ErrCorrupt", err)
	}
}

func TestPrivateKeyIsRedacted(t *testing.T) {
	key, err := LoadOrCreate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	held := struct{ K *Key }{key}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", key, *key, held)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", key, "held", held, "value", *key)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", key, "held", held, "value", *key)
	if err := json.NewEncoder(&out).Encode(held); err != nil {
		t.Fatal(err)
	}
	private, err := key.private.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ToLower(out.String())
	for _, secret := range []string{hex.EncodeToString(private), new(big.Int).SetBytes(private).String(), hex.EncodeToString(private[:8])} {
		if strings.Contains(text, secret) {
			t.Errorf("the private key is in %s", text)
		}
	}
	if n := strings.Count(text, "redacted"); n < 7 {
		t.Errorf("redacted %d times in %s", n, text)
	}
}

// TestPowerCutWhileCreating wants the key to be absent or whole at every step.
func TestPowerCutWhileCreating(t *testing.T) {
	dir := t.TempDir()
	var made *Key
	cutter := durabletest.NewCutter(t, dir, func(c durabletest.Crash) {
		key, err := Load(c.Root)
		if made == nil && errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			t.Errorf("%v: %v", c, err)
			return
		}
		if made != nil && !bytes.Equal(key.SPKI(), made.SPKI()) {
			t.Errorf("%v: another key", c)
		}
	})
	d, err := durable.Open(dir, durable.WithHook(cutter.Hook))
	if err != nil {
		t.Fatal(err)
	}
	if made, err = create(d); err != nil {
		t.Fatal(err)
	}
	if cutter.Steps() < 10 {
		t.Errorf("only %d steps were cut", cutter.Steps())
	}
}

// TestFaultWhileCreating fails every step, persisted and not: the next start
// has one key and keeps it.
func TestFaultWhileCreating(t *testing.T) {
	for k := 0; ; k++ {
		dir := t.TempDir()
		fault := durabletest.FailAt(k, unix.EIO)
		d, err := durable.Open(dir, durable.WithHook(fault.Hook))
		if err != nil {
			t.Fatal(err)
		}
		_, err = create(d)
		if fault.Hit() == nil {
			if err != nil || k < 10 {
				t.Errorf("%d steps, then %v", k, err)
			}
			return
		}
		first, err := LoadOrCreate(dir)
		if err != nil {
			t.Fatalf("%+v: %v", *fault.Hit(), err)
		}
		second, err := LoadOrCreate(dir)
		if err != nil || !bytes.Equal(first.SPKI(), second.SPKI()) {
			t.Errorf("%+v: the key changed (%v)", *fault.Hit(), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, data := range badKeys(f) {
		f.Add(data)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encode(f, key))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := parse(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error %v, want ErrCorrupt", err)
			}
			return
		}
		again, err := parse(encode(t, key.private))
		if err != nil || !bytes.Equal(again.SPKI(), key.SPKI()) {
			t.Errorf("a key does not survive its own encoding: %v", err)
		}
	})
}
