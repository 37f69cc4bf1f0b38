package exchange_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/exchange"
)

// script is a side that says one thing after another: each message that it wants brings it
// to the next.
type script struct {
	phases []pairing.Phase
	says   [][]byte
	wants  []string
	at     int
	// broken is how many messages fail for reasons of the disk.
	broken   int
	deadline time.Time
	heard    []string
}

func (s *script) Phase() pairing.Phase { return s.phases[s.at] }

func (s *script) Rendezvous() string { return "rendezvous" }

func (s *script) Send() []byte { return s.says[s.at] }

// Receive takes the message that is wanted, and refuses others.
func (s *script) Receive(msg []byte, _ time.Time) error {
	s.heard = append(s.heard, string(msg))
	if s.at >= len(s.wants) || string(msg) != s.wants[s.at] {
		return &pairing.Error{Reason: pairing.ReasonBadMAC}
	}
	if s.broken > 0 {
		s.broken--
		return errors.New("disk full")
	}
	s.at++
	return nil
}

// Tick fails it at the deadline.
func (s *script) Tick(now time.Time) error {
	if s.deadline.IsZero() || now.Before(s.deadline) {
		return nil
	}
	s.at = len(s.phases) - 1
	return &pairing.Error{Reason: pairing.ReasonExpired}
}

func camera() *script {
	return &script{
		phases: []pairing.Phase{pairing.PhaseBegun, pairing.PhaseAgreed, pairing.PhaseDone},
		says:   [][]byte{[]byte("hello"), []byte("accept"), nil}, wants: []string{"offer", "done"},
	}
}

func owner() *script {
	return &script{
		phases: []pairing.Phase{pairing.PhaseBegun, pairing.PhaseAgreed, pairing.PhaseDone},
		says:   [][]byte{nil, []byte("offer"), []byte("done")}, wants: []string{"hello", "accept"},
	}
}

// wire brings the messages of one side to the other, except those that drop takes.
type wire struct {
	out, in chan []byte
	drop    func(msg []byte) bool
	fails   func() error

	mu   sync.Mutex
	puts []string
}

// wires are two ends of one.
func wires() (a, b *wire) {
	x, y := make(chan []byte, 1), make(chan []byte, 1)
	return &wire{out: x, in: y}, &wire{out: y, in: x}
}

// Put leaves a message in the place of the one before.
func (w *wire) Put(_ context.Context, rendezvous string, msg []byte) error {
	if rendezvous != "rendezvous" {
		return fmt.Errorf("put at %q", rendezvous)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails != nil {
		if err := w.fails(); err != nil {
			return err
		}
	}
	w.puts = append(w.puts, string(msg))
	if w.drop != nil && w.drop(msg) {
		return nil
	}
	select {
	case <-w.out:
	default:
	}
	w.out <- msg
	return nil
}

// Get waits for a message that is another than the last.
func (w *wire) Get(ctx context.Context, _ string, have []byte) ([]byte, error) {
	timer := time.NewTimer(25 * time.Second)
	defer timer.Stop()
	for {
		select {
		case msg := <-w.in:
			if sum := sha256.Sum256(msg); !bytes.Equal(sum[:], have) {
				return msg, nil
			}
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func both(t *testing.T, a, b exchange.Options) (errA, errB error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- exchange.Run(ctx, b) }()
	errA = exchange.Run(ctx, a)
	return errA, <-done
}

// TestRun brings both sides to their end, over a wire that loses every message the first
// two times.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toOwner, toCamera := wires()
		seen := map[string]int{}
		var mu sync.Mutex
		lossy := func(msg []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			seen[string(msg)]++
			return seen[string(msg)] <= 2
		}
		toOwner.drop, toCamera.drop = lossy, lossy
		var phases []pairing.Phase
		began := time.Now()
		c, o := camera(), owner()
		errC, errO := both(t, exchange.Options{
			Side: c, Carriers: []exchange.Carrier{toOwner}, Changed: func(p pairing.Phase) { phases = append(phases, p) },
		}, exchange.Options{Side: o, Carriers: []exchange.Carrier{toCamera}, Linger: exchange.Linger})
		if errC != nil || errO != nil || c.Phase() != pairing.PhaseDone || o.Phase() != pairing.PhaseDone {
			t.Errorf("camera %v (%v), owner %v (%v)", c.Phase(), errC, o.Phase(), errO)
		}
		if !slices.Equal(phases, c.phases) {
			t.Errorf("it was told of %v", phases)
		}
		// Four messages, each at its third try; the owner stays for a minute.
		if took := time.Since(began); took < exchange.Linger+2*exchange.Period || took > exchange.Linger+20*exchange.Period {
			t.Errorf("it took %v", took)
		}
	})
}

