// Package usbiptest is the host's end of USB/IP for tests: what a kernel would do
// with a device, without a kernel.
//
// It owns the numbering of commands and the matching of answers. It drives nothing
// by itself.
package usbiptest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/lensward/lensward/internal/lab/usbip"
)

// Host speaks with a device. Its methods are safe for concurrent use.
type Host struct {
	Info usbip.Info

	conn net.Conn
	done chan struct{}

	mu      sync.Mutex
	seq     uint32
	waiting map[uint32]chan Answer
	in      map[uint32]bool // the ones whose answers carry data
}

// Answer is how a transfer ended.
type Answer struct {
	// Status is 0 or a negative error number.
	Status int32
	// Unlinked says that it is the answer to a cancelling.
	Unlinked bool
	Data     []byte
	// Length is how much was transferred, either way.
	Length int
}

// ErrGone means that the device was unplugged.
var ErrGone = errors.New("the device is gone")

// Plug serves a device in memory, imports it and returns the host. When the test
// ends the device is unplugged, and Serve must have returned no error but that of
// its context.
func Plug(t testing.TB, busID string, serve func(context.Context, net.Conn) error) *Host {
	t.Helper()
	device, host := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, device) }()
	h := &Host{conn: host, done: make(chan struct{}), waiting: map[uint32]chan Answer{}, in: map[uint32]bool{}}
	var err error
	if h.Info, err = usbip.Import(host, busID); err != nil {
		t.Fatal(err)
	}
	go h.read()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("serve: %v", err)
		}
		host.Close()
		<-h.done
	})
	return h
}

// Gone is closed when the device is.
func (h *Host) Gone() <-chan struct{} { return h.done }

// Unplug ends the connection from the host's side.
func (h *Host) Unplug() error { return h.conn.Close() }

// read takes answers until the connection ends.
func (h *Host) read() {
	defer close(h.done)
	for {
		var header [48]byte
		if _, err := io.ReadFull(h.conn, header[:]); err != nil {
			return
		}
		seq := binary.BigEndian.Uint32(header[4:])
		a := Answer{
			Unlinked: binary.BigEndian.Uint32(header[0:]) == 4,
			Status:   int32(binary.BigEndian.Uint32(header[20:])), Length: int(binary.BigEndian.Uint32(header[24:])),
		}
		h.mu.Lock()
		waiting, data := h.waiting[seq], h.in[seq]
		delete(h.waiting, seq)
		delete(h.in, seq)
		h.mu.Unlock()
		if waiting == nil {
			return // as a kernel does with an answer that nobody waits for
		}
		if data && !a.Unlinked {
			a.Data = make([]byte, a.Length)
			if _, err := io.ReadFull(h.conn, a.Data); err != nil {
				return
			}
		}
		waiting <- a
	}
}

// Submit begins a transfer; length is how much is wanted, or out is sent. The channel
// gets one answer.
func (h *Host) Submit(endpoint uint32, setup usbip.Setup, out []byte, length int) (seq uint32, answer <-chan Answer, err error) {
	in := out == nil
	header := make([]byte, 48)
	be, le := binary.BigEndian, binary.LittleEndian
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	be.PutUint32(header[0:], 1)
	be.PutUint32(header[4:], h.seq)
	be.PutUint32(header[8:], h.Info.DevID())
	if in {
		be.PutUint32(header[12:], 1)
	} else {
		length = len(out)
	}
	be.PutUint32(header[16:], endpoint)
	be.PutUint32(header[24:], uint32(length))
	header[40], header[41] = setup.RequestType, setup.Request
	le.PutUint16(header[42:], setup.Value)
	le.PutUint16(header[44:], setup.Index)
	le.PutUint16(header[46:], setup.Length)
	c := make(chan Answer, 1)
	h.waiting[h.seq], h.in[h.seq] = c, in
	_, err = h.conn.Write(append(header, out...))
	return h.seq, c, err
}

// Unlink cancels a transfer and returns the status of that.
func (h *Host) Unlink(seq uint32) (int32, error) {
	header := make([]byte, 48)
	h.mu.Lock()
	h.seq++
	binary.BigEndian.PutUint32(header[0:], 2)
	binary.BigEndian.PutUint32(header[4:], h.seq)
	binary.BigEndian.PutUint32(header[20:], seq)
	c := make(chan Answer, 1)
	h.waiting[h.seq] = c
	_, err := h.conn.Write(header)
	h.mu.Unlock()
	if err != nil {
		return 0, err
	}
	a, err := h.wait(c)
	if err == nil && a.Status != 0 {
		h.mu.Lock()
		delete(h.waiting, seq) // it will not be answered
		delete(h.in, seq)
		h.mu.Unlock()
	}
	return a.Status, err
}

func (h *Host) wait(c <-chan Answer) (Answer, error) {
	select {
	case a := <-c:
		return a, nil
	case <-h.done:
		return Answer{}, ErrGone
	}
}

// Read makes a control transfer to the host.
func (h *Host) Read(s usbip.Setup) ([]byte, error) {
	_, c, err := h.Submit(0, s, nil, int(s.Length))
	if err != nil {
		return nil, err
	}
	a, err := h.wait(c)
	if err == nil && a.Status != 0 {
		err = fmt.Errorf("control transfer %+v: status %d", s, a.Status)
	}
	return a.Data, err
}

// Write makes a control transfer to the device.
func (h *Host) Write(s usbip.Setup, out []byte) error {
	s.Length = uint16(len(out))
	if out == nil {
		out = []byte{}
	}
	_, c, err := h.Submit(0, s, out, 0)
	if err != nil {
		return err
	}
	a, err := h.wait(c)
	if err == nil && a.Status != 0 {
		err = fmt.Errorf("control transfer %+v: status %d", s, a.Status)
	}
	return err
}

// Bulk takes what a pipe gives, at most room bytes.
func (h *Host) Bulk(endpoint uint32, room int) ([]byte, error) {
	_, c, err := h.Submit(endpoint, usbip.Setup{}, nil, room)
	if err != nil {
		return nil, err
	}
	a, err := h.wait(c)
	if err == nil && a.Status != 0 {
		err = fmt.Errorf("bulk transfer: status %d", a.Status)
	}
	return a.Data, err
}
