package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/agent/control"
	"github.com/lensward/lensward/agent/device"
	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
)

// pairCommand makes a camera an owner's.
func pairCommand() *cobra.Command {
	var f pairFlags
	var state string
	cmd := &cobra.Command{
		Use:   "pair --owner DIR (--hub URL | --serial PORT | --state DIR)",
		Short: "Make a camera an owner's",
		Long: `Make a camera the owner's: the owner signs an ownership record, the camera
countersigns it, and each keeps both signatures.

With --hub a code is shown that the camera's lens reads, or that is given to it as text
with lensward pair; camera and owner find each other by the hub, which the code names.
With --serial the code and all else goes over a serial line to the camera, for kits. A
pairing that was interrupted goes on when the command is called again.

With --state the camera is on this machine: its state directory is given, of an agent
that runs or of one that does not. No code is needed.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			away := f.hub != "" || f.serial != ""
			if f.owner == "" || away == (state != "") {
				return cli.Hint(cli.Usage(errors.New("which camera, and whose?")), "usage: %s", cmd.UseLine())
			}
			k, err := openKeyring(f.owner)
			if err != nil {
				return err
			}
			if away {
				return pairAway(cmd.Context(), k, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			o, err := pair(cmd.Context(), k, state)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "camera %s belongs to owner %s (epoch %d, revision %d)\n",
				o.Record.Device, o.Record.Owner, o.Record.Epoch, o.Record.Revision)
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.owner, "owner", "", "the owner's directory")
	fl.StringVar(&state, "state", "", "the state directory of a camera on this machine")
	fl.StringVar(&f.hub, "hub", "", "the hub's viewer address, https://HOST:PORT or http://127.0.0.1:PORT")
	fl.StringVar(&f.ca, "ca", "", "certificates (PEM) that the hub's must lead to; else the system's")
	fl.StringVar(&f.code, "code", "", "write the code as text to this file, - for standard output, and do not draw it")
	fl.StringVar(&f.png, "png", "", "write the code as a picture to this file")
	fl.StringVar(&f.wifi, "wifi", "", "the Wi-Fi network that the camera is to join")
	fl.StringVar(&f.passphrase, "wifi-passphrase-file", "", "a file whose first line is its passphrase, - for standard input; else it is open")
	fl.BoolVar(&f.hidden, "wifi-hidden", false, "the Wi-Fi network does not announce itself")
	fl.BoolVar(&f.anew, "new", false, "make a new code, whatever became of the last")
	fl.StringVar(&f.serial, "serial", "", "a serial port with the camera at its other end, such as /dev/ttyUSB0")
	fl.IntVar(&f.speed, "serial-speed", 115200, "its speed in bits a second; 0 leaves it as it is")
	return cmd
}

// camera is a device that can be paired: a running agent, or a state directory.
type camera interface {
	DeviceKey(context.Context) ([]byte, error)
	Known(context.Context) (*ownership.Ownership, error)
	Free(context.Context) (ownership.Acquired, error)
	Pair(context.Context, *ownership.Signed) (*ownership.Ownership, error)
}

func pair(ctx context.Context, k *keyring.Keyring, state string) (*ownership.Ownership, error) {
	// A symbolic link or a relative path is the same camera.
	state, err := filepath.Abs(state)
	if err != nil {
		return nil, fmt.Errorf("find state directory: %w", err)
	}
	client, err := control.Dial(ctx, state)
	if err == nil {
		return pairWith(ctx, k, client)
	}
	if info, statErr := os.Stat(state); statErr != nil || !info.IsDir() {
		return nil, cli.Hint(fmt.Errorf("no state directory at %s", state), "start the agent once, or give the directory of state.dir")
	}
	dev, err := device.Open(state, version)
	if errors.Is(err, durable.ErrLocked) {
		return nil, cli.Hint(err, "an agent runs on it that does not answer on its control socket")
	}
	if err != nil {
		return nil, err
	}
	o, err := pairWith(ctx, k, still{dev})
	return o, errors.Join(err, dev.Close())
}

// draftFor is the record by which k takes a camera: its first, the next revision of k's
// own, which takes a release back, or the first of the next epoch of one that is free.
func draftFor(k *keyring.Keyring, key []byte, known *ownership.Ownership, how ownership.Acquired) (ownership.Record, error) {
	now := time.Now()
	switch {
	case known == nil:
		return k.Draft(key, nil, now)
	case how == ownership.AcquiredReset, how == ownership.AcquiredReleased && known.Record.Owner != k.Owner():
		return k.Claim(key, &known.Signed, how, now)
	default:
		return k.Draft(key, &known.Signed, now)
	}
}

func pairWith(ctx context.Context, k *keyring.Keyring, c camera) (*ownership.Ownership, error) {
	key, err := c.DeviceKey(ctx)
	if err != nil {
		return nil, err
	}
	known, err := c.Known(ctx)
	if err != nil {
		return nil, err
	}
	how, err := c.Free(ctx)
	if err != nil {
		return nil, err
	}
	draft, err := draftFor(k, key, known, how)
	if err != nil {
		return nil, cli.Hint(err, "its owner has to release it, or somebody has to reset it by its button")
	}
	signed, err := ownership.Sign(k.Root(), draft)
	if err != nil {
		return nil, err
	}
	o, err := c.Pair(ctx, signed)
	if err != nil {
		return nil, err
	}
	// The camera's answer is held against what was asked before it is believed.
	if err := o.Verify(); err != nil {
		return nil, cli.Verification(err)
	}
	if o.Hash() != signed.Hash() {
		return nil, cli.Verification(errors.New("the camera accepted another record than it was given"))
	}
	return o, k.Keep(o)
}

// still is a device on which no agent runs.
type still struct{ dev *device.Device }

// DeviceKey is the device's SubjectPublicKeyInfo.
func (s still) DeviceKey(context.Context) ([]byte, error) { return s.dev.Key().SPKI(), nil }

// Known is the record in force, nil while there is none.
func (s still) Known(context.Context) (*ownership.Ownership, error) {
	o, err := s.dev.Ownership()
	if errors.Is(err, device.ErrUnpaired) {
		return nil, nil
	}
	return o, err
}

// Free says how the device can be taken, 0 where it belongs to somebody.
func (s still) Free(context.Context) (ownership.Acquired, error) {
	how, err := s.dev.Free(time.Now())
	if errors.Is(err, device.ErrOwned) {
		return 0, nil
	}
	return how, err
}

// Pair has the device countersign a record.
func (s still) Pair(_ context.Context, r *ownership.Signed) (*ownership.Ownership, error) {
	return s.dev.Accept(r, time.Now())
}
