package agent_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rsc.io/qr"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/exchange"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shown is a camera before which a phone is held: it films one JPEG.
type shown []byte

// Run gives five pictures a second.
func (s shown) Run(ctx context.Context, emit func(capture.Frame)) error {
	for i := uint64(0); ; i++ {
		emit(capture.Frame{Seq: i, Time: time.Now(), Format: capture.FormatMJPEG, Width: 640, Height: 480, Key: true, Data: s})
		if err := wait.For(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// phone is a picture of a code on a screen, not straight in the middle.
func phone(t *testing.T, text string) shown {
	t.Helper()
	code, err := qr.Encode(text, qr.M)
	must(t, err)
	const module, left, top = 5, 90, 60
	img := image.NewGray(image.Rect(0, 0, 640, 480))
	draw.Draw(img, img.Bounds(), image.NewUniform(color.Gray{90}), image.Point{}, draw.Src)
	side := (code.Size + 8) * module
	draw.Draw(img, image.Rect(left, top, left+side, top+side), image.NewUniform(color.Gray{220}), image.Point{}, draw.Src)
	for y := range code.Size {
		for x := range code.Size {
			if code.Black(x, y) {
				at := image.Pt(left+(x+4)*module, top+(y+4)*module)
				draw.Draw(img, image.Rectangle{at, at.Add(image.Pt(module, module))}, image.NewUniform(color.Gray{30}), image.Point{}, draw.Src)
			}
		}
	}
	var out bytes.Buffer
	must(t, jpeg.Encode(&out, img, nil))
	return out.Bytes()
}

// room is a hub, an owner and a camera that knows of neither.
type room struct {
	hub   *hub.Hub
	keys  *keyring.Keyring
	conf  config.Config
	code  *pairing.Code
	owner *pairing.Owner

	mu  sync.Mutex
	log strings.Builder
}

// Write keeps the agent's log.
func (r *room) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *room) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func newRoom(t *testing.T) *room {
	t.Helper()
	dir := t.TempDir()
	r := &room{hub: hubtest.Start(t, hub.Options{Dir: filepath.Join(dir, "hub"), SyncInterval: time.Minute})}
	var err error
	r.keys, err = keyring.New(filepath.Join(dir, "owner"))
	must(t, err)
	r.conf = config.Default()
	r.conf.State.Key, r.conf.State.Dir = "file", filepath.Join(dir, "camera")
	r.conf.Hub.ConnectWindow.Duration = 50 * time.Millisecond
	must(t, os.MkdirAll(r.conf.State.Dir, 0o700))
	r.newCode(t)
	return r
}

// newCode has the owner make a code that names the hub.
func (r *room) newCode(t *testing.T) {
	t.Helper()
	at, err := url.Parse(r.hub.DeviceURL())
	must(t, err)
	r.code, err = pairing.NewCode(r.keys.Owner(), time.Now().Add(pairing.CodeLife), &pairing.Hub{ID: r.hub.ID(), Addresses: []string{at.Host}}, nil)
	must(t, err)
	r.owner, err = pairing.NewOwner(r.code, r.keys.Taker(), func([]byte) error { return nil })
	must(t, err)
}

// wait is the owner's side, until the camera is theirs.
func (r *room) wait(t *testing.T) *ownership.Ownership {
	t.Helper()
	box, err := mailbox.New(mailbox.Options{URL: r.hub.ViewerURL(), Path: mailbox.ViewerPath, Side: mailbox.SideOwner})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, exchange.Run(ctx, exchange.Options{
		Side: r.owner, Carriers: []exchange.Carrier{box}, Trouble: func(err error) {
			if err != nil {
				t.Logf("owner: %v", err)
			}
		},
	}))
	own, err := r.owner.Ownership()
	must(t, err)
	if own == nil {
		t.Fatalf("the owner's side ended in %v: %v\n%s", r.owner.Phase(), r.owner.Failure(), r.said())
	}
	must(t, r.keys.Keep(own))
	return own
}

// start runs an agent until the test ends, or stop is called.
func (r *room) start(t *testing.T, open func(context.Context) (capture.Source, source.Info, error)) (a *agent.Agent, stop func()) {
	t.Helper()
	a, err := agent.New(t.Context(), r.conf, agent.Options{
		Firmware: "1.0", Log: slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug})), OpenSource: open, NoControl: true,
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the agent ended with %v", err)
		}
		must(t, a.Close())
	})
	t.Cleanup(stop)
	return a, stop
}

// lens films a picture until the camera has an owner, and a room with a walker then.
func lens(dir string, picture capture.Source) func(context.Context) (capture.Source, source.Info, error) {
	return func(ctx context.Context) (capture.Source, source.Info, error) {
		if _, err := os.Stat(filepath.Join(dir, "ownership")); err != nil {
			return picture, source.Info{Format: capture.FormatMJPEG, Live: true}, nil
		}
		return source.Open(ctx, "scene:?width=320&height=192&fps=10", source.Options{})
	}
}

