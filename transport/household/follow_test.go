package household_test

import (
	"errors"
	"testing"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/statement"
)

// fields are a statement's CBOR map, with nothing checked.
type fields map[int]any

// fieldsOf are those of a statement, which keep its keys.
func fieldsOf(t testing.TB, s *household.Signed) fields {
	t.Helper()
	env, _, err := statement.Parse(s.Bytes(), household.MaxEnvelope)
	must(t, err)
	var f fields
	must(t, statement.Unmarshal(env.Payload, &f))
	return f
}

// sign signs fields, changed, with no keys behind.
func (h *house) sign(t testing.TB, f fields, change fields) []byte {
	t.Helper()
	for k, v := range change {
		f[k] = v
		if v == nil {
			delete(f, k)
		}
	}
	b, err := statement.Sign(h.root, f)
	must(t, err)
	return b
}

// forged is a statement of the owner's own making, with what no Change would do.
func (h *house) forged(t testing.TB, of *household.Signed, change fields) *household.Signed {
	t.Helper()
	s, err := household.Verify(h.sign(t, fieldsOf(t, of), change), h.owner)
	must(t, err)
	return s
}

// succession is a pair of statements and what a reader of the first makes of the second.
type succession struct {
	name, about string
	known, next *household.Signed
	want        error
}

// successions are those of a small household with a past.
func successions(t testing.TB) (*house, []succession) {
	h, phone, other := newHouse(t), newPerson(t), newPerson(t)
	h.now = h.now.Add(day)
	h.change(t, household.Change{NewPeriod: true})
	in := h.invite(t, phone, "phone", ownership.RoleViewer)
	in.Past = true
	known := h.change(t, household.Change{Add: []household.Invitation{in}})
	before := h.chain[1]
	h.now = h.now.Add(day)
	add := h.invite(t, other, "tablet", ownership.RoleViewer)
	add.Past = true
	make := func(c household.Change) *household.Signed {
		s, _, err := known.Change(h.root, h.held, c, h.now)
		must(t, err)
		return s
	}
	plain, rotated := make(household.Change{}), make(household.Change{NewPeriod: true})
	added, removed := make(household.Change{Add: []household.Invitation{add}}), make(household.Change{Remove: [][]byte{in.Card.Key}})
	renewed := make(household.Change{Cards: []*household.Card{phone.card(t, h.owner)}})
	short := make(household.Change{Retention: household.MinRetention})
	third, _, err := plain.Change(h.root, h.held, household.Change{}, h.now)
	must(t, err)
	periods := func(s *household.Signed, change func(p []household.Period) []household.Period) any {
		return change(append([]household.Period(nil), s.Periods...))
	}
	members := func(s *household.Signed, change func(m []household.Member) []household.Member) any {
		return change(append([]household.Member(nil), s.Members...))
	}
	otherHouse := newHouse(t)
	return h, []succession{
		{"same", "the known one itself", known, known, nil},
		{"plain", "nothing changed", known, plain, nil},
		{"rotated", "a new period", known, rotated, nil},
		{"added", "a new member", known, added, nil},
		{"removed", "a member removed, with a new period", known, removed, nil},
		{"renewed", "a newer card", known, renewed, nil},
		{"short-retention", "a shorter retention, and the first period left out", known, short, nil},
		{"other-owner", "of another household", known, otherHouse.newest(), household.ErrOwner},
		{"roll-back", "the one before", known, before, household.ErrRollBack},
		{"twin", "another with the known one's serial", plain, rotated, household.ErrFork},
		{"other-before", "it follows another than the known one", rotated, third, household.ErrFork},
		{"gap", "one in between is missing", known, third, household.ErrGap},
		{"older", "created before the known one", plain, h.forged(t, third, fields{5: plain.Created - 1}), household.ErrSuccession},
		{"no-new-period", "a member removed without a new period", known,
			h.forged(t, plain, fields{10: members(plain, func(m []household.Member) []household.Member { return m[:1] })}), household.ErrSuccession},
		{"moved-period", "an earlier period that ended at another time", known,
			h.forged(t, plain, fields{8: periods(plain, func(p []household.Period) []household.Period { p[0].Until--; return p })}), household.ErrSuccession},
		{"hole", "a period in the middle left out", rotated,
			h.forged(t, third, fields{3: rotated.Serial + 1, 4: hashBytes(rotated), 8: periods(rotated, func(p []household.Period) []household.Period { p[1].Recipient[0] ^= 1; return p }), 9: rotated.Recipient}), household.ErrSuccession},
		{"late-start", "a new period that does not begin where the one before ended", known,
			h.forged(t, rotated, fields{8: periods(rotated, func(p []household.Period) []household.Period { p[1].Until--; return p })}), household.ErrSuccession},
		{"two-periods", "two new periods at once", known,
			h.forged(t, rotated, fields{8: periods(rotated, func(p []household.Period) []household.Period {
				p = append(p, p[2])
				p[2].Until, p[2].Recipient, p[3].Number = h.now.UnixMilli(), [32]byte{1}, p[3].Number+1
				return p
			})}), household.ErrSuccession},
		{"swapped-recipient", "a member's recipient changed, with the card it had", known,
			h.forged(t, plain, fields{10: members(plain, func(m []household.Member) []household.Member {
				m[1].Recipient = newIdentity(t).Recipient()
				return m
			})}), household.ErrSuccession},
		{"older-card", "a member's recipient changed to one of an older card", renewed,
			h.forged(t, third, fields{3: renewed.Serial + 1, 4: hashBytes(renewed), 10: members(renewed, func(m []household.Member) []household.Member {
				m[1].Card, m[1].Recipient = 1, in.Card.Recipient
				return m
			})}), household.ErrSuccession},
		{"young-again", "a member's recipient that is called newer than it is", known,
			h.forged(t, plain, fields{10: members(plain, func(m []household.Member) []household.Member { m[1].Since = h.now.UnixMilli(); return m })}), household.ErrSuccession},
		{"dated-back", "a new member who is called older", known,
			h.forged(t, added, fields{10: members(added, func(m []household.Member) []household.Member { m[2].Since = 0; return m })}), household.ErrSuccession},
	}
}

