package pairing_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/pairing"
	"github.com/lensward/lensward/hw/light"
	"github.com/lensward/lensward/hw/wifi"
	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/ownership"
	protocol "github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/exchange"
	"github.com/lensward/lensward/transport/seal"
)

// scene is a hub, an owner with a code, and a camera.
type scene struct {
	desk   *desk
	hub    *protocol.Hub
	owner  *owner
	camera *camera
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{desk: newDesk(newAuthority(t)), owner: newOwner(t), camera: newCamera(t, newKey(t), t.TempDir())}
	address, _ := s.desk.serve(t)
	s.hub = &protocol.Hub{ID: s.desk.authority.id, Addresses: []string{address}}
	return s
}

// pair has the owner wait with a code, and gives both sides' end.
func (s *scene) pair(t testing.TB, p *pairing.Pairing, code *protocol.Code) *ownership.Ownership {
	t.Helper()
	o, err := protocol.NewOwner(code, s.owner.keys.Taker(), s.owner.save)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, p.Take(ctx, code.Text(), "lens"))
	must(t, s.owner.wait(ctx, o, s.desk))
	own, err := o.Ownership()
	must(t, err)
	if own == nil {
		t.Fatalf("the owner's side is %v: %v\n%s", o.Phase(), o.Failure(), s.camera.log())
	}
	until(t, "the camera's end", func() bool { return s.camera.conditions() == "" })
	return own
}

// TestPairs goes the whole way, and then holds what a camera says and keeps to it.
func TestPairs(t *testing.T) {
	s := newScene(t)
	var told atomic.Int32
	p, stop := s.camera.pairing(func(o *pairing.Options) { o.Accepted = func() { told.Add(1) } })
	code := s.owner.code(t, s.hub)
	own := s.pair(t, p, code)
	if mine := s.camera.Ownership(); mine == nil || mine.Hash() != own.Hash() {
		t.Fatal("camera and owner have different records")
	}
	until(t, "the agent is told", func() bool { return told.Load() == 1 })
	hub, err := pairing.Learned(s.camera.dir, own)
	must(t, err)
	if hub == nil || hub.ID != s.hub.ID || !slices.Equal(hub.URLs, []string{"https://" + s.hub.Addresses[0]}) || !slices.Equal(hub.Brokers, []string{"127.0.0.1:8883"}) {
		t.Errorf("the camera learned %+v", hub)
	}
	if ca, err := os.ReadFile(hub.CAFile); err != nil || string(ca) != string(s.desk.authority.pem) {
		t.Errorf("the hub's CA is kept as %.40q, %v", ca, err)
	}
	if got := s.camera.patterns(); !slices.Equal(got, []light.Pattern{light.Looking, light.Pairing, light.Paired}) {
		t.Errorf("the light showed %v", got)
	}
	if p.Looking() {
		t.Error("a camera with an owner still looks for a code")
	}
	if err := p.Take(t.Context(), s.owner.code(t, s.hub).Text(), "lens"); !errors.Is(err, pairing.ErrNotFree) {
		t.Errorf("a paired camera takes another code: %v", err)
	}
	stop()
	// Started again, and free again, it still knows the code that is before its lens.
	s.camera.mu.Lock()
	s.camera.reset = true
	s.camera.mu.Unlock()
	p, stop = s.camera.pairing(nil)
	if err := p.Take(t.Context(), code.Text(), "lens"); !errors.Is(err, pairing.ErrUsed) {
		t.Errorf("the code is taken again: %v", err)
	}
	stop()
	if strings.Contains(s.camera.log(), string(code.Text())) {
		t.Error("the code is in the log")
	}
	names, err := s.camera.dir.Names()
	must(t, err)
	for _, name := range names {
		if b, err := os.ReadFile(s.camera.dir.Path(name)); err != nil || strings.Contains(string(b), string(code.Text())) {
			t.Errorf("the code is still in %s (%v)", name, err)
		}
	}
}

