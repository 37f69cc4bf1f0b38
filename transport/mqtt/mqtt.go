// Package mqtt is a device's session with a hub over MQTT 3.1.1: one connection,
// from its first byte to its last.
//
// It owns the topics, the client that speaks the protocol (paho, made anew for each
// session) and the limits on what a broker may send. It never reconnects, stores or
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
	// TLS holds the device's certificate and the authorities that sign the broker's.
	// Versions below 1.3 are taken only if MinVersion says so. ServerName defaults to
	// the host in Address.
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
	Err  error
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

// open gives the connection, secured.
func open(ctx context.Context, o Options) (net.Conn, error) {
	dial := o.Dial
	if dial == nil {
		dial = func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", o.Address)
		}
	}
	conn, err := dial(ctx)
	if err != nil || o.TLS == nil {
		return conn, err
	}
	config := o.TLS.Clone()
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS13
	}
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(o.Address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read the broker's address: %w", err), conn.Close())
		}
		config.ServerName = host
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is what matters
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return secured, nil
}
