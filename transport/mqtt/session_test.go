package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/mqtt/mqtttest"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
)

func device() seal.ID { return seal.KeyID([]byte("a device")) }

// log is what a broker heard, in order.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) watch(topic string, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.TrimPrefix(topic, Topic(device(), ""))+" "+string(payload))
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

func connect(t *testing.T, b *mqtttest.Broker, change ...func(*Options)) *Session {
	t.Helper()
	opts := Options{Device: device(), Dial: b.Dial}
	for _, c := range change {
		c(&opts)
	}
	s, err := Dial(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard log
		b := &mqtttest.Broker{}
		defer b.Close()
		b.Watch(Topic(device(), "+"), heard.watch)
		s := connect(t, b)
		ref := seal.Ref{Device: device(), Epoch: 1, Chain: 2, Seq: 3}
		must(t, s.PublishRecord(t.Context(), []byte("record")))
		must(t, s.PublishItem(t.Context(), []byte("item")))
		must(t, s.PublishWant(t.Context(), transport.Want{Ref: ref, Hash: seal.Hash{1}, Size: 99}))
		must(t, s.PublishStatus(t.Context(), transport.Status{Online: true, Firmware: "1.0"}))

		synctest.Wait() // until the broker has it all
		b.Publish(Topic(device(), TopicDown), fmt.Appendf(nil, `{"type":"receipt","ref":%q,"hash":%q}`, ref, seal.Hash{1}))
		if m := <-s.Down(); m.Type != transport.Receipt || m.Ref != ref || m.Hash != (seal.Hash{1}) {
			t.Errorf("read %+v", m)
		}
		b.Publish(Topic(device(), TopicDown), []byte(`{"type":"from-the-future","ref":7}`))
		b.Publish(Topic(device(), TopicDown), []byte(`{"type":"receipt"`))
		if m := <-s.Down(); m.Type != transport.Unreadable || m.Detail == "" {
			t.Errorf("read %+v in place of nonsense", m)
		}

		time.Sleep(10 * time.Minute) // of pings
		synctest.Wait()
		if err := s.Err(); err != nil {
			t.Fatalf("the session did not last: %v", err)
		}
		must(t, s.Close())
		must(t, s.Close())
		if !errors.Is(s.Err(), ErrClosed) {
			t.Errorf("closed, Err is %v", s.Err())
		}
		if err := s.PublishItem(t.Context(), nil); !errors.Is(err, ErrClosed) {
			t.Errorf("publishing after Close: %v", err)
		}
		want := strings.Join([]string{
			"record record",
			"item item",
			`want {"ref":"` + ref.String() + `","hash":"` + seal.Hash{1}.String() + `","size":99}`,
			`status {"online":true,"firmware":"1.0"}`,
			`down {"type":"receipt","ref":"` + ref.String() + `","hash":"` + seal.Hash{1}.String() + `"}`,
			`down {"type":"from-the-future","ref":7}`,
			`down {"type":"receipt"`,
			`status {"online":false}`, // the farewell alone: a good-bye leaves no will
		}, "\n")
		synctest.Wait()
		if heard.String() != want {
			t.Errorf("the broker heard\n%s\nwant\n%s", heard.String(), want)
		}
	})
}

// A lost connection ends the session at once, and the broker speaks the will.
func TestLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard log
		b := &mqtttest.Broker{}
		defer b.Close()
		b.Watch(Topic(device(), TopicStatus), heard.watch)
		s := connect(t, b)
		if !b.Drop(device().String()) {
			t.Fatal("the broker does not know the device")
		}
		<-s.Done()
		if !errors.Is(s.Err(), io.EOF) {
			t.Errorf("Err is %v", s.Err())
		}
		if err := s.PublishItem(t.Context(), []byte("x")); !errors.Is(err, io.EOF) {
			t.Errorf("publish after the loss: %v", err)
		}
		synctest.Wait()
		if got := heard.String(); got != `status {"online":false}` {
			t.Errorf("the broker heard %q", got)
		}
		must(t, s.Close())
	})
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		broker  *mqtttest.Broker
		code    byte
		connect int
	}{
		"server unavailable":  {&mqtttest.Broker{Admit: func(string) byte { return 3 }}, 3, 1},
		"not authorised":      {&mqtttest.Broker{Admit: func(string) byte { return 5 }}, 5, 1},
		"code of no meaning":  {&mqtttest.Broker{Admit: func(string) byte { return 77 }}, 0, 1},
		"subscription denied": {&mqtttest.Broker{Allow: func(string, string) bool { return false }}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := c.broker
				defer b.Close()
				var connects int
				_, err := Dial(t.Context(), Options{Device: device(), Dial: func(ctx context.Context) (net.Conn, error) {
					connects++
					return b.Dial(ctx)
				}})
				var refused *ConnectError
				if !errors.As(err, &refused) || refused.Code != c.code || !refused.Refused() {
					t.Errorf("got %#v", err)
				}
				if recovery.Classify(err) != recovery.Refused {
					t.Errorf("%v counts as %v", err, recovery.Classify(err))
				}
				if connects != c.connect {
					t.Errorf("%d connections, want %d", connects, c.connect)
				}
			})
		})
	}
}

