package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// reasonOwnership is why a gap item names what its owner before did not get.
const reasonOwnership = "ownership"

// ErrEnded: the chain has ended with its ownership. Nothing is appended before Rebind to
// another one.
var ErrEnded = errors.New("the chain has ended with its ownership")

// An ownership's chain ends with a gap item that names all that was not delivered of it; it
// takes several if there is much. The last of them is written last, under a name of its
// own: epoch-chain-seq-end.lwi. That file is what ends the chain. Before it is there nothing
// is dropped, and the end is made anew; once it is there, everything but the gap items goes,
// also what a power cut brought back. Gap items that waited already stay as well: what they
// say may be known to nobody any more.
const endMark = "-end"

// name is the name of the entry's blob.
func (e *entry) name() string {
	if e.end {
		return e.place.endName()
	}
	return e.place.name()
}

func (p place) endName() string { return strings.TrimSuffix(p.name(), blobExt) + endMark + blobExt }

// parseEnd reads what endName writes, and only that.
func parseEnd(name string) (place, bool) {
	stem, ok := strings.CutSuffix(name, endMark+blobExt)
	if !ok {
		return place{}, false
	}
	return parseName(stem + blobExt)
}

// parseBlob reads the name of any item's blob.
func parseBlob(name string) (p place, end, ok bool) {
	if p, ok = parseName(name); ok {
		return p, false, true
	}
	p, ok = parseEnd(name)
	return p, ok, ok
}

// findEnd finds by its name the newest item up to epoch that ended a chain, or zero.
func findEnd(names []string, epoch uint64) place {
	var newest place
	for _, name := range names {
		if p, ok := parseEnd(name); ok && p.epoch <= epoch && p.compare(newest) > 0 {
			newest = p
		}
	}
	return newest
}

// stays says whether an item outlives the end of its chain.
func (s *Spool) stays(e *entry) bool { return e.kind == seal.KindGap && e.epoch == s.ended.epoch }

// End ends the chain because the device's ownership has ended: gap items that name all
// that waits are put on stable storage, then what they name is dropped. What is left waits
// for delivery. Append is ErrEnded from now on, also where End fails; it may be called
// again, and does nothing when the chain has ended.
func (s *Spool) End(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return fmt.Errorf("end the chain: %w", err)
	}
	defer s.give()
	if err := s.end(); err != nil {
		return fmt.Errorf("end the chain: %w", err)
	}
	return nil
}

// Ended says whether the chain has ended.
func (s *Spool) Ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// end does what End says. The caller has the turn.
func (s *Spool) end() error {
	s.mu.Lock()
	s.closing = true
	done := s.ended.epoch == s.head.epoch
	var chunks [][]seal.Dropped
	if !done {
		chunks = slices.Collect(slices.Chunk(coalesce(s.lastClaims()), seal.MaxDropped))
	}
	s.mu.Unlock()
	for i, ranges := range chunks {
		if err := s.sayEnd(ranges, i == len(chunks)-1); err != nil {
			return fmt.Errorf("write gap item before the owner's items are dropped: %w", err)
		}
	}
	s.mu.Lock()
	if len(chunks) > 0 {
		s.ended = s.head.place
	}
	s.dropEnded()
	s.mu.Unlock()
	s.flush(true)
	s.restoreBallast()
	return nil
}

// lastClaims name all that waits, and what was not explained yet. Where that is nothing,
// they name the newest item: a gap item has to name something, and one that is there
// overrides it. They are empty only where nothing was ever sealed. The caller holds mu.
func (s *Spool) lastClaims() []seal.Dropped {
	var claims []seal.Dropped
	for c := range s.shelves {
		for _, e := range s.shelves[c].items {
			if e.epoch == s.head.epoch && e.kind != seal.KindGap {
				claims = append(claims, loss{e, reasonOwnership}.claim())
			}
		}
	}
	for _, a := range s.owed() {
		claims = append(claims, loss{a.entry, a.gapReason()}.claim())
		claims = append(claims, s.gaps[a.place]...)
	}
	newest := s.kept
	if newest == nil {
		newest = s.topEntry()
	}
	if len(claims) == 0 && newest != nil && !newest.hash.IsZero() {
		claims = append(claims, loss{newest, reasonOwnership}.claim())
	}
	return claims
}

