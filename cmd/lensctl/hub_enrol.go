package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/hw/devicekey/attestation"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/seal"
)

const (
	maxOwners = 1 << 20 // bytes of the file
	maxTokens = 100_000 // at once
	// obeyPatience is how long a running hub is waited for.
	obeyPatience = 10 * time.Second
)

// enrolFlags are what a camera has to show for a certificate, and what it gets.
type enrolFlags struct {
	admission, owners    string
	life, grace          time.Duration
	attest, makers       string
	issuer, issuersRoots string
}

func (f *enrolFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.admission, "enrol", string(authority.AdmitPaired), "who is let in: token (with a claim token), paired (or with an owner), open (anybody)")
	fl.StringVar(&f.owners, "enrol-owners", "", "let in the paired cameras of the owners in this file alone, one ID a line")
	fl.DurationVar(&f.life, "certificate-life", authority.DefaultLife, "how long a camera's certificate holds; it is renewed from half of that on")
	fl.DurationVar(&f.grace, "certificate-grace", authority.DefaultGrace, "for how long one that has expired can still be renewed")
	fl.StringVar(&f.attest, "attest", "", "proof that a camera's key is in a TPM: required or optional; needs --attest-makers")
	fl.StringVar(&f.makers, "attest-makers", "", "certificates (PEM) of the makers of TPMs that are trusted")
	fl.StringVar(&f.issuer, "issuer", "", "have this command sign cameras' certificates in place of the hub's CA; needs --issuer-roots")
	fl.StringVar(&f.issuersRoots, "issuer-roots", "", "certificates (PEM) that the issuer's lead to")
}

// options reads the files that the flags name.
func (f *enrolFlags) options() (hub.EnrolOptions, error) {
	o := hub.EnrolOptions{Admission: authority.Admission(f.admission), Life: f.life, Grace: f.grace}
	switch o.Admission {
	case authority.AdmitAny, authority.AdmitToken, authority.AdmitPaired:
	default:
		return o, cli.Usage(fmt.Errorf("--enrol %s is not token, paired or open", f.admission))
	}
	if f.life <= 0 || f.grace <= 0 {
		return o, cli.Usage(errors.New("a certificate's life and grace are above 0"))
	}
	if (f.issuer == "") != (f.issuersRoots == "") {
		return o, cli.Usage(errors.New("--issuer and --issuer-roots go together"))
	}
	var err error
	if f.owners != "" {
		if o.Owners, err = readOwners(f.owners); err != nil {
			return o, err
		}
	}
	if f.issuer != "" {
		roots, err := os.ReadFile(f.issuersRoots)
		if err != nil {
			return o, fmt.Errorf("read issuer's roots: %w", err)
		}
		if o.Issuer, err = authority.NewCommand(strings.Fields(f.issuer), roots); err != nil {
			return o, err
		}
	}
	o.Attester, err = f.attester()
	return o, err
}

// attester is nil where nothing is asked.
func (f *enrolFlags) attester() (func([32]byte) authority.Attester, error) {
	switch {
	case f.attest == "" && f.makers == "":
		return nil, nil
	case f.attest != "required" && f.attest != "optional":
		return nil, cli.Usage(fmt.Errorf("--attest %q is not required or optional", f.attest))
	case f.makers == "":
		return nil, cli.Usage(errors.New("--attest needs --attest-makers"))
	}
	pool, err := readPool("makers of TPMs", f.makers)
	if err != nil {
		return nil, err
	}
	return func(key [32]byte) authority.Attester {
		return attestation.NewPolicy(key, pool, f.attest == "required")
	}, nil
}

// readOwners reads IDs, one a line; a line that begins with # is a comment.
func readOwners(name string) (owners []seal.ID, err error) {
	b, err := os.ReadFile(name)
	if err == nil && len(b) > maxOwners {
		err = fmt.Errorf("%s has %d bytes, at most %d", name, len(b), maxOwners)
	}
	if err != nil {
		return nil, fmt.Errorf("read owners: %w", err)
	}
	if owners, err = parseOwners(b); err != nil {
		return nil, fmt.Errorf("read owners: %s, %w", name, err)
	}
	if len(owners) == 0 {
		return nil, fmt.Errorf("read owners: no ID in %s", name)
	}
	return owners, nil
}

