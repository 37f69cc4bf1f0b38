package hub

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/lensward/lensward/internal/nettest"
	"github.com/lensward/lensward/transport/seal"
)

// natsServer runs a NATS server with the configuration that was made for the hub of a
// state directory, and returns that hub's options and what ends the server.
func natsServer(t testing.TB, dir string) (o Options, stop func()) {
	t.Helper()
	o = Options{Dir: dir, MQTTListen: nettest.FreeAddress(t)}
	listen := nettest.FreeAddress(t)
	o.NATS = "nats://" + listen
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	path, err := h.NATSConfig(listen)
	if err != nil {
		t.Fatal(err)
	}
	return o, runNATS(t, path)
}

func runNATS(t testing.TB, conf string) (stop func()) {
	t.Helper()
	opts, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	opts.SyncAlways, opts.SyncInterval = false, time.Hour // no test here cuts the power
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	go srv.Start()
	stop = sync.OnceFunc(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	t.Cleanup(stop)
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not start")
	}
	return stop
}

func TestExternalServer(t *testing.T) {
	o, _ := natsServer(t, t.TempDir())
	h := startHub(t, o)
	if h.MQTTAddr() != o.MQTTListen {
		t.Errorf("devices are told %s, not %s", h.MQTTAddr(), o.MQTTListen)
	}
	own := newOwner(t)
	a, b := newCamera(t, own), newCamera(t, own)
	la, lb := attach(t, h, a), attach(t, h, b)
	la.publish(t, topicStatus, []byte(`{"online":true}`))
	la.deliver(t, a.sealed(t, seal.KindThumbnail, 1000))
	v := signIn(t, h, own.key, own.id)
	if p := v.timeline(t, ""); len(p.Items) != 1 {
		t.Errorf("%d rows, not 1", len(p.Items))
	}
	v.waitOnline(t, a.id, true)

	// The server holds devices to their own names and topics, as the embedded one does.
	await(t, "publish elsewhere", la.client.Publish(lb.topic(topicStatus), 0, false, []byte(`{"online":true}`)))
	la.quiet(t)
	lb.quiet(t)
	for _, d := range v.devices(t) {
		if d.ID == b.id && d.Online {
			t.Error("one device spoke for another")
		}
	}
	stranger := pahoOptions(h, enrol(t, h, newKey(t)), b.id.String())
	if tok := mqtt.NewClient(stranger).Connect(); !tok.WaitTimeout(patience) || tok.Error() == nil {
		t.Error("another device's client ID is let in")
	}
}

func TestExternalServerIsClosedToOthers(t *testing.T) {
	o, _ := natsServer(t, t.TempDir())
	h := startHub(t, o)
	cert := enrol(t, h, newKey(t))
	if err := dialNATS(o.NATS, &tls.Config{RootCAs: h.CAPool(), Certificates: []tls.Certificate{cert}}); err == nil {
		t.Error("a device's certificate is let in where hubs are")
	}
	info, err := os.Stat(h.dir.Path("nats/nats-server.conf"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the configuration has mode %v, %v", info.Mode(), err)
	}
}

func TestExternalCluster(t *testing.T) {
	var all []Options
	var confs []string
	for _, dir := range clusterDirs(t) {
		o := Options{Dir: dir, MQTTListen: nettest.FreeAddress(t)}
		listen := nettest.FreeAddress(t)
		o.NATS = "nats://" + listen
		h, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		path, err := h.NATSConfig(listen)
		if err != nil {
			t.Fatal(err)
		}
		all, confs = append(all, o), append(confs, path)
	}
	stops := make([]func(), len(confs))
	for i, c := range confs {
		stops[i] = runNATS(t, c)
	}
	hubs := make([]*running, len(all))
	var started sync.WaitGroup
	for i, o := range all {
		started.Go(func() { hubs[i] = startHub(t, o) })
	}
	started.Wait()
	if t.Failed() {
		t.FailNow()
	}
	own := newOwner(t)
	cam := newCamera(t, own)
	it := cam.sealed(t, seal.KindThumbnail, 1000)
	attach(t, hubs[0], cam).deliver(t, it)

	stops[0]() // its hub waits for it, and the others go on
	cert := enrol(t, hubs[1], cam.key)
	eventually(t, "devices are let in while another leads", func() bool {
		c := mqtt.NewClient(pahoOptions(hubs[1], cert, cam.id.String()))
		tok := c.Connect()
		defer c.Disconnect(0)
		return tok.WaitTimeout(patience) && tok.Error() == nil
	})
	l := attach(t, hubs[1], cam)
	l.deliver(t, cam.sealed(t, seal.KindThumbnail, 1000))
	v := signIn(t, hubs[2], own.key, own.id)
	if p := v.timeline(t, ""); len(p.Items) != 2 {
		t.Errorf("%d rows, not 2", len(p.Items))
	}
	runNATS(t, confs[0])
	back := signIn(t, hubs[0], own.key, own.id)
	eventually(t, "the first hub is back", func() bool {
		status, body := back.call(t, http.MethodGet, "/api/v1/timeline", nil)
		return status == http.StatusOK && bytes.Count(body, []byte("cursor")) == 2
	})
	for _, h := range hubs {
		h.stop(t) // before their servers
	}
}

func TestExternalServerThatIsAnother(t *testing.T) {
	o, _ := natsServer(t, t.TempDir())
	o.Dir = t.TempDir() // another hub's
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "use NATS server") {
		t.Errorf("another hub's server: %v", err)
	}
}

// dialNATS tries to be let in as a NATS client with a certificate alone.
func dialNATS(url string, c *tls.Config) error {
	conn, err := nats.Connect(url, nats.Secure(c))
	if err == nil {
		conn.Close()
	}
	return err
}