// TestCodesThatAreNotTaken: each has its reason, and leaves the camera as it was.
func TestCodesThatAreNotTaken(t *testing.T) {
	s := newScene(t)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(caFile, s.desk.authority.pem, 0o600))
	configured := &pairing.Hub{ID: s.desk.authority.id, URLs: []string{"https://" + s.hub.Addresses[0]}, CAFile: caFile}
	other := &protocol.Hub{ID: seal.ID{1}, Addresses: s.hub.Addresses}
	expired, err := protocol.NewCode(s.owner.keys.Owner(), time.Now().Add(-6*time.Minute), s.hub, nil)
	must(t, err)
	right := func(time.Time) bool { return true }
	for name, c := range map[string]struct {
		code string
		edit func(*pairing.Options)
		want string
	}{
		"another text":    {"https://example.com", nil, "not-a-code"},
		"another version": {"LENSWARD2:AAAA", nil, "unknown-version"},
		"damaged":         {string(s.owner.code(t, s.hub).Text()) + "A", nil, "malformed"},
		"too long":        {"LENSWARD1:" + strings.Repeat("A", 700), nil, "too-large"},
		"expired":         {string(expired.Text()), func(o *pairing.Options) { o.ClockRight = right }, "expired"},
		"of another hub":  {string(s.owner.code(t, other).Text()), func(o *pairing.Options) { o.Hub = func() (*pairing.Hub, error) { return configured, nil } }, "another hub"},
		"without any hub": {string(s.owner.code(t, nil).Text()), nil, "no hub"},
		"hub without a CA": {string(s.owner.code(t, s.hub).Text()), func(o *pairing.Options) {
			o.Hub = func() (*pairing.Hub, error) { return nil, errors.New("no CA file") }
		}, "no CA file"},
	} {
		cam := newCamera(t, newKey(t), t.TempDir())
		p, stop := cam.pairing(c.edit)
		for range 2 { // it stays before the lens
			if err := p.Take(t.Context(), secret.Text(c.code), "lens"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", name, err, c.want)
			}
		}
		stop()
		if got := cam.conditions(); got != "pairing-failed" {
			t.Errorf("%s: it is said %q", name, got)
		}
		if n := strings.Count(cam.log(), "cannot be used"); n != 1 {
			t.Errorf("%s: it is logged %d times", name, n)
		}
		if names, err := cam.dir.Names(); err != nil || len(names) != 0 {
			t.Errorf("%s: it left %v, %v", name, names, err)
		}
	}
}

// TestConfiguredHub: a code without a hub, and one with the configured hub, go to it, and
// nothing is learned.
func TestConfiguredHub(t *testing.T) {
	s := newScene(t)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(caFile, s.desk.authority.pem, 0o600))
	configured := &pairing.Hub{ID: s.desk.authority.id, URLs: []string{"https://127.0.0.1:1", "https://" + s.hub.Addresses[0]}, CAFile: caFile}
	for _, hub := range []*protocol.Hub{nil, {ID: s.hub.ID, Addresses: []string{"127.0.0.1:1"}}} {
		s.camera = newCamera(t, newKey(t), t.TempDir())
		p, stop := s.camera.pairing(func(o *pairing.Options) { o.Hub = func() (*pairing.Hub, error) { return configured, nil } })
		own := s.pair(t, p, s.owner.code(t, hub))
		stop()
		if learned, err := pairing.Learned(s.camera.dir, own); err != nil || learned != nil {
			t.Errorf("the camera learned %+v, %v", learned, err)
		}
	}
}

