package transport

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

// maxResting bounds the list of items that are left alone; while it is full, only new
// thumbnails go out.
const maxResting = 64

// courier is one session's delivery. All of it belongs to one goroutine, but for the
// uploads, which report back through results.
type courier struct {
	d     *Delivery
	s     Session
	set   Settings
	queue Queue

	flights []*flight   // what waits for an answer, the earliest sent first
	resting []rest      // what got nowhere and is left alone for a while
	newest  seal.Ref    // the latest thumbnail that was sent
	mark    seal.Ref    // the newest item at the connect: what is not later is backlog
	looked  [2]seal.Ref // up to where nothing later was left to send: messages, parts
	// answered is when the hub last answered something that was sent.
	answered   time.Time
	checkpoint time.Time // when the next is due
	pace       pace
	lane       lane
	letters    letters

	uploads sync.WaitGroup
	results chan upload
}

// rest is an item that is not sent before a time.
type rest struct {
	entry spool.Entry
	until time.Time
}

func newCourier(d *Delivery, s Session) *courier {
	set := d.opts.Settings
	c := &courier{
		d: d, s: s, set: set, queue: d.opts.Queue, mark: d.opts.Queue.Head(),
		pace:    pace{items: set.ItemsPerSecond, bytes: set.BytesPerSecond},
		lane:    lane{longest: set.Rest},
		results: make(chan upload, set.Uploads), // as many as can be under way
	}
	if d.opts.Hints != nil {
		c.pace.next = time.Now().Add(set.HintWait)
	}
	if d.told {
		c.pace.hinted(time.Now(), d.opts.Schedule.Drain())
	}
	return c
}

// run delivers until the session is over or has to be given up, or ctx is done. Uploads
// under way are given up then.
func (c *courier) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	err := c.loop(ctx)
	c.lastWords()
	cancel()
	c.uploads.Wait()
	return err
}

