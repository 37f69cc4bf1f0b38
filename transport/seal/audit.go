package seal

import (
	"cmp"
	"maps"
	"slices"
)

// Audit keeps account of the items that a viewer took, and finds what is
// missing, repeated or out of place. Give it only items that verified. It uses
// about 100 bytes an item and is not safe for concurrent use.
type Audit struct {
	chains map[chainKey]*chain
}

// chainKey names one chain of a device.
type chainKey struct {
	device       ID
	epoch, chain uint64
}

// chain is what is known of one chain.
type chain struct {
	items   map[uint64]links
	head    uint64
	dropped []Dropped // by From
}

// links are an item's two ends.
type links struct{ prev, hash Hash }

// Missing is a run of items that a chain has and the viewer does not.
type Missing struct {
	Device       ID
	Epoch, Chain uint64
	// From and To are the first and last sequence number that is missing.
	From, To uint64
	// Dropped says that the device itself dropped them, and Reason why. Where it is
	// false nobody explained it: whoever delivers has lost or withheld them.
	Dropped bool
	Kind    Kind
	Reason  string
}

// NewAudit returns an Audit that knows nothing yet.
func NewAudit() *Audit {
	return &Audit{chains: make(map[chainKey]*chain)}
}

// Add takes an item's header and hash into account. Errors are *Error: replayed
// (the same item again), fork (another item in its place), broken-chain (it does
// not fit its neighbours). An item that is refused changes nothing.
func (a *Audit) Add(h Header, hash Hash) error {
	c := a.chain(h.Device, h.Epoch, h.Chain)
	if have, ok := c.items[h.Seq]; ok {
		if have.hash == hash {
			return refuse(ReasonReplayed, "item %d was already taken", h.Seq)
		}
		return refuse(ReasonFork, "item %d is not the one that was taken before", h.Seq)
	}
	if before, ok := c.items[h.Seq-1]; ok && before.hash != h.Prev {
		return refuse(ReasonBrokenChain, "item %d does not follow item %d", h.Seq, h.Seq-1)
	}
	if after, ok := c.items[h.Seq+1]; ok && after.prev != hash {
		return refuse(ReasonBrokenChain, "item %d is not the one that item %d follows", h.Seq, h.Seq+1)
	}
	c.items[h.Seq] = links{prev: h.Prev, hash: hash}
	c.head = max(c.head, h.Seq)
	return nil
}

// Explain takes a gap item's body into account: what the device says that it
// dropped from its chains of this epoch. It refuses a range that contradicts the
// items on either side (broken-chain).
func (a *Audit) Explain(h Header, g Gap) error {
	for _, d := range g.Dropped {
		c := a.chain(h.Device, h.Epoch, d.Chain)
		if before, ok := c.items[d.From-1]; ok && before.hash != d.FirstPrev {
			return refuse(ReasonBrokenChain, "dropped item %d does not follow item %d", d.From, d.From-1)
		}
		if after, ok := c.items[d.To+1]; ok && after.prev != d.LastHash {
			return refuse(ReasonBrokenChain, "item %d does not follow dropped item %d", d.To+1, d.To)
		}
	}
	for _, d := range g.Dropped {
		c := a.chain(h.Device, h.Epoch, d.Chain)
		if !slices.Contains(c.dropped, d) {
			c.dropped = append(c.dropped, d)
			slices.SortStableFunc(c.dropped, func(x, y Dropped) int { return cmp.Compare(x.From, y.From) })
		}
		c.head = max(c.head, d.To)
	}
	return nil
}

// Has says whether an item with this reference was taken.
func (a *Audit) Has(r Ref) bool {
	c := a.chains[chainKey{r.Device, r.Epoch, r.Chain}]
	if c == nil {
		return false
	}
	_, ok := c.items[r.Seq]
	return ok
}

// At gives the hash of the item that was taken in a place, and the hash that it
// names as the one before it. It says whether there is one.
func (a *Audit) At(r Ref) (hash, prev Hash, ok bool) {
	c := a.chains[chainKey{r.Device, r.Epoch, r.Chain}]
	if c == nil {
		return Hash{}, Hash{}, false
	}
	l, ok := c.items[r.Seq]
	return l.hash, l.prev, ok
}

// Missing lists what is not there below each chain's head, in order. An item
// that is there is not missing, whatever a gap item says.
func (a *Audit) Missing() []Missing {
	var out []Missing
	for key, c := range a.chains {
		next := uint64(1)
		for _, seq := range slices.Sorted(maps.Keys(c.items)) {
			out = c.appendHole(out, key, next, seq-1)
			next = seq + 1
		}
		out = c.appendHole(out, key, next, c.head)
	}
	slices.SortFunc(out, func(x, y Missing) int {
		return cmp.Or(slices.Compare(x.Device[:], y.Device[:]), cmp.Compare(x.Epoch, y.Epoch),
			cmp.Compare(x.Chain, y.Chain), cmp.Compare(x.From, y.From))
	})
	return out
}

// appendHole adds the hole from..to, split where the device explained a part of it.
func (c *chain) appendHole(out []Missing, key chainKey, from, to uint64) []Missing {
	m := Missing{Device: key.device, Epoch: key.epoch, Chain: key.chain}
	for _, d := range c.dropped {
		if from > to || d.From > to {
			break
		}
		if d.To < from {
			continue
		}
		if d.From > from {
			m.From, m.To, m.Dropped, m.Kind, m.Reason = from, d.From-1, false, 0, ""
			out = append(out, m)
			from = d.From
		}
		m.From, m.To, m.Dropped, m.Kind, m.Reason = from, min(d.To, to), true, d.Kind, d.Reason
		out = append(out, m)
		from = m.To + 1
	}
	if from <= to {
		m.From, m.To, m.Dropped, m.Kind, m.Reason = from, to, false, 0, ""
		out = append(out, m)
	}
	return out
}

func (a *Audit) chain(device ID, epoch, number uint64) *chain {
	key := chainKey{device, epoch, number}
	c := a.chains[key]
	if c == nil {
		c = &chain{items: make(map[uint64]links)}
		a.chains[key] = c
	}
	return c
}
