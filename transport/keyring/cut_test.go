package keyring_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// identities reads an identities file of a directory; none if it is not there.
func identities(t testing.TB, dir, name string) household.Identities {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) || len(b) == 0 {
		return nil
	}
	must(t, err)
	ids, err := household.ParseIdentities(b)
	must(t, err)
	return ids
}

// newestOf is the newest statement's name, zero for none.
func newestOf(k *keyring.Keyring) seal.Hash {
	if k.Newest() == nil {
		return seal.Hash{}
	}
	return k.Newest().Hash()
}

// whole checks that a directory is fit for use as it is: what the newest statement says is
// current can be opened, and what will be wrapped to this key too.
func whole(t testing.TB, k *keyring.Keyring) {
	t.Helper()
	n := k.Newest()
	if n == nil {
		if k.Root() != nil && len(k.Household()) == 0 {
			t.Error("an owner without an identity")
		}
		return
	}
	if _, ok := identities(t, k.Dir(), "household.txt").For(n.Recipient); !ok {
		t.Error("the current period's identity is not there")
	}
	spki, err := statement.SPKI(k.Viewer().Public())
	must(t, err)
	if m, listed := n.Member(spki); listed {
		if _, ok := identities(t, k.Dir(), "member.txt").For(m.Recipient); !ok {
			t.Error("the identity of the listed card is not there")
		}
	}
}

// cut does a change in a directory, made by prepare, and at each step looks at what a
// power cut would leave: the state before or the state after, fit for use, in which the
// change can be done (again).
func cut(t *testing.T, now time.Time, prepare func(dir string), change func(k *keyring.Keyring) error) {
	t.Helper()
	dir := durabletest.TempDir(t)
	prepare(dir)
	k, err := keyring.Open(dir)
	must(t, err)
	before := newestOf(k)
	after := map[seal.Hash]int{}
	var crashes []durabletest.Crash
	cutter := durabletest.NewCutter(t, dir, func(c durabletest.Crash) {
		crashes = append(crashes, c)
		k, err := keyring.Open(c.Root)
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		whole(t, k)
		after[newestOf(k)]++
		if c.Variant == durabletest.Lose || c.Variant == durabletest.Mixed {
			if err := change(k); err != nil && !errors.Is(err, errDone) {
				t.Fatalf("%v: done again: %v", c, err)
			}
			whole(t, k)
		}
		if _, err := k.Expire(now); err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		if n := k.Newest(); n != nil {
			for _, id := range identities(t, k.Dir(), "household.txt") {
				if _, listed := n.PeriodOf(id.Recipient()); !listed {
					t.Errorf("%v: an identity that no statement lists is still there", c)
				}
			}
		}
	})
	k, err = keyring.Open(dir, durable.WithHook(cutter.Hook))
	must(t, err)
	must(t, change(k))
	whole(t, k)
	after[newestOf(k)]++
	delete(after, before)
	if len(after) > 1 {
		t.Errorf("%d states beside the one before", len(after))
	}
	if cutter.Steps() == 0 {
		t.Error("nothing was written")
	}
	t.Logf("%d steps, %d cuts", cutter.Steps(), len(crashes))
}

// errDone says that a change, tried again, was there already.
var errDone = errors.New("it is there already")

func TestCutInEveryChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = time.Now()
	owner := func(dir string) {
		_, err := keyring.New(dir)
		must(t, err)
	}
	founded := func(dir string) {
		k, err := keyring.New(dir)
		must(t, err)
		_, err = k.Change(household.Change{Retention: day, Rotation: day}, w.now.Add(-5*day))
		must(t, err)
		_, err = k.Change(household.Change{NewPeriod: true}, w.now.Add(-4*day))
		must(t, err)
	}
	guest, err := keyring.Join(t.TempDir(), seal.ID{1})
	must(t, err)
	card := func(k *keyring.Keyring) *household.Card {
		id, err := household.NewIdentity()
		must(t, err)
		b, err := household.SignCard(guest.Viewer(), household.Card{Owner: k.Owner(), Number: 1, Recipient: id.Recipient()})
		must(t, err)
		c, err := household.VerifyCard(b, k.Owner())
		must(t, err)
		return c
	}
	spki, err := statement.SPKI(guest.Viewer().Public())
	must(t, err)
	invite := func(k *keyring.Keyring) error {
		if n := k.Newest(); n != nil {
			if _, there := n.Member(spki); there {
				return errDone
			}
		}
		in := household.Invitation{Card: card(k), Name: "guest", Role: ownership.RoleViewer}
		_, err := k.Change(household.Change{Add: []household.Invitation{in}}, w.now)
		return err
	}
	t.Run("found", func(t *testing.T) {
		cut(t, w.now, owner, func(k *keyring.Keyring) error {
			if k.Newest() != nil {
				return errDone
			}
			_, err := k.Change(household.Change{}, w.now)
			return err
		})
	})
	t.Run("add", func(t *testing.T) { cut(t, w.now, founded, invite) })
	t.Run("remove", func(t *testing.T) {
		cut(t, w.now, func(dir string) {
			founded(dir)
			k, err := keyring.Open(dir)
			must(t, err)
			must(t, invite(k))
		}, func(k *keyring.Keyring) error {
			if _, there := k.Newest().Member(spki); !there {
				return errDone
			}
			_, err := k.Change(household.Change{Remove: [][]byte{spki}}, w.now)
			return err
		})
	})
	t.Run("rotate", func(t *testing.T) {
		cut(t, w.now, founded, func(k *keyring.Keyring) error {
			if k.Newest().Current().Number == 3 {
				return errDone
			}
			_, err := k.Change(household.Change{NewPeriod: true}, w.now)
			return err
		})
	})
	t.Run("expire", func(t *testing.T) {
		cut(t, w.now, founded, func(k *keyring.Keyring) error {
			_, err := k.Expire(w.now)
			return err
		})
	})
	t.Run("sheet", func(t *testing.T) {
		sheet := household.NewSecret()
		cut(t, w.now, founded, func(k *keyring.Keyring) error {
			if err := k.KeepSheet(sheet); err != nil {
				return err
			}
			_, box, err := k.Box(w.now)
			if err != nil {
				return err
			}
			_, err = sheet.Open(box)
			return err
		})
	})
}

func TestCutInAMembersDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = time.Now()
	k := w.newOwner()
	// The member is in, and knows it; the owner rotates; the member takes that, then sends
	// a card, the owner lists it, and the member takes that.
	m := w.join(k, "phone", true)
	w.now = w.now.Add(time.Hour)
	w.change(k, household.Change{NewPeriod: true})
	clone := func(dir string) {
		must(t, os.CopyFS(dir, os.DirFS(m.Dir())))
	}
	take := func(at int) func(k *keyring.Keyring) error {
		return func(k *keyring.Keyring) error {
			got, err := k.Take(w.statements[at], w.now)
			if err == nil && (!got.Listed || got.Locked != nil) {
				t.Errorf("taken as %+v", got)
			}
			return err
		}
	}
	last := len(w.statements) - 1
	t.Run("take", func(t *testing.T) { cut(t, w.now, clone, take(last)) })
	must(t, take(last)(m))
	t.Run("card", func(t *testing.T) {
		cut(t, w.now, clone, func(k *keyring.Keyring) error {
			b, err := k.Card()
			if err == nil && b == nil {
				t.Error("no card is needed")
			}
			return err
		})
	})
	card := w.take(m, len(w.statements))
	w.change(k, household.Change{Cards: []*household.Card{card}})
	before := identities(t, m.Dir(), "member.txt")
	t.Run("renewed", func(t *testing.T) { cut(t, w.now, clone, take(last+1)) })
	must(t, take(last+1)(m))
	after := identities(t, m.Dir(), "member.txt")
	if len(before) != 2 || len(after) != 1 || after[0].Recipient() != card.Recipient {
		t.Errorf("%d identities before the new one was listed, %d after", len(before), len(after))
	}
	if b, err := m.Card(); b != nil || err != nil {
		t.Errorf("another card at once: %v", err)
	}
}

