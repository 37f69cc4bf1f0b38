package hub

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats.go"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/hub/gate"
	"github.com/lensward/lensward/transport/seal"
)

// hinted is the next hint that a device is told, verified.
func (l *link) hinted(t testing.TB, h *running) *hint.Statement {
	t.Helper()
	select {
	case text := <-l.hints:
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		s, err := hint.Verify(b, h.ID())
		if err != nil {
			t.Fatal(err)
		}
		return s
	case <-time.After(patience):
		t.Fatal("no hint")
		return nil
	}
}

// A device is told the hint after its record, and the same may be had by HTTP and from
// the state directory. Serials grow over a restart, whatever the clock says.
func TestHintIsSaid(t *testing.T) {
	dir := t.TempDir()
	h := startHub(t, Options{Dir: dir, Admit: 50, Drain: 7})
	c := newCamera(t, newOwner(t))
	said := attach(t, h, c).hinted(t, h)
	if said.Hint.Drain == 0 || said.Hint.Window != time.Second || time.Since(said.Issued) > time.Minute {
		t.Errorf("told %+v", said)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.DeviceURL()+"/hint", nil)
	if err != nil {
		t.Fatal(err)
	}
	res := do(t, h, req)
	fetched, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "max-age=15" {
		t.Errorf("GET /hint: %s, %v, %v", res.Status, res.Header, err)
	}
	if s, err := hint.Verify(fetched, h.ID()); err != nil || s.Serial < said.Serial {
		t.Errorf("fetched %+v, %v", s, err)
	}
	h.stop(t)

	file, err := h.dir.ReadFile(hintFile, hint.MaxSize)
	if err != nil {
		t.Fatal(err)
	}
	last, err := hint.Verify(file, h.ID())
	if err != nil {
		t.Fatal(err)
	}
	last.Serial += 1e12 // a clock that was decades ahead
	ahead, err := hint.Sign(h.authority.Signer(), *last)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.dir.WriteFile(hintFile, ahead, 0o644); err != nil {
		t.Fatal(err)
	}
	h = startHub(t, Options{Dir: dir})
	if s := attach(t, h, c).hinted(t, h); s.Serial <= last.Serial {
		t.Errorf("serial %d after %d", s.Serial, last.Serial)
	}
}

// A device that was refused its record is told no hint: it is not of this fleet.
func TestStrangerGetsNoHint(t *testing.T) {
	h := startHub(t, Options{})
	c, other := newCamera(t, newOwner(t)), newCamera(t, newOwner(t))
	l := connect(t, h, c, enrol(t, h, c.key))
	l.publish(t, topicRecord, other.record.Bytes())
	if d := l.next(t); d.Type != downRecordRefusal {
		t.Errorf("answered with %+v", d)
	}
	l.publish(t, topicRecord, c.record.Bytes())
	l.next(t)
	l.hinted(t, h)
	if len(l.hints) != 0 {
		t.Error("a hint came for the refused record")
	}
}

// inbox is an outbox that keeps what is sent, and when.
type inbox struct {
	mu   sync.Mutex
	sent map[seal.ID][]time.Time
}

func (m *inbox) send(device seal.ID, _ down) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent[device] = append(m.sent[device], time.Now())
	return nil
}

// office is a survey and its herald without a hub.
type office struct {
	*survey
	box           *inbox
	fleet, online atomic.Int64
	here          atomic.Pointer[[]seal.ID]
}

func newOffice(t *testing.T, dir string, admit float64) *office {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	d, err := durable.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := authority.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	o := &office{box: &inbox{sent: make(map[seal.ID][]time.Time)}}
	o.here.Store(new([]seal.ID))
	herald, err := newHerald(ca, d, o.box, func() []seal.ID { return *o.here.Load() }, log)
	if err != nil {
		t.Fatal(err)
	}
	o.survey = &survey{
		herald: herald, dir: d, gate: gate.New(10), peers: &peers{conn: new(nats.Conn), rates: make(map[string]peer)},
		heard:  func(context.Context) (int, error) { return int(o.fleet.Load()), nil },
		online: func() int { return int(o.online.Load()) }, admit: admit, drain: 100, log: log, metrics: newMetrics(),
	}
	return o
}

