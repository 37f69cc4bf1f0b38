package hub

import (
	"crypto/tls"
	"encoding/json"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/seal"
)

// pair is a hub with two cameras of two owners, both connected.
func pair(t *testing.T) (*running, *camera, *camera, *link, *link) {
	t.Helper()
	h := startHub(t, Options{})
	a, b := newCamera(t, newOwner(t)), newCamera(t, newOwner(t))
	return h, a, b, attach(t, h, a), attach(t, h, b)
}

func TestDeviceReachesOnlyItsOwnTopics(t *testing.T) {
	h, a, b, la, lb := pair(t)

	// A publishes an item of B's on B's topic, as B would: it must not arrive.
	it := b.sealed(t, seal.KindThumbnail, 100)
	for _, qos := range []byte{0, 1} {
		await(t, "publish elsewhere", la.client.Publish(lb.topic(topicItem), qos, false, it.Bytes()))
		await(t, "publish elsewhere", la.client.Publish(lb.topic(topicStatus), qos, true, []byte(`{"online":true}`)))
		await(t, "answer for the other", la.client.Publish(lb.topic(topicAnswer), qos, false, []byte(`{"hash":"`+strings.Repeat("0f", 32)+`","ok":true}`)))
		await(t, "publish to the other's answers", la.client.Publish(lb.topic(topicDown), qos, true, []byte(`{"type":"receipt"}`)))
		await(t, "publish to its own answers", la.client.Publish(la.topic(topicDown), qos, true, []byte(`{"type":"receipt"}`)))
		await(t, "delete a stream", la.client.Publish("$JS/API/STREAM/DELETE/LENSWARD_ITEMS", qos, false, []byte("{}")))
		await(t, "write to a stream", la.client.Publish("ward/seen/"+b.id.String(), qos, false, []byte("1")))
	}
	// A's own item comes after those on the same connection, and B's own after that:
	// had any of those passed, an answer to it would be first.
	la.deliver(t, a.sealed(t, seal.KindThumbnail, 100))
	lb.deliver(t, it)
	la.quiet(t)
	lb.quiet(t)
	v := signIn(t, h, b.owner.key, b.owner.id)
	if d := v.devices(t); len(d) != 1 || d[0].Online {
		t.Errorf("B's devices are %+v: A spoke for B", d)
	}
	// What A retained on B's topics would greet B's next session.
	lb = connect(t, h, b, enrol(t, h, b.key))
	lb.quiet(t)
}

