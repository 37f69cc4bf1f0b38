package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/fleet/storm"
)

// stormFlags are the storm's settings on the command line.
type stormFlags struct {
	options  storm.Options
	policies []string
	asJSON   bool
}

// fleetStormCommand has a fleet lose its hub, for real.
func fleetStormCommand() *cobra.Command {
	var f stormFlags
	cmd := &cobra.Command{
		Use:   "storm --devices N",
		Short: "Kill a hub under thousands of real sessions, and watch them come back",
		Long: `Make a fleet in a temporary directory: a hub in a process of its own, and devices
in a few more, each with its own key, certificate, owner, spool and the agent's own
transport. Measure how many connects a second the hub admits. Kill the hub (kill -9),
have every device seal its items meanwhile, start the hub again, and report how the
fleet comes back: in the terms of fleet simulate, with what the hub paid for it, what
failed, and whether an item was lost or doubled.

With --mixup P the hub lies to the owners' viewers, which look on while the fleet
comes back. The exit code is 3 if an item was lost or doubled, or shown to somebody
whose it is not.

It needs memory, about 0.5 MiB a device, and as many processors as the fleet is to
leave some to the hub.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("viewers") && f.options.Mixup > 0 {
				f.options.Viewers = f.options.Devices
			}
			return runStorms(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fl, o := cmd.Flags(), &f.options
	fl.IntVar(&o.Devices, "devices", 500, "how many devices")
	fl.IntVar(&o.Processes, "processes", 2, "how many processes they are spread over")
	fl.IntVar(&o.Items, "items", 10, "how many items each seals while the hub is dead")
	fl.StringSliceVar(&f.policies, "policy", []string{string(storm.Ours)}, "how they reconnect: ours, paho, or both, one after the other")
	fl.StringVar((*string)(&o.Hint), "hint", string(storm.FromHub), "what they know of the fleet: hub (its own hint), right (what it should be) or none")
	fl.Float64Var(&o.Admit, "admit", 0, "connects a second that the hub is held to admit; 0 measures")
	fl.Float64Var(&o.Drain, "drain", 0, "messages a second that the hint allows the fleet's backlog; 0 is half as many as connects")
	fl.DurationVar(&o.Outage, "outage", 30*time.Second, "how long the hub is dead, at least")
	fl.DurationVar(&o.Limit, "limit", 0, "how long to wait for the fleet; 0 is long enough for a fleet that does not get in its own way")
	fl.Float64Var(&o.Mixup, "mixup", 0, "the hub lies to viewers with this probability, 0 to 1")
	fl.IntVar(&o.Viewers, "viewers", 0, "how many owners look on; with --mixup all, unless it is given")
	fl.StringVar(&o.Dir, "dir", "", "where the temporary directory goes; default /dev/shm, if there is one")
	fl.BoolVar(&f.asJSON, "json", false, "print the report as one JSON object for each policy")
	return cmd
}

func runStorms(ctx context.Context, f stormFlags, out, errOut io.Writer) error {
	var err error
	if f.options.Program, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if f.options.Dir == "" {
		f.options.Dir = tmpfs()
	}
	bar := cli.NewBar(errOut)
	f.options.Progress = bar.Show
	var faults []error
	for _, p := range f.policies {
		f.options.Policy = storm.Policy(p)
		if err := f.options.Validate(); err != nil {
			return cli.Usage(err)
		}
		r, err := storm.Run(ctx, f.options)
		bar.Clear()
		if err != nil {
			return err
		}
		if err := printStorm(out, r, f.asJSON); err != nil {
			return err
		}
		faults = append(faults, r.Faults())
	}
	if err := errors.Join(faults...); err != nil {
		return cli.Verification(err)
	}
	return nil
}

// tmpfs is a directory in memory, so that a fleet's fsyncs do not wait for one disk; ""
// if there is none.
func tmpfs() string {
	const dir = "/dev/shm"
	if unix.Access(dir, unix.W_OK) != nil {
		return ""
	}
	return dir
}

func printStorm(out io.Writer, r *storm.Report, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return fmt.Errorf("print report: %w", err)
		}
		return nil
	}
	fmt.Fprintf(out, `%s, hint %s: %d devices in %d processes, dead for %.0f s; the hub admits %.0f a second, the ideal is %.1f s, the hint was %.1f s
  back          50 %% %s, 99 %% %s, all %s times the ideal; %.1f %% online in the end
  connects      %d, at most %.2f of what the hub admits in ten seconds; %.3f wasted a device; failures %v; %d before the hub was back
  items         %d sealed, %d in the hub, %d in spools, %d lost, %d twice, %d strange; %d sent again; %s; the backlog at most %.2f of the hinted drain
  cost          hub CPU %.2f ms a connect, %.2f ms a device with its items; memory %.0f KiB a device, %.0f KiB a session at the hub
`,
		r.Policy, r.Hint, r.Devices, r.Processes, r.Outage, r.Admit, r.Ideal, r.HintWindow,
		reached(r.T50, r.Back >= 0.5), reached(r.T99, r.Back >= 0.99), reached(r.T100, r.Back >= 1), 100*r.Online,
		r.Attempts, r.Peak, r.Wasted, r.Failures, r.Vain,
		r.Sealed, r.Stored, r.Left, r.Lost, r.Twice, r.Strange, r.Resent, drained(r), r.Messages,
		r.CPUConnect, r.CPUDevice, r.SessionKiB, r.HubSessionKiB)
	if s := r.Seen; s != nil {
		fmt.Fprintf(out, "  owners        %d looked, %d saw all that is theirs; %d items opened, %d wrongly shown; %d misdelivered, %d withheld; %d strangers' headers, %d reported\n",
			s.Owners, s.Complete, s.Opened, s.WronglyShown, s.Misdelivered, s.Withheld, s.Strangers, s.Reported)
	}
	return nil
}

// reached is a time, or a lower bound of it.
func reached(t float64, ok bool) string {
	if ok {
		return fmt.Sprintf("%.2f", t)
	}
	return fmt.Sprintf("over %.2f", t)
}

func drained(r *storm.Report) string {
	if r.Drained == 0 {
		return "not all delivered"
	}
	return fmt.Sprintf("all delivered after %.1f s", r.Drained)
}

// fleetStormWorkerCommand is a process of a storm's. Nobody calls it by hand.
func fleetStormWorkerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "storm-worker DIR", // the directory is for who looks at the list of processes
		Short:  "Hold a part of a storm's devices",
		Hidden: true,
		Args:   cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := pollable(os.Stdin)
			if err != nil {
				return err
			}
			return storm.Serve(cmd.Context(), stdio{in, os.Stdout})
		},
	}
}

// pollable is a pipe of which a Read ends when it is closed, which is not so of os.Stdin.
func pollable(f *os.File) (*os.File, error) {
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// stdio is a process's stdin and stdout as one connection.
type stdio struct{ in, out *os.File }

// Read reads stdin.
func (s stdio) Read(b []byte) (int, error) { return s.in.Read(b) }

// Write writes to stdout.
func (s stdio) Write(b []byte) (int, error) { return s.out.Write(b) }

// Close closes both.
func (s stdio) Close() error { return errors.Join(s.in.Close(), s.out.Close()) }