// making makes a directory of keys, and at each step looks at what a power cut would
// leave: keys that are complete, or none yet, and then they can be made.
func making(t *testing.T, make func(dir string, opts ...durable.Option) (*keyring.Keyring, error)) {
	t.Helper()
	dir := durabletest.TempDir(t)
	made, none := 0, 0
	var owners = map[seal.ID]bool{}
	cutter := durabletest.NewCutter(t, dir, func(c durabletest.Crash) {
		k, err := keyring.Open(c.Root)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			none++
			if k, err = make(c.Root); err != nil {
				t.Fatalf("%v: made again: %v", c, err)
			}
		case err != nil:
			t.Fatalf("%v: %v", c, err)
		default:
			made++
			owners[k.Owner()] = true
		}
		whole(t, k)
	})
	k, err := make(dir, durable.WithHook(cutter.Hook))
	must(t, err)
	owners[k.Owner()] = true
	if made == 0 || none == 0 || len(owners) != 1 {
		t.Errorf("%d times complete, %d times not there, %d owners", made, none, len(owners))
	}
	t.Logf("%d steps", cutter.Steps())
}

func TestCutWhileMakingKeys(t *testing.T) {
	w := newWorld(t)
	k := w.newOwner()
	w.change(k, household.Change{})
	sheet := household.NewSecret()
	must(t, k.KeepSheet(sheet))
	_, box, err := k.Box(w.now)
	must(t, err)
	copied := saved(t, k.Dir(), func(map[string]any) {})
	if !json.Valid(copied) {
		t.Fatal("no copy")
	}
	t.Run("new", func(t *testing.T) { making(t, keyring.New) })
	t.Run("join", func(t *testing.T) {
		making(t, func(dir string, opts ...durable.Option) (*keyring.Keyring, error) {
			return keyring.Join(dir, seal.ID{1}, opts...)
		})
	})
	t.Run("import", func(t *testing.T) {
		making(t, func(dir string, opts ...durable.Option) (*keyring.Keyring, error) {
			return keyring.Import(dir, copied, opts...)
		})
	})
	t.Run("restore", func(t *testing.T) {
		making(t, func(dir string, opts ...durable.Option) (*keyring.Keyring, error) {
			return keyring.Restore(dir, sheet, box, opts...)
		})
	})
}

// Every step of a change fails once: it says so, and what is there is old or new.
func TestDiskErrorInAChange(t *testing.T) {
	now := time.Now()
	errDisk := errors.New("disk error")
	for at := 0; ; at++ {
		dir := durabletest.TempDir(t)
		k, err := keyring.New(dir)
		must(t, err)
		_, err = k.Change(household.Change{}, now)
		must(t, err)
		old := newestOf(k)
		fault := durabletest.FailAt(at, errDisk)
		k, err = keyring.Open(dir, durable.WithHook(fault.Hook))
		must(t, err)
		s, err := k.Change(household.Change{NewPeriod: true}, now)
		hit := fault.Hit()
		if hit == nil {
			must(t, err)
			break
		}
		if err == nil && hit.Step.Op != durable.OpRemove { // a temporary file that stays is no matter
			t.Errorf("%v: no error", hit.Step)
		}
		again, err := keyring.Open(dir)
		must(t, err)
		whole(t, again)
		if n := newestOf(again); s != nil && n != s.Hash() || s == nil && hit.Step.Phase == durable.Before && hit.Step.Op != durable.OpSyncDir && n != old {
			t.Errorf("%v: the statement that was given is not the one that is there", hit.Step)
		}
		_, err = again.Change(household.Change{NewPeriod: true}, now)
		must(t, err)
		whole(t, again)
	}
}
