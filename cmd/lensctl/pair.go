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
	var owner, state string
	cmd := &cobra.Command{
		Use:   "pair --state DIR --owner DIR",
		Short: "Make a camera on this machine an owner's",
		Long: `Make the camera whose state directory is given the owner's: the owner signs an
ownership record, the camera countersigns it, and each keeps both signatures. It
works with an agent that runs on the directory, and with one that does not.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if owner == "" || state == "" {
				return cli.Hint(cli.Usage(errors.New("which camera, and whose?")), "usage: %s", cmd.UseLine())
			}
			k, err := openKeyring(owner)
			if err != nil {
				return err
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
	cmd.Flags().StringVar(&owner, "owner", "", "the owner's directory")
	cmd.Flags().StringVar(&state, "state", "", "the camera's state directory")
	return cmd
}

// camera is a device that can be paired: a running agent, or a state directory.
type camera interface {
	DeviceKey(context.Context) ([]byte, error)
	Known(context.Context) (*ownership.Ownership, error)
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

func pairWith(ctx context.Context, k *keyring.Keyring, c camera) (*ownership.Ownership, error) {
	key, err := c.DeviceKey(ctx)
	if err != nil {
		return nil, err
	}
	known, err := c.Known(ctx)
	if err != nil {
		return nil, err
	}
	var before *ownership.Signed
	if known != nil {
		before = &known.Signed
	}
	draft, err := k.Draft(key, before, time.Now())
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

// Pair has the device countersign a record.
func (s still) Pair(_ context.Context, r *ownership.Signed) (*ownership.Ownership, error) {
	return s.dev.Accept(r, time.Now())
}
