package spool

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/seal"
)

// world is a camera, its owner, and a hub that keeps what it is given.
type world struct {
	t      testing.TB
	key    *ecdsa.PrivateKey
	id     *age.X25519Identity
	device seal.ID
	hub    map[seal.Ref][]byte
	read   *reader

	mu     sync.Mutex
	signed map[seal.Ref]map[seal.Hash]bool // everything that was ever sealed
}

func newWorld(t testing.TB) *world {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	device, err := seal.IDOf(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, key: key, id: id, device: device, hub: map[seal.Ref][]byte{}, read: newReader(id), signed: map[seal.Ref]map[seal.Hash]bool{}}
}

// reader reads items, and remembers: the same bytes are the same item however often the
// hub is looked through.
type reader struct {
	id *age.X25519Identity

	mu    sync.Mutex
	items map[[sha256.Size]byte]*seal.Item // that verified
	gaps  map[seal.Hash]seal.Gap
}

func newReader(id *age.X25519Identity) *reader {
	return &reader{id: id, items: map[[sha256.Size]byte]*seal.Item{}, gaps: map[seal.Hash]seal.Gap{}}
}

// item parses and verifies.
func (r *reader) item(data []byte) (*seal.Item, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := sha256.Sum256(data)
	if it, ok := r.items[name]; ok {
		return it, nil
	}
	it, err := seal.Parse(data)
	if err != nil {
		return nil, err
	}
	if err := it.Verify(); err != nil {
		return nil, err
	}
	r.items[name] = it
	return it, nil
}

// gap opens a gap item that item gave.
func (r *reader) gap(it *seal.Item) (seal.Gap, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g, ok := r.gaps[it.Hash()]; ok {
		return g, nil
	}
	body, err := it.Open(r.id)
	if err != nil {
		return seal.Gap{}, err
	}
	g, err := seal.ParseGap(body)
	if err == nil {
		r.gaps[it.Hash()] = g
	}
	return g, err
}

// recorder is a Sealer that remembers what it sealed.
type recorder struct {
	*seal.Sealer
	w *world
}

func (r recorder) Seal(d seal.Draft, l seal.Link) (*seal.Item, error) {
	it, err := r.Sealer.Seal(d, l)
	if err == nil {
		r.w.mu.Lock()
		defer r.w.mu.Unlock()
		at := it.Header.Ref()
		if r.w.signed[at] == nil {
			r.w.signed[at] = map[seal.Hash]bool{}
		}
		r.w.signed[at][it.Hash()] = true
	}
	return it, err
}

func recordHash(epoch, revision byte) seal.Hash { return seal.Hash{1, epoch, revision} }

func (w *world) sealer(boot, epoch uint64, record seal.Hash) Sealer {
	w.t.Helper()
	s, err := seal.NewSealer(
		seal.Device{Key: w.key, Protection: seal.ProtectionFile, Firmware: "1.0.0", Boot: boot},
		seal.Binding{Owner: seal.ID{7}, Epoch: epoch, Record: record, Recipients: []age.Recipient{w.id.Recipient()}},
	)
	if err != nil {
		w.t.Fatal(err)
	}
	return recorder{s, w}
}

// options are for epoch 1 at the given boot.
func (w *world) options(dir string, boot uint64, b Budgets, disk ...durable.Option) Options {
	return Options{
		Dir: dir, Sealer: w.sealer(boot, 1, recordHash(1, 1)), Boot: boot, Budgets: b,
		Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)), disk: disk,
	}
}

func quiet(o Options) Options {
	o.Log = nil
	return o
}

