// Package hub is the other end: devices deliver sealed items to it, owners'
// viewers fetch them. It is a courier, trusted to be there and with nothing
// else: it can read no item and change none. docs/ref/hub-protocol.md is the
// specification.
//
// It owns the embedded broker (NATS, as MQTT for devices and JetStream for what
// is stored), the devices' permissions, the check of every item before its
// receipt, upload grants, and the viewer API. It never decides whose an item
// is: the item says so itself. It never opens one.
package hub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/hub/cluster"
	"github.com/lensward/lensward/transport/hub/front"
	"github.com/lensward/lensward/transport/hub/gate"
	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
)

// Options are a hub's settings. Only Dir is needed.
type Options struct {
	// Dir is the state directory: the CA, the grants' key and JetStream's files. One
	// hub at a time may run on it.
	Dir string
	// Name is what the hub calls itself to viewers, Version its version.
	Name, Version string

	// MQTTListen, DeviceListen and ViewerListen are the host:port of MQTT for
	// devices, HTTPS for devices (uploads, enrolment) and the viewer API. Empty is
	// 127.0.0.1 with a port that is free. Without host they listen on every address.
	MQTTListen, DeviceListen, ViewerListen string
	// Bridge is the host:port of the broker, such as Mosquitto, that devices connect to in
	// place of this hub; empty for none. It must hold devices to what
	// docs/ref/hub-protocol.md says, and its certificate be one of the hub's CA. Where it
	// lets devices in, the hub's gate does not stand, and Admit should be given.
	Bridge string
	// Hosts are the names and IP addresses under which devices and viewers reach the
	// hub, beside the loopback's and those listened on. The first is what devices are
	// told in upload URLs.
	Hosts []string

	// ViewerTLS serves the viewer API over HTTPS with a certificate from the hub's own
	// CA, ViewerCert with this one. Off loopback one of the two is needed.
	ViewerTLS  bool
	ViewerCert *tls.Certificate
	// Page is the viewer page, served at /; nil for none.
	Page fs.FS

	// EnrolToken, where set, lets in any device that has it, any number of times, and
	// something has to come with every enrolment.
	EnrolToken secret.Text
	// Enrol is what else lets a device in.
	Enrol EnrolOptions
	// EnrolRate is how many enrolments a second are answered, over all devices; 0 is 50.
	EnrolRate float64

	// Retention is how long items are kept; 0 is for ever.
	Retention time.Duration
	// MaxStore is how many bytes JetStream may use; 0 is three quarters of what is free.
	MaxStore int64
	// SyncInterval is how often written data is fsynced. 0 is before every receipt:
	// then a receipt outlives a power cut. With an interval it outlives a killed
	// process, and a power cut can take the last interval's items.
	SyncInterval time.Duration

	// Connecting is how many devices may be connecting at once; 0 is 256 for each
	// processor. As many more wait for a moment, and the others are refused.
	Connecting int
	// Admit is how many connects a second this hub admits, for the hint that it gives the
	// fleet; 0 is as measured. The gate does not hold anybody to it.
	Admit float64
	// Drain is how many messages a second this hub takes of the fleet's backlogs; 0 is 100.
	Drain float64

	// NATS is the URL of a NATS server, as NATSConfig configures it, to use in place of
	// the embedded one; empty for the embedded one.
	NATS string

	// Mixup, from 0 to 1, is the probability with which a viewer is answered with
	// another owner's or camera's item. Only for showing what viewers make of it.
	Mixup float64
	// Lies are other ways to lie to viewers, half the time where that makes sense.
	Lies []Lie
	// MixupSeed makes the lies repeatable; 0 is a random seed.
	MixupSeed uint64

	// Log gets what happens; nil for nothing.
	Log *slog.Logger

	// DeviceListener and ViewerListener, where set, take the place of DeviceListen and
	// ViewerListen, and Gateway that of the broker's own MQTT listener. With them a
	// whole hub runs without a network, as in package hubtest. The addresses still
	// say what the hub calls itself.
	DeviceListener, ViewerListener net.Listener
	Gateway                        Gateway
}

// Gateway speaks MQTT with devices in the broker's stead. It must hold devices to
// what docs/ref/hub-protocol.md says of certificates, client IDs and topics.
type Gateway interface {
	// Run carries messages between devices and conn until ctx ends: a topic
	// lensward/1/D/item is the subject lensward.1.D.item. The TLS configuration asks
	// devices for the CA's certificate.
	Run(ctx context.Context, conn *nats.Conn, tls *tls.Config) error
}

// Hub is a hub. Its addresses are known once Ready's channel is closed.
type Hub struct {
	options   Options
	log       *slog.Logger
	dir       *durable.Dir
	authority *authority.Authority
	grantKey  []byte
	cluster   *cluster.Cluster // nil where the hub stands alone
	gate      *gate.Gate
	roll      *roll
	ready     chan struct{}

	// Set before ready is closed, and never again.
	mqttAddr, deviceURL, viewerURL string
}

