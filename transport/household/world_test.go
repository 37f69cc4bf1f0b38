package household_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const day = 24 * time.Hour

// start is when the tests' households begin.
func start() time.Time { return time.UnixMilli(1_771_000_000_000) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

func spki(t testing.TB, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := statement.SPKI(k.Public())
	must(t, err)
	return b
}

func newIdentity(t testing.TB) household.Identity {
	t.Helper()
	id, err := household.NewIdentity()
	must(t, err)
	return id
}

// person is who may be a member: a key, and the identities behind its cards.
type person struct {
	key    *ecdsa.PrivateKey
	ids    household.Identities
	number uint64
}

func newPerson(t testing.TB) *person { return &person{key: newKey(t)} }

// card is the next card, of a new identity.
func (p *person) card(t testing.TB, owner seal.ID) *household.Card {
	t.Helper()
	id := newIdentity(t)
	p.number++
	p.ids = household.Identities{id}.With(p.ids...)
	b, err := household.SignCard(p.key, household.Card{Owner: owner, Number: p.number, Recipient: id.Recipient()})
	must(t, err)
	c, err := household.VerifyCard(b, owner)
	must(t, err)
	return c
}

// house is an owner's side of a household.
type house struct {
	root  *ecdsa.PrivateKey
	owner seal.ID
	held  household.Identities
	own   *person
	chain []*household.Signed
	now   time.Time
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{root: newKey(t), own: newPerson(t), now: start()}
	h.owner = seal.KeyID(spki(t, h.root))
	s, held, err := household.Found(h.root, nil, h.invite(t, h.own, "owner", ownership.RoleOwner), household.Change{}, h.now)
	must(t, err)
	h.chain, h.held = append(h.chain, s), held
	return h
}

func (h *house) invite(t testing.TB, p *person, name string, role ownership.Role) household.Invitation {
	t.Helper()
	return household.Invitation{Card: p.card(t, h.owner), Name: name, Role: role}
}

func (h *house) newest() *household.Signed { return h.chain[len(h.chain)-1] }

// change makes the next statement, and checks it as a reader would.
func (h *house) change(t testing.TB, c household.Change) *household.Signed {
	t.Helper()
	s, held, err := h.newest().Change(h.root, h.held, c, h.now)
	must(t, err)
	must(t, s.Follows(h.newest()))
	again, err := household.Verify(s.Bytes(), h.owner)
	must(t, err)
	if again.Hash() != s.Hash() || !bytes.Equal(again.Bytes(), s.Bytes()) {
		t.Fatal("written and read, it is another statement")
	}
	h.chain, h.held = append(h.chain, s), held
	return s
}

// opens says whether somebody with these identities gets the one of the newest period.
func opens(s *household.Signed, ids household.Identities) bool {
	got, err := s.Open(ids)
	if err != nil {
		return false
	}
	_, ok := got.For(s.Recipient)
	return ok
}
