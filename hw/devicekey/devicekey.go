// Package devicekey is the camera's own key: the one that its device ID is the
// hash of, and that signs everything it says. It is in a TPM 2.0, or in a file.
//
// It owns the key's file and how well the key is protected. It never shows the
// private key, not even in a log, and never replaces a key that it cannot read:
// another key would be another camera. Only where the TPM itself says that the key
// is gone for good is it set aside, and kept. It knows nothing of what is signed.
package devicekey

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/internal/durable"
)

// Store says where a new device's key is made.
type Store string

// The stores.
const (
	// Auto is TPM where there is one that may be used and answers within a minute, and
	// File elsewhere.
	Auto Store = "auto"
	// File is a file, which whoever reads the disk can copy.
	File Store = "file"
	// TPM is a TPM 2.0. While it cannot be used, the device waits.
	TPM Store = "tpm"
)

// How a key is protected.
const (
	ProtectionFile = "file"
	ProtectionTPM  = "tpm"
)

// DefaultTPM is the kernel's device for a TPM that several programs use.
const DefaultTPM = "/dev/tpmrm0"

// autoLimit is how long Auto waits for a TPM that is there.
const autoLimit = time.Minute

// Errors that the caller may have to tell apart.
var (
	// ErrExposed: users other than the owner of the file can read the key.
	ErrExposed = errors.New("other users can read the device key")
	// ErrCorrupt: the file is not a device key as this package writes one.
	ErrCorrupt = errors.New("device key file is damaged")
	// ErrUnavailable: the TPM is not there, or does not do what it is asked, and may at
	// another time.
	ErrUnavailable = errors.New("the TPM with the device key cannot be used")
	// ErrLost: the key is gone for good. The next Open makes another device of this one.
	ErrLost = errors.New("the TPM no longer has the device key: it was cleared, or it is another TPM")
)

// Options say where the key is. The zero value makes a new device's key in a file, and
// finds an existing one that is in DefaultTPM.
type Options struct {
	// Store is where a new device's key is made; a key that is there stays where it is.
	// Default File.
	Store Store
	// TPM is the path of the TPM's device, or of a socket on which one is emulated.
	// Default DefaultTPM.
	TPM string
	// Waiting is told at every try why the TPM cannot be used; nil tells nobody.
	Waiting func(cause error)
	// Log is told what was made, what was lost, and what is waited for; nil discards.
	Log *slog.Logger
}

// Key is a P-256 private key. It signs; it does not give the private key away,
// to fmt and slog neither. It is safe for concurrent use.
type Key struct {
	private    crypto.Signer
	spki       []byte
	protection string
}

var _ crypto.Signer = (*Key)(nil)

// Open gives the device's key: the one that is in the state directory, or a new one.
// While it is in a TPM that cannot be used, Open waits until ctx ends; the error is then
// ErrUnavailable. A key that its TPM has lost is set aside (see LostKeys), and a new one
// is made: the caller sees it by its ID. A file that cannot be read as a key is
// ErrCorrupt or ErrExposed, and is left as it is.
func Open(ctx context.Context, d *durable.Dir, o Options) (*Key, error) {
	if o.TPM == "" {
		o.TPM = DefaultTPM
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	inFile, inTPM := exists(d, FileName), exists(d, TPMFileName)
	switch {
	case inFile && inTPM:
		return nil, fmt.Errorf("open device key: %w: there are two, %s and %s\nhint: move away the one that is not this device's", ErrCorrupt, d.Path(FileName), d.Path(TPMFileName))
	case inFile:
		return Load(d.Path(""))
	case inTPM:
		key, err := loadTPM(ctx, d, o)
		if !errors.Is(err, ErrLost) {
			return key, err
		}
		if err := setAside(d, o.Log, err); err != nil {
			return nil, err
		}
	}
	return makeKey(ctx, d, o)
}

// exists says whether something has this name, readable or not.
func exists(d *durable.Dir, name string) bool {
	_, err := os.Lstat(d.Path(name))
	return !errors.Is(err, fs.ErrNotExist)
}

// makeKey makes a new device's key where it is wanted.
func makeKey(ctx context.Context, d *durable.Dir, o Options) (*Key, error) {
	switch o.Store {
	case TPM:
		return createTPM(ctx, d, o)
	case Auto:
		err := unix.Access(o.TPM, unix.R_OK|unix.W_OK)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			o.Log.Warn("the TPM may not be used; the new device's key is made in a file", "tpm", o.TPM, "error", err)
			break
		}
		limited, cancel := context.WithTimeout(ctx, autoLimit)
		defer cancel()
		key, err := createTPM(limited, d, o)
		if !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return key, err
		}
		o.Log.Warn("the TPM cannot be used; the new device's key is made in a file", "tpm", o.TPM, "error", err)
	case File, "":
	default:
		return nil, fmt.Errorf("make device key: store %q is not known", o.Store)
	}
	key, err := create(d)
	if err == nil {
		o.Log.Warn("the device key is in a file: who reads the disk can copy it and sign as this camera, but opens no picture with it",
			"file", d.Path(FileName))
	}
	return key, err
}

// waiting says what is waited for: to the log when the cause is new, to o.Waiting always.
func (o *Options) waiting() func(error) {
	said := ""
	return func(cause error) {
		if cause.Error() != said {
			said = cause.Error()
			o.Log.Warn("waiting for the TPM; the device stays who it is", "tpm", o.TPM, "error", cause)
		}
		if o.Waiting != nil {
			o.Waiting(cause)
		}
	}
}

func newKey(private crypto.Signer, protection string) (*Key, error) {
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("encode public device key: %w", err)
	}
	return &Key{private: private, spki: spki, protection: protection}, nil
}

// Public returns the public key, an *ecdsa.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.private.Public() }

// Sign signs a digest, SHA-256 for ES256, and returns an ASN.1 signature; see
// crypto.Signer. A key in a TPM takes its randomness from there. Its errors are
// ErrUnavailable, after ten seconds, and ErrLost.
func (k *Key) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.private.Sign(random, digest, opts)
}

// Close gives the TPM back. The key must not be used any more.
func (k *Key) Close() error {
	if c, ok := k.private.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// SPKI returns a copy of the public key as DER SubjectPublicKeyInfo (RFC 5280),
// whose SHA-256 is the device ID.
func (k *Key) SPKI() []byte { return append([]byte(nil), k.spki...) }

// Protection says how the private key is kept: ProtectionFile or ProtectionTPM.
func (k *Key) Protection() string { return k.protection }

// idOf is the device ID as it is printed.
func idOf(spki []byte) string {
	sum := sha256.Sum256(spki)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

const redacted = "device key (private key redacted)"

// Format prints that there is a key, whatever the verb.
func (k *Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue logs that there is a key.
func (k *Key) LogValue() slog.Value { return slog.StringValue(redacted) }
