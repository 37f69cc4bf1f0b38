package bridge_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/nettest"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/blob"
	"github.com/lensward/lensward/transport/enrol"
	"github.com/lensward/lensward/transport/hub"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/hub/bridge"
	"github.com/lensward/lensward/transport/hub/signin"
	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

// patience is how long anything may take on a busy machine before the test gives up.
const patience = time.Minute

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for something that another process does.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// mosquitto is Debian's broker with the configuration that a hub writes for it, the way
// Debian includes it.
type mosquitto struct {
	address string
	config  string
	program string
	cmd     *exec.Cmd
	said    strings.Builder
}

func newMosquitto(t *testing.T, ca *authority.Authority) *mosquitto {
	t.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program = "/usr/sbin/mosquitto" // not in everyone's PATH
		if _, err := os.Stat(program); err != nil {
			t.Fatal("mosquitto is not installed; `make setup` installs it (Debian package mosquitto)")
		}
	}
	address, err := net.ResolveTCPAddr("tcp", nettest.FreeAddress(t))
	must(t, err)
	port := address.Port
	dir := t.TempDir()
	files, err := bridge.Mosquitto(ca, []string{"localhost", "127.0.0.1"}, port, dir)
	must(t, err)
	for _, f := range files {
		must(t, os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600))
	}
	me, err := user.Current()
	must(t, err)
	main := filepath.Join(t.TempDir(), "main.conf")
	must(t, os.WriteFile(main, fmt.Appendf(nil, "user %s\npersistence false\ninclude_dir %s\n", me.Username, dir), 0o600))
	m := &mosquitto{address: fmt.Sprintf("127.0.0.1:%d", port), config: main, program: program}
	t.Cleanup(func() {
		m.kill()
		if t.Failed() {
			t.Logf("mosquitto said:\n%s", m.said.String())
		}
	})
	m.start(t)
	return m
}

func (m *mosquitto) start(t *testing.T) {
	t.Helper()
	m.cmd = exec.Command(m.program, "-c", m.config)
	m.cmd.Stdout, m.cmd.Stderr = &m.said, &m.said
	must(t, m.cmd.Start())
	eventually(t, "mosquitto listens", func() bool {
		conn, err := net.Dial("tcp", m.address)
		return err == nil && conn.Close() == nil
	})
}

// kill ends the broker without a word.
func (m *mosquitto) kill() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill() // it may have ended by itself
	_ = m.cmd.Wait()
	m.cmd = nil
}

// world is a hub behind Mosquitto.
type world struct {
	t      *testing.T
	hub    *hub.Hub
	broker *mosquitto
	owner  *ecdsa.PrivateKey
	token  string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	state := t.TempDir()
	dir, err := durable.Open(state)
	must(t, err)
	ca, err := authority.Open(dir)
	must(t, err)
	w := &world{t: t, broker: newMosquitto(t, ca), owner: newKey(t)}
	w.hub, err = hub.New(hub.Options{
		Dir: state, Bridge: w.broker.address, SyncInterval: time.Hour, Log: logger(t), Enrol: hub.EnrolOptions{Admission: authority.AdmitAny},
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.hub.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-done) })
	select {
	case <-w.hub.Ready():
	case err := <-done:
		done <- err
		t.Fatalf("the hub ended: %v", err)
	}
	if got := w.hub.MQTTAddr(); got != w.broker.address {
		t.Errorf("devices are told %s", got)
	}
	return w
}

func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

func spki(t *testing.T, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	must(t, err)
	return b
}

// device is a camera with what the agent has: key, certificate, record and spool.
type device struct {
	w      *world
	id     seal.ID
	tls    *tls.Config
	record *ownership.Ownership
	spool  *spool.Spool

	mu   sync.Mutex
	conn net.Conn // to the broker
}

