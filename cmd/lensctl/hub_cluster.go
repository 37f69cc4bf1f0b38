package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/cluster"
)

const (
	defaultRoutePort = 6222
	// A node that ended by itself is started again after restartAfter, so that there is
	// time to look at the cluster without it.
	restartAfter = 10 * time.Second
	stopPatience = 30 * time.Second
)

// hubClusterInitCommand makes what the nodes of a cluster need.
func hubClusterInitCommand() *cobra.Command {
	var out, from string
	cmd := &cobra.Command{
		Use:   "cluster-init ADDRESS ADDRESS ADDRESS -o DIR",
		Short: "Make the state directories of hubs that work as one",
		Long: `Make one state directory for each node of a cluster of hubs: hub-1, hub-2 and so on.
An ADDRESS is where the other nodes reach that one: a host, or host:port (port 6222).
Move each directory to its machine and run a hub on it as on any other. The directories
hold the fleet's CA and its key: whoever has one can let cameras in and speak as a hub.`,
		Args: cli.Args(cobra.MinimumNArgs(cluster.MinNodes)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return cli.Hint(cli.Usage(errors.New("where should the directories go?")), "usage: %s", cmd.UseLine())
			}
			dirs, err := hub.InitCluster(out, from, nodesAt(args))
			if err != nil {
				return err
			}
			for _, d := range dirs {
				fmt.Fprintln(cmd.OutOrStdout(), d)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "directory to make them in")
	cmd.Flags().StringVar(&from, "from", "", "state directory of a hub whose cameras are to know the cluster as theirs; its items are not taken over")
	return cmd
}

// nodesAt are nodes at these addresses, numbered.
func nodesAt(addresses []string) []cluster.Node {
	var nodes []cluster.Node
	for i, a := range addresses {
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), strconv.Itoa(defaultRoutePort))
		}
		nodes = append(nodes, cluster.Node{Name: fmt.Sprintf("hub-%d", i+1), Address: a})
	}
	return nodes
}

// hubNATSConfigCommand configures a NATS server of its own.
func hubNATSConfigCommand() *cobra.Command {
	var o hub.Options
	var listen string
	cmd := &cobra.Command{
		Use:   "nats-config --state DIR",
		Short: "Write the configuration of a NATS server in place of the embedded one",
		Long: `Write the configuration of a NATS server that takes the place of a hub's embedded
one, with its certificate, into DIR/nats, and print its path. Start it with

    nats-server --config PATH

and the hub with --nats. In a cluster each hub has its own server beside it.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Dir == "" {
				return cli.Hint(cli.Usage(errors.New("which hub is it for?")), "usage: %s", cmd.UseLine())
			}
			h, err := hub.New(o)
			if err != nil {
				return err
			}
			path, err := h.NATSConfig(listen)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), path)
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&o.Dir, "state", "", "the hub's state directory")
	fl.StringVar(&listen, "nats", "127.0.0.1:4222", "address on which the server listens for the hub")
	fl.StringVar(&o.MQTTListen, "mqtt", "127.0.0.1:8883", "address of MQTT over TLS, for cameras, as the hub is given it")
	fl.StringSliceVar(&o.Hosts, "host", nil, "names and addresses under which cameras reach it")
	return cmd
}

// trial is a cluster of three nodes on one machine, each a process of its own.
type trial struct {
	out     io.Writer
	errOut  io.Writer
	talking sync.Mutex
}

// runTrial runs three hubs as a cluster until ctx ends. A node that ends by itself is
// started again.
func runTrial(ctx context.Context, f hubFlags, args []string, out, errOut io.Writer) error {
	nodes, err := trialNodes(f.options)
	if err != nil {
		return err
	}
	if err := makeTrial(f.options.Dir); err != nil {
		return err
	}
	t := &trial{out: out, errOut: errOut}
	g, ctx := errgroup.WithContext(ctx)
	for i, node := range nodes {
		g.Go(func() error { return t.keep(ctx, trialName(i), append(node, args...)) })
	}
	return g.Wait()
}

func trialName(i int) string { return fmt.Sprintf("hub-%d", i+1) }

// trialNodes are the arguments of each node of a trial.
func trialNodes(o hub.Options) (nodes [][]string, err error) {
	for i := range cluster.MinNodes {
		args := []string{"hub", "--state", filepath.Join(o.Dir, trialName(i)), "--name", trialName(i)}
		for _, l := range [][2]string{{"--mqtt", o.MQTTListen}, {"--devices", o.DeviceListen}, {"--listen", o.ViewerListen}} {
			next, err := portAfter(l[1], i)
			if err != nil {
				return nil, err
			}
			args = append(args, l[0], next)
		}
		nodes = append(nodes, args)
	}
	return nodes, nil
}

// makeTrial makes the nodes' state directories in dir, if there are none.
func makeTrial(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, trialName(0), cluster.File)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var addresses []string
	for i := range cluster.MinNodes {
		addresses = append(addresses, net.JoinHostPort("127.0.0.1", strconv.Itoa(defaultRoutePort+i)))
	}
	_, err := hub.InitCluster(dir, "", nodesAt(addresses))
	return err
}

// keep keeps one node running.
func (t *trial) keep(ctx context.Context, name string, args []string) error {
	for {
		err := t.run(ctx, name, args)
		if ctx.Err() != nil {
			return nil
		}
		t.say(t.errOut, "%s ended (%v); starting it again in %v\n", name, err, restartAfter)
		if wait.For(ctx, restartAfter) != nil {
			return nil
		}
	}
}

// run runs one node until it or ctx ends.
func (t *trial) run(ctx context.Context, name string, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// A node dies with this process, however that ends: the kernel sees to it as long as
	// the thread that started it lives.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopPatience
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Stdout = &relay{t: t, to: t.out, name: name, cmd: cmd}
	cmd.Stderr = &relay{t: t, to: t.errOut, name: name}
	return cmd.Run()
}

// portAfter is an address with its port n higher.
func portAfter(address string, n int) (string, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", cli.Usage(fmt.Errorf("listen address: %w", err))
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return "", cli.Usage(fmt.Errorf("listen address %s: a port by number is needed, for the others to follow", address))
	}
	return net.JoinHostPort(host, strconv.Itoa(port+n)), nil
}

func (t *trial) say(to io.Writer, format string, args ...any) {
	t.talking.Lock()
	defer t.talking.Unlock()
	fmt.Fprintf(to, format, args...)
}

// relay passes on what a node says, line by line, with the node's name before it, and
// its process where cmd is given.
type relay struct {
	t    *trial
	to   io.Writer
	name string
	cmd  *exec.Cmd
	rest []byte
}

// Write takes any part of the text.
func (r *relay) Write(b []byte) (int, error) {
	r.rest = append(r.rest, b...)
	for {
		line, rest, found := bytes.Cut(r.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		r.rest = rest
		who := r.name
		if r.cmd != nil {
			who += fmt.Sprintf(" (process %d)", r.cmd.Process.Pid)
		}
		r.t.say(r.to, "%s: %s\n", who, line)
	}
}

// sharedArgs are the flags that were given and hold for every node of a trial alike.
func sharedArgs(cmd *cobra.Command) []string {
	var args []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "state", "cluster", "name", "mqtt", "devices", "listen":
		default:
			args = append(args, "--"+f.Name+"="+strings.Trim(f.Value.String(), "[]"))
		}
	})
	return args
}
