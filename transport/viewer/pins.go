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
}

// PinnedRecord names an ownership record that verified for this owner.
type PinnedRecord struct {
	Device   seal.ID   `json:"device"`
	Epoch    uint64    `json:"epoch"`
	Revision uint64    `json:"revision"`
	Hash     seal.Hash `json:"hash"`
}

// Head is the newest item seen of a camera's newest chain in an epoch.
type Head struct {
	Device seal.ID `json:"device"`
	Epoch  uint64  `json:"epoch"`
	Chain  uint64  `json:"chain"`
	Seq    uint64  `json:"seq"`
}

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
const maxPins = 4 << 20

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
	b, err := json.MarshalIndent(pinsFile{Version: 1, Pins: p}, "", "\t")
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
	if f.Version != 1 {
		return Pins{}, fmt.Errorf("version %d is not known", f.Version)
	}
	for _, r := range f.Records {
		if r.Device == (seal.ID{}) || r.Epoch < 1 || r.Revision < 1 || r.Hash.IsZero() {
			return Pins{}, errors.New("a record's pin is not complete")
		}
	}
	for _, h := range f.Heads {
		if h.Device == (seal.ID{}) || h.Epoch < 1 || h.Chain < 1 || h.Seq < 1 {
			return Pins{}, errors.New("a chain's head is not complete")
		}
	}
	return f.Pins, nil
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

// seen takes an item's place into account, and says whether a head moved.
func (p *Pins) seen(r seal.Ref) bool {
	i := slices.IndexFunc(p.Heads, func(h Head) bool { return h.Device == r.Device && h.Epoch == r.Epoch })
	if i < 0 {
		p.Heads = append(p.Heads, Head(r))
		return true
	}
	h := &p.Heads[i]
	if r.Chain < h.Chain || r.Chain == h.Chain && r.Seq <= h.Seq {
		return false
	}
	*h = Head(r)
	return true
}
