package initramfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// listed is an entry as another reader sees it.
type listed struct {
	name         string
	mode         uint64
	data         string
	major, minor uint64
}

// list reads an archive by the kernel's description of it.
func list(t *testing.T, b []byte) (out []listed) {
	t.Helper()
	for at := 0; ; {
		if !bytes.HasPrefix(b[at:], []byte("070701")) {
			t.Fatalf("no entry at byte %d", at)
		}
		field := func(i int) uint64 {
			n, err := strconv.ParseUint(string(b[at+6+8*i:at+14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		name := at + 110
		data := (name + int(field(11)) + 3) &^ 3
		end := data + int(field(6))
		e := listed{string(b[name : name+int(field(11))-1]), field(1), string(b[data:end]), field(9), field(10)}
		if e.name == "TRAILER!!!" {
			return out
		}
		out = append(out, e)
		at = (end + 3) &^ 3
	}
}

func TestArchive(t *testing.T) {
	var a Archive
	a.Character("/dev/console", 0o600, 5, 1)
	a.File("bin/tools/x", 0o755, []byte("hello"))
	a.File("bin/y", 0o4644, nil)
	a.Directory("bin")
	want := []listed{
		{"dev", 0o40755, "", 0, 0}, {"dev/console", 0o20600, "", 5, 1},
		{"bin", 0o40755, "", 0, 0}, {"bin/tools", 0o40755, "", 0, 0}, {"bin/tools/x", 0o100755, "hello", 0, 0},
		{"bin/y", 0o100644, "", 0, 0},
	}
	if got := list(t, a.Bytes()); !slices.Equal(got, want) {
		t.Errorf("the archive has\n%+v, want\n%+v", got, want)
	}
}

// module is an ELF file with nothing in it but a .modinfo section.
func module(info ...string) []byte {
	text := strings.Join(info, "\x00") + "\x00"
	names := "\x00.modinfo\x00.shstrtab\x00"
	const head, section = 64, 64
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	le := binary.LittleEndian
	b = le.AppendUint32(b, 0x00b7_0001) // relocatable, arm64
	b = le.AppendUint32(b, 1)
	b = append(b, make([]byte, 16)...)
	b = le.AppendUint64(b, uint64(head+len(text)+len(names))) // where the sections are listed
	b = append(b, make([]byte, 4)...)
	for _, n := range []uint16{head, 0, 0, section, 3, 2} {
		b = le.AppendUint16(b, n)
	}
	b = append(b, text+names...)
	b = append(b, make([]byte, section)...)
	for _, s := range [][4]uint64{{1, 1, head, uint64(len(text))}, {10, 3, uint64(head + len(text)), uint64(len(names))}} {
		b = le.AppendUint32(b, uint32(s[0]))
		b = le.AppendUint32(b, uint32(s[1]))
		for _, n := range []uint64{0, 0, s[2], s[3], 0, 1, 0} {
			b = le.AppendUint64(b, n)
		}
	}
	return b
}

// kernel makes a tree of modules, each with what it says of itself.
func kernel(t *testing.T, modules map[string][]string) string {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "lib/modules/6.1.0-1-test")
	for name, info := range modules {
		file := filepath.Join(tree, "kernel", name+".ko")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, module(info...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tree, "modules.builtin"), []byte("kernel/lib/built-in.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestClosure(t *testing.T) {
	k, err := OpenKernel(kernel(t, map[string][]string{
		"a/uvcvideo":    {"license=GPL", "depends=videodev,vb2-core", "softdep=pre: early post: late"},
		"a/videodev":    {"depends=mc"},
		"a/vb2_core":    {"depends=mc,built_in"},
		"b/mc":          {"depends="},
		"b/late":        {"depends="},
		"b/wants-ghost": {"depends=ghost"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Closure("uvcvideo quirks=2", "mc", "built-in")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range got {
		names = append(names, strings.TrimSpace(m.Name+" "+m.Params))
		if _, err := os.Stat(m.Path); err != nil {
			t.Error(err)
		}
	}
	// "early" does not exist, which is no matter: it is a soft dependency.
	if want := []string{"mc", "vb2_core", "videodev", "uvcvideo quirks=2", "late"}; !slices.Equal(names, want) {
		t.Errorf("the modules are %q, want %q", names, want)
	}
	for _, missing := range []string{"ghost", "wants_ghost"} {
		if _, err := k.Closure(missing); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want that it does not exist", missing, err)
		}
	}
	if want := "boot/vmlinuz-6.1.0-1-test"; !strings.HasSuffix(k.Image(), want) {
		t.Errorf("the kernel is %s, want …%s", k.Image(), want)
	}
}

func TestOpenKernelSaysWhatIsMissing(t *testing.T) {
	if _, err := OpenKernel(t.TempDir()); err == nil || !strings.Contains(err.Error(), "trees of modules") {
		t.Errorf("an empty directory: %v", err)
	}
	dir := kernel(t, map[string][]string{"a/x": nil})
	if err := os.WriteFile(filepath.Join(dir, "lib/modules/6.1.0-1-test/kernel/a/x.ko"), []byte("no ELF"), 0o644); err != nil {
		t.Fatal(err)
	}
	k, err := OpenKernel(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Closure("x"); err == nil {
		t.Error("a file that is no module was taken")
	}
}

// What a module says of itself never makes a name out of nothing.
func FuzzModinfo(f *testing.F) {
	f.Add([]byte("depends=a,b\x00softdep=pre: c post: d\x00"))
	f.Add([]byte("softdep=x pre:\x00depends=,,\x00"))
	f.Fuzz(func(t *testing.T, section []byte) {
		info := parseModinfo(section)
		for _, name := range slices.Concat(info.hard, info.before, info.after) {
			if name == "" || !bytes.Contains(section, []byte(name)) {
				t.Errorf("a dependency %q of %q", name, section)
			}
		}
	})
}
