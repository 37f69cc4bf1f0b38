package ownership

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// Change is what one record changed of a device's ownership.
type Change struct {
	Epoch, Revision uint64
	Record          seal.Hash
	Owner           seal.ID
	// Created is by the owner's clock, Accepted by the device's.
	Created, Accepted time.Time
	// Acquired is how an ownership began, 0 in its later revisions.
	Acquired Acquired
	// Added and Removed are viewers; Altered those with another name, role or date.
	Added, Removed, Altered []Viewer
	// Recipients says that it is encrypted for others than before.
	Recipients bool
	// Missing says that records between the one before and this one are not there.
	Missing bool
}

// History is what the records of one device, in any order, say of its ownership, oldest
// first. They must have been verified. ErrSuccession means that two contradict one
// another: the same place, or another predecessor than the one that is there.
func History(records []*Ownership) ([]Change, error) {
	all := slices.Clone(records)
	slices.SortStableFunc(all, func(a, b *Ownership) int {
		return cmp.Or(cmp.Compare(a.Record.Epoch, b.Record.Epoch), cmp.Compare(a.Record.Revision, b.Record.Revision))
	})
	all = slices.CompactFunc(all, func(a, b *Ownership) bool { return a.Hash() == b.Hash() })
	var out []Change
	var before *Ownership
	for _, o := range all {
		c := o.since(before)
		if before != nil {
			switch err := o.Follows(&before.Signed); {
			case err == nil:
			case o.Record.Device == before.Record.Device && o.skips(before):
				c.Missing = true
			default:
				return nil, fmt.Errorf("history of camera %s: epoch %d revision %d: %w", o.Record.Device.Short(), o.Record.Epoch, o.Record.Revision, ErrSuccession)
			}
		}
		out, before = append(out, c), o
	}
	return out, nil
}

// skips says whether a later record leaves out some, and is plausible otherwise.
func (o *Ownership) skips(before *Ownership) bool {
	r, b := o.Record, before.Record
	switch r.Epoch {
	case b.Epoch:
		return r.Owner == b.Owner && r.Revision > b.Revision+1
	case b.Epoch + 1:
		// The record before may be a later revision that is not there.
		return r.Revision > 1 || r.Previous != before.Hash()
	default:
		return r.Epoch > b.Epoch
	}
}

// since is what a record changed beside the one before, nil for none.
func (o *Ownership) since(before *Ownership) Change {
	r := o.Record
	c := Change{
		Epoch: r.Epoch, Revision: r.Revision, Record: o.Hash(), Owner: r.Owner,
		Created: r.Created, Accepted: o.Acceptance.Accepted,
	}
	if r.Revision == 1 {
		c.Acquired = r.Acquired
	}
	var was Record
	if before != nil && before.Record.Epoch == r.Epoch {
		was = before.Record
	}
	c.Recipients = !slices.Equal(was.Recipients, r.Recipients)
	for _, v := range was.Viewers {
		if _, still := r.viewer(v.Key); !still {
			c.Removed = append(c.Removed, v)
		}
	}
	for _, v := range r.Viewers {
		switch b, known := was.viewer(v.Key); {
		case !known:
			c.Added = append(c.Added, v)
		case !b.Equal(v):
			c.Altered = append(c.Altered, v)
		}
	}
	return c
}

func (r Record) viewer(key []byte) (Viewer, bool) {
	i := slices.IndexFunc(r.Viewers, func(v Viewer) bool { return string(v.Key) == string(key) })
	if i < 0 {
		return Viewer{}, false
	}
	return r.Viewers[i], true
}
