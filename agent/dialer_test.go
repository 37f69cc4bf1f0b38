package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// TestTicketsBelongToACertificate drops what can be resumed when the certificate
// changes, and not before.
func TestTicketsBelongToACertificate(t *testing.T) {
	var d enrolledDialer
	one, other := tls.Certificate{Certificate: [][]byte{{1}}}, tls.Certificate{Certificate: [][]byte{{2}}}
	first := d.ticketsFor(one)
	first.Put("hub", &tls.ClientSessionState{})
	if _, kept := d.ticketsFor(one).Get("hub"); !kept {
		t.Error("a ticket is lost though the certificate is the same")
	}
	if _, kept := d.ticketsFor(other).Get("hub"); kept {
		t.Error("another certificate got the ticket")
	}
}

// TestCaptiveNetwork says by a condition that something answers in the hub's place, as
// long as it does.
func TestCaptiveNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(t, "scene:", nil)
		for _, c := range []struct {
			err  error
			ails bool
		}{
			{fmt.Errorf("TLS handshake: %w", x509.UnknownAuthorityError{}), true},
			{fmt.Errorf("TLS handshake: %w", x509.HostnameError{Certificate: &x509.Certificate{}, Host: "hub"}), true},
			{errors.New("no answer"), false},
			{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, true},
			{nil, false},
		} {
			if a.noteStranger(c.err); a.ails("captive-network") != c.ails {
				t.Errorf("after %v the condition is %v", c.err, !c.ails)
			}
		}
	})
}

// TestHubCA reads what a person may name as the hub's CA.
func TestHubCA(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"empty": "", "a key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "words": "hello",
		"huge": strings.Repeat("x", maxCAFile+1),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readCA(path); err == nil {
			t.Errorf("%s was taken for a CA", name)
		}
	}
	if _, err := readCA(filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
