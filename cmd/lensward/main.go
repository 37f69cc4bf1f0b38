// Command lensward is the agent on the camera.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
)

// version is what the program says that it is. The build sets it.
var version = "0.1.0-dev"

func main() { os.Exit(cli.Run(root())) }

// root is the command without a verb: it runs the agent.
func root() *cobra.Command {
	cmd := runCommand()
	cmd.Version = version
	cmd.AddCommand(checkConfigCommand(), statusCommand(), pairCommand(), resetCommand(), doctorCommand())
	return cmd
}
