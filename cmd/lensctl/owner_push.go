package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/letter"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

// courierFlags say by which hub letters go, and how long their answers are waited for.
type courierFlags struct {
	hub, ca  string
	patience time.Duration
}

func (f *courierFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.hub, "hub", "", "the hub's viewer address, https://HOST:PORT or http://127.0.0.1:PORT")
	fl.StringVar(&f.ca, "ca", "", "certificates (PEM) that the hub's must lead to; else the system's")
	fl.DurationVar(&f.patience, "wait", time.Minute, "how long to wait for the camera's answer")
}

// courier signs in by the owner's root key: by no other are there letters.
func (f *courierFlags) courier(k *keyring.Keyring) (*viewer.Courier, error) {
	if k.Root() == nil {
		return nil, keyring.ErrMember
	}
	client, err := hubClient(f.ca)
	if err != nil {
		return nil, err
	}
	return viewer.NewCourier(viewer.CourierOptions{HubURL: f.hub, HTTPClient: client, Owner: k.Owner(), Signer: k.Root()})
}

// ownerPushCommand tells cameras of what has changed in the household.
func ownerPushCommand() *cobra.Command {
	var f courierFlags
	cmd := &cobra.Command{
		Use:   "push DIR --hub URL",
		Short: "Have the cameras record for the household as it is now",
		Long: `Send each camera that records for the household as it was the next revision of its
record, by the hub, and wait for it to accept. What a camera accepted is kept in DIR. A
camera that is away gets it when it comes: the hub keeps it for 30 days.`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.hub == "" {
				return cli.Hint(cli.Usage(errors.New("by which hub?")), "usage: %s", cmd.UseLine())
			}
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			c, err := f.courier(k)
			if err != nil {
				return err
			}
			out, err := letter.Push(cmd.Context(), k, c, f.patience)
			return errors.Join(tell(cmd.OutOrStdout(), cmd.ErrOrStderr(), out), err)
		},
	}
	f.add(cmd.Flags())
	return cmd
}

// tell prints what became of letters. One that was refused is an error.
func tell(w, errOut io.Writer, out []letter.Outcome) error {
	var errs []error
	for _, o := range out {
		switch {
		case o.Taken && o.Revision > 0:
			fmt.Fprintf(w, "camera %s: revision %d accepted\n", o.Camera, o.Revision)
		case o.Taken:
			fmt.Fprintf(w, "camera %s: released\n", o.Camera)
		case o.Refused != "":
			errs = append(errs, fmt.Errorf("camera %s refused it: %s", o.Camera, o.Refused))
		default:
			fmt.Fprintf(w, "camera %s: sent\n", o.Camera)
			fmt.Fprintln(errOut, "hint: the camera has not answered yet; the hub keeps it for when it comes")
		}
	}
	return errors.Join(errs...)
}

// ownerReleaseCommand gives a camera away.
func ownerReleaseCommand() *cobra.Command {
	var to string
	var days int
	var f courierFlags
	cmd := &cobra.Command{
		Use:   "release DIR CAMERA [--hub URL]",
		Short: "Let a camera become another's",
		Long: `Sign that CAMERA, a device ID, may become another owner's within --days. With --hub the
camera is told, and records nothing until somebody takes it or the days have passed;
without, what is printed has to be brought to it. Whoever shows it a pairing code can
then take it; with --to only the owner with that ID. A new record, as lensctl owner push
or lensctl pair makes it, takes the release back.`,
		Args: cli.Args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var heir seal.ID
			if to != "" {
				if heir, err = seal.ParseID(to); err != nil {
					return cli.Usage(fmt.Errorf("--to: %w", err))
				}
			}
			camera, err := seal.ParseID(args[1])
			if err != nil {
				return cli.Usage(err)
			}
			if days < 1 || days > 366 {
				return cli.Usage(fmt.Errorf("--days %d: 1 to 366", days))
			}
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			return release(cmd, k, f, camera, heir, time.Now().AddDate(0, 0, days))
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the new owner's ID; without it anyone's")
	cmd.Flags().IntVar(&days, "days", 14, "for how many days it is good")
	f.add(cmd.Flags())
	return cmd
}

// release signs a release, and sends or prints it.
func release(cmd *cobra.Command, k *keyring.Keyring, f courierFlags, camera, to seal.ID, expires time.Time) error {
	if f.hub == "" {
		r, err := k.Release(camera, to, expires)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), encodeText(r.Bytes()))
		return nil
	}
	c, err := f.courier(k)
	if err != nil {
		return err
	}
	_, out, err := letter.Release(cmd.Context(), k, c, camera, to, expires, f.patience)
	if err != nil {
		return err
	}
	return tell(cmd.OutOrStdout(), cmd.ErrOrStderr(), []letter.Outcome{out})
}
