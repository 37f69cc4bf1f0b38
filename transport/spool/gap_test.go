package spool

import (
	"math/rand/v2"
	"testing"

	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/seal"
)

// TestCoalesce joins random, overlapping claims, and wants each number named
// once, and both ends of each run to fit the chain.
func TestCoalesce(t *testing.T) {
	hash := func(chain, seq uint64) seal.Hash { return seal.Hash{byte(chain), byte(seq), byte(seq >> 8)} }
	r := rand.New(rand.NewPCG(3, 4))
	joined := 0
	for range 2000 {
		var claims []seal.Dropped
		want := map[[2]uint64]bool{}
		for range r.IntN(12) {
			chain, from := uint64(1+r.IntN(2)), uint64(1+r.IntN(30))
			to := from + uint64(r.IntN(5))
			claims = append(claims, seal.Dropped{
				Chain: chain, From: from, To: to, FirstPrev: hash(chain, from-1), LastHash: hash(chain, to),
				Kind: seal.Kind(1 + r.IntN(2)), Reason: reasonBudget,
			})
			for seq := from; seq <= to; seq++ {
				want[[2]uint64{chain, seq}] = true
			}
		}
		n := len(claims)
		out := coalesce(claims)
		if len(out) < n {
			joined++
		}
		for i, c := range out {
			if c.FirstPrev != hash(c.Chain, c.From-1) || c.LastHash != hash(c.Chain, c.To) {
				t.Fatalf("the ends of %s do not fit", pretty(c))
			}
			if i > 0 && c.Chain == out[i-1].Chain && c.From <= out[i-1].To {
				t.Fatalf("%s overlaps %s", pretty(c), pretty(out[i-1]))
			}
			for seq := c.From; seq <= c.To; seq++ {
				if !want[[2]uint64{c.Chain, seq}] {
					t.Fatalf("%d of chain %d was not claimed", seq, c.Chain)
				}
				delete(want, [2]uint64{c.Chain, seq})
			}
		}
		if len(want) != 0 {
			t.Fatalf("%v are not named any more", want)
		}
	}
	if joined < 100 {
		t.Errorf("only %d were joined", joined)
	}
}

// TestMoreRangesThanOneGapItemHolds drops clips with records between them, so
// that nothing can be joined.
func TestMoreRangesThanOneGapItemHolds(t *testing.T) {
	w := newWorld(t)
	b := Budgets{Records: 4 << 20, Thumbnails: 1 << 20, Clips: 1 << 20, Aside: 1}
	s := w.open(quiet(w.options(durabletest.TempDir(t), 1, b)))
	defer w.close(s)
	for range 300 {
		w.append(s, part(1, 0, 2000))
		w.append(s, draft(seal.KindEvent, 1, 10))
	}
	w.append(s, part(2, 0, 900_000))
	if st := s.Stats(); st.Dropped != 300 || st.Items[Clips] != 1 {
		t.Errorf("stats %+v", st)
	}
	w.drain(s)
	if bad := w.unexplained(); bad != nil {
		t.Errorf("missing %s", pretty(bad))
	}
}
