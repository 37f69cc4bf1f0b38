package wifi_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lensward/lensward/hw/wifi"
	"github.com/lensward/lensward/internal/secret"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// attacks are names and passphrases that mean something to a shell, a keyfile, or a
// control socket.
func attacks() []wifi.Network {
	return []wifi.Network{
		{SSID: "home", Passphrase: "correct horse"},
		{SSID: "café ☕", Passphrase: "12345678", Hidden: true},
		{SSID: "\x00\xff\n\r\"'`$(touch owned);", Passphrase: `"; touch owned; "`},
		{SSID: "--help", Passphrase: `\s\n\\ [wifi] #;`},
		{SSID: "a\nSET_NETWORK 0 psk", Passphrase: `x" key_mgmt=NONE "`},
		{SSID: "[wifi-security]\npsk=1", Passphrase: "  spaces  "},
		{SSID: "open"},
	}
}

// fakeNM is nmcli as far as this package knows it. It says with which arguments it was
// called; of a connection that is brought up it keeps the keyfile.
func fakeNM(t *testing.T, running string, fails bool) (o wifi.Options, args func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "args")
	script := "#!/bin/sh\nprintf '%s\\n' \"$*\" >> " + log + "\n" + `case "$*" in
*general) echo ` + running + ` ;;
*up*) ` + map[bool]string{true: `echo "Error: Connection activation failed: Secrets were required" >&2; exit 4`, false: "exit 0"}[fails] + ` ;;
esac
`
	program := filepath.Join(dir, "nmcli")
	must(t, os.WriteFile(program, []byte(script), 0o700))
	return wifi.Options{NMCLI: program, Keyfiles: filepath.Join(dir, "keyfiles"), Sockets: filepath.Join(dir, "none")}, func() string {
		b, err := os.ReadFile(log)
		must(t, err)
		return string(b)
	}
}

// readKeyfile reads one as GLib does: the last value of each key, by group, with the
// escapes undone.
func readKeyfile(t *testing.T, text string) map[string]string {
	t.Helper()
	out, group := map[string]string{}, ""
	for l := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(l, "[") {
			group = strings.Trim(l, "[]")
			continue
		}
		if l == "" {
			continue
		}
		key, value, ok := strings.Cut(l, "=")
		if !ok {
			t.Fatalf("the line %q is none of a keyfile", l)
		}
		value = strings.NewReplacer(`\\`, `\`, `\s`, " ", `\n`, "\n", `\t`, "\t", `\r`, "\r").Replace(strings.TrimSpace(value))
		out[group+"."+key] = value
	}
	return out
}

func TestNetworkManager(t *testing.T) {
	for _, n := range attacks() {
		o, args := fakeNM(t, "running", false)
		must(t, wifi.Join(t.Context(), o, n))
		path := filepath.Join(o.Keyfiles, "lensward.nmconnection")
		b, err := os.ReadFile(path)
		must(t, err)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the keyfile's mode is %v, %v", info.Mode(), err)
		}
		got := readKeyfile(t, string(b))
		var ssid []byte
		for number := range strings.SplitSeq(strings.TrimSuffix(got["wifi.ssid"], ";"), ";") {
			var v int
			for _, d := range number {
				v = 10*v + int(d-'0')
			}
			ssid = append(ssid, byte(v))
		}
		if string(ssid) != n.SSID || got["wifi-security.psk"] != string(n.Passphrase) || (got["wifi.hidden"] == "true") != n.Hidden {
			t.Errorf("%q, %q comes as %q, %q", n.SSID, string(n.Passphrase), ssid, got["wifi-security.psk"])
		}
		if _, secured := got["wifi-security.key-mgmt"]; secured != (n.Passphrase != "") {
			t.Errorf("%q: secured is %v", n.SSID, secured)
		}
		said := args()
		if n.Passphrase != "" && strings.Contains(said, string(n.Passphrase)) {
			t.Errorf("the passphrase is in nmcli's arguments: %s", said)
		}
		if want := "-t -f RUNNING general\nconnection load " + path + "\n-w 90 connection up id lensward\n"; said != want {
			t.Errorf("nmcli was called with\n%swant\n%s", said, want)
		}
	}
	if _, err := os.Stat("owned"); err == nil {
		t.Error("a name was run by a shell")
	}
}

func TestNetworkManagerFails(t *testing.T) {
	o, _ := fakeNM(t, "running", true)
	err := wifi.Join(t.Context(), o, wifi.Network{SSID: "home", Passphrase: "wrong passphrase"})
	if err == nil || !strings.Contains(err.Error(), "Secrets were required") || strings.Contains(err.Error(), "wrong passphrase") {
		t.Errorf("a wrong passphrase gives %v", err)
	}
	o, _ = fakeNM(t, "stopped", false)
	if err := wifi.Join(t.Context(), o, wifi.Network{SSID: "home"}); !errors.Is(err, wifi.ErrNone) {
		t.Errorf("without a service: %v", err)
	}
}

// supplicant is wpa_supplicant as far as this package knows it.
type supplicant struct {
	t     *testing.T
	conn  *net.UnixConn
	joins bool // a network that is complete is joined
	plain bool // built without SAE
	keeps bool // it may write its configuration

	mu       sync.Mutex
	networks map[string]map[string]string
	saved    bool
}

func newSupplicant(t *testing.T, edit func(*supplicant)) (*supplicant, wifi.Options) {
	t.Helper()
	dir := t.TempDir()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "wlan0"), Net: "unixgram"})
	must(t, err)
	s := &supplicant{t: t, conn: conn, joins: true, keeps: true, networks: map[string]map[string]string{}}
	if edit != nil {
		edit(s)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); s.run() }()
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	return s, wifi.Options{NMCLI: filepath.Join(dir, "nmcli"), Sockets: dir, Temp: t.TempDir()}
}

func (s *supplicant) run() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.conn.ReadFromUnix(buf)
		if err != nil {
			return
		}
		// An event for everybody comes in between.
		for _, reply := range []string{"<3>CTRL-EVENT-SCAN-STARTED ", s.answer(string(buf[:n]))} {
			if _, err := s.conn.WriteToUnix([]byte(reply), from); err != nil {
				s.t.Errorf("answer: %v", err)
			}
		}
	}
}

func (s *supplicant) answer(command string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := strings.SplitN(command, " ", 4)
	switch part[0] {
	case "ADD_NETWORK":
		s.networks["0"] = map[string]string{}
		return "0\n"
	case "REMOVE_NETWORK":
		delete(s.networks, part[1])
	case "SET_NETWORK":
		if len(part) != 4 || s.networks[part[1]] == nil || strings.ContainsAny(command, "\n\r\x00") {
			return "FAIL\n"
		}
		if s.plain && strings.Contains(part[3], "SAE") || s.plain && part[2] == "ieee80211w" {
			return "FAIL\n"
		}
		s.networks[part[1]][part[2]] = part[3]
	case "SAVE_CONFIG":
		if !s.keeps {
			return "FAIL\n"
		}
		s.saved = true
	case "STATUS":
		if s.joins {
			return "bssid=02:00:00:00:00:01\nid=0\nwpa_state=COMPLETED\n"
		}
		return "wpa_state=SCANNING\n"
	case "SELECT_NETWORK", "ENABLE_NETWORK":
	default:
		return "UNKNOWN COMMAND\n"
	}
	return "OK\n"
}

// unquote is what wpa_supplicant makes of a value: hexadecimal digits, or what is between
// the first quote and the last.
func unquote(t *testing.T, v string) string {
	t.Helper()
	if strings.HasPrefix(v, `"`) {
		if !strings.HasSuffix(v, `"`) || len(v) < 2 {
			t.Errorf("the value %q has no end", v)
			return ""
		}
		return v[1 : len(v)-1]
	}
	b, err := hex.DecodeString(v)
	must(t, err)
	return string(b)
}

