package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// encodeText is how cards, boxes and releases are written for people to pass on.
func encodeText(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// readText reads what encodeText wrote.
func readText(name string, limit int) ([]byte, error) {
	text, err := readAll(name, int64(base64.RawURLEncoding.EncodedLen(limit)+16))
	if err != nil {
		return nil, err
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("read %s: not base64url", name)
	}
	return b, nil
}

func readCard(k *keyring.Keyring, name string) (*household.Card, error) {
	b, err := readText(name, household.MaxCard)
	if err != nil {
		return nil, err
	}
	c, err := household.VerifyCard(b, k.Owner())
	if err != nil {
		return nil, cli.Verification(err)
	}
	return c, nil
}

// ownerAddCommand makes somebody a member.
func ownerAddCommand() *cobra.Command {
	var in household.Invitation
	var role, until string
	cmd := &cobra.Command{
		Use:   "add-viewer DIR CARD --name NAME",
		Short: "Let somebody look, by the card that lensctl owner join printed",
		Long: `Make the holder of the card in the file CARD a member of the household ("-" reads
standard input), or give a member another name, role or date. A new member sees
what is recorded from now on; with --past also what was recorded before.`,
		Args: cli.Args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Role, err = parseRole(role); err != nil {
				return cli.Usage(err)
			}
			if until != "" {
				if in.Until, err = time.ParseInLocation(time.DateOnly, until, time.Local); err != nil {
					return cli.Usage(fmt.Errorf("--until %q: want YYYY-MM-DD", until))
				}
				in.Until = in.Until.AddDate(0, 0, 1) // the whole day
			}
			if in.Name == "" || in.Role == ownership.RoleGuest && until == "" {
				return cli.Hint(cli.Usage(errors.New("a member has a name, and a guest a date")), "usage: %s", cmd.UseLine())
			}
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			if in.Card, err = readCard(k, args[1]); err != nil {
				return err
			}
			return changeHousehold(cmd, k, household.Change{Add: []household.Invitation{in}})
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Name, "name", "", "what people call it, such as \"Jo's phone\"")
	f.StringVar(&role, "role", "viewer", "owner, viewer or guest")
	f.StringVar(&until, "until", "", "the last day on which it may look, YYYY-MM-DD")
	f.BoolVar(&in.Past, "past", false, "let it see what was recorded before")
	return cmd
}

func parseRole(s string) (ownership.Role, error) {
	for _, r := range []ownership.Role{ownership.RoleOwner, ownership.RoleViewer, ownership.RoleGuest} {
		if r.String() == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("--role %q: want owner, viewer or guest", s)
}

// ownerRemoveCommand ends a membership.
func ownerRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove-viewer DIR MEMBER",
		Short: "Shut a member out of what is recorded from now on",
		Long: `Remove MEMBER, a name or an ID that lensctl owner household shows. A new period
begins, which it cannot open. What it could open before it may have copied.`,
		Args: cli.Args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			key, err := findMember(k, args[1])
			if err != nil {
				return cli.Hint(err, "lensctl owner household %s", args[0])
			}
			return changeHousehold(cmd, k, household.Change{Remove: [][]byte{key}})
		},
	}
}

// findMember is the key of the one member with this name or ID.
func findMember(k *keyring.Keyring, who string) ([]byte, error) {
	var found [][]byte
	if k.Newest() != nil {
		for _, m := range k.Newest().Members {
			if m.Name == who || seal.KeyID(m.Key).String() == who {
				found = append(found, m.Key)
			}
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d members are called %q", len(found), who)
	}
	return found[0], nil
}

// ownerRenewCommand takes members' new cards.
func ownerRenewCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "renew DIR CARD...",
		Short: "Take members' new cards, from files",
		Args:  cli.Args(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			var c household.Change
			for _, name := range args[1:] {
				card, err := readCard(k, name)
				if err != nil {
					return err
				}
				c.Cards = append(c.Cards, card)
			}
			return changeHousehold(cmd, k, c)
		},
	}
}

// ownerRotateCommand begins a period.
func ownerRotateCommand() *cobra.Command {
	var rotation, retention int
	var ifDue bool
	cmd := &cobra.Command{
		Use:   "rotate DIR",
		Short: "Begin a new period, and destroy what is no longer kept",
		Long: `Begin a new period: cameras encrypt to a new recipient once they have a new record
(lensctl owner push), and the one before is opened for the retention and then by nobody.
With --if-due nothing is done before the period is over or a guest's date has
passed, so that it can be run every day.`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			now := time.Now()
			if n := k.Newest(); ifDue && n != nil && now.Before(n.Due()) {
				_, err := k.Expire(now)
				fmt.Fprintf(cmd.ErrOrStderr(), "the next period is due on %s\n", n.Due().Format(time.DateOnly))
				return err
			}
			return changeHousehold(cmd, k, household.Change{
				NewPeriod: true, Rotation: time.Duration(rotation) * 24 * time.Hour, Retention: time.Duration(retention) * 24 * time.Hour,
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&rotation, "every", 0, "from now on a period lasts so many days (at first 30)")
	f.IntVar(&retention, "keep", 0, "from now on what was recorded can be opened for so many days after its period (at first 90)")
	f.BoolVar(&ifDue, "if-due", false, "only when a new period is due")
	return cmd
}

// changeHousehold makes the change and says what is to be done with it.
func changeHousehold(cmd *cobra.Command, k *keyring.Keyring, c household.Change) error {
	first := k.Newest() == nil
	s, err := k.Change(c, time.Now())
	if s == nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "statement %d: period %d, members: %d\n", s.Serial, s.Current().Number, len(s.Members))
	w := cmd.ErrOrStderr()
	if first {
		fmt.Fprintf(w, "hint: this begins a household: what was recorded can be opened for %s after its period ends, and then by nobody\n", days(s.Retention))
	}
	if err != nil {
		return err
	}
	outdated, err := k.Outdated()
	if err != nil {
		return err
	}
	for _, o := range outdated {
		fmt.Fprintf(w, "hint: camera %s records for the household as it was, until: lensctl owner push\n", o.Record.Device)
	}
	return nil
}

// writeSecret writes a file that only its owner can read, and overwrites none.
func writeSecret(name string, b []byte) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}
