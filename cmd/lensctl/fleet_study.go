package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lensward/lensward/transport/fleet/sim"
)

// play plays configurations with a bar and gives the results in their order.
func play(ctx context.Context, configs []sim.Config, progress io.Writer) ([]*sim.Result, error) {
	results := make([]*sim.Result, len(configs))
	bar := newFleetBar(progress, len(configs), "runs")
	err := sim.Each(ctx, configs, func(i int, r *sim.Result) {
		r.Series = sim.Series{} // nobody looks at it, and there are many
		results[i] = r
		_ = bar.Add(1) // it is only the bar
	})
	_ = bar.Finish()
	return results, simError(err)
}

// seeded gives a configuration with each seed.
func (s *simulation) seeded(c sim.Config, m sim.Model) []sim.Config {
	var configs []sim.Config
	for seed := range s.seeds {
		c.Model, c.Seed = m, uint64(seed+1)
		configs = append(configs, c)
	}
	return configs
}

// tableRow is one line of a table.
type tableRow struct {
	Name  string         `json:"name"`
	Peak  float64        `json:"peak_attempts_per_s"`
	Cells []tableResults `json:"models"`
}

// tableResults are a row's results in one model: T99 of the whole fleet, or of ours in a
// mixed one.
type tableResults struct {
	Model  sim.Model     `json:"model"`
	Median float64       `json:"t99_over_ideal_median"`
	Most   float64       `json:"t99_over_ideal_max"`
	Never  bool          `json:"never"`
	Runs   []*sim.Result `json:"runs"`
}

// printTable plays every policy in every model, then the mixed fleets.
func (s *simulation) printTable(ctx context.Context, out, progress io.Writer) error {
	policies, err := s.tabulate(ctx, sim.Rivalry(), progress)
	if err != nil {
		return err
	}
	mixed, err := s.tabulate(ctx, sim.Mixed(), progress)
	if err != nil {
		return err
	}
	if s.json {
		return json.NewEncoder(out).Encode(map[string][]tableRow{"policies": policies, "mixed": mixed})
	}
	fmt.Fprintf(out, "T99 over the ideal, median of %d seeds (worst in brackets where it differs); never: not within two hours\n\n", s.seeds)
	writeTable(out, "strategy", policies)
	fmt.Fprint(out, "\nthe same of our devices in mixed fleets\n\n")
	writeTable(out, "fleet", mixed)
	return nil
}

func (s *simulation) tabulate(ctx context.Context, cases []sim.Case, progress io.Writer) ([]tableRow, error) {
	var configs []sim.Config
	for _, c := range cases {
		for _, m := range sim.Models() {
			configs = append(configs, s.seeded(c.Config, m)...)
		}
	}
	results, err := play(ctx, configs, progress)
	if err != nil {
		return nil, err
	}
	var rows []tableRow
	for _, c := range cases {
		row := tableRow{Name: c.Name}
		for _, m := range sim.Models() {
			cell := summarise(m, results[:s.seeds])
			results = results[s.seeds:]
			for _, r := range cell.Runs {
				row.Peak = max(row.Peak, r.Peak1)
			}
			row.Cells = append(row.Cells, cell)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func summarise(m sim.Model, runs []*sim.Result) tableResults {
	cell := tableResults{Model: m, Runs: runs}
	var t99 []float64
	for _, r := range runs {
		if r.Ours != nil {
			t99 = append(t99, r.Ours.T99)
			continue
		}
		t99 = append(t99, r.T99)
		cell.Never = cell.Never || r.Online < 0.99
	}
	slices.Sort(t99)
	cell.Median, cell.Most = t99[len(t99)/2], t99[len(t99)-1]
	return cell
}

func writeTable(w io.Writer, what string, rows []tableRow) {
	fmt.Fprintf(w, "| %s | peak attempts/s | s1 | s2 | s3 |\n|---|---|---|---|---|\n", what)
	for _, row := range rows {
		fmt.Fprintf(w, "| %s | %.0f |", row.Name, row.Peak)
		for _, c := range row.Cells {
			fmt.Fprintf(w, " %s |", c)
		}
		fmt.Fprintln(w)
	}
}

// String is the cell as the table has it.
func (c tableResults) String() string {
	median, most := fmt.Sprintf("%.2f", c.Median), fmt.Sprintf("%.2f", c.Most)
	switch {
	case c.Never:
		return "never"
	case median == most:
		return median
	}
	return median + " (" + most + ")"
}

// goalRow says how a goal was met in one model.
type goalRow struct {
	Goal    string    `json:"goal"`
	Devices int       `json:"devices"`
	Model   sim.Model `json:"model"`
	Met     bool      `json:"met"`
	Broken  []string  `json:"broken,omitempty"`

	// The worst over all seeds.
	T99      float64 `json:"t99_over_ideal"`
	Peak10   float64 `json:"peak_10s_over_admit"`
	Wasted   float64 `json:"wasted_per_device"`
	Messages float64 `json:"message_peak_10s_over_drain"`
}

// checkGoals plays the goals.
func (s *simulation) checkGoals(ctx context.Context, out, progress io.Writer) error {
	goals := sim.Goals(s.config.Devices)
	for i := range goals {
		goals[i].Models = slices.DeleteFunc(goals[i].Models, func(m sim.Model) bool { return !s.only(goals[i].Config.Hint, m) })
	}
	var configs []sim.Config
	for _, g := range goals {
		for _, m := range g.Models {
			configs = append(configs, s.seeded(g.Config, m)...)
		}
	}
	results, err := play(ctx, configs, progress)
	if err != nil {
		return err
	}
	missed := 0
	for _, g := range goals {
		for _, m := range g.Models {
			row := judge(g, m, results[:s.seeds])
			results = results[s.seeds:]
			if !row.Met {
				missed++
			}
			if err := s.printGoal(out, row); err != nil {
				return err
			}
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d goals were missed", missed)
	}
	return nil
}

func judge(g sim.Goal, m sim.Model, runs []*sim.Result) goalRow {
	row := goalRow{Goal: g.Name, Devices: g.Config.Devices, Model: m}
	for i, r := range runs {
		for _, b := range g.Broken(r) {
			row.Broken = append(row.Broken, fmt.Sprintf("seed %d: %s", i+1, b))
		}
		row.T99, row.Peak10 = max(row.T99, r.T99), max(row.Peak10, r.Peak10)
		row.Wasted, row.Messages = max(row.Wasted, r.Wasted), max(row.Messages, r.MessagePeak10)
	}
	row.Met = len(row.Broken) == 0
	return row
}

func (s *simulation) printGoal(out io.Writer, r goalRow) error {
	if s.json {
		return json.NewEncoder(out).Encode(r)
	}
	verdict := "pass"
	if !r.Met {
		verdict = "FAIL"
	}
	_, err := fmt.Fprintf(out, "%s  N %-9d %s  %-40s T99 %6.3f  peak %6.3f  wasted %7.4f  messages %5.2f  %s\n",
		verdict, r.Devices, r.Model, r.Goal, r.T99, r.Peak10, r.Wasted, r.Messages, strings.Join(r.Broken, "; "))
	return err
}
