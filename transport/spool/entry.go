package spool

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/seal"
)

// Class is what an item counts as when there is no room for all.
type Class uint8

// The classes, by falling worth.
const (
	Records    Class = 0 // events, checkpoints, gaps
	Thumbnails Class = 1
	Clips      Class = 2

	classes = 3
)

// String is the class's name.
func (c Class) String() string {
	switch c {
	case Records:
		return "records"
	case Thumbnails:
		return "thumbnails"
	case Clips:
		return "clips"
	default:
		return "class " + strconv.Itoa(int(c))
	}
}

// ClassOf is the class of a kind of item.
func ClassOf(k seal.Kind) Class {
	switch k {
	case seal.KindThumbnail:
		return Thumbnails
	case seal.KindClip:
		return Clips
	default:
		return Records
	}
}

// Entry describes an item in the spool.
type Entry struct {
	Ref      seal.Ref
	Hash     seal.Hash // of its header: its identity
	Kind     seal.Kind
	Event    seal.EventID
	Part     uint32
	Last     bool
	Captured time.Time
	// Size is that of the whole item, in bytes.
	Size int64
}

// place is an item's place among all of a device.
type place struct{ epoch, chain, seq uint64 }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.epoch, q.epoch), cmp.Compare(p.chain, q.chain), cmp.Compare(p.seq, q.seq))
}

func placeOf(r seal.Ref) place { return place{r.Epoch, r.Chain, r.Seq} }

// blobExt ends the name of every item's file.
const blobExt = ".lwi"

// name is the name of the item's blob: epoch-chain-seq.lwi, in decimal.
func (p place) name() string {
	return fmt.Sprintf("%d-%d-%d%s", p.epoch, p.chain, p.seq, blobExt)
}

// parseName reads what name writes, and only that.
func parseName(name string) (place, bool) {
	stem, ok := strings.CutSuffix(name, blobExt)
	fields := strings.Split(stem, "-")
	if !ok || len(fields) != 3 {
		return place{}, false
	}
	var p place
	for i, n := range []*uint64{&p.epoch, &p.chain, &p.seq} {
		v, err := strconv.ParseUint(fields[i], 10, 53)
		if err != nil || v == 0 {
			return place{}, false
		}
		*n = v
	}
	return p, p.name() == name
}

// entry is what the spool keeps in memory of an item.
type entry struct {
	place
	hash, prev seal.Hash
	event      seal.EventID
	captured   int64 // milliseconds since 1970
	size       int64
	part       uint32
	kind       seal.Kind
	last       bool
	end        bool // it ends the chain
	delivered  bool // receipted, and on disk only as the head
	cached     bool // from the index, not from the blob
}

func (e *entry) class() Class { return ClassOf(e.kind) }

func (e *entry) public(device seal.ID) Entry {
	return Entry{
		Ref:  seal.Ref{Device: device, Epoch: e.epoch, Chain: e.chain, Seq: e.seq},
		Hash: e.hash, Kind: e.kind, Event: e.event, Part: e.part, Last: e.last,
		Captured: time.UnixMilli(e.captured).UTC(), Size: e.size,
	}
}

// entryOf describes an item whose header has been parsed.
func entryOf(it *seal.Item) *entry {
	h := it.Header
	return &entry{
		place: placeOf(h.Ref()), hash: it.Hash(), prev: h.Prev, event: h.Event,
		captured: h.Captured.UnixMilli(), size: int64(len(it.Envelope)) + int64(h.BodySize),
		part: h.Part, kind: h.Kind, last: h.Last,
	}
}

// readHeader reads the signed header at the start of a blob, and holds the
// file's length against it. It does not check the signature.
func readHeader(path string) (*seal.Item, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only: nothing to lose
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	start, err := io.ReadAll(io.LimitReader(f, seal.MaxEnvelope))
	if err != nil {
		return nil, err
	}
	return parseStart(start, info.Size())
}

