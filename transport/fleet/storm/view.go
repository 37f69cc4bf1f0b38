package storm

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
	"github.com/lensward/lensward/transport/viewer/tap"
)

// lookAgain is the pause before an owner looks again who has not seen everything.
const lookAgain = time.Second

// Viewing says who looks through the hub, and for how long.
type Viewing struct {
	// Owners of the worker's first devices look, AtOnce of them at a time, until they
	// have seen all that is theirs or Until is past.
	Owners, AtOnce int
	Until          time.Time
}

// Seen is what owners were shown, and what was kept from them.
type Seen struct {
	// Owners looked, and Complete ones of them have seen all that their camera sealed
	// and nothing else.
	Owners   int `json:"owners"`
	Complete int `json:"owners_with_everything"`
	// Opened items were shown, WronglyShown ones should not have been: by the viewer's own
	// second reading, or because that owner's camera never sealed them.
	Opened       int `json:"opened"`
	WronglyShown int `json:"wrongly_shown"`
	// Misdelivered counts the hub's answers that were another owner's or another item,
	// as a witness between viewer and hub heard them; Withheld those that the viewers say
	// they did not show.
	Misdelivered int `json:"misdelivered"`
	Withheld     int `json:"withheld"`
	// Strangers counts other owners' headers that the witnesses heard, each once an owner;
	// Reported those that the hub took back as proof.
	Strangers int `json:"strangers"`
	Reported  int `json:"reported"`
}

func (s *Seen) add(o Seen) {
	s.Owners += o.Owners
	s.Complete += o.Complete
	s.Opened += o.Opened
	s.WronglyShown += o.WronglyShown
	s.Misdelivered += o.Misdelivered
	s.Withheld += o.Withheld
	s.Strangers += o.Strangers
	s.Reported += o.Reported
}

// onlooker is one owner in front of their viewer.
type onlooker struct {
	device  *device
	viewer  *viewer.Viewer
	witness *witness
	opened  map[seal.Ref]seal.Hash
	wrongly int
}

// View has owners look twice: while the fleet comes back, and when their camera has
// delivered all that it has.
func (w *worker) View(v Viewing, out *Seen) error {
	hub := &http.Transport{MaxIdleConnsPerHost: v.AtOnce}
	defer hub.CloseIdleConnections()
	onlookers := make([]*onlooker, v.Owners)
	for i, d := range w.devices[:v.Owners] {
		var err error
		if onlookers[i], err = w.onlooker(d, hub); err != nil {
			return err
		}
	}
	until, cancel := context.WithDeadline(w.ctx, v.Until)
	defer cancel()
	// In the midst of the storm, whatever there is.
	err := w.each(v.Owners, v.AtOnce, func(_ context.Context, i int) error {
		onlookers[i].look(until)
		return nil
	})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	return w.each(v.Owners, v.AtOnce, func(_ context.Context, i int) error {
		o := onlookers[i]
		for !o.device.delivered() || !o.look(until) {
			if wait.For(until, lookAgain) != nil {
				break // they have seen what they have seen
			}
		}
		mu.Lock()
		defer mu.Unlock()
		out.add(o.account())
		w.viewed.Add(1)
		return nil
	})
}

func (w *worker) onlooker(d *device, hub http.RoundTripper) (*onlooker, error) {
	o := &onlooker{device: d, opened: map[seal.Ref]seal.Hash{}}
	o.witness = &witness{owner: d.keys.Owner(), strangers: map[seal.Hash]bool{}}
	var err error
	o.viewer, err = viewer.New(viewer.Options{
		HubURL: w.plan.Hub.Viewers, Hub: w.plan.Hub.ID, HTTPClient: &http.Client{Transport: &tap.Tap{Hub: hub, Heard: o.witness.hear}},
		Keys:  viewer.Keys{Owner: d.keys.Owner(), Signer: d.keys.Viewer(), Identities: d.keys.Household()},
		State: &viewer.MemoryState{}, Known: []*ownership.Ownership{d.owned},
	})
	return o, err
}

// look reads the hub's time line to its end. It says whether the owner has seen all that
// the device sealed.
func (o *onlooker) look(ctx context.Context) bool {
	if o.viewer.SyncOnce(ctx, o.shown) != nil {
		return false // the hub is down, or overrun
	}
	return o.complete()
}

// shown takes what the viewer shows.
func (o *onlooker) shown(e viewer.Event) {
	item, ok := e.(viewer.Opened)
	if !ok {
		return
	}
	ref := item.Header.Ref()
	for _, own := range o.device.sealed() {
		if own.Ref == ref && own.Hash == item.Hash {
			o.opened[ref] = item.Hash
			return
		}
	}
	o.wrongly++
}

func (o *onlooker) complete() bool { return len(o.opened) == len(o.device.sealed()) }

func (o *onlooker) account() Seen {
	sum := o.viewer.Summary()
	s := Seen{
		Owners: 1, Opened: len(o.opened), WronglyShown: o.wrongly + int(sum.WronglyShown),
		Withheld: int(sum.Withheld), Reported: int(sum.Reported),
	}
	if o.complete() {
		s.Complete = 1
	}
	o.witness.mu.Lock()
	defer o.witness.mu.Unlock()
	s.Misdelivered, s.Strangers = o.witness.wrong, len(o.witness.strangers)
	return s
}

// witness hears what the hub answers a viewer. It knows what is wrong without asking the
// viewer.
type witness struct {
	owner seal.ID

	mu        sync.Mutex
	wrong     int                // answers
	strangers map[seal.Hash]bool // whose headers came
}

func (w *witness) hear(a tap.Answer) {
	foreign := a.Item.Header.Owner != w.owner
	if asked := a.Asked != (seal.Ref{}); asked && a.Item.Header.Ref() == a.Asked || !asked && !foreign {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong++
	if foreign {
		w.strangers[a.Item.Hash()] = true
	}
}
