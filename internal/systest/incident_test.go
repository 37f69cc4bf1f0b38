package systest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
	"github.com/lensward/lensward/transport/viewer/tap"
)

// The incident's size: households, and cameras in each.
const (
	households = 50
	camerasOf  = 4
)

// household is an owner, their cameras and their viewer.
type household struct {
	keys    *keyring.Keyring
	cameras []*camera
	viewer  *viewer.Viewer
	ear     *ear
}

// camera is a real agent, and what lay in its spool before it came back.
type camera struct {
	agent  *agent.Agent
	before map[seal.Ref]mark
}

// TestIncident is February 2024 again: a whole fleet comes back at one moment to a
// hub whose cache mixes up who is who in half of its answers.
func TestIncident(t *testing.T) {
	h := hubtest.Start(t, hub.Options{Dir: filepath.Join(t.TempDir(), "hub"), Mixup: 0.5, SyncInterval: time.Minute, Log: testLog()})
	fleet := offlineFleet(t, h)
	stop := reconnect(t, fleet)
	looked := time.Now()
	lookAll(t, fleet)
	t.Logf("everybody has their pictures %v after the cameras had delivered", time.Since(looked).Round(time.Millisecond))
	stop()

	misdelivered, reported := 0, uint64(0)
	for _, home := range fleet {
		home.check(t)
		misdelivered += home.ear.count()
		reported += home.viewer.Summary().Reported
	}
	counters := metrics(t, h.ViewerURL())
	t.Logf("%d answers of the hub were somebody else's; %d headers went back to it as proof", misdelivered, reported)
	if misdelivered < 500 {
		t.Errorf("only %d answers were misdelivered: the hub does not lie as it should", misdelivered)
	}
	if kept := sum(counters, "lensward_hub_reports_total", "wrong-owner"); kept != float64(reported) || kept == 0 {
		t.Errorf("the hub keeps %v reports of %d that it took", kept, reported)
	}
	if n := sum(counters, "lensward_hub_items_total", `result="refused"`); n != 0 {
		t.Errorf("the hub refused %v items", n)
	}
}

// offlineFleet is every camera with items that it could not deliver.
func offlineFleet(t *testing.T, h *hub.Hub) []*household {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, h.CAPEM(), 0o600))
	root := t.TempDir()
	fleet := make([]*household, households)
	var g errgroup.Group
	g.SetLimit(16) // each waits for the disk most of the time
	for i := range fleet {
		g.Go(func() (err error) {
			home := &household{}
			fleet[i] = home
			if home.keys, err = keyring.New(filepath.Join(root, fmt.Sprintf("owner%d", i))); err != nil {
				return err
			}
			for j := range camerasOf {
				c := config.Default()
				c.State.Key = "file"
				c.State.Dir = filepath.Join(root, fmt.Sprintf("camera%d-%d", i, j))
				c.Hub = config.Hub{Broker: config.Addresses{h.MQTTAddr()}, URL: config.Addresses{h.DeviceURL()}, CAFile: ca} // a window of nothing
				home.cameras = append(home.cameras, offlineCamera(t, home.keys, c))
			}
			home.ear = newEar(home.keys)
			home.viewer = newViewer(t, home.keys, h.ViewerURL(), h.ID(), home.ear.client())
			return nil
		})
	}
	must(t, g.Wait())
	return fleet
}

// offlineCamera pairs a camera, fills its spool, and has its agent ready to run.
func offlineCamera(t *testing.T, keys *keyring.Keyring, c config.Config) *camera {
	dev, err := device.Open(c.State.Dir, "test")
	must(t, err)
	pairDevice(t, keys, dev)
	cam := &camera{before: map[seal.Ref]mark{}}
	store := openSpool(t, c.State.Dir, dev)
	for _, kind := range kinds {
		m := mark{keys.Owner(), dev.ID(), kind}
		d, err := draft(m, seal.EventID{1, byte(kind)})
		must(t, err)
		e, err := store.Append(t.Context(), d)
		must(t, err)
		cam.before[e.Ref] = m
	}
	must(t, store.Close())
	must(t, dev.Close())
	still := func(context.Context) (capture.Source, source.Info, error) {
		return stillSource{}, source.Info{Format: capture.FormatMJPEG, Width: 64, Height: 64, Live: true}, nil
	}
	cam.agent, err = agent.New(t.Context(), c, agent.Options{Firmware: "test", OpenSource: still, NoControl: true, Log: testLog()})
	must(t, err)
	return cam
}

// stillSource is a camera in front of which nothing ever happens.
type stillSource struct{}

// Run waits.
func (stillSource) Run(ctx context.Context, _ func(capture.Frame)) error {
	<-ctx.Done()
	return ctx.Err()
}

