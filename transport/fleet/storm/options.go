package storm

import (
	"errors"
	"fmt"
	"time"
)

// Policy is how devices reconnect.
type Policy string

// The policies.
const (
	// Ours is transport/recovery, as in the agent.
	Ours Policy = "ours"
	// Paho is the reconnecting that paho.mqtt.golang does by itself.
	Paho Policy = "paho"
)

// Advice is what devices know of their fleet.
type Advice string

// The kinds of advice.
const (
	// FromHub is the hub's own hint, signed, from the hub and from a web server.
	FromHub Advice = "hub"
	// Right is what a hub would say that knows all: the fleet's size over what was measured.
	Right Advice = "right"
	// None is no hint.
	None Advice = "none"
)

// Limits of a storm's settings.
const (
	MaxDevices   = 50_000
	MaxProcesses = 32
	MaxItems     = 1000
)

// Options say what storm it is.
type Options struct {
	// Program is the lensctl to run: the hub and the workers are its verbs.
	Program string
	// Dir is where the storm makes its directory, which is removed in the end; "" is the
	// system's for temporary files. On a tmpfs an fsync costs nothing.
	Dir string
	// Devices, 1 to MaxDevices, are spread over Processes, 1 to MaxProcesses.
	Devices, Processes int
	// Items is how many items each device seals while the hub is dead, 0 to MaxItems.
	Items  int
	Policy Policy
	Hint   Advice
	// Admit is how many connects a second the hub is held to take; 0 measures it.
	Admit float64
	// Drain is how many messages of their backlog all devices together may send in a
	// second, by the right hint; 0 is half as many as the hub admits connects.
	Drain float64
	// Outage is how long the hub is dead, at least: sealing the items may take longer.
	Outage time.Duration
	// Limit is how long to wait for the fleet after the hub's return; 0 is a minute, ten
	// times the ideal, and twice what the backlog takes at the hinted drain.
	Limit time.Duration
	// Mixup is the probability with which the hub lies to viewers; Viewers is how many
	// owners look, 0 to Devices.
	Mixup   float64
	Viewers int
	// Progress, where set, is told what is under way and how much of it is done.
	Progress func(stage string, done, of int)
}

// Validate says which setting is out of its range.
func (o Options) Validate() error {
	switch {
	case o.Devices < 1 || o.Devices > MaxDevices:
		return fmt.Errorf("%d devices are not from 1 to %d", o.Devices, MaxDevices)
	case o.Processes < 1 || o.Processes > MaxProcesses || o.Processes > o.Devices:
		return fmt.Errorf("%d processes are not from 1 to %d, or more than devices", o.Processes, MaxProcesses)
	case o.Items < 0 || o.Items > MaxItems:
		return fmt.Errorf("%d items are not from 0 to %d", o.Items, MaxItems)
	case o.Policy != Ours && o.Policy != Paho:
		return fmt.Errorf("policy %q is not %s or %s", o.Policy, Ours, Paho)
	case o.Hint != FromHub && o.Hint != Right && o.Hint != None:
		return fmt.Errorf("hint %q is not %s, %s or %s", o.Hint, FromHub, Right, None)
	case !(o.Admit >= 0) || !(o.Drain >= 0) || o.Outage < 0 || o.Limit < 0:
		return errors.New("a rate or a duration is negative")
	case !(o.Mixup >= 0 && o.Mixup <= 1):
		return fmt.Errorf("mix-up probability %v is not from 0 to 1", o.Mixup)
	case o.Viewers < 0 || o.Viewers > o.Devices:
		return fmt.Errorf("%d viewers are not from 0 to the number of devices", o.Viewers)
	}
	return nil
}