func parseOwners(b []byte) (owners []seal.ID, err error) {
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		id, err := seal.ParseID(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		owners = append(owners, id)
	}
	return owners, lines.Err()
}

// hubTokenCommand makes claim tokens.
func hubTokenCommand() *cobra.Command {
	var state, device, out string
	var days, count int
	cmd := &cobra.Command{
		Use:   "token --state DIR",
		Short: "Make a claim token, which lets one camera in, once",
		Long: `Make a claim token and print it. Put it into the file that the camera's hub.enrol_token_file
names; the camera removes that file when it has its certificate. The hub may be running.
A token lets in one camera: the first that shows it, or with --device that one.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state == "" {
				return cli.Hint(cli.Usage(errors.New("which hub is it for?")), "usage: %s", cmd.UseLine())
			}
			if days < 1 || days > 3650 || count < 1 || count > maxTokens {
				return cli.Usage(fmt.Errorf("%d tokens for %d days: at least 1, at most %d and 3650", count, days, maxTokens))
			}
			var id seal.ID
			if device != "" {
				var err error
				if id, err = seal.ParseID(device); err != nil {
					return cli.Usage(err)
				}
			}
			var text strings.Builder
			for range count {
				t, err := hub.ClaimToken(state, time.Now().AddDate(0, 0, days), id)
				if err != nil {
					return err
				}
				fmt.Fprintln(&text, string(t))
			}
			if out == "" {
				_, err := fmt.Fprint(cmd.OutOrStdout(), text.String())
				return err
			}
			dir, err := durable.Open(filepath.Dir(out))
			if err == nil {
				err = dir.Create(filepath.Base(out), []byte(text.String()), 0o600)
			}
			if err != nil {
				return fmt.Errorf("write claim token: %w", err)
			}
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&state, "state", "", "the hub's state directory")
	fl.StringVar(&device, "device", "", "the ID of the camera that it is for; any if not given")
	fl.IntVar(&days, "days", 30, "for how many days it can be used")
	fl.IntVar(&count, "count", 1, "how many to make, one a line")
	fl.StringVarP(&out, "output", "o", "", "a file to write to, which must not be there")
	return cmd
}

// hubRevokeCommand shuts a camera out.
func hubRevokeCommand() *cobra.Command {
	return orderCommand("revoke", "Shut a camera out of the hub, or of all hubs of its cluster",
		`Shut a camera out: its session ends, and it can neither connect nor upload, renew nor
enrol until it is allowed again. What it delivered stays. It keeps recording for its
owner, whose camera it still is. A running hub does so within seconds, another when it
is started; of a cluster one is enough.`, true)
}

// hubAllowCommand takes a revocation back.
func hubAllowCommand() *cobra.Command {
	return orderCommand("allow", "Take the revocation of a camera back",
		"Let a camera that was revoked in again. Its certificate, if it has one, is good again.", false)
}

func orderCommand(verb, short, long string, revoke bool) *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use: verb + " DEVICE --state DIR", Short: short, Long: long,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if state == "" {
				return cli.Hint(cli.Usage(errors.New("which hub is it?")), "usage: %s", cmd.UseLine())
			}
			id, err := seal.ParseID(args[0])
			if err != nil {
				return cli.Usage(err)
			}
			if err := hub.Order(state, id, revoke); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), obeyPatience)
			defer cancel()
			if err := hub.Obeyed(ctx, state, id); errors.Is(err, context.DeadlineExceeded) {
				return cli.Hint(errors.New("the order is left for the hub, which has not carried it out yet"), "start the hub, or look into its log")
			} else if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", map[bool]string{true: "revoked", false: "allowed"}[revoke], id)
			return nil
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "the hub's state directory")
	return cmd
}
