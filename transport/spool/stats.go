package spool

import "github.com/lensward/lensward/transport/seal"

// counts are kept in the index; if that is lost they begin again.
type counts struct {
	Dropped  uint64 `json:"dropped"`
	Aside    uint64 `json:"aside"`
	Corrupt  uint64 `json:"corrupt"`
	Refused  uint64 `json:"refused"`
	Disowned uint64 `json:"disowned"`
}

// restart is for a new chain. What was found damaged or lost with the owner before
// is not the chain's.
func (c *counts) restart() { *c = counts{Corrupt: c.Corrupt, Disowned: c.Disowned} }

// Stats say how the spool stands.
type Stats struct {
	// Depth counts the items that wait for delivery, Items those of each class, and
	// Bytes their sizes.
	Depth int
	Items [classes]int
	Bytes [classes]int64
	// Chain is the present chain. HeadSeq is its newest item's number, 0 before
	// there is one. OldestSeq is that of the oldest item that waits, in whatever
	// chain, 0 when none does.
	Chain, HeadSeq, OldestSeq uint64
	// Settled is a number in the present chain: every item up to it was receipted, or is
	// named by a gap item that was. 0 where that cannot be told.
	Settled uint64
	// Dropped counts items dropped for want of room, Aside those that the hub
	// refused, Refused the Appends that got ErrFull, all since the chain began.
	Dropped, Aside, Refused uint64
	// Corrupt counts items found damaged, Disowned items of earlier owners that were
	// dropped undelivered. Like the counts above they begin again if the index is lost.
	Corrupt, Disowned uint64
	// AsideItems and AsideBytes are what is set aside now, damaged items included.
	AsideItems int
	AsideBytes int64
	// Full says that an item of some class was refused for want of room, and would
	// be again.
	Full bool
	// Free is how much the disk has left, in bytes.
	Free int64
}

// Stats returns how the spool stands.
func (s *Spool) Stats() Stats {
	free := s.free()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Chain: s.head.chain, HeadSeq: s.head.seq,
		Dropped: s.counts.Dropped, Aside: s.counts.Aside, Corrupt: s.counts.Corrupt,
		Refused: s.counts.Refused, Disowned: s.counts.Disowned,
		AsideItems: len(s.aside), Free: free, Settled: s.settled(),
	}
	var oldest *entry
	for c := range s.shelves {
		shelf := &s.shelves[c]
		st.Depth += len(shelf.items)
		st.Items[c], st.Bytes[c] = len(shelf.items), shelf.bytes
		if len(shelf.items) > 0 && (oldest == nil || shelf.items[0].compare(oldest.place) < 0) {
			oldest = shelf.items[0]
		}
		if r := s.full[c]; r.need > 0 {
			r.free = free
			_, err := s.plan(r)
			st.Full = st.Full || err != nil || free < r.need
		}
	}
	if oldest != nil {
		st.OldestSeq = oldest.seq
	}
	for _, a := range s.aside {
		st.AsideBytes += a.size
	}
	return st
}

// settled is what Stats.Settled says. The caller holds mu.
func (s *Spool) settled() uint64 {
	first := s.head.seq + 1
	own := func(p place) bool { return p.epoch == s.head.epoch && p.chain == s.head.chain }
	for c := range s.shelves {
		for _, e := range s.shelves[c].items {
			ranges, known := s.gaps[e.place]
			if e.kind == seal.KindGap && !known {
				return 0 // it names what it names, and that was lost with the index
			}
			if own(e.place) {
				first = min(first, e.seq)
			}
			if e.epoch != s.head.epoch {
				continue
			}
			for _, d := range ranges {
				if d.Chain == s.head.chain {
					first = min(first, d.From)
				}
			}
		}
	}
	for _, a := range s.owed() {
		if own(a.place) {
			first = min(first, a.seq)
		}
		for _, d := range s.gaps[a.place] { // a gap item that was refused is repeated in the next
			if a.epoch == s.head.epoch && d.Chain == s.head.chain {
				first = min(first, d.From)
			}
		}
	}
	return max(first, 1) - 1
}