// The hint follows from the fleet's size and who is there, and those who are there are
// told of a change at a pace.
func TestHintFollowsTheFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, t.TempDir(), 10)
		o.fleet.Store(920)
		if err := o.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect := func(when string, window, current time.Duration, drain float64) {
			t.Helper()
			said, signed := o.herald.last()
			if said.Window.Round(time.Second) != window || said.Current.Round(time.Second) != current || math.Abs(said.Drain-drain) > 1e-3 {
				t.Errorf("%s: %+v", when, said)
			}
			if _, err := hint.Verify(signed, o.herald.authority.ID()); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
		// 920 / (0.92 · 10) = 100 s
		expect("at the start", 100*time.Second, 100*time.Second, 100./920)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- o.run(ctx) }()
		go func() { done <- o.herald.run(ctx) }()
		defer func() { cancel(); <-done; <-done }()

		o.online.Store(460)
		time.Sleep(2 * surveyEvery)
		expect("half of them there", 100*time.Second, 50*time.Second, 100./920)
		var here []seal.ID
		for i := range 1000 {
			here = append(here, seal.ID{byte(i), byte(i >> 8), 1})
		}
		o.here.Store(&here)
		o.online.Store(1840)
		o.fleet.Store(1840)
		time.Sleep(fleetEvery + 10*time.Second)
		expect("twice as many", 200*time.Second, time.Second, 100./1840)
		o.box.mu.Lock()
		defer o.box.mu.Unlock()
		var times []time.Time
		for _, device := range here {
			times = append(times, o.box.sent[device]...)
		}
		slices.SortFunc(times, time.Time.Compare)
		if len(times) < 1000 {
			t.Fatalf("%d of 1000 devices were told", len(times))
		}
		for i := dripRate; i < len(times); i++ {
			if times[i].Sub(times[i-dripRate]) < time.Second-time.Millisecond {
				t.Fatalf("more than %d devices were told in a second", dripRate)
			}
		}
	})
}

// A hub that cannot count its fleet says what it said before, and counts it as soon as it can.
func TestFleetThatCannotBeCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		o := newOffice(t, dir, 10)
		o.fleet.Store(920)
		if err := o.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		before, _ := o.herald.last()
		o = newOffice(t, dir, 10)
		var broken atomic.Bool
		broken.Store(true)
		o.heard = func(context.Context) (int, error) {
			if broken.Load() {
				return 0, errors.New("no leader")
			}
			return 1840, nil
		}
		if err := o.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		after, _ := o.herald.last()
		if (after.Window-before.Window).Abs() > time.Second || after.Serial <= before.Serial {
			t.Errorf("it said %+v, and after the restart %+v", before, after)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- o.run(ctx) }()
		time.Sleep(fleetEvery + time.Second)
		broken.Store(false)
		time.Sleep(fleetAgain + 2*surveyEvery)
		if said, _ := o.herald.last(); said.Window.Round(time.Second) != 200*time.Second {
			t.Errorf("counted at last, it says %+v", said)
		}
		cancel()
		<-done
	})
}

// A full gate shows what the hub can do, and a restart does not forget it; a gate full of
// stalled handshakes shows nothing.
func TestWhatIsMeasured(t *testing.T) {
	dir := t.TempDir()
	o := newOffice(t, dir, 0)
	if err := o.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	guess := o.admission.Rate()
	at := time.Now()
	before := sight{at: at}
	for range 60 {
		now := before
		now.at = now.at.Add(time.Second)
		now.gate.Full += time.Second
		now.gate.Slow++
		o.admission.Observe(time.Second, o.sample(before, now))
		before = now
	}
	if got := o.admission.Rate(); got != guess {
		t.Errorf("stalled handshakes made %v of %v", got, guess)
	}
	for range 60 {
		now := before
		now.at = now.at.Add(time.Second)
		now.gate.Full += time.Second
		now.gate.Refused += 5
		now.gate.Admitted += 33
		o.admission.Observe(time.Second, o.sample(before, now))
		before = now
	}
	if got := o.admission.Rate(); math.Abs(got-33) > 1 {
		t.Errorf("measured %v, not 33", got)
	}
	if err := o.remember(); err != nil {
		t.Fatal(err)
	}
	if got := newOffice(t, dir, 0).remembered(); got != o.admission.Rate() {
		t.Errorf("the next run starts from %v", got)
	}
	for _, content := range []string{`{"version":1,"rate":-1}`, `{"version":2,"rate":5}`, "junk"} {
		if err := o.dir.WriteFile(surveyFile, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := newOffice(t, dir, 0).remembered(); got != guess {
			t.Errorf("after %q it starts from %v, not %v", content, got, guess)
		}
	}
}

// Hubs of one cluster share a fleet by what each admits, and one that falls silent has
// no part.
func TestShare(t *testing.T) {
	p := &peers{rates: make(map[string]peer)}
	now := time.Now()
	if got := p.share(10, now); got != 1 {
		t.Errorf("alone: %v", got)
	}
	p.hear(&nats.Msg{Subject: peersSubject + "b", Data: []byte(`{"rate":30}`)})
	for _, junk := range []string{`{"rate":-5}`, `{}`, `junk`} {
		p.hear(&nats.Msg{Subject: peersSubject + "c", Data: []byte(junk)})
	}
	if got := p.share(10, now); got != 0.25 {
		t.Errorf("with another: %v", got)
	}
	if got := p.share(10, now.Add(2*peerSilence)); got != 1 {
		t.Errorf("after the other fell silent: %v", got)
	}
}

// sick is a store that fails on demand.
type sick struct {
	mu     sync.Mutex
	err    error
	probes int
}

func (s *sick) Probe(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probes++
	return s.err
}

func (s *sick) set(err error) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	return s.probes
}

