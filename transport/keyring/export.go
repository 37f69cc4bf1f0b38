package keyring

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/seal"
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
	// Member are what opens the keys of the household's statements, once there is one.
	Member []string `json:"member_identities,omitempty"`
	// OwnerPrivateKey is the root key (PKCS #8, base64url). Only a copy of keys that
	// were made in a browser has it; Export leaves it out.
	OwnerPrivateKey string `json:"owner_private_key,omitempty"`
}

// String does not print the secrets.
func (e Export) String() string { return "viewer keys of owner " + e.Owner }

// GoString is String.
func (e Export) GoString() string { return e.String() }

// LogValue is String.
func (e Export) LogValue() slog.Value { return slog.StringValue(e.String()) }

// Export returns the viewer's half of the keys.
func (k *Keyring) Export() (Export, error) {
	if len(k.OwnerKey()) == 0 {
		return Export{}, errors.New("export viewer key: the owner has not made this key a member yet")
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.viewer)
	if err != nil {
		return Export{}, fmt.Errorf("export viewer key: %w", err)
	}
	enc := base64.RawURLEncoding
	e := Export{
		Format: exportFormat, Owner: k.owner.String(), OwnerKey: enc.EncodeToString(k.OwnerKey()),
		ViewerKey: enc.EncodeToString(der),
	}
	for _, id := range k.kept() {
		e.Household = append(e.Household, id.Secret())
	}
	for _, id := range k.member {
		e.Member = append(e.Member, id.Secret())
	}
	return e, nil
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

// maxImport bounds a copy of keys, in bytes.
const maxImport = 64 << 10

// Import makes the directory of an owner whose keys were made in a browser, from
// the copy that the page saves. The directory must not hold an owner's keys yet.
func Import(path string, saved []byte, opts ...durable.Option) (*Keyring, error) {
	e, err := parseImport(saved)
	if err != nil {
		return nil, fmt.Errorf("import owner's keys: %w", err)
	}
	dir, err := openNew(path, opts)
	if err != nil {
		return nil, err
	}
	if err := create(dir, householdFile, e.household.File()); err != nil {
		return nil, err
	}
	for _, k := range []struct {
		name string
		key  *ecdsa.PrivateKey
	}{{viewerFile, e.viewer}, {rootFile, e.root}} { // the root key last, as in New
		if err := createKey(dir, k.name, k.key); err != nil {
			return nil, err
		}
	}
	return Open(path, opts...)
}

// imported is a copy of keys that fits together.
type imported struct {
	root, viewer *ecdsa.PrivateKey
	household    household.Identities
}

func parseImport(b []byte) (imported, error) {
	var out imported
	if len(b) > maxImport {
		return out, fmt.Errorf("%d bytes, at most %d", len(b), maxImport)
	}
	var e Export
	// The library's errors may quote what they stumble over, and it may be a key.
	if json.Unmarshal(b, &e) != nil || e.Format != exportFormat {
		return out, fmt.Errorf("not a copy of keys (%s)", exportFormat)
	}
	if e.OwnerPrivateKey == "" {
		return out, errors.New("the copy is a viewer's, without the owner's root key")
	}
	var err error
	if out.root, err = decodeKey(e.OwnerPrivateKey); err != nil {
		return out, fmt.Errorf("root key: %w", err)
	}
	if out.viewer, err = decodeKey(e.ViewerKey); err != nil {
		return out, fmt.Errorf("viewer key: %w", err)
	}
	if id, err := seal.IDOf(out.root.Public()); err != nil || id.String() != e.Owner {
		return out, errors.New("the root key is not the owner's that the copy names")
	}
	if len(e.Household) == 0 {
		return out, errors.New("no household identity")
	}
	out.household, err = household.ParseIdentities([]byte(strings.Join(e.Household, "\n")))
	return out, err
}

func decodeKey(s string) (*ecdsa.PrivateKey, error) {
	der, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	return parseKey(der)
}