// A server that takes the connection and says nothing costs the connect timeout.
func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			if _, err := io.Copy(io.Discard, far); err != nil {
				t.Errorf("read: %v", err)
			}
		}()
		start := time.Now()
		_, err := Dial(t.Context(), Options{Device: device(), Dial: func(context.Context) (net.Conn, error) { return near, nil }})
		if d := time.Since(start); d != 30*time.Second {
			t.Errorf("gave up after %v", d)
		}
		if recovery.Classify(err) != recovery.Stalled {
			t.Errorf("%v counts as %v", err, recovery.Classify(err))
		}
	})
}

func TestDialEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := Dial(ctx, Options{Device: device(), Dial: func(context.Context) (net.Conn, error) { return near, nil }})
		if err == nil || time.Since(start) > time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// A hub that sends more than is read loses the session, and nothing grows.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &mqtttest.Broker{}
		defer b.Close()
		s := connect(t, b, func(o *Options) { o.Depth = 4 })
		message := fmt.Appendf(nil, `{"type":"record-receipt","hash":%q}`, seal.Hash{1})
		for range 5 {
			b.Publish(Topic(device(), TopicDown), message)
			synctest.Wait()
		}
		<-s.Done()
		if !errors.Is(s.Err(), ErrFlooded) || len(s.Down()) != 4 {
			t.Errorf("Err is %v, %d messages wait", s.Err(), len(s.Down()))
		}
		must(t, s.Close())
	})
}

// A broker that stops reading ends the session by the write timeout, and its publisher
// may leave before that.
func TestBlockedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, far := scripted(t, connack, suback)
		defer far.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.PublishItem(ctx, []byte("into the void")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("publish: %v", err)
		}
		start := time.Now()
		<-s.Done()
		if d := time.Since(start); d != 29*time.Second {
			t.Errorf("the session ended after another %v", d)
		}
		must(t, s.Close())
	})
}

// A broker that falls silent is found out by the pings.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, far := scripted(t, connack, suback)
		go func() { _, _ = io.Copy(io.Discard, far) }() // until the session ends
		start := time.Now()
		<-s.Done()
		if d := time.Since(start); d < 30*time.Second || d > 70*time.Second {
			t.Errorf("silence was found out after %v", d)
		}
		must(t, s.Close())
	})
}

func TestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &mqtttest.Broker{}
		defer b.Close()
		s := connect(t, b)
		if s.PublishItem(t.Context(), make([]byte, transport.MaxSmallItem+1)) == nil {
			t.Error("an item that is too large was published")
		}
		must(t, s.PublishItem(t.Context(), make([]byte, transport.MaxSmallItem)))
		must(t, s.PublishRecord(t.Context(), make([]byte, transport.MaxRecord)))
		must(t, s.Close())
	})
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"no device": {Dial: (&mqtttest.Broker{}).Dial},
		"no TLS":    {Device: device(), Address: "localhost:1883"},
	} {
		if s, err := Dial(t.Context(), o); err == nil {
			t.Errorf("%s: a session", name)
			must(t, s.Close())
		}
	}
}

func TestDialerKeepsNilNil(t *testing.T) {
	s, err := (&Dialer{}).Dial(t.Context())
	if s != nil || err == nil {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestStatusOnTheWire(t *testing.T) {
	b, err := json.Marshal(transport.Status{Online: true, Firmware: "1", Conditions: []string{"spool-full"}})
	must(t, err)
	if want := `{"online":true,"firmware":"1","conditions":["spool-full"]}`; string(b) != want {
		t.Errorf("%s, want %s", b, want)
	}
}
