package device

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lensward/lensward/hw/devicekey"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// life is a camera and the people around it. Times begin at noon.
type life struct {
	t       testing.TB
	d       *Device
	noon    time.Time
	a, b, c *keyring.Keyring
}

func newLife(t testing.TB, d *Device) *life {
	t.Helper()
	l := &life{t: t, d: d, noon: time.Now().Truncate(time.Second)}
	for _, k := range []**keyring.Keyring{&l.a, &l.b, &l.c} {
		var err error
		*k, err = keyring.New(durabletest.TempDir(t) + "/keys")
		must(t, err)
	}
	return l
}

// first is a record by which k takes the camera after known, nil for none.
func (l *life) first(k *keyring.Keyring, known *ownership.Signed, how ownership.Acquired) *ownership.Signed {
	l.t.Helper()
	r, err := k.Draft(l.d.Key().SPKI(), nil, l.noon)
	must(l.t, err)
	r.Acquired = how
	if known != nil {
		r.Epoch, r.Previous = known.Record.Epoch+1, known.Hash()
	}
	s, err := ownership.Sign(k.Root(), r)
	must(l.t, err)
	return s
}

// next is a revision by k, or by whoever pretends to be known's owner.
func (l *life) next(k *keyring.Keyring, known *ownership.Signed, name string) *ownership.Signed {
	l.t.Helper()
	r := known.Record
	r.Revision, r.Previous, r.Created = r.Revision+1, known.Hash(), l.noon
	r.Viewers = append(r.Viewers[:0:0], r.Viewers...)
	r.Viewers[0].Name = name
	r.Owner, r.OwnerKey = k.Owner(), k.OwnerKey()
	s, err := ownership.Sign(k.Root(), r)
	must(l.t, err)
	return s
}

func (l *life) release(k *keyring.Keyring, known *ownership.Signed, to seal.ID, good time.Duration) *ownership.Release {
	l.t.Helper()
	r, err := ownership.SignRelease(k.Root(), known, to, l.noon.Add(good))
	must(l.t, err)
	return r
}

// state is what a courier's or a person's doing may change.
type state struct {
	owned *ownership.Ownership
	freedom
	late bool // a month has passed
}

func (l *life) now(s state) time.Time {
	if s.late {
		return l.noon.AddDate(0, 1, 0)
	}
	return l.noon
}

// deed is one thing that is done to the camera, and what has to come of it: whether it is
// taken, and the state after, which is the one before where it is not.
type deed struct {
	name string
	do   func(now time.Time) error
	want func(s state) (taken bool)
	// moved says what is in force after it was taken.
	moved func(s *state)
}

// recordDeed is a record that comes by the courier.
func (l *life) recordDeed(name string, s *ownership.Signed) deed {
	return deed{
		name: name,
		do:   func(now time.Time) error { return l.d.TakeLetter(s.Bytes(), now) },
		want: func(st state) bool {
			k := st.owned
			return k.Hash() == s.Hash() || !st.reset && k.Record.Epoch == s.Record.Epoch && k.Record.Owner == s.Record.Owner && s.Record.Previous == k.Hash()
		},
		moved: func(st *state) {
			if st.owned.Hash() != s.Hash() {
				st.release, st.owned = nil, &ownership.Ownership{Signed: *s}
			}
		},
	}
}

func (l *life) releaseDeed(name string, r *ownership.Release) deed {
	return deed{
		name: name,
		do:   func(now time.Time) error { return l.d.TakeLetter(r.Bytes(), now) },
		want: func(st state) bool {
			return !st.reset && r.Record == st.owned.Hash() && l.now(st).Before(r.Expires)
		},
		moved: func(st *state) { st.release = r },
	}
}

