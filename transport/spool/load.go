package spool

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/lensward/lensward/transport/seal"
)

// reasonForeign marks items of another device, found when the key was replaced.
const reasonForeign = "foreign"

// load fills the spool from its directory. The blobs are the truth; the index
// spares reading those that it knows with the same size.
func (s *Spool) load(ctx context.Context) error {
	s.head.epoch = s.sealer.Binding().Epoch
	names, err := s.dir.Names()
	if err != nil {
		return err
	}
	s.ended = findEnd(names, s.head.epoch)
	s.closing = s.ended.epoch == s.head.epoch
	index := s.loadIndex()
	if err := s.loadAside(ctx, index); err != nil {
		return err
	}
	if err := s.loadBlobs(ctx, names, index); err != nil {
		return err
	}
	if err := s.findHead(); err != nil {
		return err
	}
	s.loadGaps(index)
	s.keepHead()
	s.trimAside()
	s.forgetStale(index)
	_, err = os.Lstat(s.dir.Path(ballastName))
	s.ballast = err == nil
	s.restoreBallast()
	s.flush(s.rewrite)
	return nil
}

// loadAside lists what was set aside, this owner's items.
func (s *Spool) loadAside(ctx context.Context, index map[string][]byte) error {
	names, err := s.asideDir.Names()
	if err != nil {
		return err
	}
	var earlier []string
	for _, name := range names {
		p, reason, ok := parseAside(name)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !ok:
			s.log.Warn("not an item, left alone", "file", s.asideDir.Path(name))
		case p.epoch < s.head.epoch && reason != reasonForeign:
			earlier = append(earlier, name)
		default:
			s.aside = append(s.aside, s.readAside(p, reason, name, index))
		}
	}
	if err := s.asideDir.RemoveAll(earlier); err != nil {
		s.log.Warn("cannot remove an earlier owner's items", "error", err)
	}
	return nil
}

// readAside describes an item that was set aside, as well as index and file allow.
func (s *Spool) readAside(p place, reason, name string, index map[string][]byte) *aside {
	path := s.asideDir.Path(name)
	a := &aside{entry: &entry{place: p}, reason: reason}
	if e, flags, ok := decodeEntry(p, index[keyAside+p.key()]); ok {
		a.entry, a.explained = e, flags&flagExplained != 0
	} else if it, err := readHeader(path); err == nil && placeOf(it.Header.Ref()) == p && it.VerifyEnvelope() == nil {
		a.entry = entryOf(it)
		s.noteAside(a)
	}
	if info, err := os.Lstat(path); err == nil {
		a.size = info.Size()
	}
	a.explained = a.explained || !s.explicable(a)
	return a
}

// explicable says whether a gap item can name the item: that takes both its
// hashes, and another device's or owner's items are not to be explained.
func (s *Spool) explicable(a *aside) bool {
	return a.reason != reasonForeign && !a.hash.IsZero() && a.epoch == s.head.epoch
}

// loadBlobs lists the blobs, and puts what does not belong out of the way.
func (s *Spool) loadBlobs(ctx context.Context, names []string, index map[string][]byte) error {
	was := map[place]bool{}
	for _, a := range s.aside {
		was[a.place] = a.reason != reasonForeign
	}
	var remove []string
	for _, name := range names {
		p, end, ok := parseBlob(name)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !ok: // the index, the ballast, or a stranger's file
		case (s.closing || p.epoch < s.head.epoch) && p.epoch <= s.head.epoch && !s.outlives(p, name, index):
			remove = append(remove, name)
			s.counts.Disowned++
		case was[p]: // a power cut in the middle of its move
			remove = append(remove, name)
		default:
			if err := s.loadBlob(p, end, index); err != nil {
				return err
			}
		}
	}
	if len(remove) == 0 {
		return nil
	}
	if err := s.dir.RemoveAll(remove); err != nil {
		s.log.Warn("cannot remove an earlier owner's items", "error", err)
	}
	return nil
}

// outlives says whether a blob outlived the end of its chain: it is a gap item of the one
// that ended last. Others are here because of a power cut.
func (s *Spool) outlives(p place, name string, index map[string][]byte) bool {
	if p.epoch != s.ended.epoch || p == s.ended {
		return p == s.ended
	}
	if known, _, ok := decodeEntry(p, index[itemKey(p)]); ok {
		return s.stays(known)
	}
	it, err := readHeader(s.dir.Path(name))
	return err == nil && s.stays(entryOf(it))
}

// loadBlob takes one blob in, from the index if that knows it.
func (s *Spool) loadBlob(p place, end bool, index map[string][]byte) error {
	name := (&entry{place: p, end: end}).name()
	path := s.dir.Path(name)
	known, _, ok := decodeEntry(p, index[itemKey(p)])
	if ok && p.epoch == s.head.epoch {
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if known.end = end; info.Size() == known.size {
			s.shelves[known.class()].add(known)
			return nil
		}
	}
	it, err := readHeader(path)
	switch {
	case err != nil && !isDamage(err):
		return err
	case err == nil && it.Header.Device != s.device:
		s.log.Warn("an item of another device is set aside", "item", name, "device", it.Header.Device.Short())
		e := entryOf(it)
		e.place, e.end = p, end
		s.loadAway(&aside{entry: e, reason: reasonForeign, explained: true})
		return nil
	case err == nil && placeOf(it.Header.Ref()) != p:
		err = fmt.Errorf("%w: it is item %s", ErrCorrupt, it.Header.Ref())
	case err == nil && p.epoch > s.head.epoch:
		return fmt.Errorf("epoch %d, and item %s: %w", s.head.epoch, name, ErrEpoch)
	case err == nil:
		e := entryOf(it)
		e.end = end
		s.shelve(e)
		return nil
	}
	if !ok {
		known = &entry{place: p}
	}
	known.end = end
	s.loadDamaged(known, err)
	return nil
}

