// Package mqtt is a device's session with a hub over MQTT 3.1.1: one connection,
// from its first byte to its last.
//
// It owns the topics, the client that speaks the protocol (paho, made anew for each
// session), the choice among a broker's addresses and the limits on what a broker may send. It never reconnects, stores or
// sends anything again: transport decides that. Everything goes at QoS 0, because a
// broker's acknowledgement says nothing about an item; the hub's receipt does.
package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/seal"
)

// The last words of a device's topics. All but TopicDown go from the device to the hub.
const (
	TopicRecord = "record"
	TopicItem   = "item"
	TopicWant   = "want"
	TopicStatus = "status"
	TopicAnswer = "answer"
	TopicDown   = "down"
)

// Topic is a device's topic with that last word: "lensward/1/DEVICE/word".
func Topic(device seal.ID, word string) string {
	return "lensward/1/" + device.String() + "/" + word
}

// Options say whose session it is and where it leads. Zero durations and depths take
// their defaults.
type Options struct {
	// Device is the client ID and part of every topic. The certificate's common name is
	// the same.
	Device seal.ID
	// Address is the broker's host and port.
	Address string
	// Route is the way to a broker with several addresses, in place of Address. Dialers
	// of one device share it from session to session.
	Route *Route
	// TLS holds the device's certificate and the authorities that sign the broker's.
	// Versions below 1.3 are taken only if MinVersion says so. ServerName defaults to
	// the host in the address that is used. With a ClientSessionCache, later sessions
	// resume earlier ones' TLS; it belongs to one certificate.
	TLS *tls.Config
	// Dial opens the connection in place of TCP to Address. Only with Dial set may TLS
	// be nil, and the session go unprotected: for tests over a pipe.
	Dial func(context.Context) (net.Conn, error)

	// ConnectTimeout bounds everything until the subscription stands; default 30 s.
	ConnectTimeout time.Duration
	// WriteTimeout bounds one write; default 30 s: an item of 128 KiB at 35 kbit/s.
	WriteTimeout time.Duration
	// KeepAlive is how long the line may be silent before a ping, in whole seconds of
	// at least 1; default 30 s. As long again without an answer ends the session.
	KeepAlive time.Duration
	// Depth is how many of the hub's messages may wait to be read; default 64. One more
	// ends the session.
	Depth int

	// Log is where a session says what happens to it; default none.
	Log *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.Device.IsZero() {
		return o, errors.New("no device ID was given")
	}
	if o.TLS == nil && o.Dial == nil {
		return o, errors.New("no TLS configuration was given")
	}
	setDefault(&o.ConnectTimeout, 30*time.Second)
	setDefault(&o.WriteTimeout, 30*time.Second)
	setDefault(&o.KeepAlive, 30*time.Second)
	if o.Depth <= 0 {
		o.Depth = 64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

func setDefault(d *time.Duration, to time.Duration) {
	if *d <= 0 {
		*d = to
	}
}

// Dialer makes sessions with the same options; it is a transport.Dialer.
type Dialer struct{ Options Options }

// Dial is the function Dial.
func (d *Dialer) Dial(ctx context.Context) (transport.Session, error) {
	s, err := Dial(ctx, d.Options)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// ConnectError is a connect that came to nothing.
type ConnectError struct {
	// Code is the broker's answer (MQTT 3.1.1, table 3.1), 0 if it gave none.
	Code byte
	// Stood says that the connection stood when it failed: somebody had taken it.
	Stood bool
	Err   error
}

// Error says what went wrong.
func (e *ConnectError) Error() string { return "connect to the broker: " + e.Err.Error() }

// Unwrap is the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// Refused says that a live broker refused: by its answer, by a TLS alert, or by denying
// the subscription.
func (e *ConnectError) Refused() bool {
	var op *net.OpError
	return e.Code != 0 || errors.Is(e.Err, ErrProtocol) || errors.Is(e.Err, errSubscription) ||
		errors.As(e.Err, &op) && op.Op == "remote error" // crypto/tls's name for a peer's alert
}

// Stalled says that the connection stood and the next answer did not come in time.
func (e *ConnectError) Stalled() bool {
	var timeout net.Error
	return e.Stood && errors.As(e.Err, &timeout) && timeout.Timeout()
}

// open gives the connection, not secured yet, and the name that its server must have.
func (o *Options) open(ctx context.Context) (conn net.Conn, name string, err error) {
	if o.Route != nil && o.Dial == nil {
		return o.Route.open(ctx)
	}
	if o.TLS != nil && o.TLS.ServerName == "" {
		if name, _, err = net.SplitHostPort(o.Address); err != nil {
			return nil, "", fmt.Errorf("read the broker's address: %w", err)
		}
	}
	dial := o.Dial
	if dial == nil {
		dial = func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", o.Address)
		}
	}
	conn, err = dial(ctx)
	return conn, name, err
}

// secure runs the TLS handshake, if there is to be one. A connection that fails is closed.
func (o *Options) secure(ctx context.Context, conn net.Conn, name string) (net.Conn, error) {
	if o.TLS == nil {
		return conn, nil
	}
	config := o.TLS.Clone()
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS13
	}
	if config.ServerName == "" {
		config.ServerName = name
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is what matters
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return secured, nil
}
