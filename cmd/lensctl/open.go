package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/seal"
)

// openCommand verifies and decrypts items.
func openCommand() *cobra.Command {
	var owner, out, place string
	cmd := &cobra.Command{
		Use:   "open ITEM... --owner DIR [-o FILE]",
		Short: "Verify sealed items for their owner and decrypt them",
		Long: `Verify that each ITEM is whole, signed by a camera that is paired with the owner
whose keys are in DIR, belongs to that owner, and fits the items before it; then
decrypt it. Several items, such as the parts of a clip, are joined in the order in
which they are given. Where anything fails, nothing is written, the reason is said
and the exit code is 3.`,
		Args: cli.Args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if owner == "" {
				return cli.Hint(cli.Usage(errors.New("whose keys?")), "usage: %s", cmd.UseLine())
			}
			k, err := openKeyring(owner)
			if err != nil {
				return err
			}
			o, err := newOpener(k)
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := o.open(name, place); err != nil {
					return fmt.Errorf("%s: %w", name, refusal(err))
				}
			}
			return writeResult(cmd.OutOrStdout(), out, o.plain.Bytes())
		},
	}
	cmd.Flags().StringVar(&owner, "owner", "", "the owner's directory")
	cmd.Flags().StringVarP(&out, "output", "o", "", "write to this file instead of stdout")
	cmd.Flags().StringVar(&place, "place", "", "the place, DEVICE/EPOCH/CHAIN/SEQ, that the item must have")
	return cmd
}

// opener is a viewer of files: what it opened so far, and the account of it.
type opener struct {
	policy *seal.Policy
	audit  *seal.Audit
	keys   *keyring.Keyring
	plain  bytes.Buffer
}

func newOpener(k *keyring.Keyring) (*opener, error) {
	policy, err := k.Policy()
	if err != nil {
		return nil, err
	}
	return &opener{policy: policy, audit: seal.NewAudit(), keys: k}, nil
}

// open takes one more item, in the order of the specification.
func (o *opener) open(name, place string) error {
	it, err := readItem(name)
	if err != nil {
		return err
	}
	if err := it.Verify(); err != nil {
		return err
	}
	if at := it.Header.Ref().String(); place != "" && at != place {
		return &seal.Error{Reason: seal.ReasonNotAskedFor, Detail: "it is " + at}
	}
	if err := o.policy.Check(it.Header); err != nil {
		return err
	}
	if err := o.audit.Add(it.Header, it.Hash()); err != nil {
		return err
	}
	plain, err := it.Open(o.keys.Household()...)
	if err != nil {
		return err
	}
	o.plain.Write(plain)
	if it.Header.Kind != seal.KindGap {
		return nil
	}
	gap, err := seal.ParseGap(plain)
	if err != nil {
		return err
	}
	return o.audit.Explain(it.Header, gap)
}

// writeResult writes to a file, or to stdout unless that would spoil a terminal.
func writeResult(stdout io.Writer, name string, b []byte) error {
	if name == "" || name == "-" {
		if cli.IsTerminal(stdout) {
			return cli.Hint(errors.New("the result is not text for a terminal"), "give -o FILE")
		}
		_, err := stdout.Write(b)
		return err
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}
