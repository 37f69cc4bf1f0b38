// Package exchange carries one side of a pairing to its end: it sends the side's newest
// message again and again, hands it what the other side says, and lets it count its time.
//
// It owns when a message is sent and fetched, and when a pairing that is over may be left
// alone. It never makes, reads or judges a message, and it trusts no carrier.
package exchange

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/pairing"
)

const (
	// Period is how often the newest message is sent again, and how long a carrier that
	// failed is left alone.
	Period = 3 * time.Second
	// Linger is how long a side that is over goes on saying so where its carrier keeps
	// nothing, and at most where the carrier fails.
	Linger = time.Minute
	// breath is how long fetch rests after each message, so that who brings rubbish
	// without end gets no more than a share of this machine.
	breath = 50 * time.Millisecond
)

// Side is one side of a pairing: a *pairing.Camera or *pairing.Owner.
type Side interface {
	Phase() pairing.Phase
	Rendezvous() string
	Send() []byte
	Receive(msg []byte, now time.Time) error
	Tick(now time.Time) error
}

// Carrier brings messages to the other side, such as a *mailbox.Mailbox. Both calls may be
// made at once.
type Carrier interface {
	// Put makes msg the newest message of this side.
	Put(ctx context.Context, rendezvous string, msg []byte) error
	// Get waits, at most about a minute, for a message of the other side whose SHA-256 is
	// not have (nil before the first); it returns nil if none came.
	Get(ctx context.Context, rendezvous string, have []byte) ([]byte, error)
}

// Options are how a pairing is carried.
type Options struct {
	// Side is used by Run alone while it runs.
	Side Side
	// Carriers are all used, each by itself. There is at least one.
	Carriers []Carrier
	// Linger is how long to go on when the pairing is over; zero ends as soon as a carrier
	// has the last message, for carriers that keep it.
	Linger time.Duration
	// Changed, unless nil, is called with the phase at the beginning and when it is
	// another; Refused with each message that was refused; Trouble with what a carrier or
	// the side's disk failed in, and with nil when a carrier works. Changed and Refused are
	// called by Run's own goroutine, and may look at the side.
	Changed func(pairing.Phase)
	Refused func(error)
	Trouble func(error)
}

// Run carries a pairing until it is done or has failed, which the side then tells, or
// until ctx is done, whose error it returns.
func Run(ctx context.Context, o Options) error {
	if len(o.Carriers) == 0 {
		return errors.New("carry pairing: nothing to carry it with")
	}
	for _, f := range []*func(error){&o.Refused, &o.Trouble} {
		if *f == nil {
			*f = func(error) {}
		}
	}
	if o.Changed == nil {
		o.Changed = func(pairing.Phase) {}
	}
	r := &run{Options: o, rendezvous: o.Side.Rendezvous(), in: make(chan []byte), changed: make(chan struct{})}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	r.say(o.Side.Send())
	for _, c := range o.Carriers {
		g.Go(func() error { r.fetch(ctx, c); return nil })
		g.Go(func() error { r.send(ctx, c); return nil })
	}
	err := r.talk(ctx)
	stop()
	return errors.Join(err, g.Wait()) // the carriers' goroutines return no errors
}

// run is one Run. What is below mu is shared with the carriers' goroutines.
type run struct {
	Options
	rendezvous string
	in         chan []byte

	mu      sync.Mutex
	out     []byte
	left    bool          // a carrier has out
	changed chan struct{} // closed and made anew when out is another
}

// talk is the loop that has the side to itself.
func (r *run) talk(ctx context.Context) error {
	tick := time.NewTicker(Period)
	defer tick.Stop()
	var again []byte // a message that could not be taken for reasons of this side's own
	phase := r.Side.Phase()
	r.Changed(phase)
	var over time.Time
	for {
		if over.IsZero() && (phase == pairing.PhaseDone || phase == pairing.PhaseFailed) {
			over = time.Now()
		}
		if r.mayEnd(over) {
			return nil
		}
		var msg []byte
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.news():
			continue
		case msg = <-r.in:
		case <-tick.C:
			msg, again = again, nil
		}
		var err error
		if msg != nil {
			err = r.Side.Receive(msg, time.Now())
		} else {
			err = r.Side.Tick(time.Now())
		}
		if err != nil && pairing.ReasonOf(err) == "" {
			again = msg
			r.Trouble(err)
		} else if err != nil && msg != nil {
			r.Refused(err)
		}
		r.say(r.Side.Send())
		if now := r.Side.Phase(); now != phase {
			phase = now
			r.Changed(phase)
		}
	}
}

// news is closed when a carrier has taken the newest message, so that talk looks whether it
// may end.
func (r *run) news() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// mayEnd says whether a pairing that has been over since then can be left.
func (r *run) mayEnd(over time.Time) bool {
	if over.IsZero() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	since := time.Since(over)
	return r.out == nil || since >= Linger || r.left && since >= r.Linger
}

// say gives the carriers another message to send.
func (r *run) say(msg []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(msg) > 0 && len(r.out) > 0 && &msg[0] == &r.out[0] || len(msg)+len(r.out) == 0 {
		return
	}
	r.out, r.left = msg, false
	r.wake()
}

// wake has who waits for changed look again. It is called with mu held.
func (r *run) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// took says that a carrier has a message.
func (r *run) took(msg []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.out) > 0 && &msg[0] == &r.out[0] && !r.left {
		r.left = true
		r.wake()
	}
}

// send puts the newest message to a carrier, at once and then every Period.
func (r *run) send(ctx context.Context, c Carrier) {
	for ctx.Err() == nil {
		r.mu.Lock()
		msg, changed := r.out, r.changed
		r.mu.Unlock()
		if len(msg) > 0 {
			err := c.Put(ctx, r.rendezvous, msg)
			if ctx.Err() != nil {
				return
			}
			r.Trouble(err)
			if err == nil {
				r.took(msg)
			}
		}
		r.pause(ctx, msg, changed)
	}
}

// pause lets a Period pass, or the time until there is another message than msg.
func (r *run) pause(ctx context.Context, msg []byte, changed <-chan struct{}) {
	timer := time.NewTimer(Period)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-changed:
		}
		r.mu.Lock()
		another := len(r.out) != len(msg) || len(msg) > 0 && &r.out[0] != &msg[0]
		changed = r.changed
		r.mu.Unlock()
		if another {
			return
		}
	}
}

// fetch hands on what a carrier brings.
func (r *run) fetch(ctx context.Context, c Carrier) {
	var have []byte
	for pause := time.Duration(0); wait.For(ctx, pause) == nil; {
		began := time.Now()
		msg, err := c.Get(ctx, r.rendezvous, have)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.Trouble(err)
			pause = Period
		case msg == nil:
			pause = max(0, Period-time.Since(began)) // a carrier that does not wait
		default:
			sum := sha256.Sum256(msg)
			have, pause = sum[:], breath
			select {
			case r.in <- msg:
			case <-ctx.Done():
			}
		}
	}
}