// loadDamaged sets a damaged blob aside. e is what is known of it.
func (s *Spool) loadDamaged(e *entry, cause error) {
	a := &aside{entry: e, reason: reasonCorrupt}
	a.explained = !s.explicable(a)
	s.log.Error("a spooled item is damaged; it is set aside", "item", e.name(), "error", cause, "header_known", !a.explained)
	s.counts.Corrupt++
	s.loadAway(a)
}

// loadAway sets a blob aside. One that cannot be moved is left where it is until
// the next Open, and not delivered.
func (s *Spool) loadAway(a *aside) {
	if err := s.moveAside(a); err != nil {
		s.log.Warn("cannot move an item aside", "item", a.place.name(), "error", err)
	}
	s.dropNote(a.entry)
	s.addAside(a)
}

// findHead finds where the chain goes on: after the newest item of which
// anything is on disk. If that one cannot be read, its place may have been
// signed for and shown to others: then a new chain begins.
func (s *Spool) findHead() error {
	for {
		top := s.topEntry()
		if top == nil {
			s.head.chain = s.boot
			return nil
		}
		if top.hash.IsZero() {
			return s.newChain(top.place)
		}
		if s.inAside(top) || s.checkHead(top) {
			s.head = head{top.place, top.hash}
			return nil
		}
	}
}

// newChain begins a chain because the head of the one before is lost.
func (s *Spool) newChain(lost place) error {
	if s.boot <= lost.chain {
		return fmt.Errorf("boot %d, and chain %d has lost its head: %w", s.boot, lost.chain, ErrBoot)
	}
	s.log.Error("the head of the chain is lost; a new chain begins", "lost", lost.name(), "chain", s.boot)
	s.head.chain = s.boot
	s.counts.restart()
	return nil
}

// topEntry returns the entry at the newest place, or nil when there is none.
func (s *Spool) topEntry() *entry {
	top := s.top()
	if e := s.at(top); e != nil {
		return e
	}
	for _, a := range s.aside {
		if a.place == top && a.reason != reasonForeign {
			return a.entry
		}
	}
	return nil
}

func (s *Spool) inAside(e *entry) bool {
	for _, a := range s.aside {
		if a.entry == e {
			return true
		}
	}
	return false
}

// checkHead says whether the blob of the head is what e says. One that is
// damaged is set aside; what the index knew of it still holds.
func (s *Spool) checkHead(e *entry) bool {
	it, err := readHeader(s.dir.Path(e.name()))
	if err == nil {
		err = it.VerifyEnvelope()
	}
	if err == nil && (it.Header.Device != s.device || placeOf(it.Header.Ref()) != e.place) {
		err = fmt.Errorf("%w: it is item %s", ErrCorrupt, it.Header.Ref())
	}
	if err == nil && it.Hash() == e.hash {
		return true
	}
	s.unshelve(e)
	switch {
	case err == nil:
		right := entryOf(it) // the index was wrong; the signature is not
		right.end = e.end
		s.shelve(right)
	case e.cached:
		s.loadDamaged(e, err)
	default:
		s.loadDamaged(&entry{place: e.place, end: e.end}, err)
	}
	return false
}

// keepHead takes delivered items off the shelves: the head's blob stays, others
// are left from a power cut and go.
func (s *Spool) keepHead() {
	for c := range s.shelves {
		for _, e := range append([]*entry(nil), s.shelves[c].items...) {
			switch {
			case !e.delivered:
			case e.place == s.head.place:
				s.unshelve(e)
				s.kept = e
			default:
				s.unshelve(e)
				s.discard(e)
			}
		}
	}
}

// loadGaps takes from the index what gap items claim that wait, or were refused.
func (s *Spool) loadGaps(index map[string][]byte) {
	load := func(p place) {
		var ranges []seal.Dropped
		if b := index[gapKey(p)]; b != nil && json.Unmarshal(b, &ranges) == nil {
			s.gaps[p] = ranges
		}
	}
	for _, e := range s.shelves[Records].items {
		load(e.place)
	}
	for _, a := range s.aside {
		if !a.explained {
			load(a.place)
		}
	}
}

// forgetStale has the index forget items whose blobs are gone.
func (s *Spool) forgetStale(index map[string][]byte) {
	have := map[string]bool{keyFacts: true}
	for c := range s.shelves {
		for _, e := range s.shelves[c].items {
			have[itemKey(e.place)] = true
		}
	}
	if s.kept != nil {
		have[itemKey(s.kept.place)] = true
	}
	for _, a := range s.aside {
		have[asideKey(a)] = true
	}
	for p := range s.gaps {
		have[gapKey(p)] = true
	}
	for key := range index {
		if !have[key] {
			s.dirty[key] = nil
		}
	}
}
