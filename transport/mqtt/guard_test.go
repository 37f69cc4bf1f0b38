package mqtt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/lensward/lensward/transport"
)

const (
	connack = "\x20\x02\x00\x00"
	suback  = "\x90\x03\x00\x01\x00" // paho counts packets from 1
)

func publish(topic, payload string) string {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	body = append(append(body, topic...), payload...)
	return "\x30" + string(binary.AppendUvarint(nil, uint64(len(body)))) + string(body)
}

// scripted gives a session whose broker answers the CONNECT and the SUBSCRIBE with the
// bytes given, and then does what the test does with its end of the pipe.
func scripted(t *testing.T, toConnect, toSubscribe string) (*Session, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	go func() {
		for _, answer := range []string{toConnect, toSubscribe} {
			if _, err := packets.ReadPacket(far); err != nil {
				return
			}
			if _, err := io.WriteString(far, answer); err != nil {
				return
			}
		}
	}()
	s, err := Dial(t.Context(), Options{Device: device(), Dial: func(context.Context) (net.Conn, error) { return near, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return s, far
}

// What a hostile broker may send after the subscription: the session ends by the rule
// that was broken, and nothing else happens.
func TestHostileBroker(t *testing.T) {
	down := Topic(device(), TopicDown)
	for name, sent := range map[string]string{
		"a packet of 256 MiB":       "\x30\xff\xff\xff\x7f",
		"a length without end":      "\x30\xff\xff\xff\xff\xff\x01",
		"a payload over 96 KiB":     publish(down, strings.Repeat("x", transport.MaxLetterMessage+1)),
		"another topic":             publish(down+"x", "{}"),
		"no topic":                  "\x30\x00",
		"a topic beyond the packet": "\x30\x03\xff\xffx",
		"QoS 1":                     "\x32" + publish(down, "ab{}")[1:],
		"a second CONNACK":          connack,
		"a SUBACK of two codes":     "\x90\x04\x00\x02\x00\x00",
		"a SUBACK of none":          "\x90\x02\x00\x02",
		"a PUBACK":                  "\x40\x02\x00\x01",
		"an UNSUBACK":               "\xb0\x02\x00\x01",
		"a PINGRESP with a body":    "\xd0\x01\x00",
		"a CONNECT":                 "\x10\x00",
		"type 0":                    "\x00\x00",
		"type 15":                   "\xf0\x00",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, far := scripted(t, connack, suback)
				defer far.Close()
				go func() { _, _ = io.WriteString(far, sent) }() // cut short by the session's end
				<-s.Done()
				if !errors.Is(s.Err(), ErrProtocol) {
					t.Errorf("the session ended with %v", s.Err())
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What it may send in place of its CONNACK.
func TestHostileGreeting(t *testing.T) {
	for name, sent := range map[string]string{
		"a SUBACK":           suback,
		"a code of 200":      "\x20\x02\x00\xc8",
		"flags":              "\x20\x02\x80\x00",
		"a long CONNACK":     "\x20\x03\x00\x00\x00",
		"a message too soon": publish(Topic(device(), TopicDown), "{}"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer far.Close()
				go func() {
					if _, err := packets.ReadPacket(far); err == nil {
						_, _ = io.WriteString(far, sent) // cut short by the session's end
					}
				}()
				_, err := Dial(t.Context(), Options{Device: device(), Dial: func(context.Context) (net.Conn, error) { return near, nil }})
				var refused *ConnectError
				if !errors.Is(err, ErrProtocol) || !errors.As(err, &refused) || !refused.Refused() {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// memory is a connection that gives what it holds.
type memory struct {
	net.Conn
	io.Reader
}

func (m memory) Read(p []byte) (int, error)      { return m.Reader.Read(p) }
func (m memory) SetReadDeadline(time.Time) error { return nil }
func (m memory) Close() error                    { return nil }

// Whatever a broker sends, paho sees only packets that a device takes, and the guard
// holds no more than one of them.
func FuzzGuard(f *testing.F) {
	down := Topic(device(), TopicDown)
	f.Add([]byte(connack + suback + publish(down, `{"type":"receipt"}`) + "\xd0\x00"))
	f.Add([]byte(connack + "\x90\x04\x00\x02\x00\x00"))
	f.Add([]byte(connack + "\x30\xff\xff\xff\x7f"))
	f.Add([]byte(connack + publish(down, strings.Repeat("x", transport.MaxLetterMessage))))
	f.Add([]byte("\x30\x80\x80\x80\x00"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		g := newGuard(memory{Reader: bytes.NewReader(sent)}, down, time.Second)
		for n := 0; ; n++ {
			p, err := packets.ReadPacket(g)
			if err != nil {
				break
			}
			switch p := p.(type) {
			case *packets.ConnackPacket:
				if n != 0 || p.ReturnCode > 5 {
					t.Fatalf("packet %d is %v", n, p)
				}
			case *packets.SubackPacket:
				if len(p.ReturnCodes) != 1 {
					t.Fatalf("let through %v", p)
				}
			case *packets.PublishPacket:
				if p.TopicName != down || len(p.Payload) > transport.MaxLetterMessage || p.Qos != 0 {
					t.Fatalf("let through %v", p)
				}
			case *packets.PingrespPacket:
			default:
				t.Fatalf("let through %v", p)
			}
		}
		if most := 5 + 2 + len(down) + transport.MaxLetterMessage; cap(g.packet) > 2*most {
			t.Fatalf("the guard holds %d bytes", cap(g.packet))
		}
	})
}
