// Package agent is the device, wired: it joins camera, recorder, spool and
// delivery, and says how they are. pipeline.go reads from top to bottom as a
// picture travels.
//
// It owns the order in which things start and stop, and which part hears of
// which. What each part does is that part's.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/agent/control"
	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/agent/pairing"
	"github.com/lensward/lensward/agent/recorder"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/hw/devicekey"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/spool"
)

// Options are what the configuration does not say.
type Options struct {
	// Firmware is the running version, 1 to 64 characters.
	Firmware string
	// Log is told what happens.
	Log *slog.Logger
	// OpenSource opens the camera; nil opens the configured one. Tests hand in theirs.
	OpenSource func(context.Context) (capture.Source, source.Info, error)
	// Uplink replaces the way to the hub; nil enrols with the configured hub and speaks
	// MQTT and HTTPS to it.
	Uplink *Uplink
	// NoControl leaves the control socket out.
	NoControl bool
}

// Uplink is the way to the hub. All but the first two may be missing.
type Uplink struct {
	Dialer   transport.Dialer
	Uploader transport.Uploader
	// Hints, Fetch and Offline are as in transport.Options.
	Hints   *hint.Store
	Fetch   func(context.Context) ([]byte, error)
	Offline func() bool
	// Address is the hub's address that was used last, "" before the first.
	Address func() string
	// Run is what the way itself has to do while it is used.
	Run func(context.Context) error
}

// Agent is one camera's agent.
type Agent struct {
	config config.Config
	opts   Options
	log    *slog.Logger
	device *device.Device
	health health.Board
	began  time.Time
	// custody says for whom is recorded; elsewhere that the hub is another than the owner
	// before had.
	custody   custody
	elsewhere bool
	// named is the hub of the configuration; config.Hub may be one that a code named.
	named   config.Hub
	pairing *pairing.Pairing
	board   *board
	moved   chan struct{} // has an element when a code has named a hub
	// unseen is the epoch of a pairing by code whose owner has no picture yet, else 0.
	unseen atomic.Uint64
	// recorded is closed when a source that ends has ended and all that it gave is in
	// the spool.
	recorded chan struct{}

	spool    atomic.Pointer[spool.Spool]
	delivery atomic.Pointer[transport.Delivery]
	uplink   atomic.Pointer[Uplink]
	recorder atomic.Pointer[recorder.Recorder]
	appended atomic.Uint64
	refused  atomic.Uint64
	greeted  uint64 // the sessions whose connect a checkpoint told of: the delivery loop's alone
}

// New opens the device's state directory. Close gives it back. While the device's key is
// in a TPM that cannot be used, New waits until ctx ends.
func New(ctx context.Context, c config.Config, o Options) (*Agent, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dev, err := device.OpenWith(ctx, c.State.Dir, o.Firmware, devicekey.Options{
		Store: devicekey.Store(c.State.Key), TPM: c.State.TPM, Log: o.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("make agent: %w", err)
	}
	a := &Agent{
		config: c, opts: o, device: dev, began: time.Now(), recorded: make(chan struct{}), named: c.Hub, moved: make(chan struct{}, 1),
		log: o.Log.With("device", dev.ID().Short()),
	}
	if a.opts.OpenSource == nil {
		opener, err := CameraOpener(c.Camera, a.log)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make agent: %w", err), dev.Close())
		}
		a.opts.OpenSource = opener.Open
	}
	a.board = a.openPairing()
	return a, nil
}

// Close gives the state directory back. Run has to have returned.
func (a *Agent) Close() error { return a.device.Close() }

// Device is the device.
func (a *Agent) Device() *device.Device { return a.device }

// Recorded is closed when a source that ends has ended and all that it gave is in
// the spool.
func (a *Agent) Recorded() <-chan struct{} { return a.recorded }

// Run is the agent's life: it waits until the camera has an owner, then carries
// pictures to them until ctx is done, and returns ctx's error. Anything else that
// it returns is a fault that it could not live with.
func (a *Agent) Run(ctx context.Context) error {
	a.log.Info("agent starts", "firmware", a.device.Firmware(), "boot", a.device.Boot())
	g, ctx := errgroup.WithContext(ctx)
	if !a.opts.NoControl {
		g.Go(func() error { return control.NewServer(a.config.State.Dir, a).Run(ctx) })
	}
	g.Go(func() error { return a.board.Run(ctx) })
	g.Go(func() error {
		if err := a.awaitOwner(ctx); err != nil {
			return err
		}
		return a.live(ctx)
	})
	err := g.Wait()
	a.log.Info("agent stops", "cause", err)
	return err
}

