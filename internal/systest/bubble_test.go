package systest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bubble is a device, a courier and a viewer in one synctest bubble.
type bubble struct {
	t       *testing.T
	courier *courier
	agent   *agent.Agent
	keys    *keyring.Keyring
	viewer  *viewer.Viewer
	stop    func()
}

// startBubble pairs a device and runs everything; it must be called in a bubble.
func startBubble(t *testing.T, film *reel, change func(*config.Config)) *bubble {
	t.Helper()
	b := &bubble{t: t, courier: newCourier()}
	c := config.Default()
	c.State.Key = "file"
	c.State.Dir = filepath.Join(t.TempDir(), "camera")
	c.Hub.ConnectWindow.Duration = 5 * time.Second
	if change != nil {
		change(&c)
	}
	var err error
	b.keys, err = keyring.New(filepath.Join(t.TempDir(), "owner"))
	must(t, err)
	uplink := &agent.Uplink{Uploader: b.courier}
	b.agent, err = agent.New(t.Context(), c, agent.Options{Firmware: "test", OpenSource: film.open, NoControl: true, Uplink: uplink, Log: testLog()})
	must(t, err)
	uplink.Dialer = &mqtt.Dialer{Options: mqtt.Options{Device: b.agent.Device().ID(), Dial: b.courier.dial}}
	o := b.pair()
	l := newPipes()
	client := l.client()
	b.viewer, err = viewer.New(viewer.Options{
		HubURL: "http://127.0.0.1", Hub: b.courier.id, HTTPClient: client, State: &viewer.MemoryState{},
		Keys:  viewer.Keys{Owner: b.keys.Owner(), Signer: b.keys.Viewer(), Identities: b.keys.Household()},
		Known: []*ownership.Ownership{o},
	})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.agent.Run(ctx) })
	g.Go(func() error { return b.viewer.Run(ctx, nil) })
	g.Go(func() error { return b.courier.serve(ctx, l) })
	b.stop = func() {
		cancel()
		if err := g.Wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped with %v", err)
		}
		client.CloseIdleConnections()
		b.courier.broker.Close()
		must(t, b.agent.Close())
	}
	return b
}

