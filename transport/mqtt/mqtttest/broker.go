// Package mqtttest is a small MQTT 3.1.1 broker for tests: connect, publish at QoS 0
// and 1, subscribe with wildcards, ping, will, disconnect, and nothing that outlives a
// connection. It runs over any net.Conn, so that a device and its broker fit into one
// synctest bubble.
//
// It owns the connections that it serves. It is never part of a product: it knows
// neither permissions nor retained messages, and believes every client.
package mqtttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// queueDepth is how many packets may wait for a client that does not read.
const queueDepth = 256

// Broker serves any number of clients. The zero value is ready; its fields must be set
// before the first connection.
type Broker struct {
	// Admit answers a client's CONNECT with a return code, 0 to let it in. Default: all.
	Admit func(clientID string) byte
	// Allow says whether a client may publish or subscribe to a topic. Default: all.
	// A publish that is not allowed vanishes, as with a real broker.
	Allow func(clientID, topic string) bool

	mu      sync.Mutex
	clients map[string]*client
	watches []watch
	closed  bool
	serving sync.WaitGroup
}

// watch is a listener inside the process.
type watch struct {
	filter string
	call   func(topic string, payload []byte)
}

// client is one connection after its CONNECT.
type client struct {
	id     string
	conn   net.Conn
	out    chan packets.ControlPacket
	gone   chan struct{} // closed when it is to end
	once   sync.Once
	filter map[string]byte // topic filter to granted QoS; under the broker's mu
}

func (c *client) end() {
	c.once.Do(func() {
		close(c.gone)
		_ = c.conn.Close() // nothing depends on it
	})
}

// send queues a packet; a client that reads too slowly is cut off.
func (c *client) send(p packets.ControlPacket) {
	select {
	case c.out <- p:
	case <-c.gone:
	default:
		c.end()
	}
}

// Dial gives the client's end of a new pipe whose other end is served.
func (b *Broker) Dial(context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	if !b.begin() {
		return nil, errors.Join(net.ErrClosed, near.Close(), far.Close())
	}
	go func() {
		defer b.serving.Done()
		b.serve(far)
	}()
	return near, nil
}

// Serve serves one connection until it ends.
func (b *Broker) Serve(conn net.Conn) {
	if !b.begin() {
		_ = conn.Close() // nobody is served any more
		return
	}
	defer b.serving.Done()
	b.serve(conn)
}

func (b *Broker) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.serving.Add(1)
	return true
}

// Watch has call called for each message whose topic matches filter, in the goroutine of
// its publisher: it must not block for long. It may call Publish.
func (b *Broker) Watch(filter string, call func(topic string, payload []byte)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watches = append(b.watches, watch{filter, call})
}

// Publish sends a message at QoS 0 to every client that subscribed to its topic.
func (b *Broker) Publish(topic string, payload []byte) {
	b.mu.Lock()
	var calls []func(string, []byte)
	for _, w := range b.watches {
		if Matches(w.filter, topic) {
			calls = append(calls, w.call)
		}
	}
	for _, c := range b.clients {
		for filter := range c.filter {
			if Matches(filter, topic) {
				p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
				p.TopicName, p.Payload = topic, payload
				c.send(p)
				break
			}
		}
	}
	b.mu.Unlock()
	for _, call := range calls {
		call(topic, payload)
	}
}

// Drop cuts a client's connection, as a network would, and says whether it was there.
func (b *Broker) Drop(clientID string) bool {
	b.mu.Lock()
	c := b.clients[clientID]
	b.mu.Unlock()
	if c == nil {
		return false
	}
	c.end()
	return true
}

// Clients is how many are connected.
func (b *Broker) Clients() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.clients)
}

// Close cuts every connection, refuses new ones and waits for the goroutines.
func (b *Broker) Close() {
	b.mu.Lock()
	b.closed = true
	for _, c := range b.clients {
		c.end()
	}
	b.mu.Unlock()
	b.serving.Wait()
}

