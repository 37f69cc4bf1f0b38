package pairing_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/pairing"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/durable/durabletest"
	protocol "github.com/lensward/lensward/transport/pairing"
)

// cutter follows a camera's pairing and has the power cut at each step of each write, with
// each thing that may have reached the disk.
type cutter struct {
	*scene
	code  *protocol.Code
	cuts  int
	after map[string]int // how the camera came up, and how often
}

// TestPowerCuts cuts the power at every durable write of a camera's pairing. What is left
// is the state before or after: the camera has no owner, or its owner's very record, and
// never one without its hub. Started again, it goes on to the end, or takes a new code.
func TestPowerCuts(t *testing.T) {
	c := &cutter{scene: newScene(t), after: map[string]int{}}
	root, key := t.TempDir(), newKey(t)
	cut := durabletest.NewCutter(t, root, func(crash durabletest.Crash) {
		c.cuts++
		if !t.Failed() {
			c.restart(t, crash)
		}
	})
	c.camera = newCamera(t, key, root, durable.WithHook(cut.Hook))
	c.code = c.owner.code(t, c.hub)
	p, stop := c.camera.pairing(nil)
	c.pair(t, p, c.code)
	stop()
	t.Logf("%d cuts", c.cuts)
	for _, how := range slices.Sorted(maps.Keys(c.after)) {
		t.Logf("%4d: %s", c.after[how], how)
	}
	if c.cuts < 100 || c.after["goes on"] == 0 || c.after["needs a new code"] == 0 || c.after["has its owner"] == 0 {
		t.Error("not all was tried")
	}
}

// restart is called in the middle of the camera's write; everything that it starts is apart
// from that camera.
func (c *cutter) restart(t *testing.T, crash durabletest.Crash) {
	desk := c.desk.copy()
	address, stopDesk := desk.serve(t)
	defer stopDesk()
	cam := newCamera(t, c.camera.key, crash.Root)
	_, err := cam.dir.ReadFile("pairing", protocol.MaxState)
	forgot := err != nil
	if before := cam.Ownership(); before != nil {
		c.after["has its owner"]++
		if hub, err := pairing.Learned(cam.dir, before); err != nil || hub == nil {
			t.Errorf("%s: an owner, and the hub is %+v, %v", crash, hub, err)
		}
	}
	p, stop := cam.pairing(func(o *pairing.Options) { o.Dial = to(address) })
	defer stop()
	owner := &owner{keys: c.owner.keys}
	var side *protocol.Owner
	side, err = protocol.RestoreOwner(c.owner.saved(), owner.keys.Taker(), owner.save)
	if err != nil {
		t.Errorf("%s: %v", crash, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if forgot {
		c.after["needs a new code"]++
		code := owner.code(t, c.hub)
		if side, err = protocol.NewOwner(code, owner.keys.Taker(), owner.save); err == nil {
			err = p.Take(ctx, code.Text(), "lens")
		}
		if err != nil {
			t.Errorf("%s: a new code is not taken: %v\n%s", crash, err, cam.log())
			return
		}
	} else {
		c.after["goes on"]++
	}
	if err := owner.wait(ctx, side, desk); err != nil {
		t.Errorf("%s: the owner waits in vain: %v\n%s", crash, err, cam.log())
		return
	}
	c.compare(t, crash, cam, side)
}

// to connects to one address, whatever is asked for.
func to(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// compare holds both ends against one another.
func (c *cutter) compare(t *testing.T, crash durabletest.Crash, cam *camera, side *protocol.Owner) {
	own, err := side.Ownership()
	mine := cam.Ownership()
	if err != nil || own == nil || mine == nil || own.Hash() != mine.Hash() {
		t.Errorf("%s: the owner's side is %v (%v), and the records differ\n%s", crash, side.Phase(), side.Failure(), cam.log())
		return
	}
	if hub, err := pairing.Learned(cam.dir, mine); err != nil || hub == nil || hub.ID != c.hub.ID {
		t.Errorf("%s: the hub is %+v, %v", crash, hub, err)
	}
}

// TestDiskErrors has the disk fail once at each step of each write of a pairing: it failed
// and is not there, it failed and is there all the same. The pairing comes to its end, with
// one record at both ends and the hub beside it.
func TestDiskErrors(t *testing.T) {
	counted := newScene(t)
	var count durabletest.Faulter
	counted.camera = newCamera(t, newKey(t), t.TempDir(), durable.WithHook(count.Hook))
	p, stop := counted.camera.pairing(nil)
	counted.pair(t, p, counted.owner.code(t, counted.hub))
	stop()
	t.Logf("%d steps", count.Steps())
	// All at once: most of the time is spent between two tries.
	var all sync.WaitGroup
	defer all.Wait()
	for i := range count.Steps() {
		all.Go(func() { t.Run(fmt.Sprint(i), func(t *testing.T) { failAt(t, i) }) })
	}
}

func failAt(t *testing.T, i int) {
	s := newScene(t)
	fault := durabletest.FailAt(i, errors.New("input/output error"))
	s.camera = newCamera(t, newKey(t), t.TempDir(), durable.WithHook(fault.Hook))
	p, stop := s.camera.pairing(nil)
	defer stop()
	code := s.owner.code(t, s.hub)
	o, err := protocol.NewOwner(code, s.owner.keys.Taker(), s.owner.save)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.Take(ctx, code.Text(), "socket"); err != nil { // it could not be written down: once more
		must(t, p.Take(ctx, code.Text(), "socket"))
	}
	must(t, s.owner.wait(ctx, o, s.desk))
	until(t, "the camera's end", func() bool { return s.camera.conditions() == "" })
	own, err := o.Ownership()
	must(t, err)
	mine := s.camera.Ownership()
	if own == nil || mine == nil || own.Hash() != mine.Hash() {
		t.Fatalf("%v: the owner's side is %v (%v)\n%s", fault.Hit(), o.Phase(), o.Failure(), s.camera.log())
	}
	if hub, err := pairing.Learned(s.camera.dir, mine); err != nil || hub == nil {
		t.Errorf("%v: the hub is %+v, %v", fault.Hit(), hub, err)
	}
}
