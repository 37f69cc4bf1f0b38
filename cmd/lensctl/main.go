// Command lensctl is everything at the other end of a camera: the demo, the hub,
// the owner's keys, pairing, opening and verifying.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
)

// version is what the program says that it is. The build sets it.
var version = "0.1.0-dev"

func main() { os.Exit(cli.Run(root())) }

// root is the command without a verb.
func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "lensctl",
		Short:   "The other end of a Lensward camera",
		Version: version,
		Args:    cli.Args(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		demoCommand(), hubCommand(), viewCommand(),
		ownerCommand(), pairCommand(), openCommand(), inspectCommand(),
		motionCommand(), doctorCommand(), fleetCommand(), verifyCommand(),
	)
	return cmd
}