func (b *Broker) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }() // it is over in any case
	connect, err := b.greet(conn)
	if err != nil {
		return
	}
	c := &client{
		id: connect.ClientIdentifier, conn: conn,
		out: make(chan packets.ControlPacket, queueDepth), gone: make(chan struct{}), filter: map[string]byte{},
	}
	if !b.enter(c) {
		return
	}
	var writing sync.WaitGroup
	writing.Go(c.write)
	clean := b.read(c, time.Duration(connect.Keepalive)*time.Second*3/2)
	c.end()
	writing.Wait()
	b.leave(c)
	if !clean && connect.WillFlag {
		b.Publish(connect.WillTopic, connect.WillMessage)
	}
}

// greet reads the CONNECT and answers it.
func (b *Broker) greet(conn net.Conn) (*packets.ConnectPacket, error) {
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	p, err := packets.ReadPacket(conn)
	if err != nil {
		return nil, fmt.Errorf("read CONNECT: %w", err)
	}
	connect, ok := p.(*packets.ConnectPacket)
	if !ok {
		return nil, fmt.Errorf("read CONNECT: got %s", p)
	}
	ack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	ack.ReturnCode = connect.Validate()
	if ack.ReturnCode == packets.Accepted && b.Admit != nil {
		ack.ReturnCode = b.Admit(connect.ClientIdentifier)
	}
	if err := ack.Write(conn); err != nil {
		return nil, fmt.Errorf("write CONNACK: %w", err)
	}
	if ack.ReturnCode != packets.Accepted {
		return nil, fmt.Errorf("client %q refused: %d", connect.ClientIdentifier, ack.ReturnCode)
	}
	return connect, conn.SetDeadline(time.Time{})
}

// enter lists a client and cuts off an earlier one of the same name.
func (b *Broker) enter(c *client) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	if old := b.clients[c.id]; old != nil {
		old.end()
	}
	if b.clients == nil {
		b.clients = map[string]*client{}
	}
	b.clients[c.id] = c
	return true
}

func (b *Broker) leave(c *client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clients[c.id] == c {
		delete(b.clients, c.id)
	}
}

// write sends what is queued until the client is to end.
func (c *client) write() {
	for {
		select {
		case p := <-c.out:
			if err := p.Write(c.conn); err != nil {
				c.end()
				return
			}
		case <-c.gone:
			return
		}
	}
}

// read handles packets until the connection ends; clean says that the client took its
// leave. A client that is silent for longer than patience is cut off.
func (b *Broker) read(c *client, patience time.Duration) (clean bool) {
	for {
		if patience > 0 {
			if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				return false
			}
		}
		p, err := packets.ReadPacket(c.conn)
		if err != nil {
			return false
		}
		switch p := p.(type) {
		case *packets.PublishPacket:
			b.published(c, p)
		case *packets.SubscribePacket:
			b.subscribe(c, p)
		case *packets.PingreqPacket:
			c.send(packets.NewControlPacket(packets.Pingresp))
		case *packets.DisconnectPacket:
			return true
		default:
			return false
		}
	}
}

func (b *Broker) published(c *client, p *packets.PublishPacket) {
	if b.Allow == nil || b.Allow(c.id, p.TopicName) {
		b.Publish(p.TopicName, p.Payload)
	}
	if p.Qos == 1 {
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = p.MessageID
		c.send(ack)
	}
}

func (b *Broker) subscribe(c *client, p *packets.SubscribePacket) {
	ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	ack.MessageID = p.MessageID
	b.mu.Lock()
	for _, topic := range p.Topics {
		if b.Allow != nil && !b.Allow(c.id, topic) {
			ack.ReturnCodes = append(ack.ReturnCodes, 0x80)
			continue
		}
		c.filter[topic] = 0
		ack.ReturnCodes = append(ack.ReturnCodes, 0) // QoS 0 is all there is
	}
	b.mu.Unlock()
	c.send(ack)
}

// Matches says whether a topic fits a filter with + and # (MQTT 3.1.1, section 4.7).
func Matches(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, level := range f {
		switch {
		case level == "#":
			return true
		case i >= len(t) || level != "+" && level != t[i]:
			return false
		}
	}
	return len(f) == len(t)
}
