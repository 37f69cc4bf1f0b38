// Package usbip carries a made-up USB device to a kernel: the USB/IP protocol,
// the device's end of it and as much of the other end as it takes to hand a
// connection to the kernel's virtual host controller.
//
// It owns the protocol's messages, and the queue of a pipe's transfers with their
// cancelling. It never knows what a device is: that is behind [Device]. Closing the
// connection unplugs the device.
//
// The protocol is version 1.1.1 as in the kernel's documentation ("USB/IP
// protocol"); control and bulk transfers, no isochronous ones.
package usbip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Version is the protocol's version, in binary-coded decimal.
const Version = 0x0111

// Codes of the first exchange.
const (
	opListRequest   = 0x8005
	opListReply     = 0x0005
	opImportRequest = 0x8003
	opImportReply   = 0x0003
)

// Commands of the exchange that follows an import.
const (
	cmdSubmit = 1
	cmdUnlink = 2
	retSubmit = 3
	retUnlink = 4
)

// Speeds of a device, as enum usb_device_speed has them.
const (
	SpeedFull = 2
	SpeedHigh = 3
)

// Errors of a transfer, negative Linux error numbers on the wire.
const (
	statusStall     = -32  // EPIPE
	statusCancelled = -104 // ECONNRESET
)

const (
	headerBytes = 48
	// maxTransfer bounds what one transfer may carry, in bytes.
	maxTransfer = 1 << 20
	busIDBytes  = 32
)

// ErrProtocol means that the other end does not keep to the protocol.
var ErrProtocol = errors.New("not USB/IP")

// Info is what is told of a device before it is imported.
type Info struct {
	// BusID names the device, such as "1-1"; at most 31 bytes.
	BusID string
	// Bus and Device number it; together they are the DevID of its commands.
	Bus, Device uint32
	// Speed is SpeedFull or SpeedHigh.
	Speed                        uint32
	VendorID, ProductID, Release uint16
	Class, Subclass, Protocol    uint8
	Configurations, Interfaces   uint8
}

// DevID names the device in commands and to the virtual host controller.
func (i Info) DevID() uint32 { return i.Bus<<16 | i.Device }

// wireInfo is Info as it is sent: struct usbip_usb_device, big endian.
type wireInfo struct {
	Path                         [256]byte
	BusID                        [busIDBytes]byte
	Bus, Device, Speed           uint32
	VendorID, ProductID, Release uint16
	Class, Subclass, Protocol    uint8
	Configuration                uint8
	Configurations, Interfaces   uint8
}

func (i Info) wire() wireInfo {
	w := wireInfo{
		Bus: i.Bus, Device: i.Device, Speed: i.Speed,
		VendorID: i.VendorID, ProductID: i.ProductID, Release: i.Release,
		Class: i.Class, Subclass: i.Subclass, Protocol: i.Protocol,
		Configuration: 1, Configurations: i.Configurations, Interfaces: i.Interfaces,
	}
	copy(w.Path[:len(w.Path)-1], "/made-up/"+i.BusID)
	copy(w.BusID[:busIDBytes-1], i.BusID)
	return w
}

func (w *wireInfo) info() Info {
	return Info{
		BusID: text(w.BusID[:]), Bus: w.Bus, Device: w.Device, Speed: w.Speed,
		VendorID: w.VendorID, ProductID: w.ProductID, Release: w.Release,
		Class: w.Class, Subclass: w.Subclass, Protocol: w.Protocol,
		Configurations: w.Configurations, Interfaces: w.Interfaces,
	}
}

// text is a zero-padded field's text.
func text(field []byte) string {
	b, _, _ := bytes.Cut(field, []byte{0})
	return string(b)
}

// operation is the head of each message of the first exchange.
type operation struct {
	Version, Code uint16
	Status        uint32
}

// Import asks the server at the other end of a connection for the device with
// this bus ID. After it, the connection carries the device: it can be handed to the
// kernel, or be driven by a [Client].
func Import(conn io.ReadWriter, busID string) (Info, error) {
	if len(busID) >= busIDBytes {
		return Info{}, fmt.Errorf("import USB device: bus ID %q has more than %d bytes", busID, busIDBytes-1)
	}
	var id [busIDBytes]byte
	copy(id[:], busID)
	request := binary.BigEndian.AppendUint64(nil, uint64(Version)<<48|uint64(opImportRequest)<<32)
	if _, err := conn.Write(append(request, id[:]...)); err != nil {
		return Info{}, fmt.Errorf("import USB device %s: %w", busID, err)
	}
	var op operation
	if err := binary.Read(conn, binary.BigEndian, &op); err != nil {
		return Info{}, fmt.Errorf("import USB device %s: %w", busID, err)
	}
	if op.Version != Version || op.Code != opImportReply {
		return Info{}, fmt.Errorf("import USB device %s: %w: answer %#x, version %#x", busID, ErrProtocol, op.Code, op.Version)
	}
	if op.Status != 0 {
		return Info{}, fmt.Errorf("import USB device %s: the server refused, status %d", busID, op.Status)
	}
	var w wireInfo
	if err := binary.Read(conn, binary.BigEndian, &w); err != nil {
		return Info{}, fmt.Errorf("import USB device %s: %w", busID, err)
	}
	return w.info(), nil
}
