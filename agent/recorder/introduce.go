package recorder

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lensward/lensward/agent/watch"
	"github.com/lensward/lensward/transport/seal"
)

// introduceAfter is how long pictures have come before one is shown: a camera that was
// opened a moment ago has not found its exposure yet.
const introduceAfter = time.Second

// introduce shows the owner of a camera that was just paired what it sees, unless an event
// does so first: one thumbnail, in an event of cause "paired" that has no clip and no motion.
func (r *Recorder) introduce(ctx context.Context, o watch.Observation) error {
	if r.shown {
		return nil
	}
	if r.since.IsZero() || o.Time.Before(r.since) {
		r.since = o.Time
	}
	if o.Time.Sub(r.since) < introduceAfter {
		return nil
	}
	jpeg, err := o.Thumbnail()
	if err != nil {
		r.log.Debug("no picture to show the owner yet", "error", err)
		return nil // the next one may do
	}
	r.shown = true
	var id seal.EventID
	if _, err := rand.Read(id[:]); err != nil {
		return fmt.Errorf("name event: %w", err)
	}
	at := o.Time.UnixMilli()
	body, err := json.Marshal(seal.Event{Start: at, End: at, Cause: seal.CausePaired})
	if err != nil {
		return fmt.Errorf("write event record: %w", err)
	}
	r.log.Info("the new owner is shown what the camera sees", "event", id)
	for _, d := range []seal.Draft{{Kind: seal.KindThumbnail, Body: jpeg}, {Kind: seal.KindEvent, Body: body}} {
		d.Event, d.Captured, d.Clock, d.MediaType = id, o.Time, r.settings.Clock(), d.Kind.MediaType()
		if _, err := r.sink(ctx, d); err != nil {
			return err
		}
	}
	return nil
}
