package seal

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/lensward/lensward/transport/statement"
)

// MaxDropped bounds the ranges in one gap item.
const MaxDropped = 256

// Event is the body of an event item: what happened, said once it is over.
type Event struct {
	// Start and End are when motion began and ended, in milliseconds since 1970.
	Start int64 `json:"start"`
	End   int64 `json:"end"`
	// Score is the largest share of the picture that moved at once, 0 to 1.
	Score float64 `json:"score"`
	// Box is where it moved then: left, top, width, height as shares of the picture.
	Box [4]float64 `json:"box"`
	// Parts counts the clip's parts; LostParts those that could not be kept.
	Parts     uint32 `json:"parts"`
	LostParts uint32 `json:"lost_parts,omitempty"`
	// Continues is the event that this one carries on, after the longest duration.
	Continues EventID `json:"continues,omitzero"`
	// Cause is what happened; the zero value is motion.
	Cause EventCause `json:"cause,omitempty"`
	// Zones names the zones that it touched, at most MaxZones of 1 to MaxZoneName
	// bytes each.
	Zones []string `json:"zones,omitempty"`
}

// EventCause says what an event was.
type EventCause string

// The causes.
const (
	// CauseMotion: something moved.
	CauseMotion EventCause = "motion"
	// CauseCovered: something blocked the camera's view.
	CauseCovered EventCause = "covered"
	// CauseMoved: the camera itself was turned or knocked.
	CauseMoved EventCause = "moved"
	// CausePaired: nothing moved; the camera shows its new owner what it sees.
	CausePaired EventCause = "paired"
)

// Bounds of Event.Zones.
const (
	MaxZones    = 32
	MaxZoneName = 160
)

// Checkpoint is the body of a checkpoint item: how the device stands at its
// place in the chain.
type Checkpoint struct {
	// Cause is "start", "connect" or "periodic".
	Cause string `json:"cause"`
	// Depth and Bytes count what waits to be delivered.
	Depth uint64 `json:"depth"`
	Bytes uint64 `json:"bytes"`
	// Dropped and Aside count, since this chain began, what was dropped for want of
	// room and what the hub refused.
	Dropped uint64 `json:"dropped"`
	Aside   uint64 `json:"aside"`
	// Uptime is in seconds.
	Uptime uint64 `json:"uptime"`
	// Settled is a number in this chain: every item up to it was receipted, or is named
	// by a gap item that was. 0 is not known. It means nothing where it is not below the
	// checkpoint's own number.
	Settled uint64 `json:"settled,omitempty"`
}

// Gap is the body of a gap item: what the device had to drop, at most MaxDropped
// ranges.
type Gap struct {
	Dropped []Dropped `json:"dropped"`
}

// Dropped is a run of items of one chain that no longer exist. FirstPrev and
// LastHash join the chain on either side of the hole.
type Dropped struct {
	Chain uint64 `json:"chain"`
	// From and To are the first and last sequence number.
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// FirstPrev is the first dropped item's Prev, LastHash the last one's hash.
	FirstPrev Hash `json:"first_prev"`
	LastHash  Hash `json:"last_hash"`
	Kind      Kind `json:"kind"`
	// Reason is "budget", "full", "corrupt", "superseded" or "ownership".
	Reason string `json:"reason"`
}

// ParseEvent reads an event item's body. Fields that are not known are ignored.
func ParseEvent(b []byte) (Event, error) {
	var e Event
	if err := parseBody(KindEvent, b, &e); err != nil {
		return Event{}, err
	}
	if e.Start < 0 || e.End < e.Start || e.End > statement.MaxInt || !isShare(e.Score) {
		return Event{}, fmt.Errorf("read event body: times or score out of range")
	}
	for _, v := range e.Box {
		if !isShare(v) {
			return Event{}, fmt.Errorf("read event body: box out of range")
		}
	}
	switch e.Cause {
	case "", CauseMotion, CauseCovered, CauseMoved, CausePaired:
	default:
		return Event{}, fmt.Errorf("read event body: cause %.40q is not known", string(e.Cause))
	}
	if len(e.Zones) > MaxZones {
		return Event{}, fmt.Errorf("read event body: %d zones, at most %d", len(e.Zones), MaxZones)
	}
	for _, z := range e.Zones {
		if len(z) < 1 || len(z) > MaxZoneName {
			return Event{}, fmt.Errorf("read event body: a zone's name has %d bytes, 1 to %d", len(z), MaxZoneName)
		}
	}
	return e, nil
}

// ParseCheckpoint reads a checkpoint item's body.
func ParseCheckpoint(b []byte) (Checkpoint, error) {
	var c Checkpoint
	if err := parseBody(KindCheckpoint, b, &c); err != nil {
		return Checkpoint{}, err
	}
	for _, v := range []uint64{c.Depth, c.Bytes, c.Dropped, c.Aside, c.Uptime, c.Settled} {
		if v > statement.MaxInt {
			return Checkpoint{}, fmt.Errorf("read checkpoint body: a count is out of range")
		}
	}
	return c, nil
}

// ParseGap reads a gap item's body.
func ParseGap(b []byte) (Gap, error) {
	var g Gap
	if err := parseBody(KindGap, b, &g); err != nil {
		return Gap{}, err
	}
	if len(g.Dropped) == 0 || len(g.Dropped) > MaxDropped {
		return Gap{}, fmt.Errorf("read gap body: %d ranges, 1 to %d", len(g.Dropped), MaxDropped)
	}
	for _, d := range g.Dropped {
		if d.Chain < 1 || d.Chain > statement.MaxInt || d.From < 1 || d.To < d.From || d.To > statement.MaxInt {
			return Gap{}, fmt.Errorf("read gap body: range %d to %d of chain %d", d.From, d.To, d.Chain)
		}
	}
	return g, nil
}

func parseBody(k Kind, b []byte, v any) error {
	if len(b) > MaxThumbnail {
		return fmt.Errorf("read %s body: %d bytes, at most %d", k, len(b), MaxThumbnail)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s body: %w", k, err)
	}
	return nil
}

func isShare(v float64) bool { return !math.IsNaN(v) && v >= 0 && v <= 1 }
