package hubtest_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/hub/hubtest"
	"github.com/lensward/lensward/transport/seal"
)

// world is a hub and the ways to it, all in memory.
type world struct {
	hub                  *hub.Hub
	mqtt, device, viewer *hubtest.Listener
	stop                 func() error
}

func start(t *testing.T, dir string) *world {
	t.Helper()
	w := &world{mqtt: hubtest.Listen("hub:8883"), device: hubtest.Listen("hub:8443"), viewer: hubtest.Listen("hub:8080")}
	h, err := hub.New(hub.Options{
		Dir: dir, Gateway: hubtest.NewGateway(w.mqtt), DeviceListener: w.device, ViewerListener: w.viewer,
		Enrol: hub.EnrolOptions{Admission: authority.AdmitAny},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	<-h.Ready()
	w.hub = h
	w.stop = func() error { cancel(); return <-done }
	return w
}

// client reaches an HTTP listener of the hub.
func (w *world) client(l *hubtest.Listener) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return l.Dial(ctx) },
		TLSClientConfig:   &tls.Config{RootCAs: w.hub.CAPool()},
		DisableKeepAlives: true,
	}}
}

func (w *world) enrol(t *testing.T, k *ecdsa.PrivateKey, id seal.ID) tls.Certificate {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: id.String()}}, k)
	if err != nil {
		t.Fatal(err)
	}
	res, err := w.client(w.device).Post(w.hub.DeviceURL()+"/enrol", "application/x-pem-file",
		bytes.NewReader(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	chain, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("enrol: %s, %v", res.Status, err)
	}
	block, _ := pem.Decode(chain)
	return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: k}
}

func (w *world) options(cert tls.Certificate, id string) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().AddBroker("ssl://" + w.hub.MQTTAddr()).SetClientID(id).
		SetProtocolVersion(4).SetCleanSession(true).SetOrderMatters(false).SetAutoReconnect(false).
		SetKeepAlive(30 * time.Second).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			c, err := w.mqtt.Dial(context.Background())
			if err != nil {
				return nil, err
			}
			return tls.Client(c, &tls.Config{RootCAs: w.hub.CAPool(), ServerName: "localhost", Certificates: []tls.Certificate{cert}}), nil
		})
}

func must(t *testing.T, tok mqtt.Token) {
	t.Helper()
	tok.Wait()
	if err := tok.Error(); err != nil {
		t.Fatal(err)
	}
}

func newKey(t *testing.T) (*ecdsa.PrivateKey, seal.ID) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := seal.IDOf(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return k, id
}

// An hour of a device's session passes in a bubble, and nothing is left running.
func TestHubInABubble(t *testing.T) {
	hubtest.Prepare(t)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := start(t, dir)
		k, id := newKey(t)
		cert := w.enrol(t, k, id)
		lost := make(chan struct{})
		client := mqtt.NewClient(w.options(cert, id.String()).SetConnectionLostHandler(func(mqtt.Client, error) { close(lost) }))
		must(t, client.Connect())
		answers := make(chan []byte, 1)
		must(t, client.Subscribe("lensward/1/"+id.String()+"/down", 0, func(_ mqtt.Client, m mqtt.Message) { answers <- m.Payload() }))

		began := time.Now()
		time.Sleep(time.Hour) // 120 keep alives
		want := `{"ref":"` + id.String() + `/1/1/1","hash":"` + seal.Hash{1}.String() + `","size":10}`
		must(t, client.Publish("lensward/1/"+id.String()+"/want", 0, false, want))
		var grant struct {
			Type    string
			Expires int64
		}
		if err := json.Unmarshal(<-answers, &grant); err != nil || grant.Type != "grant" {
			t.Errorf("answered with %+v, %v", grant, err)
		}
		if left := time.Unix(grant.Expires, 0).Sub(began.Add(time.Hour)); left < 14*time.Minute || left > 16*time.Minute {
			t.Errorf("the grant lasts %v by the bubble's clock", left)
		}

		// A device of another name is not let in, and the first stays.
		other := mqtt.NewClient(w.options(cert, seal.ID{1}.String()))
		if tok := other.Connect(); tok.Wait() && tok.Error() == nil {
			t.Error("connected under another's client ID")
		}
		select {
		case <-lost:
			t.Error("the first device was cut off")
		default:
		}

		res, err := w.client(w.viewer).Get(w.hub.ViewerURL() + "/api/v1/hub")
		if err != nil {
			t.Fatal(err)
		}
		var about struct{ ID seal.ID }
		if err := json.NewDecoder(res.Body).Decode(&about); err != nil || about.ID != w.hub.ID() {
			t.Errorf("the hub is %v, %v", about.ID, err)
		}
		res.Body.Close()

		if err := w.stop(); err != nil {
			t.Error(err)
		}
		<-lost
	})
}
