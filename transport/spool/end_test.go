package spool

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/seal"
)

// lastWords drains what waits, and gives what the gap items that ended epoch 1 name.
func (w *world) lastWords(s *Spool) (named []seal.Dropped, items int) {
	w.t.Helper()
	for _, e := range waiting(s) {
		data, err := s.Read(e.Ref)
		if err != nil {
			w.t.Fatal(err)
		}
		it, err := seal.Parse(data)
		if err != nil {
			w.t.Fatal(err)
		}
		if e.Ref.Epoch == 1 {
			g, err := w.read.gap(it)
			if err != nil {
				w.t.Fatalf("a %s of the owner before: %v", e.Kind, err)
			}
			named, items = append(named, g.Dropped...), items+1
		}
		w.receipt(s, e)
	}
	return named, items
}

// TestEndNamesAllThatWaits ends a chain with something of every kind in it: delivered,
// waiting, set aside, and named by a gap item that waits itself.
func TestEndNamesAllThatWaits(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, Budgets{Records: 1 << 20, Thumbnails: 9000, Clips: 9000, Aside: 9000}))
	w.receipt(s, w.append(s, draft(seal.KindThumbnail, 1, 100)))
	refused := w.append(s, draft(seal.KindEvent, 1, 100))
	for range 3 { // the first ones go, and a gap item waits
		w.append(s, part(1, 0, 4000))
		w.append(s, part(2, 0, 4000))
	}
	if err := s.SetAside(refused.Ref, "wrong-owner"); err != nil {
		t.Fatal(err)
	}
	before := s.Head().Seq
	for range 2 {
		if err := s.End(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Append(context.Background(), draft(seal.KindEvent, 1, 1)); !errors.Is(err, ErrEnded) || !s.Ended() {
		t.Errorf("append after the end: %v", err)
	}
	if st := s.Stats(); st.Depth != 2 || st.AsideItems != 0 || st.HeadSeq != before+1 {
		t.Errorf("after the end %+v", st)
	}
	w.close(s)
	s = w.open(w.options(dir, 2, Budgets{})) // as after a reset: the owner is still the old one
	if err := s.End(context.Background()); err != nil {
		t.Fatal(err)
	}
	named, items := w.lastWords(s)
	covered := map[uint64]bool{}
	for _, d := range named {
		for seq := d.From; seq <= d.To; seq++ {
			covered[seq] = true
		}
	}
	for seq := uint64(2); seq <= before; seq++ {
		if _, here := w.hub[seal.Ref{Device: w.device, Epoch: 1, Chain: 1, Seq: seq}]; !covered[seq] && !here {
			t.Errorf("item %d is not named in %s", seq, pretty(named))
		}
	}
	if covered[1] || items != 2 { // the gap item that waited, and the end
		t.Errorf("%d items name %s", items, pretty(named))
	}
	if bad := w.unexplained(); bad != nil {
		t.Errorf("missing %s", pretty(bad))
	}
	if err := s.Rebind(context.Background(), w.sealer(2, 2, recordHash(2, 1))); err != nil {
		t.Fatal(err)
	}
	if e := w.append(s, draft(seal.KindCheckpoint, 0, 1)); e.Ref != (seal.Ref{Device: w.device, Epoch: 2, Chain: 2, Seq: 1}) {
		t.Errorf("the next owner's first item is %s", e.Ref)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"2-2-1.lwi"}) {
		t.Errorf("on disk %v", got)
	}
	w.close(s)
}

// TestEndOfWhatWasDelivered still says that it ends; of an empty chain there is nothing to
// say.
func TestEndOfWhatWasDelivered(t *testing.T) {
	for _, n := range []int{0, 3} {
		w := newWorld(t)
		s := w.open(w.options(durabletest.TempDir(t), 1, Budgets{}))
		for range n {
			w.receipt(s, w.append(s, draft(seal.KindCheckpoint, 0, 10)))
		}
		if err := s.Rebind(context.Background(), w.sealer(1, 2, recordHash(2, 1))); err != nil {
			t.Fatal(err)
		}
		named, items := w.lastWords(s)
		switch {
		case n == 0 && items != 0:
			t.Errorf("an empty chain ends with %s", pretty(named))
		case n > 0 && (len(named) != 1 || named[0].From != 3 || named[0].To != 3 || named[0].Reason != reasonOwnership):
			t.Errorf("the chain ends with %s", pretty(named))
		}
		if missing, err := w.audit(); err != nil || len(missing) != 0 {
			t.Errorf("missing %s, %v", pretty(missing), err)
		}
		w.close(s)
	}
}

