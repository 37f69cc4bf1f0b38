package mqtt

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/lensward/lensward/transport"
)

// ErrProtocol is a broker that sends what a device does not take.
var ErrProtocol = errors.New("the broker broke the protocol")

// errCut is a connection that was closed under the session on this side.
var errCut = errors.New("the connection was cut")

// guard stands between the connection and paho, and lets in only what a broker may
// send to a device: one CONNACK, SUBACKs of one code, PINGRESPs, and small QoS 0
// PUBLISHes on the one topic.
//
// paho believes a packet's announced length and allocates it, up to 256 MiB, before
// a byte of it came; and its reader panics on a SUBACK with more codes than were
// asked for. Neither may be in a broker's power.
//
// It also bounds every write in time, and remembers why it was closed: paho ignores
// errors that read like its own closing of the connection.
type guard struct {
	net.Conn
	down         string // the only topic
	writeTimeout time.Duration

	// Of the one reader.
	in        *bufio.Reader
	packet    []byte // the packet that is being handed to paho
	rest      []byte // what is left of it
	connected bool   // the CONNACK came

	writing sync.Mutex

	mu  sync.Mutex
	why error // why it was closed
}

func newGuard(c net.Conn, down string, writeTimeout time.Duration) *guard {
	return &guard{Conn: c, down: down, writeTimeout: writeTimeout, in: bufio.NewReaderSize(c, 4<<10)}
}

// blame gives the reason that every failed read and write will give from now on, unless
// there is one already.
func (g *guard) blame(why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.why == nil {
		g.why = why
	}
}

// kill closes the connection for a reason.
func (g *guard) kill(why error) {
	g.blame(why)
	_ = g.Conn.Close() // what matters is why
}

// Close is paho's end of the connection.
func (g *guard) Close() error {
	g.kill(io.ErrClosedPipe)
	return nil
}

// because replaces a failure's error by the reason that was given for it, if there was
// one. It never gives net.ErrClosed, which paho would not take for a failure.
func (g *guard) because(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.why != nil:
		return g.why
	case errors.Is(err, net.ErrClosed):
		return errCut
	default:
		return err
	}
}

// Read gives the next packet, or what is left of it.
func (g *guard) Read(p []byte) (int, error) {
	if len(g.rest) == 0 {
		if err := g.next(); err != nil {
			return 0, g.because(err)
		}
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

// next reads one whole packet and checks it before paho sees its first byte.
func (g *guard) next() error {
	first, err := g.in.ReadByte()
	if err != nil {
		return err
	}
	size, err := g.length()
	if err != nil {
		return err
	}
	if most := 2 + len(g.down) + transport.MaxLetterMessage; size > most {
		return fmt.Errorf("%w: a packet of %d bytes, at most %d are allowed", ErrProtocol, size, most)
	}
	g.packet = binary.AppendUvarint(append(g.packet[:0], first), uint64(size))
	head := len(g.packet)
	g.packet = append(g.packet, make([]byte, size)...)
	if _, err := io.ReadFull(g.in, g.packet[head:]); err != nil {
		return fmt.Errorf("read packet of %d bytes: %w", size, err)
	}
	if err := g.check(first, g.packet[head:]); err != nil {
		return err
	}
	g.rest = g.packet
	return nil
}

// length reads a remaining length: 7 bits a byte, the lowest first, at most 4 bytes
// (MQTT 3.1.1, section 2.2.3).
func (g *guard) length() (int, error) {
	var n int
	for shift := 0; shift < 28; shift += 7 {
		b, err := g.in.ReadByte()
		if err != nil {
			return 0, fmt.Errorf("read packet length: %w", err)
		}
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: a packet length of more than four bytes", ErrProtocol)
}

// check holds a packet against what a broker may send.
func (g *guard) check(first byte, body []byte) error {
	kind := first >> 4
	if (kind == packets.Connack) == g.connected {
		return fmt.Errorf("%w: %s out of turn", ErrProtocol, packetName(kind))
	}
	ok := false
	switch kind {
	case packets.Connack:
		ok = first&0xf == 0 && len(body) == 2 && body[0]&^1 == 0 && body[1] <= packets.ErrRefusedNotAuthorised
		g.connected = true
	case packets.Suback:
		ok = first&0xf == 0 && len(body) == 3
	case packets.Pingresp:
		ok = first&0xf == 0 && len(body) == 0
	case packets.Publish:
		ok = first&0x6 == 0 && len(body) >= 2+len(g.down) &&
			int(binary.BigEndian.Uint16(body)) == len(g.down) && string(body[2:2+len(g.down)]) == g.down
	}
	if !ok {
		return fmt.Errorf("%w: a %s that a device does not take", ErrProtocol, packetName(kind))
	}
	return nil
}

func packetName(kind byte) string {
	if name, ok := packets.PacketNames[kind]; ok {
		return name
	}
	return fmt.Sprintf("packet of type %d", kind)
}

// Write writes all of p within the write timeout. paho pings beside its other writes.
func (g *guard) Write(p []byte) (int, error) {
	g.writing.Lock()
	defer g.writing.Unlock()
	if err := g.Conn.SetWriteDeadline(time.Now().Add(g.writeTimeout)); err != nil {
		return 0, g.because(err)
	}
	n, err := g.Conn.Write(p)
	if err != nil {
		return n, g.because(err)
	}
	return n, nil
}

// SetDeadline is paho's for its handshake; writes have their own.
func (g *guard) SetDeadline(t time.Time) error { return g.Conn.SetReadDeadline(t) }

// SetWriteDeadline does nothing: every write has its deadline already.
func (g *guard) SetWriteDeadline(time.Time) error { return nil }
