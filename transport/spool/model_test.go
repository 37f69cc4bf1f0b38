package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/seal"
)

// model is what a spool should hold, in the plainest form.
type model struct {
	w     *world
	r     *rand.Rand
	dir   string
	boot  uint64
	epoch uint64
	s     *Spool
	blind bool             // the index was lost: what gap items say is forgotten
	fail  error            // what the disk does at the moment
	items map[uint64]Entry // appended in this epoch and neither forgotten nor set aside
	aside map[uint64]bool
	sent  map[uint64]bool // reached the hub
}

func (m *model) open() error {
	o := quiet(m.w.options(m.dir, m.boot, tight(), durable.WithHook(func(durable.Step) error {
		if m.fail != nil && m.r.IntN(6) == 0 {
			return m.fail
		}
		return nil
	})))
	o.Sealer = m.w.sealer(m.boot, m.epoch, recordHash(byte(m.epoch), 1))
	s, err := Open(context.Background(), o)
	m.s = s
	return err
}

// step does one random thing to the spool and to the model.
func (m *model) step() error {
	switch op := m.r.IntN(20); {
	case op < 9:
		return m.append()
	case op < 13:
		return m.deliver()
	case op < 14:
		return m.setAside()
	case op < 15:
		m.fail = []error{nil, nil, unix.ENOSPC, unix.EIO}[m.r.IntN(4)]
		return nil
	case op < 16 && m.r.IntN(6) == 0:
		return m.newOwner()
	case op < 18:
		return m.reopen()
	default:
		return m.check()
	}
}

func (m *model) append() error {
	kinds := []seal.Kind{seal.KindThumbnail, seal.KindClip, seal.KindClip, seal.KindEvent, seal.KindCheckpoint}
	d := draft(kinds[m.r.IntN(len(kinds))], byte(1+m.r.IntN(5)), m.r.IntN(4000))
	e, err := m.s.Append(context.Background(), d)
	if err != nil {
		if m.fail == nil && !errors.Is(err, ErrFull) {
			return err
		}
		return nil
	}
	if have, ok := m.items[e.Ref.Seq]; ok {
		return fmt.Errorf("%s was given twice, before to a %s", e.Ref, have.Kind)
	}
	m.items[e.Ref.Seq] = e
	return nil
}

func (m *model) deliver() error {
	e, ok := m.s.Next(m.r.IntN(3) == 0, func(seal.Ref) bool { return m.r.IntN(3) == 0 })
	if !ok {
		return nil
	}
	data, err := m.s.Read(e.Ref)
	if err != nil {
		return err
	}
	m.w.store(data)
	if e.Ref.Epoch != m.epoch {
		return m.s.Forget(e.Ref, e.Hash)
	}
	m.sent[e.Ref.Seq] = true
	if m.r.IntN(4) == 0 {
		return nil // the receipt is lost
	}
	delete(m.items, e.Ref.Seq)
	return m.s.Forget(e.Ref, e.Hash)
}

func (m *model) setAside() error {
	e, ok := m.s.Next(m.r.IntN(2) == 0, nil)
	if !ok || m.blind && e.Kind == seal.KindGap {
		return nil
	}
	err := m.s.SetAside(e.Ref, "wrong-owner")
	if err != nil && m.fail == nil {
		return err
	}
	if e.Ref.Epoch != m.epoch {
		return nil
	}
	delete(m.items, e.Ref.Seq)
	m.aside[e.Ref.Seq] = true
	return nil
}

func (m *model) newOwner() error {
	m.epoch++
	m.items, m.aside, m.sent = map[uint64]Entry{}, map[uint64]bool{}, map[uint64]bool{}
	sealer := m.w.sealer(m.boot, m.epoch, recordHash(byte(m.epoch), 1))
	err := m.s.Rebind(context.Background(), sealer)
	if err != nil && m.fail != nil { // the owner's change is made when the disk works again
		if _, err := m.s.Append(context.Background(), draft(seal.KindCheckpoint, 0, 10)); !errors.Is(err, ErrEnded) {
			return fmt.Errorf("append between two owners: %v", err)
		}
		m.fail = nil
		err = m.s.Rebind(context.Background(), sealer)
	}
	return err
}

