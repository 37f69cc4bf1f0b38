package light_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/hw/light"
)

// lamp is an LED of the kernel's, in a directory.
func lamp(t *testing.T) (root string, brightness func() string) {
	t.Helper()
	root = t.TempDir()
	dir := filepath.Join(root, "status")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"max_brightness": "255\n", "brightness": "7\n", "trigger": "[heartbeat] none\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root, func() string {
		b, err := os.ReadFile(filepath.Join(dir, "brightness"))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
}

// TestPatterns looks at the lamp every 50 ms, in the middle between the changes.
func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern light.Pattern
		for50ms int
		changes int // of the lamp, from dark
		end     string
	}{
		{light.Off, 100, 0, "0"},
		{light.Looking, 200, 10, "0"}, // 10 s: on, off, …
		{light.Pairing, 20, 10, "0"},  // 1 s
		{light.Paired, 100, 1, "255"}, // 5 s
		{light.Paired, 400, 2, "0"},   // 20 s
		{light.Failed, 40, 6, "0"},    // 2 s: three blinks
		{light.Failed, 150, 11, "255"},
	} {
		synctest.Test(t, func(t *testing.T) {
			root, brightness := lamp(t)
			l, err := light.Open(root, "status", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- l.Run(ctx) }()
			synctest.Wait()
			l.Show(c.pattern)
			time.Sleep(25 * time.Millisecond)
			last, changes := "0", 0
			for range c.for50ms {
				if now := brightness(); now != last {
					last = now
					changes++
				}
				time.Sleep(50 * time.Millisecond)
			}
			if changes != c.changes || last != c.end {
				t.Errorf("%s: %d changes, then %s; want %d, %s", c.pattern, changes, last, c.changes, c.end)
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("it ended with %v", err)
			}
			if brightness() != "0" {
				t.Error("the lamp stays on")
			}
		})
	}
}

func TestNoLamp(t *testing.T) {
	root, _ := lamp(t)
	for _, name := range []string{"", ".", "..", "../status", "a/b", "other"} {
		if _, err := light.Open(root, name, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("the lamp %q is opened", name)
		}
	}
}