// quiet checks that the hub has said nothing to a device that was not expected:
// a question is answered by its answer at once.
func (l *link) quiet(t *testing.T) {
	t.Helper()
	b, err := json.Marshal(want{Ref: seal.Ref{Device: l.id, Epoch: 9, Chain: 9, Seq: 9}, Hash: seal.Hash{1}, Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	l.publish(t, topicWant, b)
	if d := l.next(t); d.Type != downGrant {
		t.Errorf("unexpected message to the device: %+v", d)
	}
}

func TestDeviceSubscribesOnlyToItsAnswers(t *testing.T) {
	_, _, _, la, lb := pair(t)
	for _, filter := range []string{
		lb.topic(topicDown), lb.topic(topicAnswer), la.topic(topicAnswer), la.topic(topicItem), la.topic("+"), la.topic("#"), "lensward/1/+/down", "#", "+/1/#",
		"$JS/#", "$SYS/#", "ward/#", "_INBOX/#", "$MQTT/#",
	} {
		tok := la.client.Subscribe(filter, 0, nil)
		if !tok.WaitTimeout(patience) {
			t.Fatalf("subscribe to %s: no answer", filter)
		}
		if tok.(*mqtt.SubscribeToken).Result()[filter] != 0x80 {
			t.Errorf("subscribing to %s is granted", filter)
		}
	}
}

func TestClientIDIsTheCertificates(t *testing.T) {
	h, a, b, _, lb := pair(t)
	certA := enrol(t, h, a.key)

	refused := func(what string, o *mqtt.ClientOptions) {
		t.Helper()
		c := mqtt.NewClient(o)
		tok := c.Connect()
		if !tok.WaitTimeout(patience) {
			t.Fatalf("%s: no answer", what)
		}
		if tok.Error() == nil {
			c.Disconnect(0)
			t.Errorf("%s: connected", what)
		}
	}
	refused("A with B's client ID", pahoOptions(h, certA, b.id.String()))
	refused("A with B's user name", pahoOptions(h, certA, a.id.String()).SetUsername(b.id.String()))
	refused("A with the hub's user name", pahoOptions(h, certA, a.id.String()).SetUsername("hub").SetPassword("x"))
	refused("A with a free client ID", pahoOptions(h, certA, "somebody"))
	refused("A without a client ID", pahoOptions(h, certA, ""))
	refused("nobody, with A's client ID", pahoOptions(h, tls.Certificate{}, a.id.String()))
	refused("a server certificate as a client's", pahoOptions(h, serverCert(t, h), a.id.String()))
	refused("a certificate of another CA", pahoOptions(h, foreignCert(t, b), b.id.String()))

	select {
	case <-lb.lost:
		t.Error("B was disconnected")
	default:
	}
	lb.deliver(t, b.sealed(t, seal.KindThumbnail, 100))
}

func serverCert(t *testing.T, h *running) tls.Certificate {
	t.Helper()
	c, err := h.authority.Server([]string{"localhost"}, time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func foreignCert(t *testing.T, c *camera) tls.Certificate {
	t.Helper()
	dir, err := durable.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := authority.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, chain, err := ca.Enrol(request(t, c.key, c.id.String()))
	if err != nil {
		t.Fatal(err)
	}
	return chainOf(chain, c.key)
}

func TestWillOnlyForItsOwnStatus(t *testing.T) {
	h := startHub(t, Options{})
	o := newOwner(t)
	a, b := newCamera(t, o), newCamera(t, o)
	lb := attach(t, h, b)
	lb.publish(t, topicStatus, []byte(`{"online":true}`))
	v := signIn(t, h, o.key, o.id)
	v.waitOnline(t, b.id, true)

	// A's will is on B's status: its broken connection must not take B offline.
	certA := enrol(t, h, a.key)
	la := connect(t, h, a, certA, func(o *mqtt.ClientOptions) {
		o.SetWill(lb.topic(topicStatus), `{"online":false}`, 0, false)
	})
	la.publish(t, topicRecord, a.record.Bytes())
	la.next(t)
	la.publish(t, topicStatus, []byte(`{"online":true}`))
	v.waitOnline(t, a.id, true)
	breakOff(t, la)

	// A's will on its own status does what it should.
	la = connect(t, h, a, certA, func(o *mqtt.ClientOptions) {
		o.SetWill(la.topic(topicStatus), `{"online":false}`, 0, false)
	})
	la.publish(t, topicStatus, []byte(`{"online":true}`))
	v.waitOnline(t, a.id, true)
	breakOff(t, la)
	v.waitOnline(t, a.id, false)
	v.waitOnline(t, b.id, true)
}

// breakOff ends a session without a word, as a lost link does.
func breakOff(t *testing.T, l *link) {
	t.Helper()
	if err := l.conn.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNewSessionTakesItsOwnPlace(t *testing.T) {
	h := startHub(t, Options{})
	a := newCamera(t, newOwner(t))
	first := attach(t, h, a)
	second := connect(t, h, a, enrol(t, h, a.key))
	select {
	case <-first.lost:
	case <-time.After(patience):
		t.Fatal("the older session goes on")
	}
	second.deliver(t, a.sealed(t, seal.KindThumbnail, 100))
}

func TestPacketTooLargeEndsTheConnection(t *testing.T) {
	_, _, _, la, _ := pair(t)
	la.client.Publish(la.topic(topicItem), 0, false, make([]byte, 200<<10))
	select {
	case <-la.lost:
	case <-time.After(patience):
		t.Fatal("the connection goes on")
	}
}
