package transport

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

// flightState says what an item waits for.
type flightState uint8

const (
	inFlight  flightState = 1 // sent; for its receipt
	wanted    flightState = 2 // asked about; for a grant
	uploading flightState = 3 // for its upload to end
	pausing   flightState = 4 // its upload failed; to ask again
	landed    flightState = 5 // answered; for its upload to end
)

// flight is an item on its way.
type flight struct {
	entry spool.Entry
	state flightState
	sum   seal.Hash // of the bytes that were sent as a message
	// sends counts how often it was sent, or asked about.
	sends int
	first time.Time // when it was first sent
	// deadline is when waiting ends; zero while it is uploading.
	deadline time.Time
	cancel   context.CancelFunc // of its upload
}

func (f *flight) part() bool { return f.entry.Kind == seal.KindClip }

func (c *courier) find(ref seal.Ref) *flight {
	for _, f := range c.flights {
		if f.entry.Ref == ref {
			return f
		}
	}
	return nil
}

// inFlight counts the clip parts on their way, or everything else.
func (c *courier) inFlight(parts bool) (n int) {
	for _, f := range c.flights {
		if f.part() == parts {
			n++
		}
	}
	return n
}

// depart sends an item for the first time in this session. An error ends the session.
func (c *courier) depart(ctx context.Context, e spool.Entry) error {
	f := &flight{entry: e, first: time.Now()}
	c.flights = append(c.flights, f)
	if e.Kind == seal.KindThumbnail && later(e.Ref, c.newest) {
		c.newest = e.Ref
	}
	return c.send(ctx, f)
}

// send sends an item, or asks where to put it. An error ends the session.
func (c *courier) send(ctx context.Context, f *flight) error {
	f.sends++
	if err := c.showRecord(ctx); err != nil {
		return err
	}
	if f.part() {
		f.state = wanted
		want := Want{Ref: f.entry.Ref, Hash: f.entry.Hash, Size: f.entry.Size}
		if err := c.s.PublishWant(ctx, want); err != nil {
			return fmt.Errorf("ask where to put %s: %w", f.entry.Ref, err)
		}
		f.deadline = time.Now().Add(c.set.Receipt)
		return nil
	}
	f.state = inFlight
	item, err := c.queue.Read(f.entry.Ref)
	if err != nil { // evicted just now, or unreadable: the queue's to deal with
		c.land(f.entry.Ref)
		c.layToRest(f.entry)
		c.trouble("reading an item failed", err)
		return nil
	}
	if len(item) > MaxSmallItem {
		c.land(f.entry.Ref)
		c.setAside(f.entry, string(seal.ReasonTooLarge), fmt.Sprintf("%d bytes do not fit in a message", len(item)))
		return nil
	}
	f.sum = sha256.Sum256(item)
	if err := c.s.PublishItem(ctx, item); err != nil {
		return fmt.Errorf("send %s: %w", f.entry.Ref, err)
	}
	f.deadline = time.Now().Add(c.set.Receipt)
	return nil
}

// land takes an item off the list of flights or of those at rest. One whose upload is
// under way keeps its place until that has ended, so that no more than the allowed
// number ever run.
func (c *courier) land(ref seal.Ref) {
	c.resting = slices.DeleteFunc(c.resting, func(r rest) bool { return r.entry.Ref == ref })
	if f := c.find(ref); f != nil && f.state == uploading {
		f.state = landed
		f.cancel()
		return
	}
	c.clear(ref)
}

// clear frees a flight's place.
func (c *courier) clear(ref seal.Ref) {
	c.flights = slices.DeleteFunc(c.flights, func(f *flight) bool { return f.entry.Ref == ref })
}

// expire deals with everything whose time has come. An error ends the session.
func (c *courier) expire(ctx context.Context) error {
	now := time.Now()
	c.resting = slices.DeleteFunc(c.resting, func(r rest) bool { return !now.Before(r.until) })
	for _, f := range slices.Clone(c.flights) {
		if f.deadline.IsZero() || now.Before(f.deadline) {
			continue
		}
		if err := c.overdue(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// overdue sends an item again, or leaves it alone, or gives the session up.
func (c *courier) overdue(ctx context.Context, f *flight) error {
	switch {
	case f.state == pausing:
		return c.send(ctx, f)
	case f.sends < c.set.Sends:
		c.d.board.update(func(s *Stats) { s.Resent++ })
		return c.send(ctx, f)
	case c.answered.After(f.first):
		// The hub answers others: it is this item that gets nowhere.
		c.d.log.Warn("the hub does not answer an item", slog.String("ref", f.entry.Ref.String()))
		c.land(f.entry.Ref)
		c.layToRest(f.entry)
		return nil
	default:
		return errSilent
	}
}
