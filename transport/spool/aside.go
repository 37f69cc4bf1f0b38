package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/lensward/lensward/transport/seal"
)

// asideName is the directory of items that are not sent any more.
const asideName = "aside"

// maxReason is the longest reason, in bytes.
const maxReason = 40

// maxOwed is how many items may be set aside before a gap item says so; a
// checkpoint or an eviction has it said earlier.
const maxOwed = 64

// Refused is an item that was set aside, and why.
type Refused struct {
	Entry
	// Reason is a word such as "wrong-epoch", from the hub, or "corrupt".
	Reason string
}

// aside is an item in the aside directory.
type aside struct {
	*entry    // hash, prev and kind are zero where the header could not be read
	reason    string
	explained bool // a gap item names it, or nothing needs to
}

// name is epoch-chain-seq.reason.lwi: the reason is in the name so that it needs
// no index.
func (a *aside) name() string { return asideFile(a.place, a.reason) }

func asideFile(p place, reason string) string {
	return strings.TrimSuffix(p.name(), blobExt) + "." + reason + blobExt
}

// parseAside reads what name writes, and only that.
func parseAside(name string) (p place, reason string, ok bool) {
	stem, reason, found := strings.Cut(strings.TrimSuffix(name, blobExt), ".")
	p, ok = parseName(stem + blobExt)
	if !found || !ok || reason != reasonWord(reason) || asideFile(p, reason) != name {
		return place{}, "", false
	}
	return p, reason, true
}

// reasonWord makes a reason fit for a file's name: at most 40 of a-z, 0-9 and
// hyphen.
func reasonWord(s string) string {
	word := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return '-'
		}
	}, s)
	word = strings.Trim(word[:min(len(word), maxReason)], "-")
	if word == "" {
		return "unknown"
	}
	return word
}

// gapReason is what a gap item gives as the reason.
func (a *aside) gapReason() string {
	if a.reason == reasonCorrupt {
		return reasonCorrupt
	}
	return reasonRefused
}

// SetAside takes an item that the hub refused for good out of the queue, and
// keeps it, within its budget, for whoever looks into the matter. reason is a
// word; what does not fit a file's name becomes hyphens. A later gap item tells
// the owner. An item that is not there is no error.
func (s *Spool) SetAside(ref seal.Ref, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(ref)
	if e == nil {
		return nil
	}
	word := reasonWord(reason)
	if word == reasonCorrupt || word == reasonForeign {
		word = "hub-" + word // those two are what the spool itself finds
	}
	if err := s.setAside(e, word); err != nil {
		return fmt.Errorf("set %s aside: %w", ref, err)
	}
	return nil
}

// setAside moves a waiting item. If the move fails the item is out of the queue
// all the same, until the next Open. The caller holds mu.
func (s *Spool) setAside(e *entry, reason string) error {
	s.unshelve(e)
	s.dropNote(e)
	a := &aside{entry: e, reason: reason}
	a.explained = !s.explicable(a)
	err := s.moveAside(a)
	s.addAside(a)
	s.count(reason)
	s.trimAside()
	s.notify()
	return err
}

func (s *Spool) moveAside(a *aside) error {
	err := s.dir.Move(a.entry.name(), s.asideDir, a.name())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it vanished; that it did is still to be said
	}
	return err
}

func (s *Spool) count(reason string) {
	if reason == reasonCorrupt {
		s.counts.Corrupt++
	} else {
		s.counts.Aside++
	}
}

func (s *Spool) addAside(a *aside) {
	s.aside = append(s.aside, a)
	s.noteAside(a)
}

// trimAside deletes the oldest items that were set aside, down to the budget,
// but none that still has to be explained, and not the newest of the chain.
func (s *Spool) trimAside() {
	var bytes int64
	for _, a := range s.aside {
		bytes += a.size
	}
	if bytes <= s.budgets.Aside {
		return
	}
	top := s.top()
	var names []string
	s.aside = slices.DeleteFunc(s.aside, func(a *aside) bool {
		if bytes <= s.budgets.Aside || !a.explained || a.compare(top) >= 0 {
			return false
		}
		bytes -= a.size
		names = append(names, a.name())
		s.dirty[asideKey(a)] = nil
		return true
	})
	if err := s.asideDir.Discard(names); err != nil {
		s.log.Warn("cannot delete items that were set aside", "error", err)
	}
}

// top is the newest place of the ownership of which anything is on disk. The caller holds mu.
func (s *Spool) top() place {
	var top place
	consider := func(p place) {
		if p.epoch == s.head.epoch && p.compare(top) > 0 {
			top = p
		}
	}
	for c := range s.shelves {
		if n := len(s.shelves[c].items); n > 0 { // an earlier owner's come first
			consider(s.shelves[c].items[n-1].place)
		}
	}
	if s.kept != nil {
		consider(s.kept.place)
	}
	for _, a := range s.aside {
		if a.reason != reasonForeign {
			consider(a.place)
		}
	}
	return top
}

// owed lists what was set aside and is yet to be named in a gap item. The caller
// holds mu.
func (s *Spool) owed() []*aside {
	var owed []*aside
	for _, a := range s.aside {
		if !a.explained {
			owed = append(owed, a)
		}
	}
	return owed
}

// explanationDue says whether a gap item should be written for what is owed
// before an item of kind k. The caller holds mu.
func (s *Spool) explanationDue(k seal.Kind) bool {
	owed := s.owed()
	var bytes int64
	for _, a := range s.aside {
		bytes += a.size
	}
	return len(owed) > 0 && (k == seal.KindCheckpoint || len(owed) >= maxOwed || bytes > s.budgets.Aside)
}

// Aside lists the items that were set aside, oldest first.
func (s *Spool) Aside() []Refused {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Refused, 0, len(s.aside))
	for _, a := range s.aside {
		out = append(out, Refused{a.public(s.device), a.reason})
	}
	slices.SortFunc(out, func(a, b Refused) int { return placeOf(a.Ref).compare(placeOf(b.Ref)) })
	return out
}
