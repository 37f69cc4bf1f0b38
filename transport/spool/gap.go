package spool

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/lensward/lensward/transport/seal"
)

// Why an item is no longer there, as gap items say it.
const (
	reasonBudget     = "budget"
	reasonFull       = "full"
	reasonCorrupt    = "corrupt"
	reasonSuperseded = "superseded"
	reasonRefused    = "refused"
)

// loss is an item that a gap item names.
type loss struct {
	*entry
	reason string
}

// claim names one lost item.
func (l loss) claim() seal.Dropped {
	return seal.Dropped{
		Chain: l.chain, From: l.seq, To: l.seq, FirstPrev: l.prev, LastHash: l.hash,
		Kind: l.kind, Reason: l.reason,
	}
}

// coalesce sorts claims, joins those that continue each other, and names nothing
// twice: gap items that were interrupted may overlap.
func coalesce(claims []seal.Dropped) []seal.Dropped {
	slices.SortFunc(claims, func(a, b seal.Dropped) int {
		return cmp.Or(cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.From, b.From), cmp.Compare(b.To, a.To))
	})
	var out []seal.Dropped
	for _, c := range claims {
		if len(out) == 0 || out[len(out)-1].Chain != c.Chain {
			out = append(out, c)
			continue
		}
		last := &out[len(out)-1]
		if c.To <= last.To {
			continue
		}
		if c.From <= last.To {
			c.From, c.FirstPrev = last.To+1, last.LastHash
		}
		if c.From == last.To+1 && c.FirstPrev == last.LastHash && c.Kind == last.Kind && c.Reason == last.Reason {
			last.To, last.LastHash = c.To, c.LastHash
		} else {
			out = append(out, c)
		}
	}
	return out
}

// evict drops victims, all for one reason. First a gap item that names them is
// on stable storage, then they are deleted: a power cut in between leaves items
// that are there although a gap names them, which is harmless. The gap item also
// names what was set aside and not explained yet, and takes the place of gap
// items that still wait, so that they do not pile up. d lends it its time.
func (s *Spool) evict(victims []*entry, reason string, d seal.Draft) error {
	s.mu.Lock()
	owed := s.owed()
	claims := make([]seal.Dropped, 0, len(victims)+len(owed))
	for _, e := range victims {
		claims = append(claims, loss{e, reason}.claim())
	}
	for _, a := range owed {
		claims = append(claims, loss{a.entry, a.gapReason()}.claim())
		claims = append(claims, s.gaps[a.place]...)
	}
	claims, merged := s.mergeGaps(coalesce(claims))
	s.mu.Unlock()

	if err := s.say(claims, d); err != nil {
		return fmt.Errorf("write gap item before dropping %d items: %w", len(victims), err)
	}

	s.mu.Lock()
	for _, e := range append(victims, merged...) {
		s.lose(e)
	}
	if reason != reasonSuperseded {
		s.counts.Dropped += uint64(len(victims))
	}
	for _, a := range owed {
		a.explained = true
		s.dropGap(a.place)
		s.noteAside(a)
	}
	s.trimAside()
	s.notify()
	s.mu.Unlock()
	s.log.Info("items dropped", "count", len(victims), "reason", reason, "explained", len(owed), "gaps_merged", len(merged))
	s.flush(true)
	s.restoreBallast()
	return nil
}

// lose deletes an item that a gap item names. It may have been receipted
// meanwhile. The caller holds mu.
func (s *Spool) lose(e *entry) {
	if s.shelves[e.class()].remove(e) {
		s.dropGap(e.place)
		s.discard(e)
	}
}

// mergeGaps adds to claims those of waiting gap items, and the gap items
// themselves, as far as one gap item can hold them. The caller holds mu.
func (s *Spool) mergeGaps(claims []seal.Dropped) (all []seal.Dropped, merged []*entry) {
	for _, e := range s.shelves[Records].items {
		ranges := s.gaps[e.place]
		if e.kind != seal.KindGap || ranges == nil || e.epoch != s.head.epoch {
			continue
		}
		more := append(slices.Clone(claims), ranges...)
		more = coalesce(append(more, loss{e, reasonSuperseded}.claim()))
		if len(more) > seal.MaxDropped {
			continue
		}
		claims, merged = more, append(merged, e)
	}
	return claims, merged
}

// say seals gap items that make the claims.
func (s *Spool) say(claims []seal.Dropped, d seal.Draft) error {
	for ranges := range slices.Chunk(claims, seal.MaxDropped) {
		body, err := json.Marshal(seal.Gap{Dropped: ranges})
		if err != nil {
			return err
		}
		gap := seal.Draft{
			Kind: seal.KindGap, Captured: d.Captured, Clock: d.Clock,
			MediaType: seal.KindGap.MediaType(), Body: body,
		}
		e, err := s.put(gap)
		if errors.Is(err, ErrFull) && s.dropBallast() {
			e, err = s.put(gap)
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.setGap(e.place, ranges)
		s.mu.Unlock()
	}
	return nil
}

// setGap remembers what the gap item at p claims until it is delivered: its body
// cannot be read again, it is encrypted to the owner. The caller holds mu.
func (s *Spool) setGap(p place, ranges []seal.Dropped) {
	s.gaps[p] = ranges
	s.dirty[gapKey(p)] = encodeGap(ranges)
}

func (s *Spool) dropGap(p place) {
	if _, ok := s.gaps[p]; ok {
		delete(s.gaps, p)
		s.dirty[gapKey(p)] = nil
	}
}

// The ballast is a file that makes room for a gap item on a disk that is
// full to the last block: without one nothing may be deleted.
const (
	ballastName = "ballast"
	ballastSize = 128 << 10 // more than the largest gap item with its directory entry
)

// dropBallast says whether there was any.
func (s *Spool) dropBallast() bool {
	if !s.ballast {
		return false
	}
	s.ballast = false
	return s.dir.Remove(ballastName) == nil
}

// restoreBallast writes the ballast if it is not there and the disk has room.
func (s *Spool) restoreBallast() {
	if s.ballast || s.free() < s.budgets.Reserve+2*ballastSize {
		return
	}
	// Not zeros: some file systems would store those in no space at all.
	data := make([]byte, ballastSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // never fails
	if err := s.dir.WriteFile(ballastName, data, 0o600); err != nil {
		s.log.Warn("cannot write the ballast", "error", err)
		return
	}
	s.ballast = true
}
