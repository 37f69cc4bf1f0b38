package systest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/hw/devicekey"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

// wards is how many cameras there are.
const wards = 3

// kills is how often the agents and the hub are killed: LENSWARD_KILLS, such as
// "200,50", or what a test in passing can afford.
func kills(t *testing.T) (agents, hubs int) {
	t.Helper()
	v := os.Getenv("LENSWARD_KILLS")
	if v == "" {
		return 12, 5
	}
	if _, err := fmt.Sscanf(v, "%d,%d", &agents, &hubs); err != nil || agents < 1 || hubs < 1 {
		t.Fatalf("LENSWARD_KILLS is %q, want two numbers such as 200,50", v)
	}
	return agents, hubs
}

// yard is a hub, some cameras and their owner, all as processes and files.
type yard struct {
	t     *testing.T
	hub   *station
	wards []*ward
	keys  *keyring.Keyring
	rand  *rand.Rand
	// cut and whole count events whose record is missing, and whose is there.
	cut, whole int
}

// TestKilledAtAnyMoment kills agents, and then the hub, with kill -9 again and
// again, and looks whether anything was lost, doubled or contradicted.
func TestKilledAtAnyMoment(t *testing.T) {
	agents, hubs := kills(t)
	y := newYard(t)
	must(t, y.hub.start())
	must(t, y.hub.await())
	must(t, y.firstStarts())
	y.check("first starts")

	began := time.Now()
	var g errgroup.Group
	for i, w := range y.wards {
		g.Go(func() error { return w.killAgain((agents + i) / wards) })
	}
	must(t, g.Wait())
	killing := time.Since(began)
	y.check("agents killed")
	t.Logf("%d agents killed in %v; %d events were cut short and %d were not", agents, killing.Round(time.Second), y.cut, y.whole)
	if y.cut == 0 {
		t.Error("no agent was killed during an event")
	}

	began = time.Now()
	busy, err := y.killHub(hubs)
	must(t, err)
	killing = time.Since(began)
	y.check("hubs killed")
	t.Logf("%d hubs killed in %v, %d of them with items on their way", hubs, killing.Round(time.Second), busy)
	if busy == 0 {
		t.Error("no hub was killed with items on their way")
	}
}

func newYard(t *testing.T) *yard {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dir := t.TempDir()
	y := &yard{t: t, rand: rand.New(rand.NewPCG(seed, 0))}
	p := buildPrograms(t)
	y.hub = newStation(t, p, dir)
	var err error
	y.keys, err = keyring.New(filepath.Join(dir, "owner"))
	must(t, err)
	for i := range wards {
		name := fmt.Sprintf("camera%d", i+1)
		y.wards = append(y.wards, &ward{
			programs: p, name: name, hub: y.hub, rand: rand.New(rand.NewPCG(seed, uint64(i)+1)),
			state: filepath.Join(dir, name), config: filepath.Join(dir, name+".toml"), log: filepath.Join(dir, name+".log"),
		})
	}
	t.Cleanup(func() {
		y.hub.proc.discard()
		for _, w := range y.wards {
			w.proc.discard()
			if t.Failed() {
				t.Logf("%s:\n%s", w.name, lastLines(w.log, 15))
			}
		}
		if t.Failed() {
			t.Logf("hub:\n%s", lastLines(y.hub.log, 30))
		}
	})
	return y
}

// firstStarts kills new cameras while they make their key, and then pairs them.
func (y *yard) firstStarts() error {
	for _, w := range y.wards {
		for range 3 {
			if err := w.start(idle); err != nil {
				return err
			}
			if err := w.killAfter(0, 100*time.Millisecond); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(w.state, 0o700); err != nil { // it may never have come that far
			return err
		}
		cmd := exec.Command(w.lensctl, "pair", "--state", w.state, "--owner", y.keys.Dir())
		if b, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("pair %s: %w\n%s", w.name, err, b)
		}
	}
	return nil
}

// killAfter kills the agent at a random moment, and looks at what it leaves.
func (w *ward) killAfter(from, to time.Duration) error {
	time.Sleep(from + time.Duration(w.rand.Int64N(int64(to-from))))
	if err := w.proc.kill(); err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	if err := w.ledger.look(w.state); err != nil {
		return fmt.Errorf("%s, killed: %w", w.name, err)
	}
	return nil
}

