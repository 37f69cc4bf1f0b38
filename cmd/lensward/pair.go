package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/control"
	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/agent/pairing"
	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/internal/wait"
	protocol "github.com/lensward/lensward/transport/pairing"
)

// pairCommand hands a camera a code in place of its lens.
func pairCommand() *cobra.Command {
	var state, code string
	var stay bool
	cmd := &cobra.Command{
		Use:   "pair --state DIR --code FILE",
		Short: "Give this camera a pairing code as text, in place of its lens",
		Long: `Give the camera whose state directory is given the code that the owner's page or
lensctl pair shows, as text: the first line of FILE, "-" for standard input. With an
agent that runs on the directory it begins at once; --wait stays until the camera has
its owner. Without one it begins when the agent starts.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state == "" || code == "" {
				return cli.Hint(cli.Usage(errors.New("which camera, and which code?")), "usage: %s", cmd.UseLine())
			}
			text, err := readCode(code, cmd.InOrStdin())
			if err != nil {
				return err
			}
			return handIn(cmd.Context(), state, text, stay, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "the camera's state directory")
	cmd.Flags().StringVar(&code, "code", "", "a file whose first line is the code; - is standard input")
	cmd.Flags().BoolVar(&stay, "wait", false, "stay until the camera is paired, or that has failed")
	return cmd
}

// readCode reads the first line of a file.
func readCode(name string, in io.Reader) (secret.Text, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("read pairing code: %w", err)
		}
		defer f.Close() // read-only: nothing to lose
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, protocol.MaxCode+2))
	if err != nil {
		return "", fmt.Errorf("read pairing code: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return secret.Text(strings.TrimSpace(line)), nil
}

// handIn gives the code to the agent that runs, or leaves it for its start.
func handIn(ctx context.Context, state string, code secret.Text, stay bool, out io.Writer) error {
	state, err := filepath.Abs(state)
	if err != nil {
		return fmt.Errorf("find state directory: %w", err)
	}
	c, err := control.Dial(ctx, state)
	if err != nil {
		return leave(state, code, out)
	}
	if err := c.TakeCode(ctx, code); err != nil {
		return cli.Hint(err, "make a new code on the owner's page, or with lensctl pair")
	}
	if !stay {
		fmt.Fprintln(out, "pairing has begun; lensward status tells how it goes")
		return nil
	}
	return awaitPaired(ctx, c, out)
}

// leave puts the code where the agent finds it at its start.
func leave(state string, code secret.Text, out io.Writer) error {
	if info, err := os.Stat(state); err != nil || !info.IsDir() {
		return cli.Hint(fmt.Errorf("no state directory at %s", state), "start the agent once, or give the directory of state.dir")
	}
	dev, err := device.Open(state, version)
	if errors.Is(err, durable.ErrLocked) {
		return cli.Hint(err, "an agent runs on it that does not answer on its control socket")
	}
	if err != nil {
		return err
	}
	if err := errors.Join(pairing.Leave(dev.Dir(), code), dev.Close()); err != nil {
		return err
	}
	fmt.Fprintln(out, "the code is kept; pairing begins when the agent starts")
	return nil
}

// awaitPaired asks the agent until the pairing is over.
func awaitPaired(ctx context.Context, c *control.Client, out io.Writer) error {
	said := ""
	for {
		b, err := c.Status(ctx)
		if err != nil {
			return err
		}
		var s agent.Stats
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("read status: %w", err)
		}
		now := causeOf(s, "pairing")
		switch why := causeOf(s, "pairing-failed"); {
		case why != "":
			return cli.Hint(errors.New("pairing failed"), "%s", why)
		case now == "":
			fmt.Fprintf(out, "camera %s belongs to owner %s\n", s.Device, s.Owner)
			return nil
		case now != said:
			fmt.Fprintln(out, now)
			said = now
		}
		if err := wait.For(ctx, time.Second); err != nil {
			return err
		}
	}
}

// causeOf is what is said of a condition; "" if it does not hold.
func causeOf(s agent.Stats, name string) string {
	for _, c := range s.Conditions {
		if c.Name == name {
			return c.Cause
		}
	}
	return ""
}
