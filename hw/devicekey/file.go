package devicekey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lensward/lensward/internal/durable"
)

// FileName is the file of a key in a file, in the state directory: PKCS #8 (RFC 5208)
// in PEM (RFC 7468), mode 0600.
const FileName = "device-key.pem"

// maxFile limits a key's file, in bytes; a P-256 key takes about 240, one in a TPM 600.
const maxFile = 4096

const pemType = "PRIVATE KEY"

// Load reads a key in a file from the state directory dir. A missing key is
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

// LoadOrCreate is Load, and makes a new key in a file if there is none, durably. Of two
// callers at once one makes it and both get it.
func LoadOrCreate(dir string) (*Key, error) {
	key, err := Load(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	d, err := durable.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("store device key: %w", err)
	}
	if key, err = create(d); errors.Is(err, fs.ErrExist) {
		return Load(dir)
	}
	return key, err
}

// create makes a key in a file.
func create(d *durable.Dir) (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate device key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode device key: %w", err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	if err := d.Create(FileName, data, 0o600); err != nil {
		return nil, fmt.Errorf("store device key: %w", err)
	}
	return newKey(private, ProtectionFile)
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
	return newKey(ec, ProtectionFile)
}
