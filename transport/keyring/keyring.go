// Package keyring is an owner's keys in a directory: the root key that signs
// ownership records, the viewer key that signs in, and the household identity
// that opens pictures.
//
// It owns the directory's layout and the records of the cameras that were paired.
// It never sends a key anywhere, and never overwrites one: a lost household
// identity is lost pictures. Export writes what another viewer (the page) needs,
// which leaves the root key out.
package keyring

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const (
	rootFile      = "root.key"
	viewerFile    = "viewer.key"
	householdFile = "household.txt"
	recordSuffix  = ".ownership"

	maxKeyFile    = 16 << 10
	maxIdentities = 64
)

// ErrExists means that the directory already holds an owner's keys.
var ErrExists = errors.New("an owner's keys are already there")

// Keyring is an owner's keys. It prints as the owner's ID alone.
type Keyring struct {
	dir        *durable.Dir
	root       *ecdsa.PrivateKey
	viewer     *ecdsa.PrivateKey
	household  []age.Identity
	identities []string // household, as age writes them
	owner      seal.ID
	ownerKey   []byte
	recipient  string
}

// New makes an owner's keys in a directory that has none. The household identity
// is post-quantum (ML-KEM-768 with X25519).
func New(path string) (*Keyring, error) {
	dir, err := openNew(path)
	if err != nil {
		return nil, err
	}
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("make household identity: %w", err)
	}
	text := fmt.Sprintf("# created: %s\n# public key: %s\n%s\n",
		time.Now().UTC().Format(time.RFC3339), id.Recipient(), id)
	if err := dir.Create(householdFile, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write household identity: %w", err)
	}
	// The root key comes last: its file is what says that the directory is complete.
	for _, name := range []string{viewerFile, rootFile} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", name, err)
		}
		if err := writeKey(dir, name, key); err != nil {
			return nil, err
		}
	}
	return Open(path)
}

// openNew opens a directory that holds no owner's keys yet.
func openNew(path string) (*durable.Dir, error) {
	dir, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("make owner's keys: %w", err)
	}
	if _, err := dir.ReadFile(rootFile, maxKeyFile); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("make owner's keys in %s: %w", path, ErrExists)
	}
	return dir, nil
}

