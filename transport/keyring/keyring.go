// Package keyring is an owner's or a household member's keys in a directory: the root key
// that signs ownership records and household statements (an owner's alone), the key that
// signs in, and the identities that open pictures.
//
// It owns the directory's layout (docs/ref/household.md), the order of writes by which a
// change is there wholly or not at all, and the destroying of identities whose time has
// passed. It never sends a key anywhere, and destroys none that a statement does not tell
// it to: a lost identity is lost pictures. Export writes what another viewer (the page)
// needs, which leaves the root key out.
package keyring

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const (
	rootFile        = "root.key"
	ownerFile       = "owner"
	viewerFile      = "viewer.key"
	householdFile   = "household.txt"
	memberFile      = "member.txt"
	sheetFile       = "recovery.json"
	statementSuffix = ".household"
	recordSuffix    = ".ownership"

	maxKeyFile = 16 << 10
	maxList    = 64 << 10
)

var (
	// ErrExists means that the directory already holds an owner's keys.
	ErrExists = errors.New("an owner's keys are already there")
	// ErrMember means that it takes the owner's root key, and this is a member's directory.
	ErrMember = errors.New("these are a member's keys: only the owner's root key can do that")
)

// Keyring is an owner's or a member's keys. It prints as the owner's ID alone. It is not
// safe for concurrent use; several processes may have one directory open.
type Keyring struct {
	dir *durable.Dir
	contents
}

// contents are what is in the directory.
type contents struct {
	owner  seal.ID
	root   *ecdsa.PrivateKey // nil in a member's
	viewer *ecdsa.PrivateKey
	held   household.Identities
	member household.Identities // the newest card's first
	newest *household.Signed    // nil before there is a statement
	keeper *household.Keeper    // nil without a recovery sheet
}

// New makes an owner's keys in a directory that has none. The household identity
// is post-quantum (ML-KEM-768 with X25519).
func New(path string, opts ...durable.Option) (*Keyring, error) {
	dir, err := openNew(path, opts)
	if err != nil {
		return nil, err
	}
	id, err := household.NewIdentity()
	if err != nil {
		return nil, err
	}
	// What an interrupted New left is taken, not overwritten.
	if err := keepOr(dir, householdFile, household.Identities{id}.File()); err != nil {
		return nil, err
	}
	// The root key comes last: its file is what says that the directory is complete.
	for _, name := range []string{viewerFile, rootFile} {
		if err := keepOrMake(dir, name); err != nil {
			return nil, err
		}
	}
	return Open(path, opts...)
}

// Join makes a member's keys in a directory that has none, for this owner's household.
// Card is then what the owner needs.
func Join(path string, owner seal.ID, opts ...durable.Option) (*Keyring, error) {
	dir, err := openNew(path, opts)
	if err != nil {
		return nil, err
	}
	if err := keepOrMake(dir, viewerFile); err != nil {
		return nil, err
	}
	if err := keepOr(dir, ownerFile, []byte(owner.String()+"\n")); err != nil {
		return nil, err
	}
	return Open(path, opts...)
}

// openNew opens a directory that holds no complete keys yet.
func openNew(path string, opts []durable.Option) (*durable.Dir, error) {
	dir, err := durable.Open(path, opts...)
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	for _, name := range []string{rootFile, ownerFile} {
		if _, err := dir.ReadFile(name, maxKeyFile); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("make keys in %s: %w", path, ErrExists)
		}
	}
	return dir, nil
}

