package mqtttest

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/c", false},
		{"a/b", "a/b/c", false},
		{"a/b/c", "a/b", false},
		{"a/+", "a/b", true},
		{"a/+", "a", false},
		{"a/+/c", "a/b/c", true},
		{"a/+/c", "a/b/d", false},
		{"a/#", "a/b/c", true},
		{"a/#", "a", true},
		{"#", "a/b", true},
		{"a/#", "b/a", false},
	} {
		if got := Matches(c.filter, c.topic); got != c.want {
			t.Errorf("Matches(%q, %q) = %v", c.filter, c.topic, got)
		}
	}
}

// raw is a client that speaks in packets.
type raw struct {
	t *testing.T
	net.Conn
}

func dial(t *testing.T, b *Broker, id, will string) raw {
	t.Helper()
	conn, err := b.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c := raw{t, conn}
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion = "MQTT", 4
	connect.ClientIdentifier, connect.CleanSession, connect.Keepalive = id, true, 10
	if will != "" {
		connect.WillFlag, connect.WillTopic, connect.WillMessage = true, will, []byte("gone")
	}
	c.write(connect)
	return c
}

func (c raw) write(p packets.ControlPacket) {
	c.t.Helper()
	if err := p.Write(c); err != nil {
		c.t.Fatal(err)
	}
}

func read[P packets.ControlPacket](c raw) P {
	c.t.Helper()
	p, err := packets.ReadPacket(c)
	if err != nil {
		c.t.Fatal(err)
	}
	want, ok := p.(P)
	if !ok {
		c.t.Fatalf("got %s, want a %T", p, want)
	}
	return want
}

func TestBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Broker{Admit: func(id string) byte {
			if id == "stranger" {
				return packets.ErrRefusedNotAuthorised
			}
			return packets.Accepted
		}}
		defer b.Close()
		said := make(chan string, 8)
		b.Watch("#", func(topic string, payload []byte) { said <- topic + "=" + string(payload) })

		if ack := read[*packets.ConnackPacket](dial(t, b, "stranger", "")); ack.ReturnCode != packets.ErrRefusedNotAuthorised {
			t.Errorf("a stranger was answered %d", ack.ReturnCode)
		}

		one, two := dial(t, b, "one", "one/will"), dial(t, b, "two", "two/will")
		read[*packets.ConnackPacket](one)
		read[*packets.ConnackPacket](two)

		sub := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
		sub.MessageID, sub.Topics, sub.Qoss = 7, []string{"one/+"}, []byte{1}
		two.write(sub)
		if ack := read[*packets.SubackPacket](two); ack.MessageID != 7 || len(ack.ReturnCodes) != 1 || ack.ReturnCodes[0] != 0 {
			t.Errorf("subscription answered with %v", ack)
		}

		pub := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		pub.TopicName, pub.Payload, pub.Qos, pub.MessageID = "one/a", []byte("hello"), 1, 9
		one.write(pub)
		if ack := read[*packets.PubackPacket](one); ack.MessageID != 9 {
			t.Errorf("PUBACK for %d", ack.MessageID)
		}
		if got := read[*packets.PublishPacket](two); got.TopicName != "one/a" || string(got.Payload) != "hello" || got.Qos != 0 {
			t.Errorf("delivered %v", got)
		}
		if got := <-said; got != "one/a=hello" {
			t.Errorf("watched %q", got)
		}

		two.write(packets.NewControlPacket(packets.Pingreq))
		read[*packets.PingrespPacket](two)

		// Two says goodbye, one falls silent: only one's will is published.
		two.write(packets.NewControlPacket(packets.Disconnect))
		start := time.Now()
		if got := <-said; got != "one/will=gone" {
			t.Errorf("watched %q", got)
		}
		if d := time.Since(start); d != 15*time.Second {
			t.Errorf("a silent client was cut off after %v, want 1.5 keepalives", d)
		}
		if n := b.Clients(); n != 0 {
			t.Errorf("%d clients are left", n)
		}
	})
}
