package agent

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

func (a *Agent) spoolDir() string { return filepath.Join(a.config.State.Dir, "spool") }

// deliver takes items from the spool to the hub until ctx is done.
func (a *Agent) deliver(ctx context.Context, store *spool.Spool) error {
	up := a.opts.Uplink
	if up == nil {
		if !a.config.Hub.IsSet() {
			return a.awaitHub(ctx)
		}
		var err error
		if up, err = a.openUplink(); err != nil {
			return err
		}
	}
	set := recovery.DefaultSettings()
	set.First = max(a.config.Hub.ConnectWindow.Duration, time.Millisecond)
	set.Fetch = up.Fetch != nil
	set.Awaited = a.unseen.Load() != 0 // whoever held the code stands before it
	d, err := transport.New(transport.Options{
		Dialer: up.Dialer, Queue: store, Uploader: up.Uploader,
		Hints: up.Hints, Fetch: up.Fetch, Offline: up.Offline, Clock: networkTime,
		Schedule: recovery.New(&set, rand.Uint64()),
		Record:   a.shown,
		Letter:   a.letter, RecordChanged: a.device.Changed,
		Checkpoint: func(ctx context.Context) error { return a.connected(ctx) },
		Status:     a.status,
		Settings:   transport.DefaultSettings(),
		Log:        a.log,
	})
	if err != nil {
		return err
	}
	a.delivery.Store(d)
	a.uplink.Store(up)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.Run(ctx) })
	if up.Run != nil {
		g.Go(func() error { return up.Run(ctx) })
	}
	return g.Wait()
}

// networkTime is the time, and whether the network keeps it right.
func networkTime() (time.Time, bool) {
	now := time.Now()
	return now, clockTrust(now) == seal.ClockNetwork
}

// connected appends a checkpoint, where the chain has room for one: of a session's
// connect, and then from time to time.
func (a *Agent) connected(ctx context.Context) error {
	cause := "periodic"
	if n := a.delivery.Load().Stats().Sessions; n != a.greeted {
		a.greeted, cause = n, "connect"
	}
	if err := a.checkpoint(ctx, cause); err != nil && !mute(err) {
		return err
	}
	return nil
}

// shown is the ownership record in force. There is one: without, nothing is delivered.
func (a *Agent) shown() transport.Record {
	o := a.Known()
	return transport.Record{Bytes: o.Bytes(), Hash: o.Hash()}
}

// status is what the hub is told of the device.
func (a *Agent) status() transport.Status {
	s := transport.Status{Firmware: a.device.Firmware()}
	for _, c := range a.health.List() {
		s.Conditions = append(s.Conditions, c.Name)
	}
	return s
}
