package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"rsc.io/qr"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/keyring"
)

// ownerRecoveryCommand is about the sheet of paper.
func ownerRecoveryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recovery",
		Short: "Print a recovery sheet, and restore an owner's keys from one",
		Args:  cli.Args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(recoveryPrintCommand(), recoveryBoxCommand(), recoveryRestoreCommand())
	return cmd
}

func recoveryPrintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "print DIR",
		Short: "Print a new recovery sheet, which takes the place of the one before",
		Long: `Print a sheet with 24 words, for paper: with it and a box (lensctl owner recovery box)
everything is restored when every device is lost, and without a box it is of no use.
The words are printed this once and kept nowhere. Boxes that are made from now on are
for this sheet; burn the one before.`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			if k.Root() == nil {
				return keyring.ErrMember
			}
			secret := household.NewSecret()
			if err := printSheet(cmd.OutOrStdout(), k, secret, time.Now()); err != nil {
				return err
			}
			if err := k.KeepSheet(secret); err != nil {
				return fmt.Errorf("the sheet that was printed is worth nothing: %w", err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "hint: make a box for it, and keep that elsewhere: lensctl owner recovery box %s FILE\n", args[0])
			return nil
		},
	}
}

// printSheet writes the sheet as text of at most 80 columns.
func printSheet(w io.Writer, k *keyring.Keyring, secret household.Secret, now time.Time) error {
	keeper, err := secret.Keeper()
	if err != nil {
		return err
	}
	code, err := qr.Encode(secret.QR(), qr.M)
	if err != nil {
		return fmt.Errorf("draw QR code: %w", err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "LENSWARD RECOVERY SHEET                                           %s\n\n", now.Format(time.DateOnly))
	out.WriteString("Who has these words, and the box that is kept for them, sees all pictures of\nthis owner and decides whose the cameras are. Keep them where nobody looks.\n\n")
	for i, word := range strings.Fields(secret.Words()) {
		if i%4 == 3 {
			fmt.Fprintf(&out, "%4d %s\n", i+1, word)
			continue
		}
		fmt.Fprintf(&out, "%4d %-12s", i+1, word)
	}
	out.WriteString("\n")
	drawQR(&out, code)
	fmt.Fprintf(&out, "\nowner  %s\nbox    %s\n\nTo restore: lensctl owner recovery restore DIR BOX\n", k.Owner(), keeper.Locator)
	_, err = io.WriteString(w, out.String())
	return err
}

// drawQR draws two rows of modules to a line, dark as ink.
func drawQR(w *strings.Builder, code *qr.Code) {
	const quiet = 4
	for y := -quiet; y < code.Size+quiet; y += 2 {
		line := strings.Repeat(" ", quiet)
		for x := range code.Size {
			switch upper, lower := code.Black(x, y), code.Black(x, y+1); {
			case upper && lower:
				line += "█"
			case upper:
				line += "▀"
			case lower:
				line += "▄"
			default:
				line += " "
			}
		}
		w.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

func recoveryBoxCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "box DIR FILE",
		Short: "Write the box that the recovery sheet opens to a new file",
		Long: `Write the box that the sheet opens to FILE: the root key and the identities that are
kept now, encrypted for the sheet. Make a new one after each change of the household
and delete the one before. It may lie anywhere: it takes the sheet to open it.`,
		Args: cli.Args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			locator, box, err := k.Box(time.Now())
			if errors.Is(err, keyring.ErrNoSheet) {
				return cli.Hint(err, "lensctl owner recovery print %s", args[0])
			}
			if err != nil {
				return err
			}
			if err := writeSecret(args[1], box); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), locator)
			return nil
		},
	}
}

func recoveryRestoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore DIR BOX",
		Short: "Make an owner's directory from a recovery sheet and its box",
		Long: `Make an owner's directory in DIR from the file BOX and the 24 words of its sheet, which
are read from standard input, in any case and on any number of lines.`,
		Args: cli.Args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			box, err := readAll(args[1], household.MaxBox)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "the 24 words, then end of input (Ctrl-D):")
			text, err := readAll("-", 4<<10)
			if err != nil {
				return err
			}
			secret, err := household.ParseSecret(string(text))
			if err != nil {
				return err
			}
			k, err := keyring.Restore(args[0], secret, box)
			if errors.Is(err, household.ErrBox) {
				return cli.Verification(err)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), k.Owner())
			fmt.Fprintf(cmd.ErrOrStderr(), "hint: take the statements that came after the box (lensctl owner take), then shut out what was lost: lensctl owner remove-viewer %s MEMBER\n", args[0])
			return nil
		},
	}
}
