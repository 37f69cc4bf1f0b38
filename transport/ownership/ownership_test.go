package ownership_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
	"github.com/lensward/lensward/transport/vectortest"
)

var update = flag.Bool("update", false, "make the test vectors anew, with new keys")

const vectorDir = "testdata/vectors"

// vector is one file: an ownership and whether it verifies.
type vector struct {
	Name      string `json:"name"`
	About     string `json:"about"`
	Ownership string `json:"ownership"`
	// OK says that it reads and verifies; else it must not.
	OK bool `json:"ok"`
	// Hash, Owner and Device are what a good one says.
	Hash   string `json:"hash,omitempty"`
	Owner  string `json:"owner,omitempty"`
	Device string `json:"device,omitempty"`
}

// pair is an owner and a device.
type pair struct{ owner, device *ecdsa.PrivateKey }

func newPair(t testing.TB) pair {
	return pair{newKey(t), newKey(t)}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func spki(t testing.TB, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := statement.SPKI(k.Public())
	must(t, err)
	return b
}

// record is a plausible first record of the pair.
func (p pair) record(t testing.TB) ownership.Record {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	must(t, err)
	dk, ok := spki(t, p.device), spki(t, p.owner)
	return ownership.Record{
		Device: seal.KeyID(dk), DeviceKey: dk, Owner: seal.KeyID(ok), OwnerKey: ok,
		Epoch: 1, Revision: 1, Acquired: ownership.AcquiredPaired, Created: time.UnixMilli(1_771_000_000_000),
		Recipients: []ownership.Recipient{{Kind: ownership.RecipientHousehold, Age: id.Recipient().String()}},
		Viewers:    []ownership.Viewer{{Key: spki(t, newKey(t)), Name: "Jo's phone", Role: ownership.RoleViewer}},
	}
}

func (p pair) sign(t testing.TB, r ownership.Record) *ownership.Signed {
	t.Helper()
	s, err := ownership.Sign(p.owner, r)
	must(t, err)
	return s
}

func (p pair) accept(t testing.TB, s *ownership.Signed) *ownership.Ownership {
	t.Helper()
	o, err := s.Accept(p.device, ownership.Acceptance{
		Boot: 3, Protection: seal.ProtectionFile, Accepted: time.UnixMilli(1_771_000_000_001), Firmware: "1.0",
	})
	must(t, err)
	return o
}

func TestVectors(t *testing.T) {
	if *update {
		makeVectors(t)
	}
	all := vectortest.Read[vector](t, vectorDir)
	if len(all) < 12 {
		t.Fatalf("%d vectors, want at least 12", len(all))
	}
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			raw, err := base64.RawURLEncoding.DecodeString(v.Ownership)
			must(t, err)
			o, err := ownership.Parse(raw)
			if err == nil {
				err = o.Verify()
			}
			if (err == nil) != v.OK {
				t.Fatalf("got %v, want ok %v", err, v.OK)
			}
			if v.OK && (o.Hash().String() != v.Hash || o.Record.Owner.String() != v.Owner || o.Record.Device.String() != v.Device) {
				t.Errorf("read as %s of %s by %s", o.Hash(), o.Record.Device, o.Record.Owner)
			}
		})
	}
}