// reopen closes or kills the spool, does something to its index, and opens it.
func (m *model) reopen() error {
	if m.r.IntN(2) == 0 {
		m.w.close(m.s)
	} else {
		m.w.kill(m.s)
	}
	path := filepath.Join(m.dir, indexName)
	switch m.r.IntN(4) {
	case 0:
		m.blind = true
		_ = os.Remove(path) // it may not be there yet
	case 1:
		m.blind = true
		if info, err := os.Stat(path); err == nil {
			if err := os.Truncate(path, m.r.Int64N(info.Size()+1)); err != nil {
				return err
			}
		}
	}
	m.fail = nil
	m.boot++
	return m.open()
}

// check holds the spool against the model, and everything that was ever seen
// against the rules of the chain.
func (m *model) check() error {
	held := map[uint64]bool{}
	for _, e := range waiting(m.s) {
		if e.Ref.Epoch != m.epoch {
			if e.Kind != seal.KindGap || m.s.ended.epoch != e.Ref.Epoch {
				return fmt.Errorf("a %s of the owner before waits: %s", e.Kind, e.Ref)
			}
			continue
		}
		held[e.Ref.Seq] = true
		if want, ok := m.items[e.Ref.Seq]; ok && want != e {
			return fmt.Errorf("entry %s, want %s", pretty(e), pretty(want))
		}
	}
	st := m.s.Stats()
	if b := tight(); st.Bytes[Clips] > b.Clips || st.Bytes[Thumbnails] > b.Thumbnails {
		return fmt.Errorf("over budget: %v bytes", st.Bytes)
	}
	missing, err := m.w.audit(contents(m.w.t, m.s)...)
	if err != nil {
		return err
	}
	explained := map[uint64]bool{}
	for _, x := range missing {
		if x.Epoch != m.epoch {
			continue
		}
		for seq := x.From; seq <= x.To; seq++ {
			explained[seq] = x.Dropped
			// What is set aside is explained with the next checkpoint.
			if !x.Dropped && !m.wasAside(seq) {
				return fmt.Errorf("unexplained %s", pretty(x))
			}
		}
	}
	for seq, e := range m.items {
		if !held[seq] && !m.sent[seq] && !explained[seq] && !m.wasAside(seq) {
			return fmt.Errorf("%s is lost: %s", e.Kind, e.Ref)
		}
		if e.Kind == seal.KindEvent && !held[seq] && !m.sent[seq] && !m.wasAside(seq) {
			return fmt.Errorf("event record %s was dropped", e.Ref)
		}
	}
	return m.checkDisk()
}

func (m *model) wasAside(seq uint64) bool { return m.aside[seq] }

// checkDisk wants the directory to hold what waits, and the head's blob.
func (m *model) checkDisk() error {
	if m.fail != nil || m.s.unresolved != "" {
		return nil
	}
	want := map[place]bool{}
	for _, e := range waiting(m.s) {
		want[placeOf(e.Ref)] = true
	}
	if m.s.kept != nil {
		want[m.s.kept.place] = true
	}
	have := map[place]bool{}
	for _, name := range files(m.w.t, m.dir) {
		p, _, _ := parseBlob(name)
		have[p] = true
	}
	for p := range want {
		if !have[p] {
			return fmt.Errorf("%s is not on disk", p.name())
		}
	}
	return nil
}

// TestModel runs a spool through random lives with a failing disk, kills and
// spoiled indexes, beside a model of what it should hold.
func TestModel(t *testing.T) {
	t.Parallel()
	lives, steps := 20, 150
	if testing.Short() {
		lives = 2
	}
	for seed := range uint64(lives) {
		m := &model{
			w: newWorld(t), r: rand.New(rand.NewPCG(seed, 2)), dir: durabletest.TempDir(t), boot: 1, epoch: 1,
			items: map[uint64]Entry{}, aside: map[uint64]bool{}, sent: map[uint64]bool{},
		}
		if err := m.open(); err != nil {
			t.Fatal(err)
		}
		for n := range steps {
			if err := m.step(); err != nil {
				t.Errorf("life %d, step %d: %v", seed, n, err)
				break
			}
		}
		m.fail = nil
		m.w.append(m.s, draft(seal.KindCheckpoint, 0, 10)) // explains what was set aside
		m.w.drain(m.s)
		for _, x := range m.w.unexplained() {
			if x.Epoch == m.epoch {
				t.Errorf("life %d: unexplained %s", seed, pretty(x))
			}
		}
		m.w.close(m.s)
	}
}
