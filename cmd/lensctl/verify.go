package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/viewer"
)

const (
	// verifyDir is what an owner's directory has of earlier looks: the viewer's state, a
	// lock, and the findings.
	verifyDir   = "verify"
	verifyState = "viewer.json"
	findingsDir = "findings"
	// maxFindingFiles bounds how many findings are kept with their proof.
	maxFindingFiles = 1_000
)

// verifyFlags are the settings of verify.
type verifyFlags struct {
	hub, ca, owner, export string
	heads                  []string
	watch, asJSON          bool
	logLevel               string
}

// verifyCommand looks whether a hub is an honest courier.
func verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify --hub URL --owner DIR",
		Short: "Look whether a hub gives all that it should, and tell what it is caught at",
		Long: `Fetch everything that a hub has for an owner, verify it, and hold it against what
the cameras signed and what was seen at earlier looks. What the hub is caught at is
told in plain words, and kept with its proof in DIR/verify/findings; the exit code
is 3 then.

Whether two members of a household are shown two histories shows when they compare:
each gives the other what --export-heads writes, by any way but the hub, and looks
with --heads FILE.

Where something is missing the hub is asked once more after 10 seconds, and where a
camera is silent after a minute.`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.hub == "" || f.owner == "" {
				return cli.Hint(cli.Usage(errors.New("which hub, and whose keys?")), "usage: %s", cmd.UseLine())
			}
			return runVerify(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.hub, "hub", "", "the hub's viewer address, https://HOST:PORT or http://127.0.0.1:PORT")
	fl.StringVar(&f.owner, "owner", "", "the owner's or the member's directory")
	fl.StringVar(&f.ca, "ca", "", "certificates (PEM) that the hub's must lead to; else the system's")
	fl.StringArrayVar(&f.heads, "heads", nil, "hold the hub to what another member has seen: a file of --export-heads")
	fl.StringVar(&f.export, "export-heads", "", "write what was seen to this file, for another member")
	fl.BoolVar(&f.watch, "watch", false, "go on looking until interrupted")
	fl.BoolVar(&f.asJSON, "json", false, "print one JSON object in the end")
	fl.StringVar(&f.logLevel, "log", "error", "debug, info, warn or error")
	return cmd
}

// verifier looks for an owner.
type verifier struct {
	flags    verifyFlags
	dir      *durable.Dir
	findings *durable.Dir
	kept     int // files of findings
	out      io.Writer
	told     []toldFinding
	err      error // of keeping a finding
}

// toldFinding is a finding as it is printed.
type toldFinding struct {
	Name   viewer.FindingName `json:"name"`
	Words  string             `json:"words"`
	Device string             `json:"device,omitempty"`
	Epoch  uint64             `json:"epoch"`
	Chain  uint64             `json:"chain"`
	From   uint64             `json:"from"`
	To     uint64             `json:"to"`
	Detail string             `json:"detail"`
	File   string             `json:"file,omitempty"`
}

// verifyReport is what verify --json prints.
type verifyReport struct {
	Owner    string        `json:"owner"`
	Verified uint64        `json:"verified"`
	Opened   uint64        `json:"opened"`
	Withheld uint64        `json:"withheld"`
	Dropped  uint64        `json:"dropped"`
	Missing  uint64        `json:"missing"`
	Findings []toldFinding `json:"findings"`
}

