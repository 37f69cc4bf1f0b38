package hub

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
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"filippo.io/age"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// patience bounds every wait of a test for something that has to come.
const patience = 20 * time.Second

// synced asks startHub for a hub that fsyncs every write.
const synced = time.Nanosecond

// running is a hub that runs until the test ends, or stop.
type running struct {
	*Hub
	cancel context.CancelFunc
	done   chan error
}

func startHub(t testing.TB, o Options) *running {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	switch o.SyncInterval {
	case 0:
		o.SyncInterval = time.Hour // no test here cuts the power
	case synced:
		o.SyncInterval = 0
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if o.Enrol.Admission == "" && o.EnrolToken == "" {
		o.Enrol.Admission = authority.AdmitAny // most devices here are a key and nothing else
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Hub: h, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- h.Run(ctx) }()
	t.Cleanup(func() { r.stop(t) })
	select {
	case <-h.Ready():
	case err := <-r.done:
		r.done <- err
		t.Fatalf("hub ended before it was ready: %v", err)
	case <-time.After(patience):
		t.Fatal("hub is not ready")
	}
	return r
}

func (r *running) stop(t testing.TB) {
	t.Helper()
	r.cancel()
	select {
	case err := <-r.done:
		if err != nil {
			t.Errorf("hub ended with %v", err)
		}
		r.done <- nil
	case <-time.After(patience):
		t.Fatal("hub does not stop")
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func idOf(t testing.TB, k *ecdsa.PrivateKey) seal.ID {
	t.Helper()
	id, err := seal.IDOf(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func spkiOf(t testing.TB, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// owner is somebody with cameras.
type owner struct {
	key *ecdsa.PrivateKey
	id  seal.ID
	age string // the household's recipient
}

func newOwner(t testing.TB) *owner {
	t.Helper()
	k := newKey(t)
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return &owner{key: k, id: idOf(t, k), age: x.Recipient().String()}
}

// camera is a device: its key, its ownership and the chain it seals into.
type camera struct {
	key    *ecdsa.PrivateKey
	id     seal.ID
	owner  *owner
	record *ownership.Ownership
	sealer *seal.Sealer
	seq    uint64
	prev   seal.Hash
}

func newCamera(t testing.TB, o *owner) *camera {
	t.Helper()
	k := newKey(t)
	c := &camera{key: k, id: idOf(t, k), owner: o}
	c.own(t, o, ownership.Record{Epoch: 1, Revision: 1})
	return c
}

// own makes the owner sign a record with this epoch, revision and viewers, and
// the camera accept it. It begins a new chain.
func (c *camera) own(t testing.TB, o *owner, r ownership.Record) {
	t.Helper()
	r.Device, r.DeviceKey = c.id, spkiOf(t, c.key)
	r.Owner, r.OwnerKey = o.id, spkiOf(t, o.key)
	r.Acquired, r.Created = ownership.AcquiredPaired, time.Unix(1_700_000_000, 0)
	r.Recipients = []ownership.Recipient{{Kind: ownership.RecipientHousehold, Age: o.age}}
	if c.record != nil {
		r.Previous = c.record.Hash()
	}
	signed, err := ownership.Sign(o.key, r)
	if err != nil {
		t.Fatal(err)
	}
	c.record, err = signed.Accept(c.key, ownership.Acceptance{
		Boot: 1, Protection: seal.ProtectionFile, Accepted: time.Unix(1_700_000_000, 0), Firmware: "1.0.0",
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.record.Binding()
	if err != nil {
		t.Fatal(err)
	}
	c.sealer, err = seal.NewSealer(seal.Device{
		Key: c.key, Boot: 1, Firmware: "1.0.0", Protection: seal.ProtectionFile,
	}, b)
	if err != nil {
		t.Fatal(err)
	}
	c.seq, c.prev = 0, c.record.Hash()
}

// sealed is the camera's next item, with size random bytes in it.
func (c *camera) sealed(t testing.TB, kind seal.Kind, size int) *seal.Item {
	t.Helper()
	it := c.sealedAt(t, kind, size, seal.Link{Chain: 1, Seq: c.seq + 1, Prev: c.prev})
	c.seq, c.prev = c.seq+1, it.Hash()
	return it
}

func (c *camera) sealedAt(t testing.TB, kind seal.Kind, size int, l seal.Link) *seal.Item {
	t.Helper()
	d := seal.Draft{
		Kind: kind, Captured: time.Unix(1_700_000_000, 0), Clock: seal.ClockNetwork,
		MediaType: kind.MediaType(), Body: make([]byte, size),
	}
	if _, err := rand.Read(d.Body); err != nil {
		t.Fatal(err)
	}
	if kind == seal.KindThumbnail || kind == seal.KindClip || kind == seal.KindEvent {
		d.Event[0] = 1
	}
	it, err := c.sealer.Seal(d, l)
	if err != nil {
		t.Fatal(err)
	}
	return it
}

// enrol gets a client certificate for a key.
func enrol(t testing.TB, h *running, k *ecdsa.PrivateKey) tls.Certificate {
	t.Helper()
	res := postEnrol(t, h, request(t, k, idOf(t, k).String()), "")
	if res.StatusCode != http.StatusOK {
		t.Fatalf("enrol: %s", res.Status)
	}
	chain, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return chainOf(chain, k)
}

// chainOf reads a PEM chain.
func chainOf(chain []byte, k *ecdsa.PrivateKey) tls.Certificate {
	c := tls.Certificate{PrivateKey: k}
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		c.Certificate = append(c.Certificate, block.Bytes)
	}
	return c
}

func request(t testing.TB, k *ecdsa.PrivateKey, name string) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func postEnrol(t testing.TB, h *running, body []byte, token string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.DeviceURL()+"/enrol", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return do(t, h, req)
}

// do sends a request with a client that trusts the hub's CA.
func do(t testing.TB, h *running, req *http.Request) *http.Response {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: h.CAPool()}, DisableKeepAlives: true}
	res, err := (&http.Client{Transport: tr, Timeout: patience}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// link is a device's session.
type link struct {
	client mqtt.Client
	id     seal.ID
	down   chan down
	hints  chan string
	lost   chan struct{}
	conn   net.Conn
}

// pahoOptions are those of docs/ref/hub-protocol.md.
func pahoOptions(h *running, cert tls.Certificate, clientID string) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().
		AddBroker("ssl://" + h.MQTTAddr()).
		SetTLSConfig(&tls.Config{RootCAs: h.CAPool(), Certificates: []tls.Certificate{cert}}).
		SetClientID(clientID).SetProtocolVersion(4).SetCleanSession(true).SetOrderMatters(false).
		SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(patience)
}

// connect opens a camera's session and subscribes to its answers.
func connect(t testing.TB, h *running, c *camera, cert tls.Certificate, opts ...func(*mqtt.ClientOptions)) *link {
	t.Helper()
	l := &link{id: c.id, down: make(chan down, 64), hints: make(chan string, 64), lost: make(chan struct{})}
	o := pahoOptions(h, cert, c.id.String())
	o.SetConnectionLostHandler(func(mqtt.Client, error) { close(l.lost) })
	o.SetCustomOpenConnectionFn(func(_ *url.URL, o mqtt.ClientOptions) (net.Conn, error) {
		var err error
		l.conn, err = tls.Dial("tcp", h.MQTTAddr(), o.TLSConfig)
		return l.conn, err
	})
	for _, f := range opts {
		f(o)
	}
	l.client = mqtt.NewClient(o)
	await(t, "connect", l.client.Connect())
	t.Cleanup(func() { l.client.Disconnect(0) })
	await(t, "subscribe", l.client.Subscribe(l.topic(topicDown), 0, func(_ mqtt.Client, m mqtt.Message) {
		var d down
		if err := json.Unmarshal(m.Payload(), &d); err != nil {
			t.Errorf("down message: %v", err)
			return
		}
		if d.Type == downHint {
			l.hints <- d.Hint
			return
		}
		l.down <- d
	}))
	return l
}

// attach enrols and connects a camera and delivers its record.
func attach(t testing.TB, h *running, c *camera) *link {
	t.Helper()
	l := connect(t, h, c, enrol(t, h, c.key))
	l.publish(t, topicRecord, c.record.Bytes())
	if d := l.next(t); d.Type != downRecordReceipt || d.Hash != c.record.Hash() {
		t.Fatalf("record is answered with %+v", d)
	}
	return l
}

func await(t testing.TB, what string, tok mqtt.Token) {
	t.Helper()
	if !tok.WaitTimeout(patience) {
		t.Fatalf("%s: no answer", what)
	}
	if err := tok.Error(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func (l *link) topic(t string) string { return "lensward/1/" + l.id.String() + "/" + t }

func (l *link) publish(t testing.TB, topic string, b []byte) {
	t.Helper()
	await(t, "publish "+topic, l.client.Publish(l.topic(topic), 0, false, b))
}

// next is the hub's next message to the device.
func (l *link) next(t testing.TB) down {
	t.Helper()
	select {
	case d := <-l.down:
		return d
	case <-time.After(patience):
		t.Fatal("no answer from the hub")
		return down{}
	}
}

// deliver sends an item and expects its receipt.
func (l *link) deliver(t testing.TB, it *seal.Item) {
	t.Helper()
	l.publish(t, topicItem, it.Bytes())
	ref := it.Header.Ref()
	if d := l.next(t); d.Type != downReceipt || d.Hash != it.Hash() || d.Ref == nil || *d.Ref != ref {
		t.Fatalf("item %s is answered with %+v, not a receipt", ref, d)
	}
}

// refused sends an item's bytes and expects a refusal.
func (l *link) refused(t testing.TB, b []byte, want seal.Reason) down {
	t.Helper()
	l.publish(t, topicItem, b)
	d := l.next(t)
	if d.Type != downRefusal || d.Reason != want {
		t.Fatalf("answered with %+v, not the refusal %s", d, want)
	}
	return d
}
