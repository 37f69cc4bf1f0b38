package spool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/seal"
)

// TestDamagedHead damages the newest blob, which may have been sent: its place
// must not be used for anything else.
func TestDamagedHead(t *testing.T) {
	damage := map[string]func(t *testing.T, path string){
		"header":    func(t *testing.T, path string) { corrupt(t, path, 300) },
		"signature": func(t *testing.T, path string) { corrupt(t, path, envelopeSize(t, path)-1) },
		"truncated": func(t *testing.T, path string) { truncate(t, path, 50) },
		"empty":     func(t *testing.T, path string) { truncate(t, path, 0) },
	}
	for name, do := range damage {
		for _, indexed := range []bool{true, false} {
			t.Run(name+map[bool]string{true: ", indexed", false: ", no index"}[indexed], func(t *testing.T) {
				w := newWorld(t)
				dir := durabletest.TempDir(t)
				s := w.open(w.options(dir, 1, Budgets{}))
				w.append(s, draft(seal.KindThumbnail, 1, 1000))
				w.deliver(s, w.append(s, draft(seal.KindThumbnail, 2, 1000)))
				w.close(s)
				do(t, filepath.Join(dir, "1-1-2.lwi"))
				if !indexed {
					remove(t, filepath.Join(dir, indexName))
					if _, err := Open(context.Background(), quiet(w.options(dir, 1, Budgets{}))); !errors.Is(err, ErrBoot) {
						t.Errorf("open at the boot that named the lost chain: %v", err)
					}
				}
				s = w.open(w.options(dir, 2, Budgets{}))
				e := w.append(s, draft(seal.KindCheckpoint, 0, 10))
				want := seal.Ref{Device: w.device, Epoch: 1, Chain: 2, Seq: 1}
				if indexed {
					want.Chain, want.Seq = 1, 4 // the index knows the hash; 3 is a gap item
				}
				if e.Ref != want {
					t.Errorf("next item %s, want %s", e.Ref, want)
				}
				if a := s.Aside(); len(a) != 1 || a[0].Reason != "corrupt" || a[0].Ref.Seq != 2 {
					t.Errorf("aside %s", pretty(a))
				}
				w.drain(s)
				w.close(s)
				// It stays lost: also when what was set aside is seen again.
				s = w.open(w.options(dir, 3, Budgets{}))
				defer w.close(s)
				w.append(s, draft(seal.KindCheckpoint, 0, 10))
				w.drain(s)
				if bad := w.unexplained(); bad != nil {
					t.Errorf("missing %s", pretty(bad))
				}
			})
		}
	}
}

// TestAnotherItemInItsPlace has a blob replaced by one that is sealed as well
// for the same place: it verifies, and is not the item that was appended.
func TestAnotherItemInItsPlace(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, Budgets{}))
	defer w.close(s)
	e := w.append(s, draft(seal.KindEvent, 1, 100))
	other, err := w.sealer(1, 1, recordHash(1, 1)).Seal(draft(seal.KindEvent, 2, 100), seal.Link{Chain: 1, Seq: 1, Prev: recordHash(1, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "1-1-1.lwi"), other.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(e.Ref); !errors.Is(err, ErrCorrupt) {
		t.Errorf("read: %v", err)
	}
}

// TestCutInTheMiddleOfSettingAside finds an item in both places, as a file
// system without atomic renames across directories may leave it.
func TestCutInTheMiddleOfSettingAside(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, Budgets{}))
	w.append(s, draft(seal.KindEvent, 1, 100))
	w.append(s, draft(seal.KindEvent, 1, 100))
	w.close(s)
	if err := os.Link(filepath.Join(dir, "1-1-1.lwi"), filepath.Join(dir, asideName, "1-1-1.wrong-owner.lwi")); err != nil {
		t.Fatal(err)
	}
	s = w.open(w.options(dir, 2, Budgets{}))
	defer w.close(s)
	if got := seqs(waiting(s)); !slices.Equal(got, []uint64{2}) || len(s.Aside()) != 1 {
		t.Errorf("waiting %v, aside %s", got, pretty(s.Aside()))
	}
	if got := files(t, dir); !slices.Equal(got, []string{"1-1-2.lwi"}) {
		t.Errorf("on disk %v", got)
	}
}

func envelopeSize(t testing.TB, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	it, err := seal.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return len(it.Envelope)
}

// TestLostHeadOutlivesTheAsideBudget restarts with a lost head, and again before
// anything was appended: the evidence must not have been trimmed.
func TestLostHeadOutlivesTheAsideBudget(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	b := small()
	b.Aside = 0
	s := w.open(w.options(dir, 1, b))
	w.append(s, draft(seal.KindEvent, 1, 100))
	w.deliver(s, w.append(s, draft(seal.KindEvent, 1, 100)))
	w.kill(s)
	truncate(t, filepath.Join(dir, "1-1-2.lwi"), 50)
	for boot := uint64(2); boot < 5; boot++ {
		w.kill(w.open(w.options(dir, boot, b)))
	}
	s = w.open(w.options(dir, 5, b))
	defer w.close(s)
	if e := w.append(s, draft(seal.KindCheckpoint, 0, 10)); e.Ref.Chain != 5 || e.Ref.Seq != 1 {
		t.Errorf("next item %s", e.Ref)
	}
	w.drain(s)
	w.unexplained() // no fork
}

