package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/seal"
)

// ownerHouseholdCommand shows the household.
func ownerHouseholdCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "household DIR",
		Short: "Show who looks, for how long it can be opened, and what changed",
		Args:  cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			if _, err := k.Expire(time.Now()); err != nil {
				return err
			}
			if k.Newest() == nil {
				return cli.Hint(errors.New("there is no household yet"), "it begins with the first change: lensctl owner rotate %s", args[0])
			}
			shown, err := shownHouseholdOf(k)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(shown)
			}
			shown.print(cmd.OutOrStdout())
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shownHousehold is what owner household prints.
type shownHousehold struct {
	Owner     string        `json:"owner"`
	Statement uint64        `json:"statement"`
	Period    uint64        `json:"period"`
	Due       time.Time     `json:"due"`
	Rotation  string        `json:"rotation"`
	Retention string        `json:"retention"`
	Held      int           `json:"periods_held"`
	Members   []shownMember `json:"members"`
	History   []shownEvent  `json:"history"`
}

type shownMember struct {
	ID    string     `json:"id"`
	Name  string     `json:"name"`
	Role  string     `json:"role"`
	Until *time.Time `json:"until,omitempty"`
	Own   bool       `json:"own,omitempty"`
}

type shownEvent struct {
	Statement uint64    `json:"statement"`
	At        time.Time `json:"at"`
	What      []string  `json:"what"`
}

func shownHouseholdOf(k *keyring.Keyring) (shownHousehold, error) {
	n := k.Newest()
	out := shownHousehold{
		Owner: k.Owner().String(), Statement: n.Serial, Period: n.Current().Number, Due: n.Due().UTC(),
		Rotation: days(n.Rotation), Retention: days(n.Retention), Held: len(k.Household()),
	}
	own, err := seal.IDOf(k.Viewer().Public())
	if err != nil {
		return out, err
	}
	for _, m := range n.Members {
		id := seal.KeyID(m.Key)
		shown := shownMember{ID: id.String(), Name: m.Name, Role: m.Role.String(), Own: id == own}
		if m.Until != 0 {
			until := time.UnixMilli(m.Until).UTC()
			shown.Until = &until
		}
		out.Members = append(out.Members, shown)
	}
	all, err := k.Statements()
	if err != nil {
		return out, err
	}
	events, err := household.History(all)
	if err != nil {
		return out, err
	}
	for _, e := range events {
		out.History = append(out.History, shownEvent{e.Serial, e.At.UTC(), whatHappened(e)})
	}
	return out, nil
}

func days(d time.Duration) string { return fmt.Sprintf("%.4g days", d.Hours()/24) }

// whatHappened says a statement's changes in words.
func whatHappened(e household.Event) []string {
	var out []string
	for _, list := range []struct {
		verb    string
		members []household.Member
	}{{"added", e.Added}, {"removed", e.Removed}, {"changed", e.Altered}, {"renewed", e.Renewed}} {
		for _, m := range list.members {
			out = append(out, fmt.Sprintf("%s %s (%s)", list.verb, m.Name, m.Role))
		}
	}
	if e.Period != 0 {
		out = append(out, fmt.Sprintf("period %d began", e.Period))
	}
	for _, n := range e.Dropped {
		out = append(out, fmt.Sprintf("period %d can be opened no longer", n))
	}
	if e.Rotation != 0 {
		out = append(out, "a period lasts "+days(e.Rotation))
	}
	if e.Retention != 0 {
		out = append(out, "kept for "+days(e.Retention)+" after its end")
	}
	return out
}

func (s shownHousehold) print(w io.Writer) {
	fmt.Fprintf(w, "owner      %s\nstatement  %d\nperiod     %d, the next is due on %s\nopens      %d periods; each is kept for %s after its end\n",
		s.Owner, s.Statement, s.Period, s.Due.Format(time.DateOnly), s.Held, s.Retention)
	for _, m := range s.Members {
		fmt.Fprintf(w, "member     %s  %s, %s", m.ID, m.Name, m.Role)
		if m.Until != nil {
			fmt.Fprintf(w, " until %s", m.Until.Format(time.DateTime))
		}
		if m.Own {
			fmt.Fprint(w, ", this directory")
		}
		fmt.Fprintln(w)
	}
	for _, e := range s.History {
		fmt.Fprintf(w, "history    %d  %s  %s\n", e.Statement, e.At.Format(time.DateTime), strings.Join(e.What, "; "))
	}
}

// ownerJoinCommand makes a member's directory.
func ownerJoinCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "join DIR OWNER",
		Short: "Make a member's keys for an owner's household, and print its card",
		Long: `Make keys in DIR for a member of the household of OWNER, the owner's ID, and print
the card that the owner takes with: lensctl owner add-viewer. Once that was done:
lensctl owner take.`,
		Args: cli.Args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			owner, err := seal.ParseID(args[1])
			if err != nil {
				return cli.Usage(err)
			}
			k, err := keyring.Join(args[0], owner)
			if err != nil {
				return err
			}
			return printCard(cmd, k)
		},
	}
}

// ownerCardCommand prints a card where one is needed.
func ownerCardCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "card DIR",
		Short: "Print a member's new card, where one is needed",
		Args:  cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			return printCard(cmd, k)
		},
	}
}

func printCard(cmd *cobra.Command, k *keyring.Keyring) error {
	card, err := k.Card()
	if err != nil {
		return err
	}
	if card == nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "hint: no card is needed until the next period")
		return nil
	}
	fmt.Fprintln(cmd.OutOrStdout(), encodeText(card))
	return nil
}

// ownerTakeCommand takes statements in.
func ownerTakeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "take DIR STATEMENT...",
		Short: "Take household statements from files, oldest first",
		Long: `Take household statements, which are the files *.household of an owner's directory,
and with them the identities that they bring. One that is older than what is known,
or contradicts it, is refused with exit code 3. Then, if a card is printed, it is for
the owner: lensctl owner renew.`,
		Args: cli.Args(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := openKeyring(args[0])
			if err != nil {
				return err
			}
			for _, name := range args[1:] {
				b, err := readAll(name, household.MaxEnvelope+household.MaxKeys)
				if err != nil {
					return err
				}
				t, err := k.Take(b, time.Now())
				if err != nil {
					return cli.Verification(fmt.Errorf("%s: %w", name, err))
				}
				tellTaken(cmd.ErrOrStderr(), k, t)
			}
			if k.Root() != nil {
				return nil
			}
			return printCard(cmd, k)
		},
	}
}

func tellTaken(w io.Writer, k *keyring.Keyring, t keyring.Taken) {
	switch {
	case !t.Listed:
		fmt.Fprintf(w, "statement %d: this directory's key is no member\n", k.Newest().Serial)
	case t.Locked != nil:
		fmt.Fprintf(w, "statement %d: period %d cannot be opened: %v\n", k.Newest().Serial, k.Newest().Current().Number, t.Locked)
	default:
		fmt.Fprintf(w, "statement %d: %d more periods can be opened\n", k.Newest().Serial, t.Gained)
	}
}
