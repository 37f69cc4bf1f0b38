package spool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/seal"
)

func TestAppendReadForget(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(durabletest.TempDir(t), "spool")
	s := w.open(w.options(dir, 3, Budgets{}))
	defer w.close(s)
	a := w.append(s, draft(seal.KindThumbnail, 1, 20_000))
	b := w.append(s, draft(seal.KindEvent, 1, 200))
	if a.Ref != (seal.Ref{Device: w.device, Epoch: 1, Chain: 3, Seq: 1}) || b.Ref.Seq != 2 {
		t.Errorf("places %s and %s", a.Ref, b.Ref)
	}
	data, err := s.Read(a.Ref)
	if err != nil {
		t.Fatal(err)
	}
	it, err := seal.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if it.Hash() != a.Hash || int64(len(data)) != a.Size || it.Header.Prev != recordHash(1, 1) {
		t.Errorf("read %s, entry %+v", pretty(it.Header), a)
	}
	onDisk, err := os.ReadFile(filepath.Join(dir, "1-3-1.lwi"))
	if err != nil || string(onDisk) != string(data) {
		t.Errorf("the blob is not the item: %v", err)
	}
	if err := s.Forget(a.Ref, b.Hash); !errors.Is(err, ErrMismatch) {
		t.Errorf("forget with another hash: %v", err)
	}
	for range 2 {
		if err := s.Forget(a.Ref, a.Hash); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Read(a.Ref); !errors.Is(err, ErrGone) {
		t.Errorf("read of a forgotten item: %v", err)
	}
	if got := seqs(waiting(s)); !slices.Equal(got, []uint64{2}) {
		t.Errorf("waiting %v", got)
	}
	st := s.Stats()
	if st.Depth != 1 || st.HeadSeq != 2 || st.OldestSeq != 2 || st.Chain != 3 || st.Bytes[Records] != b.Size || st.Full {
		t.Errorf("stats %+v", st)
	}
	stranger := a.Ref
	stranger.Device = seal.ID{9}
	if err := s.Forget(stranger, b.Hash); err != nil {
		t.Errorf("forget of another device's item: %v", err)
	}
}

func TestOrderOfDelivery(t *testing.T) {
	w := newWorld(t)
	s := w.open(w.options(durabletest.TempDir(t), 1, Budgets{}))
	defer w.close(s)
	if _, ok := s.NewestThumbnail(); ok {
		t.Error("a thumbnail in an empty spool")
	}
	if head := s.Head(); head.Seq != 0 || head.Device != w.device {
		t.Errorf("the head of an empty spool is %s", head)
	}
	for _, d := range []seal.Draft{
		draft(seal.KindThumbnail, 1, 100), part(1, 0, 100), part(1, 1, 100), draft(seal.KindEvent, 1, 100),
		draft(seal.KindCheckpoint, 0, 100), draft(seal.KindThumbnail, 2, 100), part(2, 0, 100),
	} {
		w.append(s, d)
	}
	newest, ok := s.NewestThumbnail()
	if !ok || newest.Ref.Seq != 6 {
		t.Errorf("newest thumbnail %+v", newest)
	}
	last, _ := s.Next(true, func(r seal.Ref) bool { return r.Seq != 7 })
	if head := s.Head(); head != last.Ref {
		t.Errorf("head %s, the newest item is %s", head, last.Ref)
	}
	w.receipt(s, last)
	if head := s.Head(); head != last.Ref {
		t.Errorf("head %s after the newest item's receipt", head)
	}
	if got := seqs(waiting(s)); !slices.Equal(got, []uint64{1, 4, 5, 6, 2, 3}) {
		t.Errorf("order %v", got)
	}
	e, ok := s.Next(false, func(r seal.Ref) bool { return r.Seq == 1 || r.Seq == 4 })
	if !ok || e.Ref.Seq != 5 {
		t.Errorf("next beyond what is skipped: %+v", e)
	}
}

func TestReopenContinuesTheChain(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, dir string){
		"closed":            func(*testing.T, string) {},
		"index lost":        func(t *testing.T, dir string) { remove(t, filepath.Join(dir, indexName)) },
		"index truncated":   func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, indexName), 10_000) },
		"index nearly gone": func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, indexName), 100) },
		"index zeroed":      zeroIndex,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			dir := durabletest.TempDir(t)
			s := w.open(w.options(dir, 1, Budgets{}))
			for i := range 5 {
				w.append(s, draft(seal.KindThumbnail, byte(i+1), 1000))
			}
			before := waiting(s)
			w.receipt(s, before[0])
			w.receipt(s, before[4]) // the head
			w.close(s)
			lose(t, dir)
			s = w.open(w.options(dir, 2, Budgets{}))
			defer w.close(s)
			want := []uint64{2, 3, 4}
			if name != "closed" {
				want = append(want, 5) // that the head was delivered is forgotten
			}
			after := waiting(s)
			if !slices.Equal(seqs(after), want) {
				t.Errorf("waiting %v, want %v", seqs(after), want)
			}
			if !slices.Equal(after[:3], before[1:4]) {
				t.Errorf("entries %s, want %s", pretty(after[:3]), pretty(before[1:4]))
			}
			next := w.append(s, draft(seal.KindEvent, 1, 10))
			if next.Ref.Chain != 1 || next.Ref.Seq != 6 {
				t.Errorf("next item %s", next.Ref)
			}
			w.drain(s)
			if bad := w.unexplained(); bad != nil {
				t.Errorf("missing %s", pretty(bad))
			}
		})
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func truncate(t testing.TB, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func zeroIndex(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, indexName), make([]byte, 32<<10), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestHeadIsKept delivers everything, loses the index, and wants the chain to go
// on from the blob that was kept.
func TestHeadIsKept(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, Budgets{}))
	for range 3 {
		w.append(s, draft(seal.KindCheckpoint, 0, 10))
	}
	w.drain(s)
	if got := files(t, dir); !slices.Equal(got, []string{"1-1-3.lwi"}) || s.Stats().Depth != 0 {
		t.Errorf("on disk %v, stats %+v", got, s.Stats())
	}
	w.append(s, draft(seal.KindCheckpoint, 0, 10))
	if got := files(t, dir); !slices.Equal(got, []string{"1-1-4.lwi"}) {
		t.Errorf("on disk %v", got)
	}
	w.kill(s)
}

