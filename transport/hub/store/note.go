package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/lensward/lensward/transport/seal"
)

// What the hubs of a cluster tell one another, in messages that nobody keeps: that
// something of an owner's was stored.
const (
	noteItem   = "item"
	noteRecord = "record"
)

// tell has the other hubs know. One that does not hear of it finds out later.
func (s *Store) tell(what string, owner seal.ID) {
	if s.options.Replicas == 1 {
		return
	}
	if err := s.js.Conn().Publish("ward.note."+what+"."+owner.String(), nil); err != nil {
		s.options.Log.Warn("other hubs not told", "what", what, "err", err)
	}
}

// Listen wakes those who wait for an owner's next item when another hub of the cluster
// stored it, and calls record with the owner of each record that another hub stored,
// until ctx ends.
func (s *Store) Listen(ctx context.Context, record func(context.Context, seal.ID)) error {
	if s.options.Replicas == 1 {
		<-ctx.Done()
		return nil
	}
	sub, err := s.js.Conn().Subscribe("ward.note.*.*", func(m *nats.Msg) {
		what, owner, _ := strings.Cut(strings.TrimPrefix(m.Subject, "ward.note."), ".")
		id, err := seal.ParseID(owner)
		switch {
		case err != nil:
			s.options.Log.Warn("note of another hub dropped", "err", err)
		case what == noteItem:
			s.bell.ringFor(id)
		case what == noteRecord:
			record(ctx, id)
		}
	})
	if err != nil {
		return fmt.Errorf("listen to other hubs: %w", err)
	}
	<-ctx.Done()
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("stop listening to other hubs: %w", err)
	}
	return nil
}
