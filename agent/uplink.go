package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/internal/secret"
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
		var err error
		if up, err = a.openUplink(); err != nil {
			return err
		}
	}
	set := recovery.DefaultSettings()
	set.First = max(a.config.Hub.ConnectWindow.Duration, time.Millisecond)
	set.Fetch = up.Fetch != nil
	d, err := transport.New(transport.Options{
		Dialer: up.Dialer, Queue: store, Uploader: up.Uploader,
		Hints: up.Hints, Fetch: up.Fetch, Offline: up.Offline, Clock: networkTime,
		Schedule:   recovery.New(&set, rand.Uint64()),
		Record:     a.record,
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

// connected appends a checkpoint. A full spool is no reason not to deliver.
func (a *Agent) connected(ctx context.Context) error {
	if err := a.checkpoint(ctx, "connect"); err != nil && !errors.Is(err, spool.ErrFull) {
		return err
	}
	return nil
}

// record is the ownership record in force. There is one: without, nothing is delivered.
func (a *Agent) record() transport.Record {
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

// readToken reads the enrolment token, "" where none is configured.
func readToken(name string) (secret.Text, error) {
	if name == "" {
		return "", nil
	}
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("read enrolment token: %w", err)
	}
	defer f.Close() // read-only: nothing to lose
	b, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return "", fmt.Errorf("read enrolment token: %w", err)
	}
	return secret.Text(strings.TrimSpace(string(b))), nil
}
