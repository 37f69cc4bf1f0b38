package transport

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"time"

	"github.com/lensward/lensward/transport/hint"
)

// maxForged is how many bad hints of one session are verified: a broker must not keep a
// camera busy with signatures.
const maxForged = 8

// recall gives the schedule the hint of the last run: the fleet's size changes slowly.
func (d *Delivery) recall() {
	if d.opts.Hints == nil {
		return
	}
	if s := d.opts.Hints.Newest(); s != nil {
		d.opts.Schedule.Hinted(d.now(), s.Hint, false)
		d.showHint(s, time.Time{})
	}
}

// fetchHint asks for a hint elsewhere than at the hub.
func (d *Delivery) fetchHint(ctx context.Context) {
	d.board.enter(Asking)
	d.board.update(func(s *Stats) { s.Fetches++ })
	b, err := d.opts.Fetch(ctx)
	if ctx.Err() != nil {
		return
	}
	var s *hint.Statement
	if err == nil {
		s, err = d.opts.Hints.Take(b)
	}
	now := d.now()
	if err != nil {
		d.opts.Schedule.NoHint(now)
		d.log.Info("no hint of the hub could be had", slog.Any("error", err))
		return
	}
	fresh := d.fresh(s, now)
	d.opts.Schedule.Hinted(now, s.Hint, fresh)
	d.showHint(s, time.Now())
	d.log.Info("hint of the hub fetched", slog.Uint64("serial", s.Serial), slog.Bool("fresh", fresh),
		slog.Duration("window", s.Hint.Window), slog.Duration("current", s.Hint.Current))
}

// fresh says that a hint was issued after the last session was lost, or since the
// start: by what the sessions told of the hub's clock, and before the first by this
// machine's clock if something keeps that right.
func (d *Delivery) fresh(s *hint.Statement, now time.Duration) bool {
	clock := d.clock
	if !clock.Known() && d.opts.Clock != nil {
		if wall, right := d.opts.Clock(); right {
			clock.Set(now, wall)
		}
	}
	return clock.Fresh(s, d.lost, now)
}

// hinted takes a hint that came in the session.
func (d *Delivery) hinted(m Message) {
	if d.opts.Hints == nil {
		return // as a message of a type that is not known
	}
	if d.forged >= maxForged {
		d.ignore(m)
		return
	}
	s, err := d.take(m.Hint)
	if err != nil {
		d.forged++
		d.log.Warn("a hint of the hub was refused", slog.Any("error", err))
		d.ignore(m)
		return
	}
	now := d.now()
	d.clock.Set(now, s.Issued)
	d.opts.Schedule.Hinted(now, s.Hint, true)
	d.told = true
	d.showHint(s, time.Now())
}

// take verifies a hint as it comes in a message, and gives the newest.
func (d *Delivery) take(text string) (*hint.Statement, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("decode hint: %w", err)
	}
	return d.opts.Hints.Take(b)
}

// showHint puts a hint into the statistics.
func (d *Delivery) showHint(s *hint.Statement, came time.Time) {
	shown := &HintStats{
		Serial: s.Serial, Issued: s.Issued, Came: came,
		Window: s.Hint.Window, Current: s.Hint.Current, Drain: s.Hint.Drain,
	}
	d.board.update(func(st *Stats) { st.Hint = shown })
}
