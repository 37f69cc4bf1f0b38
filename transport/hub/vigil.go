package hub

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/transport/hub/store"
)

const (
	// lifeTimeout is how long a majority may take to acknowledge a sign of life. A node
	// that gets none acknowledged for cutOffAfter is cut off.
	lifeTimeout = 5 * time.Second
	cutOffAfter = 10 * time.Second
)

// keepCompany is what a node does for and with the others, until ctx ends.
func (h *Hub) keepCompany(ctx context.Context, b *broker, st *store.Store, seen *presence, viewers *api, pulse *pulse) error {
	if b.replicas == 1 {
		return nil
	}
	v := &vigil{
		alive: st.PutAlive, company: seen.company, log: h.log,
		doubt: func(err error) { pulse.begin(); pulse.end(err) },
		cutOff: func() {
			viewers.sessions.endAll() // who may look is not known any more
			if err := b.letGo(); err != nil {
				h.log.Error("devices not let go", "err", err)
			}
		},
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return st.Watch(ctx, seen.saw) })
	g.Go(func() error { return st.Listen(ctx, viewers.review) })
	g.Go(func() error { return v.run(ctx) })
	return g.Wait()
}

// vigil gives signs of life to the other nodes, and has the devices of a node that is
// cut off go to another.
type vigil struct {
	alive   func(context.Context) error // returns once a majority has it
	doubt   func(error)                 // one was not acknowledged
	cutOff  func()                      // none was for a while
	company func() []string             // the other nodes that are alive
	log     *slog.Logger
}

// run keeps the vigil until ctx ends.
func (v *vigil) run(ctx context.Context) error {
	period := time.NewTicker(lifePeriod)
	defer period.Stop()
	var company []string
	for heard, cut := time.Now(), false; ; {
		one, cancel := context.WithTimeout(ctx, lifeTimeout)
		err := v.alive(one)
		cancel()
		switch now := time.Now(); {
		case err == nil:
			if cut {
				v.log.Info("this node has a majority of the cluster again")
			}
			heard, cut = now, false
		case ctx.Err() != nil:
			return nil
		default:
			v.doubt(err)
			if !cut && now.Sub(heard) >= cutOffAfter {
				cut = true
				v.log.Error("this node has no majority of the cluster; its devices are let go", "err", err)
				v.cutOff()
			}
		}
		if now := v.company(); !slices.Equal(now, company) {
			v.log.Info("other nodes", "alive", now, "before", company)
			company = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-period.C:
		}
	}
}

// letGo ends the sessions of all devices at this server. They come back in their own
// time, to an address that lets them in.
func (b *broker) letGo() error {
	if b.server == nil {
		return nil // its devices stay with it, and meet silence
	}
	const page = 1024
	var ids []uint64
	for offset := 0; ; offset += page {
		z, err := b.server.Connz(&server.ConnzOptions{Offset: offset, Limit: page})
		if err != nil {
			return fmt.Errorf("list the broker's connections: %w", err)
		}
		for _, c := range z.Conns {
			if c.MQTTClient != "" {
				ids = append(ids, c.Cid)
			}
		}
		if len(z.Conns) < page {
			break
		}
	}
	for _, id := range ids {
		_ = b.server.DisconnectClientByID(id) // it may have gone by itself
	}
	return nil
}