func makeVectors(t *testing.T) {
	p := newPair(t)
	must(t, os.MkdirAll(vectorDir, 0o755))
	write := func(name, about string, ok bool, raw []byte) {
		v := vector{Name: name, About: about, Ownership: base64.RawURLEncoding.EncodeToString(raw), OK: ok}
		if ok {
			o, err := ownership.Parse(raw)
			must(t, err)
			v.Hash, v.Owner, v.Device = o.Hash().String(), o.Record.Owner.String(), o.Record.Device.String()
		}
		vectortest.Write(t, vectorDir, name, v)
	}
	first := p.accept(t, p.sign(t, p.record(t)))
	write("good-first", "the first record of a camera", true, first.Bytes())
	second := first.Record
	second.Revision, second.Previous, second.Viewers = 2, first.Hash(), nil
	write("good-revision", "the second revision, without viewers", true, p.accept(t, p.sign(t, second)).Bytes())
	other := newPair(t)
	foreign := other.accept(t, other.sign(t, other.record(t)))
	join := func(record, acceptance []byte) []byte {
		b, err := statement.Marshal([]any{record, acceptance})
		must(t, err)
		return b
	}
	halves := func(o *ownership.Ownership) ([]byte, []byte) {
		st, _, err := statement.Parse(o.Bytes()[acceptanceOffset(t, o):], ownership.MaxAcceptance)
		must(t, err)
		return o.Signed.Bytes(), st.Envelope
	}
	rec, acc := halves(first)
	_, otherAcc := halves(foreign)
	write("bad-foreign-acceptance", "accepted by another device", false, join(rec, otherAcc))
	write("bad-no-acceptance", "the acceptance is empty", false, join(rec, nil))
	write("bad-swapped-halves", "the halves in the wrong order", false, join(acc, rec))
	write("bad-truncated", "cut", false, first.Bytes()[:len(first.Bytes())-1])
	write("bad-longer", "a byte too many", false, append(bytes.Clone(first.Bytes()), 0))
	flip := func(b []byte, at int) []byte {
		c := bytes.Clone(b)
		c[at] ^= 1
		return c
	}
	write("bad-record-signature", "a bit of the owner's signature", false, join(flip(rec, len(rec)-1), acc))
	write("bad-acceptance-signature", "a bit of the device's signature", false, join(rec, flip(acc, len(acc)-1)))
	write("bad-viewer-changed", "a letter of a viewer's name", false, join(bytes.Replace(bytes.Clone(rec), []byte("Jo's"), []byte("Al's"), 1), acc))
	makeForged(t, p, first, write, join)
}

// acceptanceOffset is where the second byte string's contents begin.
func acceptanceOffset(t *testing.T, o *ownership.Ownership) int {
	t.Helper()
	i := bytes.LastIndex(o.Bytes(), []byte{0xd2, 0x84, 0x43, 0xa1, 1, 0x26})
	if i <= 0 {
		t.Fatal("no acceptance found")
	}
	return i
}

// makeForged adds records that their owner did sign, though they break a rule.
func makeForged(t *testing.T, p pair, first *ownership.Ownership, write func(string, string, bool, []byte), join func(a, b []byte) []byte) {
	forge := func(name, about string, change func(m map[uint64]any)) {
		m := map[uint64]any{
			0: ownership.Label, 1: first.Record.Device[:], 2: first.Record.DeviceKey, 3: first.Record.Owner[:],
			4: first.Record.OwnerKey, 5: 1, 6: 1, 8: 1, 9: int64(1_771_000_000_000),
			10: []map[int]any{{1: 1, 2: first.Record.Recipients[0].Age}},
		}
		change(m)
		rec, err := statement.Sign(p.owner, m)
		must(t, err)
		st, _, err := statement.Parse(rec, ownership.MaxRecord)
		must(t, err)
		h := sha(st.Payload)
		acc, err := statement.Sign(p.device, map[uint64]any{
			0: "lensward/acceptance/1", 1: h[:], 2: first.Record.Device[:], 3: 1, 4: 1, 5: 0, 6: "1.0"})
		must(t, err)
		write(name, about, name[:4] == "good", join(rec, acc))
	}
	forge("good-by-hand", "made by hand, breaking no rule", func(map[uint64]any) {})
	forge("bad-owner-id", "an owner ID that is not its key's", func(m map[uint64]any) { m[3] = make([]byte, 32) })
	forge("bad-device-id", "a device ID that is not its key's", func(m map[uint64]any) { m[1] = make([]byte, 32) })
	forge("bad-label", "version 2", func(m map[uint64]any) { m[0] = "lensward/ownership/2" })
	forge("bad-no-recipient", "nobody to encrypt to", func(m map[uint64]any) { m[10] = []any{} })
	forge("bad-recovery-only", "no household recipient", func(m map[uint64]any) {
		m[10] = []map[int]any{{1: 2, 2: first.Record.Recipients[0].Age}}
	})
	forge("bad-revision", "revision 2 without a previous record", func(m map[uint64]any) { m[6] = 2 })
	forge("bad-guest", "a guest without a date", func(m map[uint64]any) {
		m[11] = []map[int]any{{1: first.Record.Viewers[0].Key, 2: "guest", 3: 3}}
	})
	forge("bad-field", "a field that is not listed", func(m map[uint64]any) { m[12] = 1 })
	forge("bad-acquired", "a way to come by it that is not known", func(m map[uint64]any) { m[8] = 4 })
}

