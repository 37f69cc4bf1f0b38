package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lensward/lensward/cmd/internal/cli"
	"github.com/lensward/lensward/hw/serial"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/exchange"
	"github.com/lensward/lensward/transport/pairing/line"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

// pairingDir is what an owner's directory has of a pairing under way: the owner's side, in
// the file pairingState, and a lock.
const (
	pairingDir   = "pairing"
	pairingState = "state"
)

// watchful is how long a second camera with the same code is looked out for.
const watchful = 5 * time.Second

// pairFlags are the settings of the owner's side.
type pairFlags struct {
	owner, hub, ca, code, png string
	wifi, passphrase          string
	hidden, anew              bool
	serial                    string
	speed                     int
}

// ownerSide is an owner who waits for a camera.
type ownerSide struct {
	flags    pairFlags
	keys     *keyring.Keyring
	dir      *durable.Dir
	http     *http.Client
	out, err io.Writer

	owner *pairing.Owner
	rival seal.ID
}

// pairAway pairs a camera that is elsewhere: by a hub, a serial line, or both.
func pairAway(ctx context.Context, k *keyring.Keyring, f pairFlags, out, errOut io.Writer) error {
	s := &ownerSide{flags: f, keys: k, out: out, err: errOut}
	if k.Root() == nil {
		return fmt.Errorf("pair: %w", keyring.ErrMember)
	}
	var err error
	if s.http, err = hubClient(f.ca); err != nil {
		return err
	}
	if s.dir, err = durable.Open(filepath.Join(f.owner, pairingDir)); err != nil {
		return fmt.Errorf("open pairing state: %w", err)
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	return errors.Join(s.run(ctx), unlock())
}

// lock has this process alone pair for the owner.
func (s *ownerSide) lock() (func() error, error) {
	unlock, err := s.dir.Lock()
	if errors.Is(err, durable.ErrLocked) {
		return nil, cli.Hint(err, "another lensctl pair runs for this owner")
	}
	return unlock, err
}

func (s *ownerSide) run(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	carriers, wait, err := s.carriers(ctx)
	if err != nil {
		return err
	}
	linger := watchful
	if s.flags.hub == "" {
		linger = exchange.Linger // nothing keeps the last message
	}
	err = exchange.Run(ctx, exchange.Options{
		Side: s.owner, Carriers: carriers, Linger: linger, Changed: s.changed, Refused: s.refused, Trouble: s.trouble(),
	})
	stop()
	if waited := wait(); err == nil {
		err = waited
	}
	if s.owner.Phase() == pairing.PhaseDone {
		return s.keep()
	}
	if s.owner.Phase() == pairing.PhaseFailed {
		failure := s.owner.Failure()
		return cli.Hint(errors.Join(failure, s.dir.Remove(pairingState)), "%s", pairing.ReasonOf(failure).Advice())
	}
	if err != nil && s.owner.Phase() == pairing.PhaseAgreed {
		fmt.Fprintln(s.err, "hint: the camera may have taken its owner already; call lensctl pair again to go on")
	}
	return err
}

// begin goes on with the pairing that is under way, or makes a code and shows it.
func (s *ownerSide) begin(ctx context.Context) error {
	save := func(state []byte) error { return s.dir.WriteFile(pairingState, state, 0o600) }
	state, err := s.dir.ReadFile(pairingState, pairing.MaxState)
	if err == nil {
		if s.owner, err = pairing.RestoreOwner(state, s.keys.Taker(), save); err != nil {
			return cli.Hint(err, "--new makes a new code")
		}
		if done, err := s.goOn(ctx); done || err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read pairing state: %w", err)
	}
	code, err := s.newCode(ctx)
	if err != nil {
		return err
	}
	if s.owner, err = pairing.NewOwner(code, s.keys.Taker(), save); err != nil {
		return err
	}
	return s.show(code)
}

// goOn reports whether the pairing that is under way is to be carried on.
func (s *ownerSide) goOn(ctx context.Context) (bool, error) {
	phase := s.owner.Phase()
	if phase == pairing.PhaseAgreed {
		s.learn(ctx)
	}
	switch code := s.owner.Code(); {
	case phase == pairing.PhaseDone || s.owner.Phase() == pairing.PhaseDone:
		return true, nil
	case phase == pairing.PhaseAgreed && s.flags.anew:
		return false, cli.Hint(fmt.Errorf("camera %s was offered to be this owner's, and may have accepted", s.owner.Device()),
			"call lensctl pair without --new to hear from it; or remove the file %s if that camera is gone", s.dir.Path(pairingState))
	case phase == pairing.PhaseAgreed:
		fmt.Fprintf(s.err, "going on with camera %s, which has answered\n", s.owner.Device())
		return true, nil
	case phase == pairing.PhaseBegun && code != nil && !s.flags.anew && time.Now().Before(code.Expires):
		fmt.Fprintln(s.err, "going on with the code that was made before (--new makes another)")
		return true, s.show(code)
	}
	return false, nil
}

// learn asks the hub for the ownership that was offered: the camera's answer may have been
// lost, and the first thing that it tells its hub is whose it is.
func (s *ownerSide) learn(ctx context.Context) {
	if s.flags.hub == "" {
		return
	}
	c, err := viewer.NewCourier(viewer.CourierOptions{HubURL: s.flags.hub, HTTPClient: s.http, Owner: s.keys.Owner(), Signer: s.keys.Viewer()})
	if err != nil {
		return // carriers says what is wrong with the address
	}
	all, err := c.Records(ctx)
	if err != nil {
		return // the hub lets nobody in of whom it has no camera's record
	}
	for _, own := range all {
		if s.owner.Learn(own) == nil {
			return
		}
	}
}

// newCode makes a code that names the hub, if there is one, and the Wi-Fi.
func (s *ownerSide) newCode(ctx context.Context) (*pairing.Code, error) {
	var hub *pairing.Hub
	if s.flags.hub != "" {
		word, err := viewer.AskHub(ctx, s.flags.hub, s.http)
		if err != nil {
			return nil, cli.Hint(err, "is the hub running at %s?", s.flags.hub)
		}
		if len(word.Devices) == 0 {
			return nil, cli.Hint(errors.New("the hub does not say where cameras reach it"), "update the hub")
		}
		hub = &pairing.Hub{ID: word.ID, Addresses: word.Devices}
	}
	var wifi *pairing.WiFi
	if s.flags.wifi != "" {
		passphrase, err := readPassphrase(s.flags.passphrase)
		if err != nil {
			return nil, err
		}
		wifi = &pairing.WiFi{SSID: s.flags.wifi, Passphrase: passphrase, Hidden: s.flags.hidden}
	}
	return pairing.NewCode(s.keys.Owner(), time.Now().Add(pairing.CodeLife), hub, wifi)
}

// readPassphrase reads the first line of a file, "-" is standard input; "" is an open
// network.
func readPassphrase(name string) (secret.Text, error) {
	if name == "" {
		return "", nil
	}
	b, err := readAll(name, 256)
	if err != nil {
		return "", fmt.Errorf("read Wi-Fi passphrase: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return secret.Text(strings.TrimSuffix(line, "\r")), nil
}

// carriers are the ways to the camera. What they run is waited for by calling wait, once
// ctx is done.
func (s *ownerSide) carriers(ctx context.Context) (all []exchange.Carrier, wait func() error, err error) {
	wait = func() error { return nil }
	if s.flags.hub != "" {
		box, err := mailbox.New(mailbox.Options{URL: s.flags.hub, Path: mailbox.ViewerPath, Side: mailbox.SideOwner, HTTP: s.http})
		if err != nil {
			return nil, wait, err
		}
		all = append(all, box)
	}
	if s.flags.serial == "" {
		return all, wait, nil
	}
	l := line.New(line.Owner, func() (io.ReadWriteCloser, error) { return serial.Open(s.flags.serial, s.flags.speed) })
	l.Trouble = s.trouble()
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	wait = func() error {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
	return append(all, &shownLine{Line: l, code: s.owner.Code()}), wait, nil
}

// shownLine is a serial line on which the code is shown until a camera has answered.
type shownLine struct {
	*line.Line
	code *pairing.Code // nil once it is not to be shown
}

// Get is the line's. Until the first message came, it shows the code first.
func (l *shownLine) Get(ctx context.Context, rendezvous string, have []byte) ([]byte, error) {
	if l.code == nil || have != nil {
		return l.Line.Get(ctx, rendezvous, have)
	}
	if err := l.Show(ctx, l.code.Text()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, exchange.Period)
	defer cancel()
	msg, err := l.Line.Get(ctx, rendezvous, nil)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return msg, err
}

// changed tells the person how far it is.
func (s *ownerSide) changed(phase pairing.Phase) {
	switch phase {
	case pairing.PhaseBegun:
		fmt.Fprintln(s.err, "waiting for a camera that sees the code")
	case pairing.PhaseAgreed:
		fmt.Fprintf(s.err, "camera %s has answered; waiting until it has its owner\n", s.owner.Device())
	case pairing.PhaseDone:
		fmt.Fprintln(s.err, "paired; looking out for another camera with the same code")
	}
}

// refused says what a person has to know of a message that was refused.
func (s *ownerSide) refused(err error) {
	reason := pairing.ReasonOf(err)
	if reason == pairing.ReasonRival && s.owner.Rival() == s.rival {
		return // it is known
	}
	s.rival = s.owner.Rival()
	fmt.Fprintf(s.err, "warning: %v\n", err)
	if advice := reason.Advice(); advice != "" {
		fmt.Fprintf(s.err, "hint: %s\n", advice)
	}
}

// trouble says what a carrier fails in, once.
func (s *ownerSide) trouble() func(error) {
	told := make(chan string, 1)
	told <- ""
	return func(err error) {
		last := <-told
		if err != nil && err.Error() != last {
			last = err.Error()
			fmt.Fprintf(s.err, "warning: %v\n", err)
		}
		told <- last
	}
}

// keep keeps the ownership, and forgets the pairing.
func (s *ownerSide) keep() error {
	own, err := s.owner.Ownership()
	if err != nil {
		return err
	}
	if err := s.keys.Keep(own); err != nil {
		return err
	}
	if err := s.dir.Remove(pairingState); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "camera %s belongs to owner %s (epoch %d, revision %d)\n",
		own.Record.Device, own.Record.Owner, own.Record.Epoch, own.Record.Revision)
	if rival := s.owner.Rival(); !rival.IsZero() {
		return cli.Hint(fmt.Errorf("camera %s has the code too", rival), "%s", pairing.ReasonRival.Advice())
	}
	return nil
}
