package storm

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/mqtt"
	"github.com/lensward/lensward/transport/seal"
)

// line is a device's way to the hub. As a transport.Dialer it is the agent's own.
type line struct {
	device  seal.ID
	address string
	tls     *tls.Config
	source  net.IP
	log     *logbook
}

// tcp connects from the device's own address.
func (l *line) tcp(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: l.source}}
	return d.DialContext(ctx, "tcp", l.address)
}

// Dial opens a session, as the agent does, and notes what becomes of it.
func (l *line) Dial(ctx context.Context) (transport.Session, error) {
	l.log.begin()
	s, err := mqtt.Dial(ctx, mqtt.Options{Device: l.device, Address: l.address, TLS: l.tls, Dial: l.tcp})
	if err != nil {
		l.log.failed(err)
		return nil, err
	}
	return &watched{Session: s, log: l.log}, nil
}

// watched is a session of which is noted what it sends, and its end: before the hub
// admitted the device it is a failed connect.
type watched struct {
	transport.Session
	log   *logbook
	items int // sent; the delivery loop's alone, which publishes from one goroutine
}

// ahead is how many items go ahead of a storm's backlog in each session: the newest
// picture, and the checkpoint of the connect.
const ahead = 2

// PublishItem sends an item.
func (w *watched) PublishItem(ctx context.Context, item []byte) error {
	if w.items++; w.items > ahead {
		w.log.sent()
	}
	return w.Session.PublishItem(ctx, item)
}

// Close ends the session.
func (w *watched) Close() error {
	if err := w.Err(); err != nil {
		w.log.failed(err)
	} else {
		w.log.failed(silence{})
	}
	w.log.ended()
	return w.Session.Close()
}

// silence is a hub that took the connection and did not answer in time.
type silence struct{}

// Error says so.
func (silence) Error() string { return "the hub did not answer in time" }

// Stalled is true.
func (silence) Stalled() bool { return true }

// handover is a Dialer that gives a session first that stands already.
type handover struct {
	transport.Dialer
	ready transport.Session
}

// Dial gives the session that stands, and then new ones.
func (h *handover) Dial(ctx context.Context) (transport.Session, error) {
	if s := h.ready; s != nil {
		h.ready = nil
		return s, nil
	}
	return h.Dialer.Dial(ctx)
}
