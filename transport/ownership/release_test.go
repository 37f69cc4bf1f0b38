package ownership_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
	"github.com/lensward/lensward/transport/vectortest"
)

const releaseDir = "testdata/release"

// releaseVector is one file: a release, and what a device makes of it.
type releaseVector struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// Release is the bytes, Known the record in force, both base64url; Now is the device's
	// time in milliseconds.
	Release string `json:"release"`
	Known   string `json:"known"`
	Now     int64  `json:"now"`
	// Expect is "ok" or the reason.
	Expect string `json:"expect"`
	// To is who may have it, absent for anyone.
	To string `json:"to,omitempty"`
}

func (v releaseVector) read(t testing.TB) (*ownership.Release, error) {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(v.Release)
	must(t, err)
	k, err := base64.RawURLEncoding.DecodeString(v.Known)
	must(t, err)
	known, err := ownership.ParseSigned(k)
	must(t, err)
	must(t, known.Verify())
	r, err := ownership.ParseRelease(b)
	if err != nil {
		return nil, err
	}
	return r, r.Frees(known, time.UnixMilli(v.Now))
}

func TestReleaseVectors(t *testing.T) {
	if *update {
		makeReleases(t)
	}
	all := vectortest.Read[releaseVector](t, releaseDir)
	if len(all) < 20 {
		t.Errorf("%d vectors, want at least 20", len(all))
	}
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			r, err := v.read(t)
			if v.Expect != "ok" {
				if got := ownership.Reason(err); got != v.Expect {
					t.Errorf("got %q (%v), want %q", got, err, v.Expect)
				}
				return
			}
			must(t, err)
			if to := r.To; to.IsZero() != (v.To == "") || v.To != "" && to.String() != v.To {
				t.Errorf("it is for %s", to)
			}
		})
	}
}

func makeReleases(t *testing.T) {
	must(t, os.RemoveAll(releaseDir))
	must(t, os.MkdirAll(releaseDir, 0o755))
	p, thief := newPair(t), newPair(t)
	known, later := p.sign(t, p.record(t)), p.record(t)
	later.Recipients, later.Revision, later.Previous = known.Record.Recipients, 2, known.Hash()
	second := p.sign(t, later)
	to := seal.KeyID(spki(t, thief.owner))
	expires := time.UnixMilli(1_771_600_000_000)
	now := expires.Add(-time.Hour).UnixMilli()
	write := func(name, expect, about string, in *ownership.Signed, now int64, b []byte) {
		v := releaseVector{Name: name, About: about, Release: base64.RawURLEncoding.EncodeToString(b),
			Known: base64.RawURLEncoding.EncodeToString(in.Bytes()), Now: now, Expect: expect}
		r, err := v.read(t)
		if (err == nil) != (expect == "ok") || err != nil && ownership.Reason(err) != expect {
			t.Fatalf("%s: got %v, want %s", name, err, expect)
		}
		if err == nil && !r.To.IsZero() {
			v.To = r.To.String()
		}
		vectortest.Write(t, releaseDir, name, v)
	}
	anyone, err := ownership.SignRelease(p.owner, known, seal.ID{}, expires)
	must(t, err)
	one, err := ownership.SignRelease(p.owner, known, to, expires)
	must(t, err)
	b := anyone.Bytes()
	write("good-anyone", "ok", "to anyone", known, now, b)
	write("good-one", "ok", "to one owner", known, now, one.Bytes())
	write("good-last-moment", "ok", "a millisecond before it expires", known, expires.UnixMilli()-1, b)
	write("bad-expired", "no-right", "at the millisecond at which it expires", known, expires.UnixMilli(), b)
	write("bad-taken-back", "no-right", "the next revision is in force", second, now, b)
	other := thief.sign(t, thief.record(t))
	write("bad-other-device", "no-right", "of another camera and owner", other, now, b)
	flip := bytes.Clone(b)
	flip[len(flip)-1] ^= 1
	write("bad-flipped", "bad-signature", "a bit of the signature", known, now, flip)
	write("bad-cut", "truncated", "its last byte is missing", known, now, b[:len(b)-1])
	write("bad-longer", "malformed", "a byte after its end", known, now, append(bytes.Clone(b), 0))
	write("bad-empty", "truncated", "nothing", known, now, nil)
	write("bad-too-large", "too-large", "1,025 bytes", known, now, append(bytes.Clone(b), make([]byte, ownership.MaxRelease+1-len(b))...))
	hash, device, owner := known.Hash(), known.Record.Device, known.Record.Owner
	for _, c := range []struct {
		name, expect, about string
		by                  pair
		change              map[uint64]any
	}{
		{"good-by-hand", "ok", "made by hand", p, nil},
		{"bad-signed-by-another", "bad-signature", "signed by another key", thief, nil},
		{"bad-stranger", "no-right", "by another owner", thief, map[uint64]any{2: to[:], 3: spki(t, thief.owner)}},
		{"bad-claimed", "bad-field", "another key beside the owner's ID", thief, map[uint64]any{3: spki(t, thief.owner)}},
		{"bad-label", "bad-field", "version 2", p, map[uint64]any{0: "lensward/release/2"}},
		{"bad-label-of-record", "bad-field", "a record's label", p, map[uint64]any{0: ownership.Label}},
		{"bad-device-short", "bad-field", "a device ID of 31 bytes", p, map[uint64]any{1: device[:31]}},
		{"bad-epoch-0", "bad-field", "epoch 0", p, map[uint64]any{4: 0}},
		{"bad-epoch-other", "no-right", "of the next epoch", p, map[uint64]any{4: 2}},
		{"bad-to-zero", "bad-field", "to an ID of zeros", p, map[uint64]any{6: make([]byte, 32)}},
		{"bad-expires-0", "bad-field", "expired in 1970", p, map[uint64]any{7: 0}},
		{"bad-expires-negative", "bad-field", "expired before 1970", p, map[uint64]any{7: -1}},
		{"bad-field-8", "not-canonical", "a field that is not known", p, map[uint64]any{8: 1}},
	} {
		m := map[uint64]any{0: ownership.LabelRelease, 1: device[:], 2: owner[:], 3: known.Record.OwnerKey, 4: 1, 5: hash[:], 7: expires.UnixMilli()}
		for k, v := range c.change {
			m[k] = v
		}
		b, err := statement.Sign(c.by.owner, m)
		must(t, err)
		write(c.name, c.expect, c.about, known, now, b)
	}
}

