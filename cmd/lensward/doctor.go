package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/cmd/internal/doctor"
)

// doctorCommand looks at the cameras as the agent would.
func doctorCommand() *cobra.Command {
	var flags doctor.Flags
	var file string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at the cameras here: what they give, what is made of it, what is wrong",
		Long: `Look at the cameras here as the agent would, and say what each gives, what would be
made of it and why. With a configuration, its camera is tried first, with all that is
asked of it. An agent that runs has its camera for itself: stop it before.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var o doctor.Options
			if file != "" {
				c, err := load(file)
				if err != nil {
					return err
				}
				o.Name = c.Camera.Source
				if o.Configured, err = agent.CameraOpener(c.Camera, slog.New(slog.DiscardHandler)); err != nil {
					return err
				}
			}
			return flags.Run(cmd, o)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "try the camera of this configuration")
	flags.Add(cmd)
	return cmd
}
