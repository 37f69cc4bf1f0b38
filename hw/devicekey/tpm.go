package devicekey

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"github.com/lensward/lensward/hw/devicekey/attestation"
	"github.com/lensward/lensward/internal/wait"
)

const (
	// signLimit bounds one signature, waiting for a TPM that does not answer included.
	signLimit = 10 * time.Second
	// closeLimit is how long Close waits for a command that is under way.
	closeLimit = time.Second
	firstPause = 50 * time.Millisecond
)

// tpmKey is a key in a TPM. Commands go to it one at a time.
type tpmKey struct {
	path string
	blob *blob
	// turn is held by whoever talks to the TPM; it guards what follows.
	turn   chan struct{}
	conn   transport.TPMCloser // nil while there is none
	handle tpm2.AuthHandle     // of the loaded key; zero while there is none
}

func newTPMKey(path string, b *blob) *tpmKey {
	return &tpmKey{path: path, blob: b, turn: make(chan struct{}, 1)}
}

// dial opens a TPM: a device, or a socket on which one is emulated.
func dial(path string) (transport.TPMCloser, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, unavailable(err)
	}
	open := linuxtpm.Open
	if info.Mode()&os.ModeSocket != 0 {
		open = linuxudstpm.Open
	}
	conn, err := open(path)
	if errors.Is(err, os.ErrPermission) {
		return nil, unavailable(fmt.Errorf("%w\nhint: add the user to the group tss", err))
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return conn, nil
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

// storageKey makes the TPM's storage key anew, which is the same one each time until
// the TPM is cleared. The caller flushes it. Its template is that of TPM 2.0 key files:
// the TCG's, with an empty point.
func storageKey(conn transport.TPM) (*tpm2.CreatePrimaryResponse, error) {
	template := tpm2.ECCSRKTemplate
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	primary, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(template)}.Execute(conn)
	if err != nil {
		return nil, unavailable(fmt.Errorf("make storage key: %w", err))
	}
	return primary, nil
}

// flush frees the TPM's memory of an object. If that fails the connection is of no more
// use, and closing it frees the memory.
func flush(conn transport.TPM, handle tpm2.TPMHandle) error {
	_, err := tpm2.FlushContext{FlushHandle: handle}.Execute(conn)
	return err
}

func authorised(handle tpm2.TPMHandle, name tpm2.TPM2BName) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: handle, Name: name, Auth: tpm2.PasswordAuth(nil)}
}

// generate makes a key in the TPM. Nothing of it stays there.
func generate(conn transport.TPM) (*blob, error) {
	primary, err := storageKey(conn)
	if err != nil {
		return nil, err
	}
	made, err := tpm2.Create{
		ParentHandle: authorised(primary.ObjectHandle, primary.Name), InPublic: tpm2.New2B(*attestation.Template()),
	}.Execute(conn)
	if err = errors.Join(err, flush(conn, primary.ObjectHandle)); err != nil {
		return nil, unavailable(fmt.Errorf("make key: %w", err))
	}
	b := &blob{private: made.OutPrivate.Buffer, parent: primary.Name.Buffer}
	if b.public, err = parsePublic(tpm2.Marshal(made.OutPublic)); err != nil {
		return nil, unavailable(fmt.Errorf("make key: %w", err))
	}
	return b, nil
}

// load has the key in the TPM's memory.
func (k *tpmKey) load() error {
	if k.conn == nil {
		conn, err := dial(k.path)
		if err != nil {
			return err
		}
		k.conn = conn
	}
	if k.handle.Handle != 0 {
		return nil
	}
	primary, err := storageKey(k.conn)
	if err != nil {
		return err
	}
	area, err := k.blob.publicArea()
	if err != nil {
		return err
	}
	loaded, err := tpm2.Load{
		ParentHandle: authorised(primary.ObjectHandle, primary.Name),
		InPrivate:    tpm2.TPM2BPrivate{Buffer: k.blob.private},
		InPublic:     tpm2.BytesAs2B[tpm2.TPMTPublic](area),
	}.Execute(k.conn)
	flushed := flush(k.conn, primary.ObjectHandle)
	switch same := bytes.Equal(primary.Name.Buffer, k.blob.parent); {
	case err == nil && flushed == nil:
		k.handle = authorised(loaded.ObjectHandle, loaded.Name)
		return nil
	case errors.Is(err, tpm2.TPMRCIntegrity) && !same:
		return fmt.Errorf("%w: %w", ErrLost, err)
	case isParameter(err):
		return fmt.Errorf("%w: the TPM does not take it: %w", ErrCorrupt, err)
	default:
		return unavailable(errors.Join(err, flushed))
	}
}

// drop gives up the connection; the next use makes another.
func (k *tpmKey) drop() error {
	if k.conn == nil {
		return nil
	}
	if k.handle.Handle != 0 {
		// A TPM that has gone, or has forgotten the key, cannot do this and need not.
		_ = flush(k.conn, k.handle.Handle)
	}
	err := k.conn.Close()
	k.conn, k.handle = nil, tpm2.AuthHandle{}
	return err
}

