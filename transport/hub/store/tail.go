package store

import (
	"context"
	"slices"
	"sync"

	"github.com/lensward/lensward/transport/seal"
)

// tail knows of the newest items whose they are, in the order in which they were stored:
// of all with a cursor above floor and up to upto that are not deleted.
type tail struct {
	most int // items

	mu     sync.Mutex
	follow bool   // somebody is adding to it
	floor  uint64 // nothing is known of what was stored up to here
	upto   uint64 // the newest that was looked at
	stored uint64 // the newest that this node knows to be stored
	ring   []tailItem
	oldest int // in a ring that is full
	lines  map[seal.ID]*line
	moved  chan struct{} // closed at the next change; nil if nobody waits for it
}

type tailItem struct {
	cursor uint64
	line   *line
}

// line is one owner's cursors, in ascending order.
type line struct {
	owner   seal.ID
	cursors []uint64
}

func newTail(most int) *tail { return &tail{most: most, lines: make(map[seal.ID]*line)} }

// begin sets where a tail of a stream begins, by the stream's first and last cursor.
func (t *tail) begin(first, last uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if first+uint64(t.most) <= last {
		t.floor = last - uint64(t.most)
	}
	// Before the first there is nothing to know.
	t.upto, t.stored = max(t.floor, max(first, 1)-1), last
}

// following says whether somebody adds to the tail from now on.
func (t *tail) following(is bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.follow = is
	t.wake()
}

// wake wakes who waits for a change. The lock is held.
func (t *tail) wake() {
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// add takes the next item of the stream. It says whether it was new.
func (t *tail) add(cursor uint64, owner seal.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cursor <= t.upto {
		return false
	}
	l := t.lines[owner]
	if l == nil {
		l = &line{owner: owner}
		t.lines[owner] = l
	}
	l.cursors = append(l.cursors, cursor)
	item := tailItem{cursor, l}
	if len(t.ring) < t.most {
		t.ring = append(t.ring, item)
	} else {
		old := t.ring[t.oldest]
		t.floor = old.cursor
		t.drop(old.line, old.cursor)
		t.ring[t.oldest] = item
		t.oldest = (t.oldest + 1) % t.most
	}
	t.upto = cursor
	t.wake()
	return true
}

// pass takes note that the next message of the stream is no item.
func (t *tail) pass(cursor uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.upto = max(t.upto, cursor)
	t.wake()
}

// drop takes a cursor out of a line. The lock is held.
func (t *tail) drop(l *line, cursor uint64) {
	i, ok := slices.BinarySearch(l.cursors, cursor)
	switch {
	case !ok: // deleted before
	case i == 0:
		l.cursors = l.cursors[1:]
	default:
		l.cursors = slices.Delete(l.cursors, i, i+1)
	}
	if len(l.cursors) == 0 && t.lines[l.owner] == l {
		delete(t.lines, l.owner)
	}
}

// forget takes note that an item is deleted.
func (t *tail) forget(owner seal.ID, cursor uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.lines[owner]; l != nil {
		t.drop(l, cursor)
	}
}

// view is what a tail knows at one time.
type view struct {
	cursors     []uint64 // an owner's
	floor, upto uint64
}

// after is up to limit cursors of an owner's items after a cursor.
func (t *tail) after(owner seal.ID, after uint64, limit int) view {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := view{floor: t.floor, upto: t.upto}
	if l := t.lines[owner]; l != nil {
		i, _ := slices.BinarySearch(l.cursors, after+1)
		v.cursors = slices.Clone(l.cursors[i:min(len(l.cursors), i+limit)])
	}
	return v
}

// note takes note that this node knows an item to be stored.
func (t *tail) note(cursor uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stored = max(t.stored, cursor)
}

// end is how far the tail has come.
func (t *tail) end() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.upto
}

// last is the newest item that this node knows to be stored.
func (t *tail) last() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(t.stored, t.upto)
}

// reach waits until the tail has come to a cursor. It says whether it has: not if ctx
// ends or nobody adds to it.
func (t *tail) reach(ctx context.Context, cursor uint64) bool {
	for {
		t.mu.Lock()
		done, follow := t.upto >= cursor, t.follow
		if t.moved == nil && !done && follow {
			t.moved = make(chan struct{})
		}
		moved := t.moved
		t.mu.Unlock()
		if done || !follow {
			return done
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		}
	}
}
