package main

import (
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/recovery"
)

// TestStatusSaysWhatIsWaitedFor reads like a person who wonders why their camera does
// not connect.
func TestStatusSaysWhatIsWaitedFor(t *testing.T) {
	now := time.Now()
	s := agent.Stats{Hub: "hub.example:8883 (198.51.100.1)", Delivery: transport.Stats{
		State: transport.Waiting, Next: "connect", NextAt: now.Add(3*time.Minute + 12*time.Second), Outcome: recovery.TimedOut.String(),
		Hint: &transport.HintStats{Window: 217 * time.Second, Drain: 0.125, Came: now.Add(-time.Hour)},
	}}
	var out strings.Builder
	if err := printStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"next connect in 3m1", ": the hub does not answer", "hub       hub.example:8883 (198.51.100.1)",
		"hint      the fleet needs 3m37s to come back, the backlog goes at 0.125 items a second (heard 1h0m0s ago)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the status does not say %q:\n%s", want, out.String())
		}
	}
	s.Delivery.State = transport.Delivering
	s.Delivery.Hint.Came = time.Time{}
	out.Reset()
	if err := printStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "next") || !strings.Contains(out.String(), "(kept from before the start)") {
		t.Errorf("connected, the status says\n%s", out.String())
	}
}

// TestEveryOutcomeHasWords holds a list to another package's.
func TestEveryOutcomeHasWords(t *testing.T) {
	for o := recovery.Refused; o <= recovery.NoName; o++ {
		if reason(o.String()) == o.String() {
			t.Errorf("%v has no words", o)
		}
	}
}
