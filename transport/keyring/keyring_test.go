package keyring_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/hw/devicekey"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestNewNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	k, err := keyring.New(dir)
	must(t, err)
	if _, err := keyring.New(dir); !errors.Is(err, keyring.ErrExists) {
		t.Fatalf("made keys twice: %v", err)
	}
	again, err := keyring.Open(dir)
	must(t, err)
	if again.Owner() != k.Owner() || again.Recipient() != k.Recipient() {
		t.Error("opened as another owner")
	}
	if !strings.HasPrefix(k.Recipient(), "age1pq1") {
		t.Errorf("recipient %.12s… is not post-quantum", k.Recipient())
	}
	for _, name := range []string{"root.key", "viewer.key", "household.txt"} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	k, err := keyring.New(t.TempDir())
	must(t, err)
	e, err := k.Export()
	must(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, s := range []string{fmt.Sprintf(verb, k), fmt.Sprintf(verb, e)} {
			if strings.Contains(s, e.Household[0]) || strings.Contains(s, e.ViewerKey) {
				t.Errorf("%s prints a secret", verb)
			}
		}
	}
}

func TestPairingIsKept(t *testing.T) {
	k, err := keyring.New(t.TempDir())
	must(t, err)
	dev, err := devicekey.LoadOrCreate(t.TempDir())
	must(t, err)
	r, err := k.Draft(dev.SPKI(), nil, time.Now())
	must(t, err)
	s, err := ownership.Sign(k.Root(), r)
	must(t, err)
	o, err := s.Accept(dev, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: time.Now(), Firmware: "x"})
	must(t, err)
	must(t, k.Keep(o))
	p, err := k.Policy()
	must(t, err)
	if p.Cameras[r.Device].Records[o.Hash()] != 1 {
		t.Errorf("policy %+v does not know the camera", p)
	}
	next, err := k.Draft(dev.SPKI(), s, time.Now())
	must(t, err)
	if next.Revision != 2 || next.Previous != s.Hash() {
		t.Errorf("the next record is revision %d after %s", next.Revision, next.Previous)
	}
	stranger, err := keyring.New(t.TempDir())
	must(t, err)
	if _, err := stranger.Draft(dev.SPKI(), s, time.Now()); err == nil {
		t.Error("a stranger drafted a record for an owned camera")
	}
	if err := stranger.Keep(o); err == nil {
		t.Error("a stranger kept the ownership")
	}
}

func TestDamagedKeysAreRefused(t *testing.T) {
	for _, name := range []string{"root.key", "viewer.key", "household.txt"} {
		dir := t.TempDir()
		_, err := keyring.New(dir)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("damaged"), 0o600))
		if _, err := keyring.Open(dir); err == nil || strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s damaged: %v", name, err)
		}
	}
}

// saved is the copy that a page saves of the keys in a directory.
func saved(t *testing.T, dir string, change func(m map[string]any)) []byte {
	t.Helper()
	k, err := keyring.Open(dir)
	must(t, err)
	e, err := k.Export()
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(k.Root())
	must(t, err)
	e.OwnerPrivateKey = base64.RawURLEncoding.EncodeToString(der)
	b, err := json.Marshal(e)
	must(t, err)
	var m map[string]any
	must(t, json.Unmarshal(b, &m))
	if change != nil {
		change(m)
	}
	b, err = json.Marshal(m)
	must(t, err)
	return b
}

func TestImportIsTheSameOwner(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	k, err := keyring.New(dir)
	must(t, err)
	got, err := keyring.Import(to, saved(t, dir, nil))
	must(t, err)
	if got.Owner() != k.Owner() || got.Recipient() != k.Recipient() || !got.Viewer().Equal(k.Viewer()) {
		t.Error("imported as another owner")
	}
	if _, err := keyring.Import(to, saved(t, dir, nil)); !errors.Is(err, keyring.ErrExists) {
		t.Errorf("imported over keys: %v", err)
	}
}

func TestImportRefusesWhatDoesNotFit(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	_, err := keyring.New(dir)
	must(t, err)
	_, err = keyring.New(other)
	must(t, err)
	for name, change := range map[string]func(m map[string]any){
		"viewer's copy": func(m map[string]any) { delete(m, "owner_private_key") },
		"other format":  func(m map[string]any) { m["format"] = "lensward/owner-keys/2" },
		"other owner":   func(m map[string]any) { m["owner"] = strings.Repeat("a", 52) },
		"no identity":   func(m map[string]any) { m["household_identities"] = []string{} },
		"no key":        func(m map[string]any) { m["viewer_key"] = "AAAA" },
		"other root": func(m map[string]any) {
			var o map[string]any
			must(t, json.Unmarshal(saved(t, other, nil), &o))
			m["owner_private_key"] = o["owner_private_key"]
		},
	} {
		to := t.TempDir()
		if _, err := keyring.Import(to, saved(t, dir, change)); err == nil {
			t.Errorf("%s: imported", name)
		}
		if left, _ := os.ReadDir(to); len(left) != 0 {
			t.Errorf("%s: left %v behind", name, left)
		}
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(`{"format":"lensward/owner-keys/1","owner_private_key":"AAAA"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		k, err := keyring.Import(dir, b)
		if left, _ := os.ReadDir(dir); err != nil && len(left) != 0 {
			t.Fatalf("refused, and left %v behind", left)
		}
		if err == nil && k.Owner().IsZero() {
			t.Fatal("imported nobody")
		}
	})
}
