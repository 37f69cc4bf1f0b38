// Package annexb takes H.264 byte streams apart (ITU-T H.264, annex B): into units,
// and a program's output into access units.
//
// It owns where a unit and a picture begin. It never decodes one.
package annexb

import (
	"bytes"
	"iter"
)

// Unit types (ITU-T H.264, table 7-1).
const (
	Slice     = 1
	PartA     = 2 // of a slice in data partitions
	IDR       = 5
	SEI       = 6
	SPS       = 7
	PPS       = 8
	Delimiter = 9
	prefix    = 14 // 14 to 18 stand before a picture too
	prefixEnd = 18
)

// Type returns a unit's type.
func Type(unit []byte) int { return int(unit[0] & 0x1f) }

// Units yields a stream's units, without start codes and trailing zeros; none is
// empty. Bytes before the first start code are passed over.
func Units(stream []byte) iter.Seq[[]byte] {
	startCode := []byte{0, 0, 1}
	return func(yield func([]byte) bool) {
		start := bytes.Index(stream, startCode)
		for start >= 0 {
			stream = stream[start+len(startCode):]
			start = bytes.Index(stream, startCode)
			unit := stream
			if start >= 0 {
				unit = stream[:start]
			}
			if unit = bytes.TrimRight(unit, "\x00"); len(unit) > 0 && !yield(unit) {
				return
			}
		}
	}
}

// Contents say what an access unit has in it.
type Contents struct {
	Picture bool // a slice, of an IDR picture or another
	IDR     bool
	// Parameters are its SPS and PPS with start codes, in memory of their own; nil
	// unless it has both.
	Parameters []byte
}

// Look goes through an access unit.
func Look(unit []byte) Contents {
	var c Contents
	var sets []byte
	var sps, pps bool
	for u := range Units(unit) {
		switch Type(u) {
		case IDR:
			c.IDR, c.Picture = true, true
		case Slice, PartA:
			c.Picture = true
		case SPS, PPS:
			sps = sps || Type(u) == SPS
			pps = pps || Type(u) == PPS
			sets = append(append(sets, 0, 0, 0, 1), u...)
		}
	}
	if sps && pps {
		c.Parameters = sets
	}
	return c
}
