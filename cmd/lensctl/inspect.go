package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/seal"
)

// inspectCommand reads an item's header without keys.
func inspectCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect ITEM",
		Short: "Read a sealed item's header and check its signature, without keys",
		Args:  cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			it, err := readItem(args[0])
			if err != nil {
				return refusal(err)
			}
			verified := it.Verify()
			if err := printHeader(cmd.OutOrStdout(), it, verified, asJSON); err != nil {
				return err
			}
			if verified != nil {
				return cli.Verification(verified)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shownHeader is what inspect prints.
type shownHeader struct {
	Place      string `json:"place"`
	Kind       string `json:"kind"`
	Device     string `json:"device"`
	Owner      string `json:"owner"`
	Epoch      uint64 `json:"epoch"`
	Chain      uint64 `json:"chain"`
	Seq        uint64 `json:"seq"`
	Boot       uint64 `json:"boot"`
	Identity   string `json:"identity"`
	Prev       string `json:"prev"`
	Record     string `json:"record"`
	Event      string `json:"event,omitempty"`
	Part       uint32 `json:"part"`
	Last       bool   `json:"last"`
	Captured   string `json:"captured"`
	Clock      string `json:"clock"`
	MediaType  string `json:"media_type"`
	Firmware   string `json:"firmware"`
	Protection string `json:"protection"`
	BodySize   uint64 `json:"body_size"`
	BodyHash   string `json:"body_hash"`
	Verified   bool   `json:"verified"`
	Reason     string `json:"reason,omitempty"`
}

func printHeader(w io.Writer, it *seal.Item, verified error, asJSON bool) error {
	h := it.Header
	s := shownHeader{
		Place: h.Ref().String(), Kind: h.Kind.String(), Device: h.Device.String(), Owner: h.Owner.String(),
		Epoch: h.Epoch, Chain: h.Chain, Seq: h.Seq, Boot: h.Boot, Identity: it.Hash().String(),
		Prev: h.Prev.String(), Record: h.Record.String(), Part: h.Part, Last: h.Last,
		Captured: h.Captured.Format(time.RFC3339Nano), Clock: h.Clock.String(), MediaType: h.MediaType,
		Firmware: h.Firmware, Protection: h.Protection.String(), BodySize: h.BodySize, BodyHash: h.BodyHash.String(),
		Verified: verified == nil, Reason: string(seal.ReasonOf(verified)),
	}
	if !h.Event.IsZero() {
		s.Event = h.Event.String()
	}
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range [][2]any{
		{"kind", s.Kind}, {"device", s.Device}, {"owner", s.Owner},
		{"place", fmt.Sprintf("epoch %d, chain %d, number %d, boot %d", s.Epoch, s.Chain, s.Seq, s.Boot)},
		{"identity", s.Identity}, {"follows", s.Prev}, {"record", s.Record},
		{"event", s.Event}, {"part", fmt.Sprintf("%d, last: %v", s.Part, s.Last)},
		{"captured", s.Captured + " (clock: " + s.Clock + ")"}, {"media type", s.MediaType},
		{"firmware", s.Firmware}, {"key kept in", s.Protection},
		{"body", fmt.Sprintf("%d bytes, SHA-256 %s", s.BodySize, s.BodyHash)},
		{"signature", map[bool]string{true: "by the device's key, over this header and body", false: "DOES NOT VERIFY: " + s.Reason}[s.Verified]},
	} {
		fmt.Fprintf(t, "%s\t%v\n", row[0], row[1])
	}
	return t.Flush()
}

// readItem reads and parses a file; "-" is standard input.
func readItem(name string) (*seal.Item, error) {
	b, err := readAll(name, seal.MaxItem)
	if err != nil {
		return nil, err
	}
	return seal.Parse(b)
}

// readAll reads a file, "-" being standard input, and at most one byte more than
// the limit: what is too long is for the caller to refuse.
func readAll(name string, limit int64) ([]byte, error) {
	f := os.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, fmt.Errorf("open file: %w", err)
		}
		defer f.Close() // read-only: nothing to lose
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// refusal gives a verifier's error its exit code.
func refusal(err error) error {
	var e *seal.Error
	if errors.As(err, &e) {
		return cli.Verification(fmt.Errorf("not shown: %w", err))
	}
	return err
}
