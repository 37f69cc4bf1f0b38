// Package wifi has the board join a wireless network, by whichever service manages its
// radios: NetworkManager or wpa_supplicant.
//
// It owns how a network is told to either of them, so that no SSID or passphrase can be
// taken for anything else, and that a passphrase is in no program's arguments and in no
// log. It never scans, never chooses a network, and keeps nothing itself: the service
// does.
package wifi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/lensward/lensward/internal/secret"
)

// ErrNone means that this machine has no service that could join a network.
var ErrNone = errors.New("neither NetworkManager nor wpa_supplicant is there")

// joinTime bounds one Join.
const joinTime = 90 * time.Second

// Network is a network to join.
type Network struct {
	// SSID is 1 to 32 bytes, any of them.
	SSID string
	// Passphrase is 8 to 63 printable ASCII characters, or empty for an open network.
	Passphrase secret.Text
	// Hidden says that the network does not announce itself.
	Hidden bool
}

// check holds a network against its limits.
func (n Network) check() error {
	if l := len(n.SSID); l < 1 || l > 32 {
		return fmt.Errorf("an SSID of %d bytes, 1 to 32", l)
	}
	if n.Passphrase == "" {
		return nil
	}
	if l := len(n.Passphrase); l < 8 || l > 63 {
		return fmt.Errorf("a passphrase of %d characters, 8 to 63", l)
	}
	for _, b := range []byte(n.Passphrase) {
		if b < ' ' || b > '~' {
			return errors.New("a passphrase that is not printable ASCII")
		}
	}
	return nil
}

// Joiner is a service that joins networks.
type Joiner interface {
	// Join returns when the network is joined, or could not be.
	Join(ctx context.Context, n Network) error
}

// Options say where the services are; the zero Options is where they usually are.
type Options struct {
	// NMCLI is NetworkManager's program; "" looks for nmcli in PATH.
	NMCLI string
	// Keyfiles is where NetworkManager keeps its connections; "" is
	// /etc/NetworkManager/system-connections.
	Keyfiles string
	// Sockets is where wpa_supplicant has its control sockets; "" is /run/wpa_supplicant.
	Sockets string
	// Temp is where this end's sockets are made; "" is the usual place.
	Temp string
}

// Detect finds the service that manages this machine's radios. ErrNone if there is none.
func Detect(ctx context.Context, o Options) (Joiner, error) {
	if nm := newNetworkManager(o.NMCLI, o.Keyfiles); nm != nil && nm.runs(ctx) {
		return nm, nil
	}
	if o.Sockets == "" {
		o.Sockets = "/run/wpa_supplicant"
	}
	entries, err := os.ReadDir(o.Sockets)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look for wpa_supplicant: %w", err)
	}
	for _, e := range entries {
		// A radio's socket has its name; p2p-dev-… is not a network's.
		if e.Type()&os.ModeSocket != 0 && len(e.Name()) < 16 && e.Name() != "global" {
			return &Supplicant{path: filepath.Join(o.Sockets, e.Name()), temp: o.Temp}, nil
		}
	}
	return nil, ErrNone
}

// Join is Detect and the service's Join in one.
func Join(ctx context.Context, o Options, n Network) error {
	j, err := Detect(ctx, o)
	if err != nil {
		return fmt.Errorf("join Wi-Fi: %w", err)
	}
	return j.Join(ctx, n)
}
