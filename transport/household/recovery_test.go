package household_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/statement"
)

// The list is BIP-39's, byte for byte.
func TestWordList(t *testing.T) {
	b, err := os.ReadFile("english.txt")
	must(t, err)
	sum := sha256.Sum256(b)
	if got := hex.EncodeToString(sum[:]); got != "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda" {
		t.Errorf("the list's hash is %s", got)
	}
}

// BIP-39's own test vectors of 256 bits, as far as they can be told by their words.
func bip39() []string {
	return []string{
		strings.Repeat("abandon ", 23) + "art",
		strings.Repeat("legal winner thank year wave sausage worth useful ", 2) + "legal winner thank year wave sausage worth title",
		strings.Repeat("letter advice cage absurd amount doctor acoustic avoid ", 2) + "letter advice cage absurd amount doctor acoustic bless",
		strings.Repeat("zoo ", 23) + "vote",
		"hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy gospel tennis maple dilemma loan word shrug inflict delay length",
	}
}

func TestWords(t *testing.T) {
	for _, words := range bip39() {
		s, err := household.ParseSecret(words)
		must(t, err)
		if s.Words() != words {
			t.Errorf("%q is read as %q", words, s.Words())
		}
		again, err := household.ParseSecret(" \n" + strings.ReplaceAll(s.QR(), " ", "\t\n "))
		if err != nil || again != s {
			t.Errorf("its QR code's text: %v", err)
		}
	}
	for range 200 {
		s := household.NewSecret()
		if again, err := household.ParseSecret(s.Words()); err != nil || again != s {
			t.Fatalf("%q: %v", s.Words(), err)
		}
	}
	good := bip39()[4]
	for name, text := range map[string]string{
		"nothing": "", "too few": good[:len(good)-7], "too many": good + " art", "no word": strings.Replace(good, "book", "bok", 1),
		"another word": strings.Replace(good, "book", "box", 1), "swapped": strings.Replace(good, "hamster diagram", "diagram hamster", 1),
		"long": strings.Repeat("zoo ", 200),
	} {
		_, err := household.ParseSecret(text)
		if err == nil || strings.Contains(err.Error(), "bok") || strings.Contains(err.Error(), "hamster") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := household.ParseSecret(strings.Replace(good, "book", "bok", 1)); !strings.Contains(err.Error(), "word 12") {
		t.Errorf("the wrong word's place is not told: %v", err)
	}
}

func sealBox(t testing.TB, s household.Secret, b household.Box) []byte {
	t.Helper()
	k, err := s.Keeper()
	must(t, err)
	box, err := k.Seal(b)
	must(t, err)
	return box
}

func TestBox(t *testing.T) {
	h, sheet := newHouse(t), household.NewSecret()
	box := sealBox(t, sheet, household.Box{Root: h.root, Identities: h.held, Created: h.now, Newest: h.newest()})
	got, err := sheet.Open(box)
	must(t, err)
	if !got.Root.Equal(h.root) || len(got.Identities) != 1 || got.Identities[0].Secret() != h.held[0].Secret() ||
		!got.Created.Equal(h.now) || got.Newest.Hash() != h.newest().Hash() {
		t.Errorf("%+v is not what was put in", got)
	}
	young, err := sheet.Open(sealBox(t, sheet, household.Box{Root: h.root, Identities: h.held, Created: h.now}))
	must(t, err)
	if young.Newest != nil {
		t.Error("a statement where there was none")
	}
	other, changed := household.NewSecret(), append([]byte(nil), box...)
	changed[len(changed)-1] ^= 1
	// A courier knows the locator, may know the recipient, and lacks the box key.
	keeper, err := sheet.Keeper()
	must(t, err)
	forger, err := household.NewKeeper(keeper.Recipient, keeper.Locator, make([]byte, 32))
	must(t, err)
	thief := newHouse(t)
	forged, err := forger.Seal(household.Box{Root: thief.root, Identities: thief.held, Created: h.now})
	must(t, err)
	for name, c := range map[string]struct {
		by   household.Secret
		box  []byte
		want error
	}{
		"another sheet": {other, box, household.ErrBox}, "changed": {sheet, changed, household.ErrBox},
		"forged": {sheet, forged, household.ErrBox}, "cut": {sheet, box[:len(box)-1], statement.ErrTruncated},
		"large": {sheet, make([]byte, household.MaxBox+1), statement.ErrTooLarge}, "nothing": {sheet, nil, statement.ErrTruncated},
		"of two owners": {sheet, sealBox(t, sheet, household.Box{Root: thief.root, Identities: h.held, Created: h.now, Newest: h.newest()}), household.ErrOwner},
	} {
		if _, err := c.by.Open(c.box); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestKeeperParts(t *testing.T) {
	k, err := household.NewSecret().Keeper()
	must(t, err)
	for name, c := range map[string]struct {
		recipient, locator string
		key                []byte
	}{
		"recipient": {"age1pq1x", k.Locator, k.BoxKey()}, "locator": {k.Recipient, strings.ToUpper(k.Locator) + "A", k.BoxKey()},
		"short key": {k.Recipient, k.Locator, k.BoxKey()[1:]}, "long key": {k.Recipient, k.Locator, append(k.BoxKey(), 0)},
	} {
		if _, err := household.NewKeeper(c.recipient, c.locator, c.key); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzParseSecret(f *testing.F) {
	for _, words := range bip39() {
		f.Add(words)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := household.ParseSecret(text)
		if err == nil && s.Words() != strings.Join(strings.Fields(strings.ToLower(text)), " ") {
			t.Errorf("%q is read as %q", text, s.Words())
		}
	})
}

func FuzzOpenBox(f *testing.F) {
	h := newHouse(f)
	sheet, err := household.ParseSecret(bip39()[4])
	must(f, err)
	f.Add(sealBox(f, sheet, household.Box{Root: h.root, Identities: h.held, Created: h.now, Newest: h.newest()}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if box, err := sheet.Open(b); (box == nil) == (err == nil) {
			t.Errorf("%v and %v", box, err)
		}
	})
}