// keepOr writes a file unless it is there.
func keepOr(dir *durable.Dir, name string, data []byte) error {
	if err := dir.Create(name, data, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// create writes a file that must not be there with anything else in it.
func create(dir *durable.Dir, name string, data []byte) error {
	err := dir.Create(name, data, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if there, readErr := dir.ReadFile(name, int64(len(data))); readErr == nil && bytes.Equal(there, data) {
			return nil
		}
		err = ErrExists
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// Open reads the keys in a directory.
func Open(path string, opts ...durable.Option) (*Keyring, error) {
	dir, err := durable.Open(path, opts...)
	if err != nil {
		return nil, fmt.Errorf("open owner's keys: %w", err)
	}
	k := &Keyring{dir: dir}
	return k, k.load()
}

// load reads the directory anew. After an error everything is as it was.
func (k *Keyring) load() error {
	var c contents
	var err error
	if c.root, err = readKey(k.dir, rootFile); err == nil {
		c.owner, err = seal.IDOf(c.root.Public())
	} else if errors.Is(err, fs.ErrNotExist) {
		c.owner, err = readOwner(k.dir, err)
	}
	if err != nil {
		return err
	}
	if c.viewer, err = readKey(k.dir, viewerFile); err != nil {
		return err
	}
	if c.newest, err = readNewest(k.dir, c.owner); err != nil {
		return err
	}
	if c.held, err = readIdentities(k.dir, householdFile, c.root == nil || c.newest != nil); err != nil {
		return err
	}
	if c.member, err = readIdentities(k.dir, memberFile, true); err != nil {
		return err
	}
	if c.keeper, err = readSheet(k.dir); err != nil {
		return err
	}
	k.contents = c
	return nil
}

// readOwner reads whose household a member's directory is for. Without one it is no
// directory of keys at all, and noRoot says so.
func readOwner(dir *durable.Dir, noRoot error) (seal.ID, error) {
	b, err := dir.ReadFile(ownerFile, 128)
	if errors.Is(err, fs.ErrNotExist) {
		return seal.ID{}, noRoot
	}
	if err != nil {
		return seal.ID{}, fmt.Errorf("read %s: %w", ownerFile, err)
	}
	id, err := seal.ParseID(strings.TrimSpace(string(b)))
	if err != nil {
		return seal.ID{}, fmt.Errorf("read %s: %w", ownerFile, err)
	}
	return id, nil
}

// readIdentities reads an age identities file.
func readIdentities(dir *durable.Dir, name string, mayMiss bool) (household.Identities, error) {
	b, err := dir.ReadFile(name, maxList)
	if errors.Is(err, fs.ErrNotExist) && mayMiss {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) == 0 && mayMiss {
		return nil, nil
	}
	ids, err := household.ParseIdentities(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return ids, nil
}

// Owner is the owner's ID.
func (k *Keyring) Owner() seal.ID { return k.owner }

// Root is the key that signs ownership records, nil in a member's directory.
func (k *Keyring) Root() *ecdsa.PrivateKey { return k.root }

// OwnerKey is the root key's SubjectPublicKeyInfo, DER; nil in a member's directory
// that has no statement yet.
func (k *Keyring) OwnerKey() []byte {
	if k.newest != nil {
		return k.newest.OwnerKey
	}
	if k.root == nil {
		return nil
	}
	spki, err := statement.SPKI(k.root.Public())
	if err != nil {
		return nil // readKey takes no key of another kind
	}
	return spki
}

// Viewer is the key that signs in to a hub.
func (k *Keyring) Viewer() *ecdsa.PrivateKey { return k.viewer }

// viewerKey is its SubjectPublicKeyInfo.
func (k *Keyring) viewerKey() ([]byte, error) { return statement.SPKI(k.viewer.Public()) }

// kept are the identities that may be used: those of listed periods, the current one's
// first.
func (k *Keyring) kept() household.Identities {
	if k.newest == nil {
		return k.held
	}
	var out household.Identities
	for _, p := range slices.Backward(k.newest.Periods) {
		for _, id := range k.held {
			if q, ok := k.newest.PeriodOf(id.Recipient()); ok && q == p {
				out = append(out, id)
			}
		}
	}
	return out
}

// Household opens what the owner's cameras sealed, as far back as its identities are kept.
func (k *Keyring) Household() []age.Identity { return k.kept().Age() }

// Recipient is the household's age recipient, whom cameras encrypt to now; empty in a
// member's directory that has no statement yet.
func (k *Keyring) Recipient() string {
	switch {
	case k.newest != nil:
		return k.newest.Recipient
	case len(k.held) > 0:
		return k.held[0].Recipient()
	}
	return ""
}

// Dir is the directory.
func (k *Keyring) Dir() string { return k.dir.Path("") }

// String is the owner's short ID.
func (k *Keyring) String() string { return "owner " + k.owner.Short() }

// Format keeps every verb from printing keys.
func (k *Keyring) Format(s fmt.State, _ rune) { fmt.Fprint(s, k.String()) }

// LogValue is the owner's ID.
func (k *Keyring) LogValue() slog.Value { return slog.StringValue(k.owner.String()) }
