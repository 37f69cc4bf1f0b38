package spool

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/seal"
)

// isSettled holds what a spool calls settled against the hub: each item up to there is
// there, or named by a gap item that is there.
func (w *world) isSettled(s *Spool) (upTo uint64, err error) {
	upTo = s.Stats().Settled
	missing, err := w.audit()
	if err != nil {
		return 0, err
	}
	top := uint64(0)
	for ref := range w.hub {
		if ref.Epoch == s.head.epoch && ref.Chain == s.head.chain {
			top = max(top, ref.Seq)
		}
	}
	for _, m := range missing {
		if m.Epoch != s.head.epoch || m.Chain != s.head.chain {
			continue
		}
		top = max(top, m.To)
		if !m.Dropped && m.From <= upTo {
			return upTo, fmt.Errorf("%d is settled, and %d to %d are not at the hub", upTo, m.From, m.To)
		}
	}
	if upTo > top {
		return upTo, fmt.Errorf("%d is settled, and the hub knows of %d", upTo, top)
	}
	return upTo, nil
}

// TestSettled runs a spool through random lives, and wants it never to call settled what
// the hub does not have or know of, and all of it once all was delivered.
func TestSettled(t *testing.T) {
	t.Parallel()
	lives, steps, most, wanted := 20, 150, uint64(0), uint64(20)
	if testing.Short() {
		lives, wanted = 2, 1
	}
	for seed := range uint64(lives) {
		m := &model{
			w: newWorld(t), r: rand.New(rand.NewPCG(seed, 3)), dir: durabletest.TempDir(t), boot: 1, epoch: 1,
			items: map[uint64]Entry{}, aside: map[uint64]bool{}, sent: map[uint64]bool{},
		}
		if err := m.open(); err != nil {
			t.Fatal(err)
		}
		for n := range steps {
			if err := m.step(); err != nil {
				t.Fatalf("life %d, step %d: %v", seed, n, err)
			}
			upTo, err := m.w.isSettled(m.s)
			if err != nil {
				t.Fatalf("life %d, step %d: %v", seed, n, err)
			}
			most = max(most, upTo)
		}
		m.fail = nil
		m.w.append(m.s, draft(seal.KindCheckpoint, 0, 10))
		m.w.drain(m.s)
		if st := m.s.Stats(); st.Settled != st.HeadSeq {
			t.Errorf("life %d: all was delivered, and %d of %d is settled", seed, st.Settled, st.HeadSeq)
		}
		m.w.close(m.s)
	}
	if most < wanted {
		t.Errorf("no more than %d was ever settled before the end", most)
	}
}
