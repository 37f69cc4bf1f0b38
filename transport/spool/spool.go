// Package spool is the one queue between the camera and its hub: every sealed
// item that no receipt has come for yet, and the head of the chain that the next
// one is sealed into.
//
// It owns the blob files, the index beside them, the order of delivery, what is
// dropped when there is no room, and the gap items that say so. It never sends
// anything, never deletes an item on less than a receipt, a gap item that names
// it or a change of owner, never signs two items for one place, and never reads
// a body. docs/ref/spool.md describes the files, docs/design/spool.md the reasons.
package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/seal"
)

// Errors that a caller may have to tell apart.
var (
	// ErrFull: there is no room for the item, and nothing of less worth to drop. The
	// spool is as it was; a later Append may succeed.
	ErrFull = errors.New("spool is full")
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("spool is closed")
	// ErrGone: the item is no longer in the spool.
	ErrGone = errors.New("item is not in the spool")
	// ErrCorrupt: the item's file was damaged; it has been set aside.
	ErrCorrupt = errors.New("item is damaged")
	// ErrMismatch: the hash is not that of the item at this place.
	ErrMismatch = errors.New("hash is of another item")
	// ErrEpoch: the ownership is older than items that the spool already has.
	ErrEpoch = errors.New("ownership is older than what the spool holds")
	// ErrBoot: a new chain is due and the boot counter has already named one.
	ErrBoot = errors.New("boot counter is not above the chains in the spool")
)

// Sealer puts a draft into its place in the chain. *seal.Sealer is one.
type Sealer interface {
	Seal(seal.Draft, seal.Link) (*seal.Item, error)
	Device() seal.ID
	Binding() seal.Binding
}

// Options are what a spool needs to open.
type Options struct {
	// Dir is the spool's own directory; it is made if it is missing.
	Dir string
	// Sealer seals for the device and its present owner.
	Sealer Sealer
	// Former seals for the owner before, where the spool may not have heard yet that the
	// ownership has changed: what ends their chain is sealed by it. Without it what is
	// left of theirs is dropped without a word.
	Former Sealer
	// Boot counts the device's starts, from 1. It must be greater at each Open than
	// ever before, also when the spool's directory was lost: it names a new chain
	// when the head of the old one cannot be read.
	Boot uint64
	// Budgets bound what the spool keeps. The zero value is DefaultBudgets.
	Budgets Budgets
	// Now gives the time that a gap item has which ends a chain, and how far it can be
	// trusted; nil is a clock that was never set.
	Now func() (time.Time, seal.ClockTrust)
	// Log is told of what was repaired, refused or dropped. nil discards.
	Log *slog.Logger

	disk []durable.Option // tests break the disk with these
}

// Spool is an open spool. Its methods may be called by several goroutines.
type Spool struct {
	dir, asideDir *durable.Dir
	device        seal.ID
	boot          uint64
	budgets       Budgets
	now           func() (time.Time, seal.ClockTrust)
	log           *slog.Logger
	unlock        func() error

	// turn is held by whoever changes the chain; it guards the fields below it.
	turn       chan struct{}
	closed     bool
	index      *index // nil while there is none to be had
	flushed    time.Time
	ballast    bool
	unresolved string // a blob that may or may not be on disk; to be removed before its place is used

	// mu guards what follows, and is held for short: never while sealing or in an
	// Append's fsync.
	mu      sync.Mutex
	sealer  Sealer
	head    head
	closing bool           // nothing more is appended to the chain: it has ended, or is to
	ended   place          // of the item that ended a chain last, this one's or that of the owner before
	shelves [classes]shelf // what waits for delivery
	kept    *entry         // the newest blob, when it needs no delivery any more
	gaps    map[place][]seal.Dropped
	aside   []*aside
	counts  counts
	full    [classes]room     // what was refused last; its need is 0 for nothing
	dirty   map[string][]byte // what the index does not say yet, by its key; nil deletes
	rewrite bool              // the index is to be written anew
	changed chan struct{}     // closed and replaced at every change
}

// head is the end of the chain: the place and the hash of its newest item.
// Before the first item of a chain its seq is 0.
type head struct {
	place
	hash seal.Hash
}

