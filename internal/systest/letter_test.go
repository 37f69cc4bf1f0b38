package systest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/internal/wait"
	members "github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/letter"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

// blind is a camera that gives no picture.
type blind struct{}

// Run waits for its end.
func (blind) Run(ctx context.Context, _ func(capture.Frame)) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestLettersThroughAHub has a real hub bring a camera a new household, a release, and its
// taking back, as lensctl owner does: the camera accepts, and the owner's keyring has its
// signature.
func TestLettersThroughAHub(t *testing.T) {
	dir := t.TempDir()
	h := hubtest.Start(t, hub.Options{Dir: filepath.Join(dir, "hub"), SyncInterval: time.Minute})
	k, err := keyring.New(filepath.Join(dir, "owner"))
	must(t, err)
	c := config.Default()
	c.State.Key, c.State.Dir = "file", filepath.Join(dir, "camera")
	c.Hub.Broker, c.Hub.URL, c.Hub.CAFile = config.Addresses{h.MQTTAddr()}, config.Addresses{h.DeviceURL()}, filepath.Join(dir, "ca.pem")
	c.Hub.ConnectWindow.Duration = 50 * time.Millisecond
	must(t, os.WriteFile(c.Hub.CAFile, h.CAPEM(), 0o600))
	a, err := agent.New(t.Context(), c, agent.Options{
		Firmware: "test", NoControl: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		OpenSource: func(context.Context) (capture.Source, source.Info, error) {
			return blind{}, source.Info{Format: capture.FormatMJPEG, Width: 192, Height: 112, FPS: 5, Live: true}, nil
		},
	})
	must(t, err)
	r, err := k.Draft(a.DeviceKey(), nil, time.Now())
	must(t, err)
	s, err := ownership.Sign(k.Root(), r)
	must(t, err)
	o, err := a.Pair(s)
	must(t, err)
	must(t, k.Keep(o))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		must(t, a.Close())
	}()
	post, err := viewer.NewCourier(viewer.CourierOptions{HubURL: h.ViewerURL(), Owner: k.Owner(), Signer: k.Root()})
	must(t, err)
	for { // until the hub has the record
		if all, err := post.Records(ctx); err == nil && len(all) == 1 {
			break
		}
		must(t, wait.For(ctx, 20*time.Millisecond))
	}
	push := func(revision uint64) {
		t.Helper()
		_, err := k.Change(members.Change{NewPeriod: true}, time.Now())
		must(t, err)
		out, err := letter.Push(ctx, k, post, time.Minute)
		must(t, err)
		if len(out) != 1 || !out[0].Taken || out[0].Revision != revision || a.Known().Record.Revision != revision {
			t.Fatalf("%+v, the camera has revision %d", out, a.Known().Record.Revision)
		}
	}
	push(2)
	_, out, err := letter.Release(ctx, k, post, a.Device().ID(), seal.ID{}, time.Now().AddDate(0, 0, 1), time.Minute)
	must(t, err)
	if how, err := a.Device().Free(time.Now()); !out.Taken || err != nil || how != ownership.AcquiredReleased {
		t.Fatalf("%+v, free in way %d", out, how)
	}
	push(3)
	if how, err := a.Device().Free(time.Now()); err == nil {
		t.Errorf("taken back, it is free in way %d", how)
	}
	if a.Stats().Delivery.Letters != 3 || a.Stats().Delivery.LettersRefused != 0 {
		t.Errorf("%+v", a.Stats().Delivery)
	}
}
