package durabletest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// memory is where Linux keeps files in memory, and roomy how much must be free
// there for a test to use it, in bytes.
const (
	memory = "/dev/shm"
	roomy  = 256 << 20
)

// TempDir is t.TempDir, in memory where there is room: a test that fsyncs
// thousands of times waits for no disk. It is not for measurements.
func TempDir(t testing.TB) string {
	t.Helper()
	var st unix.Statfs_t
	if unix.Statfs(memory, &st) != nil || int64(st.Bavail)*int64(st.Bsize) < roomy {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "lensward-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
