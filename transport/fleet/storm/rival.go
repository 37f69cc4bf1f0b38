package storm

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/mqtt"
)

// rival is what most devices are: one paho client that reconnects by itself, with
// paho's own settings, for as long as the device lives. As a transport.Dialer it gives a
// session for each of the client's connections, and decides nothing.
type rival struct {
	*line
	ctx    context.Context // the device's life: paho's client has none of its own
	client paho.Client
	up     chan *rivalSession // the newest connection, if nobody has taken it yet

	mu      sync.Mutex
	current *rivalSession // the connection that stands, nil for none
}

func newRival(ctx context.Context, l *line) *rival {
	r := &rival{line: l, ctx: ctx, up: make(chan *rivalSession, 1)}
	r.client = paho.NewClient(paho.NewClientOptions().
		AddBroker("ssl://" + l.address).
		SetClientID(l.device.String()).
		SetProtocolVersion(4). // else each refusal is tried twice
		SetAutoReconnect(true).
		SetConnectRetry(true).
		SetOrderMatters(false).
		SetCustomOpenConnectionFn(r.open).
		SetOnConnectHandler(func(paho.Client) { r.connected() }).
		SetConnectionLostHandler(func(_ paho.Client, err error) { r.lost(err) }))
	return r
}

// connected is called by paho for each connection, from a goroutine of its own.
func (r *rival) connected() {
	s := &rivalSession{rival: r, down: make(chan transport.Message, 64), done: make(chan struct{})}
	r.mu.Lock()
	r.current = s
	r.mu.Unlock()
	if err := s.subscribe(); err != nil {
		r.log.failed(err)
		s.end(err)
		return
	}
	select {
	case <-r.up: // one that is over
	default:
	}
	select {
	case r.up <- s:
	case <-r.ctx.Done():
	}
}

// lost is called by paho when a connection is gone.
func (r *rival) lost(err error) {
	r.log.failed(err)
	r.log.ended()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		r.current.end(err)
	}
}

// open is every connect of paho's.
func (r *rival) open(*url.URL, paho.ClientOptions) (net.Conn, error) {
	r.log.begin()
	conn, err := r.tcp(r.ctx)
	if err != nil {
		r.log.failed(err)
		return nil, err
	}
	config := r.tls.Clone()
	config.ServerName, _, _ = net.SplitHostPort(r.address)
	secured := tls.Client(conn, config)
	ctx, cancel := context.WithTimeout(r.ctx, paho.NewClientOptions().ConnectTimeout)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		r.log.failed(err)
		_ = conn.Close() // the handshake's error is what matters
		return nil, err
	}
	return secured, nil
}

// Dial waits for paho's next connection.
func (r *rival) Dial(ctx context.Context) (transport.Session, error) {
	asked := r.client.Connect() // does nothing while paho connects, or is about to
	failed := asked.Done()
	for {
		select {
		case s := <-r.up:
			if s.Err() == nil {
				return s, nil
			}
		case <-failed:
			if err := asked.Error(); err != nil {
				return nil, err
			}
			failed = nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// rivalSession is one of paho's connections, as a transport.Session.
type rivalSession struct {
	rival *rival
	down  chan transport.Message

	once sync.Once
	done chan struct{}
	err  error
}

func (s *rivalSession) subscribe() error {
	t := s.rival.client.Subscribe(mqtt.Topic(s.rival.device, mqtt.TopicDown), 0, s.receive)
	select {
	case <-t.Done():
		return t.Error()
	case <-s.done:
		return s.err
	case <-s.rival.ctx.Done():
		return s.rival.ctx.Err()
	}
}

func (s *rivalSession) receive(_ paho.Client, p paho.Message) {
	m, err := transport.ParseMessage(p.Payload())
	if err != nil {
		return
	}
	select {
	case s.down <- m:
	case <-s.done:
	}
}

func (s *rivalSession) publish(ctx context.Context, word string, payload []byte) error {
	t := s.rival.client.Publish(mqtt.Topic(s.rival.device, word), 0, false, payload)
	select {
	case <-t.Done():
		if err := t.Error(); err != nil {
			return fmt.Errorf("publish %s: %w", word, err)
		}
		return nil
	case <-s.done:
		return fmt.Errorf("publish %s: %w", word, s.err)
	case <-ctx.Done():
		return fmt.Errorf("publish %s: %w", word, ctx.Err())
	}
}

func (s *rivalSession) publishJSON(ctx context.Context, word string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", word, err)
	}
	return s.publish(ctx, word, b)
}

// PublishRecord sends the ownership record.
func (s *rivalSession) PublishRecord(ctx context.Context, b []byte) error {
	return s.publish(ctx, mqtt.TopicRecord, b)
}

// PublishItem sends a whole item.
func (s *rivalSession) PublishItem(ctx context.Context, b []byte) error {
	return s.publish(ctx, mqtt.TopicItem, b)
}

// PublishWant asks where an item may be put.
func (s *rivalSession) PublishWant(ctx context.Context, w transport.Want) error {
	return s.publishJSON(ctx, mqtt.TopicWant, w)
}

// PublishStatus says how the device is.
func (s *rivalSession) PublishStatus(ctx context.Context, st transport.Status) error {
	return s.publishJSON(ctx, mqtt.TopicStatus, st)
}

// PublishAnswer says what became of a letter.
func (s *rivalSession) PublishAnswer(ctx context.Context, a transport.Answer) error {
	return s.publishJSON(ctx, mqtt.TopicAnswer, a)
}

// Down gives the hub's messages.
func (s *rivalSession) Down() <-chan transport.Message { return s.down }

// Done is closed when the session is over.
func (s *rivalSession) Done() <-chan struct{} { return s.done }

// Err says why the session is over, or nil while it is not.
func (s *rivalSession) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

func (s *rivalSession) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.done)
	})
}

// errGivenUp ends a session that the delivery loop closed.
var errGivenUp = errors.New("the session was given up")

// Close ends the session; if its connection still stands, paho hangs up and connects
// again at the next Dial.
func (s *rivalSession) Close() error {
	const quiesce = 250 // milliseconds, paho's own examples' value
	if s.Err() == nil {
		s.rival.log.failed(silence{})
		s.rival.log.ended()
		s.end(errGivenUp)
		s.rival.client.Disconnect(quiesce)
	}
	return nil
}
