package keyring

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/lensward/lensward/internal/durable"
)

// keepOrMake makes a key unless its file is there.
func keepOrMake(dir *durable.Dir, name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	text, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return keepOr(dir, name, text)
}

// encodeKey writes PKCS #8 in PEM.
func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// createKey writes a key to a file that must not hold another.
func createKey(dir *durable.Dir, name string, key *ecdsa.PrivateKey) error {
	text, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return create(dir, name, text)
}

func readKey(dir *durable.Dir, name string) (*ecdsa.PrivateKey, error) {
	b, err := dir.ReadFile(name, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" || len(strings.TrimSpace(string(rest))) != 0 {
		return nil, fmt.Errorf("read %s: not one PEM private key", name)
	}
	key, err := parseKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return key, nil
}

// parseKey reads PKCS #8 in DER. Its errors quote nothing of it.
func parseKey(der []byte) (*ecdsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("not a PKCS #8 private key")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("not an ECDSA P-256 key")
	}
	return key, nil
}
