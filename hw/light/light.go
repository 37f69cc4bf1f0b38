// Package light shows by a lamp how a camera is, to who stands before it.
//
// It owns one LED of the kernel's LED class and the patterns. It never decides what is to
// be shown, and a lamp that cannot be switched stops nothing.
package light

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lensward/lensward/internal/wait"
)

// Pattern is what the lamp does.
type Pattern string

// The patterns.
const (
	// Off: dark.
	Off Pattern = "off"
	// Looking: a second on, a second off.
	Looking Pattern = "looking"
	// Pairing: five times a second.
	Pairing Pattern = "pairing"
	// Paired: steady for ten seconds, then dark.
	Paired Pattern = "paired"
	// Failed: three blinks, then as Looking.
	Failed Pattern = "failed"
)

// step is a state of the lamp and how long it lasts; 0 is until another pattern.
type step struct {
	on   bool
	last time.Duration
}

// steps are what a pattern begins with, and what it repeats then.
func (p Pattern) steps() (once, always []step) {
	slow := []step{{true, time.Second}, {false, time.Second}}
	switch p {
	case Looking:
		return nil, slow
	case Pairing:
		return nil, []step{{true, 100 * time.Millisecond}, {false, 100 * time.Millisecond}}
	case Paired:
		return []step{{true, 10 * time.Second}}, []step{{false, 0}}
	case Failed:
		blink := []step{{true, 300 * time.Millisecond}, {false, 300 * time.Millisecond}}
		once = append(append(append(once, blink...), blink...), blink...)
		return append(once, step{false, time.Second}), slow
	default:
		return nil, []step{{false, 0}}
	}
}

// LED is a lamp below /sys/class/leds.
type LED struct {
	dir string
	max string
	log *slog.Logger

	mu      sync.Mutex
	pattern Pattern
	changed chan struct{} // closed and made anew at each new pattern
}

// Open takes the LED of this name in root, "" for /sys/class/leds. Whatever triggered it
// before does so no more.
func Open(root, name string, log *slog.Logger) (*LED, error) {
	if root == "" {
		root = "/sys/class/leds"
	}
	if name == "" || name != filepath.Base(name) || name == ".." || name == "." {
		return nil, fmt.Errorf("open LED %q: not a name in %s", name, root)
	}
	l := &LED{dir: filepath.Join(root, name), log: log, pattern: Off, changed: make(chan struct{})}
	b, err := os.ReadFile(filepath.Join(l.dir, "max_brightness"))
	if err != nil {
		return nil, fmt.Errorf("open LED: %w", err)
	}
	l.max = strings.TrimSpace(string(b))
	if err := l.write("trigger", "none"); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("open LED: %w", err)
	}
	return l, nil
}

// Show begins a pattern. It never waits.
func (l *LED) Show(p Pattern) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p == l.pattern && p != Failed {
		return
	}
	l.pattern = p
	close(l.changed)
	l.changed = make(chan struct{})
}

// Run switches the lamp until ctx is done, whose error it returns, and leaves it dark.
func (l *LED) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		l.mu.Lock()
		p, changed := l.pattern, l.changed
		l.mu.Unlock()
		l.play(ctx, p, changed)
	}
	l.set(false)
	return ctx.Err()
}

// play shows one pattern until there is another.
func (l *LED) play(ctx context.Context, p Pattern, changed <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(); <-watched }()
	once, always := p.steps()
	for i := 0; ctx.Err() == nil; i++ {
		s := always[max(0, i-len(once))%len(always)]
		if i < len(once) {
			s = once[i]
		}
		l.set(s.on)
		if s.last == 0 {
			<-ctx.Done()
			return
		}
		if wait.For(ctx, s.last) != nil {
			return
		}
	}
}

// set switches the lamp. What fails is logged and changes nothing.
func (l *LED) set(on bool) {
	value := "0"
	if on {
		value = l.max
	}
	if err := l.write("brightness", value); err != nil {
		l.log.Debug("the LED cannot be switched", "error", err)
	}
}

func (l *LED) write(file, value string) error {
	return os.WriteFile(filepath.Join(l.dir, file), []byte(value), 0o644)
}
