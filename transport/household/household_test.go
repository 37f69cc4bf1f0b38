package household_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/ownership"
)

func TestFoundingTakesWhatWasThere(t *testing.T) {
	old, err := age.GenerateX25519Identity()
	must(t, err)
	held, err := household.ParseIdentities([]byte(old.String()))
	must(t, err)
	second := newIdentity(t)
	held = held.With(second)
	h := newHouse(t)
	s, after, err := household.Found(h.root, held, h.invite(t, h.own, "owner", ownership.RoleOwner), household.Change{Retention: 7 * day}, h.now)
	must(t, err)
	if s.Recipient != second.Recipient() || len(after) != 2 || s.Retention != 7*day || s.Rotation != household.DefaultRotation {
		t.Errorf("recipient %.20s, %d identities, %v, %v", s.Recipient, len(after), s.Retention, s.Rotation)
	}
	p, ok := s.PeriodOf(old.Recipient().String())
	if !ok || p.Number != 1 || p.Until == 0 || s.Current().Number != 2 {
		t.Errorf("the older identity is of period %+v, the current one is %+v", p, s.Current())
	}
	if due := s.Due(); !due.Equal(h.now.Add(household.DefaultRotation)) {
		t.Errorf("founded on %v, and the next period is due on %v", h.now, due)
	}
}

func TestAddedMembersSeeWhatTheyAreLet(t *testing.T) {
	h := newHouse(t)
	h.now = h.now.Add(day)
	h.change(t, household.Change{NewPeriod: true})
	phone, guest := newPerson(t), newPerson(t)
	in := h.invite(t, phone, "Jo's phone", ownership.RoleViewer)
	in.Past = true
	s := h.change(t, household.Change{Add: []household.Invitation{in}})
	got, err := s.Open(phone.ids)
	must(t, err)
	if len(got) != 2 || s.Rotates(h.chain[1]) {
		t.Errorf("who may see the past has %d identities of 2; a new period: %v", len(got), s.Rotates(h.chain[1]))
	}
	in = h.invite(t, guest, "sitter", ownership.RoleGuest)
	in.Until = h.now.Add(3 * day)
	s = h.change(t, household.Change{Add: []household.Invitation{in}})
	got, err = s.Open(guest.ids)
	must(t, err)
	if len(got) != 1 || !s.Rotates(h.chain[2]) || got[0].Recipient() != s.Recipient {
		t.Errorf("who may not has %d identities of 1; a new period: %v", len(got), s.Rotates(h.chain[2]))
	}
	if due := s.Due(); !due.Equal(in.Until) {
		t.Errorf("due on %v, the guest's date is %v", due, in.Until)
	}
	if v := s.Viewers(); len(v) != 3 || v[2].Name != "sitter" || v[2].Until != in.Until.UnixMilli() {
		t.Errorf("viewers %+v", v)
	}
	// The guest's date passes: the next change, whatever it is, shuts them out.
	h.now = h.now.Add(4 * day)
	s = h.change(t, household.Change{})
	if _, still := s.Member(spki(t, guest.key)); still || !s.Rotates(h.chain[3]) || opens(s, guest.ids) {
		t.Error("a guest whose date has passed is still let in")
	}
	if !opens(s, phone.ids) || !opens(s, h.own.ids) {
		t.Error("a member is shut out with the guest")
	}
}

func TestGuestStaysLongerWithoutNewPeriod(t *testing.T) {
	h, guest := newHouse(t), newPerson(t)
	in := h.invite(t, guest, "sitter", ownership.RoleGuest)
	in.Until = h.now.Add(3 * day)
	h.change(t, household.Change{Add: []household.Invitation{in}})
	h.now, in.Until = h.now.Add(day), h.now.Add(20*day)
	s := h.change(t, household.Change{Add: []household.Invitation{in}})
	m, _ := s.Member(in.Card.Key)
	if m.Until != in.Until.UnixMilli() || s.Rotates(h.chain[1]) || !opens(s, guest.ids) {
		t.Errorf("stays until %d; a new period: %v", m.Until, s.Rotates(h.chain[1]))
	}
	in.Until = h.now
	if _, _, err := s.Change(h.root, h.held, household.Change{Add: []household.Invitation{in}}, h.now); !errors.Is(err, household.ErrField) {
		t.Errorf("invited until now: %v", err)
	}
}

func TestRemovedMemberIsShutOut(t *testing.T) {
	h, phone := newHouse(t), newPerson(t)
	in := h.invite(t, phone, "phone", ownership.RoleViewer)
	s := h.change(t, household.Change{Add: []household.Invitation{in}})
	if !opens(s, phone.ids) {
		t.Fatal("a member cannot open")
	}
	s = h.change(t, household.Change{Remove: [][]byte{in.Card.Key}})
	if opens(s, phone.ids) || !opens(s, h.own.ids) || !s.Rotates(h.chain[1]) {
		t.Error("who was removed opens what comes after")
	}
	if _, _, err := s.Change(h.root, h.held, household.Change{Remove: [][]byte{in.Card.Key}}, h.now); err == nil {
		t.Error("who is no member was removed")
	}
}