// killAgain starts and kills the agent n times: mostly while it writes as fast as it
// can, sometimes in front of a live room, and sometimes while it enrols anew.
func (w *ward) killAgain(n int) error {
	for range n {
		scene, from, to := rush, time.Duration(0), 1500*time.Millisecond
		switch w.rand.IntN(4) {
		case 0:
			scene, from, to = live, 1500*time.Millisecond, 5*time.Second
		case 1:
			if err := os.Remove(w.path("certificate.pem")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			to = 500 * time.Millisecond
		}
		if err := w.start(scene); err != nil {
			return err
		}
		if err := w.killAfter(from, to); err != nil {
			return err
		}
	}
	return nil
}

// killHub kills the hub n times and starts it again: mostly while items come in,
// every other time as soon as some are on their way, sometimes while it starts. It says how often items were on their way.
func (y *yard) killHub(n int) (busy int, err error) {
	for _, w := range y.wards {
		if err := w.start(live); err != nil {
			return 0, err
		}
	}
	for i := range n {
		span := 400 * time.Millisecond
		if y.rand.IntN(5) > 0 || i == 0 {
			// One camera comes with a rush; with what it met before it would wait long.
			w := y.wards[i%wards]
			if err := errors.Join(y.hub.await(), w.stop(y.t.Context()), w.ledger.look(w.state), w.start(rush)); err != nil {
				return busy, err
			}
			span = 2 * time.Second
		}
		if y.await(time.Duration(y.rand.Int64N(int64(span))), i%2 == 0) {
			busy++
		}
		if err := errors.Join(y.hub.proc.kill(), y.hub.start()); err != nil {
			return busy, err
		}
	}
	for _, w := range y.wards {
		if err := errors.Join(w.stop(y.t.Context()), w.ledger.look(w.state)); err != nil {
			return busy, err
		}
	}
	return busy, nil
}

// await lets a while pass, or less if it is to end as soon as items are on their
// way. It says whether they are.
func (y *yard) await(d time.Duration, aimed bool) (busy bool) {
	if aimed {
		d = 5 * time.Second
	}
	for end := time.Now().Add(d); ; time.Sleep(5 * time.Millisecond) {
		over := !time.Now().Before(end)
		if aimed || over {
			busy = y.busy()
		}
		if over || busy {
			return busy
		}
	}
}

// busy says whether a camera waits for the hub's answer to an item.
func (y *yard) busy() bool {
	for _, w := range y.wards {
		if s, err := w.status(y.t.Context()); err == nil && s.Delivery.InFlight > 0 {
			return true
		}
	}
	return false
}

// check has everything delivered and stopped, and holds the cameras, the viewer and
// the hub's store against one another. In the end the hub runs and the cameras do not.
func (y *yard) check(after string) {
	t := y.t
	t.Helper()
	began := time.Now()
	must(t, y.hub.await())
	var g errgroup.Group
	for _, w := range y.wards {
		g.Go(func() error {
			if err := w.start(idle); err != nil {
				return err
			}
			return errors.Join(w.drain(t.Context()), w.stop(t.Context()), w.ledger.look(w.state))
		})
	}
	must(t, g.Wait())
	opened := y.look()
	must(t, y.hub.proc.stop())
	stored, evidence := openStore(t, y.hub.dir, y.keys.Owner())
	if evidence != 0 {
		t.Errorf("%s: the hub has evidence of %d contradictions", after, evidence)
	}
	if err := sameItems(stored, opened); err != nil {
		t.Errorf("%s: the hub has and the owner opened: %v", after, err)
	}
	for _, w := range y.wards {
		key, err := devicekey.Load(w.state)
		must(t, err)
		if err := w.ledger.settled(seal.KeyID(key.SPKI()), stored); err != nil {
			t.Errorf("%s: %s: %v", after, w.name, err)
		}
	}
	t.Logf("%s: the hub has %d items of %d cameras; drained and checked in %v",
		after, len(stored), wards, time.Since(began).Round(time.Second))
	must(t, y.hub.start())
	must(t, y.hub.await())
}

// look has the owner open everything, once.
func (y *yard) look() map[seal.Ref]seal.Hash {
	t := y.t
	t.Helper()
	opened := map[seal.Ref]seal.Hash{}
	v := newViewer(t, y.keys, "http://"+y.hub.viewers, seal.ID{}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, v.SyncOnce(ctx, func(e viewer.Event) {
		switch e := e.(type) {
		case viewer.Opened:
			if _, twice := opened[e.Header.Ref()]; twice {
				t.Errorf("opened %s twice", e.Header.Ref())
			}
			opened[e.Header.Ref()] = e.Hash
		case viewer.Trouble, viewer.Unavailable, viewer.RecordRefused:
			t.Errorf("the viewer says %+v", e)
		}
	}))
	if s := v.Summary(); s.Withheld != 0 || s.WronglyShown != 0 || len(s.Missing) != 0 || s.Waiting != 0 {
		t.Errorf("the viewer's account is %+v", s)
	}
	y.cut, y.whole = 0, 0
	for _, f := range v.Footage() {
		if f.Record == nil {
			y.cut++
		} else {
			y.whole++
		}
	}
	return opened
}
