package spool

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/lensward/lensward/internal/durable/durabletest"
	"github.com/lensward/lensward/transport/seal"
)

// spoiled are ways in which an index may be found.
func spoiled() map[string]func(data []byte, r *rand.Rand) []byte {
	page := func(data []byte, r *rand.Rand) []byte {
		n := r.IntN(len(data) / 4096)
		return data[n*4096 : (n+1)*4096]
	}
	return map[string]func([]byte, *rand.Rand) []byte{
		"empty":      func([]byte, *rand.Rand) []byte { return nil },
		"text":       func([]byte, *rand.Rand) []byte { return []byte("not a database\n") },
		"truncated":  func(d []byte, r *rand.Rand) []byte { return d[:r.IntN(len(d))] },
		"page zeros": func(d []byte, r *rand.Rand) []byte { clear(page(d, r)); return d },
		"page noise": func(d []byte, r *rand.Rand) []byte {
			p := page(d, r)
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			return d
		},
		"page half": func(d []byte, r *rand.Rand) []byte { clear(page(d, r)[2048:]); return d },
		"page of another": func(d []byte, r *rand.Rand) []byte {
			copy(page(d, r), page(d, r))
			return d
		},
		"bit flipped": func(d []byte, r *rand.Rand) []byte { d[r.IntN(len(d))] ^= 1 << r.IntN(8); return d },
		"lengths": func(d []byte, r *rand.Rand) []byte {
			p := page(d, r)
			for i := 16; i < 256; i++ {
				p[i] = 0xff
			}
			return d
		},
	}
}

// TestSpoiledIndex opens a spool with its index spoiled in many ways. Whatever
// the index says, the items are there, as they were, and the chain goes on.
func TestSpoiledIndex(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(quiet(w.options(dir, 1, Budgets{})))
	for i := range 30 {
		e := w.append(s, draft(seal.KindCheckpoint, 0, 10))
		if i%10 == 0 {
			w.receipt(s, e)
		}
		w.append(s, draft(seal.KindEvent, 1, 10))
	}
	before := waiting(s)
	w.close(s)
	path := filepath.Join(dir, indexName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	boot, seeds := uint64(1), uint64(12)
	if testing.Short() {
		seeds = 2
	}
	for name, spoil := range spoiled() {
		for seed := range seeds {
			data := spoil(append([]byte(nil), good...), rand.New(rand.NewPCG(seed, 1)))
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			boot++
			s := w.open(quiet(w.options(dir, boot, Budgets{})))
			after := waiting(s)
			if pretty(after) != pretty(before) {
				t.Errorf("%s %d: %d items wait, were %d", name, seed, len(after), len(before))
			}
			for _, e := range after {
				if _, err := s.Read(e.Ref); err != nil {
					t.Errorf("%s %d: %v", name, seed, err)
				}
			}
			if st := s.Stats(); st.HeadSeq != before[len(before)-1].Ref.Seq || st.Chain != 1 {
				t.Errorf("%s %d: stats %+v", name, seed, st)
			}
			w.close(s)
		}
	}
	s = w.open(quiet(w.options(dir, boot+1, Budgets{})))
	defer w.close(s)
	if !s.index.usable() {
		t.Error("no index after all that")
	}
}

// TestIndexValuesAreChecked changes what the index says of one item, in a way
// that bbolt does not notice.
func TestIndexValuesAreChecked(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, Budgets{}))
	e := w.append(s, draft(seal.KindEvent, 1, 10))
	w.append(s, draft(seal.KindEvent, 1, 10))
	w.close(s)
	path := filepath.Join(dir, indexName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spoiled := bytes.ReplaceAll(data, e.Hash[:], make([]byte, len(e.Hash)))
	if bytes.Equal(spoiled, data) {
		t.Fatal("the index does not have the hash")
	}
	if err := os.WriteFile(path, spoiled, 0o600); err != nil {
		t.Fatal(err)
	}
	s = w.open(w.options(dir, 2, Budgets{}))
	defer w.close(s)
	if got := waiting(s)[0]; got != e {
		t.Errorf("entry %s, want %s", pretty(got), pretty(e))
	}
	if _, err := os.Stat(filepath.Join(dir, indexBad)); err != nil {
		t.Errorf("the spoiled index was not kept: %v", err)
	}
}