// TestFalseHub: what answers at the code's address and is not its hub gets nothing.
func TestFalseHub(t *testing.T) {
	s := newScene(t)
	stranger := newAuthority(t)
	s.desk.ca = stranger.pem // first another CA, then the right one with another's certificate
	p, _ := s.camera.pairing(nil)
	must(t, p.Take(t.Context(), s.owner.code(t, s.hub).Text(), "lens"))
	until(t, "the trouble", func() bool { return strings.Contains(s.camera.log(), "not that of the hub") })

	usurper := newDesk(stranger)
	usurper.ca = s.desk.authority.pem
	address, _ := usurper.serve(t)
	must(t, p.Take(t.Context(), s.owner.code(t, &protocol.Hub{ID: s.hub.ID, Addresses: []string{address}}).Text(), "lens"))
	until(t, "the trouble", func() bool { return strings.Contains(s.camera.log(), "certificate signed by unknown authority") })
	for _, d := range []*desk{s.desk, usurper} {
		d.mu.Lock()
		if len(d.newest) > 0 {
			t.Error("a false hub got a message")
		}
		d.mu.Unlock()
	}
}

// TestSecondCode: a person gives up one code and shows another; the first one's owner is
// told, and the first code is not taken again.
func TestSecondCode(t *testing.T) {
	s := newScene(t)
	p, _ := s.camera.pairing(nil)
	first := newOwner(t)
	code := first.code(t, s.hub)
	o, err := protocol.NewOwner(code, first.keys.Taker(), first.save)
	must(t, err)
	s.desk.losing(func(side string, _ []byte) bool { return side == "owner" }) // its offer does not come
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- first.wait(ctx, o, s.desk) }()
	must(t, p.Take(t.Context(), code.Text(), "lens"))
	until(t, "the offer", func() bool { return len(first.saved()) > 0 && s.sent(code.Rendezvous()+"/camera") })
	s.desk.losing(nil)
	s.pair(t, p, s.owner.code(t, s.hub))
	must(t, <-ended)
	if reason := protocol.ReasonOf(o.Failure()); o.Phase() != protocol.PhaseFailed || reason != protocol.ReasonCancelled {
		t.Errorf("the first owner's side is %v (%v)", o.Phase(), reason)
	}
	if err := p.Take(t.Context(), code.Text(), "lens"); !errors.Is(err, pairing.ErrUsed) {
		t.Errorf("the first code is taken again: %v", err)
	}
}

func (s *scene) sent(box string) bool {
	s.desk.mu.Lock()
	defer s.desk.mu.Unlock()
	return s.desk.newest[box] != nil
}

// TestLostMessages loses the first of each kind, both ways.
func TestLostMessages(t *testing.T) {
	s := newScene(t)
	seen := map[string]bool{}
	s.desk.losing(func(side string, msg []byte) bool {
		key := side + string(msg)
		lost := !seen[key]
		seen[key] = true
		return lost
	})
	p, _ := s.camera.pairing(nil)
	s.pair(t, p, s.owner.code(t, s.hub))
	if len(seen) < 4 {
		t.Errorf("only %d messages were lost", len(seen))
	}
}

// TestReset pairs a camera again whose button was held: the next owner's epoch follows,
// and the new code's hub takes the place of the old one.
func TestReset(t *testing.T) {
	s := newScene(t)
	p, _ := s.camera.pairing(nil)
	first := s.pair(t, p, s.owner.code(t, s.hub))
	s.camera.mu.Lock()
	s.camera.reset = true
	s.camera.mu.Unlock()
	next := newScene(t)
	next.camera = s.camera
	own := next.pair(t, p, next.owner.code(t, next.hub))
	if own.Record.Epoch != 2 || own.Record.Previous != first.Hash() || own.Record.Acquired != ownership.AcquiredReset {
		t.Errorf("epoch %d, acquired %d", own.Record.Epoch, own.Record.Acquired)
	}
	if hub, err := pairing.Learned(s.camera.dir, own); err != nil || hub == nil || hub.ID != next.hub.ID {
		t.Errorf("the camera's hub is %+v, %v", hub, err)
	}
}

