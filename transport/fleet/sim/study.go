package sim

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// Case is one way in which a fleet may come back, to be played in several models and with
// several seeds.
type Case struct {
	Name   string
	Config Config // without Model and Seed
}

// Rivalry is what clients do against an outage of ten minutes: 100,000 devices, 500
// connects a second. The rivals come first.
func Rivalry() []Case {
	base := Config{Devices: 100_000, Admit: 500, Outage: 10 * time.Minute}
	names := map[Policy]string{
		Paho: "paho's own", Fixed5: "fixed 5 s", Azure: "Azure C SDK (1→30 s, 5 % jitter)",
		Tailscale: "Tailscale's curve", GRPC: "gRPC (1.6×, cap 120 s, 20 %)",
		AWS: "full jitter 1..128 s (AWS)", Decorrelated: "decorrelated jitter",
	}
	var cases []Case
	for _, p := range Rivals() {
		c := base
		c.Policy, c.Hint = p, NoHint
		cases = append(cases, Case{names[p], c})
	}
	ours := func(name string, h Hint, fetch bool) {
		c := base
		c.Policy, c.Hint, c.Fetch = Ours, h, fetch
		cases = append(cases, Case{name, c})
	}
	ours("Lensward, right hint", Right, true)
	ours("Lensward, hint 4× too small", Small4, true)
	ours("Lensward, the same, none can be fetched", Small4, false)
	ours("Lensward, hint 4× too large", Large4, true)
	ours("Lensward, the same, none can be fetched", Large4, false)
	ours("Lensward, no hint", NoHint, false)
	return cases
}

// Mixed is what becomes of our devices beside others that have paho's own reconnecting,
// with the hub's gate before the server and without.
func Mixed() []Case {
	var cases []Case
	for _, mix := range []float64{0.1, 0.5} {
		for _, outage := range []time.Duration{5 * time.Second, 10 * time.Minute} {
			for _, gate := range []bool{false, true} {
				name := fmt.Sprintf("%.0f %% paho, outage %v, %s", 100*mix, span(outage), map[bool]string{false: "no gate", true: "gate"}[gate])
				cases = append(cases, Case{name, Config{
					Devices: 100_000, Admit: 500, Outage: outage, Policy: Ours, Hint: Right, Fetch: true, Mix: mix, Gate: gate,
				}})
			}
		}
	}
	return cases
}

// Goal is a case with what must hold in each of its models. A limit of 0 is none.
type Goal struct {
	Case
	Models                        []Model
	T99, Peak10, Wasted, Messages float64 // at most
	HintLow, HintHigh             float64 // the hub's last hint over the right one
	Back                          bool    // everyone must be back at the end
}

// Broken names what does not hold.
func (g Goal) Broken(r *Result) []string {
	var broken []string
	most := func(what string, is, limit float64) {
		if limit > 0 && is > limit {
			broken = append(broken, fmt.Sprintf("%s %.3f > %.3f", what, is, limit))
		}
	}
	most("T99", r.T99, g.T99)
	most("peak", r.Peak10, g.Peak10)
	most("wasted", r.Wasted, g.Wasted)
	most("messages", r.MessagePeak10, g.Messages)
	most("hint", r.HintOverRight, g.HintHigh)
	if r.HintOverRight < g.HintLow {
		broken = append(broken, fmt.Sprintf("hint %.3f < %.3f", r.HintOverRight, g.HintLow))
	}
	if g.Back && r.Online < 1 {
		broken = append(broken, fmt.Sprintf("%.4f online", r.Online))
	}
	return broken
}

// Goals are what a fleet of so many devices must reach. With a right hint the ideal is
// 200 s, and also what 500 connects a second make of it; else it is 200 s.
func Goals(devices int) []Goal {
	outages := []time.Duration{5 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour}
	scaled := float64(devices) / 200
	var goals []Goal
	add := func(g Goal, h Hint, admit float64, outage time.Duration) {
		g.Config = Config{Devices: devices, Admit: admit, Outage: outage, Policy: Ours, Hint: h, Fetch: true}
		g.Name = fmt.Sprintf("hint %s, C %.0f, outage %v", h, admit, outage)
		goals = append(goals, g)
	}
	for _, outage := range outages {
		right := Goal{Models: Models(), T99: 1.10, Peak10: 1, Wasted: 0.01, Messages: 1.2, HintLow: 0.9, HintHigh: 1.1, Back: true}
		add(right, Right, scaled, outage)
		if scaled != 500 {
			add(right, Right, 500, outage)
		}
		wrong := Goal{Models: []Model{Drop, Admit}, T99: 2.5, Messages: 1.2, HintLow: 0.8, HintHigh: 1.25, Back: true}
		add(wrong, Small4, scaled, outage)
		add(wrong, Large4, scaled, outage)
		if outage <= time.Hour {
			add(Goal{Models: []Model{Drop, Admit}, T99: 2, Back: true}, NoHint, scaled, outage)
		}
		add(Goal{Models: []Model{Queue}, Back: true}, NoHint, scaled, outage)
	}
	return goals
}

// Each plays all configurations, a few at a time, and calls done for each, one after the
// other and in no order.
func Each(ctx context.Context, configs []Config, done func(i int, r *Result)) error {
	type one struct {
		i int
		r *Result
	}
	results := make(chan one)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0) + 1) // and the one that collects
	g.Go(func() error {
		for range configs {
			select {
			case o := <-results:
				done(o.i, o.r)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for i, c := range configs {
		g.Go(func() error {
			r, err := Run(ctx, c)
			if err != nil {
				return err
			}
			select {
			case results <- one{i, r}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
	return g.Wait()
}
