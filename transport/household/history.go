package household

import (
	"fmt"
	"slices"
	"time"
)

// Event is what one statement changed.
type Event struct {
	Serial uint64
	At     time.Time
	// Period is the number of the one that began, 0 for none; Dropped are the numbers of
	// those that are no longer kept.
	Period  uint64
	Dropped []uint64
	// Added and Removed are members; Altered those with another name, role or date, as
	// they are now; Renewed those whose recipient is of a newer card.
	Added, Removed, Altered, Renewed []Member
	// Rotation and Retention are the settings where they changed, else 0.
	Rotation, Retention time.Duration
}

// History is what a chain of statements, oldest first, did to a household. The first one
// is taken as it is; each of the others must follow the one before it.
func History(chain []*Signed) ([]Event, error) {
	var out []Event
	for i, s := range chain {
		if i == 0 {
			first := Event{Serial: s.Serial, At: time.UnixMilli(s.Created), Added: s.Members, Rotation: s.Rotation, Retention: s.Retention}
			first.Period = s.Current().Number
			out = append(out, first)
			continue
		}
		if s.Hash() == chain[i-1].Hash() {
			return nil, fmt.Errorf("history of household: statement %d is there twice: %w", s.Serial, ErrSuccession)
		}
		if err := s.Follows(chain[i-1]); err != nil {
			return nil, fmt.Errorf("history of household: %w", err)
		}
		out = append(out, s.since(chain[i-1]))
	}
	return out, nil
}

// since is what a statement changed that follows another.
func (s *Signed) since(before *Signed) Event {
	e := Event{Serial: s.Serial, At: time.UnixMilli(s.Created)}
	if s.Rotates(before) {
		e.Period = s.Current().Number
	}
	for _, p := range before.Periods {
		if !slices.ContainsFunc(s.Periods, func(q Period) bool { return q.Number == p.Number }) {
			e.Dropped = append(e.Dropped, p.Number)
		}
	}
	if s.Rotation != before.Rotation {
		e.Rotation = s.Rotation
	}
	if s.Retention != before.Retention {
		e.Retention = s.Retention
	}
	for _, m := range before.Members {
		if _, still := s.Member(m.Key); !still {
			e.Removed = append(e.Removed, m)
		}
	}
	for _, m := range s.Members {
		was, known := before.Member(m.Key)
		switch {
		case !known:
			e.Added = append(e.Added, m)
			continue
		case !was.Equal(m.Viewer):
			e.Altered = append(e.Altered, m)
		}
		if was.Card != m.Card {
			e.Renewed = append(e.Renewed, m)
		}
	}
	return e
}