// sold is a camera's next owner.
func sold(t testing.TB, p pair) pair { return pair{owner: newKey(t), device: p.device} }

func TestRightToSucceed(t *testing.T) {
	p := newPair(t)
	buyer, thief := sold(t, p), sold(t, p)
	known := p.sign(t, p.record(t))
	now := time.UnixMilli(1_771_000_100_000)
	release := func(by pair, of *ownership.Signed, to seal.ID, expires time.Time) *ownership.Release {
		r, err := ownership.SignRelease(by.owner, of, to, expires)
		must(t, err)
		return r
	}
	next := func(by pair, how ownership.Acquired, edit func(*ownership.Record)) *ownership.Signed {
		r := by.record(t)
		r.Epoch, r.Previous, r.Acquired = 2, known.Hash(), how
		if edit != nil {
			edit(&r)
		}
		return by.sign(t, r)
	}
	to := seal.KeyID(spki(t, buyer.owner))
	open, named := release(p, known, seal.ID{}, now.Add(time.Hour)), release(p, known, to, now.Add(time.Hour))
	over := release(p, known, seal.ID{}, now)
	revision := p.record(t)
	revision.Revision, revision.Previous = 2, known.Hash()
	other := thief.sign(t, thief.record(t)) // thief's own idea of who owns the camera
	for _, c := range []struct {
		name   string
		record *ownership.Signed
		known  *ownership.Signed
		by     ownership.Right
		want   error
	}{
		{"a free camera", p.sign(t, p.record(t)), nil, ownership.Right{}, nil},
		{"a free camera, said to be released", next(buyer, ownership.AcquiredReleased, nil), nil, ownership.Right{}, ownership.ErrRight},
		{"the next revision", p.sign(t, revision), known, ownership.Right{}, nil},
		{"reset", next(buyer, ownership.AcquiredReset, nil), known, ownership.Right{Reset: true}, nil},
		{"reset, by the same owner", next(p, ownership.AcquiredReset, nil), known, ownership.Right{Reset: true}, nil},
		{"released to anyone", next(buyer, ownership.AcquiredReleased, nil), known, ownership.Right{Release: open}, nil},
		{"released to this one", next(buyer, ownership.AcquiredReleased, nil), known, ownership.Right{Release: named}, nil},
		{"nobody gave it", next(thief, ownership.AcquiredReleased, nil), known, ownership.Right{}, ownership.ErrRight},
		{"nobody gave it, said to be new", next(thief, ownership.AcquiredPaired, nil), known, ownership.Right{}, ownership.ErrRight},
		{"no button was held", next(thief, ownership.AcquiredReset, nil), known, ownership.Right{}, ownership.ErrRight},
		{"released, said to be reset", next(thief, ownership.AcquiredReset, nil), known, ownership.Right{Release: open}, ownership.ErrRight},
		{"reset, said to be released", next(thief, ownership.AcquiredReleased, nil), known, ownership.Right{Reset: true}, ownership.ErrRight},
		{"released to another", next(thief, ownership.AcquiredReleased, nil), known, ownership.Right{Release: named}, ownership.ErrRight},
		{"the release expired", next(buyer, ownership.AcquiredReleased, nil), known, ownership.Right{Release: over}, ownership.ErrRight},
		{"released by who is no owner", next(thief, ownership.AcquiredReleased, nil), known, ownership.Right{Release: release(thief, other, seal.ID{}, now.Add(time.Hour))}, ownership.ErrRight},
		{"another record before", next(buyer, ownership.AcquiredReset, func(r *ownership.Record) { r.Previous = seal.Hash{1} }), known, ownership.Right{Reset: true}, ownership.ErrSuccession},
		{"an epoch ahead", next(buyer, ownership.AcquiredReset, func(r *ownership.Record) { r.Epoch = 3 }), known, ownership.Right{Reset: true}, ownership.ErrSuccession},
		{"in the same epoch", next(buyer, ownership.AcquiredReset, func(r *ownership.Record) { r.Epoch, r.Revision = 1, 2 }), known, ownership.Right{Reset: true}, ownership.ErrSuccession},
		{"rolled back", known, next(p, ownership.AcquiredReset, nil), ownership.Right{Reset: true}, ownership.ErrRollBack},
	} {
		if err := c.record.Succeeds(c.known, c.by, now); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	// A revision after it takes a release back, and so does the new owner's record.
	second := p.sign(t, revision)
	r := buyer.record(t)
	r.Epoch, r.Previous, r.Acquired = 2, second.Hash(), ownership.AcquiredReleased
	if err := buyer.sign(t, r).Succeeds(second, ownership.Right{Release: open}, now); !errors.Is(err, ownership.ErrRight) {
		t.Errorf("a release of the revision before: %v", err)
	}
	if _, err := ownership.SignRelease(thief.owner, known, seal.ID{}, now); !errors.Is(err, ownership.ErrInvalid) {
		t.Errorf("a stranger released: %v", err)
	}
}

func TestHistory(t *testing.T) {
	p := newPair(t)
	buyer := sold(t, p)
	first := p.accept(t, p.sign(t, p.record(t)))
	r := first.Record
	r.Revision, r.Previous = 2, first.Hash()
	r.Viewers = append([]ownership.Viewer{{Key: spki(t, newKey(t)), Name: "new", Role: ownership.RoleViewer}}, r.Viewers...)
	r.Viewers[1].Name = "Jo's other phone"
	second := p.accept(t, p.sign(t, r))
	r.Revision, r.Previous, r.Viewers = 3, second.Hash(), r.Viewers[:1]
	r.Recipients = p.record(t).Recipients
	third := p.accept(t, p.sign(t, r))
	n := buyer.record(t)
	n.Epoch, n.Previous, n.Acquired = 2, third.Hash(), ownership.AcquiredReset
	fourth := buyer.accept(t, buyer.sign(t, n))

	got, err := ownership.History([]*ownership.Ownership{third, first, fourth, second, first})
	must(t, err)
	if len(got) != 4 {
		t.Fatalf("%d changes, want 4", len(got))
	}
	for i, ok := range []bool{
		got[0].Acquired == ownership.AcquiredPaired && len(got[0].Added) == 1 && got[0].Recipients,
		got[1].Acquired == 0 && len(got[1].Added) == 1 && len(got[1].Altered) == 1 && !got[1].Recipients,
		len(got[2].Removed) == 1 && got[2].Recipients && len(got[2].Added) == 0,
		got[3].Acquired == ownership.AcquiredReset && got[3].Owner == fourth.Record.Owner && len(got[3].Added) == 1 && len(got[3].Removed) == 0,
	} {
		if !ok || got[i].Missing {
			t.Errorf("change %d: %+v", i, got[i])
		}
	}
	got, err = ownership.History([]*ownership.Ownership{first, third})
	if err != nil || !got[1].Missing || len(got[1].Removed) != 1 {
		t.Errorf("with a hole: %+v, %v", got, err)
	}
	got, err = ownership.History([]*ownership.Ownership{second, fourth})
	if err != nil || !got[1].Missing {
		t.Errorf("with a hole before a new owner: %+v, %v", got, err)
	}
	twin := first.Record
	twin.Revision, twin.Previous, twin.Viewers = 2, first.Hash(), nil
	elsewhere := newPair(t)
	for name, records := range map[string][]*ownership.Ownership{
		"two second revisions": {first, second, p.accept(t, p.sign(t, twin))},
		"two cameras":          {first, elsewhere.accept(t, elsewhere.sign(t, elsewhere.record(t)))},
		"another predecessor":  {p.accept(t, p.sign(t, twin)), third},
	} {
		if _, err := ownership.History(records); !errors.Is(err, ownership.ErrSuccession) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseRelease(f *testing.F) {
	p := newPair(f)
	r, err := ownership.SignRelease(p.owner, p.sign(f, p.record(f)), seal.ID{1}, time.UnixMilli(1_771_600_000_000))
	must(f, err)
	f.Add(r.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ownership.ParseRelease(b)
		if (r == nil) == (err == nil) || err != nil && ownership.Reason(err) == "" {
			t.Fatalf("%v and %v", r, err)
		}
		if err == nil && !bytes.Equal(r.Bytes(), b) {
			t.Error("read and written, it is something else")
		}
	})
}
