package keyring_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// A directory from before there were households goes on working, and becomes one with its
// first change, whatever identities it has.
func TestOldDirectories(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	hybrid, err := age.GenerateHybridIdentity()
	must(t, err)
	classic, err := age.GenerateX25519Identity()
	must(t, err)
	text := fmt.Sprintf("# created: 2026-01-02T03:04:05Z\n# public key: %s\n%s\n\n%s\n", classic.Recipient(), classic, hybrid)
	must(t, os.WriteFile(filepath.Join(k.Dir(), "household.txt"), []byte(text), 0o600))
	k, err = keyring.Open(k.Dir())
	must(t, err)
	if k.Recipient() != classic.Recipient().String() || len(k.Household()) != 2 || k.Newest() != nil {
		t.Errorf("recipient %s, %d identities", k.Recipient(), len(k.Household()))
	}
	w.pair(k, ownership.AcquiredPaired, ownership.Right{})
	old := w.record()
	if gone, err := k.Expire(w.now.Add(1000 * day)); len(gone) != 0 || err != nil {
		t.Fatalf("destroyed %d identities of a directory without a household: %v", len(gone), err)
	}
	s := w.change(k, household.Change{})
	if s.Serial != 1 || s.Recipient != hybrid.Recipient().String() || len(s.Periods) != 2 {
		t.Errorf("statement %d, recipient %.12s…, %d periods", s.Serial, s.Recipient, len(s.Periods))
	}
	young := w.record()
	if !w.opens(old, k.Household()) || !w.opens(young, k.Household()) {
		t.Error("founded, and something does not open")
	}
}

func TestStatementsAreNotRolledBack(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	m := w.join(k, "phone", true)
	for range 3 {
		w.now = w.now.Add(day)
		w.change(k, household.Change{NewPeriod: true})
	}
	other := w.newOwner()
	w2 := newWorld(t)
	w2.change(other, household.Change{})
	// The owner's directory was copied, and both copies changed the household.
	twin := t.TempDir()
	must(t, os.CopyFS(twin, os.DirFS(k.Dir())))
	fork, err := keyring.Open(twin)
	must(t, err)
	w3 := newWorld(t)
	w3.now = w.now
	w3.change(fork, household.Change{NewPeriod: true})
	w.change(k, household.Change{})
	n := len(w.statements)
	must(t, errors.Join(takeAll(m, w, 2, n-1)...))
	damaged := slices.Clone(w.statements[n-1])
	damaged[len(damaged)-1] ^= 1
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"the one before":      {w.statements[n-3], household.ErrRollBack},
		"the first":           {w.statements[0], household.ErrRollBack},
		"of another owner":    {w2.statements[0], household.ErrOwner},
		"damaged":             {damaged, household.ErrKeys},
		"nothing":             {nil, statement.ErrTruncated},
		"another's signature": {append(slices.Clone(w.statements[n-1][:200]), w2.statements[0][200:]...), statement.ErrMalformed},
	} {
		if _, err := m.Take(c.b, w.now); !errors.Is(err, c.want) && c.want != statement.ErrMalformed || err == nil {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	must(t, errors.Join(takeAll(m, w, n-1, n)...))
	if _, err := m.Take(w3.statements[0], w.now); !errors.Is(err, household.ErrFork) {
		t.Errorf("the other copy's: %v", err)
	}
	if m.Newest().Hash() != k.Newest().Hash() {
		t.Error("what was refused changed something")
	}
	again, err := keyring.Open(m.Dir())
	must(t, err)
	if again.Newest().Hash() != k.Newest().Hash() {
		t.Error("the newest is another after a restart")
	}
	late := w.join(k, "late", true)
	if _, err := late.Take(w.statements[0], w.now); !errors.Is(err, household.ErrRollBack) {
		t.Errorf("one who joined late: %v", err)
	}
	w.change(k, household.Change{})
	w.change(k, household.Change{})
	if _, err := late.Take(w.statements[len(w.statements)-1], w.now); !errors.Is(err, household.ErrGap) {
		t.Errorf("one in between is missing: %v", err)
	}
}

func takeAll(m *keyring.Keyring, w *world, from, to int) []error {
	var errs []error
	for _, b := range w.statements[from:to] {
		_, err := m.Take(b, w.now)
		errs = append(errs, err)
	}
	return errs
}

// A courier that gave a statement without its keys, or a device that lost its own, is
// mended by the next card.
func TestLockedMembersAskAgain(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	m := w.join(k, "phone", true)
	w.now = w.now.Add(day)
	s := w.change(k, household.Change{NewPeriod: true})
	got, err := m.Take(s.Envelope(), w.now)
	must(t, err)
	if !errors.Is(got.Locked, household.ErrLocked) || !got.Listed || got.Gained != 0 {
		t.Errorf("without keys: %+v", got)
	}
	if b, err := m.Card(); b == nil || err != nil {
		t.Errorf("locked, and no card: %v", err)
	}
	got, err = m.Take(s.Bytes(), w.now)
	must(t, err)
	if got.Locked != nil || got.Gained != 1 {
		t.Errorf("the same, with keys: %+v", got)
	}
	must(t, os.Remove(filepath.Join(m.Dir(), "member.txt")))
	must(t, os.Remove(filepath.Join(m.Dir(), "household.txt")))
	m, err = keyring.Open(m.Dir())
	must(t, err)
	card := w.take(m, len(w.statements))
	if card == nil {
		t.Fatal("everything is lost, and no card")
	}
	w.change(k, household.Change{Cards: []*household.Card{card}})
	got, err = m.Take(w.statements[len(w.statements)-1], w.now)
	must(t, err)
	if got.Locked != nil || len(m.Household()) != 1 || m.Recipient() != k.Recipient() {
		t.Errorf("%+v, %d identities", got, len(m.Household()))
	}
}

func TestMembersCannotDoWhatOwnersDo(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	w.pair(k, ownership.AcquiredPaired, ownership.Right{})
	m, err := keyring.Join(t.TempDir(), k.Owner())
	must(t, err)
	if _, err := m.Export(); err == nil {
		t.Error("exported before anybody let it in")
	}
	card := w.take(m, 0)
	w.change(k, household.Change{Add: []household.Invitation{{Card: card, Name: "phone", Role: ownership.RoleViewer}}})
	w.take(m, len(w.statements)-1)
	must(t, m.Keep(w.owned))
	_, errDraft := m.Draft(w.owned.Record.DeviceKey, nil, w.now)
	_, errChange := m.Change(household.Change{}, w.now)
	_, errRelease := m.Release(w.owned.Record.Device, seal.ID{}, w.now)
	_, _, errBox := m.Box(w.now)
	for what, err := range map[string]error{"draft": errDraft, "change": errChange, "release": errRelease, "sheet": m.KeepSheet(household.NewSecret()), "box": errBox} {
		if !errors.Is(err, keyring.ErrMember) {
			t.Errorf("%s: %v", what, err)
		}
	}
	e, err := m.Export()
	must(t, err)
	if e.Owner != k.Owner().String() || len(e.Household) != 1 || m.Root() != nil {
		t.Errorf("exported %v with %d identities", e, len(e.Household))
	}
	if _, _, err := k.Box(w.now); !errors.Is(err, keyring.ErrNoSheet) {
		t.Errorf("a box for no sheet: %v", err)
	}
	if _, err := keyring.Join(m.Dir(), k.Owner()); !errors.Is(err, keyring.ErrExists) {
		t.Errorf("joined twice: %v", err)
	}
	if _, err := keyring.New(m.Dir()); !errors.Is(err, keyring.ErrExists) {
		t.Errorf("an owner in a member's directory: %v", err)
	}
}

func TestOwnKeyStays(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	w.change(k, household.Change{})
	own := k.Newest().Members[0]
	if _, err := k.Change(household.Change{Remove: [][]byte{own.Key}}, w.now); err == nil {
		t.Error("the owner removed itself")
	}
	card := &household.Card{Owner: k.Owner(), Key: own.Key, Number: 99, Recipient: own.Recipient}
	if _, err := k.Change(household.Change{Add: []household.Invitation{{Card: card, Name: "x", Role: ownership.RoleGuest, Until: w.now.Add(day)}}}, w.now); err == nil {
		t.Error("the owner made itself a guest")
	}
	if k.Newest().Serial != 1 {
		t.Error("what was refused is in force")
	}
}

// Two processes do not change one directory at a time, and none works on what it read before.
func TestChangesBesideOneAnother(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	w.change(k, household.Change{})
	other, err := keyring.Open(k.Dir())
	must(t, err)
	w.change(k, household.Change{NewPeriod: true})
	s, err := other.Change(household.Change{}, w.now)
	must(t, err)
	if s.Serial != 3 || other.Recipient() != k.Recipient() {
		t.Errorf("statement %d", s.Serial)
	}
	dir, err := durable.Open(k.Dir())
	must(t, err)
	unlock, err := dir.Lock()
	must(t, err)
	if _, err := k.Change(household.Change{}, w.now); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("changed at the same time: %v", err)
	}
	must(t, unlock())
}

