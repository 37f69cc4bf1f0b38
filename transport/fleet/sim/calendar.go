package sim

import "time"

// Tick is the simulator's unit of time.
const Tick = 10 * time.Millisecond

// tick counts Ticks since the hub died.
type tick uint32

// after is the first tick at or after t.
func after(t time.Duration) tick { return tick((max(t, 0) + Tick - 1) / Tick) }

func (t tick) time() time.Duration { return time.Duration(t) * Tick }

// calendar is the queue of what devices will do: a wheel of buckets, one a tick, each a
// list through the devices themselves. A device has at most one entry. Nothing is
// allocated after it was made, and what lies more than a turn ahead waits in its bucket.
type calendar struct {
	head []int32 // device + 1, 0 is none
	next []int32
	at   []tick
	mask tick
}

const wheelBits = 19 // 87 minutes a turn

func newCalendar(devices int) *calendar {
	return &calendar{
		head: make([]int32, 1<<wheelBits), mask: 1<<wheelBits - 1,
		next: make([]int32, devices), at: make([]tick, devices),
	}
}

// add enters a device that has no entry.
func (c *calendar) add(device int32, at tick) {
	bucket := at & c.mask
	c.next[device], c.at[device] = c.head[bucket], at
	c.head[bucket] = device + 1
}

// take calls due for each device whose entry is for now, without it. What due adds must
// be for later.
func (c *calendar) take(now tick, due func(device int32)) {
	bucket := now & c.mask
	list := c.head[bucket]
	c.head[bucket] = 0
	for list != 0 {
		device := list - 1
		list = c.next[device]
		if c.at[device] != now {
			c.add(device, c.at[device])
			continue
		}
		due(device)
	}
}