// The pulse shuts the gate for a store that fails or hangs, opens it when the store has
// recovered, and leaves a healthy one in peace.
func TestPulse(t *testing.T) {
	for name, trouble := range map[string]func(*pulse){
		"it fails": func(p *pulse) { p.begin(); p.end(errors.New("no space left")) },
		"it hangs": func(p *pulse) { p.begin() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &sick{}
				p := &pulse{store: store, gate: gate.New(1), log: slog.New(slog.DiscardHandler)}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- p.run(ctx) }()
				defer func() { cancel(); <-done }()
				for range 100 {
					p.begin()
					p.end(nil)
					time.Sleep(pulseEvery)
				}
				if n := store.set(errors.New("no space left")); n != 0 {
					t.Errorf("a healthy store was probed %d times", n)
				}
				trouble(p)
				time.Sleep(stallLimit + 2*pulseEvery)
				if p.failing() != 1 {
					t.Error("the gate is open")
				}
				store.set(nil)
				time.Sleep(2 * pulseEvery)
				if p.failing() != 0 {
					t.Error("the gate stays shut")
				}
			})
		})
	}
}

// A full store is silent, nothing that it took is lost, new devices are refused at once,
// and when there is room again all goes on by itself.
func TestStoreFull(t *testing.T) {
	h := startHub(t, Options{MaxStore: 33 << 20, Retention: 10 * time.Second})
	c := newCamera(t, newOwner(t))
	l := attach(t, h, c)
	cert := enrol(t, h, c.key)
	var taken int
	var it *seal.Item
	for silent := false; !silent; {
		it = c.sealed(t, seal.KindThumbnail, 96<<10)
		l.publish(t, topicItem, it.Bytes())
		select {
		case d := <-l.down:
			if d.Type != downReceipt {
				t.Fatalf("answered with %+v", d)
			}
			taken++
		case <-time.After(2*pulseEvery + time.Second):
			silent = true
		}
		if taken > 1000 {
			t.Fatal("the store has no end")
		}
	}
	if taken < 10 {
		t.Errorf("the store took %d items of 96 KiB", taken)
	}
	knock := func() error {
		conn, err := tls.Dial("tcp", h.MQTTAddr(), &tls.Config{RootCAs: h.CAPool(), Certificates: []tls.Certificate{cert}})
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	err := knock()
	if op := (*net.OpError)(nil); !errors.As(err, &op) || op.Op != "remote error" {
		t.Errorf("with a full store a device is told %v", err)
	}
	for end := time.Now().Add(patience); knock() != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the store has room again and the gate stays shut")
		}
	}
	l.deliver(t, it)
}

// What a device was given by one run of the hub lets it resume its TLS session at the
// next, with its certificate known: the broker lets it in. TLS 1.2 resumes nothing.
func TestSessionsResumeAfterRestart(t *testing.T) {
	dir := t.TempDir()
	h := startHub(t, Options{Dir: dir})
	c := newCamera(t, newOwner(t))
	cert := enrol(t, h, c.key)
	caches := map[uint16]tls.ClientSessionCache{tls.VersionTLS13: tls.NewLRUClientSessionCache(4), tls.VersionTLS12: tls.NewLRUClientSessionCache(4)}
	session := func(version uint16) (*link, bool) {
		var state tls.ConnectionState
		l := connect(t, h, c, cert, func(o *mqtt.ClientOptions) {
			o.TLSConfig.ClientSessionCache, o.TLSConfig.MaxVersion, o.TLSConfig.ServerName = caches[version], version, "localhost"
		})
		state = l.conn.(*tls.Conn).ConnectionState()
		l.publish(t, topicRecord, c.record.Bytes())
		if d := l.next(t); d.Type != downRecordReceipt {
			t.Fatalf("answered with %+v", d)
		}
		return l, state.DidResume
	}
	for version := range caches {
		l, resumed := session(version)
		if resumed {
			t.Errorf("version %x: resumed what there was not", version)
		}
		l.client.Disconnect(0)
	}
	h.stop(t)
	h = startHub(t, Options{Dir: dir})
	for version := range caches {
		if _, resumed := session(version); resumed != (version == tls.VersionTLS13) {
			t.Errorf("version %x: resumed: %v", version, resumed)
		}
	}
}

// While the gate has no place a device waits, and is let in when there is one.
func TestGateInFront(t *testing.T) {
	h := startHub(t, Options{Connecting: 1})
	o := newOwner(t)
	first, second := newCamera(t, o), newCamera(t, o)
	connect(t, h, first, enrol(t, h, first.key)) // and says nothing: it keeps its place
	cert := enrol(t, h, second.key)
	got := make(chan error, 1)
	go func() {
		conn, err := tls.Dial("tcp", h.MQTTAddr(), &tls.Config{RootCAs: h.CAPool(), Certificates: []tls.Certificate{cert}})
		if err == nil {
			err = conn.Close()
		}
		got <- err
	}()
	select {
	case err := <-got:
		if err == nil || !strings.Contains(err.Error(), "remote error") {
			t.Errorf("the second device: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the second device waits for ever")
	}
	if f := h.gate.Figures(); f.Refused != 1 {
		t.Errorf("figures: %+v", f)
	}
}
