package sim

import (
	"context"
	"time"

	"github.com/lensward/lensward/transport/recovery"
)

// notice is how long after a server's death the last device has noticed.
const notice = time.Second

// Where a device stands.
type stand uint8

const (
	waiting stand = 0
	asking  stand = 1
	online  stand = 2
)

// fleet is the devices, their server and what was counted.
type fleet struct {
	c        Config
	calendar *calendar
	server   *server
	hub      *hub
	rule     backoff

	// The first devices are rivals, the others ours.
	rivals []rival
	ours   []recovery.Schedule
	stands []stand
	rand   uint64

	now   tick
	alive bool
	died  tick   // when the server died last
	turns []tick // when it returns, dies, returns …
	count count
}

func newFleet(c Config) (*fleet, error) {
	s, err := newServer(c.Model, c.Admit, c.Devices, c.Gate)
	if err != nil {
		return nil, err
	}
	rivals, policy := int(c.Mix*float64(c.Devices)), Paho
	if c.Policy != Ours {
		rivals, policy = c.Devices, c.Policy
	}
	r, err := rule(policy)
	if err != nil {
		return nil, err
	}
	f := &fleet{
		c: c, calendar: newCalendar(c.Devices), server: s, hub: newHub(c), rule: r,
		rivals: make([]rival, rivals), ours: make([]recovery.Schedule, c.Devices-rivals),
		stands: make([]stand, c.Devices), rand: c.Seed,
		turns: []tick{max(1, after(c.Outage))},
	}
	for i := range c.Flaky {
		again := c.Outage + time.Duration(2*i+1)*flakyPause
		f.turns = append(f.turns, after(again), after(again+flakyPause))
	}
	f.count = newCount(c, rivals)
	f.found()
	return f, nil
}

// found puts every device into a good session that ends at tick 0.
func (f *fleet) found() {
	for i := range f.rivals {
		f.rivals[i].rand = f.c.Seed ^ uint64(i)*0xd1342543de82ef95
	}
	for i := range f.ours {
		f.ours[i] = *recovery.New(f.c.Settings, f.c.Seed<<32^uint64(i))
		s := &f.ours[i]
		s.Admitted(0)
		if f.hub != nil {
			s.Hinted(0, f.hub.current.hint, true)
		}
	}
	for device := range int32(f.c.Devices) {
		f.lose(device, 0)
	}
}

// lose ends a device's session, as the device notices it.
func (f *fleet) lose(device int32, now tick) {
	at := now.time() + time.Duration(share(&f.rand)*float64(notice))
	f.stands[device] = waiting
	if r := f.rival(device); r != nil {
		r.n, r.last = 0, 0
		f.enter(device, after(at+r.wait(f.rule)))
		return
	}
	f.our(device).Ended(f.clock(at), false)
	f.enter(device, f.next(device, at))
}

func (f *fleet) rival(device int32) *rival {
	if int(device) < len(f.rivals) {
		return &f.rivals[device]
	}
	return nil
}

func (f *fleet) our(device int32) *recovery.Schedule { return &f.ours[int(device)-len(f.rivals)] }

// next is when the schedule wants to do something.
func (f *fleet) next(device int32, at time.Duration) tick {
	return after(at + f.our(device).Next(f.clock(at)).Wait)
}

// clock is the devices' own: theirs began with a session that was good when the server
// died.
func (f *fleet) clock(at time.Duration) time.Duration { return at + f.c.Settings.Good }

// enter notes when a device will do something. What it does while the server is dead
// concerns nobody else and is played at once, for all of the outage.
func (f *fleet) enter(device int32, at tick) {
	for !f.alive && at < f.turns[0] {
		at = f.vain(device, at)
	}
	f.calendar.add(device, max(f.now+1, at))
}

