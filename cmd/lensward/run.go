package main

import (
	"errors"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/agent"
	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/cmd/internal/cli"
)

// runCommand runs the agent.
func runCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "lensward --config FILE",
		Short: "The agent inside a security camera",
		Args:  cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if file == "" {
				return cli.Hint(cli.Usage(errors.New("which configuration?")), "usage: %s", cmd.UseLine())
			}
			c, err := load(file)
			if err != nil {
				return err
			}
			log, err := cli.Logger(cmd.ErrOrStderr(), c.Log.Level)
			if err != nil {
				return err
			}
			limitMemory(c.Clip.Memory.Bytes)
			a, err := agent.New(cmd.Context(), *c, agent.Options{Firmware: version, Log: log})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, a.Close()) }()
			return a.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration file, see docs/ref/config.md")
	return cmd
}

// limitMemory keeps the collector from letting garbage grow to what a camera does
// not have: beside the pre-roll, this program lives in little. GOMEMLIMIT in the
// environment overrides it.
func limitMemory(preRoll int64) {
	const rest = 16 << 20
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(preRoll + rest)
	}
}

// load reads a configuration and gives its faults their hints.
func load(file string) (*config.Config, error) {
	c, err := config.Load(file)
	var bad *config.Error
	if errors.As(err, &bad) && bad.Hint != "" {
		return nil, cli.Hint(err, "%s", bad.Hint)
	}
	return c, err
}