// sayEnd seals one of the gap items that end the chain, or the last of them.
func (s *Spool) sayEnd(ranges []seal.Dropped, last bool) error {
	body, err := json.Marshal(seal.Gap{Dropped: ranges})
	if err != nil {
		return err
	}
	at, trust := s.now()
	gap := seal.Draft{
		Kind: seal.KindGap, Captured: at, Clock: trust, MediaType: seal.KindGap.MediaType(), Body: body,
	}
	e, err := s.putAs(gap, last)
	if errors.Is(err, ErrFull) && s.dropBallast() {
		e, err = s.putAs(gap, last)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setGap(e.place, ranges)
	return nil
}

// dropEnded drops everything but the gap items of the chain that has ended. The caller holds mu and the turn.
func (s *Spool) dropEnded() {
	var names []string
	for c := range s.shelves {
		var left shelf
		for _, e := range s.shelves[c].items {
			if s.stays(e) {
				left.add(e)
				continue
			}
			names = append(names, e.name())
			s.counts.Disowned++
		}
		s.shelves[c] = left
	}
	if s.kept != nil && !s.stays(s.kept) {
		names = append(names, s.kept.name())
		s.kept = nil
	}
	var refused []string
	for _, a := range s.aside {
		refused = append(refused, a.name())
	}
	if err := errors.Join(s.dir.RemoveAll(names), s.asideDir.RemoveAll(refused)); err != nil {
		s.log.Warn("cannot remove an earlier owner's items; done at the next start", "error", err)
	}
	s.aside = nil
	for p := range s.gaps {
		if s.at(p) == nil {
			delete(s.gaps, p)
		}
	}
	s.rewrite = true
	s.notify()
}

// begin begins the chain of another ownership. The caller holds mu and the turn.
func (s *Spool) begin(epoch uint64) {
	if err := s.resolve(); err != nil { // an item of the owner before, of which nobody is to hear
		s.log.Warn("cannot remove an earlier owner's item; done at the next start", "error", err)
		s.unresolved = ""
	}
	if s.kept != nil {
		s.discard(s.kept)
		s.kept = nil
	}
	s.head = head{place: place{epoch: epoch, chain: s.boot}}
	s.closing = false
	s.counts.restart()
	s.rewrite = true
	s.notify()
}

// openFormer opens a spool that may not have heard of the ownership that it is opened for:
// the chain of the one before is ended first.
func openFormer(ctx context.Context, o Options) (*Spool, error) {
	before := o
	before.Sealer, before.Former = o.Former, nil
	s, err := openOne(ctx, before)
	if errors.Is(err, ErrEpoch) { // it has, and has gone on
		return openOne(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	if err := s.Rebind(ctx, o.Sealer); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Lingers says whether items of the owner before wait for delivery.
func (s *Spool) Lingers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lingering()) > 0
}

// Abandon drops what waits of the owner before, where it cannot be delivered any more: the
// hub that would take it is no longer the camera's, and another one is none of its business.
func (s *Spool) Abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := s.lingering()
	for _, e := range gone {
		s.unshelve(e)
		s.dropGap(e.place)
		s.discard(e)
	}
	if len(gone) > 0 {
		s.log.Info("the end of the chain of the owner before is dropped", "items", len(gone))
		s.notify()
	}
}

// lingering are the items of the owner before. The caller holds mu.
func (s *Spool) lingering() []*entry {
	var all []*entry
	for c := range s.shelves {
		for _, e := range s.shelves[c].items {
			if e.epoch < s.head.epoch {
				all = append(all, e)
			}
		}
	}
	return all
}

func unsetClock() (time.Time, seal.ClockTrust) { return time.Now(), seal.ClockUnset }
