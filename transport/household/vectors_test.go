package household_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"slices"
	"testing"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
	"github.com/lensward/lensward/transport/vectortest"
)

var update = flag.Bool("update", false, "make the test vectors anew, with new keys")

const vectorDir = "testdata/vectors"

// vector is one file. testdata/README.md says what is in it.
type vector struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// Kind is statement, succession, keys, card or box.
	Kind   string  `json:"kind"`
	Owner  seal.ID `json:"owner"`
	Expect string  `json:"expect"`
	// Bytes are what is read, base64url; Known the statement that is known by then.
	Bytes string `json:"bytes"`
	Known string `json:"known,omitempty"`
	// Identities are the member's; Words the sheet's.
	Identities []string `json:"identities,omitempty"`
	Words      string   `json:"words,omitempty"`
	Says       *says    `json:"says,omitempty"`
}

// says is what a good one says.
type says struct {
	Hash       *seal.Hash `json:"hash,omitempty"`
	Serial     uint64     `json:"serial,omitempty"`
	Period     uint64     `json:"period,omitempty"`
	Recipient  string     `json:"recipient,omitempty"`
	Members    []string   `json:"members,omitempty"`
	Periods    []uint64   `json:"periods,omitempty"`
	Number     uint64     `json:"number,omitempty"`
	Recipients []string   `json:"recipients,omitempty"`
	Locator    string     `json:"locator,omitempty"`
}

// reasonOf is docs/ref/household.md's word for an error, "" if there is none.
func reasonOf(err error) string {
	for _, r := range []struct {
		is   error
		word string
	}{
		{household.ErrLabel, "unknown-version"}, {household.ErrField, "bad-field"}, {household.ErrOwner, "wrong-owner"},
		{household.ErrKeys, "bad-keys"}, {household.ErrRollBack, "roll-back"}, {household.ErrFork, "fork"}, {household.ErrGap, "gap"},
		{household.ErrSuccession, "bad-succession"}, {household.ErrLocked, "locked"}, {household.ErrBox, "bad-mac"},
	} {
		if errors.Is(err, r.is) {
			return r.word
		}
	}
	return statement.Reason(err)
}

func decode(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	must(t, err)
	return b
}

func TestVectors(t *testing.T) {
	if *update {
		makeVectors(t)
	}
	count := map[string]int{}
	for _, v := range vectortest.Read[vector](t, vectorDir) {
		t.Run(v.Name, func(t *testing.T) {
			said, err := v.read(t)
			if v.Expect != "ok" {
				if got := reasonOf(err); err == nil || got != v.Expect {
					t.Fatalf("got %q (%v), want %q", got, err, v.Expect)
				}
				return
			}
			must(t, err)
			got, err := json.Marshal(said)
			must(t, err)
			want, err := json.Marshal(v.Says)
			must(t, err)
			if string(got) != string(want) {
				t.Errorf("it says %s, want %s", got, want)
			}
		})
		count[v.Kind+" "+map[bool]string{true: "good", false: "bad"}[v.Expect == "ok"]]++
	}
	t.Log(count)
	for what, least := range map[string]int{
		"statement good": 3, "statement bad": 30, "succession good": 6, "succession bad": 12, "keys good": 2, "keys bad": 4,
		"card good": 1, "card bad": 8, "box good": 2, "box bad": 4,
	} {
		if count[what] < least {
			t.Errorf("%d vectors: %s, want at least %d", count[what], what, least)
		}
	}
}

