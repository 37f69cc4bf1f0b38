package keyring

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
)

// exportFormat is the export's name and version.
const exportFormat = "lensward/owner-keys/1"

// Export is what a viewer page imports: it can sign in and open pictures, and
// cannot change who owns a camera. It is a secret.
type Export struct {
	Format string `json:"format"`
	// Owner is the owner's ID; OwnerKey its root key's SubjectPublicKeyInfo.
	Owner    string `json:"owner"`
	OwnerKey string `json:"owner_key"`
	// ViewerKey is a PKCS #8 private key, base64url.
	ViewerKey string `json:"viewer_key"`
	// Household are age identities.
	Household []string `json:"household_identities"`
}

// String does not print the secrets.
func (e Export) String() string { return "viewer keys of owner " + e.Owner }

// GoString is String.
func (e Export) GoString() string { return e.String() }

// LogValue is String.
func (e Export) LogValue() slog.Value { return slog.StringValue(e.String()) }

// Export returns the viewer's half of the keys.
func (k *Keyring) Export() (Export, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.viewer)
	if err != nil {
		return Export{}, fmt.Errorf("export viewer key: %w", err)
	}
	enc := base64.RawURLEncoding
	return Export{
		Format: exportFormat, Owner: k.owner.String(), OwnerKey: enc.EncodeToString(k.ownerKey),
		ViewerKey: enc.EncodeToString(der), Household: k.identities,
	}, nil
}

// Fragment is the export as a URL fragment for the viewer page, "#keys=…". A
// fragment is not sent to the server; the page takes it out of the address bar.
func (e Export) Fragment() (string, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encode viewer keys: %w", err)
	}
	return "#keys=" + base64.RawURLEncoding.EncodeToString(b), nil
}
