// Package initramfs makes the first file system of a Linux guest, and finds the
// kernel modules that it needs, from an unpacked kernel package: neither cpio nor
// kmod is called.
//
// It owns the archive's form and the order of modules. It never boots anything
// and never decides what a guest does.
package initramfs

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Types of a file in the upper bits of an archive's mode (stat's, octal).
const (
	typeDirectory = 0o040000
	typeRegular   = 0o100000
	typeCharacter = 0o020000
)

// Archive is a cpio archive in the form that the kernel unpacks ("newc"; the
// kernel's documentation, "initramfs buffer format"). The zero value is empty and
// can be added to. Parent directories come by themselves.
type Archive struct {
	out   bytes.Buffer
	inode uint32
	dirs  map[string]bool
}

// Directory adds an empty directory, unless it is there. Names are slash-separated,
// relative to the root.
func (a *Archive) Directory(name string) {
	name = path.Clean(strings.TrimPrefix(name, "/"))
	if name == "." || a.dirs[name] {
		return
	}
	a.Directory(path.Dir(name))
	if a.dirs == nil {
		a.dirs = map[string]bool{}
	}
	a.dirs[name] = true
	a.entry(name, typeDirectory|0o755, nil, 0, 0)
}

// File adds a regular file. Only the permission bits of mode count.
func (a *Archive) File(name string, mode fs.FileMode, data []byte) {
	name = path.Clean(strings.TrimPrefix(name, "/"))
	a.Directory(path.Dir(name))
	a.entry(name, typeRegular|uint32(mode.Perm()), data, 0, 0)
}

// Character adds a character device.
func (a *Archive) Character(name string, mode fs.FileMode, major, minor uint32) {
	name = path.Clean(strings.TrimPrefix(name, "/"))
	a.Directory(path.Dir(name))
	a.entry(name, typeCharacter|uint32(mode.Perm()), nil, major, minor)
}

// entry writes a header, a name and what is in the file, each to a multiple of
// four bytes. Owner, group and time are 0: equal contents are equal bytes.
func (a *Archive) entry(name string, mode uint32, data []byte, major, minor uint32) {
	a.inode++
	fmt.Fprintf(&a.out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0)
	a.out.WriteString(name)
	a.out.WriteByte(0)
	a.pad()
	a.out.Write(data)
	a.pad()
}

func (a *Archive) pad() {
	for a.out.Len()%4 != 0 {
		a.out.WriteByte(0)
	}
}

// Bytes ends the archive and returns it; it may be called once.
func (a *Archive) Bytes() []byte {
	a.inode = 0
	a.entry("TRAILER!!!", 0, nil, 0, 0)
	return a.out.Bytes()
}
