package household

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// Invitation takes the holder of a card into a household, or gives a member another
// name, role or date.
type Invitation struct {
	Card *Card
	Name string
	Role ownership.Role
	// Until is when a guest's rights end; zero is never.
	Until time.Time
	// Past lets a new member see what was recorded before, as far as it is kept.
	// Otherwise a new period begins with it.
	Past bool
}

// Change is what the next statement changes. The zero Change changes nothing.
type Change struct {
	Add []Invitation
	// Remove are members' keys, SubjectPublicKeyInfo.
	Remove [][]byte
	// Cards are members' new recipients.
	Cards []*Card
	// NewPeriod begins one. Removing a member does it in any case.
	NewPeriod bool
	// Rotation and Retention are the new settings, zero for those before.
	Rotation, Retention time.Duration
}

// Found makes a household's first statement. Held are the identities that the owner has;
// the first that is hybrid is the current period's, and one is made if there is none. It
// returns what the owner holds then.
func Found(root crypto.Signer, held Identities, first Invitation, c Change, now time.Time) (*Signed, Identities, error) {
	s, ids, err := found(root, held, first, c, now)
	if err != nil {
		return nil, nil, fmt.Errorf("found household: %w", err)
	}
	return s, ids, nil
}

func found(root crypto.Signer, held Identities, first Invitation, c Change, now time.Time) (*Signed, Identities, error) {
	spki, err := statement.SPKI(root.Public())
	if err != nil {
		return nil, nil, err
	}
	created := max(now.UnixMilli(), 0)
	st := Statement{
		Owner: seal.KeyID(spki), OwnerKey: spki, Serial: 1, Created: created,
		Rotation: DefaultRotation, Retention: DefaultRetention,
	}
	current := slices.IndexFunc(held, func(id Identity) bool { return checkRecipient(id.recipient) == nil })
	if current < 0 {
		id, err := NewIdentity()
		if err != nil {
			return nil, nil, err
		}
		current, held = len(held), held.With(id)
	}
	for i, id := range held {
		if i != current {
			st.Periods = append(st.Periods, Period{Recipient: hashOf(id.recipient), Until: max(created, 1)})
		}
	}
	st.Recipient = held[current].recipient
	st.Periods = append(st.Periods, Period{Recipient: hashOf(st.Recipient), From: created})
	for i := range st.Periods {
		st.Periods[i].Number = uint64(i + 1)
	}
	st.settle(c)
	if err := st.invite(first); err != nil {
		return nil, nil, err
	}
	s, err := st.finish(root, held, nil)
	return s, held, err
}

// Change makes the next statement. Held are the identities that the owner has; what it
// returns beside the statement is what the owner holds then: with the new period's, and
// without those that are to be destroyed. ErrRollBack is a card that is older than the
// known one, ErrLocked that the current identity is missing, which a new period mends.
func (s *Signed) Change(root crypto.Signer, held Identities, c Change, now time.Time) (*Signed, Identities, error) {
	next, ids, err := s.change(root, held, c, now)
	if err != nil {
		return nil, nil, fmt.Errorf("change household: %w", err)
	}
	return next, ids, nil
}

func (s *Signed) change(root crypto.Signer, held Identities, c Change, now time.Time) (*Signed, Identities, error) {
	st := s.Statement
	st.Serial, st.Previous, st.Created = s.Serial+1, s.hash, max(now.UnixMilli(), s.Created)
	st.Periods, st.Members = slices.Clone(s.Periods), slices.Clone(s.Members)
	st.settle(c)
	fresh, err := st.people(c)
	if err != nil {
		return nil, nil, err
	}
	past := make(map[string]bool)
	for _, i := range c.Add {
		if _, member := s.Member(i.Card.Key); member {
			continue
		}
		past[string(i.Card.Key)] = i.Past
		fresh = fresh || !i.Past
	}
	if fresh || c.NewPeriod {
		if held, err = st.rotate(held); err != nil {
			return nil, nil, err
		}
	}
	st.forget()
	held = st.Kept(held, time.UnixMilli(st.Created))
	next, err := st.finish(root, held, past)
	return next, held, err
}

