package main

import (
	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
)

// fleetCommand is about many cameras at once.
func fleetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "See how a whole fleet of cameras comes back after an outage",
		Args:  cli.Args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(fleetSimulateCommand(), fleetStormCommand(), fleetStormWorkerCommand())
	return cmd
}