func TestWipedSpoolBeginsANewChain(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(durabletest.TempDir(t), "spool")
	s := w.open(w.options(dir, 1, Budgets{}))
	w.append(s, draft(seal.KindCheckpoint, 0, 10))
	w.drain(s)
	w.close(s)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s = w.open(w.options(dir, 2, Budgets{}))
	defer w.close(s)
	e := w.append(s, draft(seal.KindCheckpoint, 0, 10))
	if e.Ref.Chain != 2 || e.Ref.Seq != 1 {
		t.Errorf("next item %s", e.Ref)
	}
	w.drain(s)
	w.unexplained() // no fork
}

func TestRebind(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	ctx := context.Background()
	s := w.open(w.options(dir, 1, Budgets{}))
	// A revision before the first item: the first Prev is the record's in force.
	if err := s.Rebind(ctx, w.sealer(1, 1, recordHash(1, 2))); err != nil {
		t.Fatal(err)
	}
	w.append(s, draft(seal.KindThumbnail, 1, 100))
	if err := s.Rebind(ctx, w.sealer(1, 1, recordHash(1, 3))); err != nil {
		t.Fatal(err)
	}
	e := w.append(s, draft(seal.KindThumbnail, 1, 100))
	if e.Ref.Seq != 2 || s.Stats().Depth != 2 {
		t.Errorf("after a revision: %s, depth %d", e.Ref, s.Stats().Depth)
	}
	if err := s.SetAside(e.Ref, "x"); err != nil {
		t.Fatal(err)
	}
	// A new owner.
	if err := s.Rebind(ctx, w.sealer(1, 2, recordHash(2, 1))); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Depth != 1 || st.Disowned != 1 || st.AsideItems != 0 || st.Aside != 0 || !slices.Equal(files(t, dir), []string{"1-1-3-end.lwi"}) {
		t.Errorf("stats %+v, on disk %v", st, files(t, dir))
	}
	e = w.append(s, draft(seal.KindThumbnail, 1, 100))
	if e.Ref != (seal.Ref{Device: w.device, Epoch: 2, Chain: 1, Seq: 1}) {
		t.Errorf("first item of the new epoch: %s", e.Ref)
	}
	if err := s.Rebind(ctx, w.sealer(1, 1, recordHash(1, 3))); !errors.Is(err, ErrEpoch) {
		t.Errorf("back to the old epoch: %v", err)
	}
	if err := s.Rebind(ctx, newWorld(t).sealer(1, 3, recordHash(3, 1))); err == nil {
		t.Error("another device's sealer was taken")
	}
	w.close(s)
	if _, err := Open(ctx, quiet(w.options(dir, 2, Budgets{}))); !errors.Is(err, ErrEpoch) {
		t.Errorf("open with the old epoch: %v", err)
	}
	o := w.options(dir, 2, Budgets{})
	o.Sealer = w.sealer(2, 3, recordHash(3, 1))
	s = w.open(o)
	defer w.close(s)
	if st := s.Stats(); st.Depth != 1 || st.Disowned != 2 || !slices.Equal(files(t, dir), []string{"1-1-3-end.lwi"}) {
		t.Errorf("open under a later epoch: %+v, on disk %v", st, files(t, dir))
	}
}