// settle takes the settings over.
func (s *Statement) settle(c Change) {
	if c.Rotation != 0 {
		s.Rotation = c.Rotation.Truncate(time.Millisecond)
	}
	if c.Retention != 0 {
		s.Retention = c.Retention.Truncate(time.Millisecond)
	}
}

// people changes the members, and says whether one has gone.
func (s *Statement) people(c Change) (gone bool, err error) {
	for _, key := range c.Remove {
		i := s.index(key)
		if i < 0 {
			return false, errors.New("who is to be removed is no member")
		}
		s.Members, gone = slices.Delete(s.Members, i, i+1), true
	}
	for _, i := range c.Add {
		if err := s.invite(i); err != nil {
			return false, err
		}
	}
	for _, card := range c.Cards {
		if card == nil {
			return false, errors.New("a card is missing")
		}
		i := s.index(card.Key)
		if i < 0 {
			return false, errors.New("a card is of no member")
		}
		if err := s.renew(&s.Members[i], card); err != nil {
			return false, err
		}
	}
	before := len(s.Members)
	s.Members = slices.DeleteFunc(s.Members, func(m Member) bool { return m.Until != 0 && m.Until <= s.Created })
	return gone || len(s.Members) < before, nil
}

// invite enters a member, or changes an entry.
func (s *Statement) invite(i Invitation) error {
	if i.Card == nil {
		return errors.New("who is to be added gave no card")
	}
	if i.Card.Owner != s.Owner {
		return fmt.Errorf("the card is for owner %s: %w", i.Card.Owner.Short(), ErrOwner)
	}
	if !i.Until.IsZero() && i.Until.UnixMilli() <= s.Created {
		return fmt.Errorf("the date of member %q has passed: %w", i.Name, ErrField)
	}
	at := s.index(i.Card.Key)
	if at < 0 {
		at = len(s.Members)
		s.Members = append(s.Members, Member{Viewer: ownership.Viewer{Key: i.Card.Key}})
	}
	m := &s.Members[at]
	m.Name, m.Role, m.Until = i.Name, i.Role, 0
	if !i.Until.IsZero() {
		m.Until = i.Until.UnixMilli()
	}
	return s.renew(m, i.Card)
}

// renew takes a member's card into its entry.
func (s *Statement) renew(m *Member, c *Card) error {
	switch {
	case c.Owner != s.Owner:
		return fmt.Errorf("the card is for owner %s: %w", c.Owner.Short(), ErrOwner)
	case c.Number == m.Card && c.Recipient == m.Recipient:
		return nil
	case c.Number <= m.Card:
		return fmt.Errorf("card %d of member %q, known is %d: %w", c.Number, m.Name, m.Card, ErrRollBack)
	}
	m.Recipient, m.Card, m.Since = c.Recipient, c.Number, s.Created
	return nil
}

// rotate ends the current period and begins another.
func (s *Statement) rotate(held Identities) (Identities, error) {
	id, err := NewIdentity()
	if err != nil {
		return nil, err
	}
	last := &s.Periods[len(s.Periods)-1]
	last.Until = max(s.Created, 1)
	s.Periods = append(s.Periods, Period{Number: last.Number + 1, Recipient: hashOf(id.recipient), From: s.Created})
	s.Recipient = id.recipient
	return held.With(id), nil
}

// forget drops the oldest periods, as far as their retention has passed.
func (s *Statement) forget() {
	for len(s.Periods) > 1 && s.ends(s.Periods[0]) <= s.Created {
		s.Periods = s.Periods[1:]
	}
}

// finish wraps the keys and signs.
func (s *Statement) finish(root crypto.Signer, held Identities, past map[string]bool) (*Signed, error) {
	if spki, err := statement.SPKI(root.Public()); err != nil || string(spki) != string(s.OwnerKey) {
		return nil, fmt.Errorf("the key is not the owner's: %w", ErrOwner)
	}
	keys, err := s.wrap(held, past)
	if err != nil {
		return nil, err
	}
	return sign(root, *s, keys)
}