func TestDamagedHouseholdFilesAreRefused(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	w.change(k, household.Change{})
	must(t, k.KeepSheet(household.NewSecret()))
	names, err := os.ReadDir(k.Dir())
	must(t, err)
	if len(names) != 6 {
		t.Errorf("%d files: %v", len(names), names)
	}
	for _, e := range names {
		info, err := e.Info()
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", e.Name(), info.Mode().Perm())
		}
		dir := t.TempDir()
		must(t, os.CopyFS(dir, os.DirFS(k.Dir())))
		must(t, os.WriteFile(filepath.Join(dir, e.Name()), []byte("damaged"), 0o600))
		if _, err := keyring.Open(dir); err == nil || strings.Contains(strings.ReplaceAll(err.Error(), e.Name(), ""), "damaged") {
			t.Errorf("%s damaged: %v", e.Name(), err)
		}
	}
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(k.Dir())))
	must(t, os.Rename(filepath.Join(dir, "0000000000000001.household"), filepath.Join(dir, "0000000000000007.household")))
	if _, err := keyring.Open(dir); !errors.Is(err, household.ErrRollBack) {
		t.Errorf("an older statement under a newer name: %v", err)
	}
}

// A device says whose time it is by its own clock, and a camera needs a new record only
// when something changed.
func TestOutdated(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	w.pair(k, ownership.AcquiredPaired, ownership.Right{})
	if list, err := k.Outdated(); err != nil || len(list) != 0 {
		t.Errorf("outdated at once: %d, %v", len(list), err)
	}
	_, err := k.Change(household.Change{NewPeriod: true}, w.now)
	must(t, err)
	list, err := k.Outdated()
	must(t, err)
	if len(list) != 1 || list[0].Hash() != w.owned.Hash() {
		t.Errorf("%d outdated", len(list))
	}
	w.revise(k)
	if r := w.owned.Record; r.Epoch != 1 || r.Revision != 2 || r.Recipients[0].Age != k.Recipient() || len(r.Recipients) != 1 {
		t.Errorf("epoch %d revision %d for %.12s…", r.Epoch, r.Revision, r.Recipients[0].Age)
	}
	if due := k.Newest().Due(); !due.Equal(w.now.Add(household.DefaultRotation).Truncate(time.Millisecond)) {
		t.Errorf("the next period is due on %v", due)
	}
}
