package household_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"os"
	"testing"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/statement"
	"github.com/lensward/lensward/transport/vectortest"
)

// maker writes vectors.
type maker struct {
	testing.TB
	h *house
}

func makeVectors(t testing.TB) {
	must(t, os.RemoveAll(vectorDir))
	must(t, os.MkdirAll(vectorDir, 0o755))
	m := maker{t, newHouse(t)}
	m.statements()
	m.broken()
	m.successions()
	m.keys()
	m.cards()
	m.boxes()
}

// write writes a vector, which must be read as it expects.
func (m maker) write(v vector, b []byte) {
	m.Helper()
	v.Bytes = base64.RawURLEncoding.EncodeToString(b)
	if v.Owner.IsZero() {
		v.Owner = m.h.owner
	}
	said, err := v.read(m)
	if v.Expect == "ok" {
		must(m, err)
		v.Says = said
	} else if reasonOf(err) != v.Expect {
		m.Fatalf("%s: got %v, want %s", v.Name, err, v.Expect)
	}
	vectortest.Write(m, vectorDir, v.Name, v)
}

func (m maker) statements() {
	h := m.h
	first := h.newest()
	m.write(vector{Name: "statement-good-first", About: "an owner alone", Kind: "statement", Expect: "ok"}, first.Bytes())
	m.write(vector{Name: "statement-good-no-keys", About: "its keys were taken away", Kind: "statement", Expect: "ok"}, first.Envelope())
	phone, guest := newPerson(m), newPerson(m)
	in, sitter := h.invite(m, phone, "Jo's phone", ownership.RoleViewer), h.invite(m, guest, "Ö sitter", ownership.RoleGuest)
	in.Past, sitter.Until = true, h.now.Add(7*day)
	s := h.change(m, household.Change{Add: []household.Invitation{in, sitter}})
	m.write(vector{Name: "statement-good-three", About: "an owner, a viewer and a guest; two periods", Kind: "statement", Expect: "ok"}, s.Bytes())
	periods, members := first.Periods, first.Members
	period := func(change func(p *household.Period)) []household.Period {
		p := periods[0]
		change(&p)
		return []household.Period{p}
	}
	member := func(change func(p *household.Member)) []household.Member {
		p := members[0]
		change(&p)
		return []household.Member{p}
	}
	x25519, err := age.GenerateX25519Identity()
	must(m, err)
	old := x25519.Recipient().String()
	hash := sha256.Sum256([]byte(old))
	twice := append(members[:1:1], members[0])
	for _, c := range []struct {
		name, expect, about string
		change              fields
	}{
		{"label", "unknown-version", "version 2", fields{0: "lensward/household/2"}},
		{"label-of-card", "unknown-version", "a card's label", fields{0: household.LabelCard}},
		{"serial-0", "bad-field", "serial 0", fields{3: 0}},
		{"serial-2", "bad-field", "serial 2 without the statement before", fields{3: 2}},
		{"serial-2-53", "bad-field", "serial 2^53", fields{3: uint64(1) << 53}},
		{"serial-negative", "malformed", "serial -1", fields{3: -1}},
		{"first-with-previous", "bad-field", "the first names one before it", fields{4: bytes.Repeat([]byte{1}, 32)}},
		{"previous-short", "bad-field", "a hash of 31 bytes", fields{3: 2, 4: make([]byte, 31)}},
		{"previous-zero", "bad-field", "a hash of zeros", fields{3: 2, 4: make([]byte, 32)}},
		{"created-negative", "bad-field", "created before 1970", fields{5: -1}},
		{"rotation-0", "bad-field", "no rotation", fields{6: 0}},
		{"rotation-hour", "bad-field", "a period of an hour", fields{6: 3_600_000}},
		{"rotation-2-63", "bad-field", "a period of 2^63 ms", fields{6: uint64(1) << 63}},
		{"retention-0", "bad-field", "no retention", fields{7: 0}},
		{"retention-years", "bad-field", "a retention of 11 years", fields{7: uint64(11 * 366 * 86_400_000)}},
		{"retention-float", "malformed", "a retention of 1.5", fields{7: 1.5}},
		{"no-periods", "bad-field", "no periods", fields{8: []any{}}},
		{"period-ended", "bad-field", "the current period has ended", fields{8: period(func(p *household.Period) { p.Until = h.now.UnixMilli() })}},
		{"period-0", "bad-field", "period 0", fields{8: period(func(p *household.Period) { p.Number = 0 })}},
		{"period-later", "bad-field", "the current period begins after the statement", fields{8: period(func(p *household.Period) { p.From = h.now.UnixMilli() + 1 })}},
		{"period-other-recipient", "bad-field", "the current period's recipient is another", fields{8: period(func(p *household.Period) { p.Recipient[0] ^= 1 })}},
		{"recipient-classic", "bad-field", "a recipient that is not post-quantum", fields{8: period(func(p *household.Period) { p.Recipient = hash }), 9: old}},
		{"recipient-upper", "bad-field", "a recipient in another spelling", fields{9: "AGE1PQ1"}},
		{"no-members", "bad-field", "no members", fields{10: []any{}}},
		{"member-twice", "bad-field", "a member who is listed twice", fields{10: twice}},
		{"member-name", "bad-field", "a name with a line break", fields{10: member(func(p *household.Member) { p.Name = "a\nb" })}},
		{"member-role", "bad-field", "role 4", fields{10: member(func(p *household.Member) { p.Role = 4 })}},
		{"member-guest", "bad-field", "a guest without a date", fields{10: member(func(p *household.Member) { p.Role = ownership.RoleGuest })}},
		{"member-classic", "bad-field", "a member's recipient that is not post-quantum", fields{10: member(func(p *household.Member) { p.Recipient = old })}},
		{"member-card-0", "bad-field", "card 0", fields{10: member(func(p *household.Member) { p.Card = 0 })}},
		{"member-later", "bad-field", "a recipient from after the statement", fields{10: member(func(p *household.Member) { p.Since = h.now.UnixMilli() + 1 })}},
		{"member-key", "bad-field", "a member's key that is none", fields{10: member(func(p *household.Member) { p.Key = []byte{1} })}},
		{"keys-0", "bad-field", "keys of 0 bytes", fields{11: 0}},
		{"keys-hash-short", "bad-field", "a hash of the keys of 31 bytes", fields{12: make([]byte, 31)}},
		{"field-13", "not-canonical", "a field that is not known", fields{13: 1}},
		{"no-recipient", "bad-field", "the recipient is missing", fields{9: nil}},
		{"owner-short", "bad-field", "an owner ID of 31 bytes", fields{1: h.owner[:31]}},
		{"owner-other", "wrong-owner", "another owner's ID", fields{1: make([]byte, 32)}},
	} {
		m.write(vector{Name: "statement-bad-" + c.name, About: c.about, Kind: "statement", Expect: c.expect}, h.sign(m, fieldsOf(m, first), c.change))
	}
}

