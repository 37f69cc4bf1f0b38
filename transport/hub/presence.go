package hub

import (
	"slices"
	"sync"
	"time"

	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/seal"
)

const (
	// A node gives a sign of life every lifePeriod. One that is silent for lifeLimit is
	// dead to the others, and its devices are offline.
	lifePeriod = 2 * time.Second
	lifeLimit  = 15 * time.Second
	// An older sign is from before this hub began to listen.
	lifeOld = time.Minute
)

// presence is which devices are there, as far as their sessions and the other nodes
// tell. It begins empty: nobody is online when a hub starts.
type presence struct {
	node string

	mu      sync.Mutex
	devices map[seal.ID]attendance  // at this node
	others  map[seal.ID]store.Sight // at the node that spoke of the device last
	alive   map[string]life         // the other nodes
}

type attendance struct {
	online bool
	seen   time.Time
	note   uint64 // of the store, 0 if there is none
}

// life is the last sign of a node, when it came, and from which of its runs.
type life struct {
	run string
	at  time.Time
}

func newPresence(node string) *presence {
	return &presence{
		node: node, devices: make(map[seal.ID]attendance),
		others: make(map[seal.ID]store.Sight), alive: make(map[string]life),
	}
}

// heard notes that a device sent something.
func (p *presence) heard(device seal.ID, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.devices[device]
	a.seen = at
	p.devices[device] = a
}

// set notes what a device, or its will, said of itself to this node. It returns the
// store's last note of that device from here, 0 if there is none.
func (p *presence) set(device seal.ID, online bool, at time.Time) (note uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	note = p.devices[device].note
	p.devices[device] = attendance{online: online, seen: at, note: note}
	return note
}

// noted keeps the store's note of what a device said of itself; 0 if others had noted
// something since.
func (p *presence) noted(device seal.ID, online bool, note uint64) {
	if note == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.devices[device]
	a.online, a.note = online, note
	p.devices[device] = a
}

// saw takes in what a node wrote.
func (p *presence) saw(s store.Sight) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case s.Device.IsZero():
		if s.Node != p.node && now.Sub(s.Time) < lifeOld {
			p.alive[s.Node] = life{s.Run, now}
		}
	case s.Node == p.node:
		delete(p.others, s.Device)
	default:
		p.others[s.Device] = s
		// Its session here has ended without a word, if it was not opened after that.
		if a, ok := p.devices[s.Device]; ok && a.note < s.Note {
			a.online = false
			p.devices[s.Device] = a
		}
	}
}

// of is what is known of a device, at whatever node.
func (p *presence) of(device seal.ID) attendance {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.devices[device]
	if s, ok := p.others[device]; ok {
		a.online = a.online || p.holds(s, time.Now())
		if s.Time.After(a.seen) {
			a.seen = s.Time
		}
	}
	return a
}

// online is how many devices' sessions are up, at all nodes.
func (p *presence) online() int {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, a := range p.devices {
		if a.online {
			n++
		}
	}
	for device, s := range p.others {
		if !p.devices[device].online && p.holds(s, now) {
			n++
		}
	}
	return n
}

// lost notes that all sessions at this node are over.
func (p *presence) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, a := range p.devices {
		a.online = false
		p.devices[id] = a
	}
}

// company are the names of the other nodes that are alive, sorted.
func (p *presence) company() []string {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for name, l := range p.alive {
		if now.Sub(l.at) < lifeLimit {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// here are the devices whose sessions are up at this node.
func (p *presence) here() []seal.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []seal.ID
	for id, a := range p.devices {
		if a.online {
			ids = append(ids, id)
		}
	}
	return ids
}

// holds says that a device is online at another node, and the node still there. The
// lock is held.
func (p *presence) holds(s store.Sight, now time.Time) bool {
	l := p.alive[s.Node]
	return s.Online && l.run == s.Run && now.Sub(l.at) < lifeLimit
}
