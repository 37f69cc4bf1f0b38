package pairing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lensward/lensward/agent/health"
	"github.com/lensward/lensward/hw/light"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/exchange"
)

// farewell is how long an owner is told that another code took the place of theirs.
const farewell = exchange.Linger

// session is one pairing under way.
type session struct {
	p      *Pairing
	camera *pairing.Camera
	way    *way

	mu      sync.Mutex
	over    bool          // another code took its place
	stop    func()        // ends run's exchange
	ended   chan struct{} // closed when that has ended
	trouble string

	owned bool // that the record is in force was said; run's own
}

func (p *Pairing) newSession() *session {
	return &session{p: p, way: newWay(p), stop: func() {}, ended: make(chan struct{})}
}

// save keeps a state of the protocol's.
func (s *session) save(state []byte) error {
	s.mu.Lock()
	over := s.over
	s.mu.Unlock()
	if over {
		return nil
	}
	return s.p.Dir.WriteFile(stateFile, state, 0o600)
}

// run carries the pairing to its end, or until ctx is done or cancel is called.
func (s *session) run(ctx context.Context) {
	defer close(s.ended)
	inner, stop := context.WithCancel(ctx)
	defer stop()
	s.mu.Lock()
	s.stop = stop
	s.mu.Unlock()
	s.carry(inner, s.changed)
}

func (s *session) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// farewell tells the owner of a pairing that was cancelled. Its states are kept no more.
func (s *session) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	s.carry(ctx, func(pairing.Phase) {})
}

func (s *session) carry(ctx context.Context, changed func(pairing.Phase)) {
	carriers := slices.Clone(s.p.Lines)
	if s.way.leads() {
		carriers = append(carriers, s.way)
	}
	err := exchange.Run(ctx, exchange.Options{
		Side: guarded{s.camera, s.way}, Carriers: carriers, Changed: changed, Refused: s.refused, Trouble: s.troubled,
	})
	if err != nil && ctx.Err() == nil {
		s.p.Log.Error("the pairing cannot be carried", "error", err)
	}
}

// cancel ends a pairing that has not accepted, and reports whether its owner is to be told.
// When it returns, run has ended.
func (s *session) cancel(ctx context.Context) (bool, error) {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	select {
	case <-s.ended:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if s.camera.Phase() != pairing.PhaseBegun {
		return false, nil
	}
	var failure *pairing.Error
	if err := s.camera.Cancel(); !errors.As(err, &failure) {
		return false, fmt.Errorf("cancel the pairing before: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	return s.camera.Phase() == pairing.PhaseFailed, nil
}

// changed says how far the pairing is.
func (s *session) changed(phase pairing.Phase) {
	p := s.p
	switch phase {
	case pairing.PhaseBegun:
		p.Health.Set(conditionPairing, health.Warning, causeCalling)
		p.light(light.Pairing)
	case pairing.PhaseAgreed, pairing.PhaseDone:
		if own := p.Device.Ownership(); own != nil && !s.owned {
			s.owned = true
			s.accepted(own)
		}
		p.Log.Debug("pairing", "phase", phase)
	case pairing.PhaseFailed:
		p.Health.Clear(conditionPairing)
		failure := s.camera.Failure()
		p.Log.Warn("pairing failed", "error", failure)
		p.failed(failure)
		if err := forgetNext(p.Dir); err != nil {
			p.Log.Warn("the hub of a code that came to nothing cannot be forgotten", "error", err)
		}
	}
}

// accepted is called when the owner's record is in force.
func (s *session) accepted(own *ownership.Ownership) {
	p := s.p
	p.Health.Clear(conditionFailed)
	p.Health.Clear(conditionPairing)
	if err := settle(p.Dir, own); err != nil {
		p.Log.Error("the code's hub cannot be kept", "error", err)
	}
	p.Log.Info("paired", "owner", own.Record.Owner.Short(), "epoch", own.Record.Epoch)
	p.light(light.Paired)
	if p.Accepted != nil {
		p.Accepted()
	}
}

func (s *session) refused(err error) { s.p.Log.Warn("a pairing message was refused", "error", err) }

// troubled says what keeps the messages from their way. It is called by many goroutines.
func (s *session) troubled(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	same := text == s.trouble
	s.trouble = text
	s.mu.Unlock()
	if same || !s.p.Looking() {
		return
	}
	if err == nil {
		s.p.Health.Set(conditionPairing, health.Warning, "a code was read; waiting for its owner")
		return
	}
	s.p.Health.Set(conditionPairing, health.Warning, "a code was read; its owner cannot be reached yet: "+text)
	s.p.Log.Warn("the owner of the code cannot be reached yet", "error", err)
}

// guarded is the camera's side, which takes nothing before the hub that its code names is
// on the disk: an offer may come by another way than that hub.
type guarded struct {
	*pairing.Camera
	way *way
}

// Receive is the camera's.
func (g guarded) Receive(msg []byte, now time.Time) error {
	if g.Phase() == pairing.PhaseBegun && !g.way.known() {
		return fmt.Errorf("take pairing message: the code's hub was not found yet")
	}
	return g.Camera.Receive(msg, now)
}
