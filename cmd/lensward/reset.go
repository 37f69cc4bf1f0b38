package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/agent/control"
	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/internal/durable"
)

// resetCommand does what holding a camera's button does, for one that has none.
func resetCommand() *cobra.Command {
	var state string
	var yes bool
	cmd := &cobra.Command{
		Use:   "reset --state DIR --yes",
		Short: "Make this camera nobody's, as holding its button does",
		Long: `Make the camera whose state directory is given nobody's: it records nothing more,
drops what it had not delivered, and tells its owner so; whoever shows it a pairing
code next has it. It cannot be undone. What was delivered stays its owner's, and
nobody else can open it.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state == "" || !yes {
				return cli.Hint(cli.Usage(errors.New("which camera, and is that meant? It cannot be undone")), "usage: %s", cmd.UseLine())
			}
			return reset(cmd.Context(), state, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "the camera's state directory")
	cmd.Flags().BoolVar(&yes, "yes", false, "it is meant")
	return cmd
}

// reset resets the camera through the agent that runs, or on its directory.
func reset(ctx context.Context, state string, out io.Writer) error {
	state, err := filepath.Abs(state)
	if err != nil {
		return fmt.Errorf("find state directory: %w", err)
	}
	c, err := control.Dial(ctx, state)
	if err == nil {
		err = c.Reset(ctx)
	} else {
		err = resetStopped(state)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "this camera is nobody's now; show it a pairing code")
	return nil
}

// resetStopped resets a camera whose agent does not run. The agent does the rest when it
// starts.
func resetStopped(state string) error {
	if info, err := os.Stat(state); err != nil || !info.IsDir() {
		return cli.Hint(fmt.Errorf("no state directory at %s", state), "give the directory of state.dir")
	}
	dev, err := device.Open(state, version)
	if errors.Is(err, durable.ErrLocked) {
		return cli.Hint(err, "an agent runs on it that does not answer on its control socket")
	}
	if err != nil {
		return err
	}
	return errors.Join(dev.Reset(), dev.Close())
}
