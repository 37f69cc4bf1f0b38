package viewer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/seal"
)

// Pins are what a viewer must not be talked out of. They belong to one owner.
type Pins struct {
	Owner seal.ID `json:"owner"`
	// Hub is the hub that was signed in to first.
	Hub seal.ID `json:"hub"`
	// Records are the ownership records that were seen.
	Records []PinnedRecord `json:"records"`
	// Heads are the newest items that were seen.
	Heads []Head `json:"heads"`
	// Household is the newest statement of the household that the hub gave, nil if it
	// gave none.
	Household *PinnedStatement `json:"household,omitempty"`
}

// PinnedRecord names an ownership record that verified for this owner.
type PinnedRecord struct {
	Device   seal.ID   `json:"device"`
	Epoch    uint64    `json:"epoch"`
	Revision uint64    `json:"revision"`
	Hash     seal.Hash `json:"hash"`
	// Given says that the hub itself gave it: then it has to have it.
	Given bool `json:"given,omitempty"`
}

// PinnedStatement names a household's statement.
type PinnedStatement struct {
	Serial uint64    `json:"serial"`
	Hash   seal.Hash `json:"hash"`
}

// Head is the newest item seen of a camera's newest chain in an epoch.
type Head struct {
	Device seal.ID `json:"device"`
	Epoch  uint64  `json:"epoch"`
	Chain  uint64  `json:"chain"`
	Seq    uint64  `json:"seq"`
	// Hash and Envelope are the item's; a head from before they were kept has none.
	Hash     seal.Hash `json:"hash,omitzero"`
	Envelope []byte    `json:"envelope,omitempty"`
	// Through is up to where it is known what of the chain was missing, and Holes are the
	// runs up to there that were missing and not explained, in order.
	Through uint64      `json:"through,omitempty"`
	Holes   [][2]uint64 `json:"holes,omitempty"`
}

// Ref is the head's place.
func (h Head) Ref() seal.Ref {
	return seal.Ref{Device: h.Device, Epoch: h.Epoch, Chain: h.Chain, Seq: h.Seq}
}

// maxHoles bounds a head's holes.
const maxHoles = 256

// State keeps a viewer's pins from one run to the next.
type State interface {
	// Load returns the pins that were saved last; zero Pins if there are none.
	// Pins that are there and cannot be read are an error: forgetting them would let
	// a hub roll the records back.
	Load() (Pins, error)
	// Save keeps the pins. When it returns nil they outlive a power cut.
	Save(Pins) error
}

// maxPins bounds the file of pins, in bytes: about 8,000 cameras.
const maxPins = 16 << 20

// FileState keeps pins in a file of a directory.
type FileState struct {
	dir  *durable.Dir
	name string
}

// OpenState keeps the pins in the named file of an owner's directory. One
// process at a time may use it.
func OpenState(dir *durable.Dir, name string) *FileState {
	return &FileState{dir: dir, name: name}
}

// Load reads the file.
func (s *FileState) Load() (Pins, error) {
	b, err := s.dir.ReadFile(s.name, maxPins)
	if errors.Is(err, fs.ErrNotExist) {
		return Pins{}, nil
	}
	if err != nil {
		return Pins{}, fmt.Errorf("read viewer's pins: %w", err)
	}
	p, err := parsePins(b)
	if err != nil {
		return Pins{}, fmt.Errorf("read viewer's pins %s: %w (hint: without it older ownership records would be believed again; delete it only if you know why it is broken)", s.dir.Path(s.name), err)
	}
	return p, nil
}

// Save replaces the file.
func (s *FileState) Save(p Pins) error {
	b, err := json.MarshalIndent(pinsFile{Version: pinsVersion, Pins: p}, "", "\t")
	if err != nil {
		return fmt.Errorf("encode viewer's pins: %w", err)
	}
	if len(b) > maxPins {
		return fmt.Errorf("save viewer's pins: %d bytes, at most %d", len(b), maxPins)
	}
	if err := s.dir.WriteFile(s.name, b, 0o600); err != nil {
		return fmt.Errorf("save viewer's pins: %w", err)
	}
	return nil
}

// pinsVersion is the version that is written. Version 1 had less, and is read.
const pinsVersion = 2

// pinsFile is the file's form.
type pinsFile struct {
	Version int `json:"version"`
	Pins
}

