package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/page"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/viewer"
)

// world is the demo's: a hub, and households with a camera each. The first is
// the owner's whose viewer we look through; others are there to be mixed up with.
type world struct {
	hub    *hub.Hub
	homes  []*home
	viewer *viewer.Viewer
	finite bool
	source string
	log    *slog.Logger
	// started is closed once the cameras exist and run.
	started chan struct{}
}

// home is an owner and their camera.
type home struct {
	keys  *keyring.Keyring
	agent *agent.Agent
	conf  config.Config
}

func newWorld(ctx context.Context, dir string, f demoFlags, log *slog.Logger) (*world, error) {
	w := &world{source: f.source, log: log, started: make(chan struct{})}
	if f.once {
		w.source = atFullSpeed(f.source)
	}
	_, info, err := source.Open(ctx, w.source, source.Options{Log: log})
	if err != nil {
		return nil, err
	}
	w.finite = info.Finite
	told := hubFlags{lies: f.lies}
	if err := told.parseLies(); err != nil {
		return nil, err
	}
	w.hub, err = hub.New(hub.Options{
		Dir: filepath.Join(dir, "hub"), Name: "demo", Version: version, ViewerListen: f.listen,
		Page: page.FS(), Mixup: f.mixup, Lies: told.options.Lies, Log: log,
		// Nothing here outlives the program, so a receipt need not outlive a power cut.
		SyncInterval: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	sources := []string{w.source}
	if f.mixup > 0 || slices.Contains(told.options.Lies, hub.LieMixup) {
		sources = append(sources, "scene:?seed=2")
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), w.hub.CAPEM(), 0o600); err != nil {
		return nil, fmt.Errorf("write CA certificate: %w", err)
	}
	for i, src := range sources {
		h, err := newHome(ctx, filepath.Join(dir, fmt.Sprintf("home%d", i+1)), src)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.homes = append(w.homes, h)
	}
	return w, nil
}

// newHome makes an owner's keys and a camera, and pairs them. The agent comes
// with run, when the hub's addresses are known.
func newHome(ctx context.Context, dir, src string) (*home, error) {
	keys, err := keyring.New(filepath.Join(dir, "owner"))
	if err != nil {
		return nil, err
	}
	c := config.Default()
	c.State.Key = "file" // it is gone when the demo is
	c.Camera.Source, c.State.Dir = src, filepath.Join(dir, "camera")
	c.Hub.CAFile = filepath.Join(dir, "..", "ca.pem")
	c.Hub.ConnectWindow.Duration = 50 * time.Millisecond
	if err := os.MkdirAll(c.State.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	if _, err := pair(ctx, keys, c.State.Dir); err != nil {
		return nil, err
	}
	return &home{keys: keys, conf: c}, nil
}

// run runs the hub, and the cameras once its addresses are known, until ctx is done.
func (w *world) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.hub.Run(ctx) })
	select {
	case <-ctx.Done():
		return g.Wait()
	case <-w.hub.Ready():
	}
	for _, h := range w.homes {
		if err := h.start(ctx, w.hub, w.log); err != nil {
			g.Go(func() error { return err })
			return g.Wait()
		}
		g.Go(func() error { return h.agent.Run(ctx) })
	}
	if err := w.openViewer(); err != nil {
		g.Go(func() error { return err })
		return g.Wait()
	}
	close(w.started)
	return g.Wait()
}

func (h *home) start(ctx context.Context, hub *hub.Hub, log *slog.Logger) (err error) {
	h.conf.Hub.Broker, h.conf.Hub.URL = config.Addresses{hub.MQTTAddr()}, config.Addresses{hub.DeviceURL()}
	h.agent, err = agent.New(ctx, h.conf, agent.Options{Firmware: version, Log: log})
	return err
}

// close gives back what the cameras hold. run has to have returned.
func (w *world) close() error {
	var err error
	for _, h := range w.homes {
		if h.agent != nil {
			err = errors.Join(err, h.agent.Close())
		}
	}
	return err
}

// openViewer makes the first owner's viewer: it sees what the page would.
func (w *world) openViewer() error {
	keys := w.homes[0].keys
	known, err := keys.Ownerships()
	if err != nil {
		return err
	}
	w.viewer, err = viewer.New(viewer.Options{
		HubURL: w.hub.ViewerURL(), Hub: w.hub.ID(), Known: known, State: &viewer.MemoryState{}, Log: w.log,
		Keys: viewer.Keys{Owner: keys.Owner(), Signer: keys.Viewer(), Identities: keys.Household()},
	})
	return err
}

// watch runs the viewer, once the camera has shown the hub whose it is: before
// that the hub lets its owner's viewers not in.
func (w *world) watch(ctx context.Context, on func(viewer.Event)) error {
	select {
	case <-ctx.Done():
		return nil
	case <-w.started:
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for w.homes[0].agent.Stats().Delivery.Sessions == 0 {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return w.viewer.Run(ctx, on)
}

// announce prints the page's address, with the keys where only the browser reads them.
func (w *world) announce(ctx context.Context, f demoFlags, out io.Writer) error {
	select {
	case <-ctx.Done():
		return nil
	case <-w.started:
	}
	if f.once || f.asJSON {
		return nil
	}
	e, err := w.homes[0].keys.Export()
	if err != nil {
		return err
	}
	fragment, err := e.Fragment()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Open this page to see what the camera's owner sees (Ctrl-C ends the demo):\n\n  %s/%s\n\n", w.hub.ViewerURL(), fragment)
	return nil
}

// finish returns when there is nothing more to wait for: a file was played to
// its end and its owner has all of it, or the first event was opened.
func (w *world) finish(ctx context.Context, opened <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return nil
	case <-w.started:
	}
	if !w.finite {
		select {
		case <-ctx.Done():
		case <-opened:
		}
		return nil
	}
	a := w.homes[0].agent
	select {
	case <-ctx.Done():
		return nil
	case <-a.Recorded():
	}
	return w.settle(ctx, a)
}

// settle waits until the hub has receipted everything and the owner has opened
// all that was delivered. It gives up when nothing has moved for a minute.
func (w *world) settle(ctx context.Context, a *agent.Agent) error {
	const patience = time.Minute
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last uint64
	moved := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		st, seen := a.Stats(), w.viewer.Summary()
		if st.Spool.Depth == 0 && seen.Opened >= st.Delivery.Delivered {
			return nil
		}
		if now := st.Delivery.Delivered + seen.Opened; now != last {
			last, moved = now, time.Now()
		}
		if time.Since(moved) > patience {
			return fmt.Errorf("%d items wait for delivery and %d of %d delivered ones were opened, and nothing has moved for %v: %s",
				st.Spool.Depth, seen.Opened, st.Delivery.Delivered, patience, st.Delivery.LastError)
		}
	}
}

// report sums up. run and watch have to have returned.
func (w *world) report(f demoFlags, first int64) demoReport {
	r := demoReport{Source: f.source, FirstPicture: first}
	if a := w.homes[0].agent; a != nil {
		st := a.Stats()
		r.Frames, r.Events, r.Items, r.Delivered = st.Recorder.Frames, st.Recorder.Events, st.Items, st.Delivery.Delivered
	}
	if w.viewer != nil {
		s := w.viewer.Summary()
		r.Verified, r.Opened, r.Withheld, r.WronglyShown = s.Verified, s.Opened, s.Withheld, s.WronglyShown
	}
	return r
}
