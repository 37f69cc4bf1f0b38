package viewer

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// maxWithheld bounds how many withheld answers are kept with their proof; the
// oldest go first. The counts go on.
const maxWithheld = 10_000

// Summary counts what a viewer did since it was made.
type Summary struct {
	// Verified counts items that verified whole and are the owner's own; Opened those
	// of them that were decrypted too.
	Verified, Opened uint64
	// Withheld counts the answers that were not shown, Reasons by why.
	Withheld uint64
	Reasons  map[seal.Reason]uint64
	// Reported counts the misrouted headers that the hub took back as a report.
	Reported uint64
	// WronglyShown counts items that were handed out and should not have been,
	// according to a second, independent reading of their bytes. It must be 0.
	WronglyShown uint64
	// Waiting counts what is still being asked for.
	Waiting int
	// Missing is what is not there, with what the cameras said that they dropped.
	Missing []seal.Missing
	// Findings counts what the hub, or whoever has a camera's key, was caught at.
	Findings map[FindingName]uint64
}

// reasonOwnership is a camera's word, in the last gap of a chain, that its ownership ended.
const reasonOwnership = "ownership"

// Camera is one of the owner's cameras.
type Camera struct {
	Device seal.ID
	// Epoch and Revision are those of its newest pinned record.
	Epoch, Revision uint64
	// Heard is the newest capture time in a verified item, zero if there is none.
	// Clock is how far the camera trusted its clock then.
	Heard time.Time
	Clock seal.ClockTrust
	// Checkpoint is the one furthest along its chains, nil if there is none.
	Checkpoint   *seal.Checkpoint
	checkpointAt seal.Ref
	// Ended is when the owner's time with it ended by its own word, and it was not the
	// owner's again by a record of a later epoch. Zero is not.
	Ended      time.Time
	endedEpoch uint64
	// Online and Seen are the hub's word, which nothing proves.
	Online bool
	Seen   time.Time
}

// Footage is what belongs to one event of one camera.
type Footage struct {
	Device seal.ID
	Event  seal.EventID
	// At is the earliest capture time among its items.
	At time.Time
	// Thumbnails and Clips are the headers of the opened items, a clip's by part.
	Thumbnails, Clips []seal.Header
	// Record is what the camera said of the event once it was over, nil until then.
	Record *seal.Event
}

// account is what a viewer tells of itself. It has a lock of its own, so that
// it can be read while the viewer runs.
type account struct {
	mu       sync.Mutex
	sum      Summary
	withheld []Withheld
	findings []Finding
	cameras  map[seal.ID]*Camera
	footage  map[footageKey]*Footage
	order    []footageKey
}

type footageKey struct {
	device seal.ID
	event  seal.EventID
}

func newAccount() *account {
	return &account{
		sum:     Summary{Reasons: map[seal.Reason]uint64{}, Findings: map[FindingName]uint64{}},
		cameras: map[seal.ID]*Camera{}, footage: map[footageKey]*Footage{},
	}
}

// note takes an event into account.
func (a *account) note(e Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch e := e.(type) {
	case Opened:
		a.sum.Opened++
		a.opened(e)
	case Withheld:
		a.sum.Withheld++
		a.sum.Reasons[e.Reason]++
		if len(a.withheld) == maxWithheld {
			a.withheld = slices.Delete(a.withheld, 0, maxWithheld/10)
		}
		a.withheld = append(a.withheld, e)
	case Missing:
		a.sum.Missing = e.Ranges
	case Finding:
		a.sum.Findings[e.Name]++
		a.findings = append(a.findings, e) // at most maxFindings are told
	case RecordPinned:
		a.pinned(e.Pin)
	}
}

func (a *account) pinned(pin PinnedRecord) {
	c := a.camera(pin.Device)
	if pin.Epoch > c.Epoch || pin.Epoch == c.Epoch && pin.Revision > c.Revision {
		c.Epoch, c.Revision = pin.Epoch, pin.Revision
	}
	if c.endedEpoch < c.Epoch {
		c.Ended = time.Time{}
	}
}

func (a *account) camera(device seal.ID) *Camera {
	c := a.cameras[device]
	if c == nil {
		c = &Camera{Device: device}
		a.cameras[device] = c
	}
	return c
}

// after says whether a stands after b in a camera's chains.
func after(a, b seal.Ref) bool {
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.Seq, b.Seq)) > 0
}

func (a *account) opened(o Opened) {
	h := o.Header
	c := a.camera(h.Device)
	if h.Captured.After(c.Heard) {
		c.Heard, c.Clock = h.Captured, h.Clock
	}
	if o.Checkpoint != nil && !after(c.checkpointAt, h.Ref()) {
		c.Checkpoint, c.checkpointAt = o.Checkpoint, h.Ref()
	}
	if o.Gap != nil && h.Epoch >= max(c.Epoch, c.endedEpoch) && slices.ContainsFunc(o.Gap.Dropped, func(d seal.Dropped) bool { return d.Reason == reasonOwnership }) {
		c.Ended, c.endedEpoch = h.Captured, h.Epoch
	}
	if h.Event.IsZero() {
		return
	}
	key := footageKey{h.Device, h.Event}
	f := a.footage[key]
	if f == nil {
		f = &Footage{Device: h.Device, Event: h.Event, At: h.Captured}
		a.footage[key] = f
		a.order = append(a.order, key)
	}
	if h.Captured.Before(f.At) {
		f.At = h.Captured
	}
	switch h.Kind {
	case seal.KindThumbnail:
		f.Thumbnails = append(f.Thumbnails, h)
	case seal.KindClip:
		i, _ := slices.BinarySearchFunc(f.Clips, h.Part, func(c seal.Header, part uint32) int { return int(c.Part) - int(part) })
		f.Clips = slices.Insert(f.Clips, i, h)
	case seal.KindEvent:
		f.Record = o.Event
	}
}

// hear takes the hub's word on the cameras that are known.
func (a *account) hear(words []deviceWord) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range words {
		if c := a.cameras[w.ID]; c != nil {
			c.Online = w.Online
			if w.Seen > 0 {
				c.Seen = time.Unix(w.Seen, 0)
			}
		}
	}
}

func (a *account) add(n *uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*n++
}

func (a *account) waiting(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sum.Waiting = n
}

// Summary gives the counts so far.
func (v *Viewer) Summary() Summary {
	a := v.account
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sum
	s.Reasons, s.Missing = maps.Clone(s.Reasons), slices.Clone(s.Missing)
	s.Findings = maps.Clone(s.Findings)
	return s
}

// Withheld gives the answers that were not shown, oldest first, at most 10,000.
func (v *Viewer) Withheld() []Withheld {
	a := v.account
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.withheld)
}

// Findings gives what was found, oldest first, at most 10,000.
func (v *Viewer) Findings() []Finding {
	a := v.account
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.findings)
}

// Cameras gives the cameras that are the owner's, by device ID.
func (v *Viewer) Cameras() []Camera {
	a := v.account
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Camera
	for _, c := range a.cameras {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(x, y Camera) int { return slices.Compare(x.Device[:], y.Device[:]) })
	return out
}

// Footage gives what was opened, event by event, in the order of capture.
func (v *Viewer) Footage() []Footage {
	a := v.account
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Footage
	for _, key := range a.order {
		f := *a.footage[key]
		f.Thumbnails, f.Clips = slices.Clone(f.Thumbnails), slices.Clone(f.Clips)
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(x, y Footage) int { return x.At.Compare(y.At) })
	return out
}