func runVerify(ctx context.Context, f verifyFlags, out, errOut io.Writer) (err error) {
	k, err := openKeyring(f.owner)
	if err != nil {
		return err
	}
	v := &verifier{flags: f, out: out}
	if v.dir, err = durable.Open(filepath.Join(f.owner, verifyDir)); err != nil {
		return fmt.Errorf("open what was seen before: %w", err)
	}
	unlock, err := v.dir.Lock()
	if errors.Is(err, durable.ErrLocked) {
		return cli.Hint(err, "another lensctl verify runs for this owner")
	}
	if err != nil {
		return fmt.Errorf("open what was seen before: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if v.findings, err = durable.Open(filepath.Join(f.owner, verifyDir, findingsDir)); err != nil {
		return fmt.Errorf("open findings: %w", err)
	}
	names, err := v.findings.Names()
	if err != nil {
		return fmt.Errorf("open findings: %w", err)
	}
	v.kept = len(names)
	look, err := v.viewer(k, errOut)
	if err != nil {
		return err
	}
	if err := v.look(ctx, look); err != nil {
		return err
	}
	return v.conclude(k, look)
}

// viewer makes the one that looks.
func (v *verifier) viewer(k *keyring.Keyring, errOut io.Writer) (*viewer.Viewer, error) {
	log, err := cli.Logger(errOut, v.flags.logLevel)
	if err != nil {
		return nil, err
	}
	client, err := hubClient(v.flags.ca)
	if err != nil {
		return nil, err
	}
	known, err := k.Ownerships()
	if err != nil {
		return nil, err
	}
	o := viewer.Options{
		HubURL: v.flags.hub, HTTPClient: client, Known: known, State: viewer.OpenState(v.dir, verifyState), Log: log,
		Keys: viewer.Keys{Owner: k.Owner(), Signer: k.Viewer(), Identities: k.Household()},
	}
	for _, name := range v.flags.heads {
		heads, err := readHeads(name)
		if err != nil {
			return nil, err
		}
		o.Heads = append(o.Heads, heads)
	}
	return viewer.New(o)
}

// readHeads reads a file that another member wrote.
func readHeads(name string) (viewer.MemberHeads, error) {
	b, err := readAll(name, viewer.MaxHeadsFile)
	if err != nil {
		return viewer.MemberHeads{}, fmt.Errorf("read heads: %w", err)
	}
	heads, err := viewer.ParseHeads(b)
	if err != nil {
		return heads, cli.Hint(fmt.Errorf("%s: %w", name, err), "it is written by: lensctl verify --export-heads FILE")
	}
	return heads, nil
}

// look looks once, or until it is interrupted.
func (v *verifier) look(ctx context.Context, look *viewer.Viewer) error {
	if v.flags.watch {
		if err := look.Run(ctx, v.take); !errors.Is(err, context.Canceled) || ctx.Err() == nil {
			return errors.Join(err, v.err)
		}
		return v.err
	}
	if err := look.SyncOnce(ctx, v.take); err != nil {
		if errors.Is(err, viewer.ErrHubChanged) {
			err = cli.Hint(err, "if it is meant to be another hub, move %s away", v.dir.Path(verifyState))
		}
		return errors.Join(err, v.err)
	}
	return v.err
}

// take keeps a finding and tells it.
func (v *verifier) take(e viewer.Event) {
	f, ok := e.(viewer.Finding)
	if !ok {
		return
	}
	t := toldFinding{Name: f.Name, Words: f.Name.Words(), Epoch: f.Epoch, Chain: f.Chain, From: f.From, To: f.To, Detail: f.Detail}
	if !f.Device.IsZero() {
		t.Device = f.Device.String()
	}
	file, err := v.keep(f)
	t.File, v.err = file, errors.Join(v.err, err)
	v.told = append(v.told, t)
	if !v.flags.asJSON {
		fmt.Fprintln(v.out, t)
	}
}

// String is a finding for a person.
func (t toldFinding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", t.Name, t.Words)
	if t.Device != "" {
		fmt.Fprintf(&b, "  camera %s, epoch %d", t.Device, t.Epoch)
		switch {
		case t.Chain == 0:
			fmt.Fprintf(&b, ", revision %d", t.From)
		case t.From == t.To:
			fmt.Fprintf(&b, ", chain %d, item %d", t.Chain, t.From)
		default:
			fmt.Fprintf(&b, ", chain %d, items %d to %d", t.Chain, t.From, t.To)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "  %s", t.Detail)
	if t.File != "" {
		fmt.Fprintf(&b, "\n  proof in %s", t.File)
	}
	return b.String()
}

// keep writes a finding's file, unless it is there already or there are too many.
func (v *verifier) keep(f viewer.Finding) (string, error) {
	name := f.FileName()
	path := v.findings.Path(name)
	switch _, err := os.Stat(path); {
	case err == nil:
		return path, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("keep finding: %w", err)
	case v.kept >= maxFindingFiles:
		return "", nil
	}
	b, err := f.Encode()
	if err != nil {
		return "", err
	}
	if err := v.findings.WriteFile(name, b, 0o600); err != nil {
		return "", fmt.Errorf("keep finding: %w", err)
	}
	v.kept++
	return path, nil
}

// conclude writes the heads, sums up and says by its error whether something was found.
func (v *verifier) conclude(k *keyring.Keyring, look *viewer.Viewer) error {
	if v.flags.export != "" {
		b, err := look.Heads().Encode()
		if err != nil {
			return err
		}
		if err := os.WriteFile(v.flags.export, b, 0o600); err != nil {
			return fmt.Errorf("write heads: %w", err)
		}
	}
	sum := look.Summary()
	r := verifyReport{
		Owner: k.Owner().String(), Verified: sum.Verified, Opened: sum.Opened, Withheld: sum.Withheld, Findings: v.told,
	}
	for _, m := range sum.Missing {
		if m.Dropped {
			r.Dropped += m.To - m.From + 1
		} else {
			r.Missing += m.To - m.From + 1
		}
	}
	if v.flags.asJSON {
		if r.Findings == nil {
			r.Findings = []toldFinding{}
		}
		if err := json.NewEncoder(v.out).Encode(r); err != nil {
			return fmt.Errorf("print report: %w", err)
		}
	} else {
		fmt.Fprintf(v.out, "%d items verified, %d opened, %d answers withheld; %d dropped by the cameras, %d missing; findings: %d\n",
			r.Verified, r.Opened, r.Withheld, r.Dropped, r.Missing, len(r.Findings))
		for _, c := range look.Cameras() {
			if !c.Ended.IsZero() {
				fmt.Fprintf(v.out, "camera %s: your time with it ended %s, by its own word: released to another owner, or its button was held\n", c.Device.Short(), c.Ended.UTC().Format(time.RFC3339))
			}
		}
	}
	if len(r.Findings) > 0 {
		return cli.Verification(fmt.Errorf("what the hub gives does not fit with what the cameras signed: %d findings", len(r.Findings)))
	}
	return nil
}
