package store

import (
	"sync"

	"github.com/lensward/lensward/transport/seal"
)

// bell wakes those who wait for the next of something: an owner's items, a side's
// messages.
type bell[K comparable] struct {
	mu    sync.Mutex
	rings map[K]*ring
}

// ring is those who wait for one of them.
type ring struct {
	rung    chan struct{} // closed at the next
	waiters int
}

// Changed returns a channel that is closed when the next item of this owner has been
// stored, at whatever hub, and is in the time line of this one, and what gives the
// channel up. Nothing closes it where Run does not run.
func (s *Store) Changed(owner seal.ID) (<-chan struct{}, func()) {
	return s.bell.wait(owner)
}

// wait returns a channel that is closed at the next of that name, and what gives it up.
func (b *bell[K]) wait(of K) (<-chan struct{}, func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rings[of]
	if r == nil {
		if b.rings == nil {
			b.rings = make(map[K]*ring)
		}
		r = &ring{rung: make(chan struct{})}
		b.rings[of] = r
	}
	r.waiters++
	return r.rung, func() { b.leave(of, r) }
}

func (b *bell[K]) leave(of K, r *ring) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.waiters--; r.waiters == 0 && b.rings[of] == r {
		delete(b.rings, of)
	}
}

func (b *bell[K]) ringFor(of K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.rings[of]; r != nil {
		close(r.rung)
		delete(b.rings, of)
	}
}