func TestOnlyTheNamedKeysSign(t *testing.T) {
	p, q := newPair(t), newPair(t)
	if _, err := ownership.Sign(q.owner, p.record(t)); !errors.Is(err, ownership.ErrInvalid) {
		t.Errorf("another owner signed: %v", err)
	}
	if _, err := p.sign(t, p.record(t)).Accept(q.device, ownership.Acceptance{}); !errors.Is(err, ownership.ErrInvalid) {
		t.Errorf("another device accepted: %v", err)
	}
}

func TestMixedRecipientsAreRefused(t *testing.T) {
	p := newPair(t)
	r := p.record(t)
	id, err := age.GenerateX25519Identity()
	must(t, err)
	r.Recipients = append(r.Recipients, ownership.Recipient{Kind: ownership.RecipientRecovery, Age: id.Recipient().String()})
	if _, err := ownership.Sign(p.owner, r); !errors.Is(err, ownership.ErrInvalid) {
		t.Errorf("post-quantum and other recipients mixed: %v", err)
	}
}

func TestSuccession(t *testing.T) {
	p, q := newPair(t), newPair(t)
	known := p.sign(t, p.record(t))
	sold := pair{owner: q.owner, device: p.device}
	for _, c := range []struct {
		name string
		by   pair
		edit func(r *ownership.Record)
		want error
	}{
		{"next revision", p, func(r *ownership.Record) { r.Revision, r.Previous = 2, known.Hash() }, nil},
		{"next epoch", sold, func(r *ownership.Record) { r.Epoch, r.Previous = 2, known.Hash() }, nil},
		{"same again", p, func(*ownership.Record) {}, ownership.ErrRollBack},
		{"revision skipped", p, func(r *ownership.Record) { r.Revision, r.Previous = 3, known.Hash() }, ownership.ErrSuccession},
		{"other previous", p, func(r *ownership.Record) { r.Revision, r.Previous = 2, seal.Hash{1} }, ownership.ErrSuccession},
		{"other owner, same epoch", sold, func(r *ownership.Record) { r.Revision, r.Previous = 2, known.Hash() }, ownership.ErrSuccession},
		{"epoch skipped", sold, func(r *ownership.Record) { r.Epoch, r.Previous = 3, known.Hash() }, ownership.ErrSuccession},
		{"other device", q, func(r *ownership.Record) { r.Revision, r.Previous = 2, known.Hash() }, ownership.ErrSuccession},
	} {
		r := c.by.record(t)
		c.edit(&r)
		if err := c.by.sign(t, r).Follows(known); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestMayView(t *testing.T) {
	p := newPair(t)
	r := p.record(t)
	guest := spki(t, newKey(t))
	end := time.UnixMilli(2_000_000_000_000)
	r.Viewers = append(r.Viewers, ownership.Viewer{Key: guest, Name: "guest", Role: ownership.RoleGuest, Until: end.UnixMilli()})
	for _, c := range []struct {
		name string
		key  []byte
		at   time.Time
		want bool
	}{
		{"owner", r.OwnerKey, end, true},
		{"viewer", r.Viewers[0].Key, end, true},
		{"guest in time", guest, end.Add(-time.Millisecond), true},
		{"guest too late", guest, end, false},
		{"stranger", spki(t, newKey(t)), end, false},
	} {
		if got := r.MayView(c.key, c.at); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// FuzzParse asserts that what is read is written back as the same bytes.
func FuzzParse(f *testing.F) {
	p := newPair(f)
	f.Add(p.accept(f, p.sign(f, p.record(f))).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ownership.Parse(b)
		if err != nil {
			return
		}
		again, err := ownership.ParseSigned(o.Signed.Bytes())
		if err != nil || again.Hash() != o.Hash() || !bytes.Equal(o.Bytes(), b) {
			t.Fatalf("read and written back, it is another record: %v", err)
		}
	})
}

func sha(b []byte) seal.Hash { return sha256.Sum256(b) }
