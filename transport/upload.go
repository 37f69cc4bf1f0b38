package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// firstPause is the pause after a first upload that failed.
const firstPause = 2 * time.Second

// upload is how an upload ended.
type upload struct {
	ref seal.Ref
	err error
	// read says that the item's bytes could not be had: nobody's fault but this side's.
	read bool
}

// lane holds uploads back after failures: the pause doubles with each failure in a row,
// and a part of it is drawn, so that a fleet whose store came back does not arrive at
// once.
type lane struct {
	longest  time.Duration
	failures int
	until    time.Time
}

func (l *lane) open() bool { return !time.Now().Before(l.until) }

func (l *lane) succeeded() { l.failures, l.until = 0, time.Time{} }

func (l *lane) failed() {
	pause := l.longest
	if l.failures < 16 { // 2 s · 2^16 is 36 hours
		pause = min(pause, firstPause<<l.failures)
	}
	l.failures++
	l.until = time.Now().Add(pause/2 + rand.N(pause/2+1))
}

// granted begins the upload that was asked for. The URL is the uploader's to judge.
func (c *courier) granted(ctx context.Context, m Message) {
	f := c.find(m.Ref)
	if f == nil || f.entry.Hash != m.Hash || f.state != wanted {
		c.d.ignore(m)
		return
	}
	c.answered = time.Now()
	f.state, f.deadline = uploading, time.Time{}
	ctx, f.cancel = context.WithCancel(ctx)
	c.uploads.Go(func() {
		defer f.cancel()
		item, err := c.queue.Read(m.Ref)
		if err != nil {
			c.results <- upload{ref: m.Ref, err: err, read: true}
			return
		}
		c.results <- upload{ref: m.Ref, err: c.d.opts.Uploader.Upload(ctx, m.URL, item)}
	})
}

// uploaded takes the end of an upload. Success still needs the receipt.
func (c *courier) uploaded(u upload) {
	f := c.find(u.ref)
	if f.state == landed { // answered meanwhile
		c.clear(u.ref)
		return
	}
	f.state = inFlight
	var rejected Rejected
	switch {
	case u.err == nil:
		c.lane.succeeded()
		f.deadline = time.Now().Add(c.set.Receipt)
	case u.read:
		c.land(u.ref)
		c.layToRest(f.entry)
		c.trouble("reading an item failed", u.err)
	case errors.As(u.err, &rejected):
		c.land(u.ref)
		c.setAside(f.entry, rejected.Rejected(), u.err.Error())
	default:
		c.uploadFailed(f, u.err)
	}
}

func (c *courier) uploadFailed(f *flight, err error) {
	c.lane.failed()
	c.d.board.failed(fmt.Errorf("upload %s: %w", f.entry.Ref, err))
	c.d.log.Warn("an upload failed", slog.String("ref", f.entry.Ref.String()),
		slog.Any("error", err), slog.Time("again", c.lane.until))
	if f.sends < c.set.Sends {
		f.state, f.deadline = pausing, c.lane.until
		return
	}
	c.land(f.entry.Ref)
	c.layToRest(f.entry)
}