// awaitOwner returns once the camera has an owner. Until then its lens looks for a code,
// and no picture is kept: there is nobody to encrypt it to.
func (a *Agent) awaitOwner(ctx context.Context) error {
	if a.Known() != nil {
		return nil
	}
	looking, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- a.look(looking) }()
	err := a.untilOwned(ctx)
	stop()
	// What ails the camera it says by conditions; the pipeline opens it again.
	<-ended
	return err
}

// untilOwned says what is missing until it is there.
func (a *Agent) untilOwned(ctx context.Context) error {
	for {
		changed := a.device.Changed()
		_, err := a.device.Ownership()
		if err == nil {
			a.health.Clear("unpaired")
			a.health.Clear("key-lost")
			return nil
		}
		if !errors.Is(err, device.ErrUnpaired) {
			return err
		}
		if cause, lost := a.device.KeyLost(); lost {
			a.health.Set("key-lost", health.Failure, cause)
		}
		if a.health.Set("unpaired", health.Failure, "no owner yet; hint: show the camera a pairing code, or run lensctl pair") {
			a.log.Warn("this camera has no owner yet; hint: show it the code of the owner's page, or run lensctl pair --state DIR --owner DIR")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// DeviceKey is the device's SubjectPublicKeyInfo, for the control socket.
func (a *Agent) DeviceKey() []byte { return a.device.Key().SPKI() }

// Known is the ownership in force, nil while there is none.
func (a *Agent) Known() *ownership.Ownership {
	o, err := a.device.Ownership()
	if err != nil {
		return nil
	}
	return o
}

// Pair takes an owner-signed record.
func (a *Agent) Pair(s *ownership.Signed) (*ownership.Ownership, error) {
	o, err := a.device.Accept(s, time.Now())
	if err != nil {
		a.log.Warn("ownership record refused", "error", err)
		return nil, err
	}
	a.log.Info("ownership record accepted", "owner", o.Record.Owner.Short(), "epoch", o.Record.Epoch, "revision", o.Record.Revision)
	return o, nil
}

// Stats is how the agent is.
type Stats struct {
	Device     string             `json:"device"`
	Owner      string             `json:"owner,omitempty"`
	Firmware   string             `json:"firmware"`
	Boot       uint64             `json:"boot"`
	Uptime     float64            `json:"uptime_s"`
	Conditions []health.Condition `json:"conditions"`
	Recorder   recorder.Counts    `json:"recorder"`
	// Items were put into the spool; Refused found no room.
	Items    uint64          `json:"items"`
	Refused  uint64          `json:"refused"`
	Spool    spool.Stats     `json:"spool"`
	Delivery transport.Stats `json:"delivery"`
	// Hub is the hub's address that was used last.
	Hub     string  `json:"hub,omitempty"`
	Process Process `json:"process"`
}

// Stats returns how the agent is, for any goroutine.
func (a *Agent) Stats() Stats {
	s := Stats{
		Device: a.device.ID().String(), Firmware: a.device.Firmware(), Boot: a.device.Boot(),
		Uptime: time.Since(a.began).Seconds(), Conditions: a.health.List(),
		Items: a.appended.Load(), Refused: a.refused.Load(), Process: process(),
	}
	if o := a.Known(); o != nil {
		s.Owner = o.Record.Owner.String()
	}
	if r := a.recorder.Load(); r != nil {
		s.Recorder = r.Counts()
	}
	if sp := a.spool.Load(); sp != nil {
		s.Spool = sp.Stats()
	}
	if d := a.delivery.Load(); d != nil {
		s.Delivery = d.Stats()
	}
	if up := a.uplink.Load(); up != nil && up.Address != nil {
		s.Hub = up.Address()
	}
	return s
}

// Status is Stats, for the control socket.
func (a *Agent) Status() any { return a.Stats() }
