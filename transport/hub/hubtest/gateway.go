package hubtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/seal"
)

// MQTT 3.1.1's return codes (sections 3.2.2.3 and 3.9.3).
const (
	connAccepted      = 0
	connNotAuthorised = 5
	subGranted        = 0
	subRefused        = 0x80
)

// Gateway is the part of MQTT 3.1.1 that devices use, on an in-memory listener:
// QoS 0, clean sessions, wills, keep alive, one session a client ID. A publish
// with a higher QoS is acknowledged as brokers do, and carried at QoS 0.
type Gateway struct {
	listener *Listener

	mu       sync.Mutex
	sessions map[string]*session // by client ID
}

// NewGateway speaks MQTT on l. It is a hub.Gateway.
func NewGateway(l *Listener) *Gateway {
	return &Gateway{listener: l, sessions: make(map[string]*session)}
}

// Run accepts devices until ctx ends, then cuts them all off and waits for them.
func (g *Gateway) Run(ctx context.Context, conn *nats.Conn, config *tls.Config) error {
	defer context.AfterFunc(ctx, func() { _ = g.listener.Close() })()
	var group errgroup.Group
	for {
		c, err := g.listener.Accept()
		if err != nil {
			break
		}
		group.Go(func() error {
			s := &session{gateway: g, conn: conn, tls: tls.Server(c, config), raw: c}
			defer c.Close()
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			s.run(ctx)
			return nil
		})
	}
	return group.Wait()
}

// take makes s the session of its client ID and ends an older one, without its will.
func (g *Gateway) take(s *session) {
	g.mu.Lock()
	old := g.sessions[s.id]
	g.sessions[s.id] = s
	g.mu.Unlock()
	if old != nil {
		_ = old.raw.Close()
	}
}

// Evict ends a device's session.
func (g *Gateway) Evict(device seal.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.sessions[device.String()]; s != nil {
		_ = s.raw.Close() // it may have ended by itself
	}
}

// leave says whether s was still the session of its client ID.
func (g *Gateway) leave(s *session) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions[s.id] != s {
		return false
	}
	delete(g.sessions, s.id)
	return true
}

// session is one device's connection.
type session struct {
	gateway *Gateway
	conn    *nats.Conn
	raw     net.Conn
	tls     *tls.Conn
	id      string
	will    *packets.PublishPacket
	alive   time.Duration // 0: no keep alive

	write sync.Mutex
	down  *nats.Subscription
}

// run is the session from handshake to end. A client that breaks the protocol is
// cut off, as a broker would.
func (s *session) run(ctx context.Context) {
	if err := s.tls.HandshakeContext(ctx); err != nil {
		return
	}
	r := bufio.NewReader(s.tls)
	if err := s.connect(r); err != nil {
		return
	}
	s.gateway.take(s)
	err := s.serve(r)
	if s.down != nil {
		_ = s.down.Unsubscribe() // the connection to the broker may be gone first
	}
	if s.gateway.leave(s) && s.will != nil && !errors.Is(err, errDisconnect) && ctx.Err() == nil {
		s.publish(s.will)
	}
}

// errDisconnect is a client's farewell.
var errDisconnect = errors.New("disconnect")

// connect reads CONNECT and holds it against the certificate.
func (s *session) connect(r *bufio.Reader) error {
	p, err := packets.ReadPacket(r)
	if err != nil {
		return err
	}
	c, ok := p.(*packets.ConnectPacket)
	if !ok {
		return errors.New("the first packet is not CONNECT")
	}
	id, err := authority.DeviceID(s.tls.ConnectionState().PeerCertificates[0])
	ack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	if err != nil || c.ClientIdentifier != id.String() || c.Username != "" && c.Username != id.String() || !c.CleanSession {
		ack.ReturnCode = connNotAuthorised
		return errors.Join(s.send(ack), errors.New("not authorised"))
	}
	s.id = id.String()
	s.alive = time.Duration(c.Keepalive) * time.Second * 3 / 2
	if c.WillFlag {
		s.will = packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		s.will.TopicName, s.will.Payload = c.WillTopic, c.WillMessage
	}
	ack.ReturnCode = connAccepted
	return s.send(ack)
}

// serve handles packets until the connection ends.
func (s *session) serve(r *bufio.Reader) error {
	for {
		if s.alive > 0 {
			if err := s.raw.SetReadDeadline(time.Now().Add(s.alive)); err != nil {
				return err
			}
		}
		p, err := packets.ReadPacket(r)
		if err != nil {
			return err
		}
		switch p := p.(type) {
		case *packets.PublishPacket:
			s.publish(p)
			if p.Qos == 1 {
				ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
				ack.MessageID = p.MessageID
				err = s.send(ack)
			}
		case *packets.SubscribePacket:
			err = s.subscribe(p)
		case *packets.UnsubscribePacket:
			ack := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
			ack.MessageID = p.MessageID
			err = s.send(ack)
		case *packets.PingreqPacket:
			err = s.send(packets.NewControlPacket(packets.Pingresp))
		case *packets.DisconnectPacket:
			return errDisconnect
		default:
			return fmt.Errorf("unexpected packet %T", p)
		}
		if err != nil {
			return err
		}
	}
}

// publish carries a message to the hub, if the topic is one of the device's.
func (s *session) publish(p *packets.PublishPacket) {
	topic, ok := strings.CutPrefix(p.TopicName, "lensward/1/"+s.id+"/")
	switch {
	case !ok:
		return
	case topic == "record" || topic == "item" || topic == "want" || topic == "status" || topic == "answer":
		// Lost if the broker is gone, as anything at QoS 0.
		_ = s.conn.Publish("lensward.1."+s.id+"."+topic, p.Payload)
	}
}

// subscribe grants the device's own answers and nothing else.
func (s *session) subscribe(p *packets.SubscribePacket) error {
	ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	ack.MessageID = p.MessageID
	for _, topic := range p.Topics {
		code := byte(subRefused)
		if topic == "lensward/1/"+s.id+"/down" && s.down == nil {
			var err error
			if s.down, err = s.conn.Subscribe("lensward.1."+s.id+".down", s.deliver); err != nil {
				return err
			}
			if err := s.conn.Flush(); err != nil {
				return err
			}
			code = subGranted
		}
		ack.ReturnCodes = append(ack.ReturnCodes, code)
	}
	return s.send(ack)
}

// deliver carries a message from the hub.
func (s *session) deliver(m *nats.Msg) {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload = strings.ReplaceAll(m.Subject, ".", "/"), m.Data
	// Lost if the device is gone, as anything at QoS 0.
	_ = s.send(p)
}

func (s *session) send(p packets.ControlPacket) error {
	s.write.Lock()
	defer s.write.Unlock()
	return p.Write(s.tls)
}