// pairDeed is a pairing, whose record is as the device's hello asks: nobody can do that but
// who stands before the camera.
func (l *life) pairDeed(name string, k *keyring.Keyring) deed {
	var made *ownership.Ownership
	return deed{
		name: name,
		do: func(now time.Time) error {
			how, err := l.d.Free(now)
			if err != nil {
				return fmt.Errorf("%w: %w", err, ownership.ErrRight)
			}
			o, err := l.d.Accept(l.first(k, &l.d.owned.Signed, how), now)
			made = o
			return err
		},
		want: func(st state) bool {
			r := st.release
			return st.reset || r != nil && l.now(st).Before(r.Expires) && (r.To.IsZero() || r.To == k.Owner())
		},
		moved: func(st *state) { st.owned, st.release, st.reset = made, nil, false },
	}
}

// deeds are everything that a courier has ever been given, what strangers made, and what
// people do.
func (l *life) deeds(first *ownership.Signed) []deed {
	second := l.next(l.a, first, "second")
	third := l.next(l.a, second, "third")
	none := seal.ID{}
	return []deed{
		l.recordDeed("A's first record", first),
		l.recordDeed("A's second record", second),
		l.recordDeed("A's other second record", l.next(l.a, first, "other")),
		l.recordDeed("A's third record", third),
		l.recordDeed("C's revision of A's", l.next(l.c, first, "stranger")),
		l.recordDeed("A's next ownership, by a letter", l.first(l.a, first, ownership.AcquiredReset)),
		l.recordDeed("B's ownership, by a letter", l.first(l.b, first, ownership.AcquiredReleased)),
		l.releaseDeed("release of the first to anyone", l.release(l.a, first, none, time.Hour)),
		l.releaseDeed("release of the first to B", l.release(l.a, first, l.b.Owner(), 1000*time.Hour)),
		l.releaseDeed("release of the second to anyone", l.release(l.a, second, none, 1000*time.Hour)),
		l.releaseDeed("release that has expired", l.release(l.a, first, none, -time.Hour)),
		l.pairDeed("B pairs", l.b),
		l.pairDeed("C pairs", l.c),
		{
			name: "the button is held", do: func(time.Time) error { return l.d.Reset() },
			want: func(state) bool { return true }, moved: func(s *state) { s.reset = true },
		},
		{
			name: "a month passes", do: func(time.Time) error { return nil },
			want: func(state) bool { return true }, moved: func(s *state) { s.late = true },
		},
	}
}

// TestEveryOrderOfDeeds gives a camera everything in every order, by a hub that keeps and
// repeats what it was ever given. What is in force is held against the rules after each.
func TestEveryOrderOfDeeds(t *testing.T) {
	t.Parallel()
	depth := 3
	if testing.Short() {
		depth = 2
	}
	d, err := Open(durabletest.TempDir(t), "1.0")
	must(t, err)
	defer d.Close()
	l := newLife(t, d)
	first := l.first(l.a, nil, ownership.AcquiredPaired)
	o, err := d.Accept(first, l.noon)
	must(t, err)
	deeds := l.deeds(first)
	taken, refused := 0, map[string]int{}
	var explore func(path []string, s state)
	explore = func(path []string, s state) {
		for _, do := range deeds {
			d.owned, d.freedom = s.owned, s.freedom
			err := do.do(l.now(s))
			after := s
			if do.want(s) {
				do.moved(&after)
				taken++
			} else {
				refused[ownership.Reason(err)]++
			}
			here := append(path[:len(path):len(path)], do.name)
			if (err == nil) != do.want(s) || err != nil && ownership.Reason(err) == "" {
				t.Fatalf("%q: %v", here, err)
			}
			if d.owned.Hash() != after.owned.Hash() || d.release != after.release && (d.release == nil || after.release == nil || string(d.release.Bytes()) != string(after.release.Bytes())) || d.reset != after.reset {
				t.Fatalf("%q: in force is %+v, released %v, reset %v", here, d.owned.Record, d.release != nil, d.reset)
			}
			if d.owned.Record.Epoch > s.owned.Record.Epoch && d.former == nil {
				t.Fatalf("%q: the ownership before is gone before its chain has ended", here)
			}
			after.owned, after.former = d.owned, nil
			if len(here) < depth {
				explore(here, after)
			}
		}
	}
	explore(nil, state{owned: o})
	if taken == 0 || refused["no-right"] == 0 || refused["roll-back"] == 0 || refused["not-next"] == 0 || refused[""] != 0 {
		t.Errorf("%d were taken, refused %v", taken, refused)
	}
	t.Logf("%d deeds in every order of %d: %d were taken, refused: %v", len(deeds), depth, taken, refused)
}