// reconnect lets all cameras loose at once and returns when each has delivered all
// that it has.
func reconnect(t *testing.T, fleet []*household) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	now := make(chan struct{})
	for _, home := range fleet {
		for _, c := range home.cameras {
			g.Go(func() error { <-now; return c.agent.Run(ctx) })
		}
	}
	began := time.Now()
	close(now)
	stop = func() {
		cancel()
		if err := g.Wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("a camera stopped with %v", err)
		}
		for _, home := range fleet {
			for _, c := range home.cameras {
				must(t, c.agent.Close())
			}
		}
	}
	for _, home := range fleet {
		for _, c := range home.cameras {
			// The two are the agent's own checkpoints, of its start and of the connect.
			for c.agent.Stats().Delivery.Delivered < uint64(len(c.before))+2 {
				if time.Since(began) > patience {
					stop()
					t.Fatalf("not delivered: %+v", c.agent.Stats().Delivery)
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
	t.Logf("%d cameras delivered everything %v after they came back at once", households*camerasOf, time.Since(began).Round(time.Millisecond))
	return stop
}

// lookAll has every owner look until they have what is theirs, or it is clear that
// they will not.
func lookAll(t *testing.T, fleet []*household) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var g errgroup.Group
	for _, home := range fleet {
		g.Go(func() error {
			for range 5 { // what a hub answered wrongly sixteen times in a row is asked again
				if err := home.viewer.SyncOnce(ctx, home.ear.look); err != nil {
					return fmt.Errorf("owner %s: %w", home.keys.Owner().Short(), err)
				}
				if home.viewer.Summary().Opened >= camerasOf*uint64(len(kinds)+2) {
					break
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// check holds what an owner saw against what was theirs, and what they withheld
// against what the hub answered wrongly.
func (home *household) check(t *testing.T) {
	t.Helper()
	owner, seen := home.keys.Owner(), home.viewer.Summary()
	home.ear.mu.Lock()
	defer home.ear.mu.Unlock()
	if len(home.ear.strange) != 0 {
		t.Errorf("owner %s was shown what is not theirs, such as %s", owner.Short(), home.ear.strange[0])
	}
	if home.ear.readable != 0 {
		t.Errorf("owner %s has the keys to %d items of others", owner.Short(), home.ear.readable)
	}
	want := map[seal.Ref]mark{}
	for _, c := range home.cameras {
		maps.Copy(want, c.before)
	}
	if !maps.Equal(home.ear.shown, want) {
		t.Errorf("owner %s was shown %d items with a mark, want these %d", owner.Short(), len(home.ear.shown), len(want))
	}
	if seen.WronglyShown != 0 || seen.Opened != camerasOf*uint64(len(kinds)+2) || len(seen.Missing) != 0 {
		t.Errorf("owner %s: %+v", owner.Short(), seen)
	}
	home.checkWithheld(t, seen)
}

// checkWithheld wants every wrong answer among what was withheld, as often as it
// came, with its reason; and every stranger's header handed back.
func (home *household) checkWithheld(t *testing.T, seen viewer.Summary) {
	t.Helper()
	withheld, proofs := map[answer]int{}, map[seal.Hash]bool{}
	for _, w := range home.viewer.Withheld() {
		if w.Reason == "" || w.Detail == "" || w.Header == nil {
			t.Errorf("withheld for no reason, or without proof: %+v", w)
			continue
		}
		it, err := seal.ParseEnvelope(w.Proof)
		must(t, err)
		a := answer{cursor: w.Cursor, hash: it.Hash()}
		if w.Asked != nil {
			a.asked = *w.Asked
		}
		withheld[a]++
		stranger := it.Header.Owner != home.keys.Owner()
		if (w.Misrouted == seal.ReasonWrongOwner) != stranger {
			t.Errorf("an item of owner %s is taken for misrouted as %q", it.Header.Owner.Short(), w.Misrouted)
		}
		if stranger {
			proofs[it.Hash()] = true
		}
	}
	if len(home.ear.wrong) == 0 {
		t.Errorf("owner %s got no wrong answer", home.keys.Owner().Short())
	}
	for a, n := range home.ear.wrong {
		if withheld[a] != n {
			t.Errorf("answered wrongly %d times and withheld %d times: %+v", n, withheld[a], a)
		}
	}
	if seen.Reported != uint64(len(proofs)) {
		t.Errorf("%d of %d misrouted headers went back to the hub", seen.Reported, len(proofs))
	}
}

// answer is one wrong answer of the hub: in which row, or for which item, what came.
type answer struct {
	cursor uint64
	asked  seal.Ref
	hash   seal.Hash
}

// ear hears what the hub answers a viewer. It knows what is wrong without asking the
// viewer.
type ear struct {
	keys *keyring.Keyring

	mu       sync.Mutex
	wrong    map[answer]int
	readable int               // items of others that this owner's keys open
	shown    map[seal.Ref]mark // what the viewer handed out, by its own words
	strange  []string
}

func newEar(keys *keyring.Keyring) *ear {
	return &ear{keys: keys, wrong: map[answer]int{}, shown: map[seal.Ref]mark{}}
}

func (e *ear) count() (n int) {
	for _, times := range e.wrong {
		n += times
	}
	return n
}

// client is a viewer's, which e listens to.
func (e *ear) client() *http.Client {
	hub := &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Second}
	return &http.Client{Transport: &tap.Tap{Hub: hub, Heard: e.hear}}
}

func (e *ear) hear(a tap.Answer) {
	own := a.Item.Header.Owner == e.keys.Owner()
	if a.Asked == (seal.Ref{}) {
		if !own {
			e.note(answer{cursor: a.Cursor, hash: a.Item.Hash()})
		}
		return
	}
	if a.Item.Header.Ref() == a.Asked {
		return
	}
	e.note(answer{asked: a.Asked, hash: a.Item.Hash()})
	if own {
		return // another camera of the same household
	}
	if _, err := a.Item.Open(e.keys.Household()...); err == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.readable++
	}
}

func (e *ear) note(a answer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wrong[a]++
}

// look takes what the viewer hands out.
func (e *ear) look(ev viewer.Event) {
	o, ok := ev.(viewer.Opened)
	if !ok {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	m, ok := marked(o.Body)
	switch own := o.Header.Owner == e.keys.Owner(); {
	case !ok && own && o.Header.Kind == seal.KindCheckpoint: // the agent's
	case !ok || !own || m != mark{e.keys.Owner(), o.Header.Device, o.Header.Kind}:
		e.strange = append(e.strange, fmt.Sprintf("%s of %s: %q", o.Header.Ref(), o.Header.Owner.Short(), m))
	default:
		e.shown[o.Header.Ref()] = m
	}
}