// TestWiFi: the network is joined before the hub is called; where nothing can join it,
// that is said, and the pairing goes on.
func TestWiFi(t *testing.T) {
	for name, c := range map[string]struct {
		joins []error
		calls int
	}{
		"joined":      {[]error{nil}, 1},
		"second time": {[]error{errors.New("wrong passphrase"), nil}, 2},
		"no service":  {[]error{wifi.ErrNone}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			calls := 0
			p, stop := s.camera.pairing(func(o *pairing.Options) {
				o.Join = func(_ context.Context, n *protocol.WiFi) error {
					if n.SSID != "home" || string(n.Passphrase) != "correct horse" {
						t.Errorf("joins %q", n.SSID)
					}
					s.desk.mu.Lock()
					if len(s.desk.newest) > 0 {
						t.Error("the hub was called first")
					}
					s.desk.mu.Unlock()
					calls++
					return c.joins[min(calls, len(c.joins))-1]
				}
			})
			code, err := protocol.NewCode(s.owner.keys.Owner(), time.Now().Add(time.Minute), s.hub, &protocol.WiFi{SSID: "home", Passphrase: "correct horse"})
			must(t, err)
			s.pair(t, p, code)
			stop()
			if calls != c.calls {
				t.Errorf("joined %d times, want %d", calls, c.calls)
			}
			if strings.Contains(s.camera.log(), "correct horse") {
				t.Error("the passphrase is in the log")
			}
		})
	}
}

// TestOtherCarrier pairs by a line alone, with a code that names a hub: nothing is accepted
// before the hub was found, since the camera would not know where to go.
func TestOtherCarrier(t *testing.T) {
	s := newScene(t)
	line := newDesk(nil)
	code := s.owner.code(t, &protocol.Hub{ID: s.hub.ID, Addresses: []string{"127.0.0.1:1", s.hub.Addresses[0]}})
	p, _ := s.camera.pairing(func(o *pairing.Options) {
		o.Lines = []exchange.Carrier{side{line, "camera", "owner"}}
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			line.mu.Lock()
			offered := line.newest[code.Rendezvous()+"/owner"] != nil
			line.mu.Unlock()
			if !offered {
				return nil, errors.New("no network yet")
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	})
	o, err := protocol.NewOwner(code, s.owner.keys.Taker(), s.owner.save)
	must(t, err)
	must(t, p.Take(t.Context(), code.Text(), "line"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, s.owner.wait(ctx, o, line))
	own, err := o.Ownership()
	must(t, err)
	if own == nil {
		t.Fatalf("the owner's side is %v", o.Phase())
	}
	if hub, err := pairing.Learned(s.camera.dir, own); err != nil || hub == nil {
		t.Errorf("the hub is %+v, %v", hub, err)
	}
}

// TestLeftCode is taken at the start, once.
func TestLeftCode(t *testing.T) {
	s := newScene(t)
	code := s.owner.code(t, s.hub)
	must(t, pairing.Leave(s.camera.dir, code.Text()))
	if err := pairing.Leave(s.camera.dir, "no code"); protocol.ReasonOf(err) != protocol.ReasonNotACode {
		t.Errorf("what is no code is left all the same: %v", err)
	}
	o, err := protocol.NewOwner(code, s.owner.keys.Taker(), s.owner.save)
	must(t, err)
	_, _ = s.camera.pairing(nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, s.owner.wait(ctx, o, s.desk))
	if o.Phase() != protocol.PhaseDone {
		t.Errorf("the owner's side is %v", o.Phase())
	}
	if _, err := os.Stat(s.camera.dir.Path("pairing-code")); !os.IsNotExist(err) {
		t.Errorf("the code is still there: %v", err)
	}
}

// TestDamagedState is that of no pairing, and is said.
func TestDamagedState(t *testing.T) {
	s := newScene(t)
	must(t, s.camera.dir.WriteFile("pairing", []byte("rubbish"), 0o600))
	p, _ := s.camera.pairing(nil)
	s.pair(t, p, s.owner.code(t, s.hub))
	if !strings.Contains(s.camera.log(), "is lost") {
		t.Error("a lost pairing is not said")
	}
}
