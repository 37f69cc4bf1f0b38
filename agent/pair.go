package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/agent/pairing"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/qr"
	"github.com/lensward/lensward/hw/button"
	"github.com/lensward/lensward/hw/light"
	"github.com/lensward/lensward/hw/serial"
	"github.com/lensward/lensward/hw/wifi"
	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/ownership"
	protocol "github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/exchange"
	"github.com/lensward/lensward/transport/pairing/line"
	"github.com/lensward/lensward/transport/seal"
)

// paired is the device as pairing sees it.
type paired struct{ *Agent }

// Ownership is the record in force, nil for none.
func (p paired) Ownership() *ownership.Ownership { return p.Known() }

// Accept is the device's. The new owner is asked whether it is their camera, so that it
// is to show itself.
func (p paired) Accept(s *ownership.Signed, _ time.Time) (*ownership.Ownership, error) {
	before := p.unseen.Swap(s.Record.Epoch)
	o, err := p.Pair(s)
	if err != nil {
		p.unseen.Store(before)
	}
	return o, err
}

// board is what pairing has of the board. Run has all of it work.
type board struct {
	light *light.LED
	runs  []func(context.Context) error
}

// openBoard opens what the configuration names. What cannot be had is said, and missing:
// a camera without its lamp is still a camera.
func (a *Agent) openBoard() *board {
	c, b := a.config.Pairing, &board{}
	if c.LED != "" {
		led, err := light.Open("", c.LED, a.log)
		if err != nil {
			a.log.Warn("the lamp cannot be used", "error", err)
		} else {
			b.light, b.runs = led, append(b.runs, led.Run)
		}
	}
	if c.Button != "" {
		b.runs = append(b.runs, button.New(c.Button, uint16(c.ButtonKey), a.buttonHeld, a.log).Run)
	}
	return b
}

// openPairing makes the pairing and gives it what it runs by.
func (a *Agent) openPairing() *board {
	b := a.openBoard()
	o := pairing.Options{
		Device: paired{a}, Key: a.device.Key(), Protection: a.device.Protection(), Firmware: a.device.Firmware(),
		Dir: a.device.Dir(), Free: a.free, Changed: a.device.Changed, Hub: a.configuredHub, Accepted: a.hubLearned,
		ClockRight: func(now time.Time) bool { return clockTrust(now) == seal.ClockNetwork },
		Health:     &a.health, Log: a.log,
	}
	if b.light != nil {
		o.Light = b.light
	}
	if a.config.Pairing.WiFi != "none" {
		o.Join = joinWiFi
	}
	if c := a.config.Pairing; c.Serial != "" {
		l := line.New(line.Camera, func() (io.ReadWriteCloser, error) { return serial.Open(c.Serial, c.SerialSpeed) })
		l.Trouble = func(err error) { a.log.Warn("the serial port cannot be used", "error", err) }
		l.Code = func(text string) { _ = a.pairing.Take(context.Background(), secret.Text(text), "serial line") }
		o.Lines, b.runs = []exchange.Carrier{l}, append(b.runs, l.Run)
	}
	a.pairing = pairing.New(o)
	b.runs = append(b.runs, a.pairing.Run)
	return b
}

// Run has all of it work until ctx is done.
func (b *board) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range b.runs {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}

func joinWiFi(ctx context.Context, n *protocol.WiFi) error {
	return wifi.Join(ctx, wifi.Options{}, wifi.Network{SSID: n.SSID, Passphrase: n.Passphrase, Hidden: n.Hidden})
}

// free says how the camera is free, if it is.
func (a *Agent) free() (ownership.Acquired, bool) {
	how, err := a.device.Free(time.Now())
	return how, err == nil
}

// TakeCode begins a pairing with a code that a person handed in.
func (a *Agent) TakeCode(ctx context.Context, code secret.Text) error {
	return a.pairing.Take(ctx, code, "socket")
}

// configuredHub is the hub of the configuration, nil where it names none.
func (a *Agent) configuredHub() (*pairing.Hub, error) {
	if !a.named.IsSet() {
		return nil, nil
	}
	ca, err := readCA(a.named.CAFile)
	if err != nil {
		return nil, err
	}
	id, err := seal.IDOf(ca.first.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("read hub's CA: %w", err)
	}
	return &pairing.Hub{ID: id, Brokers: a.named.Broker, URLs: a.named.URL, CAFile: a.named.CAFile}, nil
}

