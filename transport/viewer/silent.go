package viewer

import (
	"fmt"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

const (
	// silentAfter is three periods in which a camera that is connected says something, and
	// a little more.
	silentAfter = 16 * time.Minute
	// seenWithin is how near the viewer's clock the hub has to have heard a camera: two
	// periods.
	seenWithin = 10 * time.Minute
	// silentLooks is the least time between the two looks at what the hub says.
	silentLooks = time.Minute
)

// quiet is a camera from which nothing comes.
type quiet struct {
	since time.Time
	head  seal.Ref
}

// listen looks whether the cameras that are there by the hub's word say something.
// Where one does not, the hub is asked once more before it is told.
func (v *Viewer) listen() {
	still := map[seal.ID]quiet{}
	for _, w := range v.words {
		head, captured, silent := v.silence(w)
		if !silent {
			continue
		}
		q, known := v.quiet[w.ID]
		if !known || q.head != head.Ref() || v.arrived[w.ID].After(q.since) {
			q = quiet{v.heard, head.Ref()}
			v.pushOnce(job{kind: jobDevices}, time.Now().Add(silentLooks))
		}
		still[w.ID] = q
		if v.heard.Sub(q.since) >= silentLooks {
			f := Finding{Name: FoundSilent, Detail: fmt.Sprintf("the hub says that it was last heard at %s; the newest item is of %s",
				time.Unix(w.Seen, 0).UTC().Format(time.RFC3339), captured.Format(time.RFC3339))}
			v.find(f.at(head.Ref()).with("before", head.Envelope))
		}
	}
	v.quiet = still
}

// silence says whether a camera is there by the hub's word and nothing comes from it, and
// when its newest item was captured.
func (v *Viewer) silence(w deviceWord) (head Head, captured time.Time, silent bool) {
	for _, h := range v.pins.Heads {
		if h.Device == w.ID && h.Epoch > head.Epoch {
			head = h
		}
	}
	it, err := seal.ParseEnvelope(head.Envelope)
	if err != nil || !w.Online || !v.beats[chainOf(head.Ref())] {
		return head, time.Time{}, false
	}
	captured = it.Header.Captured
	return head, captured, v.heard.Sub(time.Unix(w.Seen, 0)).Abs() < seenWithin && it.Header.Clock == seal.ClockNetwork &&
		time.Since(captured) > silentAfter
}
