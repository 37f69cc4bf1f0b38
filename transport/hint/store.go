package hint

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/seal"
)

const (
	fileName = "hint"
	// asideName is what a file is renamed to that is not a hint of the device's hub.
	asideName = "hint.bad"
	// keepEvery spares the flash: a hint is written at most this often.
	keepEvery = 5 * time.Minute
)

// Store holds the newest hint of one hub, in memory and on disk. Its methods may be
// called from several goroutines.
type Store struct {
	dir *durable.Dir
	hub seal.ID
	log *slog.Logger

	mu     sync.Mutex
	newest *Statement
	raw    []byte    // the newest as it came
	kept   bool      // it is on disk
	wrote  time.Time // when it was last tried; zero if not in this run
}

// Open reads the hint of a hub that is kept in dir, the state directory. A file that is
// not one is set aside and said so: the device goes on without.
func Open(dir *durable.Dir, hub seal.ID, log *slog.Logger) *Store {
	s := &Store{dir: dir, hub: hub, log: log}
	if err := s.load(); err != nil {
		log.Warn("the kept hint cannot be used", slog.Any("error", err))
	}
	return s
}

func (s *Store) load() error {
	b, err := s.dir.ReadFile(fileName, MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var st *Statement
	if err == nil {
		st, err = Verify(b, s.hub)
	}
	if err != nil {
		return errors.Join(err, s.dir.Rename(fileName, asideName))
	}
	s.newest, s.raw, s.kept = st, b, true
	return nil
}

// Newest is the newest hint, nil if there was none.
func (s *Store) Newest() *Statement {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// Take verifies a hint and gives the newest one: this, or what was known before if this is
// older. The errors are Verify's. That it cannot be written is no reason not to use it, and
// only logged.
func (s *Store) Take(b []byte) (*Statement, error) {
	if st := s.same(b); st != nil {
		return st, nil
	}
	st, err := Verify(b, s.hub)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest == nil || st.Serial > s.newest.Serial {
		s.newest, s.raw, s.kept = st, bytes.Clone(b), false
		s.keep()
	}
	return s.newest, nil
}

// same is the newest hint if that is what b is: it need not be verified again.
func (s *Store) same(b []byte) *Statement {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest != nil && bytes.Equal(b, s.raw) {
		return s.newest
	}
	return nil
}

// Keep writes the newest hint if it is not on disk and none was written just before. It
// is to be called now and then, so that the last of several is kept too.
func (s *Store) Keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep()
}

func (s *Store) keep() {
	now := time.Now()
	if s.kept || s.newest == nil || !s.wrote.IsZero() && now.Sub(s.wrote) < keepEvery {
		return
	}
	s.wrote = now
	if err := s.dir.WriteFile(fileName, s.raw, 0o600); err != nil {
		s.log.Warn("the hint cannot be kept", slog.Any("error", err))
		return
	}
	s.kept = true
}