func (c *courier) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, m := range c.d.letters {
		if err := c.letter(ctx, m); err != nil {
			return err
		}
	}
	for {
		if err := c.keepPosted(ctx); err != nil {
			return err
		}
		changed, record := c.queue.Changed(), c.d.opts.RecordChanged()
		if err := c.showRecord(ctx); err != nil {
			return err
		}
		if err := c.fill(ctx); err != nil {
			return err
		}
		c.d.board.update(func(s *Stats) { s.InFlight = len(c.flights) })
		timer.Reset(time.Until(c.wake()))
		select {
		case m := <-c.s.Down():
			if err := c.handle(ctx, m); err != nil {
				return err
			}
		case u := <-c.results:
			c.uploaded(u)
		case <-changed:
		case <-record:
		case <-timer.C:
			if err := c.expire(ctx); err != nil {
				return err
			}
		case <-c.s.Done():
			return fmt.Errorf("deliver: %w", c.s.Err())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// keepPosted has a checkpoint made when one is due, at once after a connect, and says
// again how the device is.
func (c *courier) keepPosted(ctx context.Context) error {
	now := time.Now()
	if now.Before(c.checkpoint) {
		return nil
	}
	first := c.checkpoint.IsZero()
	c.checkpoint = now.Add(c.set.Checkpoint)
	if err := c.d.opts.Checkpoint(ctx); err != nil {
		c.trouble("making a checkpoint failed", err)
	}
	if c.d.opts.Hints != nil {
		c.d.opts.Hints.Keep()
	}
	if first {
		return nil // present has just said it
	}
	return c.d.sayOnline(ctx, c.s)
}

// lastWords takes in what the hub had answered before the end, and no more than that.
func (c *courier) lastWords() {
	for range cap(c.s.Down()) {
		select {
		case m := <-c.s.Down():
			if m.Type == Receipt || m.Type == Refusal {
				c.answer(m)
			}
		default:
			return
		}
	}
}

// fill sends what the windows, the pace and the pauses allow: the newest thumbnail, which
// may go out beyond a full window, so that items without an answer do not keep it waiting;
// then what was sealed since the connect; then the backlog.
func (c *courier) fill(ctx context.Context) error {
	for n := c.inFlight(false); n <= c.set.Window; n = c.inFlight(false) {
		e, ok := c.newThumbnail()
		if !ok && n < c.set.Window {
			e, ok = c.next(false)
		}
		if !ok {
			break
		}
		if err := c.depart(ctx, e); err != nil {
			return err
		}
	}
	for c.inFlight(true) < c.set.Uploads && c.lane.open() {
		e, ok := c.next(true)
		if !ok {
			break
		}
		if err := c.depart(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// newThumbnail is the newest thumbnail, if it is newer than any that was sent in this
// session. It goes first, whatever else waits.
func (c *courier) newThumbnail() (spool.Entry, bool) {
	e, ok := c.queue.NewestThumbnail()
	return e, ok && later(e.Ref, c.newest) && !c.busy(e.Ref)
}

// next is the queue's next item that may go now: what was sealed since the connect at
// once, else the backlog at its pace.
func (c *courier) next(parts bool) (spool.Entry, bool) {
	if len(c.resting) >= maxResting {
		return spool.Entry{}, false
	}
	if e, ok := c.urgent(parts); ok {
		return e, true
	}
	now := time.Now()
	if !c.pace.ready(now) {
		return spool.Entry{}, false
	}
	e, ok := c.queue.Next(parts, c.busy)
	if ok {
		c.pace.sent(now, e.Size)
	}
	return e, ok
}

// urgent is the first item that was sealed since the connect and was not sent yet. The
// queue is only gone through when it has grown.
func (c *courier) urgent(parts bool) (spool.Entry, bool) {
	looked := &c.looked[0]
	if parts {
		looked = &c.looked[1]
	}
	head := c.queue.Head()
	if !later(head, c.mark) || !later(head, *looked) {
		return spool.Entry{}, false
	}
	e, ok := c.queue.Next(parts, func(ref seal.Ref) bool { return !later(ref, c.mark) || c.busy(ref) })
	if !ok {
		*looked = head
	}
	return e, ok
}

// later says whether a was sealed after b. Zero comes before everything.
func later(a, b seal.Ref) bool {
	return slices.Compare([]uint64{a.Epoch, a.Chain, a.Seq}, []uint64{b.Epoch, b.Chain, b.Seq}) > 0
}

// busy says that an item is in flight or rests.
func (c *courier) busy(ref seal.Ref) bool {
	return c.find(ref) != nil ||
		slices.ContainsFunc(c.resting, func(r rest) bool { return r.entry.Ref == ref })
}

// wake is when something is due by itself.
func (c *courier) wake() time.Time {
	wake := c.checkpoint
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(wake) {
			wake = t
		}
	}
	for _, f := range c.flights {
		sooner(f.deadline)
	}
	for _, r := range c.resting {
		sooner(r.until)
	}
	now := time.Now()
	for _, t := range []time.Time{c.pace.next, c.lane.until} {
		if t.After(now) { // else it holds nothing up
			sooner(t)
		}
	}
	return wake
}

// handle takes one message of the hub. An error ends the session.
func (c *courier) handle(ctx context.Context, m Message) error {
	switch m.Type {
	case Receipt, Refusal:
		c.answer(m)
	case Grant:
		c.granted(ctx, m)
	case Hint:
		c.d.hinted(m)
		if c.d.told {
			c.pace.hinted(time.Now(), c.d.opts.Schedule.Drain())
		}
	case Letter:
		return c.letter(ctx, m)
	case RecordReceipt, RecordRefusal:
		return c.recordAnswered(m)
	default:
		c.d.ignore(m)
	}
	return nil
}

// answer takes a receipt or a refusal, if it is of an item that this session sent.
func (c *courier) answer(m Message) {
	e, ok := c.sent(m.Ref)
	if m.Type == Refusal && m.Ref == (seal.Ref{}) {
		e, ok = c.unreadable(m.Hash)
	} else {
		ok = ok && e.Hash == m.Hash
	}
	if !ok {
		c.d.ignore(m)
		return
	}
	c.answered = time.Now()
	c.land(e.Ref)
	if m.Type == Receipt {
		c.forget(e)
		return
	}
	c.setAside(e, m.Reason, m.Detail)
}

// sent gives the item if this session sent it and no answer was taken yet. One that
// rests counts: its answer may just be late.
func (c *courier) sent(ref seal.Ref) (spool.Entry, bool) {
	if f := c.find(ref); f != nil {
		return f.entry, f.state != landed
	}
	for _, r := range c.resting {
		if r.entry.Ref == ref {
			return r.entry, true
		}
	}
	return spool.Entry{}, false
}

// unreadable gives the item whose bytes the hub could not read: it can name it only by
// their hash.
func (c *courier) unreadable(sum seal.Hash) (spool.Entry, bool) {
	for _, f := range c.flights {
		if !sum.IsZero() && f.sum == sum {
			return f.entry, true
		}
	}
	return spool.Entry{}, false
}

func (c *courier) forget(e spool.Entry) {
	if err := c.queue.Forget(e.Ref, e.Hash); err != nil {
		// It stays in the queue, and the hub will answer it again.
		c.layToRest(e)
		c.trouble("forgetting a delivered item failed", err)
		return
	}
	c.d.board.update(func(s *Stats) { s.Delivered++; s.Bytes += uint64(max(e.Size, 0)) })
}

func (c *courier) setAside(e spool.Entry, reason, detail string) {
	c.d.log.Warn("the hub refused an item", slog.String("ref", e.Ref.String()),
		slog.String("reason", reason), slog.String("detail", detail))
	if err := c.queue.SetAside(e.Ref, reason); err != nil {
		c.layToRest(e)
		c.trouble("setting a refused item aside failed", err)
		return
	}
	c.d.board.update(func(s *Stats) { s.SetAside++ })
}

// layToRest leaves an item alone for a while.
func (c *courier) layToRest(e spool.Entry) {
	c.resting = append(c.resting, rest{entry: e, until: time.Now().Add(c.set.Rest)})
	c.d.board.update(func(s *Stats) { s.Rested++ })
}

// trouble notes what went wrong on this side.
func (c *courier) trouble(what string, err error) {
	c.d.board.failed(fmt.Errorf("%s: %w", what, err))
	c.d.log.Error(what, slog.Any("error", err))
}
