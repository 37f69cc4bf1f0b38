// Package bridge lets a hub serve devices whose MQTT broker is another program, such as
// Mosquitto: the hub is a client of that broker, and this package carries messages
// between the two.
//
// It owns the connection to the broker and which topics go which way. It never keeps or
// repeats a message: what is lost with the connection, devices send again. It relies on
// the broker to hold each device to its own topics (docs/guide/brokers.md says how), and
// checks nothing that the broker checks.
package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats.go"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
)

// Name is the hub's client ID at the broker, and the common name of its certificate. It
// is no device's: theirs are 52 characters long.
const Name = "hub"

const (
	connectTimeout = 30 * time.Second
	keepAlive      = 30 * time.Second
	writeTimeout   = 30 * time.Second
	maxPayload     = 136 << 10 // bytes; more is dropped

	subscriptionDenied = 0x80 // MQTT 3.1.1, section 3.9.3
)

// Options say where the broker is. All but Lost and Log are needed.
type Options struct {
	// Address is the broker's host and port.
	Address string
	// TLS holds the hub's client certificate, in the name Name, and the authority that
	// signed the broker's.
	TLS *tls.Config
	// Lost is called when a session with the broker is over, and with it all that was
	// known of which devices are there; nil for nothing.
	Lost func()
	// Log gets what happens; nil for nothing.
	Log *slog.Logger
}

// Bridge carries messages between a hub and its broker.
type Bridge struct{ o Options }

// New makes a bridge; Run builds it.
func New(o Options) (*Bridge, error) {
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil || o.TLS == nil {
		return nil, fmt.Errorf("bridge to %q: not host:port, or no TLS", o.Address)
	}
	o.TLS = o.TLS.Clone()
	if o.TLS.ServerName == "" {
		o.TLS.ServerName = host
	}
	if o.Lost == nil {
		o.Lost = func() {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Bridge{o: o}, nil
}

// settings are those of one client that its devices wait for, not of a fleet's.
func settings() *recovery.Settings {
	return &recovery.Settings{First: time.Second, Cap: 10 * time.Second, Good: time.Minute}
}

// Run connects to the broker, again and again, until ctx ends. The hub's side is conn,
// where a topic lensward/1/D/item is the subject lensward.1.D.item.
func (b *Bridge) Run(ctx context.Context, conn *nats.Conn, _ *tls.Config) error {
	began := time.Now()
	plan := recovery.New(settings(), rand.Uint64())
	for wait.For(ctx, plan.Next(time.Since(began)).Wait) == nil {
		s, err := b.connect(ctx, conn)
		if err == nil {
			plan.Admitted(time.Since(began))
			b.o.Log.Info("connected to the broker", "broker", b.o.Address)
			err = s.serve(ctx)
			plan.Ended(time.Since(began), false)
			b.o.Lost()
		} else {
			plan.Failed(time.Since(began), recovery.Classify(err))
		}
		if ctx.Err() == nil {
			b.o.Log.Warn("no broker", "broker", b.o.Address, "err", err)
		}
	}
	return nil
}

// session is one connection to the broker.
type session struct {
	hub    *nats.Conn
	client paho.Client
	raw    net.Conn
	lost   chan error // takes one, when the client is done
	log    *slog.Logger
}

// connect gives a session that hears devices. With an error there is none, and nothing
// of it is left.
func (b *Bridge) connect(ctx context.Context, hub *nats.Conn) (_ *session, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	raw, err := (&tls.Dialer{Config: b.o.TLS}).DialContext(ctx, "tcp", b.o.Address)
	if err != nil {
		return nil, fmt.Errorf("connect to broker: %w", err)
	}
	raw = line{raw}
	s := &session{hub: hub, raw: raw, lost: make(chan error, 1), log: b.o.Log}
	s.client = paho.NewClient(paho.NewClientOptions().
		AddBroker("tcp://broker"). // never dialled: the connection is open
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return raw, nil }).
		SetClientID(Name).
		SetProtocolVersion(4). // 3.1.1, and no second try as 3.1
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetStore(paho.NewMemoryStore()).
		SetOrderMatters(true). // a device's record has to come before its items
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(writeTimeout).
		SetKeepAlive(keepAlive).
		SetPingTimeout(keepAlive).
		SetDefaultPublishHandler(s.fromDevice).
		SetConnectionLostHandler(func(_ paho.Client, err error) { s.lost <- err }))
	// Whatever paho waits for, it stops waiting when the connection is gone.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	if err := s.greet(); err != nil {
		return nil, fmt.Errorf("connect to broker: %w", err)
	}
	return s, nil
}

