package keyring_test

import (
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

func must(t *testing.T, err error) {
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