// TestNoLinger ends as soon as the carrier has the last message, and not before.
func TestNoLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toOwner, toCamera := wires()
		refusals := 3
		toCamera.fails = func() error {
			if refusals--; refusals >= 0 {
				return errors.New("no network")
			}
			return nil
		}
		var troubles []error
		var mu sync.Mutex
		began := time.Now()
		c, o := camera(), owner()
		_, err := both(t, exchange.Options{Side: c, Carriers: []exchange.Carrier{toOwner}},
			exchange.Options{Side: o, Carriers: []exchange.Carrier{toCamera}, Trouble: func(err error) {
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					troubles = append(troubles, err)
				}
			}})
		if err != nil || o.Phase() != pairing.PhaseDone || c.Phase() != pairing.PhaseDone {
			t.Errorf("owner %v, camera %v, %v", o.Phase(), c.Phase(), err)
		}
		if len(troubles) != 3 {
			t.Errorf("it was told of %v", troubles)
		}
		if took := time.Since(began); took >= exchange.Linger {
			t.Errorf("it took %v", took)
		}
	})
}

// TestOwnTrouble: a message that the side could not take is given to it again.
func TestOwnTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toOwner, toCamera := wires()
		c, o := camera(), owner()
		c.broken = 4
		var told []string
		var mu sync.Mutex
		errC, errO := both(t, exchange.Options{Side: c, Carriers: []exchange.Carrier{toOwner}, Trouble: func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				told = append(told, err.Error())
			}
		}}, exchange.Options{Side: o, Carriers: []exchange.Carrier{toCamera}})
		if errC != nil || errO != nil || c.Phase() != pairing.PhaseDone {
			t.Errorf("camera %v (%v), owner %v (%v)", c.Phase(), errC, o.Phase(), errO)
		}
		if len(told) != 4 || told[0] != "disk full" {
			t.Errorf("it was told of %q", told)
		}
	})
}

// TestEndsInTime: a side that nobody answers fails at its deadline, says so for a minute
// where nobody hears it, and leaves.
func TestEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toOwner, _ := wires()
		toOwner.fails = func() error { return errors.New("no network") }
		c := camera()
		c.phases = append(c.phases, pairing.PhaseFailed)
		c.says = append(c.says, []byte("abort"))
		c.deadline = time.Now().Add(pairing.Patience)
		began := time.Now()
		if err := exchange.Run(t.Context(), exchange.Options{Side: c, Carriers: []exchange.Carrier{toOwner}}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < pairing.Patience+exchange.Linger || took > pairing.Patience+exchange.Linger+2*exchange.Period {
			t.Errorf("it took %v", took)
		}
	})
}

// flood brings another wrong message each time that it is asked, at once.
type flood struct{ n int }

// Put takes it.
func (*flood) Put(context.Context, string, []byte) error { return nil }

// Get is at once.
func (f *flood) Get(context.Context, string, []byte) ([]byte, error) {
	f.n++
	return fmt.Appendf(nil, "rubbish %d", f.n), nil
}

// idle never has a message, and does not wait for one.
type idle struct{ n int }

// Put takes it.
func (*idle) Put(context.Context, string, []byte) error { return nil }

// Get is at once.
func (i *idle) Get(context.Context, string, []byte) ([]byte, error) {
	i.n++
	return nil, nil
}

// TestHostileCarriers: who brings rubbish without end, or answers without waiting, is asked
// a bounded number of times, and does not keep another carrier's messages away.
func TestHostileCarriers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toOwner, toCamera := wires()
		bad, lazy := &flood{}, &idle{}
		c, o := camera(), owner()
		// The owner comes after ten minutes.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		late := make(chan error, 1)
		go func() {
			if err := wait.For(ctx, 10*time.Minute); err != nil {
				late <- err
				return
			}
			late <- exchange.Run(ctx, exchange.Options{Side: o, Carriers: []exchange.Carrier{toCamera}})
		}()
		refused := 0
		err := exchange.Run(ctx, exchange.Options{
			Side: c, Carriers: []exchange.Carrier{bad, lazy, toOwner}, Refused: func(error) { refused++ },
		})
		if err := errors.Join(err, <-late); err != nil || c.Phase() != pairing.PhaseDone {
			t.Errorf("camera %v, %v", c.Phase(), err)
		}
		if bad.n > 20*60*11 || refused < 1000 || lazy.n > 220 {
			t.Errorf("asked for rubbish %d times (%d refused), the lazy one %d times", bad.n, refused, lazy.n)
		}
	})
}

// TestStops leaves nothing behind when its context ends.
func TestStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toOwner, _ := wires()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := exchange.Run(ctx, exchange.Options{Side: camera(), Carriers: []exchange.Carrier{toOwner}}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
		if err := exchange.Run(t.Context(), exchange.Options{Side: camera()}); err == nil {
			t.Error("it carries with nothing")
		}
	})
}
