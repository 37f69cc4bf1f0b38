// Package durable writes files so that they are wholly there or not at all
// after a power cut.
//
// It owns the order of write, fsync, rename and directory fsync, the temporary
// files in between, and the steps at which tests can stop it. It never decides
// what is in a file, never caches, and never retries: after an error the caller
// knows from ErrUncertain whether the disk has to be looked at again.
//
// It relies on what POSIX file systems with a journal or a log give: a rename is
// atomic, data is on disk when fsync of its file has returned, and a name is
// when fsync of its directory has.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// tempPrefix starts the name of every unfinished file. Names given to a Dir may
// not start with a dot, so the two cannot meet.
const tempPrefix = ".tmp-"

// maxName is the longest name that a Dir takes, in bytes; file systems end at 255.
const maxName = 200

// ErrUncertain marks errors after which it is unknown whether the change is on
// disk: the rename, the link or the directory's fsync failed. A failure before
// that leaves everything as it was.
var ErrUncertain = errors.New("it is unknown whether the change reached the disk")

// ErrTooLarge is returned by ReadFile for a file above the limit.
var ErrTooLarge = errors.New("file is larger than its limit")

// ErrLocked is returned by Lock while another holder has the directory.
var ErrLocked = errors.New("directory is in use by another process")

// Dir is a directory whose files are written durably. It may be used by several
// goroutines; two writes to one name at once leave one of the two.
type Dir struct {
	path string
	hook func(Step) error
	free func() (int64, error)
}

// Option changes how a Dir behaves.
type Option func(*Dir)

// WithHook has hook called before and after each step, see Step. It is for tests.
func WithHook(hook func(Step) error) Option { return func(d *Dir) { d.hook = hook } }

// WithFree has Free answer with what free returns. It is for tests.
func WithFree(free func() (int64, error)) Option { return func(d *Dir) { d.free = free } }

// Open makes the directory if it is missing (mode 0700, parents too, each
// fsynced into its parent) and removes the temporary files that an interrupted
// write left behind. A temporary file that another process is writing stays.
func Open(path string, opts ...Option) (*Dir, error) {
	d := &Dir{path: filepath.Clean(path)}
	for _, o := range opts {
		o(d)
	}
	if err := makeAll(d.path); err != nil {
		return nil, fmt.Errorf("make directory %s: %w", d.path, err)
	}
	if err := d.removeStale(); err != nil {
		return nil, fmt.Errorf("remove temporary files in %s: %w", d.path, err)
	}
	return d, nil
}

// makeAll is os.MkdirAll with each new directory fsynced into its parent.
func makeAll(path string) error {
	info, err := os.Stat(path)
	if err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR}
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := makeAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func (d *Dir) removeStale() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix) || !e.Type().IsRegular() {
			continue
		}
		if err := removeIfStale(filepath.Join(d.path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// removeIfStale removes a temporary file unless its writer, which holds a lock
// on it, is still alive.
func removeIfStale(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its writer has just finished
	}
	if err != nil {
		return err
	}
	defer f.Close() // read-only: nothing to lose
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil
		}
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Path returns the path of name inside the directory; of the directory itself
// for "".
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// WriteFile makes name hold data, in one piece or not at all: a temporary file
// is written and fsynced, renamed over name, and the directory fsynced. perm is
// set exactly, whatever the umask. When it returns nil the file survives a
// power cut; when it fails name holds what it held before, unless the error is
// ErrUncertain, when it holds the one or the other.
func (d *Dir) WriteFile(name string, data []byte, perm fs.FileMode) error {
	return d.write(name, data, perm, OpRename, os.Rename)
}

// Create is WriteFile for a name that must not be there yet; it fails with
// fs.ErrExist and changes nothing if it is.
func (d *Dir) Create(name string, data []byte, perm fs.FileMode) error {
	return d.write(name, data, perm, OpLink, os.Link)
}

func (d *Dir) write(name string, data []byte, perm fs.FileMode, op Op, publish func(old, new string) error) error {
	if err := checkName(name); err != nil {
		return err
	}
	f, err := d.writeTemp(name, data, perm)
	if f != nil {
		defer f.Close() // its lock, and with it the claim on the temporary name, ends here
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", d.Path(name), err)
	}
	temp := filepath.Base(f.Name())
	err = d.step(Step{Op: op, Name: temp, Target: name}, func() error {
		return publish(d.Path(temp), d.Path(name))
	})
	if err != nil || op == OpLink {
		d.dropTemp(temp, name)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write %s: %w", d.Path(name), err)
	}
	if err == nil {
		err = d.sync()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w: %w", d.Path(name), ErrUncertain, err)
	}
	return nil
}

// writeTemp leaves data fsynced under a temporary name, and the file open and
// locked. A failed write removes what there is of it.
func (d *Dir) writeTemp(target string, data []byte, perm fs.FileMode) (f *os.File, err error) {
	var temp string
	defer func() {
		if err != nil && temp != "" {
			d.dropTemp(temp, target)
		}
	}()
	err = d.step(Step{Op: OpCreate, Target: target}, func() error {
		if f, err = os.CreateTemp(d.path, tempPrefix+"*"); err != nil {
			return err
		}
		temp = filepath.Base(f.Name())
		if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			return err
		}
		return f.Chmod(perm)
	})
	if err != nil {
		return f, err
	}
	err = d.step(Step{Op: OpWrite, Name: temp, Target: target, Size: len(data)}, func() error {
		_, err := f.Write(data)
		return err
	})
	if err != nil {
		return f, err
	}
	return f, d.step(Step{Op: OpSync, Name: temp, Target: target}, f.Sync)
}