// Open opens the spool in o.Dir, or makes it, and repairs what a power cut or a
// bad disk has left: damaged blobs are set aside, a damaged index is renamed and
// made anew from the blobs. Items of an earlier owner are dropped, but for those that
// ended their chain. It holds a lock on the directory until Close; durable.ErrLocked says
// that another has it.
func Open(ctx context.Context, o Options) (*Spool, error) {
	if o.Former != nil && o.Sealer != nil && o.Former.Binding().Epoch < o.Sealer.Binding().Epoch {
		return openFormer(ctx, o)
	}
	return openOne(ctx, o)
}

func openOne(ctx context.Context, o Options) (*Spool, error) {
	s, err := newSpool(o)
	if err != nil {
		return nil, fmt.Errorf("open spool %s: %w", o.Dir, err)
	}
	if err := s.load(ctx); err != nil {
		s.index.close()
		return nil, fmt.Errorf("open spool %s: %w", o.Dir, errors.Join(err, s.unlock()))
	}
	return s, nil
}

func newSpool(o Options) (*Spool, error) {
	if o.Sealer == nil || o.Boot == 0 {
		return nil, errors.New("a sealer and a boot counter are needed")
	}
	if o.Budgets == (Budgets{}) {
		o.Budgets = DefaultBudgets()
	}
	if err := o.Budgets.check(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = unsetClock
	}
	dir, err := durable.Open(o.Dir, o.disk...)
	if err != nil {
		return nil, err
	}
	unlock, err := dir.Lock()
	if err != nil {
		return nil, err
	}
	asideDir, err := durable.Open(filepath.Join(o.Dir, asideName), o.disk...)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	return &Spool{
		dir: dir, asideDir: asideDir, device: o.Sealer.Device(), boot: o.Boot, budgets: o.Budgets,
		now: o.Now, log: o.Log, unlock: unlock, turn: make(chan struct{}, 1), sealer: o.Sealer, flushed: time.Now(),
		gaps: map[place][]seal.Dropped{}, dirty: map[string][]byte{}, changed: make(chan struct{}),
	}, nil
}

// take waits for the turn; the caller gives it back with s.give.
func (s *Spool) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.closed {
		s.give()
		return ErrClosed
	}
	return nil
}

func (s *Spool) give() { <-s.turn }

// Append seals d into the next place of the chain and has it on stable storage
// when it returns. Where budgets or the disk leave no room it first drops what
// is worth less and says so in a gap item; if that is not enough the error is
// ErrFull. After an error the item is not in the spool and its place is free,
// unless the disk failed in a way that leaves this unknown: then the place is
// not used before the file is known to be gone, and if the process ends before
// that, the item may be there after the next Open. After End it is ErrEnded.
//
// ctx ends the wait for other Appends, not the write.
func (s *Spool) Append(ctx context.Context, d seal.Draft) (Entry, error) {
	if err := s.take(ctx); err != nil {
		return Entry{}, fmt.Errorf("append %s: %w", d.Kind, err)
	}
	defer s.give()
	if s.Ended() {
		return Entry{}, fmt.Errorf("append %s: %w", d.Kind, ErrEnded)
	}
	e, err := s.append(d)
	if err != nil {
		s.refused(d, err)
		return Entry{}, fmt.Errorf("append %s: %w", d.Kind, err)
	}
	s.flush(false)
	return e.public(s.device), nil
}

func (s *Spool) append(d seal.Draft) (*entry, error) {
	if err := s.makeRoom(d); err != nil {
		return nil, err
	}
	e, err := s.put(d)
	if errors.Is(err, ErrFull) {
		if err = s.makeRoomOnDisk(d, err); err == nil {
			e, err = s.put(d)
		}
	}
	return e, err
}

// put seals d and writes it. If the write fails it is taken back, so that the
// place may be used again: nobody has seen the item.
func (s *Spool) put(d seal.Draft) (*entry, error) { return s.putAs(d, false) }

