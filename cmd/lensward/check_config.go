package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
)

// checkConfigCommand reads a configuration and says whether it can be used.
func checkConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check-config FILE",
		Short: "Say whether a configuration can be used, and what is wrong with it",
		Args:  cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := load(args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", args[0])
			return nil
		},
	}
}
