package hub

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/seal"
)

func TestPresenceOfOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPresence("a")
		here, there := seal.ID{1}, seal.ID{2}
		p.set(here, true, time.Now())
		word := store.Sight{Device: there, Online: true, Node: "b", Run: "1", Time: time.Now(), Note: 5}
		p.saw(word)
		if p.of(there).online || p.online() != 1 {
			t.Error("a node that gave no sign of life is believed")
		}
		p.saw(store.Sight{Node: "b", Run: "1", Time: time.Now().Add(-time.Hour)})
		if p.of(there).online || len(p.company()) != 0 {
			t.Error("an old sign of life counts")
		}
		p.saw(store.Sight{Node: "b", Run: "2", Time: time.Now()})
		if p.of(there).online {
			t.Error("a node's word from before it was started again is believed")
		}
		p.saw(store.Sight{Node: "b", Run: "1", Time: time.Now()})
		if !p.of(there).online || p.online() != 2 || len(p.company()) != 1 || len(p.here()) != 1 {
			t.Errorf("%d are online, with %v", p.online(), p.company())
		}
		time.Sleep(lifeLimit)
		if p.of(there).online || p.online() != 1 || len(p.company()) != 0 {
			t.Error("a silent node's devices are online")
		}
		if seen := p.of(there).seen; !seen.Equal(word.Time) {
			t.Errorf("seen at %v", seen)
		}
	})
}

// A device that moves from node to node is online where it spoke last, in whatever
// order the nodes hear of it.
func TestPresenceOfWhoMoves(t *testing.T) {
	d := seal.ID{1}
	p := newPresence("a")
	elsewhere := func(note uint64, online bool) {
		p.saw(store.Sight{Node: "b", Run: "1", Time: time.Now()})
		p.saw(store.Sight{Device: d, Online: online, Node: "b", Run: "1", Time: time.Now(), Note: note})
	}
	p.set(d, true, time.Now())
	p.noted(d, true, 1)
	elsewhere(2, true)
	if len(p.here()) != 0 || !p.of(d).online {
		t.Error("who moved away is still here, or nowhere")
	}
	if after := p.set(d, false, time.Now()); after != 1 {
		t.Errorf("its late will is noted after %d", after)
	}
	p.noted(d, false, 0) // and is not, since the other node spoke meanwhile
	if !p.of(d).online {
		t.Error("a late will counts")
	}
	p.set(d, true, time.Now()) // back
	elsewhere(3, false)
	p.noted(d, true, 4)
	p.saw(store.Sight{Device: d, Online: true, Node: "a", Time: time.Now(), Note: 4})
	if len(p.here()) != 1 || !p.of(d).online || p.online() != 1 {
		t.Error("who came back is not here")
	}
}
