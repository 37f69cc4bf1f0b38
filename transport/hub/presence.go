package hub

import (
	"sync"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// presence is which devices are there, as far as their sessions tell. It begins
// empty: nobody is online when a hub starts.
type presence struct {
	mu      sync.Mutex
	devices map[seal.ID]attendance
}

type attendance struct {
	online bool
	seen   time.Time
}

func newPresence() *presence { return &presence{devices: make(map[seal.ID]attendance)} }

// heard notes that a device sent something.
func (p *presence) heard(device seal.ID, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.devices[device]
	a.seen = at
	p.devices[device] = a
}

// set notes what a device, or its will, said of itself.
func (p *presence) set(device seal.ID, online bool, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.devices[device] = attendance{online: online, seen: at}
}

func (p *presence) of(device seal.ID) attendance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.devices[device]
}

func (p *presence) online() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, a := range p.devices {
		if a.online {
			n++
		}
	}
	return n
}
