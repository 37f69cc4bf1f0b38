package mqtt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/lensward/lensward/internal/nettest"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
)

// patience is how long anything may take on a busy machine before the test gives up.
const patience = 30 * time.Second

// authority signs certificates for one test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	a := &authority{t: t, key: key, pool: x509.NewCertPool()}
	a.cert = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, key)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	must(a.t, err)
	cert, err := x509.ParseCertificate(der)
	must(a.t, err)
	return cert
}

// identity is a new key with a certificate in that name.
func (a *authority) identity(name string) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	cert := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func (a *authority) config(certs ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: a.pool, Certificates: certs}
}

// mosquitto starts Debian's broker with the rules a fleet would give it, and says where
// it listens and how to end it.
func mosquitto(t *testing.T, a *authority) (address string, stop func()) {
	t.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program = "/usr/sbin/mosquitto" // not in everyone's PATH
		if _, err := os.Stat(program); err != nil {
			t.Fatal("mosquitto is not installed; `make setup` installs it (Debian package mosquitto)")
		}
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, data, 0o600))
		return path
	}
	server := a.identity("localhost")
	der, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	must(t, err)
	me, err := user.Current()
	must(t, err)
	address = nettest.FreeAddress(t)
	config := write("mosquitto.conf", fmt.Appendf(nil, `
user %s
persistence false
listener %s 127.0.0.1
cafile %s
certfile %s
keyfile %s
require_certificate true
use_identity_as_username true
use_username_as_clientid true
acl_file %s
`, me.Username, address[strings.LastIndex(address, ":")+1:],
		write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})),
		write("server.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[0]})),
		write("server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		write("acl", []byte("pattern write lensward/1/%u/#\npattern read lensward/1/%u/down\nuser hub\ntopic readwrite #\n"))))

	var output strings.Builder
	cmd := exec.Command(program, "-c", config)
	cmd.Stdout, cmd.Stderr = &output, &output
	must(t, cmd.Start())
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("mosquitto said:\n%s", output.String())
		}
	}
	t.Cleanup(stop)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			must(t, conn.Close())
			return address, stop
		}
		if time.Now().After(end) {
			t.Fatalf("mosquitto does not listen: %v", err)
		}
	}
}

// heardBy gives what a hub hears on a topic filter at a broker, and a way to say something.
func heardBy(t *testing.T, a *authority, address, filter string) (<-chan paho.Message, paho.Client) {
	t.Helper()
	heard := make(chan paho.Message, 64)
	hub := paho.NewClient(paho.NewClientOptions().AddBroker("ssl://" + address).SetClientID("hub").
		SetTLSConfig(a.config(a.identity("hub"))).SetAutoReconnect(false).SetProtocolVersion(4))
	done := func(token paho.Token) {
		t.Helper()
		if !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatalf("hub: %v", token.Error())
		}
	}
	done(hub.Connect())
	t.Cleanup(func() { hub.Disconnect(0) })
	done(hub.Subscribe(filter, 0, func(_ paho.Client, m paho.Message) { heard <- m }))
	return heard, hub
}

func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// The session with a real broker, over mutual TLS, under a fleet's rules.
func TestMosquitto(t *testing.T) {
	a := newAuthority(t)
	address, stop := mosquitto(t, a)
	heard, hub := heardBy(t, a, address, "lensward/1/+/+")
	other := seal.KeyID([]byte("another device"))

	dial := func(device seal.ID, certs ...tls.Certificate) (*Session, error) {
		return Dial(t.Context(), Options{Device: device, Address: address, TLS: a.config(certs...)})
	}
	s, err := dial(device(), a.identity(device().String()))
	must(t, err)

	// There: an item. And back: its receipt.
	item := make([]byte, transport.MaxSmallItem)
	must(t, s.PublishItem(t.Context(), item))
	if m := next(t, heard); m.Topic() != Topic(device(), TopicItem) || len(m.Payload()) != len(item) {
		t.Errorf("the hub heard %s, %d bytes", m.Topic(), len(m.Payload()))
	}
	ref := seal.Ref{Device: device(), Epoch: 1, Chain: 1, Seq: 1}
	hub.Publish(Topic(device(), TopicDown), 0, false, fmt.Sprintf(`{"type":"receipt","ref":%q,"hash":%q}`, ref, seal.Hash{1}))
	if m := next(t, s.Down()); m.Type != transport.Receipt || m.Ref != ref {
		t.Errorf("the device heard %+v", m)
	}
	next(t, heard) // the hub's own words

	// Another device's certificate neither speaks for this one nor ends its session.
	liar, err := dial(device(), a.identity(other.String()))
	if err == nil {
		must(t, liar.PublishItem(t.Context(), []byte("forged")))
		must(t, liar.PublishStatus(t.Context(), transport.Status{Online: true}))
		must(t, liar.Close())
	}
	must(t, s.PublishItem(t.Context(), []byte("genuine")))
	if m := next(t, heard); m.Topic() != Topic(device(), TopicItem) || string(m.Payload()) != "genuine" {
		t.Errorf("the hub heard %s, %q", m.Topic(), m.Payload())
	}

	// Without a certificate nobody gets in, and that is a live server's refusal.
	var refused *ConnectError
	if _, err := dial(device()); !errors.As(err, &refused) || recovery.Classify(err) != recovery.Refused {
		t.Errorf("without a certificate: %v, counts as %v", err, recovery.Classify(err))
	}

	for len(heard) > 0 {
		t.Errorf("the hub heard one thing more: %q", (<-heard).Payload())
	}

	// A broker that dies ends the session; a port without a broker is a dead server.
	stop()
	next(t, s.Done())
	if s.Err() == nil {
		t.Error("the session ended without a reason")
	}
	must(t, s.Close())
	if _, err := dial(device(), a.identity(device().String())); err == nil || recovery.Classify(err) != recovery.Dead {
		t.Errorf("without a broker: %v, counts as %v", err, recovery.Classify(err))
	}
}

// A goodbye leaves no will, a lost connection does.
func TestMosquittoWill(t *testing.T) {
	a := newAuthority(t)
	address, _ := mosquitto(t, a)
	heard, _ := heardBy(t, a, address, "lensward/1/+/status")
	certificate := a.identity(device().String())
	var conn net.Conn
	opts := Options{Device: device(), Address: address, TLS: a.config(certificate),
		Dial: func(ctx context.Context) (c net.Conn, err error) {
			conn, err = new(net.Dialer).DialContext(ctx, "tcp", address)
			return conn, err
		}}
	for _, way := range []func(*Session) error{(*Session).Close, func(s *Session) error { return errors.Join(conn.Close(), s.Close()) }} {
		s, err := Dial(t.Context(), opts)
		must(t, err)
		must(t, s.PublishStatus(t.Context(), transport.Status{Online: true}))
		must(t, way(s))
		for _, want := range []string{`{"online":true}`, `{"online":false}`} {
			if m := next(t, heard); string(m.Payload()) != want {
				t.Errorf("the hub heard %s, want %s", m.Payload(), want)
			}
		}
	}
	select {
	case m := <-heard:
		t.Errorf("the hub heard one thing more: %s", m.Payload())
	default:
	}
}