// hubLearned is called when a code has made a hub the camera's.
func (a *Agent) hubLearned() {
	select {
	case a.moved <- struct{}{}:
	default: // it is known already
	}
}

// settleHub takes the hub of the newest code where the configuration names none.
func (a *Agent) settleHub() error {
	if a.named.IsSet() {
		return nil
	}
	hub, err := pairing.Learned(a.device.Dir(), a.Known())
	if err != nil || hub == nil {
		return err
	}
	c := &a.config.Hub
	c.Broker, c.URL, c.CAFile = hub.Brokers, hub.URLs, hub.CAFile
	return nil
}

// live runs the pipeline until ctx is done, and begins it anew when a code has named
// another hub.
func (a *Agent) live(ctx context.Context) error {
	for {
		if err := a.settleHub(); err != nil {
			return err
		}
		inner, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- a.pipeline(inner) }()
		moved, err := a.untilMoved(ended)
		if moved {
			a.part(inner)
		}
		stop()
		if !moved {
			return err
		}
		if err := <-ended; ctx.Err() != nil || !errors.Is(err, context.Canceled) {
			return err
		}
		a.log.Info("the camera goes to another hub")
	}
}

// untilMoved waits for the pipeline's end, or until there is another hub to go to.
func (a *Agent) untilMoved(ended <-chan error) (bool, error) {
	for {
		select {
		case err := <-ended:
			return false, err
		case <-a.moved:
		}
		hub, err := pairing.Learned(a.device.Dir(), a.Known())
		c := a.config.Hub
		if err != nil || hub == nil || a.named.IsSet() || a.opts.Uplink != nil || slices.Equal(c.URL, hub.URLs) && c.CAFile == hub.CAFile {
			continue
		}
		return true, nil
	}
}

// awaitHub says that there is no hub to deliver to, and waits for ctx: with a hub, the
// pipeline begins anew.
func (a *Agent) awaitHub(ctx context.Context) error {
	if a.health.Set("no-hub", health.Warning, "no hub: neither the configuration nor a pairing code named one") {
		a.log.Warn("there is no hub to deliver to; pair with a code that names one, or set [hub]")
	}
	<-ctx.Done()
	a.health.Clear("no-hub")
	return ctx.Err()
}

// look runs the camera of an agent without an owner, for its lens alone: nothing of what
// it sees is kept.
func (a *Agent) look(ctx context.Context) error {
	cam := &camera{open: a.opts.OpenSource, health: &a.health, log: a.log}
	if _, err := cam.start(ctx); err != nil {
		a.log.Warn("the lens cannot look for a code", "error", err)
		return nil
	}
	fan := capture.NewFanout()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer fan.Close()
		return cam.film(ctx, fan.Emit)
	})
	g.Go(func() error { return a.lens(ctx, fan) })
	return g.Wait()
}

// lens reads codes of what fan gives, while the camera is free, until ctx is done or the
// source has ended.
func (a *Agent) lens(ctx context.Context, fan *capture.Fanout) error {
	watch := qr.NewWatch(fan, qr.Settings{Prefix: pairing.CodePrefix, Log: a.log, Found: func(text string) {
		// What is wrong with a code the pairing has said.
		_ = a.pairing.Take(ctx, secret.Text(text), "lens")
	}})
	for {
		changed := a.device.Changed()
		if !a.pairing.Looking() {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
			}
			continue
		}
		if ended, err := a.lookUntil(ctx, watch, changed); err != nil || ended {
			return err
		}
	}
}

// lookUntil reads codes until it is to be asked anew whether they are wanted. It reports
// whether the source has ended.
func (a *Agent) lookUntil(ctx context.Context, watch *qr.Watch, changed <-chan struct{}) (bool, error) {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- watch.Run(inner) }()
	select {
	case err := <-ended:
		return true, err
	case <-changed:
	case <-ctx.Done():
	}
	stop()
	err := <-ended
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return err == nil, nil
}

// buttonHeld resets the camera: from now on it is nobody's.
func (a *Agent) buttonHeld() {
	if err := a.Reset(); err != nil {
		a.log.Error("the button was held, and the reset cannot be kept", "error", err)
		return
	}
	a.log.Warn("the button was held")
}
