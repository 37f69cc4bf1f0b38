// Package devicekey is the camera's own key: the one that its device ID is the
// hash of, and that signs everything it says.
//
// It owns the key's file and how well the key is protected. It never shows the
// private key, not even in a log, and never replaces a key that it cannot read:
// another key would be another camera. It knows nothing of what is signed.
package devicekey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/lensward/lensward/internal/durable"
)

// FileName is the key's file in the state directory: PKCS #8 (RFC 5208) in PEM
// (RFC 7468), mode 0600.
const FileName = "device-key.pem"

// maxFile limits the key's file, in bytes; a P-256 key takes about 240.
const maxFile = 4096

const pemType = "PRIVATE KEY"

// Errors that the caller may have to tell apart.
var (
	// ErrExposed: users other than the owner of the file can read the key.
	ErrExposed = errors.New("other users can read the device key")
	// ErrCorrupt: the file is not a P-256 private key in PKCS #8 and PEM.
	ErrCorrupt = errors.New("device key file is damaged")
)

// Key is a P-256 private key. It signs; it does not give the private key away,
// to fmt and slog neither.
type Key struct {
	private *ecdsa.PrivateKey
	spki    []byte
}

var _ crypto.Signer = (*Key)(nil)

// Load reads the key from the state directory dir. A missing key is
// fs.ErrNotExist, one that others can read ErrExposed, one that is no P-256 key
// ErrCorrupt; the file is never changed.
func Load(dir string) (*Key, error) {
	path := filepath.Join(dir, FileName)
	data, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("load device key: %w", err)
	}
	key, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("load device key: %s: %w\nhint: put it back from a copy; removing it makes the camera a new device that has to be paired again", path, err)
	}
	return key, nil
}

// LoadOrCreate is Load, and makes a new key if there is none, durably. Of two
// callers at once one makes it and both get it.
func LoadOrCreate(dir string) (*Key, error) {
	key, err := Load(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = create(dir); errors.Is(err, fs.ErrExist) {
		return Load(dir)
	}
	return key, err
}

func create(dir string, opts ...durable.Option) (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate device key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode device key: %w", err)
	}
	d, err := durable.Open(dir, opts...)
	if err != nil {
		return nil, fmt.Errorf("store device key: %w", err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	if err := d.Create(FileName, data, 0o600); err != nil {
		return nil, fmt.Errorf("store device key: %w", err)
	}
	return newKey(private)
}

// read returns the file's bytes if they are the owner's alone.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only: nothing to lose
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: not a regular file", path, ErrCorrupt)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: %w (mode %04o)\nhint: chmod 600 %s, and pair the camera anew if someone may have read it", path, ErrExposed, info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, ErrCorrupt, maxFile)
	}
	return data, nil
}

// parse takes one PEM block and nothing else but white space around it. Its
// errors say what is wrong without repeating any of the bytes.
func parse(data []byte) (*Key, error) {
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return nil, fmt.Errorf("%w: no PEM block", ErrCorrupt)
	case !strings.HasPrefix(strings.TrimLeft(string(data), " \t\r\n"), "-----BEGIN "), strings.TrimSpace(string(rest)) != "":
		return nil, fmt.Errorf("%w: bytes around the PEM block", ErrCorrupt)
	case block.Type != pemType || len(block.Headers) > 0:
		return nil, fmt.Errorf("%w: PEM block is not a plain %q", ErrCorrupt, pemType)
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: not PKCS #8", ErrCorrupt)
	}
	ec, ok := private.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: not a P-256 key", ErrCorrupt)
	}
	return newKey(ec)
}

func newKey(private *ecdsa.PrivateKey) (*Key, error) {
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("encode public device key: %w", err)
	}
	return &Key{private: private, spki: spki}, nil
}

// Public returns the public key, an *ecdsa.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.private.Public() }

// Sign signs a digest, SHA-256 for ES256, and returns an ASN.1 signature; see
// crypto.Signer.
func (k *Key) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.private.Sign(random, digest, opts)
}

// SPKI returns a copy of the public key as DER SubjectPublicKeyInfo (RFC 5280),
// whose SHA-256 is the device ID.
func (k *Key) SPKI() []byte { return append([]byte(nil), k.spki...) }

// Protection says how the private key is kept: "file".
func (k *Key) Protection() string { return "file" }

const redacted = "device key (private key redacted)"

// Format prints that there is a key, whatever the verb.
func (k *Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue logs that there is a key.
func (k *Key) LogValue() slog.Value { return slog.StringValue(redacted) }
