package usbip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
)

// Setup is the first packet of a control transfer (USB 2.0, 9.3).
type Setup struct {
	RequestType, Request uint8
	Value, Index, Length uint16
}

// ErrStall is what a device answers to a request that it does not know.
var ErrStall = errors.New("stall")

// Device is a made-up USB device.
type Device interface {
	// Info is what is told of it before it is imported.
	Info() Info
	// Control answers a control transfer. data is what the host sent, if it sends;
	// else the answer is cut at Setup.Length. Its error, whatever it is, stalls.
	Control(s Setup, data []byte) ([]byte, error)
	// Stream fills the transfers of the pipes until ctx is done. Its error ends the
	// connection.
	Stream(ctx context.Context, pipes *Pipes) error
}

// Serve answers on one connection until it is closed by the other end (nil), ctx
// is done (its error) or the device fails. It closes the connection.
func Serve(ctx context.Context, conn net.Conn, dev Device) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // unblocks the reader
	defer stop()
	defer conn.Close()

	imported, err := negotiate(conn, dev.Info())
	if err != nil || !imported {
		return ended(ctx, err)
	}
	s := &session{conn: conn, dev: dev, pipes: newPipes()}
	s.pipes.reply = s.reply
	streamed := make(chan error, 1)
	go func() {
		streamed <- dev.Stream(ctx, s.pipes)
		cancel() // a device that has failed is unplugged
	}()
	err = s.commands()
	ended := ended(ctx, err)
	cancel()
	if err := <-streamed; err != nil && !errors.Is(err, context.Canceled) && !isEnd(err) {
		return fmt.Errorf("serve USB device: %w", err)
	}
	return ended
}

// ended is the error of a connection's end: none if the other end closed it.
func ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil, isEnd(err):
		return nil
	default:
		return fmt.Errorf("serve USB device: %w", err)
	}
}

// isEnd says whether an error is a connection's end, by either side.
func isEnd(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// negotiate answers lists until the device is imported, or not (false).
func negotiate(conn io.ReadWriter, info Info) (imported bool, err error) {
	for {
		var op operation
		if err := binary.Read(conn, binary.BigEndian, &op); err != nil {
			return false, err
		}
		if op.Version != Version {
			return false, fmt.Errorf("%w: version %#x, want %#x", ErrProtocol, op.Version, Version)
		}
		switch op.Code {
		case opListRequest:
			if err := writeList(conn, info); err != nil {
				return false, err
			}
		case opImportRequest:
			var id [busIDBytes]byte
			if _, err := io.ReadFull(conn, id[:]); err != nil {
				return false, err
			}
			known := text(id[:]) == info.BusID
			return known, writeImport(conn, info, known)
		default:
			return false, fmt.Errorf("%w: request %#x", ErrProtocol, op.Code)
		}
	}
}

func writeList(w io.Writer, info Info) error {
	b := binary.BigEndian.AppendUint64(nil, uint64(Version)<<48|uint64(opListReply)<<32)
	b = binary.BigEndian.AppendUint32(b, 1)
	b, err := binary.Append(b, binary.BigEndian, info.wire())
	if err != nil {
		return err
	}
	b = append(b, make([]byte, 4*int(info.Interfaces))...) // their classes, which nobody needs
	_, err = w.Write(b)
	return err
}

func writeImport(w io.Writer, info Info, known bool) error {
	head := uint64(Version)<<48 | uint64(opImportReply)<<32
	if !known {
		_, err := w.Write(binary.BigEndian.AppendUint64(nil, head|1))
		return err
	}
	b, err := binary.Append(binary.BigEndian.AppendUint64(nil, head), binary.BigEndian, info.wire())
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// command is the part of a command's header that is used, both kinds in one.
type command struct {
	code, seq uint32
	in        bool // data goes to the host
	endpoint  uint32
	length    uint32 // of the transfer; of a cmdUnlink, the number to be cancelled
	setup     Setup
	packets   uint32
}

// parseCommand reads a header of 48 bytes.
func parseCommand(b *[headerBytes]byte) (command, error) {
	be, le := binary.BigEndian, binary.LittleEndian
	c := command{
		code: be.Uint32(b[0:]), seq: be.Uint32(b[4:]), in: be.Uint32(b[12:]) == 1,
		endpoint: be.Uint32(b[16:]),
	}
	switch c.code {
	case cmdUnlink:
		c.length = be.Uint32(b[20:])
		return c, nil
	case cmdSubmit:
	default:
		return c, fmt.Errorf("%w: command %d", ErrProtocol, c.code)
	}
	c.length, c.packets = be.Uint32(b[24:]), be.Uint32(b[32:])
	c.setup = Setup{
		RequestType: b[40], Request: b[41],
		Value: le.Uint16(b[42:]), Index: le.Uint16(b[44:]), Length: le.Uint16(b[46:]),
	}
	switch {
	case c.endpoint > 15:
		return c, fmt.Errorf("%w: endpoint %d", ErrProtocol, c.endpoint)
	case c.length > maxTransfer:
		return c, fmt.Errorf("%w: a transfer of %d bytes, at most %d", ErrProtocol, c.length, maxTransfer)
	case c.packets != 0 && c.packets != 0xffffffff:
		return c, fmt.Errorf("%w: an isochronous transfer", ErrProtocol)
	}
	return c, nil
}

// session is a connection after the import.
type session struct {
	conn  net.Conn
	dev   Device
	pipes *Pipes
	write sync.Mutex
}

// commands reads commands until the connection ends.
func (s *session) commands() error {
	for {
		var header [headerBytes]byte
		if _, err := io.ReadFull(s.conn, header[:]); err != nil {
			return err
		}
		c, err := parseCommand(&header)
		if err != nil {
			return err
		}
		var data []byte
		if c.code == cmdSubmit && !c.in && c.length > 0 {
			data = make([]byte, c.length)
			if _, err := io.ReadFull(s.conn, data); err != nil {
				return err
			}
		}
		if err := s.obey(c, data); err != nil {
			return err
		}
	}
}

func (s *session) obey(c command, data []byte) error {
	switch {
	case c.code == cmdUnlink:
		status := int32(0) // its answer is on its way
		if s.pipes.cancel(c.length) {
			status = statusCancelled
		}
		return s.send(retUnlink, c.seq, status, 0, nil)
	case c.endpoint != 0 && c.in:
		s.pipes.In(c.endpoint).push(transfer{seq: c.seq, room: int(c.length)})
		return nil
	case c.endpoint != 0:
		return s.send(retSubmit, c.seq, statusStall, 0, nil) // no pipe leads out
	}
	answer, err := s.dev.Control(c.setup, data)
	switch {
	case err != nil:
		return s.send(retSubmit, c.seq, statusStall, 0, nil)
	case !c.in:
		return s.send(retSubmit, c.seq, 0, len(data), nil)
	}
	answer = answer[:min(len(answer), int(c.length), int(c.setup.Length))]
	return s.send(retSubmit, c.seq, 0, len(answer), answer)
}

// reply answers a transfer of a pipe.
func (s *session) reply(seq uint32, data []byte) error {
	return s.send(retSubmit, seq, 0, len(data), data)
}

// send writes an answer.
func (s *session) send(code, seq uint32, status int32, actual int, data []byte) error {
	b := make([]byte, headerBytes, headerBytes+len(data))
	binary.BigEndian.PutUint32(b[0:], code)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[20:], uint32(status))
	binary.BigEndian.PutUint32(b[24:], uint32(actual))
	s.write.Lock()
	defer s.write.Unlock()
	_, err := s.conn.Write(append(b, data...))
	return err
}
