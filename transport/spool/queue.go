package spool

import "github.com/lensward/lensward/transport/seal"

// The order of delivery is for the caller to make of three questions: what is
// the newest thumbnail, which goes first after a connect; what is the oldest
// record or thumbnail; and, when there are none, the oldest clip part. The
// answers depend on what waits alone, so that a connection that breaks leaves
// nothing to be undone.

// NewestThumbnail returns the newest thumbnail that waits; false if none does.
func (s *Spool) NewestThumbnail() (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := s.shelves[Thumbnails].items
	if len(items) == 0 {
		return Entry{}, false
	}
	return items[len(items)-1].public(s.device), true
}

// Next returns the oldest waiting clip part if parts is set, else the oldest
// record or thumbnail, for which skip is false; false if there is none. skip is
// called with the spool locked and must not call it; nil skips nothing.
func (s *Spool) Next(parts bool, skip func(seal.Ref) bool) (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var next *Entry
	of := []Class{Records, Thumbnails}
	if parts {
		of = []Class{Clips}
	}
	for _, c := range of {
		for _, e := range s.shelves[c].items {
			entry := e.public(s.device)
			if skip != nil && skip(entry.Ref) {
				continue
			}
			if next == nil || e.compare(placeOf(next.Ref)) < 0 {
				next = &entry
			}
			break
		}
	}
	if next == nil {
		return Entry{}, false
	}
	return *next, true
}

// Head returns the end of the chain: the place of the newest item, whether it still waits
// or not. Nothing that waits has a later one. Its Seq is 0 while the chain is empty.
func (s *Spool) Head() seal.Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	return seal.Ref{Device: s.device, Epoch: s.head.epoch, Chain: s.head.chain, Seq: s.head.seq}
}
