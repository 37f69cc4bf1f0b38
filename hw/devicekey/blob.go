package devicekey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"

	"github.com/lensward/lensward/hw/devicekey/attestation"
)

// TPMFileName is the file of a key in a TPM, in the state directory: the TPM's own
// wrapping of it, which no other TPM can open. docs/ref/device-key.md has its form.
const TPMFileName = "device-key.tpm"

const (
	tpmPEMType    = "TSS2 PRIVATE KEY"
	parentPEMType = "LENSWARD TPM PARENT"
	// maxPrivate limits the wrapped private key, in bytes; swtpm's has 126.
	maxPrivate = 1 << 10
	nameSize   = 34 // a TPM's name for an object: the hash's number, and a SHA-256
)

// blob is a key in a TPM as it is kept outside of it.
type blob struct {
	public *ecdsa.PublicKey
	// private is wrapped by the TPM's storage key, whose name is parent.
	private, parent []byte
}

// tpmKeyFile is TPMKey of the TPM 2.0 key files that OpenSSL's providers use.
type tpmKeyFile struct {
	Type      asn1.ObjectIdentifier
	EmptyAuth bool `asn1:"explicit,optional,tag:0"`
	Parent    int64
	Public    []byte
	Private   []byte
}

// loadable is the type of a key that its parent wraps.
func loadable() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3} }

// publicArea is the key's public area as its TPM has it.
func (b *blob) publicArea() ([]byte, error) {
	area, err := attestation.PublicArea(b.public)
	if err != nil {
		return nil, err
	}
	return tpm2.Marshal(area), nil
}

// encode is the file's contents.
func (b *blob) encode() ([]byte, error) {
	area, err := b.publicArea()
	if err != nil {
		return nil, err
	}
	der, err := asn1.Marshal(tpmKeyFile{
		Type: loadable(), EmptyAuth: true, Parent: int64(tpm2.TPMRHOwner),
		Public:  tpm2.Marshal(tpm2.BytesAs2B[tpm2.TPMTPublic](area)),
		Private: tpm2.Marshal(tpm2.TPM2BPrivate{Buffer: b.private}),
	})
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: tpmPEMType, Bytes: der})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: parentPEMType, Bytes: b.parent})...), nil
}

// parseBlob reads what encode writes. All else is ErrCorrupt: the file is the device's
// own, and another form would be another key.
func parseBlob(data []byte) (*blob, error) {
	first, rest := pem.Decode(data)
	if first == nil {
		return nil, fmt.Errorf("%w: no PEM block", ErrCorrupt)
	}
	second, rest := pem.Decode(rest)
	switch {
	case second == nil:
		return nil, fmt.Errorf("%w: no second PEM block", ErrCorrupt)
	case first.Type != tpmPEMType || second.Type != parentPEMType || len(first.Headers)+len(second.Headers) > 0:
		return nil, fmt.Errorf("%w: PEM blocks are not a plain %q and %q", ErrCorrupt, tpmPEMType, parentPEMType)
	case !strings.HasPrefix(strings.TrimLeft(string(data), " \t\r\n"), "-----BEGIN "), len(bytes.TrimSpace(rest)) > 0:
		return nil, fmt.Errorf("%w: bytes around the PEM blocks", ErrCorrupt)
	case len(second.Bytes) != nameSize:
		return nil, fmt.Errorf("%w: the parent's name has %d bytes, not %d", ErrCorrupt, len(second.Bytes), nameSize)
	}
	var f tpmKeyFile
	_, err := asn1.Unmarshal(first.Bytes, &f)
	if err != nil {
		return nil, fmt.Errorf("%w: not a TPMKey", ErrCorrupt)
	}
	if again, err := asn1.Marshal(f); err != nil || !bytes.Equal(again, first.Bytes) {
		return nil, fmt.Errorf("%w: there is more in the TPMKey than there should be", ErrCorrupt)
	}
	if !f.Type.Equal(loadable()) || !f.EmptyAuth || f.Parent != int64(tpm2.TPMRHOwner) {
		return nil, fmt.Errorf("%w: not a loadable key under the storage key", ErrCorrupt)
	}
	b := &blob{parent: second.Bytes}
	if b.public, err = parsePublic(f.Public); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	private, err := sized(f.Private)
	if err != nil || len(private) == 0 || len(private) > maxPrivate {
		return nil, fmt.Errorf("%w: wrapped private key of %d bytes", ErrCorrupt, len(f.Private))
	}
	b.private = private
	return b, nil
}

// parsePublic reads a TPM2B_PUBLIC, and takes only a device key's.
func parsePublic(data []byte) (*ecdsa.PublicKey, error) {
	area, err := sized(data)
	if err != nil {
		return nil, err
	}
	// The point is at the end: two fields of 32 bytes.
	const field = 2 + 32
	if len(area) < 2*field {
		return nil, fmt.Errorf("public area of %d bytes", len(area))
	}
	point := area[len(area)-2*field:]
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, point[2:field]...), point[field+2:]...))
	if err != nil {
		return nil, err
	}
	want, err := attestation.PublicArea(key)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(area, tpm2.Marshal(want)) {
		return nil, fmt.Errorf("it is a key of another kind")
	}
	return key, nil
}

// sized takes the 16 bits of size off.
func sized(data []byte) ([]byte, error) {
	if len(data) < 2 || int(data[0])<<8|int(data[1]) != len(data)-2 {
		return nil, fmt.Errorf("%d bytes are not the size that is said", len(data))
	}
	return data[2:], nil
}
