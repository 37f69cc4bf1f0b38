package main

import (
	"github.com/spf13/cobra"

	"github.com/lensward/lensward/capture/source"
	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/cmd/internal/doctor"
)

// doctorCommand looks at this machine's cameras.
func doctorCommand() *cobra.Command {
	var flags doctor.Flags
	var url string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at the cameras here: what they give, what is made of it, what is wrong",
		Args:  cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var o doctor.Options
			if url != "" {
				opener, err := source.New(url, source.Options{})
				if err != nil {
					return cli.Usage(err)
				}
				o.Configured, o.Name = opener, url
			}
			return flags.Run(cmd, o)
		},
	}
	cmd.Flags().StringVar(&url, "source", "", "try this source too, see docs/ref/sources.md")
	flags.Add(cmd)
	return cmd
}