// TestPairsByTheLens has a camera that knows nothing see a code: it finds the hub, becomes
// the owner's, and the owner opens its first event. A restart finds both again.
func TestPairsByTheLens(t *testing.T) {
	r := newRoom(t)
	began := time.Now()
	a, stop := r.start(t, lens(r.conf.State.Dir, phone(t, string(r.code.Text()))))
	own := r.wait(t)
	t.Logf("paired after %v", time.Since(began).Round(time.Millisecond))
	if own.Record.Device != a.Device().ID() || own.Record.Owner != r.keys.Owner() {
		t.Fatalf("paired device %s with owner %s", own.Record.Device, own.Record.Owner)
	}
	r.firstEvent(t, own.Record.Device)
	t.Logf("first event opened after %v", time.Since(began).Round(time.Millisecond))
	if s := a.Stats(); len(s.Conditions) > 0 || s.Hub == "" {
		t.Errorf("paired, it is said %+v, hub %q", s.Conditions, s.Hub)
	}
	if strings.Contains(r.said(), string(r.code.Text())) {
		t.Error("the code is in the log")
	}
	stop()
	again, _ := r.start(t, lens(r.conf.State.Dir, nil))
	for again.Stats().Delivery.Sessions == 0 {
		must(t, wait.For(t.Context(), 20*time.Millisecond))
	}
}

// TestShowsItselfToItsNewOwner: nothing moves before a camera that was paired by a code, and
// its owner is shown one picture all the same; after a restart, none again.
func TestShowsItselfToItsNewOwner(t *testing.T) {
	r := newRoom(t)
	still := func(ctx context.Context) (capture.Source, source.Info, error) {
		return source.Open(ctx, "scene:?width=320&height=192&fps=10&empty=true", source.Options{})
	}
	a, stop := r.start(t, still)
	must(t, a.TakeCode(t.Context(), r.code.Text()))
	own := r.wait(t)
	r.firstEvent(t, own.Record.Device)
	stop()
	if n := strings.Count(r.said(), "the new owner is shown"); n != 1 || a.Stats().Recorder.Events != 0 {
		t.Errorf("shown %d times, %d events were declared", n, a.Stats().Recorder.Events)
	}
	again, _ := r.start(t, still)
	for again.Stats().Recorder.Frames < 30 {
		must(t, wait.For(t.Context(), 20*time.Millisecond))
	}
	if n := strings.Count(r.said(), "the new owner is shown"); n != 1 {
		t.Errorf("shown %d times after a restart", n)
	}
}

// firstEvent waits until the owner's viewer has opened a picture of the camera.
func (r *room) firstEvent(t *testing.T, device seal.ID) {
	t.Helper()
	r.opened(t, "picture", func(h *seal.Header) bool { return h.Device == device })
}

// opened waits until the owner's viewer has opened such a picture, and gives its header.
func (r *room) opened(t *testing.T, what string, such func(*seal.Header) bool) *seal.Header {
	t.Helper()
	known, err := r.keys.Ownerships()
	must(t, err)
	v, err := viewer.New(viewer.Options{
		HubURL: r.hub.ViewerURL(), Hub: r.hub.ID(), Known: known, State: &viewer.MemoryState{},
		Keys: viewer.Keys{Owner: r.keys.Owner(), Signer: r.keys.Viewer(), Identities: r.keys.Household()},
	})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var seen *seal.Header
	err = v.Run(ctx, func(e viewer.Event) {
		if o, ok := e.(viewer.Opened); ok && o.Header.Kind == seal.KindThumbnail && such(&o.Header) {
			seen = &o.Header
			cancel()
		}
	})
	if seen == nil {
		t.Fatalf("no %s was opened: %v\n%s", what, err, r.said())
	}
	return seen
}

// TestResetGoesToAnotherHub: a camera whose button was held becomes another owner's, by a
// code of another hub, while its agent runs: it goes there, and what it records then is
// the new owner's alone.
func TestResetGoesToAnotherHub(t *testing.T) {
	first, next := newRoom(t), newRoom(t)
	a, _ := first.start(t, lens(first.conf.State.Dir, phone(t, string(first.code.Text()))))
	before := first.wait(t)
	first.firstEvent(t, before.Record.Device)
	must(t, a.Reset())
	must(t, a.TakeCode(t.Context(), next.code.Text()))
	own := next.wait(t)
	if own.Record.Epoch != 2 || own.Record.Acquired != ownership.AcquiredReset || own.Record.Previous != before.Hash() {
		t.Errorf("epoch %d, acquired %d", own.Record.Epoch, own.Record.Acquired)
	}
	next.firstEvent(t, own.Record.Device)
	if s := a.Stats(); s.Owner != next.keys.Owner().String() || !strings.HasPrefix(s.Hub, next.hub.MQTTAddr()) || !strings.Contains(first.said(), "the camera goes to another hub") {
		t.Errorf("the owner is %s, the hub %s\n%s", s.Owner, s.Hub, first.said())
	}
}
