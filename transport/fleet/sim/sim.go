// Package sim plays a fleet's return after an outage: every device with the agent's own
// schedule (transport/recovery) or a rival's rule, one server by one of three models, and
// the hub's own measuring and hinting.
//
// It owns the models and what is counted. It never reads a clock and never decides when a
// device connects: the same settings and seed give the same result on every machine.
package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lensward/lensward/transport/recovery"
)

// Hint says what devices and hub believe before the outage.
type Hint string

// The hints.
const (
	// NoHint: nobody has ever had a hint, and none comes.
	NoHint Hint = "none"
	// Right: the window that the fleet needs.
	Right Hint = "right"
	// Small4 and Large4: a window four times too small or too large, because the hub
	// thinks that it can admit four times as much, or a quarter, of what it can.
	Small4 Hint = "small4"
	Large4 Hint = "large4"
)

// Hints are all of them.
func Hints() []Hint { return []Hint{Right, NoHint, Small4, Large4} }

// Items is how many messages each device has spooled.
const Items = 10

// Config is what to play.
type Config struct {
	Devices int
	// Admit is how many connects a second the server can take, at least 1.
	Admit float64
	// Outage is from the server's death to its return.
	Outage time.Duration
	Model  Model
	Policy Policy
	Hint   Hint
	Seed   uint64

	// Fetch says that hints can be had from elsewhere than the hub.
	Fetch bool
	// Mix is the share of the devices that use paho's own reconnecting instead.
	Mix float64
	// Gate puts the hub's gate before the server.
	Gate bool
	// Flaky is how often the server dies again: each time a minute after its return, for
	// a minute.
	Flaky int
	// Drain is how many messages a second the hub takes from the fleet's backlogs; 0 is
	// four for each connect.
	Drain float64
	// Limit is how long after the return to go on at most; 0 is the longest of two hours,
	// four times the ideal and a quarter of the outage.
	Limit time.Duration
	// Settings are the law's; nil is the default.
	Settings *recovery.Settings
	// Progress, unless nil, is told how many devices are online, about once for each
	// simulated minute.
	Progress func(online int)
}

// Ideal is the time in which a server that is never idle lets everyone in.
func (c Config) Ideal() time.Duration {
	return time.Duration(float64(c.Devices) / c.Admit * float64(time.Second))
}

// flakyPause is how long a flaky server lives, and how long it is dead.
const flakyPause = time.Minute

// flakyTime is from a flaky server's first return to its last.
func (c Config) flakyTime() time.Duration { return time.Duration(2*c.Flaky) * flakyPause }

func (c Config) withDefaults() Config {
	if c.Drain == 0 {
		c.Drain = 4 * c.Admit
	}
	if c.Limit == 0 {
		c.Limit = max(2*time.Hour, 4*c.Ideal(), c.Outage/4)
	}
	if c.Settings == nil {
		set := recovery.DefaultSettings()
		c.Settings = &set
	}
	set := *c.Settings
	set.Fetch = c.Fetch && c.Hint != NoHint
	c.Settings = &set
	return c
}

// maxSpan keeps ticks and the second's counts in memory.
const maxSpan = 100 * 24 * time.Hour

func (c Config) validate() error {
	switch {
	case c.Devices < 1 || c.Devices > 100_000_000:
		return fmt.Errorf("%d devices are not from 1 to 100,000,000", c.Devices)
	case !(c.Admit >= 1 && c.Admit <= 1e9):
		return fmt.Errorf("%v admitted connects a second are not from 1 to 1e9", c.Admit)
	case c.Outage < 0 || c.Limit < 0 || c.Outage > maxSpan || c.Limit > maxSpan || c.Outage+c.Limit > maxSpan:
		return fmt.Errorf("an outage of %v and %v after it are not from 0 to %v in all", c.Outage, c.Limit, maxSpan)
	case !(c.Mix >= 0 && c.Mix <= 1):
		return fmt.Errorf("a share of %v is not from 0 to 1", c.Mix)
	case c.Flaky < 0 || c.Flaky > 1000:
		return fmt.Errorf("%d further deaths are not from 0 to 1000", c.Flaky)
	case !(c.Drain > 0 && c.Drain <= 1e12):
		return fmt.Errorf("a drain of %v messages a second is not above 0 and at most 1e12", c.Drain)
	}
	if _, ok := c.Hint.factor(); !ok && c.Hint != NoHint {
		return fmt.Errorf("no hint is called %q", c.Hint)
	}
	return c.Settings.Validate()
}

// factor is the hinted window over the right one.
func (h Hint) factor() (float64, bool) {
	switch h {
	case Right:
		return 1, true
	case Small4:
		return 0.25, true
	case Large4:
		return 4, true
	}
	return 0, false
}

// ErrConfig is a configuration that cannot be played.
var ErrConfig = errors.New("settings")

// Run plays until everyone is back or the limit is reached.
func Run(ctx context.Context, c Config) (*Result, error) {
	if err := ctx.Err(); err != nil { // a large fleet takes its time to be made
		return nil, fmt.Errorf("simulate fleet: %w", err)
	}
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("simulate fleet: %w: %w", ErrConfig, err)
	}
	f, err := newFleet(c)
	if err != nil {
		return nil, fmt.Errorf("simulate fleet: %w: %w", ErrConfig, err)
	}
	if err := f.run(ctx); err != nil {
		return nil, fmt.Errorf("simulate fleet: %w", err)
	}
	return f.result(), nil
}
