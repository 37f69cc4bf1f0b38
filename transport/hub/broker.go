package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/lensward/lensward/transport/hub/gate"
	"github.com/lensward/lensward/transport/hub/store"
)

// The broker's accounts. Devices and the hub's streams live in one; the
// authorisation of connections has its own, which devices cannot reach.
const (
	accountFleet = "FLEET"
	accountAuth  = "AUTH"
)

const (
	// The server's own 2 s are not enough when a whole fleet connects at once.
	handshakeTimeout = 30 * time.Second // TLS and authentication each
	startTimeout     = 10 * time.Second // once its streams are recovered
)

// brokerOptions is what the broker is started with.
type brokerOptions struct {
	listen   string // host:port of the MQTT listener
	gateway  bool   // no MQTT listener: somebody else speaks with devices
	dir      string // JetStream's directory
	tls      *tls.Config
	sync     time.Duration // 0: every write
	maxStore int64         // bytes, 0: what the disk allows
	keys     brokerKeys
	node     string // the server's name
	cluster  *clusterOptions
	decide   decider
	log      *slog.Logger
}

// broker is NATS: MQTT for devices, JetStream for the store.
type broker struct {
	replicas int            // of each stream
	server   *server.Server // nil where it is another process
	auth     *nats.Conn     // answers who may connect
	conn     *nats.Conn     // the hub's own
	gateway  *nats.Conn     // for who speaks MQTT in the broker's stead, else nil
	js       jetstream.JetStream
	addr     net.Addr
	// open lets devices in, whose TLS handshakes wait until then.
	open func()
}

// startBroker starts the server. Devices wait until open is called.
func startBroker(ctx context.Context, o brokerOptions) (*broker, error) {
	opts, err := serverOptions(o)
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	opened := make(chan struct{})
	if !o.gateway {
		opts.MQTT.TLSConfig = holdUntil(opened, o.tls)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	logger := &serverLog{log: o.log}
	srv.SetLoggerV2(logger, false, false, false)
	srv.Start() // recovers JetStream's streams first
	b := &broker{
		replicas: o.cluster.replicas(), server: srv, open: sync.OnceFunc(func() { close(opened) }),
		addr: &net.TCPAddr{IP: net.ParseIP(opts.MQTT.Host), Port: opts.MQTT.Port},
	}
	if f := logger.fatal.Load(); f != nil {
		err = errors.New(*f)
	} else {
		err = b.connect(ctx, o)
	}
	if err != nil {
		b.stop()
		return nil, fmt.Errorf("start broker: %w", err)
	}
	return b, nil
}

// connect makes the in-process connections.
func (b *broker) connect(ctx context.Context, o brokerOptions) error {
	if !b.server.ReadyForConnections(startTimeout) {
		return errors.New("the broker did not start")
	}
	return b.use(ctx, o, "", nats.InProcessServer(b.server), nats.ReconnectWait(100*time.Millisecond))
}

// use makes the hub's connections to the server at url and has who-may-connect answered.
func (b *broker) use(ctx context.Context, o brokerOptions, url string, how ...nats.Option) (err error) {
	dial := func(user nkeys.KeyPair) (*nats.Conn, error) {
		public, err := user.PublicKey()
		if err != nil {
			return nil, err
		}
		return nats.Connect(url, append(how, nats.NoEcho(), nats.Nkey(public, user.Sign), nats.MaxReconnects(-1),
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
				if err != nil {
					o.log.Warn("broker connection lost", "err", err)
				}
			}),
			nats.ReconnectHandler(func(*nats.Conn) { o.log.Info("broker connection is back") }),
			nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) { logAsync(o.log, sub, err) }))...)
	}
	if b.auth, err = dial(o.keys.auth); err != nil {
		return fmt.Errorf("connect to broker as auth: %w", err)
	}
	gate := gatekeeper{issuer: o.keys.issuer, decide: o.decide, log: o.log}
	if err := gate.serve(b.auth); err != nil {
		return err
	}
	if b.conn, err = dial(o.keys.hub); err != nil {
		return fmt.Errorf("connect to broker as hub: %w", err)
	}
	if o.gateway {
		if b.gateway, err = dial(o.keys.hub); err != nil {
			return fmt.Errorf("connect to broker as gateway: %w", err)
		}
	}
	if b.js, err = jetstream.New(b.conn); err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	return ctx.Err()
}

// stop ends the connections and the server, and waits for it.
func (b *broker) stop() {
	b.open() // whoever still waits is let go
	for _, c := range []*nats.Conn{b.gateway, b.conn, b.auth} {
		if c != nil {
			c.Close()
		}
	}
	if b.server != nil {
		b.server.Shutdown()
		b.server.WaitForShutdown()
	}
}

