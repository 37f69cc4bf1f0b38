package household

import (
	"fmt"
	"slices"
)

// Follows checks that a statement may take the place of the one that is known. Its errors
// are ErrOwner, ErrRollBack, ErrFork, ErrGap and ErrSuccession; the known statement itself
// is no error.
func (s *Signed) Follows(known *Signed) error {
	switch {
	case s.Owner != known.Owner:
		return fmt.Errorf("of owner %s, known is %s: %w", s.Owner.Short(), known.Owner.Short(), ErrOwner)
	case s.hash == known.hash:
		return nil
	case s.Serial == known.Serial:
		return fmt.Errorf("statement %d: %w", s.Serial, ErrFork)
	case s.Serial < known.Serial:
		return fmt.Errorf("statement %d, known is %d: %w", s.Serial, known.Serial, ErrRollBack)
	case s.Serial > known.Serial+1:
		return fmt.Errorf("statement %d, known is %d: %w", s.Serial, known.Serial, ErrGap)
	case s.Previous != known.hash:
		return fmt.Errorf("statement %d follows another %d than the known one: %w", s.Serial, known.Serial, ErrFork)
	case s.Created < known.Created:
		return fmt.Errorf("statement %d was created before the one it follows: %w", s.Serial, ErrSuccession)
	}
	if err := s.followsPeriods(known); err != nil {
		return err
	}
	return s.followsMembers(known)
}

// followsPeriods wants the known periods, without some of the oldest, and one new at most.
func (s *Signed) followsPeriods(known *Signed) error {
	want := slices.Clone(known.Periods)
	if s.Rotates(known) {
		last := &want[len(want)-1]
		last.Until = max(s.Created, 1)
		want = append(want, Period{Number: last.Number + 1, Recipient: s.Current().Recipient, From: s.Created})
	}
	if n := len(s.Periods); n > len(want) || !slices.Equal(s.Periods, want[len(want)-n:]) {
		return fmt.Errorf("statement %d changes what was said of a period: %w", s.Serial, ErrSuccession)
	}
	return nil
}

// Rotates says whether a new period begins with a statement after the known one.
func (s *Signed) Rotates(known *Signed) bool { return s.Recipient != known.Recipient }

func (s *Signed) followsMembers(known *Signed) error {
	for _, before := range known.Members {
		now, listed := s.Member(before.Key)
		same := now.Recipient == before.Recipient && now.Card == before.Card && now.Since == before.Since
		switch {
		case !listed && !s.Rotates(known):
			return fmt.Errorf("statement %d removes a member without a new period: %w", s.Serial, ErrSuccession)
		case listed && !same && (now.Card <= before.Card || now.Recipient == before.Recipient || now.Since != s.Created):
			return fmt.Errorf("statement %d changes a member's recipient without a newer card: %w", s.Serial, ErrSuccession)
		}
	}
	for _, m := range s.Members {
		if _, before := known.Member(m.Key); !before && m.Since != s.Created {
			return fmt.Errorf("statement %d dates a new member back: %w", s.Serial, ErrSuccession)
		}
	}
	return nil
}
