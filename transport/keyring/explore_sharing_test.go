package keyring_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// exploreNow is when everything is explored.
func exploreNow() time.Time { return time.UnixMilli(1_771_000_000_000) }

// newRing is somebody with a keyring, and their first state.
func newRing(t *testing.T, called string, k *keyring.Keyring) (*ring, *kept) {
	t.Helper()
	r := &ring{TB: t, called: called, owner: k.Owner(), now: exploreNow(), base: t.TempDir(), dirs: map[string]string{}, read: map[string]*household.Signed{}}
	return r, &kept{files: r.files(k.Dir())}
}

// sharing is an owner and a member, and what somebody else can make up.
type sharing struct {
	*testing.T
	owner, member          *ring
	first                  []state
	memberKey              []byte
	own                    map[string]bool   // recipients that the member's cards named
	cards                  map[string][]byte // by what they say
	old                    [][]byte          // what the courier has from before
	opened, renewed, ended bool              // what was seen to happen
}

// newSharing begins a period after the member was invited: it is due to make a card.
func newSharing(t *testing.T) *sharing {
	t.Helper()
	s := &sharing{T: t, own: map[string]bool{}, cards: map[string][]byte{}}
	root, err := keyring.New(t.TempDir())
	must(t, err)
	k, err := keyring.Join(t.TempDir(), root.Owner())
	must(t, err)
	s.memberKey, err = statement.SPKI(k.Viewer().Public())
	must(t, err)
	b, err := k.Card() // goes from hand to hand
	must(t, err)
	c, err := household.VerifyCard(b, root.Owner())
	must(t, err)
	s.own[c.Recipient] = true
	for i, c := range []household.Change{{Add: []household.Invitation{{Card: c, Name: "member", Role: ownership.RoleViewer}}}, {NewPeriod: true}} {
		_, err = root.Change(c, exploreNow().Add(time.Duration(i-9)*time.Hour))
		must(t, err)
		_, err = k.Take(root.Newest().Bytes(), exploreNow())
		must(t, err)
	}
	all, err := root.Statements()
	must(t, err)
	for _, st := range all {
		s.old = append(s.old, st.Bytes(), st.Envelope())
	}
	var owner, member *kept
	s.owner, owner = newRing(t, "owner", root)
	s.member, member = newRing(t, "member", k)
	s.first = []state{owner, member}
	s.member.more, s.member.do = []string{"card"}, s.say
	s.owner.plan, s.owner.do = []string{"rotate", "remove"}, s.act
	return s
}

// say has the member make a card, if it needs one.
func (s *sharing) say(k *keyring.Keyring, _ string, _ *kept) ([][]byte, error) {
	b, err := k.Card()
	if err != nil || b == nil {
		return nil, err
	}
	// Signed again it says the same, and is the same message.
	c := s.card(b)
	said := fmt.Sprint(c.Number, c.Recipient)
	if s.cards[said] == nil {
		s.cards[said] = b
	}
	return [][]byte{s.cards[said]}, nil
}

// card notes whereto the member wants identities to be wrapped.
func (s *sharing) card(b []byte) *household.Card {
	s.Helper()
	c, err := household.VerifyCard(b, s.owner.owner)
	must(s, err)
	s.own[c.Recipient] = true
	return c
}

// act is one of the owner's changes. It gives the new statements.
func (s *sharing) act(k *keyring.Keyring, act string, at *kept) ([][]byte, error) {
	var c household.Change
	switch act {
	case "rotate":
		c.NewPeriod = true
		if at.card != "" {
			card, err := household.VerifyCard([]byte(at.card), k.Owner())
			must(s, err)
			c.Cards = append(c.Cards, card)
		}
	case "remove":
		c.Remove = [][]byte{s.memberKey}
	}
	var before uint64
	if n := k.Newest(); n != nil {
		before = n.Serial
	}
	if _, err := k.Change(c, s.owner.now.Add(time.Duration(at.done)*time.Hour)); err != nil {
		return nil, err
	}
	all, err := k.Statements()
	must(s, err)
	var says [][]byte
	for _, st := range all {
		if st.Serial > before {
			says = append(says, st.Bytes())
		}
	}
	return says, nil
}

// made is what somebody with keys of their own can say of this household.
func (s *sharing) made() (old [][]byte, forges func([]byte) [][]byte) {
	s.Helper()
	old = s.old
	thief, err := keyring.New(s.TempDir())
	must(s, err)
	theirs, err := thief.Change(household.Change{NewPeriod: true}, s.owner.now)
	must(s, err)
	id, err := household.NewIdentity()
	must(s, err)
	for _, owner := range []seal.ID{s.owner.owner, thief.Owner()} {
		card, err := household.SignCard(thief.Viewer(), household.Card{Owner: owner, Number: 9, Recipient: id.Recipient()})
		must(s, err)
		old = append(old, card)
	}
	keys := theirs.Bytes()[len(theirs.Envelope()):]
	return append(old, theirs.Bytes()), func(msg []byte) [][]byte {
		st, err := household.Verify(msg, s.owner.owner)
		if err != nil || !st.HasKeys() {
			return nil
		}
		// Without its keys, and with another's.
		return [][]byte{st.Envelope(), append(st.Envelope()[:len(st.Envelope()):len(st.Envelope())], keys...)}
	}
}

// check is what must hold wherever they are.
func (s *sharing) check(at []state) {
	s.Helper()
	owner, member := at[0].(*kept), at[1].(*kept)
	chain, newest := s.owner.statements(owner)
	for _, m := range newest.Members {
		mine := string(m.Key) == string(s.memberKey)
		if !mine && m.Name != "owner" {
			s.Errorf("%q is a member", m.Name)
		}
		if mine && !s.own[m.Recipient] {
			s.Errorf("the member's identities are wrapped to somebody else")
		}
		s.renewed = s.renewed || mine && m.Card > 1
	}
	taken, known := s.member.statements(member)
	for serial, st := range taken {
		if chain[serial] == nil || chain[serial].Hash() != st.Hash() {
			s.Errorf("the member's statement %d is not the owner's", serial)
		}
	}
	for serial, st := range chain {
		_, listed := st.Member(s.memberKey)
		holds := member.holds(s, st.Recipient)
		if holds && !listed {
			s.Errorf("the member opens the period of statement %d, in which it is not listed", serial)
		}
		s.opened = s.opened || holds && serial > 3
	}
	s.ended = s.ended || known.Hash() == newest.Hash() && owner.done == len(s.owner.plan)
}

// Whatever a courier does with statements and cards: nobody but the owner's members is
// one, nothing is wrapped to anybody else, no member takes what the owner did not sign or
// goes back, and who was removed opens nothing that came after.
func TestExploreSharing(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	e := newExplorer(t, s.owner, s.member)
	old, forges := s.made()
	e.forges = forges
	nodes := e.explore(s.first, old, s.check)
	e.tell(nodes, 12)
	if !s.opened || !s.renewed || !s.ended {
		t.Errorf("it was never so that the member opened a new period (%v), had its card taken (%v), and was told to the end (%v)", s.opened, s.renewed, s.ended)
	}
}
