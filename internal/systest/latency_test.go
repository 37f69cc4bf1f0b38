package systest

import (
	"context"
	"crypto/tls"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/blob"
	"github.com/lensward/lensward/transport/enrol"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// BenchmarkFrameToReceipt measures, on one machine and in 1280×720, over real TLS, MQTT
// and JetStream with an fsync on both sides, the time from the frame that declares an
// event to the hub's receipt for its thumbnail. It prints the median and the 90th
// percentile of b.N events in milliseconds.
func BenchmarkFrameToReceipt(b *testing.B) {
	film := drawReel(b, 1280, 720)
	h, err := hub.New(hub.Options{Dir: filepath.Join(b.TempDir(), "hub"), Enrol: hub.EnrolOptions{Admission: authority.AdmitAny}})
	must(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.Run(ctx) })
	<-h.Ready()
	c := config.Default()
	c.State.Key = "file"
	c.State.Dir = filepath.Join(b.TempDir(), "camera")
	c.Hub.Broker, c.Hub.URL = config.Addresses{h.MQTTAddr()}, config.Addresses{h.DeviceURL()}
	c.Hub.ConnectWindow.Duration = time.Millisecond
	c.Event.PreRoll.Duration, c.Event.PostRoll.Duration, c.Event.Merge.Duration, c.Event.PerHour = 0, time.Second, 0, 3600
	watch := &stopwatch{done: make(chan struct{}), want: b.N, declared: make(map[seal.Ref]time.Time)}
	uplink := &agent.Uplink{}
	a, err := agent.New(b.Context(), c, agent.Options{Firmware: "test", OpenSource: film.open, NoControl: true, Uplink: uplink})
	must(b, err)
	watch.connect(b, uplink, a, h)
	pairAgent(b, a)
	g.Go(func() error { return a.Run(ctx) })
	<-watch.done
	cancel()
	_ = g.Wait() // cancelled
	must(b, a.Close())
	slices.Sort(watch.times)
	ms := func(q int) float64 { return float64(watch.times[len(watch.times)*q/100].Microseconds()) / 1000 }
	b.ReportMetric(ms(50), "median-ms")
	b.ReportMetric(ms(90), "p90-ms")
	b.ReportMetric(0, "ns/op")
}

func pairAgent(t testing.TB, a *agent.Agent) {
	t.Helper()
	k, err := keyring.New(filepath.Join(t.TempDir(), "owner"))
	must(t, err)
	draft, err := k.Draft(a.DeviceKey(), nil, time.Now())
	must(t, err)
	signed, err := ownership.Sign(k.Root(), draft)
	must(t, err)
	_, err = a.Pair(signed)
	must(t, err)
}

// stopwatch times thumbnails from their frame to their receipt.
type stopwatch struct {
	mu       sync.Mutex
	declared map[seal.Ref]time.Time
	times    []time.Duration
	want     int
	done     chan struct{}
}

// connect makes the way to the hub, with the stopwatch in it.
func (w *stopwatch) connect(t testing.TB, up *agent.Uplink, a *agent.Agent, h *hub.Hub) {
	t.Helper()
	dir, err := durable.Open(filepath.Join(t.TempDir(), "certificate"))
	must(t, err)
	trust := &tls.Config{RootCAs: h.CAPool(), MinVersion: tls.VersionTLS13}
	cert, err := enrol.Enrol(t.Context(), enrol.Options{URL: h.DeviceURL(), TLS: trust, Key: a.Device().Key(), Dir: dir})
	must(t, err)
	mutual := trust.Clone()
	mutual.Certificates = []tls.Certificate{cert}
	device, err := url.Parse(h.DeviceURL())
	must(t, err)
	up.Uploader, err = blob.New(blob.Options{Hosts: []string{device.Host}, TLS: trust})
	must(t, err)
	up.Dialer = tapDialer{w, &mqtt.Dialer{Options: mqtt.Options{Device: a.Device().ID(), Address: h.MQTTAddr(), TLS: mutual}}}
}

// tapDialer puts the stopwatch between the delivery loop and its session.
type tapDialer struct {
	watch *stopwatch
	inner transport.Dialer
}

// Dial opens a session.
func (d tapDialer) Dial(ctx context.Context) (transport.Session, error) {
	s, err := d.inner.Dial(ctx)
	if err != nil {
		return nil, err
	}
	t := &tapped{Session: s, watch: d.watch, down: make(chan transport.Message, 64)}
	go t.forward() // ends with the session
	return t, nil
}

type tapped struct {
	transport.Session
	watch *stopwatch
	down  chan transport.Message
}

// PublishItem notes when a thumbnail's frame was taken.
func (t *tapped) PublishItem(ctx context.Context, item []byte) error {
	if it, err := seal.Parse(item); err == nil && it.Header.Kind == seal.KindThumbnail {
		t.watch.mu.Lock()
		t.watch.declared[it.Header.Ref()] = it.Header.Captured
		t.watch.mu.Unlock()
	}
	return t.Session.PublishItem(ctx, item)
}

// Down is the session's, noted on the way.
func (t *tapped) Down() <-chan transport.Message { return t.down }

func (t *tapped) forward() {
	for {
		select {
		case <-t.Done():
			return
		case m := <-t.Session.Down():
			if m.Type == transport.Receipt {
				t.watch.receipt(m.Ref)
			}
			t.down <- m
		}
	}
}

func (w *stopwatch) receipt(r seal.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.declared[r]
	if !ok || len(w.times) == w.want {
		return
	}
	delete(w.declared, r)
	// The better thumbnail at an event's end was taken long before it is sent.
	if d := time.Since(at); d < time.Second {
		w.times = append(w.times, d)
	}
	if len(w.times) == w.want {
		close(w.done)
	}
}
