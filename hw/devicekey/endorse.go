package devicekey

import (
	"context"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/lensward/lensward/hw/devicekey/attestation"
)

// nvChunk is how many bytes of a TPM's memory are read at once: what every TPM allows.
const nvChunk = 512

// endorsement is a key by which a TPM's maker knows it.
type endorsement struct {
	// index is where the maker's certificate is.
	index tpm2.TPMHandle
	// template is what the key is made from, the same one each time.
	template tpm2.TPMTPublic
}

// endorsements are the two that the TCG's EK Credential Profile gives fixed places and
// templates, the faster first.
func endorsements() []endorsement {
	return []endorsement{{0x01c0000a, tpm2.ECCEKTemplate}, {0x01c00002, tpm2.RSAEKTemplate}}
}

// Statement is what the device says of its key in a certificate request. A TPM whose
// maker left no certificate in it is a TPM all the same: nobody vouches for it.
func (k *Key) Statement(ctx context.Context) (*attestation.Statement, error) {
	key, ok := k.private.(*tpmKey)
	if !ok {
		return &attestation.Statement{Protection: attestation.File}, nil
	}
	certificates, err := use(ctx, key, func(conn transport.TPM, _ tpm2.AuthHandle) (found [][]byte, _ error) {
		for _, e := range endorsements() {
			certificate, err := e.certificate(conn)
			if err != nil {
				return nil, fmt.Errorf("read endorsement certificate %#x: %w", e.index, err)
			}
			if certificate != nil {
				found = append(found, certificate)
			}
		}
		return found, nil
	})
	if err != nil {
		return nil, err
	}
	return &attestation.Statement{Protection: attestation.TPM, Endorsements: certificates}, nil
}

// Answer answers an authority's challenge: it proves that this key is in the TPM that
// the challenge is for. It can take a slow TPM half a minute, in which nothing is signed.
// Errors are attestation.ErrMalformed, ErrUnavailable, ErrLost, or the TPM's own, when the
// challenge is for another key.
func (k *Key) Answer(ctx context.Context, challenge []byte) ([]byte, error) {
	key, ok := k.private.(*tpmKey)
	if !ok {
		return nil, errors.New("answer challenge: the device key is not in a TPM")
	}
	c, err := attestation.ParseChallenge(challenge)
	if err != nil {
		return nil, fmt.Errorf("answer challenge: %w", err)
	}
	answer, err := use(ctx, key, func(conn transport.TPM, handle tpm2.AuthHandle) ([]byte, error) {
		for _, e := range endorsements() {
			certificate, err := e.certificate(conn)
			if err != nil {
				return nil, err
			}
			if certificate != nil && sha256.Sum256(certificate) == c.Endorsement {
				return e.activate(conn, handle, c)
			}
		}
		return nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("answer challenge: %w", err)
	}
	if answer == nil {
		return nil, errors.New("answer challenge: it is for another TPM")
	}
	return answer, nil
}

// certificate reads the maker's certificate, nil if there is none.
func (e endorsement) certificate(conn transport.TPM) ([]byte, error) {
	public, err := tpm2.NVReadPublic{NVIndex: e.index}.Execute(conn)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	area, err := public.NVPublic.Contents()
	if err != nil {
		return nil, err
	}
	size := min(int(area.DataSize), attestation.MaxCertificate)
	data := make([]byte, 0, size)
	for len(data) < size {
		read, err := tpm2.NVRead{
			AuthHandle: tpm2.AuthHandle{Handle: e.index, Name: public.NVName, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: e.index, Name: public.NVName},
			Size:       uint16(min(nvChunk, size-len(data))), Offset: uint16(len(data)),
		}.Execute(conn)
		if err != nil {
			return nil, err
		}
		if len(read.Data.Buffer) == 0 {
			return nil, errors.New("the TPM gives no more of it")
		}
		data = append(data, read.Data.Buffer...)
	}
	// What is there may be longer than the certificate.
	var certificate asn1.RawValue
	if _, err := asn1.Unmarshal(data, &certificate); err != nil {
		return nil, nil
	}
	return certificate.FullBytes, nil
}

// activate has the TPM open the challenge, which it does for the key that it names.
func (e endorsement) activate(conn transport.TPM, key tpm2.AuthHandle, c *attestation.Challenge) (answer []byte, err error) {
	ek, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(e.template)}.Execute(conn)
	if err != nil {
		return nil, unavailable(fmt.Errorf("make endorsement key: %w", err))
	}
	defer func() { err = errors.Join(err, flush(conn, ek.ObjectHandle)) }()
	opened, err := tpm2.ActivateCredential{
		ActivateHandle: key,
		KeyHandle:      tpm2.AuthHandle{Handle: ek.ObjectHandle, Name: ek.Name, Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, underEndorsement)},
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: c.Credential},
		Secret:         tpm2.TPM2BEncryptedSecret{Buffer: c.Secret},
	}.Execute(conn)
	if err != nil {
		return nil, err
	}
	return opened.CertInfo.Buffer, nil
}

// underEndorsement is the policy of the endorsement keys' templates.
func underEndorsement(conn transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
	_, err := tpm2.PolicySecret{AuthHandle: tpm2.TPMRHEndorsement, PolicySession: session, NonceTPM: nonce}.Execute(conn)
	return err
}
