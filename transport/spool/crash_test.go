package spool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/seal"
)

// clone is a world with the same keys and a copy of the hub.
func (w *world) clone(t testing.TB) *world {
	return &world{t: t, key: w.key, id: w.id, device: w.device, hub: maps.Clone(w.hub), read: w.read, signed: map[seal.Ref]map[seal.Hash]bool{}}
}

// promise is what the workload has been told by now.
type promise struct {
	epoch uint64
	items []Entry // appended, in this epoch
	// before are those of the epoch before; former says that its record is still there.
	before []Entry
	former bool
}

// tight are budgets that the workload overruns.
func tight() Budgets {
	return Budgets{Records: 1 << 20, Thumbnails: 9000, Clips: 14_000, Aside: 4000}
}

// workload does everything that a spool can do, and stops at the first error.
func (w *world) workload(s *Spool, p *promise) error {
	add := func(d seal.Draft) func() error {
		return func() error {
			e, err := s.Append(context.Background(), d)
			if err == nil {
				p.items = append(p.items, e)
			}
			return err
		}
	}
	receipt := func() error {
		e, _ := s.NewestThumbnail()
		data, err := s.Read(e.Ref)
		if err != nil {
			return err
		}
		w.hub[e.Ref] = data
		return s.Forget(e.Ref, e.Hash)
	}
	setAside := func() error {
		e, _ := s.Next(false, nil)
		return s.SetAside(e.Ref, "wrong-owner")
	}
	rebind := func() error {
		if p.epoch == 1 { // the record is on disk before the spool hears of it
			p.epoch, p.before, p.items, p.former = 2, p.items, nil, true
		}
		err := s.Rebind(context.Background(), w.sealer(1, 2, recordHash(2, 1)))
		p.former = err != nil
		return err
	}
	for _, do := range []func() error{
		add(draft(seal.KindThumbnail, 1, 2000)), add(part(1, 0, 4000)), receipt,
		add(draft(seal.KindThumbnail, 2, 2000)), setAside, add(part(2, 0, 4000)),
		add(part(3, 0, 4000)), // drops the first clip
		add(draft(seal.KindEvent, 1, 100)), add(draft(seal.KindThumbnail, 3, 2000)), receipt,
		add(draft(seal.KindCheckpoint, 0, 100)),
		rebind, add(draft(seal.KindThumbnail, 4, 2000)), receipt, add(part(4, 0, 100)),
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// check opens what a power cut or a fault has left and wants every promise kept,
// and the chain to go on without a fork or an unexplained hole.
func (w *world) check(root string, p *promise, boot uint64) error {
	o := quiet(w.options(root, boot, tight()))
	o.Sealer = w.sealer(boot, p.epoch, recordHash(byte(p.epoch), 1))
	if p.former {
		o.Former = w.sealer(boot, 1, recordHash(1, 1))
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		return err
	}
	defer s.Close()
	aside := map[seal.Ref]bool{}
	for _, a := range s.Aside() {
		aside[a.Ref] = true
		if a.Reason == reasonCorrupt {
			return fmt.Errorf("%s is damaged", a.Ref)
		}
	}
	if _, err := s.Append(context.Background(), draft(seal.KindCheckpoint, 0, 10)); err != nil {
		return err
	}
	for _, e := range waiting(s) {
		data, err := s.Read(e.Ref)
		if err != nil {
			return err
		}
		if have, ok := w.hub[e.Ref]; ok && string(have) != string(data) {
			return fmt.Errorf("two items for %s", e.Ref)
		}
		w.hub[e.Ref] = data
	}
	missing, err := w.audit()
	if err != nil {
		return err
	}
	explained := func(e Entry) bool {
		for _, m := range missing {
			if m.Dropped && m.Chain == e.Ref.Chain && m.Epoch == e.Ref.Epoch && m.From <= e.Ref.Seq && e.Ref.Seq <= m.To {
				return true
			}
		}
		return false
	}
	for _, m := range missing {
		if !m.Dropped && (m.Epoch == p.epoch || len(p.before) > 0) {
			return fmt.Errorf("unexplained: %s", pretty(m))
		}
	}
	if err := w.checkEnd(p, explained); err != nil {
		return err
	}
	for _, e := range p.items {
		data, ok := w.hub[e.Ref]
		if !ok && !aside[e.Ref] && !explained(e) {
			return fmt.Errorf("%s was promised and is lost", e.Ref)
		}
		if it, err := seal.Parse(data); ok && (err != nil || it.Hash() != e.Hash) {
			return fmt.Errorf("%s is another item than was promised", e.Ref)
		}
	}
	return nil
}

// checkEnd wants all of the epoch before to be delivered or named as dropped with its
// ownership, and its chain to end with the item that says so, which is there.
func (w *world) checkEnd(p *promise, explained func(Entry) bool) error {
	if len(p.before) == 0 {
		return nil
	}
	var last *seal.Item
	for ref, data := range w.hub {
		if it, err := w.read.item(data); err == nil && ref.Epoch < p.epoch && (last == nil || ref.Seq > last.Header.Seq) {
			last = it
		}
	}
	for _, e := range p.before {
		if _, ok := w.hub[e.Ref]; !ok && !explained(e) {
			return fmt.Errorf("%s was dropped with its ownership and is not named", e.Ref)
		}
	}
	if last == nil || last.Header.Kind != seal.KindGap {
		return errors.New("the chain of the owner before does not end with a gap item")
	}
	g, err := w.read.gap(last)
	if err != nil {
		return err
	}
	for _, d := range g.Dropped {
		if d.Reason == reasonOwnership {
			return nil
		}
	}
	return fmt.Errorf("the last item of the owner before gives no ownership as the reason: %s", pretty(g))
}

// stride is between the steps that are tried; under emulation not all are.
func stride() int {
	if testing.Short() {
		return 29
	}
	return 1
}

// TestPowerCut cuts the power at every step of the workload, in every variant of
// what the disk may then hold, and with the index in every state.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	p := &promise{epoch: 1}
	var stale []byte
	checks := 0
	indexes := []func(path string) error{
		func(string) error { return nil },
		os.Remove,
		func(path string) error { return os.WriteFile(path, stale, 0o600) },
		func(path string) error { return tear(path) },
	}
	cutter := durabletest.NewCutter(t, dir, func(c durabletest.Crash) {
		if c.Index%stride() != 0 {
			return
		}
		// Each variant meets each state of the index in turn.
		state := (checks/len(durabletest.Variants()) + checks) % len(indexes)
		checks++
		path := filepath.Join(c.Root, indexName)
		if _, err := os.Stat(path); err == nil {
			if err := indexes[state](path); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.clone(t).check(c.Root, p, 100); err != nil {
			t.Errorf("%v, index state %d: %v", c, state, err)
		}
	})
	s := w.open(quiet(w.options(dir, 1, tight(), durable.WithHook(cutter.Hook))))
	s.mu.Lock()
	s.rewrite = true
	s.mu.Unlock()
	s.flush(true) // so that there is an index to lose
	stale, err := os.ReadFile(filepath.Join(dir, indexName))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.workload(s, p); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Disowned == 0 || len(w.hub) != 3 || cutter.Steps() < 150 {
		t.Errorf("the workload did too little: %+v, %d delivered, %d steps", st, len(w.hub), cutter.Steps())
	}
	t.Logf("%d cuts were checked at %d steps", checks, cutter.Steps())
	w.close(s)
}

// tear replaces the second half of a file by what a block of it holds.
func tear(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i := len(data) / 2; i < len(data); i++ {
		data[i] = data[i%512]
	}
	return os.WriteFile(path, data, 0o600)
}

// TestFaultPairs fails every step, once with nothing done and once although it
// was done, and goes on: in the same process, and after the process is killed.
func TestFaultPairs(t *testing.T) {
	t.Parallel()
	for _, fault := range []error{unix.EIO, unix.ENOSPC} {
		for k := 0; ; k += stride() {
			w := newWorld(t)
			dir := durabletest.TempDir(t)
			f := durabletest.FailAt(k, fault)
			p := &promise{epoch: 1}
			s, err := Open(context.Background(), quiet(w.options(dir, 1, tight(), durable.WithHook(f.Hook))))
			if err == nil {
				err = w.workload(s, p)
				if err != nil && !errors.Is(err, fault) {
					t.Errorf("%v at step %d: %v", fault, k, err)
				}
				if p.former { // the disk works again, and the owner's change is made
					if err := s.Rebind(context.Background(), w.sealer(1, 2, recordHash(2, 1))); err != nil {
						t.Errorf("rebind after %v at %+v: %v", fault, f.Hit(), err)
					}
					p.former = false
				}
				if err != nil { // the next one goes through
					e, err := s.Append(context.Background(), draft(seal.KindCheckpoint, 0, 10))
					if err != nil {
						t.Errorf("append after %v at %+v: %v", fault, f.Hit(), err)
					}
					if e.Ref.Epoch == p.epoch {
						p.items = append(p.items, e)
					}
				}
				before := w.clone(t)
				if err := before.checkLive(s, p); err != nil {
					t.Errorf("%v at %+v, same process: %v", fault, f.Hit(), err)
				}
				w.kill(s)
			}
			if err := w.check(dir, p, 2); err != nil {
				t.Errorf("%v at %+v, after a restart: %v", fault, f.Hit(), err)
			}
			if f.Hit() == nil {
				if k < 150 {
					t.Errorf("only %d steps were failed", k)
				}
				break
			}
		}
	}
}

// checkLive wants the items of a spool that is still open to fit together.
func (w *world) checkLive(s *Spool, p *promise) error {
	for _, e := range waiting(s) {
		data, err := s.Read(e.Ref)
		if err != nil {
			return err
		}
		w.hub[e.Ref] = data
	}
	if _, err := w.audit(); err != nil {
		return err
	}
	aside := map[seal.Ref]bool{}
	for _, a := range s.Aside() {
		aside[a.Ref] = true
	}
	missing, _ := w.audit()
	for _, m := range missing {
		for seq := m.From; seq <= m.To; seq++ {
			ref := seal.Ref{Device: w.device, Epoch: m.Epoch, Chain: m.Chain, Seq: seq}
			if m.Epoch == p.epoch && !m.Dropped && !aside[ref] {
				return fmt.Errorf("missing %s", pretty(m))
			}
		}
	}
	return nil
}

// TestUnresolvedWriteIsNotReplaced has a blob renamed into place with an error,
// and its removal fail too: no other item may be sealed for that place until it
// is gone, and after a kill it is simply there.
func TestUnresolvedWriteIsNotReplaced(t *testing.T) {
	for _, killed := range []bool{true, false} {
		w := newWorld(t)
		dir := durabletest.TempDir(t)
		broken := false
		hook := func(s durable.Step) error {
			if broken && (s.Op == durable.OpSyncDir || s.Op == durable.OpRemove) {
				return unix.EIO
			}
			return nil
		}
		s := w.open(quiet(w.options(dir, 1, Budgets{}, durable.WithHook(hook))))
		w.append(s, draft(seal.KindCheckpoint, 0, 10))
		broken = true
		for range 3 {
			if _, err := s.Append(context.Background(), draft(seal.KindEvent, 1, 10)); !errors.Is(err, unix.EIO) {
				t.Errorf("append: %v", err)
			}
		}
		at := seal.Ref{Device: w.device, Epoch: 1, Chain: 1, Seq: 2}
		if n := len(w.signed[at]); n != 1 {
			t.Errorf("%d items were signed for one place", n)
		}
		broken = false
		want := []uint64{1, 2}
		if killed {
			w.kill(s)
			s = w.open(w.options(dir, 2, Budgets{}))
		} else {
			w.append(s, draft(seal.KindEvent, 2, 10))
		}
		if got := seqs(waiting(s)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("killed %v: waiting %v, want %v", killed, got, want)
		}
		w.append(s, draft(seal.KindCheckpoint, 0, 10))
		w.drain(s)
		if bad := w.unexplained(); bad != nil {
			t.Errorf("missing %s", pretty(bad))
		}
		w.close(s)
	}
}
