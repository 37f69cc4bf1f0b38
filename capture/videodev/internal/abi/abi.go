// Package abi is the binary interface of the kernel's videodev2.h: where the
// fields of its structures lie, and the numbers of its ioctls.
//
// It owns the layouts, each written out, since no Go structure has them on every
// machine: a pointer is 4 or 8 bytes long, a time 8 or 16, and 64-bit integers
// are aligned to 8 bytes on 32-bit ARM, where Go aligns them to 4. It never
// calls the kernel.
//
// The source is include/uapi/linux/videodev2.h of Linux 6.1, and what a C
// compiler makes of it for each machine: testdata has both. The numbers of ioctls
// are those of x86, ARM and RISC-V.
package abi

import (
	"bytes"
	"encoding/binary"
)

// ABI is what differs between machines.
type ABI struct {
	// Word is the length of a pointer: 4 or 8 bytes.
	Word int
	// Time is the length of a second's count in a buffer and an event: 4 or 8 bytes.
	// It is 8 where Word is; else kernels take one or the other or both.
	Time int
}

// Memory is a structure as the kernel reads and writes it.
type Memory []byte

// Uint32 reads a field.
func (m Memory) Uint32(at int) uint32 { return binary.NativeEndian.Uint32(m[at:]) }

// SetUint32 writes a field.
func (m Memory) SetUint32(at int, v uint32) { binary.NativeEndian.PutUint32(m[at:], v) }

// Int64 reads a field of 64 bits.
func (m Memory) Int64(at int) int64 { return int64(binary.NativeEndian.Uint64(m[at:])) }

// SetInt64 writes a field of 64 bits.
func (m Memory) SetInt64(at int, v int64) { binary.NativeEndian.PutUint64(m[at:], uint64(v)) }

// Text reads a field of characters, which end at the first NUL if there is one.
func (m Memory) Text(at, length int) string {
	text, _, _ := bytes.Cut(m[at:at+length], []byte{0})
	return string(bytes.ToValidUTF8(text, []byte("?")))
}

// SetText writes a field of characters, cut to leave one NUL.
func (m Memory) SetText(at, length int, s string) {
	field := m[at : at+length]
	clear(field)
	copy(field[:length-1], s)
}

// FormatBytes is the length of struct v4l2_format.
func (a ABI) FormatBytes() int { return 200 + a.Word }

// FormatUnion is where the union of struct v4l2_format begins.
func (a ABI) FormatUnion() int { return a.Word }

// ExtControlsBytes is the length of struct v4l2_ext_controls.
func (a ABI) ExtControlsBytes() int { return 16 + 2*a.Word }

// ExtControlsPointer is where its pointer to the controls lies.
func (a ABI) ExtControlsPointer() int { return 16 + a.Word }

// PlaneBytes is the length of struct v4l2_plane.
func (a ABI) PlaneBytes() int { return 56 + a.Word }

// PlaneDataOffset is where its data_offset lies.
func (a ABI) PlaneDataOffset() int { return 8 + a.Word }

// Buffer is the layout of struct v4l2_buffer.
type Buffer struct {
	Bytes                             int
	Timestamp                         int
	Sequence, Memory, Pointer, Length int
}

// Buffer returns the layout of struct v4l2_buffer.
func (a ABI) Buffer() Buffer {
	switch {
	case a.Word == 8:
		return Buffer{Bytes: 88, Timestamp: 24, Sequence: 56, Memory: 60, Pointer: 64, Length: 72}
	case a.Time == 8:
		return Buffer{Bytes: 80, Timestamp: 24, Sequence: 56, Memory: 60, Pointer: 64, Length: 68}
	default:
		return Buffer{Bytes: 68, Timestamp: 20, Sequence: 44, Memory: 48, Pointer: 52, Length: 56}
	}
}

// EventBytes is the length of struct v4l2_event.
func (a ABI) EventBytes() int { return 120 + 2*a.Time }

// EventID is where its id lies.
func (a ABI) EventID() int { return 80 + 2*a.Time }

// Timeval reads a struct timeval: seconds and microseconds.
func (a ABI) Timeval(m Memory, at int) (seconds, micros int64) {
	if a.Time == 8 {
		return m.Int64(at), m.Int64(at + 8)
	}
	return int64(int32(m.Uint32(at))), int64(int32(m.Uint32(at + 4)))
}

// SetTimeval writes a struct timeval. Seconds beyond 32 bits are lost where the
// layout has no more.
func (a ABI) SetTimeval(m Memory, at int, seconds, micros int64) {
	if a.Time == 8 {
		m.SetInt64(at, seconds)
		m.SetInt64(at+8, micros)
		return
	}
	m.SetUint32(at, uint32(seconds))
	m.SetUint32(at+4, uint32(micros))
}
