package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/fleet/sim"
)

// simulation is what fleet simulate was asked for.
type simulation struct {
	config       sim.Config
	plot         string
	json         bool
	table, goals bool
	seeds        int
	only         func(sim.Hint, sim.Model) bool // which goals
}

// fleetSimulateCommand plays a fleet's return after an outage.
func fleetSimulateCommand() *cobra.Command {
	var s simulation
	c := &s.config
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Play a fleet's return after an outage",
		Long: `Play how N devices come back to a server that was dead and admits C connects a second.
Devices follow the agent's own schedule ("ours") or a rival's rule. Times are multiples
of the ideal, N/C from the server's return.

Models: s1 queues 20,000 and gets slower as the queue grows; s2 queues 4,096 and drops
the rest silently; s3 refuses what it cannot admit, for 2 % of a connect's cost.
Policies: ` + policyNames() + `.
Hints: right, none, small4 and large4 (a window four times too small, too large).

--table plays all policies in all models. --goals plays what a fleet of --devices must
reach, only with --hint or in --model where they are given, and says what it misses.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.only = func(h sim.Hint, m sim.Model) bool {
				return (!cmd.Flags().Changed("hint") || h == c.Hint) && (!cmd.Flags().Changed("model") || m == c.Model)
			}
			return s.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.Devices, "devices", 100_000, "devices, N")
	f.Float64Var(&c.Admit, "admit", 500, "connects a second that the server can admit, C")
	f.DurationVar(&c.Outage, "outage", 10*time.Minute, "from the server's death to its return")
	f.StringVar((*string)(&c.Model), "model", string(sim.Queue), "what an overloaded server does: s1, s2, s3")
	f.StringVar((*string)(&c.Policy), "policy", string(sim.Ours), "when a device connects")
	f.StringVar((*string)(&c.Hint), "hint", string(sim.Right), "what hub and devices believe: right, none, small4, large4")
	f.Uint64Var(&c.Seed, "seed", 1, "the same seed gives the same result")
	f.BoolVar(&c.Fetch, "fetch", true, "hints can be fetched from elsewhere than the hub")
	f.Float64Var(&c.Mix, "mix", 0, "share of the devices with paho's own reconnecting, 0 to 1")
	f.BoolVar(&c.Gate, "gate", false, "the hub's gate before the server")
	f.IntVar(&c.Flaky, "flaky", 0, "times that the server dies again, a minute after its return, for a minute")
	f.Float64Var(&c.Drain, "drain", 0, "backlog messages a second that the hub takes; 0 is four for each connect")
	f.DurationVar(&c.Limit, "limit", 0, "give up so long after the return; 0 is 2h, or longer where the fleet needs it")
	f.StringVar(&s.plot, "plot", "", "write an SVG of what happened to this file")
	f.BoolVar(&s.json, "json", false, "print JSON")
	f.BoolVar(&s.table, "table", false, "print the table of all policies")
	f.BoolVar(&s.goals, "goals", false, "check the goals for --devices; exit code 1 if one is missed")
	f.IntVar(&s.seeds, "seeds", 10, "seeds for --table and --goals")
	return cmd
}

func policyNames() string {
	names := []string{string(sim.Ours)}
	for _, p := range sim.Rivals() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

func (s *simulation) run(ctx context.Context, out, progress io.Writer) error {
	switch {
	case s.seeds < 1:
		return cli.Usage(fmt.Errorf("%d seeds are fewer than 1", s.seeds))
	case s.table && s.goals, s.plot != "" && (s.table || s.goals):
		return cli.Usage(errors.New("--table, --goals and --plot exclude one another"))
	case s.table:
		return s.printTable(ctx, out, progress)
	case s.goals:
		return s.checkGoals(ctx, out, progress)
	}
	return s.one(ctx, out, progress)
}

// one plays one run.
func (s *simulation) one(ctx context.Context, out, progress io.Writer) error {
	bar := newFleetBar(progress, s.config.Devices, "devices online")
	s.config.Progress = func(online int) { _ = bar.Set(online) } // it is only the bar
	r, err := sim.Run(ctx, s.config)
	_ = bar.Finish()
	if err != nil {
		return simError(err)
	}
	if s.plot != "" {
		if err := writePlot(s.plot, r, s.config); err != nil {
			return err
		}
	}
	if s.json {
		return json.NewEncoder(out).Encode(r)
	}
	printResult(out, r)
	return nil
}

// simError makes what cannot be played a usage error.
func simError(err error) error {
	if errors.Is(err, sim.ErrConfig) {
		return cli.Usage(err)
	}
	return err
}

func writePlot(name string, r *sim.Result, c sim.Config) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return r.Plot(f, c)
}

func printResult(w io.Writer, r *sim.Result) {
	fmt.Fprintf(w, "back after         %.2f × ideal for half, %.2f for 99 %%, %.2f for all; %.2f %% are online\n", r.T50, r.T99, r.T100, 100*r.Online)
	fmt.Fprintf(w, "attempts           %.2f × C in the worst 10 s, %.0f in the worst second\n", r.Peak10, r.Peak1)
	fmt.Fprintf(w, "a device           %.4f attempts wasted, %.1f while the server was dead, %.1f hints fetched\n", r.Wasted, r.Dead, r.Fetches)
	fmt.Fprintf(w, "backlog messages   %.2f × the hinted drain in the worst 10 s\n", r.MessagePeak10)
	if r.HintOverRight > 0 {
		fmt.Fprintf(w, "last hint          %.2f × the right one\n", r.HintOverRight)
	}
	if r.Ours != nil {
		fmt.Fprintf(w, "of a mixed fleet   99 %% of ours are back after %.2f × ideal, of the others after %.2f\n", r.Ours.T99, r.Rivals.T99)
	}
}

// newFleetBar shows a person who waits how far it is.
func newFleetBar(w io.Writer, most int, what string) *progressbar.ProgressBar {
	return progressbar.NewOptions(most, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetVisibility(cli.IsTerminal(w)))
}
