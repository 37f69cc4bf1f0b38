package hubtest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/lensward/lensward/transport/hub"
)

// Start runs a hub until the test ends, and gives it once it can be connected to. What
// is wrong goes to the test's log, unless o has another.
func Start(t testing.TB, o hub.Options) *hub.Hub {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	h, err := hub.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("hub: %v", err)
		}
	})
	select {
	case <-h.Ready():
	case err := <-done:
		done <- err
		t.Fatalf("the hub ended before it was ready: %v", err)
	}
	return h
}
