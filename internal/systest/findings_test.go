package systest

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/viewer"
)

// lookedAt is a hub with an owner's camera and a stranger's, both delivered, the owner's
// under two revisions of its record.
func lookedAt(t *testing.T) (*stand, *eye) {
	s := &stand{t: t, dir: filepath.Join(t.TempDir(), "hub")}
	s.start()
	var eyes []*eye
	for range 2 {
		e := newEye(t, newRoot(t), s)
		eyes = append(eyes, e)
		e.attach(s)
		for range 6 {
			e.visit()
			time.Sleep(6 * time.Minute) // a periodic checkpoint says that it is settled
		}
		e.delivered()
		e.detach()
	}
	e := eyes[0]
	e.own(1, 2)
	e.visit()
	e.attach(s)
	e.delivered()
	time.Sleep(6 * time.Minute)
	e.delivered()
	e.detach()
	must(t, eyes[1].store.Close())
	return s, e
}

// Each lie of a real hub is named, and no other finding is.
func TestEachLieIsNamed(t *testing.T) {
	hubtest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		s, e := lookedAt(t)
		e.owner.found(s)
		seen := &viewer.MemoryState{}
		v := e.owner.look(s, seen)
		must(t, v.SyncOnce(t.Context(), nil))
		if found := v.Findings(); len(found) != 0 || v.Summary().Opened < 40 {
			t.Fatalf("an honest hub: %s, %d opened", names(found), v.Summary().Opened)
		}
		for _, c := range []struct {
			lie   hub.Lie
			want  viewer.FindingName
			fresh bool // a viewer that has seen nothing before
		}{
			{hub.LieReplay, viewer.FoundReplayed, true},
			{hub.LieDrop, viewer.FoundDropped, true},
			{hub.LieTail, viewer.FoundTail, false},
			{hub.LieSwapEvents, viewer.FoundEvents, true},
			{hub.LieSwapThumbs, viewer.FoundThumbnail, true},
			{hub.LieRollBack, viewer.FoundRollBack, false},
			{hub.LieMixup, viewer.FoundMisrouted, true},
		} {
			s.restart(func(o *hub.Options) { o.Lies, o.MixupSeed = []hub.Lie{c.lie}, 7 })
			state := &viewer.MemoryState{}
			if !c.fresh {
				p, err := seen.Load()
				must(t, err)
				must(t, state.Save(p))
			}
			v := e.owner.look(s, state)
			must(t, v.SyncOnce(t.Context(), nil))
			count := v.Summary().Findings
			t.Logf("--lie %s: %s", c.lie, names(v.Findings()))
			if c.lie == hub.LieRollBack && count[c.want] != 2 {
				t.Errorf("of a record and a statement %d were missed", count[c.want])
			}
			if count[c.want] == 0 || len(count) != 1 {
				t.Errorf("--lie %s: found %v, want %s", c.lie, count, c.want)
			}
			if c.lie == hub.LieMixup {
				checkReports(t, s, v)
			}
		}
		checkSilence(t, s, e)
		must(t, e.store.Close())
		s.stop()
	})
}

// checkReports looks whether the hub counted what came back to it.
func checkReports(t *testing.T, s *stand, v *viewer.Viewer) {
	t.Helper()
	found := v.Summary().Findings[viewer.FoundMisrouted]
	if got := v.Summary().Reported; got != found || got == 0 {
		t.Errorf("%d misrouted items, %d reported", found, got)
	}
	res, err := s.client(ofViewers).Get("http://127.0.0.1:8080/metrics")
	must(t, err)
	defer res.Body.Close()
	if n := sum(readMetrics(t, res.Body), "lensward_hub_reports_total", "wrong-owner"); n != float64(found) {
		t.Errorf("the hub counts %v reports of %d", n, found)
	}
}

// checkSilence has a camera be there, and its hub keep back what it says.
func checkSilence(t *testing.T, s *stand, e *eye) {
	t.Helper()
	s.restart(func(o *hub.Options) { o.Lies = []hub.Lie{hub.LieSilent} })
	e.attach(s)
	defer e.detach()
	time.Sleep(20 * time.Minute)
	v := e.owner.look(s, &viewer.MemoryState{})
	must(t, v.SyncOnce(t.Context(), nil))
	t.Logf("--lie silent: %s", names(v.Findings()))
	if count := v.Summary().Findings; count[viewer.FoundSilent] != 1 || len(count) != 1 {
		t.Errorf("--lie silent: found %v", count)
	}
}

// A camera whose key and spool were copied tells two hubs with one name two histories.
// Each member sees one of them and nothing wrong; when they compare, the fork is named.
func TestForkIsFoundAmongMembers(t *testing.T) {
	hubtest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		a, e := lookedAt(t)
		a.stop()
		e.sleep()
		b, copied := &stand{t: t, dir: filepath.Join(t.TempDir(), "hub")}, *e
		copied.dir = filepath.Join(t.TempDir(), "spool")
		must(t, os.CopyFS(b.dir, os.DirFS(a.dir)))
		must(t, os.CopyFS(copied.dir, os.DirFS(e.dir)))
		a.start()
		b.start()
		if a.hub.ID() != b.hub.ID() {
			t.Fatal("the two faces have two names")
		}
		var views []*viewer.Viewer
		for _, c := range []struct {
			e      *eye
			s      *stand
			visits int
		}{{e, a, 1}, {&copied, b, 3}} {
			c.e.wake()
			c.e.attach(c.s)
			for range c.visits {
				c.e.visit()
			}
			c.e.delivered()
			c.e.detach()
			must(t, c.e.store.Close())
			v := e.owner.look(c.s, &viewer.MemoryState{})
			must(t, v.SyncOnce(t.Context(), nil))
			if found := v.Findings(); len(found) != 0 {
				t.Errorf("a member alone finds %s", names(found))
			}
			views = append(views, v)
		}
		for i, s := range []*stand{a, b} {
			v := e.owner.look(s, &viewer.MemoryState{}, views[1-i].Heads())
			must(t, v.SyncOnce(t.Context(), nil))
			count := v.Summary().Findings
			t.Logf("member %d, with the other's heads: %s", i+1, names(v.Findings()))
			// The longer history shows the fork; the shorter one, that there is more.
			if want := []viewer.FindingName{viewer.FoundTail, viewer.FoundFork}[i]; count[want] == 0 || len(count) != 1 {
				t.Errorf("member %d found %v, want %s", i+1, count, want)
			}
		}
		a.stop()
		b.stop()
	})
}

// The agent's own checkpoints say what findings rest on: that they come by themselves, and
// how far the chain is settled.
func TestAgentSaysWhatIsSettled(t *testing.T) {
	film := drawReel(t, 192, 112)
	synctest.Test(t, func(t *testing.T) {
		b := startBubble(t, film, nil)
		time.Sleep(6 * time.Minute)
		b.settle()
		time.Sleep(6 * time.Minute)
		seen, cameras := b.settle(), b.viewer.Cameras()
		b.stop()
		if len(cameras) != 1 || cameras[0].Checkpoint == nil {
			t.Fatalf("cameras %+v", cameras)
		}
		if c := *cameras[0].Checkpoint; c.Cause != "periodic" || c.Settled == 0 {
			t.Errorf("the newest checkpoint is %+v", c)
		}
		if len(seen.Findings) != 0 || seen.Opened < 10 {
			t.Errorf("the viewer's account is %+v", seen)
		}
	})
}