// dropTemp removes a temporary file that is of no more use. If that fails, Open
// will do it.
func (d *Dir) dropTemp(temp, target string) {
	_ = d.step(Step{Op: OpRemove, Name: temp, Target: target}, func() error { return os.Remove(d.Path(temp)) })
}

// Remove unlinks name and fsyncs the directory. A name that is not there is no
// error, so that a removal may be repeated.
func (d *Dir) Remove(name string) error { return d.RemoveAll([]string{name}) }

// RemoveAll unlinks names and then fsyncs the directory once. It goes on after
// a name that fails and returns all errors, which are ErrUncertain.
func (d *Dir) RemoveAll(names []string) error {
	err := d.Discard(names)
	return errors.Join(err, d.uncertain("remove from", d.sync()))
}

// Discard unlinks names and does not wait for the disk: after a power cut any of
// them may be back, whole. A name that is not there is no error. It goes on
// after a name that fails and returns all errors.
func (d *Dir) Discard(names []string) error {
	var errs []error
	for _, name := range names {
		if err := checkName(name); err != nil {
			errs = append(errs, err)
			continue
		}
		err := d.step(Step{Op: OpRemove, Name: name}, func() error { return os.Remove(d.Path(name)) })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%w: %w", ErrUncertain, err))
		}
	}
	return errors.Join(errs...)
}

// Rename gives old the name new, replacing what was there, and fsyncs the
// directory.
func (d *Dir) Rename(old, new string) error { return d.Move(old, d, new) }

// Move gives old the name new in another directory on the same file system,
// replacing what was there, and fsyncs both.
func (d *Dir) Move(old string, to *Dir, new string) error {
	if err := errors.Join(checkName(old), checkName(new)); err != nil {
		return err
	}
	err := d.step(Step{Op: OpRename, Name: old, Target: new, To: to.path}, func() error {
		return os.Rename(d.Path(old), to.Path(new))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rename %s: %w", d.Path(old), err)
	}
	if err == nil {
		err = to.sync()
	}
	if err == nil && to.path != d.path {
		err = d.sync()
	}
	return d.uncertain("rename in", err)
}

func (d *Dir) uncertain(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w: %w", what, d.path, ErrUncertain, err)
}

// ReadFile returns what name holds. A file of more than limit bytes is
// ErrTooLarge; not more than limit bytes and one are read.
func (d *Dir) ReadFile(name string, limit int64) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	f, err := os.Open(d.Path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only: nothing to lose
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: not a regular file", d.Path(name))
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("read %s: %w (%d bytes, limit %d)", d.Path(name), ErrTooLarge, info.Size(), limit)
	}
	data := make([]byte, 0, info.Size()+1)
	for {
		n, err := f.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return nil, fmt.Errorf("read %s: %w (limit %d bytes)", d.Path(name), ErrTooLarge, limit)
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", d.Path(name), err)
		}
		data = slices.Grow(data, 1)
	}
}

// Names returns the names of the regular files, sorted, without temporary and
// hidden ones.
func (d *Dir) Names() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d.path, err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Free returns how many bytes an unprivileged writer may still put on the file
// system.
func (d *Dir) Free() (int64, error) {
	if d.free != nil {
		return d.free()
	}
	var st unix.Statfs_t
	if err := unix.Statfs(d.path, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", d.path, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// Lock takes the directory for this holder alone, until the returned function
// is called or the process ends. It does not wait: a directory that is taken is
// ErrLocked. It leaves no file behind.
func (d *Dir) Lock() (unlock func() error, err error) {
	f, err := os.Open(d.path)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", d.path, err)
	}
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, fmt.Errorf("lock %s: %w", d.path, err)
	}
	return f.Close, nil
}

func (d *Dir) sync() error {
	return d.step(Step{Op: OpSyncDir}, func() error { return syncDir(d.path) })
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// flock locks a whole file, over interrupted calls.
func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func checkName(name string) error {
	if name == "" || len(name) > maxName || name[0] == '.' || strings.ContainsAny(name, "/\\\x00") {
		return fmt.Errorf("file name %q: %w", name, fs.ErrInvalid)
	}
	return nil
}