// alone runs f while nobody else talks to the TPM. A TPM that hangs is waited for as
// long as ctx allows; whoever comes next waits for the same answer.
func alone[T any](ctx context.Context, k *tpmKey, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	select {
	case k.turn <- struct{}{}:
	case <-ctx.Done():
		return none, unavailable(fmt.Errorf("it is busy: %w", ctx.Err()))
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-k.turn }()
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, unavailable(fmt.Errorf("it does not answer: %w", ctx.Err()))
	}
}

// use runs f with the key loaded; twice if the TPM has forgotten the key since it was
// used last.
func use[T any](ctx context.Context, k *tpmKey, f func(transport.TPM, tpm2.AuthHandle) (T, error)) (T, error) {
	return alone(ctx, k, func() (T, error) {
		value, err := once(k, f)
		if transient(err) {
			value, err = once(k, f)
		}
		if transient(err) && !errors.Is(err, ErrUnavailable) {
			err = unavailable(err)
		}
		return value, err
	})
}

func once[T any](k *tpmKey, f func(transport.TPM, tpm2.AuthHandle) (T, error)) (T, error) {
	var none T
	err := k.load()
	if err == nil {
		var value T
		if value, err = f(k.conn, k.handle); err == nil {
			return value, nil
		}
	}
	// The connection may be what is broken: closing it can fail and says nothing new.
	_ = k.drop()
	return none, err
}

// isParameter says that the TPM names a parameter that it does not take.
func isParameter(err error) bool {
	var fault tpm2.TPMFmt1Error
	if !errors.As(err, &fault) {
		return false
	}
	is, _ := fault.Parameter()
	return is
}

// transient says whether a fault may go away.
func transient(err error) bool {
	return errors.Is(err, ErrUnavailable) || err != nil && !errors.Is(err, ErrLost) && !errors.Is(err, ErrCorrupt) && !isParameter(err)
}

// Public is the public key.
func (k *tpmKey) Public() crypto.PublicKey { return k.blob.public }

// Sign has the TPM sign a digest; opts may be nil, as go-cose has it. While the TPM does
// not answer it is tried again, up to signLimit.
func (k *tpmKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts != nil && opts.HashFunc() != 0 && opts.HashFunc().Size() != len(digest) {
		return nil, fmt.Errorf("sign: digest of %d bytes, not %d", len(digest), opts.HashFunc().Size())
	}
	ctx, cancel := context.WithTimeout(context.Background(), signLimit)
	defer cancel()
	return persist(ctx, nil, func() ([]byte, error) {
		return use(ctx, k, func(conn transport.TPM, key tpm2.AuthHandle) ([]byte, error) { return sign(conn, key, digest) })
	})
}

// persist tries until it works, fails for good, or ctx ends. told hears of each fault
// that may go away.
func persist[T any](ctx context.Context, told func(error), try func() (T, error)) (T, error) {
	const longest = time.Minute
	for pause := firstPause; ; pause = min(2*pause, longest) {
		value, err := try()
		if !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return value, err
		}
		if told != nil {
			told(err)
		}
		if wait.For(ctx, pause) != nil {
			return value, err
		}
	}
}

// sign is one TPM2_Sign.
func sign(conn transport.TPM, key tpm2.AuthHandle, digest []byte) ([]byte, error) {
	signed, err := tpm2.Sign{
		KeyHandle:  key,
		Digest:     tpm2.TPM2BDigest{Buffer: fit(digest)},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}.Execute(conn)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	signature, err := signed.Signature.Signature.ECDSA()
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(signature.SignatureR.Buffer), new(big.Int).SetBytes(signature.SignatureS.Buffer),
	})
}

// fit gives the 256 bits that ECDSA on P-256 uses of any digest: the leftmost of a
// longer one, a shorter one as a number (FIPS 186-5, 6.4.1). So the one hash that the
// key is made for serves for TLS with SHA-384 as well.
func fit(digest []byte) []byte {
	if len(digest) >= sha256.Size {
		return bytes.Clone(digest[:sha256.Size])
	}
	return append(make([]byte, sha256.Size-len(digest)), digest...)
}

// prove signs something and verifies it.
func (k *tpmKey) prove() error {
	digest := make([]byte, sha256.Size)
	if _, err := rand.Read(digest); err != nil {
		return err
	}
	signature, err := k.Sign(nil, digest, crypto.SHA256)
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(k.blob.public, digest, signature) {
		return unavailable(errors.New("its signature does not verify"))
	}
	return nil
}

// Close flushes the key and closes the connection, unless a command hangs.
func (k *tpmKey) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
		return k.drop()
	case <-ctx.Done():
		return unavailable(errors.New("close: it is busy"))
	}
}