// seen is what a start finds.
type seen struct {
	record seal.Hash
	free   ownership.Acquired
	former uint64
}

func (l *life) see(d *Device, now time.Time) seen {
	l.t.Helper()
	o, err := d.Ownership()
	must(l.t, err)
	s := seen{record: o.Hash()}
	if how, err := d.Free(now); err == nil {
		s.free = how
	}
	if f := d.Former(); f != nil {
		s.former = f.Record.Epoch
	}
	return s
}

// TestPowerCuts cuts the power at every step of every durable write of a camera's life:
// letters, releases, their end, resets, acceptances. A start finds what was, or what was to
// be, and never a camera without its owner before whose chain has not ended.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	dir := durabletest.TempDir(t)
	first, err := Open(dir, "1.0")
	must(t, err)
	l := newLife(t, first)
	_, err = first.Accept(l.first(l.a, nil, ownership.AcquiredPaired), l.noon)
	must(t, err)
	must(t, first.Close())

	var before, after seen // what was in force, and what is to be when the deed is done
	open := false          // a deed is under way: either
	found := [2]int{}
	cutter := durabletest.NewCutter(t, dir, func(c durabletest.Crash) {
		d, err := Open(c.Root, "1.0")
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		defer d.Close()
		s := l.see(d, l.noon)
		switch {
		case s == before && open:
			found[0]++
		case s == after:
			found[1]++
		default:
			t.Errorf("%v: found %+v, was %+v, to be %+v", c, s, before, after)
		}
	})
	dd, err := durable.Open(dir, durable.WithHook(func(s durable.Step) error {
		if !open {
			return nil
		}
		return cutter.Hook(s)
	}))
	must(t, err)
	d, err := openIn(context.Background(), dd, "1.0", devicekey.Options{})
	must(t, err)
	defer d.Close()
	l.d = d
	now := l.noon
	deed := func(name string, want seen, do func() error) {
		t.Helper()
		before, after, open = l.see(d, now), want, true
		if err := do(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		open = false
		if s := l.see(d, now); s != want {
			t.Fatalf("%s: found %+v, want %+v", name, s, want)
		}
	}
	letter := func(b []byte) func() error { return func() error { return d.TakeLetter(b, now) } }
	accept := func(s *ownership.Signed) func() error {
		return func() error { _, err := d.Accept(s, now); return err }
	}
	known := func() *ownership.Signed { return &d.owned.Signed }
	hash := func() seal.Hash { return d.owned.Hash() }

	second := l.next(l.a, known(), "second")
	deed("a revision", seen{record: second.Hash()}, letter(second.Bytes()))
	deed("a release", seen{record: hash(), free: ownership.AcquiredReleased}, letter(l.release(l.a, known(), seal.ID{}, time.Hour).Bytes()))
	third := l.next(l.a, known(), "third")
	deed("its taking back", seen{record: third.Hash()}, letter(third.Bytes()))
	deed("a release to B", seen{record: hash(), free: ownership.AcquiredReleased}, letter(l.release(l.a, known(), l.b.Owner(), time.Hour).Bytes()))
	bs := l.first(l.b, known(), ownership.AcquiredReleased)
	deed("B's acceptance", seen{record: bs.Hash(), former: 1}, accept(bs))
	deed("the end of A's chain", seen{record: hash()}, d.ForgetFormer)
	deed("a reset", seen{record: hash(), free: ownership.AcquiredReset}, d.Reset)
	cs := l.first(l.c, known(), ownership.AcquiredReset)
	deed("C's acceptance", seen{record: cs.Hash(), former: 2}, accept(cs))
	deed("a reset before B's chain has ended", seen{record: hash(), free: ownership.AcquiredReset, former: 2}, d.Reset)
	as := l.first(l.a, known(), ownership.AcquiredReset)
	deed("A's acceptance", seen{record: as.Hash(), former: 2}, accept(as))
	deed("the end of B's chain", seen{record: hash()}, d.ForgetFormer)
	short := l.release(l.a, known(), seal.ID{}, time.Hour)
	deed("a release for an hour", seen{record: hash(), free: ownership.AcquiredReleased}, letter(short.Bytes()))
	now = l.noon.Add(2 * time.Hour)
	lapsed, err := d.Lapse(now)
	must(t, err)
	if how, err := d.Free(l.noon); !lapsed || !errors.Is(err, ErrOwned) {
		t.Errorf("lapsed %v; with the clock set back it is free in way %d", lapsed, how)
	}
	if found[0] == 0 || found[1] == 0 {
		t.Errorf("%d cuts left what was, %d what was to be", found[0], found[1])
	}
	t.Logf("%d steps: %d cuts left what was, %d what was to be", cutter.Steps(), found[0], found[1])
}

