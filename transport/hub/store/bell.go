package store

import (
	"sync"

	"github.com/lensward/lensward/transport/seal"
)

// bell wakes those who wait for an owner's next item.
type bell struct {
	mu    sync.Mutex
	rings map[seal.ID]*ring
}

// ring is one owner's waiters.
type ring struct {
	rung    chan struct{} // closed at the next item
	waiters int
}

// Changed returns a channel that is closed when the next item of this owner has been
// stored, at whatever hub, and is in the time line of this one, and what gives the
// channel up. Nothing closes it where Run does not run.
func (s *Store) Changed(owner seal.ID) (<-chan struct{}, func()) {
	return s.bell.wait(owner)
}

func (b *bell) wait(owner seal.ID) (<-chan struct{}, func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rings[owner]
	if r == nil {
		r = &ring{rung: make(chan struct{})}
		b.rings[owner] = r
	}
	r.waiters++
	return r.rung, func() { b.leave(owner, r) }
}

func (b *bell) leave(owner seal.ID, r *ring) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.waiters--; r.waiters == 0 && b.rings[owner] == r {
		delete(b.rings, owner)
	}
}

func (b *bell) ringFor(owner seal.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.rings[owner]; r != nil {
		close(r.rung)
		delete(b.rings, owner)
	}
}