func (w *world) newDevice() *device {
	t := w.t
	t.Helper()
	key, created := newKey(t), time.Unix(1_700_000_000, 0)
	d := &device{w: w, id: seal.KeyID(spki(t, key))}
	x, err := age.GenerateX25519Identity()
	must(t, err)
	signed, err := ownership.Sign(w.owner, ownership.Record{
		Epoch: 1, Revision: 1, Device: d.id, DeviceKey: spki(t, key), Owner: seal.KeyID(spki(t, w.owner)), OwnerKey: spki(t, w.owner),
		Acquired: ownership.AcquiredPaired, Created: created,
		Recipients: []ownership.Recipient{{Kind: ownership.RecipientHousehold, Age: x.Recipient().String()}},
	})
	must(t, err)
	d.record, err = signed.Accept(key, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: created, Firmware: "1.0.0"})
	must(t, err)
	binding, err := d.record.Binding()
	must(t, err)
	sealer, err := seal.NewSealer(seal.Device{Key: key, Boot: 1, Firmware: "1.0.0", Protection: seal.ProtectionFile}, binding)
	must(t, err)
	d.spool, err = spool.Open(t.Context(), spool.Options{Dir: t.TempDir(), Sealer: sealer, Boot: 1, Log: logger(t)})
	must(t, err)
	t.Cleanup(func() { must(t, d.spool.Close()) })
	dir, err := durable.Open(t.TempDir())
	must(t, err)
	trust := &tls.Config{RootCAs: w.hub.CAPool(), MinVersion: tls.VersionTLS13}
	cert, err := enrol.LoadOrEnrol(t.Context(), enrol.Options{URL: w.hub.DeviceURL(), TLS: trust, Key: key, Dir: dir})
	must(t, err)
	d.tls = trust.Clone()
	d.tls.Certificates = []tls.Certificate{cert}
	return d
}

// append puts an item into the device's spool.
func (d *device) append(kind seal.Kind, size int) {
	d.w.t.Helper()
	body := make([]byte, size)
	_, err := rand.Read(body)
	must(d.w.t, err)
	_, err = d.spool.Append(d.w.t.Context(), seal.Draft{
		Kind: kind, Captured: time.Unix(1_700_000_000, 0), Clock: seal.ClockNetwork, MediaType: kind.MediaType(), Body: body,
		Event: seal.EventID{1},
	})
	must(d.w.t, err)
}

// deliver runs the agent's delivery loop until stop is called.
func (d *device) deliver() (stop func()) {
	t := d.w.t
	t.Helper()
	up, err := blob.New(blob.Options{Hosts: []string{strings.TrimPrefix(d.w.hub.DeviceURL(), "https://")}, TLS: &tls.Config{RootCAs: d.w.hub.CAPool()}})
	must(t, err)
	set := transport.DefaultSettings()
	set.Receipt = 2 * time.Second // what was lost with the broker is sent again soon
	loop, err := transport.New(transport.Options{
		Dialer: &mqtt.Dialer{Options: d.options()}, Queue: d.spool, Uploader: up, Settings: set, Log: logger(t),
		Schedule:   recovery.New(&recovery.Settings{First: 100 * time.Millisecond, Cap: time.Second, Good: time.Minute}, uint64(d.id[0])),
		Record:     func() transport.Record { return transport.Record{Bytes: d.record.Bytes(), Hash: d.record.Hash()} },
		Checkpoint: func(context.Context) error { return nil },
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = loop.Run(ctx) }) // ends with ctx's error
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

// options lead to the broker; the connection is kept, so that it can be cut.
func (d *device) options() mqtt.Options {
	return mqtt.Options{Device: d.id, Address: d.w.broker.address, TLS: d.tls, Dial: func(ctx context.Context) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", d.w.broker.address)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.conn = c
		return c, err
	}}
}

func (d *device) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	must(d.w.t, d.conn.Close())
}

