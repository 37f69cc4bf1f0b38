package spool

import (
	"errors"
	"fmt"
	"math"

	"github.com/lensward/lensward/transport/seal"
)

// Budgets bound what the spool keeps on disk, in bytes of items.
type Budgets struct {
	// Records, Thumbnails and Clips bound each class.
	Records, Thumbnails, Clips int64
	// Total bounds all of them together; 0 is the sum of the three.
	Total int64
	// Reserve is how much of the disk clips and thumbnails leave free for others.
	// Records may use it.
	Reserve int64
	// Aside bounds the items that were refused or damaged.
	Aside int64
}

// DefaultBudgets suit a card of some gigabytes: about ten minutes of 720p video
// and three thousand thumbnails.
func DefaultBudgets() Budgets {
	return Budgets{
		Records: 32 << 20, Thumbnails: 64 << 20, Clips: 512 << 20,
		Reserve: 16 << 20, Aside: 4 << 20,
	}
}

func (b Budgets) check() error {
	if b.Records <= 0 || b.Thumbnails <= 0 || b.Clips <= 0 || b.Total < 0 || b.Reserve < 0 || b.Aside < 0 {
		return errors.New("each budget must be above 0; the total, the reserve and what is set aside not below")
	}
	return nil
}

func (b Budgets) total() int64 {
	if b.Total == 0 {
		return b.Records + b.Thumbnails + b.Clips
	}
	return b.Total
}

func (b Budgets) of(c Class) int64 {
	switch c {
	case Records:
		return b.Records
	case Thumbnails:
		return b.Thumbnails
	default:
		return b.Clips
	}
}

const (
	// spare is the share of a budget, as a divisor, that is freed beyond what is
	// needed, so that there are few gap items.
	spare = 10
	// maxCheckpoints is how many checkpoints may wait: the newest says all that the
	// older ones did.
	maxCheckpoints = 16
)

// estimate is about how large the item of d will be: the usual envelope with one
// hybrid recipient.
func estimate(d seal.Draft) int64 {
	n := int64(len(d.Body))
	return n + n/4096 + 3<<10
}

// room is what an item needs and what there is.
type room struct {
	class Class
	need  int64
	event seal.EventID // of the item; its clip makes no room for its own parts
	free  int64        // on the disk
}

// plan is what has to go to make room, oldest first.
type plan struct {
	victims []*entry
	reason  string
	taken   map[*entry]bool
	freed   int64
}

func (p *plan) take(e *entry) {
	if !p.taken[e] {
		p.taken[e] = true
		p.victims = append(p.victims, e)
		p.freed += e.size
	}
}

// plan says what must go for an item, or ErrFull if that would not be enough or
// would be worth more than the item. It changes nothing. The caller holds mu.
func (s *Spool) plan(r room) (*plan, error) {
	p := &plan{taken: map[*entry]bool{}, reason: reasonBudget}
	limit := s.budgets.of(r.class)
	if over := s.shelves[r.class].bytes + r.need - limit; over > 0 {
		s.takeOwn(p, r, over, limit/spare)
		if p.freed < over {
			return nil, fmt.Errorf("%w: %s need %d bytes more than their budget of %d", ErrFull, r.class, over-p.freed, limit)
		}
	}
	if over := s.used() + r.need - s.budgets.total(); over > p.freed {
		s.takeLesser(p, r, over, s.budgets.total()/spare)
		if p.freed < over {
			return nil, fmt.Errorf("%w: %d bytes more than the total budget of %d", ErrFull, over-p.freed, s.budgets.total())
		}
	}
	if over := s.budgets.Reserve + r.need - r.free; over > p.freed {
		before := len(p.victims)
		s.takeLesser(p, r, over, s.used()/spare)
		switch {
		case p.freed >= over:
			p.reason = reasonFull
		case r.class == Records:
			p.victims = p.victims[:before] // it would not help; a record may use the reserve
		default:
			return nil, fmt.Errorf("%w: %d bytes free on the disk, %d are kept in reserve", ErrFull, r.free, s.budgets.Reserve)
		}
	}
	return p, nil
}

// takeOwn takes entries of the item's own class: at least over bytes if there
// are as many, and some more.
func (s *Spool) takeOwn(p *plan, r room, over, more int64) {
	switch r.class {
	case Records:
		s.takeCheckpoints(p)
	case Thumbnails:
		s.takeThumbnails(p, over+more)
	case Clips:
		s.takeClips(p, over+more, r.event)
	}
}