func TestSupplicant(t *testing.T) {
	for i, n := range attacks() {
		s, o := newSupplicant(t, func(s *supplicant) { s.plain = i%2 == 1 })
		must(t, wifi.Join(t.Context(), o, n))
		s.mu.Lock()
		got := s.networks["0"]
		if unquote(t, got["ssid"]) != n.SSID || (got["scan_ssid"] == "1") != n.Hidden || !s.saved {
			t.Errorf("%q comes as %v, saved %v", n.SSID, got, s.saved)
		}
		if n.Passphrase == "" {
			if got["key_mgmt"] != "NONE" || got["psk"] != "" {
				t.Errorf("an open network comes as %v", got)
			}
		} else if unquote(t, got["psk"]) != string(n.Passphrase) || !strings.HasPrefix(got["key_mgmt"], "WPA-PSK") {
			t.Errorf("%q comes as %v", string(n.Passphrase), got)
		}
		if left, err := os.ReadDir(o.Temp); err != nil || len(left) != 0 {
			t.Errorf("it left %v, %v", left, err)
		}
		s.mu.Unlock()
	}
}

func TestSupplicantFails(t *testing.T) {
	n := wifi.Network{SSID: "home", Passphrase: "wrong passphrase"}
	s, o := newSupplicant(t, func(s *supplicant) { s.joins = false })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := wifi.Join(ctx, o, n)
	if err == nil || !strings.Contains(err.Error(), "is the passphrase right") || strings.Contains(err.Error(), "wrong passphrase") {
		t.Errorf("a network that is not joined gives %v", err)
	}
	s.mu.Lock()
	if len(s.networks) != 0 || s.saved {
		t.Errorf("it is still there: %v", s.networks)
	}
	s.mu.Unlock()

	_, o = newSupplicant(t, func(s *supplicant) { s.keeps = false })
	if err := wifi.Join(t.Context(), o, n); err == nil || !strings.Contains(err.Error(), "update_config=1") {
		t.Errorf("one that cannot save gives %v", err)
	}
}

func TestLimits(t *testing.T) {
	s, o := newSupplicant(t, nil)
	nm, _ := fakeNM(t, "running", false)
	for _, n := range []wifi.Network{
		{}, {SSID: strings.Repeat("x", 33)}, {SSID: "home", Passphrase: "1234567"},
		{SSID: "home", Passphrase: secret.Text(strings.Repeat("x", 64))}, {SSID: "home", Passphrase: "line\nline"}, {SSID: "home", Passphrase: "größer als"},
	} {
		for _, where := range []wifi.Options{o, nm} {
			if err := wifi.Join(t.Context(), where, n); err == nil {
				t.Errorf("%q, %q is joined", n.SSID, string(n.Passphrase))
			}
		}
	}
	if len(s.networks) != 0 {
		t.Errorf("there are %v", s.networks)
	}
	if _, err := os.Stat(nm.Keyfiles); !os.IsNotExist(err) {
		t.Error("a keyfile was written")
	}
	if err := wifi.Join(t.Context(), wifi.Options{NMCLI: "/nowhere/nmcli", Sockets: "/nowhere"}, wifi.Network{SSID: "home"}); !errors.Is(err, wifi.ErrNone) {
		t.Errorf("with no service: %v", err)
	}
}