// parseStart reads a header from the first bytes of a blob of size bytes.
func parseStart(start []byte, size int64) (*seal.Item, error) {
	var raw cbor.RawMessage
	rest, err := cbor.UnmarshalFirst(start, &raw)
	if err != nil {
		return nil, fmt.Errorf("%w: no envelope: %w", ErrCorrupt, err)
	}
	it, err := seal.ParseEnvelope(bytes.Clone(start[:len(start)-len(rest)]))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if want := entryOf(it).size; size != want {
		return nil, fmt.Errorf("%w: %d bytes, its header says %d", ErrCorrupt, size, want)
	}
	return it, nil
}

// shelf holds the entries of one class, in the order of their places.
type shelf struct {
	items []*entry
	bytes int64
}

// search returns where p is on the shelf, or would be.
func (h *shelf) search(p place) (int, bool) {
	return slices.BinarySearchFunc(h.items, p, func(e *entry, p place) int { return e.compare(p) })
}

func (h *shelf) add(e *entry) {
	i, _ := h.search(e.place)
	h.items = slices.Insert(h.items, i, e)
	h.bytes += e.size
}

// remove takes e off the shelf and says whether it was there.
func (h *shelf) remove(e *entry) bool {
	i, ok := h.search(e.place)
	if !ok || h.items[i] != e {
		return false
	}
	h.items = slices.Delete(h.items, i, i+1)
	h.bytes -= e.size
	return true
}

// shelve, unshelve, find: the caller holds mu.

func (s *Spool) shelve(e *entry) {
	s.shelves[e.class()].add(e)
	s.note(e)
}

func (s *Spool) unshelve(e *entry) { s.shelves[e.class()].remove(e) }

// find returns the waiting entry at ref, or nil.
func (s *Spool) find(ref seal.Ref) *entry {
	if ref.Device != s.device {
		return nil
	}
	return s.at(placeOf(ref))
}

// at returns the waiting entry at a place, or nil. The caller holds mu.
func (s *Spool) at(p place) *entry {
	for c := range s.shelves {
		if i, ok := s.shelves[c].search(p); ok {
			return s.shelves[c].items[i]
		}
	}
	return nil
}

// Read returns the bytes of an item, after checking that they are the item that
// was appended, signature and body included. An item that is gone is ErrGone; a
// damaged one is set aside and ErrCorrupt.
func (s *Spool) Read(ref seal.Ref) ([]byte, error) {
	s.mu.Lock()
	e := s.find(ref)
	s.mu.Unlock()
	if e == nil {
		return nil, fmt.Errorf("read %s: %w", ref, ErrGone)
	}
	data, err := s.dir.ReadFile(e.name(), seal.MaxItem)
	switch {
	case err == nil:
		if err = e.verify(data, s.device); err == nil {
			return data, nil
		}
	case !isDamage(err):
		return nil, fmt.Errorf("read %s: %w", ref, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(ref) != e {
		return nil, fmt.Errorf("read %s: %w", ref, ErrGone)
	}
	s.log.Error("a spooled item is damaged; it is set aside", "item", e.name(), "error", err)
	err = errors.Join(err, s.setAside(e, reasonCorrupt))
	return nil, fmt.Errorf("read %s: %w: %w", ref, ErrCorrupt, err)
}

// verify says whether data is the item that e describes.
func (e *entry) verify(data []byte, device seal.ID) error {
	it, err := seal.Parse(data)
	if err != nil {
		return err
	}
	if it.Header.Device != device || placeOf(it.Header.Ref()) != e.place || it.Hash() != e.hash {
		return fmt.Errorf("it is item %s", it.Header.Ref())
	}
	return it.Verify()
}

// isDamage says of an error of reading a blob that the blob is to blame, and not
// a want of memory or file descriptors that will pass.
func isDamage(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, syscall.EIO) ||
		errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrTooLarge)
}