// usable says that there is an index that can be written.
func (ix *index) usable() bool { return ix != nil && !ix.broken && ix.write(nil) == nil }

// TestBrokenIndexDoesNotStopTheSpool makes bbolt fail and panic while the spool
// is open.
func TestBrokenIndexDoesNotStopTheSpool(t *testing.T) {
	for name, breakIt := range map[string]func(t *testing.T, s *Spool){
		"closed":  func(t *testing.T, s *Spool) { s.index.close() },
		"panics":  func(t *testing.T, s *Spool) { s.index.db = nil },
		"removed": func(t *testing.T, s *Spool) { remove(t, s.dir.Path(indexName)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			dir := durabletest.TempDir(t)
			s := w.open(w.options(dir, 1, Budgets{}))
			for range flushAfter {
				w.append(s, draft(seal.KindEvent, 1, 10))
			}
			if s.index == nil {
				t.Fatal("there is no index yet")
			}
			breakIt(t, s)
			for range 2 * flushAfter {
				w.append(s, draft(seal.KindEvent, 1, 10))
			}
			w.close(s)
			s = w.open(w.options(dir, 2, Budgets{}))
			defer w.close(s)
			if st := s.Stats(); st.Depth != 3*flushAfter || st.HeadSeq != 3*flushAfter {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// TestIndexSparesReading wants an intact index to be believed: damage to a body
// shows when it is read, and a header that need not be read is not.
func TestIndexSparesReading(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, Budgets{}))
	for range 3 {
		w.append(s, draft(seal.KindEvent, 1, 10))
	}
	w.close(s)
	corrupt(t, filepath.Join(dir, "1-1-1.lwi"), 100)
	s = w.open(w.options(dir, 2, Budgets{}))
	defer w.close(s)
	if s.Stats().Depth != 3 {
		t.Errorf("stats %+v: the header was read", s.Stats())
	}
}

// TestIndexForgetsWhatIsGone delivers items of which the index is not told.
func TestIndexForgetsWhatIsGone(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	s := w.open(w.options(dir, 1, Budgets{}))
	for range 10 {
		w.append(s, draft(seal.KindEvent, 1, 10))
	}
	w.close(s)
	s = w.open(w.options(dir, 2, Budgets{}))
	w.drain(s)
	w.kill(s)
	w.close(w.open(w.options(dir, 3, Budgets{})))
	ix, err := openIndex(filepath.Join(dir, indexName))
	if err != nil {
		t.Fatal(err)
	}
	defer ix.close()
	entries, err := ix.read()
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 || entries[itemKey(place{1, 1, 10})] == nil {
		t.Errorf("%d entries, want the facts and the head", len(entries))
	}
}

// TestIndexIsCompacted fills the index and empties the spool.
func TestIndexIsCompacted(t *testing.T) {
	w := newWorld(t)
	dir := durabletest.TempDir(t)
	w.close(w.open(w.options(dir, 1, Budgets{})))
	ix, err := openIndex(filepath.Join(dir, indexName))
	if err != nil {
		t.Fatal(err)
	}
	batch := map[string][]byte{keyFacts: []byte(`{"device":"` + w.device.String() + `"}`)}
	for i := range uint64(20_000) {
		batch[itemKey(place{1, 1, i + 1})] = encodeEntry(&entry{kind: seal.KindEvent, size: 1}, 0)
	}
	if err := ix.write(batch); err != nil {
		t.Fatal(err)
	}
	for key := range batch {
		if key != keyFacts {
			batch[key] = nil
		}
	}
	if err := ix.write(batch); err != nil {
		t.Fatal(err)
	}
	ix.close()
	before := size(t, filepath.Join(dir, indexName))
	w.close(w.open(w.options(dir, 2, Budgets{})))
	if after := size(t, filepath.Join(dir, indexName)); before < indexSlack || after > 64<<10 {
		t.Errorf("%d bytes before, %d after", before, after)
	}
}

func size(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(encodeEntry(&entry{kind: seal.KindClip, size: 5, part: 3, last: true, captured: 7}, flagExplained))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		p := place{1, 2, 3}
		e, flags, ok := decodeEntry(p, data)
		if !ok {
			return
		}
		again, _, ok := decodeEntry(p, encodeEntry(e, flags))
		if !ok || *again != *e {
			t.Errorf("%+v became %+v", e, again)
		}
	})
}