// takeLesser takes what is worth no more than the item: clips, and only if they
// are not enough the oldest thumbnails.
func (s *Spool) takeLesser(p *plan, r room, over, more int64) {
	if r.class == Clips {
		s.takeClips(p, over+more, r.event)
		return
	}
	s.takeClips(p, over+more, seal.EventID{})
	if p.freed < over {
		s.takeThumbnails(p, over+s.budgets.Thumbnails/spare)
	}
}

func (s *Spool) takeThumbnails(p *plan, goal int64) {
	for _, e := range s.shelves[Thumbnails].items {
		if p.freed >= goal {
			return
		}
		p.take(e)
	}
}

// takeClips takes whole clips, the one that began first before all others: what
// has been delivered of a clip then stays a beginning without holes.
func (s *Spool) takeClips(p *plan, goal int64, except seal.EventID) {
	parts := map[seal.EventID][]*entry{}
	var order []seal.EventID
	for _, e := range s.shelves[Clips].items {
		if parts[e.event] == nil {
			order = append(order, e.event)
		}
		parts[e.event] = append(parts[e.event], e)
	}
	for _, event := range order {
		if p.freed >= goal {
			return
		}
		if event == except {
			continue
		}
		for _, e := range parts[event] {
			p.take(e)
		}
	}
}

// takeCheckpoints takes all checkpoints but the newest.
func (s *Spool) takeCheckpoints(p *plan) {
	var newest *entry
	for _, e := range s.shelves[Records].items {
		if e.kind != seal.KindCheckpoint {
			continue
		}
		if newest != nil {
			p.take(newest)
		}
		newest = e
	}
}

// used is what the items on disk take. The caller holds mu.
func (s *Spool) used() int64 {
	var n int64
	for c := range s.shelves {
		n += s.shelves[c].bytes
	}
	if s.kept != nil {
		n += s.kept.size
	}
	return n
}

// makeRoom drops what has to go before d is sealed, and says what is owed.
func (s *Spool) makeRoom(d seal.Draft) error {
	if err := s.tidy(d); err != nil {
		return err
	}
	r := room{class: ClassOf(d.Kind), need: estimate(d), event: d.Event, free: s.free()}
	s.mu.Lock()
	p, err := s.plan(r)
	s.mu.Unlock()
	if err != nil || len(p.victims) == 0 {
		return err
	}
	return s.evict(p.victims, p.reason, d)
}

// makeRoomOnDisk drops what has to go after the disk itself was found full.
func (s *Spool) makeRoomOnDisk(d seal.Draft, cause error) error {
	r := room{class: ClassOf(d.Kind), event: d.Event, need: estimate(d)}
	p := &plan{taken: map[*entry]bool{}}
	s.mu.Lock()
	s.takeLesser(p, r, r.need, s.used()/spare)
	s.mu.Unlock()
	if p.freed < r.need {
		return cause
	}
	return s.evict(p.victims, reasonFull, d)
}

// tidy writes the gap items that are due for other reasons than room: too many
// checkpoints wait, or items were set aside and nobody has been told.
func (s *Spool) tidy(d seal.Draft) error {
	s.mu.Lock()
	p := &plan{taken: map[*entry]bool{}}
	waiting := 0
	for _, e := range s.shelves[Records].items {
		if e.kind == seal.KindCheckpoint {
			waiting++
		}
	}
	if waiting >= maxCheckpoints {
		s.takeCheckpoints(p)
	}
	due := s.explanationDue(d.Kind)
	s.mu.Unlock()
	if len(p.victims) == 0 && !due {
		return nil
	}
	err := s.evict(p.victims, reasonSuperseded, d)
	if errors.Is(err, ErrFull) {
		return nil // no room to say so: both wait
	}
	return err
}

// free is how much the disk has left; where that cannot be told, the writes
// themselves will.
func (s *Spool) free() int64 {
	n, err := s.dir.Free()
	if err != nil {
		s.log.Warn("cannot tell the free space", "error", err)
		return math.MaxInt64
	}
	return n
}

// refused remembers that an item found no room.
func (s *Spool) refused(d seal.Draft, err error) {
	if !errors.Is(err, ErrFull) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := ClassOf(d.Kind)
	if s.full[c].need == 0 {
		s.log.Warn("the spool is full", "class", c, "error", err)
	}
	s.full[c] = room{class: c, need: estimate(d), event: d.Event}
	s.counts.Refused++
}
