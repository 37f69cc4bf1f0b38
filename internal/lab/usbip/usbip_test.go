package usbip_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/lensward/lensward/internal/lab/usbip"
	"github.com/lensward/lensward/internal/lab/usbip/usbiptest"
)

// echo is a device that remembers what it was told, and whose pipe 1 gives what is
// sent to give.
type echo struct {
	told []byte
	give chan []byte
}

// Info is the device's.
func (e *echo) Info() usbip.Info {
	return usbip.Info{BusID: "3-1", Bus: 3, Device: 4, Speed: usbip.SpeedHigh, VendorID: 0x1209, ProductID: 1, Interfaces: 2}
}

// Control remembers, and tells again.
func (e *echo) Control(s usbip.Setup, data []byte) ([]byte, error) {
	switch s.Request {
	case 1:
		e.told = bytes.Clone(data)
		return nil, nil
	case 2:
		return e.told, nil
	default:
		return nil, usbip.ErrStall
	}
}

// Stream gives what there is to give.
func (e *echo) Stream(ctx context.Context, pipes *usbip.Pipes) error {
	for {
		select {
		case b := <-e.give:
			if b == nil {
				return errors.New("broken device")
			}
			if err := pipes.In(1).Send(ctx, func(int) []byte { return b }); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func plug(t *testing.T) (*usbiptest.Host, *echo) {
	e := &echo{give: make(chan []byte)}
	return usbiptest.Plug(t, "3-1", func(ctx context.Context, c net.Conn) error { return usbip.Serve(ctx, c, e) }), e
}

func TestTransfers(t *testing.T) {
	h, e := plug(t)
	if want := e.Info(); h.Info != want {
		t.Errorf("imported %+v, want %+v", h.Info, want)
	}
	if err := h.Write(usbip.Setup{RequestType: 0x40, Request: 1}, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	b, err := h.Read(usbip.Setup{RequestType: 0xc0, Request: 2, Length: 4})
	if err != nil || string(b) != "hell" {
		t.Errorf("read %q, %v: want what was told, cut at 4 bytes", b, err)
	}
	if _, err := h.Read(usbip.Setup{Request: 9, Length: 4}); err == nil {
		t.Error("a request that the device does not know did not stall")
	}
	go func() { e.give <- []byte("picture") }()
	if b, err = h.Bulk(1, 4); err != nil || string(b) != "pict" {
		t.Errorf("pipe gave %q, %v: want it cut at the room that there is", b, err)
	}
}

// A transfer that was cancelled is never answered: a kernel drops a device that
// answers one.
func TestUnlink(t *testing.T) {
	h, e := plug(t)
	seq, first, err := h.Submit(1, usbip.Setup{}, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := h.Unlink(seq); err != nil || status != -104 {
		t.Fatalf("unlink: status %d, %v, want -104", status, err)
	}
	_, second, err := h.Submit(1, usbip.Setup{}, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	e.give <- []byte("for the second")
	if a := <-second; string(a.Data) != "for the second" {
		t.Errorf("the second transfer got %q", a.Data)
	}
	select {
	case a := <-first:
		t.Errorf("the cancelled transfer was answered: %+v", a)
	default:
	}
	if status, err := h.Unlink(seq); err != nil || status != 0 {
		t.Errorf("unlink of a transfer that is over: status %d, %v, want 0", status, err)
	}
}

// What the device fails with comes out of Serve, and the host sees it unplugged.
func TestDeviceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		device, host := net.Pipe()
		e := &echo{give: make(chan []byte, 1)}
		served := make(chan error, 1)
		go func() { served <- usbip.Serve(t.Context(), device, e) }()
		if _, err := usbip.Import(host, "3-1"); err != nil {
			t.Fatal(err)
		}
		e.give <- nil
		if err := <-served; err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("Serve returned %v, want the device's error", err)
		}
		if _, err := host.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the host reads %v, want EOF", err)
		}
	})
}

// A device whose plug is pulled, or whose host goes, while it sends has not failed.
func TestEndWhileSending(t *testing.T) {
	for name, end := range map[string]func(cancel func(), host net.Conn){
		"unplugged": func(cancel func(), _ net.Conn) { cancel() },
		"host gone": func(_ func(), host net.Conn) { host.Close() },
	} {
		synctest.Test(t, func(t *testing.T) {
			device, host := net.Pipe()
			defer host.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			e := &echo{give: make(chan []byte, 1)}
			served := make(chan error, 1)
			go func() { served <- usbip.Serve(ctx, device, e) }()
			if _, err := usbip.Import(host, "3-1"); err != nil {
				t.Fatal(err)
			}
			submit := make([]byte, 48)
			submit[3], submit[7], submit[15], submit[19], submit[27] = 1, 1, 1, 1, 100
			if _, err := host.Write(submit); err != nil {
				t.Fatal(err)
			}
			e.give <- []byte("nobody reads this")
			synctest.Wait() // it is being written
			end(cancel, host)
			if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: Serve returned %v", name, err)
			}
		})
	}
}

func TestRefusesWhatIsNotThere(t *testing.T) {
	device, host := net.Pipe()
	go func() { _ = usbip.Serve(t.Context(), device, &echo{}) }() // it is refused below
	if _, err := usbip.Import(host, "1-1"); err == nil {
		t.Error("imported a device that the server does not have")
	}
	if _, err := usbip.Import(host, string(make([]byte, 40))); err == nil {
		t.Error("asked for a bus ID that is too long")
	}
}

// A list names the device, as the usual program asks for it.
func TestList(t *testing.T) {
	device, host := net.Pipe()
	defer host.Close()
	go func() { _ = usbip.Serve(t.Context(), device, &echo{}) }() // ends with the pipe
	if _, err := host.Write(binary.BigEndian.AppendUint64(nil, 0x0111_8005_0000_0000)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12+312+2*4)
	if _, err := io.ReadFull(host, answer); err != nil {
		t.Fatal(err)
	}
	if n := binary.BigEndian.Uint32(answer[8:]); n != 1 || !bytes.Contains(answer, []byte("3-1\x00")) {
		t.Errorf("the list has %d devices: %q", n, answer)
	}
}

// FuzzServe has a host that says anything: the server ends, with an error or
// without, and never waits for ever or takes a lot of memory.
func FuzzServe(f *testing.F) {
	hello := append(binary.BigEndian.AppendUint64(nil, 0x0111_8003_0000_0000), append([]byte("3-1"), make([]byte, 29)...)...)
	submit := make([]byte, 48)
	submit[3], submit[7], submit[15] = 1, 1, 1
	unlink := make([]byte, 48)
	unlink[3], unlink[7], unlink[23] = 2, 2, 1
	f.Add([]byte{})
	f.Add(hello)
	f.Add(append(bytes.Clone(hello), submit...))
	f.Add(append(append(bytes.Clone(hello), submit...), unlink...))
	f.Add(binary.BigEndian.AppendUint64(nil, 0x0111_8005_0000_0000))
	f.Fuzz(func(t *testing.T, said []byte) {
		device, host := net.Pipe()
		ctx, cancel := context.WithCancel(context.Background())
		served, drained := make(chan error, 1), make(chan struct{})
		go func() { served <- usbip.Serve(ctx, device, &echo{give: make(chan []byte)}) }()
		go func() {
			defer close(drained)
			_, _ = io.Copy(io.Discard, host) // until the server closes
		}()
		_, _ = host.Write(said) // the server may have given up
		host.Close()
		err := <-served
		cancel()
		<-drained
		if err != nil && !errors.Is(err, usbip.ErrProtocol) {
			t.Errorf("Serve returned %v", err)
		}
	})
}