func TestDamagedItemIsSetAsideAndExplained(t *testing.T) {
	for _, when := range []string{"found by Read", "found by Open", "vanished"} {
		t.Run(when, func(t *testing.T) {
			w := newWorld(t)
			dir := durabletest.TempDir(t)
			s := w.open(w.options(dir, 1, Budgets{}))
			for i := range 3 {
				w.append(s, draft(seal.KindThumbnail, byte(i+1), 5000))
			}
			path := filepath.Join(dir, "1-1-2.lwi")
			switch when {
			case "found by Read":
				corrupt(t, path, 3000)
			case "vanished":
				remove(t, path)
			default:
				w.close(s)
				truncate(t, path, 3000)
				s = w.open(w.options(dir, 2, Budgets{}))
			}
			defer func() { w.close(s) }()
			if when != "found by Open" {
				if _, err := s.Read(waiting(s)[1].Ref); !errors.Is(err, ErrCorrupt) {
					t.Errorf("read: %v", err)
				}
			}
			if got := seqs(waiting(s)); !slices.Equal(got, []uint64{1, 3}) {
				t.Errorf("waiting %v", got)
			}
			w.append(s, draft(seal.KindCheckpoint, 0, 10))
			w.drain(s)
			missing, err := w.audit()
			if err != nil {
				t.Fatal(err)
			}
			if len(missing) != 1 || missing[0].From != 2 || !missing[0].Dropped || missing[0].Reason != "corrupt" {
				t.Errorf("missing %s", pretty(missing))
			}
			if st := s.Stats(); st.Corrupt != 1 || st.AsideItems != 1 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func TestSetAside(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	b := DefaultBudgets()
	b.Aside = 9000
	s := w.open(w.options(dir, 1, b))
	var all []Entry
	for i := range 4 {
		all = append(all, w.append(s, draft(seal.KindThumbnail, byte(i+1), 3000)))
	}
	for i, reason := range []string{"wrong-epoch", "../../x Y", "", "corrupt"} {
		for range 2 {
			if err := s.SetAside(all[i].Ref, reason); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s.Stats().Depth != 0 || s.Stats().Aside != 4 {
		t.Errorf("stats %+v", s.Stats())
	}
	want := []string{"wrong-epoch", "x-y", "unknown", "hub-corrupt"}
	check := func() {
		t.Helper()
		got := s.Aside()
		for i, a := range got {
			if a.Entry != all[i] || a.Reason != want[i] {
				t.Errorf("aside %s, want %s for %q", pretty(a), pretty(all[i]), want[i])
			}
		}
		if len(got) != 4 {
			t.Errorf("%d set aside", len(got))
		}
	}
	check()
	w.kill(s) // and with the index as it was at the start
	s = w.open(w.options(dir, 2, b))
	check()
	e := w.append(s, draft(seal.KindCheckpoint, 0, 10))
	if e.Ref.Chain != 1 || e.Ref.Seq != 6 {
		t.Errorf("checkpoint at %s, want it after a gap item in the old chain", e.Ref)
	}
	w.drain(s)
	if bad := w.unexplained(); bad != nil {
		t.Errorf("missing %s", pretty(bad))
	}
	// Explained, they go when the budget says so, oldest first.
	if got := files(t, filepath.Join(dir, asideName)); !slices.Equal(got, []string{"1-1-3.unknown.lwi", "1-1-4.hub-corrupt.lwi"}) {
		t.Errorf("kept aside %v", got)
	}
	w.close(s)
	s = w.open(w.options(dir, 3, b))
	w.append(s, draft(seal.KindCheckpoint, 0, 10))
	if got := kinds(waiting(s)); got != "c" {
		t.Errorf("waiting %q: what was explained must not be explained again", got)
	}
	w.close(s)
}

// TestHubThatRefusesAll must not make the spool explain its explanations.
func TestHubThatRefusesAll(t *testing.T) {
	w := newWorld(t)
	s := w.open(w.options(durabletest.TempDir(t), 1, Budgets{}))
	defer w.close(s)
	for range 50 {
		w.append(s, draft(seal.KindCheckpoint, 0, 10))
		for _, e := range waiting(s) {
			if err := s.SetAside(e.Ref, "wrong-owner"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if st := s.Stats(); st.HeadSeq > 101 || st.Depth != 0 {
		t.Errorf("50 checkpoints made %d items, %d wait", st.HeadSeq, st.Depth)
	}
}
