package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/hub/bridge"
)

// hubMosquittoCommand writes what Mosquitto needs to be a hub's broker.
func hubMosquittoCommand() *cobra.Command {
	var state string
	var hosts []string
	var port int
	cmd := &cobra.Command{
		Use:   "mosquitto-config --state DIR --host NAME CONFIG-DIR",
		Short: "Write what Mosquitto needs to be a hub's broker",
		Long: `Write a configuration for Mosquitto 2.0 or later, with its rules, the hub's CA and a
server certificate of it, into a directory. Cameras then connect to Mosquitto, and the hub
too, with --bridge. The file server.key is for Mosquitto's eyes only.`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if state == "" || len(hosts) == 0 {
				return cli.Hint(cli.Usage(errors.New("which hub's broker, and under which name do cameras reach it?")), "usage: %s", cmd.UseLine())
			}
			return writeMosquitto(cmd.OutOrStdout(), state, args[0], hosts, port)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&state, "state", "", "the hub's state directory")
	fl.StringSliceVar(&hosts, "host", nil, "names and addresses under which cameras and the hub reach Mosquitto")
	fl.IntVar(&port, "port", 8883, "the port that Mosquitto listens on")
	return cmd
}

func writeMosquitto(out io.Writer, state, to string, hosts []string, port int) error {
	if port < 1 || port > 65535 {
		return cli.Usage(fmt.Errorf("%d is no port", port))
	}
	if _, err := os.Stat(filepath.Join(state, "ca.pem")); errors.Is(err, fs.ErrNotExist) {
		return cli.Hint(fmt.Errorf("%s is no hub's state directory", state), "start the hub once: lensctl hub --state %s", state)
	}
	dir, err := durable.Open(state)
	if err != nil {
		return err
	}
	ca, err := authority.Open(dir)
	if err != nil {
		return err
	}
	where, err := filepath.Abs(to)
	if err != nil {
		return fmt.Errorf("write Mosquitto's configuration: %w", err)
	}
	files, err := bridge.Mosquitto(ca, hosts, port, where)
	if err != nil {
		return err
	}
	target, err := durable.Open(where)
	if err != nil {
		return err
	}
	for _, f := range files {
		mode := fs.FileMode(0o644)
		if f.Secret {
			mode = 0o600
		}
		if err := target.WriteFile(f.Name, f.Data, mode); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "mosquitto -c %s\nlensctl hub --state %s --bridge mqtts://%s\n",
		filepath.Join(where, "mosquitto.conf"), state, net.JoinHostPort(hosts[0], fmt.Sprint(port)))
	return nil
}

// brokerAddress reads the URL of a broker, mqtts://host:port.
func brokerAddress(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "mqtts" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" {
		return "", cli.Hint(cli.Usage(fmt.Errorf("%q is no broker's address", s)), "give mqtts://host:port")
	}
	port := u.Port()
	if port == "" {
		port = "8883" // IANA's for MQTT over TLS
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}