// broken are bytes that are no statement of the owner, or changed.
func (m maker) broken() {
	h := m.h
	first, other := h.chain[0], newHouse(m)
	b, env := first.Bytes(), first.Envelope()
	flip := func(at int) []byte {
		c := bytes.Clone(b)
		c[at] ^= 1
		return c
	}
	foreign, err := statement.Sign(other.root, fieldsOf(m, first))
	must(m, err)
	claimed, err := statement.Sign(other.root, func() fields { f := fieldsOf(m, other.newest()); f[1] = h.owner[:]; return f }())
	must(m, err)
	for _, c := range []struct {
		name, expect, about string
		b                   []byte
	}{
		{"empty", "truncated", "nothing", nil},
		{"cut", "truncated", "the envelope's last byte is missing", env[:len(env)-1]},
		{"cut-keys", "bad-keys", "the keys' last byte is missing", b[:len(b)-1]},
		{"longer", "bad-keys", "a byte after the keys", append(bytes.Clone(b), 0)},
		{"other-keys", "bad-keys", "a bit of the keys", flip(len(b) - 1)},
		{"flipped", "bad-signature", "a bit of the signature", flip(len(env) - 1)},
		{"by-another", "bad-signature", "signed by another key", foreign},
		{"claimed", "wrong-owner", "another's key beside the owner's ID", claimed},
		{"other-owner", "wrong-owner", "a good one of another owner", other.newest().Bytes()},
		{"page", "malformed", "a web page", []byte("<html></html>")},
		{"too-large", "too-large", "262,145 bytes", append(bytes.Clone(b), make([]byte, household.MaxEnvelope+household.MaxKeys+1-len(b))...)},
	} {
		if c.name == "too-large" { // a quarter of a megabyte of zeros is no file worth keeping
			if _, err := household.Verify(c.b, h.owner); reasonOf(err) != c.expect {
				m.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		m.write(vector{Name: "statement-bad-" + c.name, About: c.about, Kind: "statement", Expect: c.expect}, c.b)
	}
}

func (m maker) successions() {
	h, all := successions(m)
	for _, c := range all {
		expect := "ok"
		if c.want != nil {
			expect = reasonOf(c.want)
		}
		owner := h.owner
		if c.next.Owner != owner {
			owner = c.next.Owner
		}
		m.write(vector{
			Name: "succession-" + c.name, About: c.about, Kind: "succession", Owner: owner, Expect: expect,
			Known: base64.RawURLEncoding.EncodeToString(c.known.Envelope()),
		}, c.next.Envelope())
	}
}

// withKeys is a statement with these keys, whatever they are.
func (m maker) withKeys(keys []byte) []byte {
	sum := sha256.Sum256(keys)
	return append(m.h.sign(m, fieldsOf(m, m.h.chain[0]), fields{11: len(keys), 12: sum[:]}), keys...)
}

func (m maker) keys() {
	h := newHouse(m)
	m.h = h
	p := newPerson(m)
	in := h.invite(m, p, "phone", ownership.RoleViewer)
	in.Past = true
	h.change(m, household.Change{NewPeriod: true})
	s := h.change(m, household.Change{Add: []household.Invitation{in}})
	own, phone := []string{h.own.ids[0].Secret()}, []string{p.ids[0].Secret()}
	write := func(name, expect, about string, ids []string, b []byte) {
		m.write(vector{Name: "keys-" + name, About: about, Kind: "keys", Expect: expect, Identities: ids}, b)
	}
	write("good-current", "ok", "the current identity, for a member who had the earlier one", own, s.Bytes())
	write("good-past", "ok", "the current identity and the earlier one, for a new member", phone, s.Bytes())
	write("bad-stranger", "locked", "for others", []string{newIdentity(m).Secret()}, s.Bytes())
	write("bad-taken-away", "locked", "no keys", own, s.Envelope())
	to := []household.Identity{h.own.ids[0]}
	marshal := func(files ...[]byte) []byte {
		b, err := statement.Marshal(files)
		must(m, err)
		return b
	}
	current := h.chain[0].Recipient
	id, _ := h.held.For(current)
	good := m.encrypt(household.Identities{id}.File(), to)
	write("good-by-hand", "ok", "made by hand, with a comment", own, m.withKeys(marshal(m.encrypt(append([]byte("# period 1\n\n"), household.Identities{id}.File()...), to))))
	write("bad-other-identity", "bad-keys", "an identity of no period", own, m.withKeys(marshal(m.encrypt(household.Identities{newIdentity(m)}.File(), to))))
	write("bad-no-identity", "bad-keys", "no identity inside", own, m.withKeys(marshal(m.encrypt([]byte("nothing\n"), to))))
	write("bad-three-files", "bad-keys", "three age files", own, m.withKeys(marshal(good, good, good)))
	write("bad-no-files", "bad-keys", "no age file", own, m.withKeys([]byte{0x80}))
	write("bad-not-cbor", "bad-keys", "an age file alone", own, m.withKeys(good))
	write("bad-cut", "bad-keys", "an age file whose last byte is missing", own, m.withKeys(marshal(good[:len(good)-1])))
}

func (m maker) encrypt(plain []byte, to []household.Identity) []byte {
	var out bytes.Buffer
	var recipients []age.Recipient
	for _, id := range to {
		r, err := age.ParseHybridRecipient(id.Recipient())
		must(m, err)
		recipients = append(recipients, r)
	}
	w, err := age.Encrypt(&out, recipients...)
	must(m, err)
	_, err = w.Write(plain)
	must(m, err)
	must(m, w.Close())
	return out.Bytes()
}

func (m maker) cards() {
	key, id, x25519 := newKey(m), newIdentity(m), "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg"
	f := func(change fields) []byte {
		f := fields{0: household.LabelCard, 1: m.h.owner[:], 2: spki(m, key), 3: 7, 4: id.Recipient()}
		for k, v := range change {
			f[k] = v
			if v == nil {
				delete(f, k)
			}
		}
		b, err := statement.Sign(key, f)
		must(m, err)
		return b
	}
	good := f(nil)
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	for _, c := range []struct {
		name, expect, about string
		b                   []byte
	}{
		{"good", "ok", "card 7", good},
		{"bad-label", "unknown-version", "version 2", f(fields{0: "lensward/member/2"})},
		{"bad-owner", "wrong-owner", "for another owner", f(fields{1: make([]byte, 32)})},
		{"bad-owner-short", "bad-field", "an owner ID of 31 bytes", f(fields{1: make([]byte, 31)})},
		{"bad-key", "bad-signature", "another's key", f(fields{2: spki(m, newKey(m))})},
		{"bad-no-key", "bad-field", "a key that is none", f(fields{2: []byte{1}})},
		{"bad-number-0", "bad-field", "number 0", f(fields{3: 0})},
		{"bad-number-2-53", "bad-field", "number 2^53", f(fields{3: uint64(1) << 53})},
		{"bad-classic", "bad-field", "a recipient that is not post-quantum", f(fields{4: x25519})},
		{"bad-field-5", "not-canonical", "a field that is not known", f(fields{5: 1})},
		{"bad-flipped", "bad-signature", "a bit of the signature", flipped},
		{"bad-cut", "truncated", "its last byte is missing", good[:len(good)-1]},
		{"bad-longer", "malformed", "a byte after its end", append(bytes.Clone(good), 0)},
		{"bad-too-large", "too-large", "4,097 bytes", append(bytes.Clone(good), make([]byte, household.MaxCard+1-len(good))...)},
	} {
		m.write(vector{Name: "card-" + c.name, About: c.about, Kind: "card", Expect: c.expect}, c.b)
	}
}

func (m maker) boxes() {
	h := m.h
	for i, words := range bip39()[3:] {
		sheet, err := household.ParseSecret(words)
		must(m, err)
		b := household.Box{Root: h.root, Identities: h.held, Created: h.now}
		if i == 0 {
			b.Newest = h.newest()
		}
		box := sealBox(m, sheet, b)
		write := func(name, expect, about string, b []byte) {
			m.write(vector{Name: "box-" + name, About: about, Kind: "box", Expect: expect, Words: words}, b)
		}
		if i == 0 {
			write("good", "ok", "with the newest statement", box)
			continue
		}
		write("good-young", "ok", "from before there was a statement", box)
		write("bad-cut", "truncated", "its last byte is missing", box[:len(box)-1])
		flipped := bytes.Clone(box)
		flipped[len(flipped)-1] ^= 1
		write("bad-flipped", "bad-mac", "a bit of it", flipped)
		write("bad-other-sheet", "bad-mac", "made for another sheet", sealBox(m, household.NewSecret(), b))
		b.Newest = newHouse(m).newest()
		write("bad-two-owners", "wrong-owner", "the statement is another owner's than the root key", sealBox(m, sheet, b))
		m.boxByHand(sheet, write)
	}
}

// rootDER is the root key in PKCS #8.
func (m maker) rootDER() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(m.h.root)
	must(m, err)
	return der
}

// boxByHand are boxes that were made with the right key and hold what they should not.
func (m maker) boxByHand(sheet household.Secret, write func(name, expect, about string, b []byte)) {
	keeper, err := sheet.Keeper()
	must(m, err)
	make := func(change fields) []byte {
		f := fields{0: household.LabelBox, 1: m.rootDER(), 2: string(m.h.held.File()), 3: m.h.now.UnixMilli()}
		for k, v := range change {
			f[k] = v
		}
		plain, err := statement.Marshal(f)
		must(m, err)
		var out bytes.Buffer
		r, err := age.ParseHybridRecipient(keeper.Recipient)
		must(m, err)
		w, err := age.Encrypt(&out, r)
		must(m, err)
		_, err = w.Write(plain)
		must(m, err)
		must(m, w.Close())
		mac := hmac.New(sha256.New, keeper.BoxKey())
		mac.Write(out.Bytes())
		b, err := statement.Marshal([]any{mac.Sum(nil), out.Bytes()})
		must(m, err)
		return b
	}
	write("good-by-hand", "ok", "made by hand", make(nil))
	write("bad-label", "unknown-version", "version 2", make(fields{0: "lensward/recovery-box/2"}))
	write("bad-root", "bad-field", "a root key that is none", make(fields{1: []byte{1}}))
	write("bad-field-5", "not-canonical", "a field that is not known", make(fields{5: 1}))
	write("bad-created", "bad-field", "created before 1970", make(fields{3: -1}))
}