// TestDamagedFreedomFreesNobodysCamera opens a camera beside whose record stands nonsense.
func TestDamagedFreedomFreesNobodysCamera(t *testing.T) {
	dir := durabletest.TempDir(t)
	d, err := Open(dir, "1.0")
	must(t, err)
	l := newLife(t, d)
	_, err = d.Accept(l.first(l.a, nil, ownership.AcquiredPaired), l.noon)
	must(t, err)
	hash := d.owned.Hash().String()
	for _, text := range []string{"", "x", hash[:63], hash + "00"} {
		for _, name := range []string{releaseFile, resetFile, formerFile} {
			must(t, d.Dir().WriteFile(name, []byte(text), 0o600))
		}
		must(t, d.Close())
		d, err = Open(dir, "1.0")
		must(t, err)
		if how, err := d.Free(l.noon); !errors.Is(err, ErrOwned) || d.Former() != nil {
			t.Errorf("%q frees the camera in way %d", text, how)
		}
	}
	must(t, d.Close())
}

// TestClockThatWasNeverSet holds a release against the time of the record in force.
func TestClockThatWasNeverSet(t *testing.T) {
	d, err := Open(durabletest.TempDir(t), "1.0")
	must(t, err)
	defer d.Close()
	l := newLife(t, d)
	_, err = d.Accept(l.first(l.a, nil, ownership.AcquiredPaired), time.Unix(0, 0))
	must(t, err)
	old := l.release(l.a, &d.owned.Signed, seal.ID{}, -time.Hour)
	if err := d.TakeLetter(old.Bytes(), time.Unix(0, 0)); !errors.Is(err, ownership.ErrRight) {
		t.Errorf("a release that expired before the record was made: %v", err)
	}
	must(t, d.TakeLetter(l.release(l.a, &d.owned.Signed, seal.ID{}, time.Hour).Bytes(), time.Unix(0, 0)))
	if d.Released(time.Unix(0, 0)) == nil || d.Released(l.noon.Add(time.Hour)) != nil {
		t.Error("the release is not good for its hour")
	}
}

// FuzzTakeLetter takes nothing that nobody signed, and says why.
func FuzzTakeLetter(f *testing.F) {
	d, err := Open(durabletest.TempDir(f), "1.0")
	must(f, err)
	f.Cleanup(func() { _ = d.Close() })
	l := newLife(f, d)
	o, err := d.Accept(l.first(l.a, nil, ownership.AcquiredPaired), l.noon)
	must(f, err)
	next, release := l.next(l.a, &o.Signed, "x"), l.release(l.a, &o.Signed, seal.ID{}, time.Hour)
	other, err := statement.Sign(l.a.Root(), map[int]string{0: "lensward/x/1"})
	must(f, err)
	good := map[string]bool{string(next.Bytes()): true, string(release.Bytes()): true, string(o.Signed.Bytes()): true}
	for b := range good {
		f.Add([]byte(b))
	}
	f.Add(other)
	f.Add(o.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		d.owned, d.freedom = o, freedom{}
		err := d.TakeLetter(b, l.noon)
		if (err == nil) != good[string(b)] || err != nil && ownership.Reason(err) == "" {
			t.Errorf("%v", err)
		}
	})
}
