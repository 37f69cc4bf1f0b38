package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"github.com/lensward/lensward/transport/seal"
)

// The index is a cache of what the blobs say, so that opening does not have to
// read them, with a few facts that only it has and that may be lost. It is
// written in batches: what a power cut takes from it is read from the blobs.
const (
	indexName  = "index.db"
	indexBad   = "index.db.bad" // a damaged one, kept for whoever looks into it
	flushAfter = 64             // changes
	flushEvery = time.Minute
	// indexSlack is how large the index may be without looking whether it has become
	// mostly free pages, in bytes; indexEntry about what an entry takes.
	indexSlack = 1 << 20
	indexEntry = 1 << 10
)

// A key is a letter for the kind of entry and the place it is about.
const (
	keyItem  = "i"
	keyAside = "a"
	keyGap   = "g"
	keyFacts = "f"
)

func (p place) key() string {
	b := binary.BigEndian.AppendUint64(nil, p.epoch)
	b = binary.BigEndian.AppendUint64(b, p.chain)
	return string(binary.BigEndian.AppendUint64(b, p.seq))
}

func itemKey(p place) string   { return keyItem + p.key() }
func gapKey(p place) string    { return keyGap + p.key() }
func asideKey(a *aside) string { return keyAside + a.key() }

// facts are what the index knows besides entries.
type facts struct {
	Device seal.ID `json:"device"`
	Counts counts  `json:"counts"`
}

// entrySize is the length of an encoded entry.
const entrySize = 1 + 1 + 4 + 8 + 8 + 32 + 32 + 16

// Flags of an encoded entry.
const (
	flagLast      = 1
	flagDelivered = 2
	flagExplained = 4
)

// encodeEntry writes what p.key does not say already.
func encodeEntry(e *entry, flags byte) []byte {
	b := make([]byte, 0, entrySize)
	if e.last {
		flags |= flagLast
	}
	if e.delivered {
		flags |= flagDelivered
	}
	b = append(b, byte(e.kind), flags)
	b = binary.BigEndian.AppendUint32(b, e.part)
	b = binary.BigEndian.AppendUint64(b, uint64(e.size))
	b = binary.BigEndian.AppendUint64(b, uint64(e.captured))
	b = append(b, e.hash[:]...)
	b = append(b, e.prev[:]...)
	return append(b, e.event[:]...)
}

func decodeEntry(p place, b []byte) (*entry, byte, bool) {
	if len(b) != entrySize {
		return nil, 0, false
	}
	e := &entry{
		place: p, kind: seal.Kind(b[0]), last: b[1]&flagLast != 0, delivered: b[1]&flagDelivered != 0,
		part: binary.BigEndian.Uint32(b[2:]), size: int64(binary.BigEndian.Uint64(b[6:])),
		captured: int64(binary.BigEndian.Uint64(b[14:])), cached: true,
	}
	copy(e.hash[:], b[22:])
	copy(e.prev[:], b[54:])
	copy(e.event[:], b[86:])
	return e, b[1], true
}

func encodeGap(ranges []seal.Dropped) []byte {
	b, err := json.Marshal(ranges)
	if err != nil {
		return nil // cannot happen; the gap item is then not merged
	}
	return b
}

// note, dropNote, noteAside put a change down for the index. The caller holds mu.

func (s *Spool) note(e *entry)     { s.dirty[itemKey(e.place)] = encodeEntry(e, 0) }
func (s *Spool) dropNote(e *entry) { s.dirty[itemKey(e.place)] = nil }

func (s *Spool) noteAside(a *aside) {
	flags := byte(0)
	if a.explained {
		flags = flagExplained
	}
	s.dirty[asideKey(a)] = encodeEntry(a.entry, flags)
}

// everything puts down all that a new index has to say. The caller holds mu.
func (s *Spool) everything() {
	s.dirty = map[string][]byte{}
	for c := range s.shelves {
		for _, e := range s.shelves[c].items {
			s.note(e)
		}
	}
	if s.kept != nil {
		s.note(s.kept)
	}
	for _, a := range s.aside {
		s.noteAside(a)
	}
	for p, ranges := range s.gaps {
		s.dirty[gapKey(p)] = encodeGap(ranges)
	}
}

