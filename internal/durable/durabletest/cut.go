// Package durabletest cuts the power and breaks the disk under code that writes
// through package durable.
//
// It owns a model of what has reached the disk: which bytes were fsynced and
// which directory changes were. It never runs outside tests.
package durabletest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lensward/lensward/internal/durable"
)

// Variant says what became of everything that was not fsynced when the power went.
type Variant string

// The variants. A file system may leave any of them behind.
const (
	// Keep: everything reached the disk, as when only the process was killed.
	Keep Variant = "keep"
	// Lose: nothing did; files that were never fsynced are not there or empty.
	Lose Variant = "lose"
	// Torn: names did, but of data that was not fsynced only the first half.
	Torn Variant = "torn"
	// Mixed: each change of a directory did or did not, and of data some prefix,
	// followed by zeros to its full length.
	Mixed Variant = "mixed"
)

// Variants lists them all.
func Variants() []Variant { return []Variant{Keep, Lose, Torn, Mixed} }

// Crash is a power cut at one step.
type Crash struct {
	// Index counts the steps from 0.
	Index   int
	Step    durable.Step
	Variant Variant
	// Root is a copy of the tree as the disk has it after the cut.
	Root string
}

// String says where the power was cut.
func (c Crash) String() string {
	return fmt.Sprintf("step %d (%s %s %s%s), %s", c.Index, c.Step.Phase, c.Step.Op, c.Step.Name, c.Step.Target, c.Variant)
}

type inode struct{ data, synced []byte }

// change is a directory change that no fsync has covered yet.
type change struct {
	dirs  []string // an fsync of any of these makes it last
	apply func(disk map[string]*inode)
}

// Cutter follows a workload in a tree and can show at every step what a power
// cut would leave. Its Hook goes to durable.WithHook of every Dir in the tree;
// the workload must write from one goroutine at a time.
type Cutter struct {
	t     testing.TB
	root  string
	work  string // where the copies are made
	check func(Crash)
	live  map[string]*inode // by path
	disk  map[string]*inode
	open  []change
	count int
	rng   *rand.Rand
}

// NewCutter returns a Cutter for the tree at root, which may hold files: those
// count as being on disk. At each step of the workload, check is called once
// for each variant in which the disk may be. It runs in the workload's
// goroutine: what the workload has been promised by then is what check may ask
// for. Files that are not written through a Dir are copied as they are.
func NewCutter(t testing.TB, root string, check func(Crash)) *Cutter {
	c := &Cutter{t: t, root: root, work: TempDir(t), check: check, live: map[string]*inode{}, disk: map[string]*inode{}, rng: rand.New(rand.NewPCG(1, 2))}
	for path, data := range readTree(t, root) {
		c.live[path] = &inode{data: data, synced: data}
		c.disk[path] = c.live[path]
	}
	return c
}

// Steps returns how many steps there were so far.
func (c *Cutter) Steps() int { return c.count }

// Hook follows one step and checks every variant of a cut at it.
func (c *Cutter) Hook(s durable.Step) error {
	if s.Phase == durable.After {
		c.follow(s)
	}
	for _, v := range Variants() {
		root := filepath.Join(c.work, "disk")
		c.write(root, v)
		c.check(Crash{Index: c.count, Step: s, Variant: v, Root: root})
		if err := os.RemoveAll(root); err != nil {
			c.t.Fatal(err)
		}
	}
	c.count++
	return nil
}

func (c *Cutter) follow(s durable.Step) {
	to := s.To
	if to == "" {
		to = s.Dir
	}
	name, target := filepath.Join(s.Dir, s.Name), filepath.Join(to, s.Target)
	switch s.Op {
	case durable.OpCreate: // its name is known at the write
	case durable.OpWrite:
		data, err := os.ReadFile(name)
		if err != nil {
			c.t.Fatal(err)
		}
		ino := &inode{data: data}
		c.change([]string{s.Dir}, func(m map[string]*inode) { m[name] = ino })
	case durable.OpSync:
		c.live[name].synced = c.live[name].data
	case durable.OpRename:
		ino := c.live[name]
		c.change([]string{s.Dir, to}, func(m map[string]*inode) { delete(m, name); m[target] = ino })
	case durable.OpLink:
		ino := c.live[name]
		c.change([]string{s.Dir}, func(m map[string]*inode) { m[target] = ino })
	case durable.OpRemove:
		c.change([]string{s.Dir}, func(m map[string]*inode) { delete(m, name) })
	case durable.OpSyncDir:
		c.open = slices.DeleteFunc(c.open, func(ch change) bool {
			if !slices.Contains(ch.dirs, s.Dir) {
				return false
			}
			ch.apply(c.disk)
			return true
		})
	}
}

func (c *Cutter) change(dirs []string, apply func(map[string]*inode)) {
	apply(c.live)
	c.open = append(c.open, change{dirs, apply})
}

// write puts at root what the disk holds in variant v.
func (c *Cutter) write(root string, v Variant) {
	files := maps.Clone(c.disk)
	for _, ch := range c.open {
		if v == Keep || v == Torn || v == Mixed && c.rng.IntN(2) == 0 {
			ch.apply(files)
		}
	}
	for path, ino := range files {
		c.put(root, path, c.contents(ino, v))
	}
	for path, data := range readTree(c.t, c.root) {
		if _, followed := c.live[path]; !followed && !c.known(path) {
			c.put(root, path, data)
		}
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		c.t.Fatal(err)
	}
}

// known says whether path is a file of a Dir at a moment when the model does not
// have it: one that is being created or has just been removed.
func (c *Cutter) known(path string) bool {
	_, onDisk := c.disk[path]
	return onDisk || strings.HasPrefix(filepath.Base(path), ".tmp-")
}

func (c *Cutter) contents(ino *inode, v Variant) []byte {
	if ino.synced != nil {
		return ino.synced
	}
	switch v {
	case Keep:
		return ino.data
	case Torn:
		return ino.data[:len(ino.data)/2]
	case Mixed:
		torn := make([]byte, len(ino.data))
		copy(torn, ino.data[:c.rng.IntN(len(ino.data)+1)])
		return torn
	default:
		return nil
	}
}

func (c *Cutter) put(root, path string, data []byte) {
	rel, err := filepath.Rel(c.root, path)
	if err != nil {
		c.t.Fatal(err)
	}
	file := filepath.Join(root, rel)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// readTree returns all regular files under root by path.
func readTree(t testing.TB, root string) map[string][]byte {
	files := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}
		if !e.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		files[path] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