// call asks the viewer API as the owner.
func (w *world) call(path string, in, out any) {
	w.t.Helper()
	method, body := http.MethodGet, []byte(nil)
	if in != nil {
		method = http.MethodPost
		b, err := json.Marshal(in)
		must(w.t, err)
		body = b
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.hub.ViewerURL()+path, bytes.NewReader(body))
	must(w.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+w.token)
	res, err := http.DefaultClient.Do(req)
	must(w.t, err)
	defer func() { _ = res.Body.Close() }() // read to its end
	if res.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s", path, res.Status)
	}
	must(w.t, json.NewDecoder(res.Body).Decode(out))
}

func (w *world) signIn() {
	w.t.Helper()
	var challenge struct{ Nonce string }
	w.call("/api/v1/challenge", struct{}{}, &challenge)
	nonce, err := base64.RawURLEncoding.DecodeString(challenge.Nonce)
	must(w.t, err)
	b, err := signin.Sign(w.owner, seal.KeyID(spki(w.t, w.owner)), w.hub.ID(), signin.Nonce(nonce))
	must(w.t, err)
	var session struct{ Token string }
	w.call("/api/v1/session", map[string]string{"statement": base64.RawURLEncoding.EncodeToString(b)}, &session)
	w.token = session.Token
}

// timeline is how often each item is in the owner's.
func (w *world) timeline() map[seal.Ref]int {
	w.t.Helper()
	items := make(map[seal.Ref]int)
	for after := uint64(0); ; {
		var page struct {
			Items []struct{ Envelope string }
			Next  uint64
		}
		w.call(fmt.Sprintf("/api/v1/timeline?limit=200&after=%d", after), nil, &page)
		if len(page.Items) == 0 {
			return items
		}
		for _, row := range page.Items {
			b, err := base64.RawURLEncoding.DecodeString(row.Envelope)
			must(w.t, err)
			it, err := seal.ParseEnvelope(b)
			must(w.t, err)
			must(w.t, it.VerifyEnvelope())
			items[it.Header.Ref()]++
		}
		after = page.Next
	}
}

// online says whether the hub takes a device to be there.
func (w *world) online(id seal.ID) bool {
	w.t.Helper()
	var out struct {
		Devices []struct {
			ID     seal.ID
			Online bool
		}
	}
	w.call("/api/v1/devices", nil, &out)
	for _, d := range out.Devices {
		if d.ID == id {
			return d.Online
		}
	}
	return false
}

// What cameras have in their spools arrives through Mosquitto once and whole, clips too,
// though the broker is killed on the way.
func TestDelivery(t *testing.T) {
	w := newWorld(t)
	w.signIn()
	const devices, thumbnails = 4, 30
	var cameras []*device
	for range devices {
		d := w.newDevice()
		for range thumbnails {
			d.append(seal.KindThumbnail, 20<<10)
		}
		d.append(seal.KindEvent, 500)
		d.append(seal.KindClip, 300<<10)
		d.deliver()
		cameras = append(cameras, d)
	}
	eventually(t, "some items arrive", func() bool { return len(w.timeline()) > devices })
	w.broker.kill()
	for _, d := range cameras { // there is something to be lost
		d.append(seal.KindThumbnail, 20<<10)
	}
	w.broker.start(t)
	for _, d := range cameras {
		eventually(t, "a spool is empty", func() bool { return d.spool.Stats().Depth == 0 })
		if s := d.spool.Stats(); s.Aside != 0 || s.Dropped != 0 {
			t.Errorf("camera %s: %+v", d.id.Short(), s)
		}
	}
	items := w.timeline()
	if want := devices * (thumbnails + 3); len(items) != want {
		t.Errorf("%d items arrived, not %d", len(items), want)
	}
	for ref, n := range items {
		if n != 1 {
			t.Errorf("%s is there %d times", ref, n)
		}
	}
}

// Who is there is known from the devices, from the broker's wills, and from the bridge
// when the broker is lost.
func TestPresence(t *testing.T) {
	w := newWorld(t)
	w.signIn()
	d := w.newDevice()
	there := func(want bool) {
		t.Helper()
		eventually(t, fmt.Sprintf("online is %v", want), func() bool { return w.online(d.id) == want })
	}
	d.deliver()
	there(true)
	d.cut() // without a word: the will speaks
	there(false)
	there(true) // it comes back by itself
	w.broker.kill()
	there(false)
}

