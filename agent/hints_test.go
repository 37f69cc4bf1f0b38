package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/mqtt/mqtttest"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
)

// dark is a camera that never gives a frame.
type dark struct{}

// Run waits for its end.
func (dark) Run(ctx context.Context, _ func(capture.Frame)) error {
	<-ctx.Done()
	return ctx.Err()
}

// noUploads is for a camera that never has a clip.
type noUploads struct{}

// Upload is not called.
func (noUploads) Upload(context.Context, string, []byte) error { return errors.New("no uploads here") }

// fleet is a hub and a web server that has its hint, in one bubble with a camera whose
// state directory outlives the agents that run on it.
type fleet struct {
	t      *testing.T
	broker mqtttest.Broker
	key    *ecdsa.PrivateKey
	id     seal.ID
	dir    string
	keys   *keyring.Keyring

	mu      sync.Mutex
	dead    bool
	session []byte // the hint that the hub gives in a session; nil gives none
	web     []byte // and that of the web server; nil is an error
	fetches int
	dials   []time.Time
	serving sync.WaitGroup
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: filepath.Join(t.TempDir(), "camera")}
	var err error
	f.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.check(err)
	f.id, err = seal.IDOf(f.key.Public())
	f.check(err)
	f.keys, err = keyring.New(filepath.Join(t.TempDir(), "owner"))
	f.check(err)
	f.broker.Watch("lensward/1/+/record", f.takeRecord)
	f.broker.Watch("lensward/1/+/item", f.takeItem)
	t.Cleanup(func() {
		f.broker.Close()
		f.serving.Wait()
	})
	return f
}

func (f *fleet) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) sign(key *ecdsa.PrivateKey, h recovery.Hint) []byte {
	now := time.Now()
	b, err := hint.Sign(key, hint.Statement{Serial: uint64(now.UnixMilli()), Issued: now, Expires: now.Add(time.Hour), Hint: h})
	f.check(err)
	return b
}

// say has the hub give a hint in its sessions, the web server another, and both be there
// or not.
func (f *fleet) say(session, web []byte, dead bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.session, f.web, f.dead = session, web, dead
}

func (f *fleet) takeRecord(_ string, b []byte) {
	o, err := ownership.Parse(b)
	f.check(err)
	f.mu.Lock()
	h := f.session
	f.mu.Unlock()
	f.answer(o.Record.Device, transport.Message{Type: transport.RecordReceipt, Hash: o.Hash()})
	if h != nil {
		f.answer(o.Record.Device, transport.Message{Type: transport.Hint, Hint: base64.RawURLEncoding.EncodeToString(h)})
	}
}

func (f *fleet) takeItem(_ string, b []byte) {
	it, err := seal.Parse(b)
	f.check(err)
	f.answer(it.Header.Device, transport.Message{Type: transport.Receipt, Ref: it.Header.Ref(), Hash: it.Hash()})
}

func (f *fleet) answer(device seal.ID, m transport.Message) {
	b, err := json.Marshal(m)
	f.check(err)
	f.broker.Publish(mqtt.Topic(device, mqtt.TopicDown), b)
}

// dial is the way to the hub.
func (f *fleet) dial(ctx context.Context) (net.Conn, error) {
	f.mu.Lock()
	dead := f.dead
	f.dials = append(f.dials, time.Now())
	f.mu.Unlock()
	if dead {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded}
	}
	return f.broker.Dial(ctx)
}

// dialWeb is the way to the web server, which serves one request on a pipe.
func (f *fleet) dialWeb(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	l := &once{conn: far, gone: make(chan struct{})}
	f.serving.Go(func() {
		_ = (&http.Server{Handler: f, ReadHeaderTimeout: time.Minute}).Serve(l) // ends with the connection
	})
	return near, nil
}

// ServeHTTP answers with the web server's hint.
func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fetches++
	if r.URL.Path != "/hint" || f.web == nil {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(f.web) // a camera that has gone is its own problem
}

// once is a listener with one connection; it ends with that.
type once struct {
	conn net.Conn
	gone chan struct{}
	mu   sync.Mutex
}

// Accept gives the connection, then waits for its end.
func (o *once) Accept() (net.Conn, error) {
	o.mu.Lock()
	conn := o.conn
	o.conn = nil
	o.mu.Unlock()
	if conn != nil {
		return &closing{Conn: conn, gone: o.gone}, nil
	}
	<-o.gone
	return nil, net.ErrClosed
}

// Close does nothing: the connection's end is the listener's.
func (o *once) Close() error { return nil }

// Addr is nobody's.
func (o *once) Addr() net.Addr { return &net.TCPAddr{} }

// closing says when it was closed.
type closing struct {
	net.Conn
	gone chan struct{}
	once sync.Once
}

// Close closes the connection.
func (c *closing) Close() error {
	c.once.Do(func() { close(c.gone) })
	return c.Conn.Close()
}

