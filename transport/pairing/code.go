package pairing

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const (
	codeName    = "LENSWARD"
	codeVersion = "1"
	secretSize  = 16

	maxAddresses = 4
	maxAddress   = 255
)

// Code is what an owner shows to a camera. It is a secret, and prints as its owner's ID
// alone. Its fields are not to be changed.
type Code struct {
	// Owner is who the camera will belong to.
	Owner seal.ID
	// Expires is when the owner forgets the code, in whole seconds by the owner's clock.
	Expires time.Time
	// Hub is where the camera goes; nil where it knows.
	Hub *Hub
	// WiFi is the network to join; nil for none.
	WiFi *WiFi

	text string
	keys keys
}

// Hub is how a camera finds its hub.
type Hub struct {
	// ID is that of the hub's CA key.
	ID seal.ID
	// Addresses are host:port of its HTTPS listener for devices, 1 to 4.
	Addresses []string
}

// WiFi is a network to join.
type WiFi struct {
	// SSID is 1 to 32 bytes.
	SSID string
	// Passphrase is 8 to 63 characters of ASCII, or empty for an open network.
	Passphrase secret.Text
	// Hidden says that the network does not announce itself.
	Hidden bool
}

type wireCode struct {
	Owner   []byte    `cbor:"1,keyasint"`
	Secret  []byte    `cbor:"2,keyasint"`
	Expires uint64    `cbor:"3,keyasint"`
	Hub     *wireHub  `cbor:"4,keyasint,omitempty"`
	WiFi    *wireWiFi `cbor:"5,keyasint,omitempty"`
}

type wireHub struct {
	ID        []byte   `cbor:"1,keyasint"`
	Addresses []string `cbor:"2,keyasint"`
}

type wireWiFi struct {
	SSID       []byte `cbor:"1,keyasint"`
	Passphrase string `cbor:"2,keyasint,omitempty"`
	Hidden     bool   `cbor:"3,keyasint,omitempty"`
}

// NewCode makes a code with a secret of its own. Hub and wifi may be nil. A value that
// breaks a code's rules is an *Error.
func NewCode(owner seal.ID, expires time.Time, hub *Hub, wifi *WiFi) (*Code, error) {
	w := wireCode{Owner: owner[:], Secret: make([]byte, secretSize), Expires: uint64(max(expires.Unix(), 0))}
	rand.Read(w.Secret)
	if hub != nil {
		w.Hub = &wireHub{ID: hub.ID[:], Addresses: hub.Addresses}
	}
	if wifi != nil {
		w.WiFi = &wireWiFi{SSID: []byte(wifi.SSID), Passphrase: string(wifi.Passphrase), Hidden: wifi.Hidden}
	}
	b, err := statement.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("make pairing code: %w", err)
	}
	c, err := readCode(codeName + codeVersion + ":" + base32Code().EncodeToString(b))
	if err != nil {
		return nil, fmt.Errorf("make pairing code: %w", err)
	}
	return c, nil
}

// ParseCode reads what a camera saw, or a person typed. Each error is an *Error. That a
// code has expired is none.
func ParseCode(text string) (*Code, error) {
	c, err := readCode(text)
	if err != nil {
		return nil, fmt.Errorf("read pairing code: %w", err)
	}
	return c, nil
}

