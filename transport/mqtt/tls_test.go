package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/mqtt/mqtttest"
	"github.com/lensward/lensward/transport/recovery"
)

// listener serves a broker over mutual TLS, and says of each connection whether it
// resumed an earlier one's session.
type listener struct {
	net.Listener
	resumed chan bool
}

func listen(t *testing.T, a *authority, change ...func(*tls.Config)) *listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := &listener{Listener: inner, resumed: make(chan bool, 16)}
	broker := &mqtttest.Broker{}
	config := &tls.Config{
		Certificates: []tls.Certificate{a.identity("broker")}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	for _, c := range change {
		c(config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := inner.Accept()
			if err != nil {
				return
			}
			l.serve(broker, tls.Server(conn, config))
		}
	}()
	t.Cleanup(func() {
		must(t, inner.Close())
		<-done
		broker.Close()
	})
	return l
}

func (l *listener) serve(b *mqtttest.Broker, conn *tls.Conn) {
	if err := conn.Handshake(); err != nil {
		_ = conn.Close() // the device says what it saw
		return
	}
	l.resumed <- conn.ConnectionState().DidResume
	b.Serve(conn)
}

func (l *listener) options(t *testing.T, a *authority, cert tls.Certificate, cache tls.ClientSessionCache) Options {
	t.Helper()
	route, err := NewRoute([]string{l.Addr().String()})
	must(t, err)
	config := a.config(cert)
	config.ClientSessionCache = cache
	return Options{Device: device(), Route: route, TLS: config, ConnectTimeout: patience}
}

// A second session resumes the first one's TLS; with a cache of its own, it does not.
func TestResumption(t *testing.T) {
	a := newAuthority(t)
	l := listen(t, a)
	o := l.options(t, a, a.identity(device().String()), tls.NewLRUClientSessionCache(4))
	for n, want := range []bool{false, true, true} {
		s, err := Dial(t.Context(), o)
		must(t, err)
		if got := <-l.resumed; got != want {
			t.Errorf("session %d resumed: %v", n+1, got)
		}
		must(t, s.Close())
	}
	o.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	s, err := Dial(t.Context(), o)
	must(t, err)
	if <-l.resumed {
		t.Error("resumed without a ticket")
	}
	must(t, s.Close())
}

// An alert in the handshake is a refusal: a hub's gate says no in this way.
func TestAlertIsARefusal(t *testing.T) {
	a := newAuthority(t)
	l := listen(t, a, func(c *tls.Config) {
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("full") }
	})
	_, err := Dial(t.Context(), l.options(t, a, a.identity(device().String()), nil))
	if recovery.Classify(err) != recovery.Refused {
		t.Errorf("%v counts as %v", err, recovery.Classify(err))
	}
}

// What answers in the hub's place is not the hub, and says nothing of it.
func TestStrangers(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	l := listen(t, other)
	page, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{ReadHeaderTimeout: time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(page) }()
	defer func() {
		must(t, server.Close())
		<-served
	}()
	named := listen(t, a)
	_, port, err := net.SplitHostPort(named.Addr().String())
	must(t, err)
	for name, change := range map[string]func(*Options){
		"another authority": func(*Options) {},
		"another name": func(o *Options) {
			o.Route, o.TLS.ServerName = nil, "hub.example"
			o.Address = net.JoinHostPort("127.0.0.1", port)
		},
		"a login page": func(o *Options) { o.Route, o.Address = nil, page.Addr().String() },
	} {
		o := l.options(t, a, a.identity(device().String()), nil)
		change(&o)
		_, err := Dial(t.Context(), o)
		if !recovery.IsStranger(err) || recovery.Classify(err) != recovery.Unreachable {
			t.Errorf("%s: %v counts as %v", name, err, recovery.Classify(err))
		}
	}
}

// Somebody takes the connection and says no more: that is another thing than nobody.
func TestStalledHandshake(t *testing.T) {
	_, err := Dial(t.Context(), Options{Device: device(), Dial: func(context.Context) (net.Conn, error) { return nil, context.DeadlineExceeded }})
	if recovery.Classify(err) != recovery.TimedOut {
		t.Errorf("without a connection %v counts as %v", err, recovery.Classify(err))
	}
	near, far := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, far) }() // until the device gives up
	a := newAuthority(t)
	_, err = Dial(t.Context(), Options{
		Device: device(), TLS: a.config(a.identity(device().String())), ConnectTimeout: 50 * time.Millisecond, Address: "hub.example:8883",
		Dial: func(context.Context) (net.Conn, error) { return near, nil },
	})
	if recovery.Classify(err) != recovery.Stalled {
		t.Errorf("%v counts as %v", err, recovery.Classify(err))
	}
}