func parsePins(b []byte) (Pins, error) {
	var f pinsFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Pins{}, err
	}
	if f.Version != 1 && f.Version != pinsVersion {
		return Pins{}, fmt.Errorf("version %d is not known", f.Version)
	}
	for _, r := range f.Records {
		if r.Device == (seal.ID{}) || r.Epoch < 1 || r.Revision < 1 || r.Hash.IsZero() {
			return Pins{}, errors.New("a record's pin is not complete")
		}
	}
	for i, h := range f.Heads {
		if h.Device == (seal.ID{}) || h.Epoch < 1 || h.Chain < 1 || h.Seq < 1 {
			return Pins{}, errors.New("a chain's head is not complete")
		}
		if err := h.checkHoles(); err != nil {
			return Pins{}, err
		}
		if len(h.Envelope) == 0 {
			f.Heads[i].Envelope = nil
		}
		if len(h.Holes) == 0 {
			f.Heads[i].Holes = nil
		}
	}
	if p := f.Household; p != nil && (p.Serial < 1 || p.Hash.IsZero()) {
		return Pins{}, errors.New("the household's statement is not complete")
	}
	return f.Pins, nil
}

// checkHoles holds the holes against their order and bounds.
func (h Head) checkHoles() error {
	last := uint64(0)
	for _, r := range h.Holes {
		if r[0] <= last || r[1] < r[0] || r[1] > h.Through {
			return errors.New("a chain's holes are out of order")
		}
		last = r[1]
	}
	if len(h.Holes) > maxHoles || len(h.Envelope) > seal.MaxEnvelope {
		return errors.New("a chain's head is too large")
	}
	return nil
}

// MemoryState keeps pins as long as the process lives: for a look that should
// leave no trace. A hub can roll the next process back.
type MemoryState struct{ pins Pins }

// Load returns what was saved.
func (s *MemoryState) Load() (Pins, error) { return s.pins.clone(), nil }

// Save keeps a copy.
func (s *MemoryState) Save(p Pins) error {
	s.pins = p.clone()
	return nil
}

func (p Pins) clone() Pins {
	p.Records, p.Heads = slices.Clone(p.Records), slices.Clone(p.Heads)
	return p
}

// cameras is what seal.Policy needs of the pins.
func (p Pins) cameras() map[seal.ID]seal.Camera {
	out := make(map[seal.ID]seal.Camera)
	for _, r := range p.Records {
		if out[r.Device].Records == nil {
			out[r.Device] = seal.Camera{Records: make(map[seal.Hash]uint64)}
		}
		out[r.Device].Records[r.Hash] = r.Epoch
	}
	return out
}

// newest is the highest record pinned for a device.
func (p Pins) newest(device seal.ID) (PinnedRecord, bool) {
	var top PinnedRecord
	for _, r := range p.Records {
		if r.Device == device && (r.Epoch > top.Epoch || r.Epoch == top.Epoch && r.Revision > top.Revision) {
			top = r
		}
	}
	return top, top.Epoch > 0
}

// newestGiven is the highest record of a device that the hub gave.
func (p Pins) newestGiven(device seal.ID) (PinnedRecord, bool) {
	var top PinnedRecord
	for _, r := range p.Records {
		if r.Given && r.Device == device && (r.Epoch > top.Epoch || r.Epoch == top.Epoch && r.Revision > top.Revision) {
			top = r
		}
	}
	return top, top.Epoch > 0
}

// index is where a record is pinned, or -1. Who gave it does not matter.
func (p Pins) index(r PinnedRecord) int {
	return slices.IndexFunc(p.Records, func(have PinnedRecord) bool {
		have.Given = r.Given
		return have == r
	})
}

// head is the head of a device's epoch, nil if nothing was seen of it.
func (p *Pins) head(device seal.ID, epoch uint64) *Head {
	i := slices.IndexFunc(p.Heads, func(h Head) bool { return h.Device == device && h.Epoch == epoch })
	if i < 0 {
		return nil
	}
	return &p.Heads[i]
}

// seen takes an item into account, and says whether a head moved.
func (p *Pins) seen(it *seal.Item) bool {
	r := it.Header.Ref()
	fresh := Head{
		Device: r.Device, Epoch: r.Epoch, Chain: r.Chain, Seq: r.Seq,
		Hash: it.Hash(), Envelope: slices.Clone(it.Envelope),
	}
	h := p.head(r.Device, r.Epoch)
	switch {
	case h == nil:
		p.Heads = append(p.Heads, fresh)
		return true
	case r.Chain < h.Chain || r.Chain == h.Chain && r.Seq < h.Seq:
		return false
	case r.Chain == h.Chain && r.Seq == h.Seq && !h.Hash.IsZero():
		return false
	case r.Chain == h.Chain:
		fresh.Through, fresh.Holes = h.Through, h.Holes
	}
	*h = fresh
	return true
}