// start runs an agent on the camera's state directory. What stop returns has ended.
func (f *fleet) start() (a *Agent, stop func()) {
	f.t.Helper()
	c := config.Default()
	c.Camera.Source, c.State.Dir, c.State.Key = "scene:", f.dir, "file"
	up := &Uplink{Uploader: noUploads{}}
	a, err := New(f.t.Context(), c, Options{
		Firmware: "test", NoControl: true, Uplink: up, Log: slog.New(slog.DiscardHandler),
		OpenSource: func(context.Context) (capture.Source, source.Info, error) {
			return dark{}, source.Info{Format: capture.FormatMJPEG, Width: 192, Height: 112, FPS: 5, Live: true}, nil
		},
	})
	f.check(err)
	fetcher, err := hint.NewFetcher(hint.FetchOptions{URL: "http://cdn.example/hint", Dial: f.dialWeb})
	f.check(err)
	up.Dialer = &mqtt.Dialer{Options: mqtt.Options{Device: a.Device().ID(), Dial: f.dial}}
	up.Hints, up.Fetch = hint.Open(a.Device().Dir(), f.id, a.log), fetcher.Fetch
	if a.Known() == nil {
		draft, err := f.keys.Draft(a.DeviceKey(), nil, time.Now())
		f.check(err)
		signed, err := ownership.Sign(f.keys.Root(), draft)
		f.check(err)
		_, err = a.Pair(signed)
		f.check(err)
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	return a, func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			f.t.Errorf("the agent ended with %v", err)
		}
		f.check(a.Close())
	}
}

// connects counts the connects so far.
func (f *fleet) connects() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.dials)
}

// await waits for so many more connects, and says how long they took.
func (f *fleet) await(more int) time.Duration {
	f.t.Helper()
	before, begin := f.connects(), time.Now()
	for f.connects() < before+more {
		time.Sleep(time.Second)
		if time.Since(begin) > 24*time.Hour {
			f.t.Fatal("no connect in a day")
		}
	}
	return time.Since(begin)
}

// TestHintSurvivesARestart powers a camera up again: its slot is drawn from what its
// fleet needs, as the hub said before, not from what one needs that knows nothing.
func TestHintSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.say(f.sign(f.key, recovery.Hint{Window: 8 * time.Hour, Current: time.Second}), nil, false)
		_, stop := f.start()
		time.Sleep(10 * time.Minute)
		stop()
		longest := time.Duration(0)
		for range 3 {
			_, stop := f.start()
			longest = max(longest, f.await(1))
			stop()
		}
		if longest < 10*time.Minute {
			t.Errorf("of three starts in a fleet that needs eight hours, the last connect came after %v", longest)
		}
	})
}

// TestHostileHubSaysNothing has a hub whose key is another one than the camera knows,
// and a web server that has been taken over: what they say changes nothing.
func TestHostileHubSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		hostile, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		f.check(err)
		forged := f.sign(hostile, recovery.Hint{Window: 8 * time.Hour, Current: 8 * time.Hour, Drain: 0.001})
		f.say(forged, forged, false)
		a, stop := f.start()
		time.Sleep(10 * time.Minute)
		if s := a.Stats().Delivery; s.Hint != nil || s.Ignored != 1 || s.State != transport.Delivering {
			t.Errorf("%v, %d ignored, the hint is %+v", s.State, s.Ignored, s.Hint)
		}
		f.say(forged, forged, true)
		f.broker.Drop(a.Device().ID().String())
		if took := f.await(3); took > 20*time.Minute || a.Stats().Delivery.Hint != nil {
			t.Errorf("three connects took %v, the hint is %+v", took, a.Stats().Delivery.Hint)
		}
		stop()
		if hint.Open(a.Device().Dir(), f.id, a.log).Newest() != nil {
			t.Error("a forged hint was kept")
		}
	})
}

// TestHubGoneHintFetched loses the hub of a large fleet, and hears on the web that it is
// back, with few left to come: the camera is back long before its slot of hours.
func TestHubGoneHintFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.say(f.sign(f.key, recovery.Hint{Window: 8 * time.Hour, Current: time.Second}), nil, false)
		a, stop := f.start()
		defer stop()
		f.await(1)
		time.Sleep(10 * time.Minute)
		f.say(nil, nil, true)
		f.broker.Drop(a.Device().ID().String())
		time.Sleep(time.Minute)
		small := f.sign(f.key, recovery.Hint{Window: 10 * time.Second, Current: 2 * time.Second})
		f.say(small, small, false)
		if took := f.await(1); took > 90*time.Minute {
			t.Errorf("back %v after the hub", took)
		}
		time.Sleep(time.Minute)
		s := a.Stats().Delivery
		if s.State != transport.Delivering || s.Fetches == 0 || f.fetches == 0 || s.Hint == nil || s.Hint.Window != 10*time.Second {
			t.Errorf("%v after %d fetches, the hint is %+v", s.State, s.Fetches, s.Hint)
		}
	})
}
