package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/keyring"
)

// ownerCommand makes and shows an owner's keys.
func ownerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "owner",
		Short: "Make and show an owner's keys",
		Args:  cli.Args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(ownerNewCommand(), ownerShowCommand(), ownerExportCommand(), ownerImportCommand(),
		ownerHouseholdCommand(), ownerAddCommand(), ownerRemoveCommand(), ownerRotateCommand(), ownerRenewCommand(),
		ownerJoinCommand(), ownerCardCommand(), ownerTakeCommand(), ownerRecoveryCommand(), ownerReleaseCommand(), ownerPushCommand())
	return cmd
}

func ownerNewCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "new DIR",
		Short: "Make an owner's keys in a new directory",
		Long: `Make an owner's keys in DIR: the root key that signs who owns a camera, the key
that signs in to a hub, and the household identity that opens pictures
(post-quantum: ML-KEM-768 with X25519). Whoever has the directory sees the
pictures; without it nobody does. Keep a copy.`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := keyring.New(args[0])
			if errors.Is(err, keyring.ErrExists) {
				return cli.Hint(err, "lensctl owner show %s", args[0])
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), k.Owner())
			fmt.Fprintf(cmd.ErrOrStderr(), "hint: keep a copy of %s: without it nobody can open the pictures\n", args[0])
			return nil
		},
	}
}

func ownerShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show DIR",
		Short: "Show an owner's ID, recipient and cameras, no secrets",
		Args:  cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			return showOwner(cmd.OutOrStdout(), k, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shownOwner is what owner show prints.
type shownOwner struct {
	Owner     string        `json:"owner"`
	Recipient string        `json:"recipient"`
	Cameras   []shownCamera `json:"cameras"`
}

type shownCamera struct {
	Device   string `json:"device"`
	Epoch    uint64 `json:"epoch"`
	Revision uint64 `json:"revision"`
}

func showOwner(w io.Writer, k *keyring.Keyring, asJSON bool) error {
	all, err := k.Ownerships()
	if err != nil {
		return err
	}
	out := shownOwner{Owner: k.Owner().String(), Recipient: k.Recipient(), Cameras: []shownCamera{}}
	for _, o := range all {
		out.Cameras = append(out.Cameras, shownCamera{o.Record.Device.String(), o.Record.Epoch, o.Record.Revision})
	}
	if asJSON {
		return json.NewEncoder(w).Encode(out)
	}
	fmt.Fprintf(w, "owner      %s\nrecipient  %s\n", out.Owner, out.Recipient)
	for _, c := range out.Cameras {
		fmt.Fprintf(w, "camera     %s  epoch %d, revision %d\n", c.Device, c.Epoch, c.Revision)
	}
	return nil
}

func ownerExportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export DIR",
		Short: "Print the viewer's half of the keys, for the viewer page to import",
		Long: `Print the viewer's half of the keys in DIR as JSON, for the viewer page to import.
It opens every picture and is a secret; it cannot change who owns a camera.`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			e, err := k.Export()
			if err != nil {
				return err
			}
			if cli.IsTerminal(cmd.OutOrStdout()) {
				return cli.Hint(errors.New("the keys are secret and would be shown on the screen"), "lensctl owner export %s > keys.json", args[0])
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(e)
		},
	}
}

func ownerImportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE DIR",
		Short: "Make an owner's directory from keys that were made in the viewer page",
		Long: `Make an owner's directory in DIR from FILE, the copy that the viewer page saves of
keys that were made in it. "-" reads standard input.`,
		Args: cli.Args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := readAll(args[0], 1<<20)
			if err != nil {
				return err
			}
			k, err := keyring.Import(args[1], b)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), k.Owner())
			return nil
		},
	}
}

// openKeyring opens an owner's directory, with a hint where there is none.
func openKeyring(dir string) (*keyring.Keyring, error) {
	var k *keyring.Keyring
	_, err := os.Stat(dir) // opening would make the directory
	if err == nil {
		k, err = keyring.Open(dir)
	}
	if err != nil {
		return nil, cli.Hint(fmt.Errorf("open owner's keys: %w", err), "make an owner's keys with: lensctl owner new DIR")
	}
	return k, nil
}