func hashBytes(s *household.Signed) []byte {
	h := s.Hash()
	return h[:]
}

func TestSuccession(t *testing.T) {
	_, all := successions(t)
	for _, c := range all {
		if err := c.next.Follows(c.known); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestHistory(t *testing.T) {
	h, phone := newHouse(t), newPerson(t)
	in := h.invite(t, phone, "phone", ownership.RoleViewer)
	in.Past = true
	h.change(t, household.Change{Add: []household.Invitation{in}})
	in.Name = "Jo's phone"
	h.change(t, household.Change{Add: []household.Invitation{in}, Cards: []*household.Card{phone.card(t, h.owner)}})
	h.now = h.now.Add(day)
	h.change(t, household.Change{Remove: [][]byte{in.Card.Key}, Retention: day})
	h.now = h.now.Add(2 * day)
	h.change(t, household.Change{})
	events, err := household.History(h.chain)
	must(t, err)
	for i, ok := range []bool{
		len(events[0].Added) == 1 && events[0].Period == 1 && events[0].Retention == household.DefaultRetention,
		len(events[1].Added) == 1 && events[1].Added[0].Name == "phone" && events[1].Period == 0,
		len(events[2].Altered) == 1 && events[2].Altered[0].Name == "Jo's phone" && len(events[2].Renewed) == 1 && len(events[2].Added) == 0,
		len(events[3].Removed) == 1 && events[3].Period == 2 && events[3].Retention == day && events[3].Rotation == 0,
		len(events[4].Dropped) == 1 && events[4].Dropped[0] == 1 && events[4].Period == 0,
	} {
		if !ok {
			t.Errorf("event %d: %+v", i, events[i])
		}
	}
	for name, chain := range map[string][]*household.Signed{
		"a hole": {h.chain[0], h.chain[2]}, "backwards": {h.chain[1], h.chain[0]}, "twice": {h.chain[0], h.chain[0]},
	} {
		if _, err := household.History(chain); err == nil {
			t.Errorf("%s is a history", name)
		}
	}
	if events, err := household.History(nil); err != nil || len(events) != 0 {
		t.Errorf("of nothing: %v, %v", events, err)
	}
}