// flush writes the index when enough has changed or enough time has passed; with
// force, when anything has. A failure costs nothing but time at the next Open.
// The caller has the turn.
func (s *Spool) flush(force bool) {
	s.mu.Lock()
	early := time.Since(s.flushed) < flushEvery
	few := len(s.dirty) < flushAfter || s.rewrite // a rewrite that failed is not tried at once again
	if len(s.dirty) == 0 && !s.rewrite || !force && early && few {
		s.mu.Unlock()
		return
	}
	rewrite := s.rewrite
	if rewrite {
		s.everything()
	}
	batch := s.dirty
	known, err := json.Marshal(facts{Device: s.device, Counts: s.counts})
	if err == nil {
		batch[keyFacts] = known
	}
	s.dirty, s.rewrite, s.flushed = map[string][]byte{}, false, time.Now()
	s.mu.Unlock()

	if err = errors.Join(err, s.writeIndex(batch, rewrite)); err != nil {
		s.log.Warn("cannot write the spool's index; it is made anew", "error", err)
		s.index.close()
		s.index = nil
		s.mu.Lock()
		s.rewrite = true
		s.mu.Unlock()
	}
}

func (s *Spool) writeIndex(batch map[string][]byte, rewrite bool) error {
	if rewrite || s.index == nil {
		s.index.close()
		s.index = nil
		if err := s.dir.Discard([]string{indexName}); err != nil {
			return err
		}
		var err error
		if s.index, err = openIndex(s.dir.Path(indexName)); err != nil {
			return err
		}
	}
	return s.index.write(batch)
}

// loadIndex reads the index into memory; one that is missing or damaged gives an
// empty map and is written anew.
func (s *Spool) loadIndex() map[string][]byte {
	path := s.dir.Path(indexName)
	info, err := os.Lstat(path)
	if err != nil {
		s.rewrite = true
		return nil
	}
	ix, err := openIndex(path)
	var entries map[string][]byte
	if err == nil {
		s.index = ix
		entries, err = ix.read()
	}
	var f facts
	if err == nil {
		err = json.Unmarshal(entries[keyFacts], &f)
	}
	if err != nil {
		s.log.Error("the spool's index is damaged; it is made anew from the items", "error", err, "kept_as", indexBad)
		s.index.close()
		s.index, s.rewrite = nil, true
		if err := s.dir.Rename(indexName, indexBad); err != nil {
			s.log.Warn("cannot rename the damaged index", "error", err)
		}
		return nil
	}
	if f.Device != s.device {
		s.rewrite = true
		return nil
	}
	s.counts = f.Counts
	s.rewrite = info.Size() > indexSlack+int64(len(entries))*indexEntry
	return entries
}

// index is the open bbolt file. A nil index can be closed.
type index struct {
	db     *bbolt.DB
	broken bool
}

func bucketName() []byte { return []byte("spool/1") }

func openIndex(path string) (*index, error) {
	ix := &index{}
	err := ix.guard(func() (err error) {
		ix.db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, PageSize: 4096})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open spool index: %w", err)
	}
	return ix, nil
}

// guard turns bbolt's panics, and faults in its memory map (a file that is
// shorter than it claims, a bad sector), into errors.
func (ix *index) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			ix.broken = true
			err = fmt.Errorf("bbolt panicked: %v", r)
		}
	}()
	return do()
}

// close closes the file. After a panic bbolt may hold its locks for ever: then
// the file is left open until the process ends, once for each damaged index.
func (ix *index) close() {
	if ix == nil || ix.db == nil || ix.broken {
		return
	}
	_ = ix.guard(ix.db.Close) // everything that counts was committed
}

func (ix *index) write(batch map[string][]byte) error {
	return ix.guard(func() error {
		return ix.db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucketName())
			if err != nil {
				return err
			}
			for key, value := range batch {
				if value == nil {
					err = b.Delete([]byte(key))
				} else {
					err = b.Put([]byte(key), append(checksum(key, value), value...))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// read returns all entries. bbolt checks its meta pages alone, so each entry has
// a checksum; one that does not hold condemns the index.
func (ix *index) read() (map[string][]byte, error) {
	entries := map[string][]byte{}
	err := ix.guard(func() error {
		return ix.db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketName())
			if b == nil {
				return errors.New("no bucket")
			}
			return b.ForEach(func(k, v []byte) error {
				if len(v) < crc32.Size || string(checksum(string(k), v[crc32.Size:])) != string(v[:crc32.Size]) {
					return fmt.Errorf("checksum of entry %q", k)
				}
				entries[string(k)] = append([]byte(nil), v[crc32.Size:]...)
				return nil
			})
		})
	})
	return entries, err
}

func checksum(key string, value []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Checksum([]byte(key), table), table, value)
	return binary.BigEndian.AppendUint32(nil, sum)
}
