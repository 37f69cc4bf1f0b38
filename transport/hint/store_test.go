package hint_test

import (
	"errors"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/hint"
)

func openDir(t testing.TB, path string, opts ...durable.Option) *durable.Dir {
	t.Helper()
	dir, err := durable.Open(path, opts...)
	must(t, err)
	return dir
}

func openStore(t testing.TB, path string, by issuer) *hint.Store {
	t.Helper()
	return hint.Open(openDir(t, path), by.id, slog.New(slog.DiscardHandler))
}

func take(t testing.TB, s *hint.Store, b []byte) uint64 {
	t.Helper()
	st, err := s.Take(b)
	must(t, err)
	if s.Newest() != st {
		t.Errorf("took %d, the newest is %d", st.Serial, s.Newest().Serial)
	}
	return st.Serial
}

func TestTheNewestStands(t *testing.T) {
	by, path := newIssuer(t), t.TempDir()
	s := openStore(t, path, by)
	if s.Newest() != nil {
		t.Error("a hint out of nothing")
	}
	for _, c := range []struct{ given, want uint64 }{{5, 5}, {4, 5}, {5, 5}, {1, 5}} {
		if got := take(t, s, by.sign(t, plausible(c.given))); got != c.want {
			t.Errorf("after hint %d the newest is %d, want %d", c.given, got, c.want)
		}
	}
	if got := openStore(t, path, by).Newest(); got == nil || got.Serial != 5 {
		t.Errorf("after a restart the newest is %+v", got)
	}
}

// A hostile hub, or whoever writes in its place, changes nothing.
func TestForgedHintsChangeNothing(t *testing.T) {
	by, path := newIssuer(t), t.TempDir()
	s := openStore(t, path, by)
	take(t, s, by.sign(t, plausible(5)))
	before := *s.Newest()
	for name, b := range map[string][]byte{
		"another hub's": newIssuer(t).sign(t, plausible(9)),
		"nothing":       nil,
		"a page":        []byte("<html>"),
		"a changed one": append(by.sign(t, plausible(9))[:200], make([]byte, 49)...),
	} {
		if _, err := s.Take(b); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if *s.Newest() != before || openStore(t, path, by).Newest().Serial != 5 {
		t.Errorf("the newest is %+v", s.Newest())
	}
}

// A file that cannot be used is set aside, and the device goes on.
func TestDamagedFile(t *testing.T) {
	by := newIssuer(t)
	good := by.sign(t, plausible(5))
	for name, b := range map[string][]byte{
		"empty":         {},
		"torn":          good[:100],
		"huge":          make([]byte, 1<<20),
		"of old hub":    newIssuer(t).sign(t, plausible(5)),
		"flipped":       append(good[:len(good)-1:len(good)-1], good[len(good)-1]^1),
		"with more":     append(good[:len(good):len(good)], 0),
		"something new": []byte("hello"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := openDir(t, t.TempDir())
			must(t, os.WriteFile(dir.Path("hint"), b, 0o600))
			s := openStore(t, dir.Path(""), by)
			if s.Newest() != nil {
				t.Errorf("read %+v", s.Newest())
			}
			kept, err := os.ReadFile(dir.Path("hint.bad"))
			must(t, err)
			if string(kept) != string(b) {
				t.Error("what was set aside is not what was there")
			}
			take(t, s, good)
			if got := openStore(t, dir.Path(""), by).Newest(); got == nil || got.Serial != 5 {
				t.Errorf("after a new hint and a restart: %+v", got)
			}
		})
	}
}

// The flash is spared, and the last hint of several is kept all the same.
func TestWritesAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		by, path := newIssuer(t), t.TempDir()
		writes := 0
		dir := openDir(t, path, durable.WithHook(func(s durable.Step) error {
			if s.Op == durable.OpWrite && s.Phase == durable.Before {
				writes++
			}
			return nil
		}))
		s := hint.Open(dir, by.id, slog.New(slog.DiscardHandler))
		for serial := uint64(1); serial <= 100; serial++ {
			take(t, s, by.sign(t, plausible(serial)))
			s.Keep()
			time.Sleep(time.Second)
		}
		onDisk := func() uint64 { return openStore(t, path, by).Newest().Serial }
		if writes != 1 || onDisk() != 1 {
			t.Errorf("%d writes in 100 seconds, %d is on disk", writes, onDisk())
		}
		time.Sleep(5 * time.Minute)
		for range 3 {
			s.Keep()
		}
		if writes != 2 || onDisk() != 100 {
			t.Errorf("%d writes, %d is on disk", writes, onDisk())
		}
	})
}