// run plays the outage and what follows.
func (f *fleet) run(ctx context.Context) error {
	end := f.turns[len(f.turns)-1] + after(f.c.Limit)
	for f.now = 1; f.now <= end && (f.count.whole.online < f.c.Devices || len(f.turns) > 0); f.now++ {
		if len(f.turns) > 0 && f.now == f.turns[0] {
			f.turn()
		}
		f.calendar.take(f.now, f.act)
		if f.alive {
			f.server.serve(f.now, f.admit, f.giveUp)
		}
		if f.now%after(time.Second) == 0 {
			f.second()
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// turn is the server's return, or another death.
func (f *fleet) turn() {
	f.turns = f.turns[1:]
	f.alive = !f.alive
	if f.alive {
		f.count.returned(f.now)
		f.server.start()
		if f.hub != nil {
			f.hub.age, f.hub.admitted = 0, 0
		}
		return
	}
	f.died = f.now
	f.count.died(f.now)
	for device, s := range f.stands {
		switch s {
		case online:
			f.lose(int32(device), f.now)
		case asking: // its connection breaks
			f.failed(int32(device), recovery.Refused)
		}
	}
}

// second is what comes round once a second.
func (f *fleet) second() {
	if f.alive && f.hub != nil && f.now > f.count.back {
		f.hub.second(f.now, f.server.sample(f.hub.admitted, f.c.Devices, f.count.whole.online))
		f.hub.admitted = 0
	}
	f.count.second()
	if f.c.Progress != nil && f.now%after(time.Minute) == 0 {
		f.c.Progress(f.count.whole.online)
	}
}

// act is a device whose time has come.
func (f *fleet) act(device int32) {
	if !f.alive {
		f.enter(device, f.now)
		return
	}
	if f.fetches(device, f.now) {
		f.enter(device, f.fetch(device, f.now))
		return
	}
	f.count.attempt(f.now, true)
	switch f.server.ask(device, f.now) {
	case admitted:
		f.admit(device)
	case queued:
		f.stands[device] = asking
	case refused:
		f.failed(device, recovery.Refused)
	case dropped:
		f.enter(device, f.outcome(device, f.now+after(Patience), recovery.TimedOut))
	}
}

// fetches says whether what the device does now is to ask for a hint.
func (f *fleet) fetches(device int32, now tick) bool {
	return f.rival(device) == nil && f.our(device).Next(f.clock(now.time())).Do == recovery.FetchHint
}

// fetch asks the CDN, and says when the device does something again.
func (f *fleet) fetch(device int32, now tick) tick {
	f.count.fetched(now, f.alive)
	p := f.hub.cdn
	f.our(device).Hinted(f.clock(now.time()), p.hint, p.issued > f.died)
	return max(now+1, f.next(device, now.time()))
}

// outcome tells a device that its connect came to nothing, and says when it does something
// again.
func (f *fleet) outcome(device int32, at tick, o recovery.Outcome) tick {
	f.stands[device] = waiting
	if r := f.rival(device); r != nil {
		return max(at+1, at+after(r.wait(f.rule)))
	}
	f.our(device).Failed(f.clock(at.time()), o)
	return max(at+1, f.next(device, at.time()))
}

// failed is a connect that comes to nothing now.
func (f *fleet) failed(device int32, o recovery.Outcome) {
	f.enter(device, f.outcome(device, f.now, o))
}

// giveUp is a device whose request has waited for too long.
func (f *fleet) giveUp(device int32) { f.failed(device, recovery.Stalled) }

// admit is a device that gets in, and sends what it has.
func (f *fleet) admit(device int32) {
	f.stands[device] = online
	drain := 0.0
	if f.rival(device) == nil {
		s := f.our(device)
		s.Admitted(f.clock(f.now.time()))
		if f.hub != nil {
			s.Hinted(f.clock(f.now.time()), f.hub.current.hint, true)
		}
		drain = s.Drain()
	}
	if f.hub != nil {
		f.hub.admitted++
	}
	f.count.admit(f.now, f.rival(device) != nil)
	f.count.backlog(f.now, drain, share(&f.rand))
}

// vain is what a device does while the server is dead. It says when it does something
// again.
//
// Where windows neither grow nor shrink, it does the same again and again until the server
// returns: all but the last rounds are counted, not played. The schedule itself says
// whether that is so: a failure that is reported many whole windows later must leave it
// with a window of the same width.
func (f *fleet) vain(device int32, now tick) tick {
	if f.fetches(device, now) {
		return f.fetch(device, now)
	}
	f.count.attempt(now, false)
	at := now + after(Patience)
	if f.rival(device) == nil {
		s := f.our(device)
		width := s.Window()
		if rounds := (f.turns[0]-now).time()/width - 3; rounds > 0 {
			later := *s
			if later.Failed(f.clock(at.time())+rounds*width, recovery.TimedOut); later.Window() == width {
				*s = later
				f.count.dead += int(rounds)
				return f.next(device, at.time()+rounds*width)
			}
		}
	}
	return f.outcome(device, at, recovery.TimedOut)
}
