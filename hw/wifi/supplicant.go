package wifi

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lensward/lensward/internal/wait"
)

const (
	maxReply   = 4 << 10
	replyTime  = 5 * time.Second
	statusLook = time.Second
)

// Supplicant joins by wpa_supplicant's control socket. It has to be allowed to save its
// configuration (update_config=1) for the network to be there after the next start.
type Supplicant struct {
	path string // its socket
	temp string // where ours is made
}

// Join adds the network to those that wpa_supplicant knows, and waits until the radio has
// joined it. When that fails, the network is removed again.
func (s *Supplicant) Join(ctx context.Context, n Network) error {
	if err := s.join(ctx, n); err != nil {
		return fmt.Errorf("join Wi-Fi by wpa_supplicant (%s): %w", filepath.Base(s.path), err)
	}
	return nil
}

func (s *Supplicant) join(ctx context.Context, n Network) (err error) {
	if err := n.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	id, err := c.ask("ADD_NETWORK")
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(id, 10, 16); err != nil {
		return fmt.Errorf("ADD_NETWORK answers %.40q", id)
	}
	if err := s.configure(ctx, c, id, n); err != nil {
		if _, undo := c.ask("REMOVE_NETWORK " + id); undo != nil {
			return errors.Join(err, undo)
		}
		return err
	}
	if err := c.ok("SAVE_CONFIG"); err != nil {
		return fmt.Errorf("joined, but it is not kept (update_config=1 is missing in its configuration): %w", err)
	}
	return nil
}

// configure says what the network is, and has it joined.
func (s *Supplicant) configure(ctx context.Context, c *control, id string, n Network) error {
	// The SSID goes as hexadecimal digits. A passphrase goes in quotes and ends at the last
	// of them: it is printable ASCII, so that it cannot end the line.
	set := []string{"ssid " + hex.EncodeToString([]byte(n.SSID))}
	if n.Passphrase == "" {
		set = append(set, "key_mgmt NONE")
	} else {
		set = append(set, "key_mgmt WPA-PSK WPA-PSK-SHA256 SAE", "ieee80211w 1", `psk "`+string(n.Passphrase)+`"`)
	}
	if n.Hidden {
		set = append(set, "scan_ssid 1")
	}
	for _, line := range set {
		name, _, _ := strings.Cut(line, " ")
		err := c.ok("SET_NETWORK " + id + " " + line)
		if err != nil && name == "key_mgmt" && n.Passphrase != "" { // built without SAE
			err = c.ok("SET_NETWORK " + id + " key_mgmt WPA-PSK")
		}
		if err != nil && name != "ieee80211w" {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	if err := c.ok("SELECT_NETWORK " + id); err != nil {
		return err
	}
	if err := c.ok("ENABLE_NETWORK all"); err != nil { // selecting one disables the others
		return err
	}
	return joined(ctx, c, id)
}

// joined waits until the radio has joined the network.
func joined(ctx context.Context, c *control, id string) error {
	for {
		status, err := c.ask("STATUS")
		if err != nil {
			return err
		}
		in, state := "", ""
		for line := range strings.SplitSeq(status, "\n") {
			if v, ok := strings.CutPrefix(line, "id="); ok {
				in = v
			} else if v, ok := strings.CutPrefix(line, "wpa_state="); ok {
				state = v
			}
		}
		if in == id && state == "COMPLETED" {
			return nil
		}
		if err := wait.For(ctx, statusLook); err != nil {
			return fmt.Errorf("it is not joined (%.20s): is the passphrase right, and is the network in reach? %w", state, err)
		}
	}
}

// control is a conversation with wpa_supplicant.
type control struct {
	conn  *net.UnixConn
	local string
}

// dial opens a socket of our own, to which the answers come.
func (s *Supplicant) dial() (*control, error) {
	dir, err := os.MkdirTemp(s.temp, "lensward-wifi-")
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	local := filepath.Join(dir, "ctrl")
	conn, err := net.DialUnix("unixgram", &net.UnixAddr{Name: local, Net: "unixgram"}, &net.UnixAddr{Name: s.path, Net: "unixgram"})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open control socket: %w", err), os.RemoveAll(dir))
	}
	return &control{conn: conn, local: dir}, nil
}

func (c *control) close() error { return errors.Join(c.conn.Close(), os.RemoveAll(c.local)) }

// ask sends a command, and gives the answer. What is sent is in no error: it may be the
// passphrase.
func (c *control) ask(command string) (string, error) {
	if err := c.conn.SetDeadline(time.Now().Add(replyTime)); err != nil {
		return "", fmt.Errorf("ask: %w", err)
	}
	verb, _, _ := strings.Cut(command, " ")
	if _, err := c.conn.Write([]byte(command)); err != nil {
		return "", fmt.Errorf("%s: %w", verb, err)
	}
	buf := make([]byte, maxReply)
	for {
		n, err := c.conn.Read(buf)
		if err != nil {
			return "", fmt.Errorf("%s: %w", verb, err)
		}
		if reply := string(buf[:n]); !strings.HasPrefix(reply, "<") { // an event, to whoever asked for them
			return strings.TrimSpace(reply), nil
		}
	}
}

// ok is ask for what answers OK.
func (c *control) ok(command string) error {
	reply, err := c.ask(command)
	if err != nil {
		return err
	}
	if reply != "OK" {
		verb, _, _ := strings.Cut(command, " ")
		return fmt.Errorf("%s answers %.80q", verb, reply)
	}
	return nil
}