// read reads a vector as its kind is read.
func (v vector) read(t testing.TB) (*says, error) {
	t.Helper()
	b := decode(t, v.Bytes)
	switch v.Kind {
	case "card":
		c, err := household.VerifyCard(b, v.Owner)
		if err != nil {
			return nil, err
		}
		return &says{Number: c.Number, Recipient: c.Recipient}, nil
	case "box":
		return v.readBox(t, b)
	}
	s, err := household.Verify(b, v.Owner)
	switch {
	case v.Kind == "statement" && err != nil:
		return nil, err
	case v.Kind == "succession":
		must(t, err)
		known, err := household.Verify(decode(t, v.Known), known(t, v))
		must(t, err)
		if err := s.Follows(known); err != nil {
			return nil, err
		}
		return nil, nil
	case v.Kind == "keys":
		must(t, err)
		ids, err := household.ParseIdentities([]byte(v.Identities[0]))
		must(t, err)
		got, err := s.Open(ids)
		if err != nil {
			return nil, err
		}
		said := &says{}
		for _, id := range got {
			said.Recipients = append(said.Recipients, id.Recipient())
		}
		return said, nil
	}
	return saysOf(s), err
}

// known is the owner of the known statement, who may be another than that of the next.
func known(t testing.TB, v vector) seal.ID {
	t.Helper()
	env, _, err := statement.Parse(decode(t, v.Known), household.MaxEnvelope)
	must(t, err)
	var f fields
	must(t, statement.Unmarshal(env.Payload, &f))
	return seal.ID(f[1].([]byte))
}

func saysOf(s *household.Signed) *says {
	hash := s.Hash()
	out := &says{Hash: &hash, Serial: s.Serial, Period: s.Current().Number, Recipient: s.Recipient}
	for _, m := range s.Members {
		out.Members = append(out.Members, m.Name)
	}
	for _, p := range s.Periods {
		out.Periods = append(out.Periods, p.Number)
	}
	return out
}

func (v vector) readBox(t testing.TB, b []byte) (*says, error) {
	t.Helper()
	sheet, err := household.ParseSecret(v.Words)
	must(t, err)
	box, err := sheet.Open(b)
	if err != nil {
		return nil, err
	}
	keeper, err := sheet.Keeper()
	must(t, err)
	said := &says{Locator: keeper.Locator, Recipient: keeper.Recipient}
	for _, id := range box.Identities {
		said.Recipients = append(said.Recipients, id.Recipient())
	}
	if box.Newest != nil {
		said.Serial = box.Newest.Serial
	}
	return said, nil
}

func FuzzVerify(f *testing.F) {
	owners := seedFuzz(f, "statement")
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := household.Verify(b, owners[0])
		if (s == nil) == (err == nil) {
			t.Fatalf("%v and %v", s, err)
		}
		if err != nil {
			if reasonOf(err) == "" {
				t.Errorf("refused without a reason: %v", err)
			}
			return
		}
		if string(s.Bytes()) != string(b) {
			t.Error("read and written, it is something else")
		}
		if err := s.Follows(s); err != nil {
			t.Errorf("it does not follow itself: %v", err)
		}
	})
}

func FuzzVerifyCard(f *testing.F) {
	owners := seedFuzz(f, "card")
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := household.VerifyCard(b, owners[0])
		if (c == nil) == (err == nil) || err != nil && reasonOf(err) == "" {
			t.Fatalf("%v and %v", c, err)
		}
	})
}

// seedFuzz adds the vectors of a kind, and gives their owners.
func seedFuzz(f *testing.F, kind string) []seal.ID {
	var owners []seal.ID
	for _, v := range vectortest.Read[vector](f, vectorDir) {
		if v.Kind == kind {
			f.Add(decode(f, v.Bytes))
			if v.Expect == "ok" && !slices.Contains(owners, v.Owner) {
				owners = append(owners, v.Owner)
			}
		}
	}
	return owners
}

// FuzzParseIdentities asserts that what is read is written back.
func FuzzParseIdentities(f *testing.F) {
	f.Add([]byte("# a comment\n\nAGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ids, err := household.ParseIdentities(b)
		if err != nil {
			return
		}
		again, err := household.ParseIdentities(ids.File())
		if err != nil || string(again.File()) != string(ids.File()) {
			t.Errorf("%v, and it is another file", err)
		}
	})
}
