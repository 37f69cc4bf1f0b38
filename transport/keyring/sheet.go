package keyring

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/household"
)

// ErrNoSheet means that no recovery sheet was made.
var ErrNoSheet = errors.New("no recovery sheet was made")

// sheet is the file's form.
type sheet struct {
	Version   int    `json:"version"`
	Recipient string `json:"recipient"`
	BoxKey    string `json:"box_key"`
	Locator   string `json:"locator"`
}

func readSheet(dir *durable.Dir) (*household.Keeper, error) {
	b, err := dir.ReadFile(sheetFile, maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", sheetFile, err)
	}
	k, err := parseSheet(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", sheetFile, err)
	}
	return &k, nil
}

// parseSheet reads the file. Its errors quote nothing of it.
func parseSheet(b []byte) (household.Keeper, error) {
	var s sheet
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(&s) != nil || s.Version != 1 {
		return household.Keeper{}, errors.New("not a recovery sheet's keeper of version 1")
	}
	key, err := hex.DecodeString(s.BoxKey)
	if err != nil {
		return household.Keeper{}, errors.New("the box key is not hexadecimal")
	}
	return household.NewKeeper(s.Recipient, s.Locator, key)
}

// KeepSheet makes a sheet the one for which boxes are made from now on, in place of the
// one before. The secret itself is not kept: it is to be on paper by then.
func (k *Keyring) KeepSheet(secret household.Secret) error {
	if k.root == nil {
		return fmt.Errorf("keep recovery sheet: %w", ErrMember)
	}
	keeper, err := secret.Keeper()
	if err != nil {
		return fmt.Errorf("keep recovery sheet: %w", err)
	}
	b, err := json.MarshalIndent(sheet{1, keeper.Recipient, hex.EncodeToString(keeper.BoxKey()), keeper.Locator}, "", "\t")
	if err != nil {
		return fmt.Errorf("keep recovery sheet: %w", err)
	}
	return k.locked(func() error {
		if err := k.dir.WriteFile(sheetFile, append(b, '\n'), 0o600); err != nil {
			return fmt.Errorf("keep recovery sheet: %w", err)
		}
		k.keeper = &keeper
		return nil
	})
}

// Box makes the box that the sheet opens, and its name at a courier. A new one is to be
// made after every change of the household. ErrNoSheet: there is nobody to make it for.
func (k *Keyring) Box(now time.Time) (locator string, box []byte, err error) {
	switch {
	case k.root == nil:
		return "", nil, fmt.Errorf("make recovery box: %w", ErrMember)
	case k.keeper == nil:
		return "", nil, fmt.Errorf("make recovery box: %w", ErrNoSheet)
	}
	box, err = k.keeper.Seal(household.Box{Root: k.root, Identities: k.kept(), Created: now, Newest: k.newest})
	return k.keeper.Locator, box, err
}

// Restore makes an owner's directory from a sheet and its box, with a new key to sign in
// by. The sheet stays good. Later statements are to be taken, then a Change removes what
// was lost and enters the new key.
func Restore(path string, secret household.Secret, box []byte, opts ...durable.Option) (*Keyring, error) {
	b, err := secret.Open(box)
	if err != nil {
		return nil, fmt.Errorf("restore keys: %w", err)
	}
	if len(b.Identities) == 0 && b.Newest == nil {
		return nil, errors.New("restore keys: the box holds no identity")
	}
	dir, err := openNew(path, opts)
	if err != nil {
		return nil, err
	}
	if err := create(dir, householdFile, b.Identities.File()); err != nil {
		return nil, err
	}
	if b.Newest != nil {
		if err := create(dir, statementName(b.Newest.Serial), b.Newest.Bytes()); err != nil {
			return nil, err
		}
	}
	if err := keepOrMake(dir, viewerFile); err != nil {
		return nil, err
	}
	if err := createKey(dir, rootFile, b.Root); err != nil { // last, as in New
		return nil, err
	}
	k, err := Open(path, opts...)
	if err != nil {
		return nil, err
	}
	return k, k.KeepSheet(secret)
}
