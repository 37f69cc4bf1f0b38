package hint

import "time"

const (
	// clockSlack is how old a hint may be when it comes in a session.
	clockSlack = 15 * time.Second
	// clockDrift is how far two clocks part, as a share of the time: 100 ppm.
	clockDrift = 10_000
)

// Clock is what a device knows of its hub's clock. The zero value knows nothing. Times
// of the device are durations by a clock that never goes back. It is not safe for
// concurrent use.
type Clock struct {
	known bool
	hub   time.Time     // what the hub's clock showed at least,
	at    time.Duration // at this time
}

// Set notes that the hub's clock shows hub, or up to 15 seconds more.
func (c *Clock) Set(now time.Duration, hub time.Time) { c.known, c.at, c.hub = true, now, hub }

// Known says that Set was called.
func (c *Clock) Known() bool { return c.known }

// Fresh says that a hint was certainly issued after the time since, and has certainly
// not expired at now.
func (c *Clock) Fresh(s *Statement, since, now time.Duration) bool {
	if !c.known {
		return false
	}
	latest := func(t time.Duration) time.Time { // the hub's clock at t, at the latest
		return c.hub.Add(t - c.at + clockSlack + (t-c.at).Abs()/clockDrift)
	}
	return s.Issued.After(latest(since)) && s.Expires.After(latest(now))
}