// line is a connection that fails, once it was closed on this side, with an error that
// paho takes for a failure. The usual one it takes for its own doing, and goes on waiting.
type line struct{ net.Conn }

var errCut = errors.New("the connection was cut")

func (l line) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	return n, cut(err)
}

func (l line) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	return n, cut(err)
}

func cut(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return errCut
	}
	return err
}

// greet makes the MQTT connection and the subscriptions.
func (s *session) greet() error {
	hello := s.client.Connect()
	hello.Wait()
	if err := hello.Error(); err != nil {
		return errors.Join(err, s.raw.Close()) // paho has nothing under way
	}
	filters := make(map[string]byte)
	for _, word := range upward() {
		filters["lensward/1/+/"+word] = 0
	}
	subscribed := s.client.SubscribeMultiple(filters, nil)
	select {
	case <-subscribed.Done():
	case err := <-s.lost:
		return err
	}
	err := subscribed.Error()
	for topic, code := range subscribed.(*paho.SubscribeToken).Result() {
		if err == nil && code == subscriptionDenied {
			err = fmt.Errorf("the broker denies the hub %s; hint: see docs/guide/brokers.md for its rules", topic)
		}
	}
	if err != nil {
		return errors.Join(err, s.end())
	}
	return nil
}

// upward are the last words of the topics on which devices speak.
func upward() []string { return []string{"record", "item", "want", "status", "answer"} }

// serve carries messages until the connection ends or ctx does.
func (s *session) serve(ctx context.Context) error {
	down, err := s.hub.Subscribe("lensward.1.*.down", s.toDevice)
	if err != nil {
		return errors.Join(fmt.Errorf("hear the hub: %w", err), s.end())
	}
	defer func() { _ = down.Unsubscribe() }() // the hub's side may be gone first
	select {
	case err := <-s.lost:
		return fmt.Errorf("the broker's connection: %w", err)
	case <-ctx.Done():
		return s.end()
	}
}

// end closes the connection and waits until paho has noticed.
func (s *session) end() error {
	_ = s.raw.Close() // paho may have closed it just now
	<-s.lost
	return nil
}

// fromDevice is called by paho for one message after another.
func (s *session) fromDevice(_ paho.Client, m paho.Message) {
	subject, ok := subjectOf(m.Topic())
	if !ok || len(m.Payload()) > maxPayload {
		s.log.Warn("message dropped", "topic", m.Topic(), "bytes", len(m.Payload()))
		return
	}
	if err := s.hub.Publish(subject, m.Payload()); err != nil {
		s.log.Warn("message dropped", "topic", m.Topic(), "err", err)
	}
}

// subjectOf is the hub's name for a topic on which devices speak; false for any other.
func subjectOf(topic string) (string, bool) {
	f := strings.Split(topic, "/")
	if len(f) != 4 || f[0] != "lensward" || f[1] != "1" {
		return "", false
	}
	if _, err := seal.ParseID(f[2]); err != nil {
		return "", false
	}
	for _, word := range upward() {
		if f[3] == word {
			return strings.Join(f, "."), true
		}
	}
	return "", false
}

// toDevice is called for what the hub says to a device. What does not get through is
// said again when the device asks again.
func (s *session) toDevice(m *nats.Msg) {
	s.client.Publish(strings.ReplaceAll(m.Subject, ".", "/"), 0, false, m.Data)
}
