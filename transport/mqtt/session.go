package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/lensward/lensward/transport"
)

var (
	// ErrClosed is the end of a session that its owner closed.
	ErrClosed = errors.New("the session was closed")
	// ErrFlooded is the end of a session whose hub sent more than was read.
	ErrFlooded = errors.New("the hub sends more than can be read")

	errSubscription = errors.New("the broker denied the subscription")
)

const (
	subscriptionDenied = 0x80        // MQTT 3.1.1, section 3.9.3
	farewell           = time.Second // for a goodbye at the end
)

// Session is one connection to a hub. Its methods may be called from several
// goroutines. It is over when Done is closed, and must be closed in any case.
type Session struct {
	opts   Options
	client paho.Client
	guard  *guard
	down   chan transport.Message
	jobs   chan job
	writer sync.WaitGroup

	closing sync.Once
	ending  sync.Once
	done    chan struct{} // closed when it is over
	err     error         // why; set before done is closed
}

// job is one message on its way to the writer.
type job struct {
	topic   string
	payload []byte
	sent    chan error // takes one
}

// Dial connects, subscribes to what the hub says to this device, and gives the session.
// An error is a *ConnectError, or says which option is wrong.
func Dial(ctx context.Context, opts Options) (*Session, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, opts.ConnectTimeout)
	defer cancel()
	conn, name, err := opts.open(ctx)
	if err != nil {
		return nil, &ConnectError{Err: err}
	}
	if conn, err = opts.secure(ctx, conn, name); err != nil {
		return nil, &ConnectError{Stood: true, Err: err}
	}
	s := newSession(opts, conn)
	// Whatever paho waits for, it stops waiting when the connection is gone.
	stop := context.AfterFunc(ctx, func() { s.guard.kill(context.Cause(ctx)) })
	code, err := s.connect(ctx)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.abandon(err)
		return nil, &ConnectError{Code: code, Stood: true, Err: err}
	}
	if opts.Route != nil {
		opts.Route.done()
	}
	s.writer.Go(s.write)
	return s, nil
}

func newSession(opts Options, conn net.Conn) *Session {
	s := &Session{
		opts:  opts,
		guard: newGuard(conn, Topic(opts.Device, TopicDown), opts.WriteTimeout),
		down:  make(chan transport.Message, opts.Depth),
		jobs:  make(chan job),
		done:  make(chan struct{}),
	}
	offline, err := json.Marshal(transport.Status{})
	if err != nil {
		panic(err) // a struct of plain fields
	}
	s.client = paho.NewClient(paho.NewClientOptions().
		AddBroker("tcp://"+opts.Device.String()[:8]). // never dialled: the connection is open
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return s.guard, nil }).
		SetClientID(opts.Device.String()).
		SetProtocolVersion(4). // 3.1.1, and no second try as 3.1
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetStore(paho.NewMemoryStore()).
		SetOrderMatters(false).
		SetBinaryWill(Topic(opts.Device, TopicStatus), offline, 0, false).
		SetConnectTimeout(opts.ConnectTimeout).
		SetWriteTimeout(opts.WriteTimeout).
		SetKeepAlive(opts.KeepAlive).
		SetPingTimeout(opts.KeepAlive).
		SetDefaultPublishHandler(s.receive).
		SetConnectionLostHandler(func(_ paho.Client, err error) { s.end(err) }))
	return s
}

