package hub

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/lensward/lensward/transport/hub/gate"
)

const (
	pulseEvery = time.Second
	// A hub that has begun something and ended nothing for so long has a store that
	// hangs. A healthy write takes milliseconds.
	stallLimit   = 3 * time.Second
	probeTimeout = 2 * time.Second
)

// prober writes something small to the store, where it takes the place of what it wrote
// before.
type prober interface {
	Probe(ctx context.Context) error
}

// pulse shuts the gate while the store takes nothing, and opens it when it does again:
// devices that came in would wait for receipts that do not come.
//
// What makes it doubt the store are failures and standstill; what decides is a write of
// its own. A store in good health is never probed.
type pulse struct {
	store prober
	gate  *gate.Gate
	log   *slog.Logger

	begun, ended, failed atomic.Int64 // messages of devices
	down                 atomic.Bool
}

// begin and end frame the handling of one message.
func (p *pulse) begin() { p.begun.Add(1) }

func (p *pulse) end(err error) {
	if err != nil {
		p.failed.Add(1)
	}
	p.ended.Add(1)
}

// failing is 1 while the store takes nothing.
func (p *pulse) failing() int {
	if p.down.Load() {
		return 1
	}
	return 0
}

// run watches until ctx ends.
func (p *pulse) run(ctx context.Context) error {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	var ended, failed int64
	moved := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		was, wasFailed := ended, failed
		ended, failed = p.ended.Load(), p.failed.Load()
		if ended != was || p.begun.Load() == ended {
			moved = time.Now()
		}
		if p.down.Load() || failed != wasFailed || time.Since(moved) > stallLimit {
			p.probe(ctx)
		}
	}
}

// probe looks whether the store takes a write.
func (p *pulse) probe(ctx context.Context) {
	one, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := p.store.Probe(one)
	if ctx.Err() != nil {
		return
	}
	if failing := err != nil; p.down.Swap(failing) != failing {
		p.gate.Shut(failing)
		if failing {
			p.log.Error("the store takes nothing; devices are refused until it does", "err", err)
		} else {
			p.log.Info("the store takes writes again; devices are let in")
		}
	}
}