func readCode(text string) (*Code, error) {
	if len(text) > MaxCode {
		return nil, refuse(ReasonTooLarge, "%d characters, at most %d", len(text), MaxCode)
	}
	name, body, found := strings.Cut(text, ":")
	version, ok := strings.CutPrefix(name, codeName)
	if !found || !ok || version == "" || strings.Trim(version, "0123456789") != "" {
		return nil, refuse(ReasonNotACode, "it does not begin with %s%s:", codeName, codeVersion)
	}
	if version != codeVersion {
		return nil, refuse(ReasonUnknownVersion, "version %s, not %s", version, codeVersion)
	}
	b, err := base32Code().DecodeString(body)
	if err != nil || base32Code().EncodeToString(b) != body {
		return nil, refuse(ReasonMalformed, "not base32 in its usual spelling")
	}
	var w wireCode
	if err := statement.Unmarshal(b, &w); err != nil {
		return nil, unreadable(err)
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	c := &Code{Owner: seal.ID(w.Owner), Expires: time.Unix(int64(w.Expires), 0).UTC(), text: text}
	if w.Hub != nil {
		c.Hub = &Hub{ID: seal.ID(w.Hub.ID), Addresses: w.Hub.Addresses}
	}
	if w.WiFi != nil {
		c.WiFi = &WiFi{SSID: string(w.WiFi.SSID), Passphrase: secret.Text(w.WiFi.Passphrase), Hidden: w.WiFi.Hidden}
	}
	if c.keys, err = derive(w.Secret, text); err != nil {
		return nil, err
	}
	return c, nil
}

// base32Code is RFC 4648 base32 without padding: its letters are all in QR's
// alphanumeric mode, and none of them needs quoting in a shell.
func base32Code() *base32.Encoding { return base32.StdEncoding.WithPadding(base32.NoPadding) }

func (w *wireCode) check() error {
	switch {
	case len(w.Owner) != len(seal.ID{}):
		return refuse(ReasonBadField, "owner ID of %d bytes", len(w.Owner))
	case len(w.Secret) != secretSize:
		return refuse(ReasonBadField, "secret of %d bytes", len(w.Secret))
	case w.Expires < 1 || w.Expires > 1<<32-1:
		return refuse(ReasonBadField, "expiry %d", w.Expires)
	}
	if w.Hub != nil {
		if err := w.Hub.check(); err != nil {
			return err
		}
	}
	if w.WiFi != nil {
		return w.WiFi.check()
	}
	return nil
}

func (h *wireHub) check() error {
	if len(h.ID) != len(seal.ID{}) {
		return refuse(ReasonBadField, "hub ID of %d bytes", len(h.ID))
	}
	if n := len(h.Addresses); n < 1 || n > maxAddresses {
		return refuse(ReasonBadField, "%d hub addresses, 1 to %d", n, maxAddresses)
	}
	for _, a := range h.Addresses {
		if !isHostPort(a) {
			return refuse(ReasonBadField, "hub address %.80q is not host:port", a)
		}
	}
	return nil
}

func (n *wireWiFi) check() error {
	if l := len(n.SSID); l < 1 || l > 32 {
		return refuse(ReasonBadField, "SSID of %d bytes, 1 to 32", l)
	}
	if l := len(n.Passphrase); l != 0 && (l < 8 || l > 63 || !isPrintable(n.Passphrase, ' ')) {
		return refuse(ReasonBadField, "the Wi-Fi passphrase is not 8 to 63 printable ASCII characters")
	}
	return nil
}

// isHostPort says whether s is a host, a colon and a port from 1 to 65535. A host that
// has colons is in brackets.
func isHostPort(s string) bool {
	at := strings.LastIndexByte(s, ':')
	if at < 1 || len(s) > maxAddress || !isPrintable(s, '!') {
		return false
	}
	host, port := s[:at], s[at+1:]
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return false
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && inner != "" && !strings.ContainsAny(inner, "[]")
	}
	return !strings.ContainsAny(host, "[]:")
}

// isPrintable says whether all of s is ASCII from low to '~'.
func isPrintable(s string, low byte) bool {
	for i := range len(s) {
		if s[i] < low || s[i] > '~' {
			return false
		}
	}
	return true
}

// Text is the code as it is shown. It is a secret.
func (c *Code) Text() secret.Text { return secret.Text(c.text) }

// Rendezvous is where couriers bring the two sides together: 32 hexadecimal digits that
// tell nothing of the secret.
func (c *Code) Rendezvous() string { return c.keys.rendezvous }

// String is the code without what is secret in it.
func (c *Code) String() string { return "pairing code of owner " + c.Owner.Short() }

// Format keeps every verb from printing the secret.
func (c *Code) Format(s fmt.State, _ rune) { fmt.Fprint(s, c.String()) }

// LogValue is String.
func (c *Code) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String: a code does not get into JSON by accident.
func (c *Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
