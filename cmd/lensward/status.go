package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/control"
	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/recovery"
)

// statusCommand asks the agent that runs how it is.
func statusCommand() *cobra.Command {
	var state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status --state DIR",
		Short: "How the agent that runs on a state directory is",
		Args:  cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state == "" {
				return cli.Hint(cli.Usage(errors.New("which agent?")), "usage: %s", cmd.UseLine())
			}
			c, err := control.Dial(cmd.Context(), state)
			if err != nil {
				return cli.Hint(err, "is it running, and are you its user?")
			}
			b, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", b)
				return err
			}
			var s agent.Stats
			if err := json.Unmarshal(b, &s); err != nil {
				return fmt.Errorf("read status: %w", err)
			}
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "the camera's state directory")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print all of it as JSON")
	return cmd
}

// printStatus prints what a person wants to know, what is wrong first.
func printStatus(w io.Writer, s agent.Stats) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	for _, c := range s.Conditions {
		row(string(c.Severity), "%s for %v: %s", c.Name, time.Since(c.Since).Round(time.Second), c.Cause)
	}
	row("device", "%s", s.Device)
	if s.Owner != "" {
		row("owner", "%s", s.Owner)
	}
	row("firmware", "%s, start %d, up %v", s.Firmware, s.Boot, (time.Duration(s.Uptime) * time.Second))
	row("camera", "%d frames, %d of them not readable, %d events", s.Recorder.Frames, s.Recorder.Broken, s.Recorder.Events)
	row("spool", "%d items wait, %d were dropped, %d set aside", s.Spool.Depth, s.Spool.Dropped, s.Spool.Aside)
	row("delivery", "%v, %d delivered in %d sessions", s.Delivery.State, s.Delivery.Delivered, s.Delivery.Sessions)
	if next := nextStep(s.Delivery, time.Now()); next != "" {
		row("", "%s", next)
	}
	if s.Delivery.LastError != "" {
		row("", "last error: %s", s.Delivery.LastError)
	}
	if s.Hub != "" {
		row("hub", "%s", s.Hub)
	}
	if h := s.Delivery.Hint; h != nil {
		row("hint", "%s", describeHint(h, time.Now()))
	}
	row("process", "%.1f MB, %d goroutines, %d files", float64(s.Process.Memory)/1e6, s.Process.Goroutines, s.Process.Files)
	return out.Flush()
}

// nextStep says what the delivery waits for, and why; "" if it does not wait.
func nextStep(d transport.Stats, now time.Time) string {
	if d.State != transport.Waiting {
		return ""
	}
	text := fmt.Sprintf("next %s in %v", d.Next, max(0, d.NextAt.Sub(now)).Round(time.Second))
	if d.Outcome == "" {
		return text
	}
	return text + ": " + reason(d.Outcome)
}

// reason is a connect's outcome, for a person.
func reason(outcome string) string {
	switch outcome {
	case recovery.Refused.String():
		return "the hub is there and turned this camera away"
	case recovery.Stalled.String():
		return "the hub takes connections and does not answer in time"
	case recovery.TimedOut.String():
		return "the hub does not answer"
	case recovery.Dead.String():
		return "nobody listens at the hub's address"
	case recovery.NoName.String():
		return "the hub's name cannot be looked up"
	case recovery.Unreachable.String():
		return "this camera has no way to the hub"
	default:
		return outcome
	}
}

func describeHint(h *transport.HintStats, now time.Time) string {
	text := fmt.Sprintf("the fleet needs %v to come back", h.Window)
	if h.Drain > 0 {
		text += fmt.Sprintf(", the backlog goes at %.3g items a second", h.Drain)
	}
	if h.Came.IsZero() {
		return text + " (kept from before the start)"
	}
	return text + fmt.Sprintf(" (heard %v ago)", now.Sub(h.Came).Round(time.Second))
}
