package preview

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/avc"
)

// The parts of FLV and of its video tags that carry H.264 (Adobe Flash Video File
// Format Specification 10.1, annex E).
const (
	tagVideo       = 9
	frameKey       = 0x10
	frameInter     = 0x20
	codecAVC       = 7
	packetSequence = 0
	packetUnits    = 1
)

// flvHeader announces video alone.
func flvHeader() []byte {
	return []byte{'F', 'L', 'V', 1, 1, 0, 0, 0, 9, 0, 0, 0, 0}
}

// flvTag is one video tag with the length that follows it. The timestamp is of
// decoding, in ms; shown is how much later (or earlier) the picture is shown.
func flvTag(kind, packet byte, timestamp uint32, shown int32, body []byte) []byte {
	size := 5 + len(body)
	tag := make([]byte, 0, 11+size+4)
	tag = append(tag, tagVideo, byte(size>>16), byte(size>>8), byte(size),
		byte(timestamp>>16), byte(timestamp>>8), byte(timestamp), byte(timestamp>>24),
		0, 0, 0,
		kind|codecAVC, packet, byte(shown>>16), byte(shown>>8), byte(shown))
	tag = append(tag, body...)
	return binary.BigEndian.AppendUint32(tag, uint32(11+size))
}

// configuration returns the decoder configuration record that a key frame's
// parameter sets make.
func configuration(units [][]byte) ([]byte, error) {
	var sps, pps [][]byte
	for _, u := range units {
		switch avc.GetNaluType(u[0]) {
		case avc.NALU_SPS:
			sps = append(sps, u)
		case avc.NALU_PPS:
			pps = append(pps, u)
		}
	}
	if len(sps) == 0 || len(pps) == 0 {
		return nil, errors.New("a key frame has no parameter sets")
	}
	if len(sps) > 31 || len(pps) > 255 {
		return nil, errors.New("a key frame has too many parameter sets")
	}
	record, err := avc.CreateAVCDecConfRec(sps, pps, true)
	if err != nil {
		return nil, fmt.Errorf("read a key frame's parameter sets: %w", err)
	}
	var out bytes.Buffer
	if err := record.Encode(&out); err != nil {
		return nil, fmt.Errorf("write decoder configuration: %w", err)
	}
	return out.Bytes(), nil
}

// withLengths puts a four-byte length before each unit.
func withLengths(units [][]byte) []byte {
	size := 0
	for _, u := range units {
		size += 4 + len(u)
	}
	out := make([]byte, 0, size)
	for _, u := range units {
		out = binary.BigEndian.AppendUint32(out, uint32(len(u)))
		out = append(out, u...)
	}
	return out
}