// TestReplacedKey opens the spool with the key of another device.
func TestReplacedKey(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, Budgets{}))
	w.append(s, draft(seal.KindThumbnail, 1, 100))
	w.append(s, draft(seal.KindThumbnail, 1, 100))
	w.close(s)
	s = other.open(other.options(dir, 1, Budgets{}))
	e := other.append(s, draft(seal.KindThumbnail, 1, 100))
	if e.Ref.Seq != 1 || s.Stats().Depth != 1 {
		t.Errorf("first item %s, stats %+v", e.Ref, s.Stats())
	}
	if a := s.Aside(); len(a) != 2 || a[0].Reason != "foreign" {
		t.Errorf("aside %s", pretty(a))
	}
	other.close(s)
	s = other.open(other.options(dir, 2, Budgets{}))
	defer other.close(s)
	if e := other.append(s, draft(seal.KindCheckpoint, 1, 100)); e.Ref.Chain != 1 || e.Ref.Seq != 2 {
		t.Errorf("next item %s", e.Ref)
	}
}

func TestStrangersFilesAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	names := []string{"note.txt", "1-2.lwi", "01-1-1.lwi", "1-1-0.lwi", "aside/x.lwi"}
	w.close(w.open(w.options(dir, 1, Budgets{})))
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := w.open(w.options(dir, 2, Budgets{}))
	w.append(s, draft(seal.KindCheckpoint, 1, 100))
	w.close(s)
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, Budgets{}))
	if _, err := Open(context.Background(), quiet(w.options(dir, 2, Budgets{}))); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	w.close(s)
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := s.Append(context.Background(), draft(seal.KindEvent, 1, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("append to a closed spool: %v", err)
	}
	for name, change := range map[string]func(*Options){
		"no sealer":  func(o *Options) { o.Sealer = nil },
		"no boot":    func(o *Options) { o.Boot = 0 },
		"bad budget": func(o *Options) { o.Budgets = Budgets{Records: 1} },
	} {
		o := quiet(w.options(dir, 2, Budgets{}))
		change(&o)
		if _, err := Open(context.Background(), o); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s = w.open(w.options(dir, 2, Budgets{}))
	w.append(s, draft(seal.KindCheckpoint, 1, 100))
	s.turn <- struct{}{}
	if _, err := s.Append(ctx, draft(seal.KindEvent, 1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("append that waits with its context done: %v", err)
	}
	<-s.turn
	w.close(s)
	if _, err := Open(ctx, quiet(w.options(dir, 2, Budgets{}))); !errors.Is(err, context.Canceled) {
		t.Errorf("open with its context done: %v", err)
	}
}

func TestSealerErrorChangesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.open(w.options(durabletest.TempDir(t), 1, Budgets{}))
	defer w.close(s)
	bad := draft(seal.KindThumbnail, 1, 10)
	bad.MediaType = strings.Repeat("x", 1000)
	if _, err := s.Append(context.Background(), bad); err == nil {
		t.Error("a draft that cannot be sealed was taken")
	}
	if e := w.append(s, draft(seal.KindThumbnail, 1, 10)); e.Ref.Seq != 1 {
		t.Errorf("next item %s", e.Ref)
	}
}

func TestChanged(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	synctest.Test(t, func(t *testing.T) {
		s := w.open(quiet(w.options(dir, 1, Budgets{})))
		defer w.close(s)
		var got []uint64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for len(got) < 3 {
				changed := s.Changed()
				if e, ok := s.Next(false, func(r seal.Ref) bool { return slices.Contains(got, r.Seq) }); ok {
					got = append(got, e.Ref.Seq)
					continue
				}
				<-changed
			}
		}()
		for i := range 3 {
			synctest.Wait() // the reader waits
			if len(got) != i {
				t.Errorf("%d items came before they were appended", len(got))
			}
			w.append(s, draft(seal.KindCheckpoint, 0, 10))
		}
		<-done
		if !slices.Equal(got, []uint64{1, 2, 3}) {
			t.Errorf("got %v", got)
		}
	})
}
