package scene

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"slices"
)

// H.264 NAL unit types (ITU-T H.264, table 7-1).
const (
	nalSlice     = 1
	nalIDR       = 5
	nalSPS       = 7
	nalPPS       = 8
	nalDelimiter = 9
)

// annexB turns an access unit whose NAL units have four-byte lengths (ISO/IEC
// 14496-15) into an Annex B byte stream. An IDR picture that does not bring its
// parameter sets gets those given.
func annexB(data []byte, parameters [][]byte) (stream []byte, key bool, err error) {
	var units [][]byte
	var has [32]bool
	for rest := data; len(rest) > 0; {
		if len(rest) < 4 || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-4) {
			return nil, false, broken("an H.264 unit is longer than its access unit")
		}
		length := binary.BigEndian.Uint32(rest)
		unit := rest[4 : 4+length]
		rest = rest[4+length:]
		if len(unit) > 0 {
			units = append(units, unit)
			has[unit[0]&0x1f] = true
		}
	}
	picture := false
	for kind := nalSlice; kind <= nalIDR; kind++ {
		picture = picture || has[kind]
	}
	if !picture {
		return nil, false, broken("an H.264 access unit has no picture")
	}
	key = has[nalIDR]
	size := 0
	for _, unit := range slices.Concat(units, parameters) {
		size += 4 + len(unit)
	}
	stream = make([]byte, 0, size)
	add := func(unit []byte) { stream = append(append(stream, 0, 0, 0, 1), unit...) }
	// A delimiter, where there is one, stays in front of all else.
	if units[0][0]&0x1f == nalDelimiter {
		add(units[0])
		units = units[1:]
	}
	if key && !(has[nalSPS] && has[nalPPS]) {
		for _, unit := range parameters {
			add(unit)
		}
	}
	for _, unit := range units {
		add(unit)
	}
	return stream, key, nil
}

// emptyReader is a reader at its end.
func emptyReader() *bufio.Reader { return bufio.NewReaderSize(bytes.NewReader(nil), 16) }