// New opens the state directory, making the CA where there is none. Run does the rest.
func New(o Options) (*Hub, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("set up hub: %w", err)
	}
	dir, err := durable.Open(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("set up hub: %w", err)
	}
	ca, err := authority.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("set up hub: %w", err)
	}
	key, err := openGrantKey(dir)
	if err != nil {
		return nil, fmt.Errorf("set up hub: %w", err)
	}
	nodes, err := cluster.Read(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("set up hub: %w", err)
	}
	if nodes != nil && o.Bridge != "" {
		return nil, errors.New("set up hub: a node of a cluster cannot be bridged to another broker: each node would take every message")
	}
	return &Hub{
		options: o, log: o.Log, dir: dir, authority: ca, grantKey: key, cluster: nodes, gate: gate.New(o.Connecting), roll: newRoll(dir, o.Log), ready: make(chan struct{}),
	}, nil
}

// complete fills in what was left out and refuses what cannot be meant.
func (o *Options) complete() error {
	if o.Dir == "" {
		return errors.New("no state directory")
	}
	if o.Mixup < 0 || o.Mixup > 1 {
		return fmt.Errorf("mix-up probability %v is not from 0 to 1", o.Mixup)
	}
	if o.EnrolRate < 0 || o.Retention < 0 || o.MaxStore < 0 || o.SyncInterval < 0 || o.Connecting < 0 || o.Admit < 0 || o.Drain < 0 {
		return errors.New("a rate, a duration or a size is negative")
	}
	for _, l := range []*string{&o.MQTTListen, &o.DeviceListen, &o.ViewerListen} {
		if *l == "" {
			*l = "127.0.0.1:0"
		}
		if _, _, err := net.SplitHostPort(*l); err != nil {
			return fmt.Errorf("listen address: %w; hint: give host:port", err)
		}
	}
	if err := o.Enrol.complete(); err != nil {
		return err
	}
	if err := o.checkBridge(); err != nil {
		return err
	}
	if !isLoopbackListen(o.ViewerListen) && !o.ViewerTLS && o.ViewerCert == nil {
		return fmt.Errorf("viewer address %s is not loopback and would be served without TLS; "+
			"hint: serve it over HTTPS, or listen on 127.0.0.1", o.ViewerListen)
	}
	if o.EnrolRate == 0 {
		o.EnrolRate = 50
	}
	if o.Drain == 0 {
		o.Drain = defaultDrain
	}
	if o.MixupSeed == 0 {
		o.MixupSeed = rand.Uint64()
	}
	if slices.Contains(o.Lies, LieMixup) && o.Mixup == 0 {
		o.Mixup = halfTheTime
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// ID is the hub's ID: that of its CA's key.
func (h *Hub) ID() seal.ID { return h.authority.ID() }

// CAPool holds the CA's certificate, for clients in the same process.
func (h *Hub) CAPool() *x509.CertPool { return h.authority.Pool() }

// CAPEM is the CA's certificate, which devices are given when they are paired.
func (h *Hub) CAPEM() []byte { return h.authority.PEM() }

// Ready is closed when the hub can be connected to.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// MQTTAddr is the host:port that devices connect to. It is known after Ready.
func (h *Hub) MQTTAddr() string { return h.mqttAddr }

// DeviceURL is the base URL for devices (POST DeviceURL()+"/enrol"). It is known
// after Ready.
func (h *Hub) DeviceURL() string { return h.deviceURL }

// ViewerURL is the base URL of the page and the viewer API. It is known after Ready.
func (h *Hub) ViewerURL() string { return h.viewerURL }

// Run serves until ctx ends, then finishes what it has begun and stops everything.
func (h *Hub) Run(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("run hub: %w", err)
		}
	}()
	unlock, err := h.dir.Lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	device, viewer, err := h.listen()
	if err != nil {
		return err
	}
	defer device.Close() // again, after the servers: harmless
	defer viewer.Close()

	cert, err := h.authority.Server(h.certHosts(), time.Time{}, time.Time{})
	if err != nil {
		return err
	}
	secured, err := h.secure(cert)
	if err != nil {
		return err
	}
	b, err := h.startBroker(ctx, secured.mqtt)
	if err != nil {
		return err
	}
	defer b.stop()
	st, err := store.Open(ctx, b.js, store.Options{Retention: h.options.Retention, Replicas: b.replicas, Node: h.node(), Log: h.log})
	if err == nil {
		err = b.settle(ctx)
	}
	if ctx.Err() != nil {
		return nil // while it waited for the other nodes
	}
	if err != nil {
		return err
	}
	h.setAddresses(b.addr, device.Addr(), viewer.Addr())
	return h.serve(ctx, b, st, secured, device, viewer)
}

