package initramfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kernel is an unpacked kernel package.
type Kernel struct {
	dir     string
	release string
	modules map[string]string // from the name, with underscores, to the file
	builtin map[string]bool
}

// Module is a file that has to be loaded, and its parameters.
type Module struct {
	Name, Path, Params string
}

// OpenKernel looks at a kernel package unpacked into dir, as
// scripts/lab-kernels.sh does.
func OpenKernel(dir string) (*Kernel, error) {
	trees, err := filepath.Glob(filepath.Join(dir, "lib/modules/*"))
	if err != nil || len(trees) != 1 {
		return nil, fmt.Errorf("open kernel %s: %d trees of modules, want one", dir, len(trees))
	}
	k := &Kernel{dir: dir, release: filepath.Base(trees[0]), modules: map[string]string{}, builtin: map[string]bool{}}
	err = filepath.WalkDir(trees[0], func(file string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(file), ".ko"); ok {
			k.modules[canonical(name)] = file
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open kernel %s: %w", dir, err)
	}
	list, err := os.ReadFile(filepath.Join(trees[0], "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("open kernel %s: %w", dir, err)
	}
	for _, file := range strings.Fields(string(list)) {
		k.builtin[canonical(strings.TrimSuffix(filepath.Base(file), ".ko"))] = true
	}
	return k, nil
}

// canonical is a module's name with underscores: file names and dependencies mix
// them with dashes.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// Release is the kernel's version, as uname -r prints it.
func (k *Kernel) Release() string { return k.release }

// Image is the kernel's file.
func (k *Kernel) Image() string { return filepath.Join(k.dir, "boot", "vmlinuz-"+k.release) }

// DeviceTree is the file of a device tree by its name, such as
// bcm2835-rpi-zero.dtb.
func (k *Kernel) DeviceTree(name string) string {
	return filepath.Join(k.dir, "usr/lib", "linux-image-"+k.release, name)
}

// Closure returns the modules that have to be loaded for the wanted ones, in an
// order that works. Each is a name, or a name, a space and its parameters. What is
// built into the kernel is left out; what it does not have at all is an error.
func (k *Kernel) Closure(wanted ...string) ([]Module, error) {
	c := closure{kernel: k, seen: map[string]bool{}}
	for _, w := range wanted {
		name, params, _ := strings.Cut(w, " ")
		if err := c.add(name, params, true); err != nil {
			return nil, fmt.Errorf("find module %s of kernel %s: %w", name, k.release, err)
		}
	}
	return c.list, nil
}

// closure is a walk over modules, what they need first.
type closure struct {
	kernel *Kernel
	list   []Module
	seen   map[string]bool
}

// add takes a module in after what it needs. One that is not there is an error only
// if it is needed: soft dependencies may be missing.
func (c *closure) add(name, params string, needed bool) error {
	name = canonical(name)
	if c.seen[name] {
		return nil
	}
	c.seen[name] = true
	file, ok := c.kernel.modules[name]
	if !ok {
		if c.kernel.builtin[name] || !needed {
			return nil
		}
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	info, err := readModule(file)
	if err != nil {
		return err
	}
	for _, dep := range info.hard {
		if err := c.add(dep, "", true); err != nil {
			return err
		}
	}
	for _, dep := range info.before {
		if err := c.add(dep, "", false); err != nil {
			return err
		}
	}
	c.list = append(c.list, Module{Name: name, Path: file, Params: params})
	for _, dep := range info.after {
		if err := c.add(dep, "", false); err != nil {
			return err
		}
	}
	return nil
}

// moduleInfo is what a module says that it needs.
type moduleInfo struct{ hard, before, after []string }

// readModule reads a module's .modinfo section: strings key=value, each ended by a
// zero byte.
func readModule(file string) (info moduleInfo, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return info, fmt.Errorf("read module %s: %w", file, err)
	}
	defer f.Close() // read-only: nothing to lose
	section := f.Section(".modinfo")
	if section == nil {
		return info, fmt.Errorf("read module %s: %w", file, errors.New("no .modinfo section"))
	}
	b, err := section.Data()
	if err != nil {
		return info, fmt.Errorf("read module %s: %w", file, err)
	}
	return parseModinfo(b), nil
}

// parseModinfo reads "depends=a,b" and "softdep=pre: a post: b".
func parseModinfo(section []byte) (info moduleInfo) {
	for entry := range bytes.SplitSeq(section, []byte{0}) {
		key, value, _ := strings.Cut(string(entry), "=")
		switch key {
		case "depends":
			info.hard = append(info.hard, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
		case "softdep":
			into := &info.before
			for _, word := range strings.Fields(value) {
				switch word {
				case "pre:":
					into = &info.before
				case "post:":
					into = &info.after
				default:
					*into = append(*into, word)
				}
			}
		}
	}
	slices.Sort(info.hard)
	return info
}
