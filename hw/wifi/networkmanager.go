package wifi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/lensward/lensward/internal/durable"
)

const (
	// connection is the name under which NetworkManager keeps the network: one, so that
	// the next takes the place of the one before.
	connection = "lensward"
	maxOutput  = 4 << 10
)

// NetworkManager joins by a keyfile of its own form, nm-settings-keyfile(5), which it is
// told to load by its program nmcli. It takes root's rights.
type NetworkManager struct {
	program  string
	keyfiles string
}

func newNetworkManager(program, keyfiles string) *NetworkManager {
	if program == "" {
		program = "nmcli"
	}
	if keyfiles == "" {
		keyfiles = "/etc/NetworkManager/system-connections"
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return nil
	}
	return &NetworkManager{program: path, keyfiles: keyfiles}
}

// runs says whether the service itself runs.
func (m *NetworkManager) runs(ctx context.Context) bool {
	out, err := m.run(ctx, "-t", "-f", "RUNNING", "general")
	return err == nil && strings.TrimSpace(out) == "running"
}

// Join has the network kept and brings it up.
func (m *NetworkManager) Join(ctx context.Context, n Network) error {
	if err := m.join(ctx, n); err != nil {
		return fmt.Errorf("join Wi-Fi by NetworkManager: %w", err)
	}
	return nil
}

func (m *NetworkManager) join(ctx context.Context, n Network) error {
	if err := n.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	dir, err := durable.Open(m.keyfiles)
	if err != nil {
		return err
	}
	const name = connection + ".nmconnection"
	if err := dir.WriteFile(name, []byte(n.keyfile()), 0o600); err != nil {
		return err
	}
	if _, err := m.run(ctx, "connection", "load", dir.Path(name)); err != nil {
		return err
	}
	_, err = m.run(ctx, "-w", strconv.Itoa(int(joinTime/time.Second)), "connection", "up", "id", connection)
	return err
}

// keyfile is the network as NetworkManager keeps it. The SSID is a list of bytes, so that
// it can be any; in the passphrase what has a meaning in a keyfile is escaped.
func (n Network) keyfile() string {
	var s strings.Builder
	s.WriteString("[connection]\nid=" + connection + "\ntype=wifi\nautoconnect=true\n\n[wifi]\nmode=infrastructure\nssid=")
	for _, b := range []byte(n.SSID) {
		fmt.Fprintf(&s, "%d;", b)
	}
	if n.Hidden {
		s.WriteString("\nhidden=true")
	}
	if n.Passphrase != "" {
		escaped := strings.NewReplacer(`\`, `\\`, " ", `\s`).Replace(string(n.Passphrase))
		s.WriteString("\n\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=" + escaped)
	}
	s.WriteString("\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n")
	return s.String()
}

// run calls nmcli, and gives what it said.
func (m *NetworkManager) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, m.program, args...)
	var out, complaints limited
	cmd.Stdout, cmd.Stderr = &out, &complaints
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	if said := strings.TrimSpace(complaints.String()); said != "" {
		err = errors.New(said)
	}
	return "", fmt.Errorf("nmcli %s: %w", strings.Join(args[:min(2, len(args))], " "), err)
}

// limited keeps the beginning of what a program says.
type limited struct{ bytes.Buffer }

// Write keeps what there is room for.
func (l *limited) Write(p []byte) (int, error) {
	if room := maxOutput - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
