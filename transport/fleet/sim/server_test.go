package sim

import (
	"math/rand/v2"
	"testing"
	"time"
)

// load asks a server for so many connects a second, by ever new devices, and gives how many
// were let in, turned away and given up.
func load(t *testing.T, m Model, gate bool, rate, asked float64, d time.Duration) (in, refusals, drops, given int) {
	t.Helper()
	s, err := newServer(m, rate, 10_000_000, gate)
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	var device int32
	var due float64
	for now := tick(1); now <= after(d); now++ {
		for due += asked * Tick.Seconds(); due >= 1; due-- {
			switch s.ask(device, now) {
			case admitted:
				in++
			case refused:
				refusals++
			case dropped:
				drops++
			}
			device++
		}
		s.serve(now, func(int32) { in++ }, func(int32) { given++ })
	}
	return in, refusals, drops, given
}

func TestModels(t *testing.T) {
	const second, minute = time.Second, time.Minute
	for name, c := range map[string]struct {
		m                        Model
		gate                     bool
		asked                    float64
		d                        time.Duration
		in, refused, drop, given [2]int // from, to
	}{
		"s1 below its rate":    {Queue, false, 490, minute, [2]int{29390, 29400}, [2]int{}, [2]int{}, [2]int{}},
		"s1 overloaded":        {Queue, false, 2000, 10 * minute, [2]int{3000, 5000}, [2]int{}, [2]int{1e6, 1.2e6}, [2]int{1e5, 2e5}},
		"s2 below its rate":    {Drop, false, 490, minute, [2]int{29390, 29400}, [2]int{}, [2]int{}, [2]int{}},
		"s2 overloaded":        {Drop, false, 2000, minute, [2]int{29990, 30010}, [2]int{}, [2]int{85800, 86000}, [2]int{}},
		"s3 below its rate":    {Admit, false, 490, minute, [2]int{29390, 29400}, [2]int{}, [2]int{}, [2]int{}},
		"s3 overloaded":        {Admit, false, 2000, minute, [2]int{28100, 28300}, [2]int{91700, 91900}, [2]int{}, [2]int{}},
		"s3 beyond everything": {Admit, false, 100_000, 10 * second, [2]int{120, 130}, [2]int{999000, 1000000}, [2]int{}, [2]int{}},
		"s1 behind a gate":     {Queue, true, 2000, minute, [2]int{25000, 26500}, [2]int{92000, 94000}, [2]int{}, [2]int{}},
	} {
		t.Run(name, func(t *testing.T) {
			in, refused, drop, given := load(t, c.m, c.gate, 500, c.asked, c.d)
			for what, v := range map[string]struct {
				is   int
				want [2]int
			}{"let in": {in, c.in}, "refused": {refused, c.refused}, "dropped": {drop, c.drop}, "given up": {given, c.given}} {
				if v.is < v.want[0] || v.is > v.want[1] {
					t.Errorf("%d %s, want %v", v.is, what, v.want)
				}
			}
		})
	}
}

// Whom the gate has refused it drops for a minute, at a tenth of the cost.
func TestGateDropsWhoComesAgain(t *testing.T) {
	s, err := newServer(Admit, 100, 2, true)
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	s.budget = 0
	for _, c := range []struct {
		at   tick
		cost float64
	}{{1, refusalCost}, {2, dropCost}, {after(gatePenalty), dropCost}, {after(gatePenalty) + 1, refusalCost}} {
		s.used = 0
		if got := s.ask(1, c.at); got != refused || s.used != c.cost {
			t.Errorf("at %v: answer %d, cost %v; want %v", c.at.time(), got, s.used, c.cost)
		}
	}
}

// Every device's entry comes once, at its time, however far ahead.
func TestCalendar(t *testing.T) {
	const devices = 2000
	r := rand.New(rand.NewPCG(1, 1))
	c := newCalendar(devices)
	want := make([]tick, devices)
	last := tick(0)
	for i := range want {
		want[i] = tick(1 + r.IntN(3<<wheelBits))
		last = max(last, want[i])
		c.add(int32(i), want[i])
	}
	taken := 0
	for now := tick(1); now <= last; now++ {
		c.take(now, func(device int32) {
			taken++
			if want[device] != now {
				t.Fatalf("device %d at %d, want %d", device, now, want[device])
			}
			if again := now + tick(1+r.IntN(1<<wheelBits)); again <= last {
				want[device] = again
				taken--
				c.add(device, again)
			}
		})
	}
	if taken != devices {
		t.Errorf("%d of %d devices came", taken, devices)
	}
}
