package systest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

// honestItems is how many items a camera seals under an honest hub that has everything
// go wrong that may: LENSWARD_HONEST, or 1,500.
func honestItems(t *testing.T) int {
	v := os.Getenv("LENSWARD_HONEST")
	if v == "" {
		return 1_500
	}
	n, err := strconv.Atoi(v)
	must(t, err)
	return n
}

// onlooker is a viewer that looks all the time, and is started anew now and then.
type onlooker struct {
	state    viewer.MemoryState
	viewer   *viewer.Viewer
	cancel   func()
	done     chan error
	starts   int
	findings []viewer.Finding
}

func (o *onlooker) start(s *stand, owner *rootKeys) {
	o.viewer = owner.look(s, &o.state)
	ctx, cancel := context.WithCancel(s.t.Context())
	o.cancel, o.done = cancel, make(chan error, 1)
	o.starts++
	go func() { o.done <- o.viewer.Run(ctx, nil) }()
}

func (o *onlooker) stop(t *testing.T) {
	t.Helper()
	o.cancel()
	if err := <-o.done; !errors.Is(err, context.Canceled) {
		t.Errorf("the viewer ended with %v", err)
	}
	o.findings = append(o.findings, o.viewer.Findings()...)
}

// An honest hub gives rise to no finding, whatever happens to connections, hub, camera
// and viewer.
func TestHonestHubIsNotAccused(t *testing.T) {
	items := honestItems(t)
	hubtest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		s := &stand{t: t, dir: filepath.Join(t.TempDir(), "hub")}
		s.start()
		e := newEye(t, newRoot(t), s)
		e.attach(s)
		e.delivered()
		var o onlooker
		o.start(s, e.owner)
		var cuts, outages, offline int
		revision, epoch := uint64(1), uint64(1)
		for round := 1; e.counts.appended < items; round++ {
			for range 8 {
				e.visit()
				time.Sleep(2 * time.Second)
			}
			if round%3 == 0 {
				s.cut()
				cuts++
			}
			if round%7 == 0 { // the hub is gone for a minute
				s.stop()
				time.Sleep(time.Minute)
				s.start()
				outages++
			}
			if round%11 == 0 {
				e.sleep()
				e.wake()
				e.attach(s)
			}
			if round%13 == 0 { // more comes than the spool holds
				e.detach()
				for range 20 {
					e.visit()
				}
				time.Sleep(20 * time.Minute)
				e.attach(s)
				offline++
			}
			if round%17 == 0 {
				revision++
				e.own(epoch, revision)
				e.counts.revisions++
				s.cut() // so that the hub is shown it
			}
			if round%61 == 0 || epoch == 1 && e.counts.appended > items/2 {
				epoch, revision = epoch+1, 1
				e.detach()
				e.own(epoch, revision)
				e.counts.epochs++
				e.sleep()
				e.wake()
				e.attach(s)
			}
			if round%19 == 0 {
				o.stop(t)
				o.start(s, e.owner)
			}
			if round%5 == 0 {
				time.Sleep(6 * time.Minute)
			}
		}
		e.delivered()
		time.Sleep(20 * time.Minute)
		o.stop(t)
		checkHonest(t, s, e, &o)
		t.Logf("%d items sealed, %d refused by a full spool; %d cuts, %d outages of the hub, %d times offline, %d boots, %d sessions, %d revisions, %d epochs, %d starts of the viewer",
			e.counts.appended, e.counts.refused, cuts, outages, offline, e.counts.boots, e.counts.sessions, e.counts.revisions, e.counts.epochs, o.starts)
		e.sleep()
		s.stop()
	})
}

// checkHonest looks once more, as the onlooker and as somebody new, and wants nothing
// found and nothing missing that the camera did not explain.
func checkHonest(t *testing.T, s *stand, e *eye, o *onlooker) {
	t.Helper()
	found := o.findings
	for _, state := range []viewer.State{&o.state, &viewer.MemoryState{}} {
		v := e.owner.look(s, state)
		must(t, v.SyncOnce(t.Context(), nil))
		found = append(found, v.Findings()...)
		sum := v.Summary()
		var dropped, missing uint64
		for _, m := range sum.Missing {
			if m.Dropped {
				dropped += m.To - m.From + 1
			} else {
				missing += m.To - m.From + 1
			}
		}
		t.Logf("verified %d, opened %d, withheld %d, dropped and explained %d, missing %d; findings: %s",
			sum.Verified, sum.Opened, sum.Withheld, dropped, missing, names(found))
		if dropped == 0 || sum.Withheld != 0 || sum.WronglyShown != 0 {
			t.Errorf("the account is %+v", sum.Reasons)
		}
		settledAll(t, v.Cameras(), e.id)
	}
	for _, f := range found {
		t.Errorf("found %s: epoch %d chain %d, %d to %d: %s", f.Name, f.Epoch, f.Chain, f.From, f.To, f.Detail)
	}
}

// settledAll wants the newest checkpoint to call something settled: else the findings
// that rest on it could never have been made.
func settledAll(t *testing.T, cameras []viewer.Camera, device seal.ID) {
	t.Helper()
	for _, c := range cameras {
		if c.Device == device && (c.Checkpoint == nil || c.Checkpoint.Settled < 10) {
			t.Errorf("the newest checkpoint is %+v", c.Checkpoint)
		}
	}
}