// TestEndOfManyRanges takes several gap items, and they stay together over restarts with
// and without an index; cutting the last of them away makes the end anew.
func TestEndOfManyRanges(t *testing.T) {
	for _, lost := range []string{"", indexName, "last"} {
		w := newWorld(t)
		dir := durabletest.TempDir(t)
		s := w.open(quiet(w.options(dir, 1, Budgets{})))
		for range 300 {
			w.append(s, part(1, 0, 100))
			w.append(s, draft(seal.KindEvent, 1, 10))
		}
		if err := s.End(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got, want := files(t, dir), []string{"1-1-601.lwi", "1-1-602.lwi", "1-1-603-end.lwi"}; !slices.Equal(got, want) {
			t.Errorf("on disk %v, want %v", got, want)
		}
		w.kill(s)
		switch lost {
		case indexName:
			remove(t, dir+"/"+indexName)
		case "last":
			remove(t, dir+"/1-1-603-end.lwi")
		}
		o := quiet(w.options(dir, 2, Budgets{}))
		o.Sealer, o.Former = w.sealer(2, 2, recordHash(2, 1)), w.sealer(2, 1, recordHash(1, 1))
		s = w.open(o)
		named, items := w.lastWords(s)
		if lost != "last" && (items != 3 || len(named) != 600) || lost == "last" && items == 0 {
			t.Errorf("with %q lost, %d items name %d ranges", lost, items, len(named))
		}
		if bad := w.unexplained(); lost != "last" && bad != nil {
			t.Errorf("with %q lost, missing %s", lost, pretty(bad))
		}
		w.close(s)
	}
}

// TestAbandon drops the last words to an owner whose hub is gone, for good.
func TestAbandon(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, Budgets{}))
	w.append(s, draft(seal.KindEvent, 1, 10))
	if s.Lingers() {
		t.Error("the owner's own items linger")
	}
	if err := s.Rebind(context.Background(), w.sealer(1, 2, recordHash(2, 1))); err != nil {
		t.Fatal(err)
	}
	e := w.append(s, draft(seal.KindEvent, 1, 10))
	if !s.Lingers() {
		t.Error("nothing waits of the owner before")
	}
	s.Abandon()
	if got := waiting(s); s.Lingers() || len(got) != 1 || got[0] != e {
		t.Errorf("waiting %s", pretty(got))
	}
	if got := files(t, dir); !slices.Equal(got, []string{"2-1-1.lwi"}) {
		t.Errorf("on disk %v", got)
	}
	w.close(s)
}

// TestOldEndGoesWithTheNextOwner keeps no more than one owner's last words.
func TestOldEndGoesWithTheNextOwner(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, Budgets{}))
	for epoch := uint64(2); epoch <= 4; epoch++ {
		w.append(s, draft(seal.KindEvent, 1, 10))
		if err := s.Rebind(context.Background(), w.sealer(1, epoch, recordHash(byte(epoch), 1))); err != nil {
			t.Fatal(err)
		}
	}
	if got := files(t, dir); !slices.Equal(got, []string{"3-1-2-end.lwi"}) {
		t.Errorf("on disk %v", got)
	}
	e, _ := s.Next(false, nil)
	if err := s.SetAside(e.Ref, "unknown-record"); err != nil {
		t.Fatal(err)
	}
	w.append(s, draft(seal.KindCheckpoint, 0, 10))
	for _, e := range waiting(s) {
		if e.Kind == seal.KindGap {
			t.Errorf("the new owner is told of the one before: %+v", e)
		}
	}
	w.close(s)
}

func FuzzEndName(f *testing.F) {
	for _, name := range []string{"1-2-3-end.lwi", "1-2-3.lwi", "1-2-0-end.lwi", "1-2-3-end-end.lwi", "-end.lwi", ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, ok := parseEnd(name)
		if ok && p.endName() != name {
			t.Errorf("%q is read as %v", name, p)
		}
		if _, plain := parseName(name); plain && ok {
			t.Errorf("%q is read in two ways", name)
		}
	})
}
