package hub

import (
	"context"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/transport/hub/gate"
	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/seal"
)

// fleet is the hub's part in how its devices come back: the gate, what watches the
// store for it, the survey of what the hub can admit, and the herald that says so.
type fleet struct {
	gate   *gate.Gate
	pulse  *pulse
	survey *survey
	herald *herald
}

func (h *Hub) newFleet(ctx context.Context, conn *nats.Conn, st *store.Store, m *metrics, seen *presence) (*fleet, error) {
	herald, err := newHerald(h.authority, h.dir, natsOutbox{conn}, seen.here, h.log)
	if err != nil {
		return nil, err
	}
	peers, err := listenToPeers(conn)
	if err != nil {
		return nil, err
	}
	f := &fleet{
		gate: h.gate, herald: herald, pulse: &pulse{store: st, gate: h.gate, log: h.log},
		survey: &survey{
			herald: herald, dir: h.dir, gate: h.gate, peers: peers, metrics: m, log: h.log,
			heard:  func(ctx context.Context) (int, error) { return st.Heard(ctx, fleetWithin) },
			online: seen.online, admit: h.options.Admit, drain: h.options.Drain,
		},
	}
	f.measured(m)
	return f, f.survey.open(ctx)
}

// answered notes that a device knows whether its record is stored. One that belongs
// here is told how to come back.
func (f *fleet) answered(device seal.ID, stored bool) error {
	f.gate.Settled(device)
	if !stored {
		return nil
	}
	return f.herald.tell(device)
}

// run runs the parts until ctx ends.
func (f *fleet) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.gate.Run(ctx) })
	g.Go(func() error { return f.pulse.run(ctx) })
	g.Go(func() error { return f.survey.run(ctx) })
	g.Go(func() error { return f.herald.run(ctx) })
	return g.Wait()
}

// measured adds the parts' figures to the hub's.
func (f *fleet) measured(m *metrics) {
	at := func(figure func(gate.Figures) int) func() int {
		return func() int { return figure(f.gate.Figures()) }
	}
	m.gauge("gate_connecting", "Devices that are connecting.", at(func(g gate.Figures) int { return g.Connecting }))
	m.gauge("gate_waiting", "Devices that wait at the gate.", at(func(g gate.Figures) int { return g.Waiting }))
	m.count("gate_admitted_total", "Devices that were let in and answered.", at(func(g gate.Figures) int { return g.Admitted }))
	m.count("gate_refused_total", "Devices that were refused because too many came.", at(func(g gate.Figures) int { return g.Refused }))
	m.count("gate_dropped_total", "Devices, of the refused, that were cut off since their network came too often.", at(func(g gate.Figures) int { return g.Dropped }))
	m.count("gate_shut_total", "Devices that were refused because the store took nothing.", at(func(g gate.Figures) int { return g.Shut }))
	m.count("gate_slow_total", "Handshakes that were cut off because others waited.", at(func(g gate.Figures) int { return g.Slow }))
	m.gauge("store_failing", "1 while the store takes nothing.", f.pulse.failing)
	m.gauge("hint_window_seconds", "The window that the fleet is told for the next outage.", func() int {
		said, _ := f.herald.last()
		return int(said.Window.Seconds())
	})
	m.gauge("hint_current_seconds", "The window that devices without a session are told now.", func() int {
		said, _ := f.herald.last()
		return int(said.Current.Seconds())
	})
}
