package agent

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/config"
	"github.com/lensward/lensward/hw/devicekey/attestation"
	"github.com/lensward/lensward/hw/devicekey/swtpmtest"
	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/enrol"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/seal"
)

// at configures an agent for a hub, and gives its way there.
func at(t *testing.T, h *hub.Hub, change func(*config.Config)) *enrolledDialer {
	t.Helper()
	a := openAgent(t, nil, func(c *config.Config) {
		c.Camera.Source = "scene:"
		c.Hub.URL, c.Hub.Broker = config.Addresses{h.DeviceURL()}, config.Addresses{h.MQTTAddr()}
		if change != nil {
			change(c)
		}
	})
	route, err := mqtt.NewRoute(a.config.Hub.Broker)
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.newCertificates(&tls.Config{RootCAs: h.CAPool(), MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	return &enrolledDialer{agent: a, certificates: c, route: route}
}

// connect tries to, and ends the session.
func (d *enrolledDialer) connect(ctx context.Context) error {
	s, err := d.Dial(ctx)
	if err == nil {
		err = s.Close()
	}
	return err
}

// A claim token is used and forgotten, also if the power was cut between the two; a
// fleet's own token stays.
func TestClaimTokenIsForgotten(t *testing.T) {
	state := t.TempDir()
	h := hubtest.Start(t, hub.Options{Dir: state, EnrolToken: "sesame", Enrol: hub.EnrolOptions{Admission: authority.AdmitToken}, SyncInterval: time.Hour})
	token, err := hub.ClaimToken(state, time.Now().Add(time.Hour), seal.ID{})
	if err != nil {
		t.Fatal(err)
	}
	for text, stays := range map[string]bool{string(token): false, "sesame": true} {
		file := filepath.Join(t.TempDir(), "token")
		write := func() {
			if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		there := func() bool {
			_, err := os.Stat(file)
			return !errors.Is(err, fs.ErrNotExist)
		}
		d := at(t, h, func(c *config.Config) { c.Hub.EnrolTokenFile = file })
		var status *enrol.StatusError
		if err := d.connect(t.Context()); !errors.As(err, &status) || status.Code != 401 {
			t.Fatalf("without its token: %v", err)
		}
		write()
		if err := d.connect(t.Context()); err != nil || there() != stays {
			t.Fatalf("token stays: %v, want %v; %v", there(), stays, err)
		}
		if err := d.connect(t.Context()); err != nil {
			t.Errorf("again: %v", err)
		}
		write() // as after a power cut
		d.certificates, err = d.agent.newCertificates(d.certificates.trust)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.connect(t.Context()); err != nil || there() != stays {
			t.Errorf("after a restart the token stays: %v, want %v; %v", there(), stays, err)
		}
	}
}

// The hub says that a certificate has expired: it is renewed for the next connect, and
// where it cannot be, the device enrols as a new one does.
func TestExpiredCertificate(t *testing.T) {
	state := t.TempDir()
	h := hubtest.Start(t, hub.Options{Dir: state, Enrol: hub.EnrolOptions{Admission: authority.AdmitAny, Grace: 24 * time.Hour}, SyncInterval: time.Hour})
	for name, ago := range map[string]time.Duration{"in its grace": time.Hour, "past it": 48 * time.Hour} {
		d := at(t, h, nil)
		expire(t, state, h, d.agent, ago)
		if err := d.connect(t.Context()); !enrol.IsExpired(err) {
			t.Fatalf("%s: the first connect: %v", name, err)
		}
		if err := d.connect(t.Context()); err != nil {
			t.Errorf("%s: the next: %v", name, err)
		}
		cert, err := enrol.Load(d.agent.device.Dir(), d.agent.device.Key())
		if err != nil || time.Until(cert.Leaf.NotAfter) < 24*time.Hour {
			t.Errorf("%s: until %v, %v", name, cert.Leaf.NotAfter, err)
		}
	}
}

// A camera that comes to another hub enrols there.
func TestCertificateOfAnotherFleet(t *testing.T) {
	open := hub.EnrolOptions{Admission: authority.AdmitAny}
	first := hubtest.Start(t, hub.Options{Dir: t.TempDir(), Enrol: open, SyncInterval: time.Hour})
	second := hubtest.Start(t, hub.Options{Dir: t.TempDir(), Enrol: open, SyncInterval: time.Hour})
	d := at(t, first, nil)
	if err := d.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.agent.config.Hub.URL, d.agent.config.Hub.Broker = config.Addresses{second.DeviceURL()}, config.Addresses{second.MQTTAddr()}
	route, err := mqtt.NewRoute(d.agent.config.Hub.Broker)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.agent.newCertificates(&tls.Config{RootCAs: second.CAPool(), MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	d.route, d.certificates = route, c
	if err := d.connect(t.Context()); err != nil {
		t.Errorf("at the second: %v", err)
	}
}

// expire gives an agent a certificate that ended so long ago.
func expire(t *testing.T, state string, h *hub.Hub, a *Agent, ago time.Duration) {
	t.Helper()
	dir, err := durable.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := authority.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(h.CAPEM())
	parent, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: a.device.ID().String()}, NotBefore: time.Now().Add(-90 * 24 * time.Hour),
		NotAfter: time.Now().Add(-ago), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, a.device.Key().Public(), ca.Signer())
	if err != nil {
		t.Fatal(err)
	}
	chain := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), h.CAPEM()...)
	if err := a.device.Dir().WriteFile("certificate.pem", chain, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The condition comes with a certificate's last quarter and goes with the next one.
func TestCertificateExpiring(t *testing.T) {
	a := newAgent(t, "scene:", nil)
	c := &certificates{agent: a}
	now := time.Now()
	leaf := &x509.Certificate{NotBefore: now.Add(-80 * time.Hour), NotAfter: now.Add(20 * time.Hour)}
	c.seen(leaf, now, errors.New("no answer"))
	if list := a.health.List(); !a.ails("certificate-expiring") || !strings.Contains(list[0].Cause, "no answer") {
		t.Errorf("conditions %+v", list)
	}
	leaf.NotAfter = now.Add(100 * time.Hour)
	if c.seen(leaf, now, nil); a.ails("certificate-expiring") {
		t.Error("it stays")
	}
}

// A camera with a TPM at a fleet that asks for proof, before and after a restart of the TPM;
// one with a key in a file; one whose TPM no maker vouches for.
func TestAttestedEnrolment(t *testing.T) {
	tpm, maker := swtpmtest.NewEndorsed(t)
	makers := x509.NewCertPool()
	makers.AppendCertsFromPEM(maker)
	h := hubtest.Start(t, hub.Options{Dir: t.TempDir(), SyncInterval: time.Hour, Enrol: hub.EnrolOptions{
		Admission: authority.AdmitAny,
		Attester:  func(key [32]byte) authority.Attester { return attestation.NewPolicy(key, makers, true) },
	}})
	inTPM := func(c *config.Config) { c.State.Key, c.State.TPM = "tpm", tpm.Path }
	d := at(t, h, inTPM)
	if err := d.connect(t.Context()); err != nil {
		t.Fatalf("a key in a TPM: %v", err)
	}
	tpm.Restart()
	old, err := enrol.Load(d.agent.device.Dir(), d.agent.device.Key())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.certificates.renewal.Renew(t.Context(), old); err != nil {
		t.Errorf("renewed after the TPM's restart: %v", err)
	}
	var status *enrol.StatusError
	if err := at(t, h, nil).connect(t.Context()); !errors.As(err, &status) || status.Code != 403 || !strings.Contains(err.Error(), attestation.ErrRefused.Error()) {
		t.Errorf("a key in a file: %v", err)
	}
	if err := at(t, h, func(c *config.Config) { c.State.Key, c.State.TPM = "tpm", swtpmtest.New(t).Path }).connect(t.Context()); !errors.As(err, &status) || status.Code != 403 {
		t.Errorf("a TPM that no maker vouches for: %v", err)
	}
}