func (w *world) open(o Options) *Spool {
	w.t.Helper()
	s, err := Open(context.Background(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) close(s *Spool) {
	w.t.Helper()
	if err := s.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// kill ends a spool as a dying process does: nothing is written any more.
func (w *world) kill(s *Spool) {
	w.t.Helper()
	s.index.close()
	if err := s.unlock(); err != nil {
		w.t.Fatal(err)
	}
}

// capturedAt is a time that no test compares with now.
func capturedAt() time.Time { return time.UnixMilli(1_700_000_000_000).UTC() }

// draft makes a draft of a kind for an event; size is of the plaintext.
func draft(k seal.Kind, event byte, size int) seal.Draft {
	d := seal.Draft{Kind: k, Captured: capturedAt(), Clock: seal.ClockNetwork, MediaType: k.MediaType(), Body: bytes.Repeat([]byte{'x'}, size)}
	switch k {
	case seal.KindCheckpoint, seal.KindGap:
	default:
		d.Event = seal.EventID{event}
	}
	return d
}

func part(event byte, n uint32, size int) seal.Draft {
	d := draft(seal.KindClip, event, size)
	d.Part = n
	return d
}

func (w *world) append(s *Spool, d seal.Draft) Entry {
	w.t.Helper()
	e, err := s.Append(context.Background(), d)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// deliver gives an item to the hub, without a receipt.
func (w *world) deliver(s *Spool, e Entry) {
	w.t.Helper()
	data, err := s.Read(e.Ref)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store(data)
}

// store is the hub's part: it keeps what verifies.
func (w *world) store(data []byte) {
	w.t.Helper()
	it, err := w.read.item(data)
	if err != nil {
		w.t.Fatal(err)
	}
	ref := it.Header.Ref()
	if have, ok := w.hub[ref]; ok && !bytes.Equal(have, data) {
		w.t.Fatalf("two items for %s", ref)
	}
	w.hub[ref] = data
}

// receipt delivers an item and has it forgotten.
func (w *world) receipt(s *Spool, e Entry) {
	w.t.Helper()
	w.deliver(s, e)
	if err := s.Forget(e.Ref, e.Hash); err != nil {
		w.t.Fatal(err)
	}
}

// waiting lists what waits, in the order of delivery.
func waiting(s *Spool) []Entry {
	var out []Entry
	seen := map[seal.Ref]bool{}
	for _, parts := range []bool{false, true} {
		for {
			e, ok := s.Next(parts, func(r seal.Ref) bool { return seen[r] })
			if !ok {
				break
			}
			seen[e.Ref] = true
			out = append(out, e)
		}
	}
	return out
}

// drain delivers everything that waits.
func (w *world) drain(s *Spool) {
	w.t.Helper()
	for _, e := range waiting(s) {
		w.receipt(s, e)
	}
}

// audit holds all that the hub has against the rules of the chain, and returns
// what is missing. more are items that did not reach the hub.
func (w *world) audit(more ...[]byte) (missing []seal.Missing, err error) {
	all := make(map[seal.Ref][]byte, len(w.hub))
	for ref, data := range w.hub {
		all[ref] = data
	}
	for _, data := range more {
		it, err := w.read.item(data)
		if err != nil {
			return nil, err
		}
		ref := it.Header.Ref()
		if have, ok := all[ref]; ok && !bytes.Equal(have, data) {
			return nil, fmt.Errorf("two items for %s", ref)
		}
		all[ref] = data
	}
	audit := seal.NewAudit()
	var gaps []*seal.Item
	for _, data := range all {
		it, err := w.read.item(data)
		if err != nil {
			return nil, err
		}
		if err := audit.Add(it.Header, it.Hash()); err != nil {
			return nil, err
		}
		if it.Header.Kind == seal.KindGap {
			gaps = append(gaps, it)
		}
	}
	for _, it := range gaps {
		g, err := w.read.gap(it)
		if err != nil {
			return nil, err
		}
		if err := audit.Explain(it.Header, g); err != nil {
			return nil, fmt.Errorf("gap item %d: %w", it.Header.Seq, err)
		}
	}
	return audit.Missing(), nil
}

// unexplained audits and returns the missing items that no gap item names.
func (w *world) unexplained(more ...[]byte) []seal.Missing {
	w.t.Helper()
	missing, err := w.audit(more...)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []seal.Missing
	for _, m := range missing {
		if !m.Dropped {
			out = append(out, m)
		}
	}
	return out
}

// contents reads everything that waits.
func contents(t testing.TB, s *Spool) [][]byte {
	t.Helper()
	var out [][]byte
	for _, e := range waiting(s) {
		data, err := s.Read(e.Ref)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, data)
	}
	return out
}

// files lists the names in a directory that are items.
func files(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == blobExt {
			out = append(out, e.Name())
		}
	}
	return out
}

func seqs(entries []Entry) []uint64 {
	out := []uint64{}
	for _, e := range entries {
		out = append(out, e.Ref.Seq)
	}
	return out
}

func kinds(entries []Entry) string {
	var b bytes.Buffer
	for _, e := range entries {
		b.WriteByte(e.Kind.String()[0])
	}
	return b.String()
}

func pretty(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// corrupt overwrites bytes of a file in the middle, or from the start.
func corrupt(t testing.TB, path string, at int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 0xff
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
