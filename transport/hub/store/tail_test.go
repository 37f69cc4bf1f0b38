package store

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// A tail is held against a list of everything, over streams of many owners with holes.
func TestTailKnowsTheNewest(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		most, first := 1+r.IntN(20), uint64(r.IntN(30))
		tl := newTail(most)
		tl.begin(first, first) // one item, if any, was stored before
		if first == 0 {
			tl.begin(0, 0)
		}
		var all []tailItem
		owners := []*line{{owner: seal.ID{1}}, {owner: seal.ID{2}}, {owner: seal.ID{3}}}
		cursor := first
		for range r.IntN(100) {
			cursor += 1 + uint64(r.IntN(3))
			l := owners[r.IntN(len(owners))]
			switch r.IntN(10) {
			case 0:
				tl.pass(cursor)
			default:
				if !tl.add(cursor, l.owner) || tl.add(cursor, l.owner) {
					t.Fatalf("seed %d: item %d is not taken once", seed, cursor)
				}
				all = append(all, tailItem{cursor, l})
			}
			if len(all) > 0 && r.IntN(8) == 0 {
				i := r.IntN(len(all))
				tl.forget(all[i].line.owner, all[i].cursor)
				all[i].line = &line{} // it is nobody's
			}
		}
		checkTail(t, tl, all, owners, cursor, r)
	}
}

func checkTail(t *testing.T, tl *tail, all []tailItem, owners []*line, end uint64, r *rand.Rand) {
	t.Helper()
	kept := all[max(0, len(all)-tl.most):]
	for _, l := range owners {
		after, limit := r.Uint64N(end+2), r.IntN(10)
		v := tl.after(l.owner, after, limit)
		var want []uint64
		for _, it := range kept {
			if it.line == l && it.cursor > after && len(want) < limit {
				want = append(want, it.cursor)
			}
		}
		if !slices.Equal(v.cursors, want) {
			t.Fatalf("after %d: %v, not %v", after, v.cursors, want)
		}
		if len(all) > len(kept) && v.floor != all[len(all)-len(kept)-1].cursor {
			t.Fatalf("the floor is %d", v.floor)
		}
		if v.upto != end || tl.end() != end || tl.last() != end {
			t.Fatalf("the end is %d, not %d", v.upto, end)
		}
	}
	if len(tl.lines) > len(owners) || len(tl.ring) > tl.most {
		t.Fatalf("%d owners and %d items are kept", len(tl.lines), len(tl.ring))
	}
}

func TestTailBegins(t *testing.T) {
	for _, c := range []struct{ first, last, floor, upto uint64 }{
		{0, 0, 0, 0},     // a new stream
		{1, 10, 0, 0},    // all of it
		{1, 11, 1, 1},    // all but one
		{5, 100, 90, 90}, // the newest ten
		{95, 100, 0, 94}, // what was not deleted
		{101, 100, 0, 100},
	} {
		tl := newTail(10)
		tl.begin(c.first, c.last)
		if tl.floor != c.floor || tl.upto != c.upto || tl.last() != c.last {
			t.Errorf("from %d to %d: above %d, looked at up to %d, %d stored", c.first, c.last, tl.floor, tl.upto, tl.last())
		}
	}
}

func TestReachWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tl := newTail(10)
		if tl.reach(t.Context(), 1) {
			t.Error("a tail that nobody adds to comes to an item")
		}
		tl.following(true)
		reached := make(chan bool)
		wait := func(ctx context.Context) { go func() { reached <- tl.reach(ctx, 2) }() }

		wait(t.Context())
		synctest.Wait()
		tl.add(1, seal.ID{1})
		synctest.Wait()
		select {
		case <-reached:
			t.Fatal("1 is 2")
		default:
		}
		tl.pass(2)
		if !<-reached {
			t.Error("2 is not reached")
		}

		tl.begin(0, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		wait(ctx)
		if <-reached {
			t.Error("the end of a context is an item")
		}
		wait(t.Context())
		synctest.Wait()
		tl.following(false)
		if <-reached {
			t.Error("the end of the following is an item")
		}
	})
}

func TestMemoForgetsWhatIsTooMuch(t *testing.T) {
	m := memo[int, int]{most: 10}
	for i := range 1000 {
		m.put(i, -i)
		m.put(i, i)
		if v, ok := m.get(i); !ok || v != i {
			t.Fatalf("%d is %d, %v", i, v, ok)
		}
	}
	if len(m.has) != 10 {
		t.Errorf("%d are kept", len(m.has))
	}
}