// serve runs the parts until ctx ends or one of them fails, and waits for all.
func (h *Hub) serve(ctx context.Context, b *broker, st *store.Store, secured secured, device, viewer net.Listener) error {
	viewerTLS, err := h.viewerTLS()
	if err != nil {
		return err
	}
	m, seen := newMetrics(), newPresence(h.node())
	letters := &post{store: st, out: natsOutbox{b.conn}, log: h.log}
	viewers := h.newAPI(st, letters, m, seen)
	fleet, err := h.newFleet(ctx, b.conn, st, m, seen)
	if err != nil {
		return err
	}
	gateway, err := h.newGateway(seen)
	if err != nil {
		return err
	}
	if err := h.roll.open(ctx, st, h.evict(b, gateway)); err != nil {
		return err
	}
	enrolment, err := h.enrolment()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	r := &receiver{
		store: st, out: natsOutbox{b.conn}, letters: letters, grants: &granter{key: h.grantKey, base: h.deviceURL},
		presence: seen, metrics: m, log: h.log, pulse: fleet.pulse, recordStored: viewers.review, answered: fleet.answered,
		behind: fleet.gate.Hold, revoked: h.roll.Revoked,
	}
	m.gauge("sessions", "Viewers that are signed in.", viewers.sessions.count)
	m.gauge("devices_revoked", "Devices that the operator has shut out.", h.roll.count)
	m.gauge("devices_online", "Devices whose session is up, by their own word.", seen.online)

	receiving := make(chan struct{})
	g.Go(func() error { return r.run(ctx, b.conn, receiving) })
	g.Go(func() error { return st.Run(ctx) })
	g.Go(func() error { return h.roll.run(ctx) })
	g.Go(func() error { return fleet.run(ctx) })
	g.Go(func() error { return h.keepCompany(ctx, b, st, seen, viewers, fleet.pulse) })
	g.Go(func() error { return h.keepTickets(ctx, secured) })
	g.Go(func() error { return st.ListenMail(ctx) })
	g.Go(func() error {
		return front.Serve(ctx, front.NewServer(ctx, h.deviceHandler(r, viewers, fleet.herald, enrolment), secured.https, h.log), device)
	})
	g.Go(func() error {
		return front.Serve(ctx, front.NewServer(ctx, h.viewerHandler(viewers), viewerTLS, h.log), viewer)
	})
	if gateway != nil {
		g.Go(func() error { return gateway.Run(ctx, b.gateway, secured.mqtt) })
	}
	select {
	case <-receiving:
		b.open()
		h.log.Info("hub is ready", "id", h.ID().String(), "mqtt", h.mqttAddr, "devices", h.deviceURL, "viewers", h.viewerURL)
		close(h.ready)
	case <-ctx.Done():
	}
	return g.Wait()
}

func (h *Hub) newAPI(st *store.Store, post *post, m *metrics, seen *presence) *api {
	a := &api{
		about: about{Name: h.options.Name, Version: h.options.Version, ID: h.ID(), Mixup: h.options.Mixup, Devices: h.deviceAddresses()},
		id:    h.ID(), shelf: st, store: st, sessions: newSessions(), mail: newMailroom(st), courier: newCourier(st, post), presence: seen, metrics: m, log: h.log,
	}
	a.about.Retention, a.about.Lies = int64((h.options.Retention+time.Second-1)/time.Second), h.options.Lies
	if h.options.Mixup > 0 {
		h.log.Warn("this hub lies to its viewers", "mixup", h.options.Mixup)
		a.shelf = newLiar(st, st, h.options.Mixup, h.options.MixupSeed)
	}
	if len(h.options.Lies) > 0 {
		h.log.Warn("this hub lies to its viewers", "lies", fmt.Sprint(h.options.Lies))
		a.crook = newCrook(a.shelf, newLiar(st, st, halfTheTime, h.options.MixupSeed), h.options.Lies)
		a.shelf = a.crook
	}
	return a
}

// deviceHandler is what devices reach by HTTPS.
func (h *Hub) deviceHandler(r *receiver, a *api, hint http.Handler, enrolment *authority.Enrolment) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("PUT "+uploadPath, newUploads(r, h.log))
	mux.Handle("GET /hint", hint)
	mux.HandleFunc("GET /ca", h.certificate)
	mux.HandleFunc("GET /hub", h.whereabouts)
	a.mailbox(mux, mailbox.DevicePath)
	enrolment.Handle(mux)
	return mux
}

// viewerHandler is what viewers reach.
func (h *Hub) viewerHandler(a *api) http.Handler {
	loopback := isLoopbackListen(h.options.ViewerListen)
	mux := http.NewServeMux()
	routes := a.handler(loopback)
	mux.Handle("/api/", a.crook.household(routes))
	mux.Handle("/metrics", routes)
	if h.options.Page != nil {
		mux.Handle("/", http.FileServerFS(h.options.Page))
	}
	return front.Secured(loopback, mux)
}
