package durabletest

import (
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/internal/durable"
)

// Quota is a small disk: writes that would go over its size fail with ENOSPC,
// each file taking whole blocks of 4 KiB.
type Quota struct {
	root string
	mu   sync.Mutex
	size int64
}

const block = 4096

// NewQuota returns a disk of size bytes that holds the tree at root.
func NewQuota(root string, size int64) *Quota { return &Quota{root: root, size: size} }

// Resize sets the disk's size in bytes.
func (q *Quota) Resize(size int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.size = size
}

// Free returns the bytes left, never below 0. It goes to durable.WithFree.
func (q *Quota) Free() (int64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return max(0, q.size-q.Used()), nil
}

// Used returns the bytes that the tree's files take.
func (q *Quota) Used() int64 {
	var used int64
	// Files vanish while they are being counted; that is no error.
	_ = filepath.WalkDir(q.root, func(_ string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		if info, err := e.Info(); err == nil {
			used += (info.Size() + block - 1) / block * block
		}
		return nil
	})
	return used
}

// Hook goes to durable.WithHook.
func (q *Quota) Hook(s durable.Step) error {
	if s.Op != durable.OpWrite || s.Phase != durable.Before {
		return nil
	}
	free, _ := q.Free()
	if int64(s.Size+block-1)/block*block > free {
		return unix.ENOSPC
	}
	return nil
}