// A device with a certificate of its own can neither end another's session nor speak or
// hear in its place.
func TestDevicesAreKeptApart(t *testing.T) {
	w := newWorld(t)
	w.signIn()
	d, thief := w.newDevice(), w.newDevice()
	session, err := mqtt.Dial(t.Context(), d.options())
	must(t, err)
	defer func() { must(t, session.Close()) }()
	eventually(t, "the device is there", func() bool { // once the bridge is
		must(t, session.PublishRecord(t.Context(), d.record.Bytes()))
		must(t, session.PublishStatus(t.Context(), transport.Status{Online: true}))
		return w.online(d.id)
	})

	overheard := make(chan string, 16)
	client := paho.NewClient(paho.NewClientOptions().AddBroker("ssl://" + w.broker.address).SetTLSConfig(thief.tls).
		SetClientID(d.id.String()). // the other's
		SetProtocolVersion(4).SetAutoReconnect(false).SetOrderMatters(false).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { overheard <- m.Topic() }))
	done := func(token paho.Token) {
		t.Helper()
		if !token.WaitTimeout(patience) {
			t.Fatal("no answer")
		}
		must(t, token.Error())
	}
	done(client.Connect())
	defer client.Disconnect(0)
	for _, topic := range []string{"lensward/1/+/down", mqtt.Topic(d.id, "down"), "lensward/1/+/item", "#"} {
		client.Subscribe(topic, 0, nil).WaitTimeout(patience) // denied in the answer, or later
	}
	done(client.Publish(mqtt.Topic(d.id, mqtt.TopicStatus), 0, false, `{"online":false}`))
	done(client.Publish(mqtt.Topic(d.id, mqtt.TopicDown), 0, false, `{"type":"record-refusal"}`))
	done(client.Publish(mqtt.Topic(d.id, mqtt.TopicRecord), 0, false, thief.record.Bytes()))
	// Its own topic works, and what came before on others has been dealt with by then.
	done(client.Publish(mqtt.Topic(thief.id, mqtt.TopicRecord), 0, false, thief.record.Bytes()))
	done(client.Publish(mqtt.Topic(thief.id, mqtt.TopicStatus), 0, false, `{"online":true}`))
	eventually(t, "the thief is there as itself", func() bool { return w.online(thief.id) })

	d.append(seal.KindThumbnail, 1000)
	e, _ := d.spool.NewestThumbnail()
	item, err := d.spool.Read(e.Ref)
	must(t, err)
	must(t, session.PublishItem(t.Context(), item))
	hear(t, session, transport.Receipt)
	if !w.online(d.id) || session.Err() != nil {
		t.Errorf("online %v, session %v", w.online(d.id), session.Err())
	}
	for len(overheard) > 0 {
		if topic := <-overheard; topic != mqtt.Topic(thief.id, mqtt.TopicDown) {
			t.Errorf("the thief heard %s", topic)
		}
	}
}

// hear expects a message of this type, after nothing but what answered the record.
func hear(t *testing.T, s *mqtt.Session, want transport.MessageType) {
	t.Helper()
	for {
		select {
		case m := <-s.Down():
			if m.Type == want {
				return
			}
			if m.Type != transport.Hint && m.Type != transport.RecordReceipt {
				t.Errorf("the device heard %+v", m)
			}
		case <-time.After(patience):
			t.Fatalf("no %s", want)
		}
	}
}

// What cannot lead to a broker makes no bridge.
func TestOptions(t *testing.T) {
	for _, o := range []bridge.Options{{Address: "localhost", TLS: &tls.Config{}}, {Address: "localhost:8883"}} {
		if _, err := bridge.New(o); err == nil {
			t.Errorf("%+v makes a bridge", o)
		}
	}
}
