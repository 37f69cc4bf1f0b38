package encode

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/lensward/lensward/capture/internal/annexb"
)

// The parts of FLV and of its video tags that carry H.264 (Adobe Flash Video File
// Format Specification 10.1, annex E).
const (
	tagScript      = 18
	tagVideo       = 9
	frameKey       = 0x10
	codecAVC       = 7
	packetSequence = 0
	packetUnits    = 1
	packetEnd      = 2

	// maxTag is the longest tag that is read, in bytes.
	maxTag = 8 << 20
)

// flvReader reads the frames of an H.264 stream in FLV, and gives them as Annex B
// access units with their parameter sets before each key frame. FLV says how long
// a frame is before it comes and which picture it is of, so that neither has to be
// guessed, and no frame waits for the next one's start.
type flvReader struct {
	in         *bufio.Reader
	begun      bool
	parameters []byte // SPS and PPS with start codes
}

// flvFrame is an access unit.
type flvFrame struct {
	stamp uint32 // ms
	key   bool
	data  []byte // Annex B, in memory of its own
}

func newFLVReader(r io.Reader) *flvReader {
	return &flvReader{in: bufio.NewReaderSize(r, 32<<10)}
}

// next returns the next frame; io.EOF is the end of the stream, at the end of a
// tag.
func (f *flvReader) next() (flvFrame, error) {
	if !f.begun {
		var head [13]byte // with the length of the tag before the first: 0
		if _, err := io.ReadFull(f.in, head[:]); err != nil {
			return flvFrame{}, fmt.Errorf("read FLV header: %w", err)
		}
		if string(head[:4]) != "FLV\x01" || binary.BigEndian.Uint32(head[5:]) != 9 {
			return flvFrame{}, errors.New("it is no FLV stream")
		}
		f.begun = true
	}
	for {
		var head [11]byte
		if _, err := io.ReadFull(f.in, head[:]); errors.Is(err, io.EOF) {
			return flvFrame{}, io.EOF
		} else if err != nil {
			return flvFrame{}, fmt.Errorf("read FLV tag: %w", err)
		}
		size := int(head[1])<<16 | int(head[2])<<8 | int(head[3])
		stamp := uint32(head[7])<<24 | uint32(head[4])<<16 | uint32(head[5])<<8 | uint32(head[6])
		if size > maxTag {
			return flvFrame{}, fmt.Errorf("an FLV tag of %d bytes is longer than %d", size, maxTag)
		}
		frame, isFrame, err := f.tag(head[0], size)
		if err != nil {
			return flvFrame{}, fmt.Errorf("read FLV tag: %w", err)
		}
		if _, err := f.in.Discard(4); err != nil { // the tag's length again
			return flvFrame{}, fmt.Errorf("read FLV tag: %w", unexpected(err))
		}
		if isFrame {
			frame.stamp = stamp
			return frame, nil
		}
	}
}

// tag reads a tag's body; false is one without a frame.
func (f *flvReader) tag(kind byte, size int) (flvFrame, bool, error) {
	if kind != tagVideo && kind != tagScript {
		return flvFrame{}, false, fmt.Errorf("its type is %d", kind)
	}
	if kind == tagScript {
		_, err := f.in.Discard(size)
		return flvFrame{}, false, unexpected(err)
	}
	var head [5]byte
	if size < len(head) {
		return flvFrame{}, false, fmt.Errorf("its body has %d bytes", size)
	}
	if _, err := io.ReadFull(f.in, head[:]); err != nil {
		return flvFrame{}, false, unexpected(err)
	}
	if head[0]&0x0f != codecAVC {
		return flvFrame{}, false, fmt.Errorf("its codec is %d", head[0]&0x0f)
	}
	size -= len(head)
	switch head[1] {
	case packetSequence:
		record, err := f.body(nil, size)
		if err != nil {
			return flvFrame{}, false, err
		}
		f.parameters, err = parameterSets(record)
		return flvFrame{}, false, err
	case packetUnits:
		frame, err := f.frame(head[0]&0xf0 == frameKey, size)
		return frame, err == nil, err
	case packetEnd:
		_, err := f.in.Discard(size)
		return flvFrame{}, false, unexpected(err)
	default:
		return flvFrame{}, false, fmt.Errorf("its packet type is %d", head[1])
	}
}

// frame reads a frame's units.
func (f *flvReader) frame(key bool, size int) (flvFrame, error) {
	var before []byte
	if key {
		before = f.parameters
	}
	data, err := f.body(before, size)
	if err != nil {
		return flvFrame{}, err
	}
	idr, err := startCodes(data[len(before):])
	if err != nil {
		return flvFrame{}, err
	}
	if key && (!idr || len(before) == 0) {
		return flvFrame{}, errors.New("its key frame is none: it has no IDR picture or no parameter sets")
	}
	return flvFrame{key: key, data: data}, nil
}

// body reads size bytes behind a copy of before. Memory grows with what is there,
// not with what a length claims.
func (f *flvReader) body(before []byte, size int) ([]byte, error) {
	const step = 256 << 10
	data := make([]byte, len(before), len(before)+min(size, step))
	copy(data, before)
	for size > 0 {
		n := min(size, step)
		at := len(data)
		data = append(data, make([]byte, n)...)
		if _, err := io.ReadFull(f.in, data[at:]); err != nil {
			return nil, unexpected(err)
		}
		size -= n
	}
	return data, nil
}

// unexpected is an end inside of something.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// startCodes puts a start code in place of each unit's four-byte length, and
// returns whether there is an IDR picture.
func startCodes(data []byte) (idr bool, err error) {
	picture := false
	for len(data) > 0 {
		if len(data) < 5 {
			return false, errors.New("an H.264 unit is cut short")
		}
		size := binary.BigEndian.Uint32(data)
		if size == 0 || uint64(size) > uint64(len(data)-4) {
			return false, fmt.Errorf("an H.264 unit of %d bytes is not within its frame", size)
		}
		binary.BigEndian.PutUint32(data, 1)
		switch annexb.Type(data[4:]) {
		case annexb.IDR:
			idr, picture = true, true
		case annexb.Slice:
			picture = true
		}
		data = data[4+size:]
	}
	if !picture {
		return false, errors.New("an H.264 frame has no picture")
	}
	return idr, nil
}

// parameterSets returns the SPS and PPS of a decoder configuration record (ISO/IEC
// 14496-15, 5.3.3.1), with start codes.
func parameterSets(record []byte) ([]byte, error) {
	if len(record) < 7 || record[0] != 1 {
		return nil, errors.New("the decoder configuration is damaged")
	}
	if record[4]&3 != 3 {
		return nil, fmt.Errorf("unit lengths have %d bytes, not 4", record[4]&3+1)
	}
	var out []byte
	rest := record[5:]
	for _, mask := range []byte{0x1f, 0xff} {
		if len(rest) == 0 {
			return nil, errors.New("the decoder configuration is cut short")
		}
		count := int(rest[0] & mask)
		if count == 0 {
			return nil, errors.New("the decoder configuration lacks a parameter set")
		}
		rest = rest[1:]
		for range count {
			if len(rest) < 3 || int(binary.BigEndian.Uint16(rest)) > len(rest)-2 || binary.BigEndian.Uint16(rest) == 0 {
				return nil, errors.New("the decoder configuration is cut short")
			}
			size := int(binary.BigEndian.Uint16(rest))
			out = append(append(out, 0, 0, 0, 1), rest[2:2+size]...)
			rest = rest[2+size:]
		}
	}
	return out, nil
}