// putAs is put, of the item that ends the chain if end.
func (s *Spool) putAs(d seal.Draft, end bool) (*entry, error) {
	if err := s.resolve(); err != nil {
		return nil, err
	}
	sealer, link, at := s.next()
	it, err := sealer.Seal(d, link)
	if err != nil {
		return nil, err
	}
	e := entryOf(it)
	e.end = end
	if e.place != at || it.Header.Device != s.device {
		return nil, fmt.Errorf("sealer made item %s in place of %s", it.Header.Ref(), at.name())
	}
	if err := s.dir.WriteFile(e.name(), it.Bytes(), 0o600); err != nil {
		if errors.Is(err, durable.ErrUncertain) {
			s.unresolved = e.name()
			err = errors.Join(err, s.resolve())
		}
		return nil, noRoom(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head = head{e.place, e.hash}
	s.full[e.class()] = room{}
	if s.kept != nil {
		s.discard(s.kept)
		s.kept = nil
	}
	s.shelve(e)
	s.notify()
	return e, nil
}

// next returns what the next item is sealed with and into.
func (s *Spool) next() (Sealer, seal.Link, place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	link := seal.Link{Chain: s.head.chain, Seq: s.head.seq + 1, Prev: s.head.hash}
	if link.Seq == 1 {
		link.Prev = s.sealer.Binding().Record
	}
	return s.sealer, link, place{s.head.epoch, link.Chain, link.Seq}
}

// resolve removes a blob that may be on disk although its write failed.
func (s *Spool) resolve() error {
	if s.unresolved == "" {
		return nil
	}
	if err := s.dir.Remove(s.unresolved); err != nil {
		return fmt.Errorf("take back a failed write: %w", err)
	}
	s.unresolved = ""
	return nil
}

// noRoom marks errors of a full disk with ErrFull.
func noRoom(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// Forget removes an item after its receipt. hash must be the item's (else
// ErrMismatch); an item that is not there is no error. The newest item of the
// chain leaves the queue, and its file stays until there is a newer one. The
// removal is not awaited: after a power cut the item may be delivered once more.
func (s *Spool) Forget(ref seal.Ref, hash seal.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(ref)
	if e == nil {
		return nil
	}
	if e.hash != hash {
		return fmt.Errorf("forget %s: %w", ref, ErrMismatch)
	}
	s.unshelve(e)
	s.dropGap(e.place)
	if e.place == s.head.place {
		e.delivered = true
		s.kept = e
		s.note(e)
	} else {
		s.discard(e)
	}
	s.notify()
	return nil
}

// discard unlinks a blob that nothing needs any more. The caller holds mu.
func (s *Spool) discard(e *entry) {
	if err := s.dir.Discard([]string{e.name()}); err != nil {
		s.log.Warn("cannot remove a spooled item; it is removed or delivered again after the next start", "item", e.name(), "error", err)
	}
	s.dropNote(e)
}

// Rebind goes on under another record of the device's ownership. A later
// revision changes the sealer and nothing else. A later epoch is a new owner: the
// chain of the one before is ended as End does, what was dropped is counted in
// Stats.Disowned, and a new chain begins. If that fails, Append is ErrEnded until
// Rebind is called again. An earlier epoch is ErrEpoch. The caller has the record on
// stable storage by then, and the one before until Rebind returns; after a power
// cut Open does the rest.
func (s *Spool) Rebind(ctx context.Context, sealer Sealer) error {
	if err := s.take(ctx); err != nil {
		return fmt.Errorf("rebind spool: %w", err)
	}
	defer s.give()
	epoch := sealer.Binding().Epoch
	s.mu.Lock()
	old := s.head.epoch
	s.mu.Unlock()
	switch {
	case sealer.Device() != s.device:
		return fmt.Errorf("rebind spool: sealer is of device %s", sealer.Device().Short())
	case epoch < old:
		return fmt.Errorf("rebind spool: epoch %d after %d: %w", epoch, old, ErrEpoch)
	case epoch > old:
		if err := s.end(); err != nil {
			return fmt.Errorf("rebind spool: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealer = sealer
	if epoch > old {
		s.begin(epoch)
	}
	return nil
}

// Close writes the index and lets go of the directory. An Append that waits or
// comes later gets ErrClosed; nothing else may be called any more.
func (s *Spool) Close() error {
	if err := s.take(context.Background()); err != nil {
		return nil // closed already
	}
	defer s.give()
	s.closed = true
	s.flush(true)
	s.index.close()
	return s.unlock()
}

// Changed returns a channel that is closed at the next change of what the spool
// holds.
func (s *Spool) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// notify wakes everyone who waits for a change. The caller holds mu.
func (s *Spool) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}
