package durable_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
)

func open(t *testing.T, path string, opts ...durable.Option) *durable.Dir {
	t.Helper()
	d, err := durable.Open(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func read(t *testing.T, path, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "absent"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d := open(t, path)
	for _, data := range []string{"one", "", "two"} {
		if err := d.WriteFile("f", []byte(data), 0o640); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path, "f"); got != data {
			t.Errorf("read %q, want %q", got, data)
		}
	}
	info, err := os.Stat(d.Path("f"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, want 0640 whatever the umask", info.Mode())
	}
	dir, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if dir.Mode().Perm() != 0o700 {
		t.Errorf("directory's mode %v, want 0700", dir.Mode())
	}
	entries, _ := os.ReadDir(path)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestCreateRefusesExisting(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	if err := d.Create("f", []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Create("f", []byte("two"), 0o600); !errors.Is(err, fs.ErrExist) || errors.Is(err, durable.ErrUncertain) {
		t.Errorf("second create: %v", err)
	}
	if got := read(t, path, "f"); got != "one" {
		t.Errorf("holds %q, want the first", got)
	}
	entries, _ := os.ReadDir(path)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestNamesReadRemove(t *testing.T) {
	d := open(t, t.TempDir())
	for _, name := range []string{"b", "a", "c"} {
		if err := d.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(d.Path(".tmp-x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.RemoveAll([]string{"b", "not there"}), d.Remove("b"), d.Rename("c", "d")); err != nil {
		t.Fatal(err)
	}
	names, err := d.Names()
	if err != nil || !slices.Equal(names, []string{"a", "d"}) {
		t.Errorf("names %q, %v", names, err)
	}
	if data, err := d.ReadFile("d", 1); err != nil || string(data) != "c" {
		t.Errorf("read %q, %v", data, err)
	}
	if _, err := d.ReadFile("d", 0); !errors.Is(err, durable.ErrTooLarge) {
		t.Errorf("read over its limit: %v", err)
	}
	if _, err := d.ReadFile("b", 9); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read of a removed file: %v", err)
	}
	if err := d.Rename("b", "x"); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrUncertain) {
		t.Errorf("rename of a removed file: %v", err)
	}
	for _, bad := range []string{"", ".", "..", ".tmp-a", "a/b", "/etc/passwd", "a\x00", strings.Repeat("n", 201)} {
		if err := d.WriteFile(bad, nil, 0o600); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("write to %q: %v", bad, err)
		}
		if err := d.Remove(bad); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("remove of %q: %v", bad, err)
		}
	}
}

func TestOpenRemovesStaleTemporaryFilesOnly(t *testing.T) {
	path := t.TempDir()
	for _, name := range []string{".tmp-1", "keep", ".hidden"} {
		if err := os.WriteFile(filepath.Join(path, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A write that is under way in another Dir must not lose its file.
	busy := open(t, path, durable.WithHook(func(s durable.Step) error {
		if s.Op == durable.OpRename && s.Phase == durable.Before {
			open(t, path)
		}
		return nil
	}))
	if err := busy.WriteFile("busy", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if read(t, path, ".tmp-1") != "absent" || read(t, path, "keep") != "x" || read(t, path, ".hidden") != "x" {
		t.Error("the stale file only should be gone")
	}
}

func TestLock(t *testing.T) {
	path := t.TempDir()
	a, b := open(t, path), open(t, path)
	unlock, err := a.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Lock(); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	unlock, err = b.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}

func TestFree(t *testing.T) {
	if free, err := open(t, t.TempDir()).Free(); err != nil || free <= 0 {
		t.Errorf("free %d, %v", free, err)
	}
	full := durable.WithFree(func() (int64, error) { return 7, nil })
	if free, err := open(t, t.TempDir(), full).Free(); err != nil || free != 7 {
		t.Errorf("free %d, %v", free, err)
	}
}

// TestPowerCut overwrites, creates, moves and removes files, and at each step
// wants each of them to be what it was or what it was to become.
func TestPowerCut(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	may := map[string][]string{"a": {"old"}, "b": {"absent"}, "sub/c": {"absent"}}
	cutter := durabletest.NewCutter(t, root, func(c durabletest.Crash) {
		open(t, c.Root)
		for name, want := range may {
			if got := read(t, c.Root, name); !slices.Contains(want, got) {
				t.Errorf("%v: %s holds %.20q, want one of %q", c, name, got, want)
			}
		}
		entries, _ := os.ReadDir(c.Root)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				t.Errorf("%v: %s is left", c, e.Name())
			}
		}
	})
	d := open(t, root, durable.WithHook(cutter.Hook))
	sub := open(t, filepath.Join(root, "sub"), durable.WithHook(cutter.Hook))
	do := func(name, want string, change func() error) {
		t.Helper()
		may[name] = append(may[name], want)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		may[name] = []string{want}
	}
	big := strings.Repeat("new", 1000)
	do("a", big, func() error { return d.WriteFile("a", []byte(big), 0o600) })
	do("b", "made", func() error { return d.Create("b", []byte("made"), 0o600) })
	may["b"] = append(may["b"], "absent")
	do("sub/c", "made", func() error { return d.Move("b", sub, "c") })
	may["b"] = []string{"absent"}
	may["a"] = append(may["a"], "absent")
	if err := d.Discard([]string{"a"}); err != nil {
		t.Fatal(err)
	}
	do("sub/c", "absent", func() error { return sub.Remove("c") })
	if cutter.Steps() < 34 {
		t.Errorf("only %d steps were cut", cutter.Steps())
	}
}

// TestFaults fails every step of a write, persisted and not, and wants the error
// to say truthfully whether the file is what it was.
func TestFaults(t *testing.T) {
	writes := map[string]func(*durable.Dir) error{
		"WriteFile": func(d *durable.Dir) error { return d.WriteFile("f", []byte("new"), 0o600) },
		"Create":    func(d *durable.Dir) error { return d.Create("n", []byte("new"), 0o600) },
		"Remove":    func(d *durable.Dir) error { return d.Remove("f") },
		"Move":      func(d *durable.Dir) error { return d.Rename("f", "n") },
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			for k := 0; ; k++ {
				fault := durabletest.FailAt(k, unix.EIO)
				path := t.TempDir()
				if err := os.WriteFile(filepath.Join(path, "f"), []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				err := write(open(t, path, durable.WithHook(fault.Hook)))
				hit := fault.Hit()
				if hit == nil {
					if err != nil || k < 4 {
						t.Errorf("%d steps, then %v", k, err)
					}
					return
				}
				cleanup := hit.Step.Op == durable.OpRemove && hit.Step.Target != ""
				if cleanup {
					if err != nil {
						t.Errorf("%+v: %v", *hit, err)
					}
					continue
				}
				if !errors.Is(err, unix.EIO) {
					t.Errorf("%+v: error %v, want EIO", *hit, err)
				}
				unchanged := read(t, path, "f") == "old" && read(t, path, "n") == "absent"
				if !unchanged && !errors.Is(err, durable.ErrUncertain) {
					t.Errorf("%+v: something changed, but the error is %v", *hit, err)
				}
				early := slices.Contains([]durable.Op{durable.OpCreate, durable.OpWrite, durable.OpSync}, hit.Step.Op)
				if early && errors.Is(err, durable.ErrUncertain) {
					t.Errorf("%+v: %v, though the name was not touched", *hit, err)
				}
				open(t, path)
				entries, _ := os.ReadDir(path)
				if len(entries) > 2 {
					t.Errorf("%+v: left behind %v", *hit, entries)
				}
			}
		})
	}
}

func TestQuota(t *testing.T) {
	path := t.TempDir()
	q := durabletest.NewQuota(path, 8192)
	d := open(t, path, durable.WithHook(q.Hook), durable.WithFree(q.Free))
	if err := d.WriteFile("a", bytes.Repeat([]byte("a"), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteFile("b", []byte("b"), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("write to a full disk: %v", err)
	}
	q.Resize(12288)
	if err := d.WriteFile("b", []byte("b"), 0o600); err != nil {
		t.Error(err)
	}
	if free, _ := d.Free(); free != 0 {
		t.Errorf("free %d, want 0", free)
	}
}