// holdUntil lets TLS handshakes wait: the server listens before anybody answers
// who may connect or takes what devices send.
func holdUntil(opened <-chan struct{}, c *tls.Config) *tls.Config {
	next := c.GetConfigForClient
	c = c.Clone()
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		select {
		case <-opened:
			if next == nil {
				return nil, nil
			}
			return next(hello)
		case <-hello.Context().Done():
			return nil, hello.Context().Err()
		case <-time.After(handshakeTimeout):
			return nil, errors.New("the broker is still starting")
		}
	}
	return c
}

// accounts is the part of the server's configuration that has no Go API: an
// account with JetStream before anything else starts. The arguments are the
// public keys of the two in-process users; no other connection type may use them.
const accounts = `
accounts {
  FLEET { jetstream: enabled, users: [ { nkey: %q, allowed_connection_types: ["IN_PROCESS"] } ] }
  AUTH { users: [ { nkey: %q, allowed_connection_types: ["IN_PROCESS"] } ] }
  SYS {}
}
system_account: SYS
`

func serverOptions(o brokerOptions) (*server.Options, error) {
	public, err := o.keys.public()
	if err != nil {
		return nil, err
	}
	host, portText, err := net.SplitHostPort(o.listen)
	if err != nil {
		return nil, fmt.Errorf("MQTT listen address: %w", err)
	}
	port, err := net.LookupPort("tcp", portText)
	if err != nil {
		return nil, fmt.Errorf("MQTT listen address %q: %w", o.listen, err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	opts := &server.Options{}
	if err := opts.ProcessConfigString(fmt.Sprintf(accounts, public[2], public[1])); err != nil {
		return nil, fmt.Errorf("configure accounts: %w", err)
	}
	opts.ServerName = o.node
	opts.DontListen = true // no NATS port: devices speak MQTT, the hub is in the process
	opts.NoSigs, opts.NoLog = true, true
	opts.MaxPayload = store.MaxMessage
	opts.MaxPending = 256 << 20 // bytes towards one connection; the hub's own takes every device's
	opts.AuthTimeout = handshakeTimeout.Seconds()
	opts.TLSTimeout = handshakeTimeout.Seconds()
	opts.AuthCallout = &server.AuthCallout{Issuer: public[0], Account: accountAuth, AuthUsers: public[1:]}
	opts.JetStream = true
	opts.StoreDir = o.dir
	opts.JetStreamMaxMemory = 64 << 20
	opts.JetStreamMaxStore = o.maxStore
	opts.SyncAlways, opts.SyncInterval = o.sync == 0, o.sync
	if o.cluster != nil {
		o.cluster.apply(opts, o.keys.route)
	}
	if o.gateway {
		return opts, nil
	}
	opts.MQTT = server.MQTTOpts{
		Host: host, Port: port, StreamReplicas: o.cluster.replicas(),
		AuthTimeout: handshakeTimeout.Seconds(), TLSTimeout: handshakeTimeout.Seconds(),
	}
	return opts, nil
}

// serverLog is the broker's log as slog. What it calls fatal stops it, not the process.
type serverLog struct {
	log   *slog.Logger
	fatal atomic.Pointer[string]
}

func (l *serverLog) Noticef(f string, v ...any) { l.log.Debug("broker: " + fmt.Sprintf(f, v...)) }
func (l *serverLog) Warnf(f string, v ...any)   { l.warn(fmt.Sprintf(f, v...)) }
func (l *serverLog) Errorf(f string, v ...any) {
	for _, a := range v {
		if err, ok := a.(error); ok && errors.Is(err, gate.ErrRefused) {
			return // as many as come; the gate counts them
		}
	}
	l.warn(fmt.Sprintf(f, v...))
}
func (l *serverLog) Debugf(f string, v ...any) { l.log.Debug("broker: " + fmt.Sprintf(f, v...)) }
func (l *serverLog) Tracef(f string, v ...any) { l.log.Debug("broker: " + fmt.Sprintf(f, v...)) }
func (l *serverLog) warn(said string) {
	if routine(said) {
		l.log.Debug("broker: " + said)
		return
	}
	l.log.Warn("broker: " + said)
}
func (l *serverLog) Fatalf(f string, v ...any) {
	s := fmt.Sprintf(f, v...)
	l.fatal.Store(&s)
	l.log.Error("broker: " + s)
}

// logAsync tells of what happens to a connection outside any call, such as
// messages that came faster than they were handled.
func logAsync(log *slog.Logger, sub *nats.Subscription, err error) {
	if sub == nil {
		log.Warn("broker connection", "err", err)
		return
	}
	dropped, _ := sub.Dropped() // 0 once the subscription is closed
	log.Warn("broker connection", "err", err, "subject", sub.Subject, "dropped", dropped)
}

// routine says that a warning of the server tells of nothing but a node that is not
// there (the hub says that once) or that is starting.
func routine(said string) bool {
	for _, f := range []string{
		"Error trying to connect to route", "Waiting for routing to be established",
		"JetStream has not established contact", "Metalayer blocking snapshot",
	} {
		if strings.HasPrefix(said, f) {
			return true
		}
	}
	return false
}
