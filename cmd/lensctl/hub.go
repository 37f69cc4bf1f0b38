package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/page"
)

// hubFlags are the hub's settings on the command line.
type hubFlags struct {
	options   hub.Options
	tokenFile string
	logLevel  string
}

// hubCommand runs a hub.
func hubCommand() *cobra.Command {
	var f hubFlags
	cmd := &cobra.Command{
		Use:   "hub --state DIR",
		Short: "Run a hub: broker, store and viewer page in one process",
		Long: `Run a hub: an MQTT broker for cameras, HTTPS for their uploads and enrolment, a
store, and the viewer page with its API. It listens on loopback unless it is told
otherwise. A hub is a courier: it can open nothing that it carries.

With --mixup P it lies on purpose: with probability P it answers a viewer with
another owner's or camera's item, as a broken cache once did to 13,000 people.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.options.Dir == "" {
				return cli.Hint(cli.Usage(errors.New("where does the hub keep its state?")), "usage: %s", cmd.UseLine())
			}
			return runHub(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.options.Dir, "state", "", "the hub's state directory")
	fl.StringVar(&f.options.Name, "name", "hub", "what the hub calls itself")
	fl.StringVar(&f.options.MQTTListen, "mqtt", "127.0.0.1:8883", "address of MQTT over TLS, for cameras")
	fl.StringVar(&f.options.DeviceListen, "devices", "127.0.0.1:8443", "address of HTTPS, for cameras")
	fl.StringVar(&f.options.ViewerListen, "listen", "127.0.0.1:8080", "address of the viewer page and API")
	fl.BoolVar(&f.options.ViewerTLS, "tls", false, "serve viewers over HTTPS with a certificate of the hub's CA")
	fl.StringSliceVar(&f.options.Hosts, "host", nil, "names and addresses under which the hub is reached; the first goes into upload URLs")
	fl.StringVar(&f.tokenFile, "enrol-token-file", "", "ask for the token in this file at enrolment")
	fl.DurationVar(&f.options.Retention, "retention", 0, "how long items are kept; 0 is for ever")
	fl.Float64Var(&f.options.Mixup, "mixup", 0, "lie to viewers with this probability, 0 to 1")
	fl.StringVar(&f.logLevel, "log", "info", "debug, info, warn or error")
	return cmd
}

func runHub(ctx context.Context, f hubFlags, out, errOut io.Writer) error {
	if f.options.Mixup < 0 || f.options.Mixup > 1 {
		return cli.Usage(fmt.Errorf("mix-up probability %v is not from 0 to 1", f.options.Mixup))
	}
	log, err := cli.Logger(errOut, f.logLevel)
	if err != nil {
		return err
	}
	if f.tokenFile != "" {
		b, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return fmt.Errorf("read enrolment token: %w", err)
		}
		f.options.EnrolToken = secret.Text(strings.TrimSpace(string(b)))
	}
	f.options.Version, f.options.Log, f.options.Page = version, log, page.FS()
	h, err := hub.New(f.options)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.Run(ctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-h.Ready():
		}
		fmt.Fprintf(out, "viewers  %s\ncameras  broker %s, %s\nCA       %s\n", h.ViewerURL(), h.MQTTAddr(), h.DeviceURL(), f.options.Dir+"/ca.pem")
		return nil
	})
	return g.Wait()
}
