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
	cluster   bool
	bridge    string
	lies      string
	enrol     enrolFlags
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

On a state directory that cluster-init made it is a node of a cluster. With --cluster
three nodes run on this machine, each in a process of its own, to be tried: their ports
are those given and the next two, and a node that is killed is started again after 10 s.

With --mixup P it lies on purpose: with probability P it answers a viewer with
another owner's or camera's item, as a broken cache once did to 13,000 people. With
--lie KIND,… it lies in other ways, each of which lensctl verify has a name for:
replay, drop, tail, swap-events, swap-thumbs, roll-back, silent and mixup.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.options.Dir == "" {
				return cli.Hint(cli.Usage(errors.New("where does the hub keep its state?")), "usage: %s", cmd.UseLine())
			}
			if f.cluster {
				return runTrial(cmd.Context(), f, sharedArgs(cmd), cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			return runHub(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.AddCommand(hubClusterInitCommand(), hubNATSConfigCommand(), hubMosquittoCommand(), hubTokenCommand(), hubRevokeCommand(), hubAllowCommand())
	fl := cmd.Flags()
	fl.StringVar(&f.options.Dir, "state", "", "the hub's state directory")
	fl.BoolVar(&f.cluster, "cluster", false, "run three hubs as a cluster on this machine, below the state directory")
	fl.StringVar(&f.options.NATS, "nats", "", "use the NATS server at this URL, made by nats-config, not the embedded one")
	fl.StringVar(&f.options.Name, "name", "hub", "what the hub calls itself")
	fl.StringVar(&f.options.MQTTListen, "mqtt", "127.0.0.1:8883", "address of MQTT over TLS, for cameras")
	fl.StringVar(&f.options.DeviceListen, "devices", "127.0.0.1:8443", "address of HTTPS, for cameras")
	fl.StringVar(&f.options.ViewerListen, "listen", "127.0.0.1:8080", "address of the viewer page and API")
	fl.BoolVar(&f.options.ViewerTLS, "tls", false, "serve viewers over HTTPS with a certificate of the hub's CA")
	fl.StringSliceVar(&f.options.Hosts, "host", nil, "names and addresses under which the hub is reached; the first goes into upload URLs")
	fl.StringVar(&f.tokenFile, "enrol-token-file", "", "let in any camera with the token in this file, any number of times")
	f.enrol.add(fl)
	fl.Float64Var(&f.options.EnrolRate, "enrol-rate", 50, "how many enrolments a second are answered")
	fl.StringVar(&f.bridge, "bridge", "", "serve cameras through the broker at this URL, mqtts://host:port, which mosquitto-config configures")
	fl.IntVar(&f.options.Connecting, "connecting", 0, "how many cameras may be connecting at once; 0 is 256 for each processor")
	fl.Float64Var(&f.options.Admit, "admit", 0, "tell cameras that so many may connect in a second; 0 is as measured")
	fl.Float64Var(&f.options.Drain, "drain", 0, "tell cameras that so many messages of their backlogs may come in a second; 0 is 100")
	fl.DurationVar(&f.options.Retention, "retention", 0, "how long items are kept; 0 is for ever")
	fl.Float64Var(&f.options.Mixup, "mixup", 0, "lie to viewers with this probability, 0 to 1")
	fl.StringVar(&f.lies, "lie", "", "lie to viewers in these ways, with commas between them")
	fl.StringVar(&f.logLevel, "log", "info", "debug, info, warn or error")
	return cmd
}

// parseLies reads --lie.
func (f *hubFlags) parseLies() (err error) {
	if f.lies != "" {
		if f.options.Lies, err = hub.ParseLies(f.lies); err != nil {
			return cli.Usage(err)
		}
	}
	return nil
}

func runHub(ctx context.Context, f hubFlags, out, errOut io.Writer) error {
	if f.options.Mixup < 0 || f.options.Mixup > 1 {
		return cli.Usage(fmt.Errorf("mix-up probability %v is not from 0 to 1", f.options.Mixup))
	}
	if err := f.parseLies(); err != nil {
		return err
	}
	log, err := cli.Logger(errOut, f.logLevel)
	if err != nil {
		return err
	}
	if f.bridge != "" {
		if f.options.Bridge, err = brokerAddress(f.bridge); err != nil {
			return err
		}
	}
	if f.tokenFile != "" {
		b, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return fmt.Errorf("read enrolment token: %w", err)
		}
		f.options.EnrolToken = secret.Text(strings.TrimSpace(string(b)))
	}
	if f.options.Enrol, err = f.enrol.options(); err != nil {
		return err
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
