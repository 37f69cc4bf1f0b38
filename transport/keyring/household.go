package keyring

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// ownName is the owner's own entry among the members.
const ownName = "owner"

// Newest is the newest statement that is known, nil before there is one.
func (k *Keyring) Newest() *household.Signed { return k.newest }

// Change makes the household's next statement and has it on the disk, with what it takes
// to open it. The directory's own key is always a member, as an owner, and gets a new
// recipient each time. The first change is preceded by a first statement, which lists the
// identities that were there before.
//
// A statement that is returned is in force, with an error too: then what should have been
// destroyed is still there, and Expire does it again.
func (k *Keyring) Change(c household.Change, now time.Time) (s *household.Signed, err error) {
	if k.root == nil {
		return nil, fmt.Errorf("change household: %w", ErrMember)
	}
	err = k.locked(func() error {
		if k.newest == nil {
			if s, err = k.found(c, now); err != nil {
				return err
			}
			if len(c.Add)+len(c.Remove)+len(c.Cards) == 0 && !c.NewPeriod {
				return nil
			}
		}
		next, err := k.change(c, now)
		if next != nil {
			s = next
		}
		return err
	})
	return s, err
}

// locked has a change made by one process at a time, on what is on the disk.
func (k *Keyring) locked(change func() error) (err error) {
	unlock, err := k.dir.Lock()
	if err != nil {
		return fmt.Errorf("change keys: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := k.load(); err != nil {
		return err
	}
	return change()
}

// found makes the first statement.
func (k *Keyring) found(c household.Change, now time.Time) (*household.Signed, error) {
	card, member, err := k.ownCard()
	if err != nil {
		return nil, err
	}
	first := household.Invitation{Card: card, Name: ownName, Role: ownership.RoleOwner}
	s, held, err := household.Found(k.root, k.held, first, c, now)
	if err != nil {
		return nil, err
	}
	return k.commit(s, held, member, now)
}

func (k *Keyring) change(c household.Change, now time.Time) (*household.Signed, error) {
	card, member, err := k.ownCard()
	if err != nil {
		return nil, err
	}
	switch {
	case slices.ContainsFunc(c.Remove, func(key []byte) bool { return string(key) == string(card.Key) }):
		return nil, errors.New("change household: the owner's own key cannot be removed")
	case slices.ContainsFunc(c.Add, func(i household.Invitation) bool { return i.Card != nil && string(i.Card.Key) == string(card.Key) }):
		return nil, errors.New("change household: the owner's own key is a member already")
	}
	if _, listed := k.newest.Member(card.Key); listed {
		c.Cards = append(slices.Clone(c.Cards), card)
	} else { // after a restore
		own := household.Invitation{Card: card, Name: ownName, Role: ownership.RoleOwner, Past: true}
		c.Add = append(slices.Clone(c.Add), own)
	}
	if _, held := k.held.For(k.newest.Recipient); !held {
		c.NewPeriod = true // nobody here can give the current one to anyone
	}
	s, held, err := k.newest.Change(k.root, k.held, c, now)
	if err != nil {
		return nil, err
	}
	return k.commit(s, held, member, now)
}

// ownCard is a card of the directory's own key with a new recipient, and the member's
// identities with that recipient's.
func (k *Keyring) ownCard() (*household.Card, household.Identities, error) {
	key, err := k.viewerKey()
	if err != nil {
		return nil, nil, err
	}
	id, err := household.NewIdentity()
	if err != nil {
		return nil, nil, err
	}
	card := &household.Card{Owner: k.owner, Key: key, Number: 1, Recipient: id.Recipient()}
	if k.newest != nil {
		if m, listed := k.newest.Member(key); listed {
			card.Number = m.Card + 1
		}
	}
	return card, household.Identities{id}.With(k.member...), nil
}

// commit has a statement on the disk: first the identities that it takes, then the
// statement, which makes them count, then without those that it ends.
func (k *Keyring) commit(s *household.Signed, held, member household.Identities, now time.Time) (*household.Signed, error) {
	if err := k.write(householdFile, k.held, k.held.With(held...)); err != nil {
		return nil, err
	}
	if err := k.write(memberFile, k.member, member); err != nil {
		return nil, err
	}
	if err := create(k.dir, statementName(s.Serial), s.Bytes()); err != nil {
		if errors.Is(err, durable.ErrUncertain) {
			// It may be in force. The next to look finds out, as after a power cut.
			err = errors.Join(err, k.load())
		}
		return nil, err
	}
	if err := k.load(); err != nil {
		return nil, err
	}
	_, err := k.tidy(now)
	return s, err
}

// write replaces an identities file, unless it would hold what it holds.
func (k *Keyring) write(name string, before, after household.Identities) error {
	if slices.Equal(before.File(), after.File()) {
		return nil
	}
	if err := k.dir.WriteFile(name, after.File(), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// tidy destroys the identities whose time has passed, and returns their recipients.
func (k *Keyring) tidy(now time.Time) ([]string, error) {
	if k.newest == nil {
		return nil, nil
	}
	kept := k.newest.Kept(k.held, now)
	var gone []string
	for _, id := range k.held {
		if _, still := kept.For(id.Recipient()); !still {
			gone = append(gone, id.Recipient())
		}
	}
	if err := k.write(householdFile, k.held, kept); err != nil {
		return nil, fmt.Errorf("destroy identities: %w", err)
	}
	k.held = kept
	member := k.settled()
	if err := k.write(memberFile, k.member, member); err != nil {
		return gone, fmt.Errorf("destroy identities: %w", err)
	}
	k.member = member
	return gone, nil
}

// settled are the member's identities that may still be needed: the newest card's, and the
// listed one while that is another. Once the newest is listed, the others are over.
func (k *Keyring) settled() household.Identities {
	key, err := k.viewerKey()
	if err != nil {
		return k.member
	}
	m, listed := k.newest.Member(key)
	if !listed {
		return k.member
	}
	id, there := k.member.For(m.Recipient)
	if !there {
		return k.member
	}
	if k.member[0].Recipient() == m.Recipient {
		return household.Identities{id}
	}
	return household.Identities{k.member[0], id}
}

// Expire destroys the identities of the periods whose retention has passed. It is to be
// called at every start and every day. It returns their recipients.
func (k *Keyring) Expire(now time.Time) (gone []string, err error) {
	err = k.locked(func() error {
		gone, err = k.tidy(now)
		return err
	})
	return gone, err
}

// Taken is what came with a statement.
type Taken struct {
	// Gained counts the periods' identities that were not held before.
	Gained int
	// Listed says that this key is a member, Locked why the current period's identity is
	// not held although it is; a new Card mends that.
	Listed bool
	Locked error
}

// Take takes a statement that follows the newest one, as a hub or the owner gives it, and
// the identities that it brings. The newest one may be taken again, with its keys. Its
// errors are those of household.Verify and Signed.Follows; then nothing has changed.
func (k *Keyring) Take(b []byte, now time.Time) (t Taken, err error) {
	s, err := household.Verify(b, k.owner)
	if err != nil {
		return t, err
	}
	err = k.locked(func() error {
		if k.newest != nil {
			if err := s.Follows(k.newest); err != nil {
				return fmt.Errorf("take household statement: %w", err)
			}
		}
		t, err = k.take(s, now)
		return err
	})
	return t, err
}

func (k *Keyring) take(s *household.Signed, now time.Time) (Taken, error) {
	key, err := k.viewerKey()
	if err != nil {
		return Taken{}, err
	}
	var t Taken
	_, t.Listed = s.Member(key)
	gained, err := s.Open(k.member)
	if t.Listed {
		t.Locked = err
	}
	held := k.held.With(gained...)
	t.Gained = len(held) - len(k.held)
	if _, ok := held.For(s.Recipient); ok {
		t.Locked = nil
	}
	if k.newest != nil && k.newest.Hash() == s.Hash() {
		if err := k.write(householdFile, k.held, held); err != nil {
			return Taken{}, err
		}
		k.held = held
		_, err := k.tidy(now)
		return t, err
	}
	member := k.member
	if k.newest != nil && !t.Listed {
		if _, before := k.newest.Member(key); before {
			member = nil // removed: nothing will be wrapped to it any more
		}
	}
	_, err = k.commit(s, held, member, now)
	return t, err
}

// Card is a card to send to the owner, nil if none is needed: to become a member, once its
// recipient was used for a period, or when its identity was lost. The identity behind it
// is on the disk by then; called again, the same recipient is in it.
func (k *Keyring) Card() (card []byte, err error) {
	err = k.locked(func() error {
		card, err = k.card()
		return err
	})
	return card, err
}

func (k *Keyring) card() ([]byte, error) {
	own, member, err := k.ownCard()
	if err != nil {
		return nil, err
	}
	pending := len(k.member) > 0
	if k.newest != nil {
		if m, listed := k.newest.Member(own.Key); listed {
			_, there := k.member.For(m.Recipient)
			_, opens := k.held.For(k.newest.Recipient)
			if there && opens && m.Since >= k.newest.Current().From {
				return nil, nil
			}
			pending = pending && k.member[0].Recipient() != m.Recipient
		}
	}
	if pending {
		own.Recipient, member = k.member[0].Recipient(), k.member
	}
	if err := k.write(memberFile, k.member, member); err != nil {
		return nil, err
	}
	k.member = member
	return household.SignCard(k.viewer, *own)
}

// Statements are the statements that were taken, oldest first, every one verified: what
// household.History shows.
func (k *Keyring) Statements() ([]*household.Signed, error) {
	names, err := statementNames(k.dir)
	if err != nil {
		return nil, err
	}
	var out []*household.Signed
	for _, name := range names {
		s, err := readStatement(k.dir, name, k.owner)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func statementName(serial uint64) string { return fmt.Sprintf("%016d%s", serial, statementSuffix) }

// statementNames are the statements' files, oldest first.
func statementNames(dir *durable.Dir) ([]string, error) {
	names, err := dir.Names() // in order
	if err != nil {
		return nil, fmt.Errorf("list household statements: %w", err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, statementSuffix) }), nil
}

func readStatement(dir *durable.Dir, name string, owner seal.ID) (*household.Signed, error) {
	b, err := dir.ReadFile(name, household.MaxEnvelope+household.MaxKeys)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	s, err := household.Verify(b, owner)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if statementName(s.Serial) != name {
		return nil, fmt.Errorf("read %s: it is statement %d: %w", name, s.Serial, household.ErrRollBack)
	}
	return s, nil
}

// readNewest reads the newest statement, nil if there is none.
func readNewest(dir *durable.Dir, owner seal.ID) (*household.Signed, error) {
	names, err := statementNames(dir)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	return readStatement(dir, names[len(names)-1], owner)
}