// connect makes the MQTT connection and the subscription. The code is the broker's
// answer if it refused.
func (s *Session) connect(ctx context.Context) (code byte, err error) {
	connect := s.client.Connect()
	<-connect.Done() // ends with the connection at the latest
	if err := connect.Error(); err != nil {
		s.end(err) // paho has nothing under way
		if t, ok := connect.(*paho.ConnectToken); ok && t.ReturnCode() < 0x80 {
			code = t.ReturnCode()
		}
		return code, err
	}
	topic := s.guard.down
	subscribe := s.client.Subscribe(topic, 0, nil)
	select {
	case <-subscribe.Done():
	case <-s.done:
		return 0, s.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	if err := subscribe.Error(); err != nil {
		return 0, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	if t, ok := subscribe.(*paho.SubscribeToken); !ok || t.Result()[topic] == subscriptionDenied {
		return 0, fmt.Errorf("subscribe to %s: %w", topic, errSubscription)
	}
	return 0, nil
}

// receive is called by paho for each message, from a goroutine of its own. It must not
// block, and must not publish.
func (s *Session) receive(_ paho.Client, p paho.Message) {
	m, err := transport.ParseMessage(p.Payload())
	switch {
	case errors.Is(err, transport.ErrUnknownType):
		return // a newer hub's
	case err != nil:
		m = transport.Message{Type: transport.Unreadable, Detail: err.Error()}
	}
	select {
	case s.down <- m:
	default:
		s.guard.kill(ErrFlooded)
	}
}

// write hands messages to paho one by one. paho may block in Publish itself, for as
// long as the write timeout; nobody but this goroutine waits for that.
func (s *Session) write() {
	for {
		select {
		case j := <-s.jobs:
			token := s.client.Publish(j.topic, 0, false, j.payload)
			select {
			case <-token.Done():
				j.sent <- token.Error()
			case <-s.done:
				return
			}
		case <-s.done:
			return
		}
	}
}

// publish returns when the message was written to the connection, which says nothing of
// its arrival. When ctx ends it first, the message may or may not have gone out.
func (s *Session) publish(ctx context.Context, word string, payload []byte, limit int) error {
	if len(payload) > limit {
		return fmt.Errorf("publish %s: %d bytes, at most %d are allowed", word, len(payload), limit)
	}
	j := job{topic: Topic(s.opts.Device, word), payload: payload, sent: make(chan error, 1)}
	select {
	case s.jobs <- j:
	case <-s.done:
		return fmt.Errorf("publish %s: %w", word, s.err)
	case <-ctx.Done():
		return fmt.Errorf("publish %s: %w", word, ctx.Err())
	}
	select {
	case err := <-j.sent:
		if err != nil {
			return fmt.Errorf("publish %s: %w", word, err)
		}
		return nil
	case <-s.done:
		return fmt.Errorf("publish %s: %w", word, s.err)
	case <-ctx.Done():
		return fmt.Errorf("publish %s: %w", word, ctx.Err())
	}
}

// PublishRecord sends the ownership record, at most transport.MaxRecord bytes.
func (s *Session) PublishRecord(ctx context.Context, record []byte) error {
	return s.publish(ctx, TopicRecord, record, transport.MaxRecord)
}

// PublishItem sends a whole sealed item, at most transport.MaxSmallItem bytes.
func (s *Session) PublishItem(ctx context.Context, item []byte) error {
	return s.publish(ctx, TopicItem, item, transport.MaxSmallItem)
}

// PublishWant asks where an item may be put.
func (s *Session) PublishWant(ctx context.Context, w transport.Want) error {
	return s.publishJSON(ctx, TopicWant, w)
}

// PublishStatus says how the device is.
func (s *Session) PublishStatus(ctx context.Context, st transport.Status) error {
	return s.publishJSON(ctx, TopicStatus, st)
}

// PublishAnswer says what became of a letter.
func (s *Session) PublishAnswer(ctx context.Context, a transport.Answer) error {
	return s.publishJSON(ctx, TopicAnswer, a)
}

func (s *Session) publishJSON(ctx context.Context, word string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", word, err)
	}
	return s.publish(ctx, word, b, transport.MaxMessage)
}

// Down gives the hub's messages, in no promised order. It is never closed: watch Done.
func (s *Session) Down() <-chan transport.Message { return s.down }

// Done is closed when the session is over.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session is over, or nil while it is not.
func (s *Session) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// end marks the session as over, once.
func (s *Session) end(err error) {
	s.ending.Do(func() {
		s.err = err
		close(s.done)
		s.opts.Log.Debug("mqtt session ended", slog.Any("error", err))
	})
}

// Close says goodbye where that still can be done, within a second, and waits for the
// session's goroutines. It may be called again.
func (s *Session) Close() error {
	s.closing.Do(func() {
		if s.Err() == nil {
			s.goodbye()
		}
		s.abandon(ErrClosed)
	})
	s.writer.Wait()
	return nil
}

// goodbye is what the will would say, and a DISCONNECT (MQTT 3.1.1, section 3.14), so that
// the will is not spoken. Its packet is written past paho, whose own way of leaving
// waits without need and may return before its goroutines have.
func (s *Session) goodbye() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if err := s.PublishStatus(ctx, transport.Status{}); err != nil {
		return
	}
	s.guard.blame(ErrClosed)                                 // not the broker, which hangs up on it
	_, _ = s.guard.Write([]byte{packets.Disconnect << 4, 0}) // if it fails, the will says the same
}

// abandon ends the session without a word more. paho takes the closed connection for a
// lost one, stops its goroutines, and then calls end.
func (s *Session) abandon(err error) {
	s.guard.kill(err)
	<-s.done
}