// A disk that fails costs the next start its hint, not this run.
func TestDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		by, path := newIssuer(t), t.TempDir()
		fail := true
		dir := openDir(t, path, durable.WithHook(func(s durable.Step) error {
			if fail && s.Op == durable.OpSync {
				return errors.New("the disk fails")
			}
			return nil
		}))
		s := hint.Open(dir, by.id, slog.New(slog.DiscardHandler))
		if got := take(t, s, by.sign(t, plausible(5))); got != 5 {
			t.Errorf("took %d", got)
		}
		if openStore(t, path, by).Newest() != nil {
			t.Error("a hint that was not written is on disk")
		}
		fail = false
		time.Sleep(5 * time.Minute)
		s.Keep()
		if got := openStore(t, path, by).Newest(); got == nil || got.Serial != 5 {
			t.Errorf("after the disk has come back: %+v", got)
		}
	})
}

// A power cut at any step leaves the hint before or the new one.
func TestPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		by, path := newIssuer(t), durabletest.TempDir(t)
		take(t, openStore(t, path, by), by.sign(t, plausible(5)))
		cutter := durabletest.NewCutter(t, path, func(c durabletest.Crash) {
			if got := openStore(t, c.Root, by).Newest(); got == nil || got.Serial != 5 && got.Serial != 6 {
				t.Errorf("%v: %+v", c, got)
			}
		})
		s := hint.Open(openDir(t, path, durable.WithHook(cutter.Hook)), by.id, slog.New(slog.DiscardHandler))
		take(t, s, by.sign(t, plausible(6)))
		if cutter.Steps() < 8 {
			t.Errorf("%d steps", cutter.Steps())
		}
	})
}

func TestFresh(t *testing.T) {
	var none hint.Clock
	s := plausible(1)
	if none.Fresh(&s, 0, 0) || none.Known() {
		t.Error("fresh for whoever does not know the hub's clock")
	}
	var c hint.Clock
	c.Set(time.Hour, s.Issued) // the device's clock showed an hour when the hub's showed this
	for _, k := range []struct {
		name       string
		issued     time.Duration // after s
		life       time.Duration
		since, now time.Duration // after the hour
		want       bool
	}{
		{"issued well after", time.Minute, time.Hour, 10 * time.Second, 2 * time.Minute, true},
		{"issued before", 0, time.Hour, 10 * time.Second, 2 * time.Minute, false},
		{"perhaps before", 24 * time.Second, time.Hour, 10 * time.Second, 2 * time.Minute, false},
		{"just after", 26 * time.Second, time.Hour, 10 * time.Second, 2 * time.Minute, true},
		{"expired", time.Minute, time.Minute, 10 * time.Second, 10 * time.Minute, false},
		{"perhaps expired", time.Minute, time.Minute, 10 * time.Second, 110 * time.Second, false},
		{"after a month, within the drift", 30*24*time.Hour + 4*time.Minute, time.Hour, 30 * 24 * time.Hour, 30*24*time.Hour + 5*time.Minute, false},
		{"after a month, beyond it", 30*24*time.Hour + 5*time.Minute, time.Hour, 30 * 24 * time.Hour, 30*24*time.Hour + 5*time.Minute, true},
		{"lost before the clock was known", time.Minute, time.Hour, -time.Hour, 2 * time.Minute, true},
	} {
		h := s
		h.Issued = s.Issued.Add(k.issued)
		h.Expires = h.Issued.Add(k.life)
		if got := c.Fresh(&h, time.Hour+k.since, time.Hour+k.now); got != k.want {
			t.Errorf("%s: fresh %v", k.name, got)
		}
	}
}