func writeKey(dir *durable.Dir, name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := dir.Create(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// Open reads the keys in a directory.
func Open(path string) (*Keyring, error) {
	k := &Keyring{}
	var err error
	if k.dir, err = durable.Open(path); err != nil {
		return nil, fmt.Errorf("open owner's keys: %w", err)
	}
	if k.root, err = readKey(k.dir, rootFile); err != nil {
		return nil, err
	}
	if k.viewer, err = readKey(k.dir, viewerFile); err != nil {
		return nil, err
	}
	b, err := k.dir.ReadFile(householdFile, maxKeyFile*maxIdentities)
	if err != nil {
		return nil, fmt.Errorf("read household identity: %w", err)
	}
	if err := k.readHousehold(string(b)); err != nil {
		return nil, err
	}
	if k.ownerKey, err = statement.SPKI(k.root.Public()); err != nil {
		return nil, fmt.Errorf("read %s: %w", rootFile, err)
	}
	k.owner = seal.KeyID(k.ownerKey)
	return k, nil
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

// readHousehold takes every identity in the file; new pictures go to the first.
func (k *Keyring) readHousehold(text string) error {
	ids, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil {
		return fmt.Errorf("read household identity: not age identities")
	}
	if len(ids) > maxIdentities {
		return fmt.Errorf("read household identity: %d identities, at most %d", len(ids), maxIdentities)
	}
	for _, id := range ids {
		switch id := id.(type) {
		case *age.HybridIdentity:
			k.add(id, id.String(), id.Recipient().String())
		case *age.X25519Identity:
			k.add(id, id.String(), id.Recipient().String())
		default:
			return fmt.Errorf("read household identity: a kind that is not known")
		}
	}
	return nil
}

func (k *Keyring) add(id age.Identity, secret, recipient string) {
	if k.recipient == "" {
		k.recipient = recipient
	}
	k.household, k.identities = append(k.household, id), append(k.identities, secret)
}

// Owner is the owner's ID.
func (k *Keyring) Owner() seal.ID { return k.owner }

// Root is the key that signs ownership records.
func (k *Keyring) Root() *ecdsa.PrivateKey { return k.root }

// OwnerKey is the root key's SubjectPublicKeyInfo, DER.
func (k *Keyring) OwnerKey() []byte { return k.ownerKey }

// Viewer is the key that signs in to a hub.
func (k *Keyring) Viewer() *ecdsa.PrivateKey { return k.viewer }

// Household opens what the owner's cameras sealed.
func (k *Keyring) Household() []age.Identity { return k.household }

// Recipient is the household's age recipient, whom cameras encrypt to.
func (k *Keyring) Recipient() string { return k.recipient }

// Dir is the directory.
func (k *Keyring) Dir() string { return k.dir.Path("") }

// String is the owner's short ID.
func (k *Keyring) String() string { return "owner " + k.owner.Short() }

// Format keeps every verb from printing keys.
func (k *Keyring) Format(s fmt.State, _ rune) { fmt.Fprint(s, k.String()) }

// LogValue is the owner's ID.
func (k *Keyring) LogValue() slog.Value { return slog.StringValue(k.owner.String()) }

// Draft is the record by which this owner would take a camera that had no owner, or
// had the known one. The viewer key is on its list.
func (k *Keyring) Draft(deviceKey []byte, known *ownership.Signed, now time.Time) (ownership.Record, error) {
	viewer, err := statement.SPKI(k.viewer.Public())
	if err != nil {
		return ownership.Record{}, fmt.Errorf("draft ownership record: %w", err)
	}
	r := ownership.Record{
		Device: seal.KeyID(deviceKey), DeviceKey: deviceKey, Owner: k.owner, OwnerKey: k.ownerKey,
		Epoch: 1, Revision: 1, Acquired: ownership.AcquiredPaired, Created: now,
		Recipients: []ownership.Recipient{{Kind: ownership.RecipientHousehold, Age: k.recipient}},
		Viewers:    []ownership.Viewer{{Key: viewer, Name: "owner", Role: ownership.RoleOwner}},
	}
	if known == nil {
		return r, nil
	}
	if known.Record.Owner != k.owner {
		return r, fmt.Errorf("draft ownership record: camera %s belongs to owner %s",
			known.Record.Device.Short(), known.Record.Owner.Short())
	}
	r.Epoch, r.Revision, r.Previous = known.Record.Epoch, known.Record.Revision+1, known.Hash()
	return r, nil
}

// Keep stores a camera's ownership, so that the camera is known without a hub.
func (k *Keyring) Keep(o *ownership.Ownership) error {
	if err := o.Verify(); err != nil {
		return fmt.Errorf("keep ownership: %w", err)
	}
	if o.Record.Owner != k.owner {
		return fmt.Errorf("keep ownership: it is owner %s's", o.Record.Owner.Short())
	}
	name := fmt.Sprintf("%s-%d-%d%s", o.Record.Device, o.Record.Epoch, o.Record.Revision, recordSuffix)
	if err := k.dir.WriteFile(name, o.Bytes(), 0o600); err != nil {
		return fmt.Errorf("keep ownership: %w", err)
	}
	return nil
}

// Ownerships are the kept records, every one verified.
func (k *Keyring) Ownerships() ([]*ownership.Ownership, error) {
	names, err := k.dir.Names()
	if err != nil {
		return nil, fmt.Errorf("list ownerships: %w", err)
	}
	var out []*ownership.Ownership
	for _, name := range names {
		if !strings.HasSuffix(name, recordSuffix) {
			continue
		}
		b, err := k.dir.ReadFile(name, ownership.MaxOwnership)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		o, err := ownership.Parse(b)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if err := o.Verify(); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		out = append(out, o)
	}
	return out, nil
}

// Policy is what this owner's items are held against, by the kept records.
func (k *Keyring) Policy() (*seal.Policy, error) {
	all, err := k.Ownerships()
	if err != nil {
		return nil, err
	}
	p := &seal.Policy{Owner: k.owner, Cameras: make(map[seal.ID]seal.Camera)}
	for _, o := range all {
		cam := p.Cameras[o.Record.Device]
		if cam.Records == nil {
			cam.Records = make(map[seal.Hash]uint64)
		}
		cam.Records[o.Hash()] = o.Record.Epoch
		p.Cameras[o.Record.Device] = cam
	}
	return p, nil
}