// testLog is silent unless LENSWARD_TEST_LOG is set.
func testLog() *slog.Logger {
	if os.Getenv("LENSWARD_TEST_LOG") == "" {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (b *bubble) pair() *ownership.Ownership {
	b.t.Helper()
	draft, err := b.keys.Draft(b.agent.DeviceKey(), nil, time.Now())
	must(b.t, err)
	signed, err := ownership.Sign(b.keys.Root(), draft)
	must(b.t, err)
	o, err := b.agent.Pair(signed)
	must(b.t, err)
	return o
}

// settle waits until all that is in the spool was delivered and opened, and the
// viewer misses nothing that the camera did not say it dropped; it returns the
// viewer's account of that moment.
func (b *bubble) settle() viewer.Summary {
	b.t.Helper()
	for range 600 {
		time.Sleep(time.Second)
		seen := b.viewer.Summary()
		unexplained := slices.ContainsFunc(seen.Missing, func(m seal.Missing) bool { return !m.Dropped })
		if b.agent.Stats().Spool.Depth == 0 && seen.Opened >= b.agent.Stats().Delivery.Delivered && !unexplained {
			return seen
		}
	}
	b.t.Fatalf("not settled in ten minutes: %+v, %+v", b.agent.Stats().Delivery, b.viewer.Summary())
	return viewer.Summary{}
}

// awaitArrival waits until the device has found its way back and more than the
// given number of items have come. How long that may take is recovery's to say.
func (b *bubble) awaitArrival(before int) {
	b.t.Helper()
	for range 7200 {
		if len(b.courier.arrived()) > before {
			return
		}
		time.Sleep(time.Second)
	}
	b.t.Fatalf("nothing came in two hours: %+v", b.agent.Stats().Delivery)
}

// TestWholeDeviceInABubble holds a device, a broker and a viewer in one bubble.
// synctest fails it if a goroutine is left.
func TestWholeDeviceInABubble(t *testing.T) {
	film := drawReel(t, 192, 112)
	synctest.Test(t, func(t *testing.T) {
		b := startBubble(t, film, nil)
		time.Sleep(3 * time.Minute)
		seen := b.settle()
		st := b.agent.Stats()
		b.stop()
		if st.Recorder.Events < 3 || st.Recorder.Frames < 800 {
			t.Errorf("%d events in %d frames of three minutes", st.Recorder.Events, st.Recorder.Frames)
		}
		if seen.Opened < st.Delivery.Delivered || seen.WronglyShown != 0 || seen.Withheld != 0 {
			t.Errorf("the viewer's account is %+v of %d delivered", seen, st.Delivery.Delivered)
		}
		events := b.viewer.Footage()
		for _, f := range events[:len(events)-1] {
			if len(f.Thumbnails) == 0 || len(f.Clips) == 0 || f.Record == nil || int(f.Record.Parts) != len(f.Clips) {
				t.Errorf("event %s has %d thumbnails and %d parts: %+v", f.Event, len(f.Thumbnails), len(f.Clips), f.Record)
			}
		}
	})
}

// TestHubGoneForAnHour cuts the hub off while events go on.
func TestHubGoneForAnHour(t *testing.T) {
	film := drawReel(t, 192, 112)
	synctest.Test(t, func(t *testing.T) {
		b := startBubble(t, film, nil)
		time.Sleep(time.Minute)
		b.settle()
		before := len(b.courier.arrived())
		b.courier.fail(b.agent.Device().ID(), true)
		time.Sleep(time.Hour)
		waiting := b.agent.Stats().Spool.Items
		b.courier.fail(b.agent.Device().ID(), false)
		b.awaitArrival(before)
		seen := b.settle()
		b.stop()
		after := b.courier.arrived()[before:]
		if after[0].Kind != seal.KindThumbnail {
			t.Errorf("the first item after the outage is a %s", after[0].Kind)
		}
		for _, h := range after[1:] {
			if h.Kind == seal.KindThumbnail && h.Captured.After(after[0].Captured) && h.Seq < after[0].Seq {
				t.Errorf("thumbnail %d was newer than the first one sent, %d", h.Seq, after[0].Seq)
			}
		}
		if waiting[1] < 50 || seen.Withheld != 0 {
			t.Errorf("%v items waited after the hour; %d withheld", waiting, seen.Withheld)
		}
	})
}

// TestSmallBudgetSaysWhatItDropped has a spool that cannot hold an hour.
func TestSmallBudgetSaysWhatItDropped(t *testing.T) {
	film := drawReel(t, 192, 112)
	synctest.Test(t, func(t *testing.T) {
		b := startBubble(t, film, func(c *config.Config) {
			c.Spool.Clips.Bytes, c.Spool.Thumbnails.Bytes = 8<<20, 1<<20
		})
		time.Sleep(time.Minute)
		b.settle()
		before := len(b.courier.arrived())
		b.courier.fail(b.agent.Device().ID(), true)
		time.Sleep(time.Hour)
		b.courier.fail(b.agent.Device().ID(), false)
		b.awaitArrival(before)
		b.settle()
		time.Sleep(10 * time.Minute) // the viewer asks for what is missing, and hears of gaps
		seen := b.settle()
		b.stop()
		clips := 0
		for _, m := range seen.Missing {
			if !m.Dropped {
				t.Errorf("items %d to %d are missing and nobody said why", m.From, m.To)
			}
			if m.Kind == seal.KindEvent {
				t.Errorf("an event record was dropped: %+v", m)
			}
			if m.Kind == seal.KindClip {
				clips++
			}
		}
		if clips == 0 {
			t.Errorf("no clip was dropped: %+v", seen.Missing)
		}
	})
}