func TestCardsAreNotRolledBack(t *testing.T) {
	h, phone := newHouse(t), newPerson(t)
	first := h.invite(t, phone, "phone", ownership.RoleViewer)
	h.change(t, household.Change{Add: []household.Invitation{first}})
	second := phone.card(t, h.owner)
	h.now = h.now.Add(time.Hour)
	s := h.change(t, household.Change{Cards: []*household.Card{second}})
	if opens(s, phone.ids[1:]) || !opens(s, phone.ids[:1]) {
		t.Error("the statement is not for the newest card, or for the one before it too")
	}
	s = h.change(t, household.Change{Cards: []*household.Card{second}}) // again: nothing new
	m, _ := s.Member(second.Key)
	if m.Card != 2 || m.Since != h.chain[2].Created {
		t.Errorf("card %d since %d", m.Card, m.Since)
	}
	twin := *second
	twin.Recipient = newIdentity(t).Recipient()
	stranger := newPerson(t).card(t, h.owner)
	foreign := phone.card(t, newHouse(t).owner)
	for name, c := range map[string]struct {
		card *household.Card
		want error
	}{"older": {first.Card, household.ErrRollBack}, "another of that number": {&twin, household.ErrRollBack},
		"for another owner": {foreign, household.ErrOwner}, "a stranger's": {stranger, nil}} {
		_, _, err := s.Change(h.root, h.held, household.Change{Cards: []*household.Card{c.card}}, h.now)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRetentionEndsPeriods(t *testing.T) {
	h := newHouse(t)
	for range 6 {
		h.now = h.now.Add(household.DefaultRotation)
		h.change(t, household.Change{NewPeriod: true, Cards: []*household.Card{h.own.card(t, h.owner)}})
	}
	s := h.newest()
	// 90 days after the end: of the periods that ended 0, 30 and 60 days ago.
	if n := len(s.Periods); n != 4 || len(h.held) != 4 || s.Periods[0].Number != 4 {
		t.Errorf("%d periods from number %d, %d identities", n, s.Periods[0].Number, len(h.held))
	}
	if kept := s.Kept(h.held, h.now.Add(89*day)); len(kept) != 2 {
		t.Errorf("89 days later without a statement %d are kept, want the current and the last", len(kept))
	}
	if kept := s.Kept(h.held, h.now.Add(90*day)); len(kept) != 1 || kept[0].Recipient() != s.Recipient {
		t.Errorf("90 days later %d are kept, want the current one", len(kept))
	}
	s = h.change(t, household.Change{Retention: day})
	if len(s.Periods) != 2 || len(h.held) != 2 {
		t.Errorf("with a retention of a day %d periods are kept", len(s.Periods))
	}
}

// What is wrapped to a member who never comes back must end too.
func TestMembersFallAsleep(t *testing.T) {
	h, phone := newHouse(t), newPerson(t)
	in := h.invite(t, phone, "phone", ownership.RoleViewer)
	s := h.change(t, household.Change{Add: []household.Invitation{in}})
	for h.now.Before(start().Add(s.Rotation + s.Retention)) {
		h.now = h.now.Add(household.DefaultRotation)
		s = h.change(t, household.Change{NewPeriod: true, Cards: []*household.Card{h.own.card(t, h.owner)}})
		if !opens(s, phone.ids) {
			t.Fatalf("asleep after %v", h.now.Sub(start()))
		}
	}
	h.now = h.now.Add(household.DefaultRotation)
	s = h.change(t, household.Change{NewPeriod: true, Cards: []*household.Card{h.own.card(t, h.owner)}})
	if _, listed := s.Member(in.Card.Key); !listed || opens(s, phone.ids) {
		t.Errorf("a member who was away for %v is listed: %v, and opens: %v", h.now.Sub(start()), listed, opens(s, phone.ids))
	}
	s = h.change(t, household.Change{Cards: []*household.Card{phone.card(t, h.owner)}})
	if !opens(s, phone.ids) {
		t.Error("a new card does not wake it up")
	}
}

func TestLostIdentityIsMendedByNewPeriod(t *testing.T) {
	h := newHouse(t)
	if _, _, err := h.newest().Change(h.root, nil, household.Change{}, h.now); !errors.Is(err, household.ErrLocked) {
		t.Errorf("wrapped what is not held: %v", err)
	}
	h.held = nil
	if s := h.change(t, household.Change{NewPeriod: true}); !opens(s, h.own.ids) {
		t.Error("a new period does not open")
	}
	if _, _, err := h.newest().Change(newKey(t), h.held, household.Change{}, h.now); !errors.Is(err, household.ErrOwner) {
		t.Errorf("changed by another key: %v", err)
	}
}

func TestKeysCanBeTakenAway(t *testing.T) {
	h := newHouse(t)
	s, err := household.Verify(h.newest().Envelope(), h.owner)
	must(t, err)
	if s.HasKeys() || s.Hash() != h.newest().Hash() || !h.newest().HasKeys() {
		t.Error("without its keys it is another statement")
	}
	if _, err := s.Open(h.own.ids); !errors.Is(err, household.ErrLocked) {
		t.Errorf("opened without keys: %v", err)
	}
	if _, err := h.newest().Open(nil); !errors.Is(err, household.ErrLocked) {
		t.Errorf("opened without an identity: %v", err)
	}
}

// The largest household fits.
func TestLargest(t *testing.T) {
	h := newHouse(t)
	var add []household.Invitation
	for i := range household.MaxMembers - 1 {
		p := newPerson(t)
		in := h.invite(t, p, strings.Repeat("Ж", 60)+fmt.Sprint(i), ownership.RoleGuest)
		in.Past, in.Until = true, h.now.Add(3000*day)
		add = append(add, in)
	}
	var held household.Identities
	for range household.MaxPeriods - 1 {
		held = append(held, newIdentity(t))
	}
	s, held, err := household.Found(h.root, held, h.invite(t, h.own, "owner", ownership.RoleOwner), household.Change{Retention: household.MaxRetention}, h.now)
	must(t, err)
	h.chain, h.held = []*household.Signed{s}, held
	s = h.change(t, household.Change{Add: add, NewPeriod: true})
	t.Logf("%d members and %d periods: an envelope of %d bytes, %d with its keys", len(s.Members), len(s.Periods), len(s.Envelope()), len(s.Bytes()))
	if len(s.Members) != household.MaxMembers || len(s.Periods) != household.MaxPeriods {
		t.Errorf("%d members, %d periods", len(s.Members), len(s.Periods))
	}
	for c, what := range map[*household.Change]string{
		{NewPeriod: true}: "another period", {Add: []household.Invitation{h.invite(t, newPerson(t), "x", ownership.RoleViewer)}}: "another member",
		{Retention: household.MaxRetention + time.Hour}: "a longer retention", {Rotation: time.Hour}: "a period of an hour",
	} {
		if _, _, err := s.Change(h.root, h.held, *c, h.now); !errors.Is(err, household.ErrField) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	id, sheet := newIdentity(t), household.NewSecret()
	keeper, err := sheet.Keeper()
	must(t, err)
	var said bytes.Buffer
	for _, v := range []any{id, household.Identities{id}, sheet, keeper, struct{ X any }{id}, &sheet} {
		fmt.Fprintf(&said, "%v %+v %#v %s %q\n", v, v, v, v, v)
		slog.New(slog.NewTextHandler(&said, nil)).Info("x", "v", v)
	}
	word, _, _ := strings.Cut(sheet.Words(), " ")
	for _, bad := range []string{id.Secret(), "AGE-SECRET", word + " ", fmt.Sprintf("%x", keeper.BoxKey())} {
		if strings.Contains(said.String(), bad) {
			t.Errorf("printed: %s", said.String())
		}
	}
}

// Whatever happens to a household, each statement follows the one before, who is a member
// and awake opens the current period, and who was removed opens no period that began after.
func TestLives(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 1))
		h := newHouse(t)
		var people []*person
		shut := map[*person]uint64{} // removed, and the first period that is closed to them
		for range 25 {
			h.now = h.now.Add(time.Duration(rng.Int64N(int64(20 * day))))
			c := household.Change{NewPeriod: rng.IntN(4) == 0, Cards: []*household.Card{h.own.card(t, h.owner)}}
			var gone *person
			switch n := rng.IntN(4); {
			case n == 0 && len(people) < 6:
				p := newPerson(t)
				in := h.invite(t, p, "x", ownership.RoleViewer)
				in.Past = rng.IntN(2) == 0
				c.Add, people = append(c.Add, in), append(people, p)
			case n == 1 && len(people) > 0:
				i := rng.IntN(len(people))
				gone = people[i]
				c.Remove, people = append(c.Remove, spki(t, gone.key)), slices.Delete(people, i, i+1)
			case n == 2 && len(people) > 0:
				c.Cards = append(c.Cards, people[rng.IntN(len(people))].card(t, h.owner))
			}
			s := h.change(t, c)
			if gone != nil {
				shut[gone] = s.Current().Number
			}
			for _, p := range append(people, h.own) {
				m, listed := s.Member(spki(t, p.key))
				awake := m.Since+(s.Rotation+s.Retention).Milliseconds() >= s.Created
				if !listed || opens(s, p.ids) != awake {
					t.Fatalf("seed %d: statement %d: listed %v, awake %v", seed, s.Serial, listed, awake)
				}
			}
		}
		for p, from := range shut {
			for _, s := range h.chain {
				got, _ := s.Open(p.ids)
				for _, id := range got {
					if period, _ := s.PeriodOf(id.Recipient()); period.Number >= from {
						t.Fatalf("seed %d: removed before period %d, and opens %d", seed, from, period.Number)
					}
				}
			}
		}
		events, err := household.History(h.chain)
		must(t, err)
		if len(events) != len(h.chain) {
			t.Fatalf("%d events of %d statements", len(events), len(h.chain))
		}
	}
}
