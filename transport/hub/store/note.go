package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/lensward/lensward/transport/seal"
)

// noteRecord is the subject of what the hubs of a cluster tell one another, in messages
// that nobody keeps: that a record of an owner's was stored.
const noteRecord = "ward.note.record."

// tellRecord has the other hubs know. One that does not hear of it finds out later.
func (s *Store) tellRecord(owner seal.ID) {
	if s.options.Replicas == 1 {
		return
	}
	if err := s.js.Conn().Publish(noteRecord+owner.String(), nil); err != nil {
		s.options.Log.Warn("other hubs not told of a record", "err", err)
	}
}

// Listen calls record with the owner of each record that another hub of the cluster
// stored, until ctx ends.
func (s *Store) Listen(ctx context.Context, record func(context.Context, seal.ID)) error {
	if s.options.Replicas == 1 {
		<-ctx.Done()
		return nil
	}
	sub, err := s.js.Conn().Subscribe(noteRecord+"*", func(m *nats.Msg) {
		id, err := seal.ParseID(strings.TrimPrefix(m.Subject, noteRecord))
		if err != nil {
			s.options.Log.Warn("note of another hub dropped", "err", err)
			return
		}
		record(ctx, id)
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
