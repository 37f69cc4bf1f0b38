package sim

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"testing"
	"time"
)

func play(t *testing.T, c Config) *Result {
	t.Helper()
	if c.Devices == 0 {
		c.Devices, c.Admit = 100_000, 500
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	if c.Policy == "" {
		c.Policy = Ours
	}
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What a fleet must reach, for one outage. scripts/fleet-goals.sh has all
// outages, more seeds and larger fleets.
func TestGoals(t *testing.T) {
	for _, g := range Goals(50_000) {
		if g.Config.Outage != time.Hour {
			continue
		}
		for _, m := range g.Models {
			c := g.Config
			c.Model = m
			for _, b := range g.Broken(play(t, c)) {
				t.Errorf("%s, %s: %s", g.Name, m, b)
			}
		}
	}
}

// A goal that nothing can miss is none.
func TestGoalsCanBeMissed(t *testing.T) {
	for _, g := range Goals(1000) {
		bad := &Result{Times: Times{T99: 3}, Peak10: 2, Wasted: 1, MessagePeak10: 2, HintOverRight: 4, Online: 0.5}
		if len(g.Broken(bad)) == 0 {
			t.Errorf("%s: nothing is missed by %+v", g.Name, bad)
		}
	}
}

// The same seed gives the same run, another seed another.
func TestDeterminism(t *testing.T) {
	c := Config{Devices: 20_000, Admit: 500, Outage: time.Minute, Model: Queue, Hint: Small4, Fetch: true, Mix: 0.2, Gate: true, Flaky: 1}
	one, same := play(t, c), play(t, c)
	if !reflect.DeepEqual(one, same) {
		t.Error("two runs with one seed differ")
	}
	c.Seed = 2
	if reflect.DeepEqual(one.Series, play(t, c).Series) {
		t.Error("two seeds give one run")
	}
}

// How long an outage was, in whole windows, changes nothing of what comes after it: rounds
// that are counted and not played are those that would have been played.
func TestLongOutagesAreShort(t *testing.T) {
	c := Config{Devices: 92_000, Admit: 500, Model: Admit, Hint: Right} // a window of 200 s
	after := func(outage time.Duration) ([]uint32, float64) {
		c.Outage = outage
		r := play(t, c)
		return r.Series.Attempts[r.Series.Return:][:300], r.Dead
	}
	short, few := after(550 * time.Second)
	long, many := after(550*time.Second + 300*200*time.Second)
	if !reflect.DeepEqual(short, long) {
		t.Error("attempts differ after outages that are 300 windows apart")
	}
	if math.Abs(many-few-300) > 0.001 {
		t.Errorf("%.3f and %.3f attempts a device during the outages, want 300 more", few, many)
	}
}

// A rival that does not get back in s1 does so in s2.
func TestRivals(t *testing.T) {
	for _, p := range []Policy{Azure, GRPC, AWS} {
		c := Config{Outage: 10 * time.Minute, Policy: p, Hint: NoHint, Limit: 10 * time.Minute, Model: Queue}
		if r := play(t, c); r.Online > 0.3 {
			t.Errorf("%s: %.2f online in s1", p, r.Online)
		}
		c.Model = Drop
		if r := play(t, c); r.Online < 0.99 || r.T99 > 2.5 {
			t.Errorf("%s: %.2f online in s2, T99 %.2f", p, r.Online, r.T99)
		}
	}
}

// Each rule waits as its library does, after one failure, after two and after many.
func TestRules(t *testing.T) {
	type span struct{ from, to float64 } // seconds
	for p, want := range map[Policy]struct{ first, second, last span }{
		Paho:         {span{0, 0}, span{1, 1}, span{600, 600}},
		Fixed5:       {span{5, 5}, span{5, 5}, span{5, 5}},
		Azure:        {span{0.95, 1.05}, span{1.9, 2.1}, span{28.5, 31.5}},
		Tailscale:    {span{0.005, 0.015}, span{0.02, 0.06}, span{15, 45}},
		GRPC:         {span{0.8, 1.2}, span{1.28, 1.92}, span{96, 144}},
		AWS:          {span{0, 1}, span{0, 2}, span{0, 128}},
		Decorrelated: {span{1, 3}, span{1, 9}, span{1, 128}},
	} {
		rule, err := rule(p)
		if err != nil {
			t.Fatal(err)
		}
		r := rival{rand: 1}
		for n := range 100_000 {
			is := r.wait(rule).Seconds()
			between := span{0, want.last.to}
			switch {
			case n == 0:
				between = want.first
			case n == 1:
				between = want.second
			case n >= 100:
				between = want.last
			}
			if is < between.from-1e-6 || is > between.to+1e-6 {
				t.Fatalf("%s: %v s after %d failures, want %v", p, is, n+1, between)
			}
		}
	}
}

// Half a fleet that has no manners takes the other half down with it, unless there is a
// gate.
func TestGate(t *testing.T) {
	c := Config{Outage: 10 * time.Minute, Model: Queue, Hint: Right, Fetch: true, Mix: 0.5, Limit: time.Hour}
	if r := play(t, c); r.Ours.T99 < 3 {
		t.Errorf("without a gate ours are back after %.2f", r.Ours.T99)
	}
	c.Gate = true
	if r := play(t, c); r.Ours.T99 > 1.2 {
		t.Errorf("behind the gate ours are back after %.2f", r.Ours.T99)
	}
}

// A server that falls over twice more is not trampled either.
func TestFlakyServer(t *testing.T) {
	for _, m := range Models() {
		r := play(t, Config{Devices: 50_000, Admit: 250, Outage: 10 * time.Minute, Model: m, Hint: Right, Fetch: true, Flaky: 2})
		if r.T99 > 1.15 || r.Peak10 > 1.3 || r.Online != 1 {
			t.Errorf("%s: %+v, peak %v, %v online", m, r.Times, r.Peak10, r.Online)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	good := Config{Devices: 10, Admit: 5, Model: Queue, Policy: Ours, Hint: Right}
	play(t, good)
	for name, change := range map[string]func(*Config){
		"no devices":       func(c *Config) { c.Devices = 0 },
		"too many devices": func(c *Config) { c.Devices = 1 << 30 },
		"no rate":          func(c *Config) { c.Admit = 0 },
		"not a rate":       func(c *Config) { c.Admit = math.NaN() },
		"negative outage":  func(c *Config) { c.Outage = -1 },
		"endless":          func(c *Config) { c.Outage, c.Limit = 1<<62, 1<<62 },
		"a share of 2":     func(c *Config) { c.Mix = 2 },
		"negative deaths":  func(c *Config) { c.Flaky = -1 },
		"negative drain":   func(c *Config) { c.Drain = -1 },
		"unknown model":    func(c *Config) { c.Model = "s4" },
		"unknown policy":   func(c *Config) { c.Policy = "hope" },
		"unknown hint":     func(c *Config) { c.Hint = "left" },
	} {
		c := good
		change(&c)
		if _, err := Run(t.Context(), c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Config{Devices: 10, Admit: 5, Model: Queue, Policy: Ours, Hint: Right}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Each gives every result once, and its first error.
func TestEach(t *testing.T) {
	var configs []Config
	for n := range 20 {
		configs = append(configs, Config{Devices: 10 * (n + 1), Admit: 10, Model: Drop, Policy: Ours, Hint: Right})
	}
	results := make([]*Result, len(configs))
	if err := Each(t.Context(), configs, func(i int, r *Result) { results[i] = r }); err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r == nil || r.Online != 1 {
			t.Errorf("run %d: %v", i, r != nil)
		}
	}
	configs[7].Devices = 0
	if err := Each(t.Context(), configs, func(int, *Result) {}); !errors.Is(err, ErrConfig) {
		t.Errorf("%v", err)
	}
}

// A plot is well-formed, and the same each time.
func TestPlot(t *testing.T) {
	for name, c := range map[string]Config{
		"ours":       {Outage: time.Minute, Model: Queue, Hint: Right, Fetch: true},
		"one device": {Devices: 1, Admit: 1, Outage: 0, Model: Drop, Hint: Right},
		"never":      {Outage: time.Minute, Model: Queue, Policy: Fixed5, Hint: NoHint, Limit: 5 * time.Minute},
		"mixed":      {Outage: time.Minute, Model: Admit, Hint: Small4, Mix: 0.1, Limit: 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			r := play(t, c)
			if c.Devices == 0 {
				c.Devices, c.Admit = 100_000, 500
			}
			var a, b bytes.Buffer
			if err := errors.Join(r.Plot(&a, c), r.Plot(&b, c)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a.Bytes(), b.Bytes()) {
				t.Error("two plots of one run differ")
			}
			if bytes.Contains(a.Bytes(), []byte("NaN")) || bytes.Contains(a.Bytes(), []byte("Inf")) {
				t.Error("a number that is none")
			}
			for d := xml.NewDecoder(&a); ; {
				if _, err := d.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
