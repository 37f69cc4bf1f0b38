package scene

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits of one picture.
const (
	maxPictureBytes = 8 << 20
	maxPictureSide  = 8192
)

// JPEG markers (ITU-T T.81, table B.1) that the splitter needs to know.
const (
	markSOF0 = 0xc0
	markSOF1 = 0xc1
	markDHT  = 0xc4
	markJPG  = 0xc8
	markDAC  = 0xcc
	markRST0 = 0xd0
	markRST7 = 0xd7
	markSOI  = 0xd8
	markEOI  = 0xd9
	markSOS  = 0xda
	markTEM  = 0x01
)

// brokenError says what is wrong with one picture of a run. The next may be good.
type brokenError struct{ reason string }

func (e *brokenError) Error() string { return "broken JPEG: " + e.reason }

func broken(format string, args ...any) error {
	return &brokenError{fmt.Sprintf(format, args...)}
}

// picture is one JPEG, whole from SOI to EOI.
type picture struct {
	data          []byte
	width, height int
}

// splitter cuts a run of JPEGs into pictures by walking their markers and
// segments, so that an EOI inside a thumbnail or a comment ends nothing. What
// stands between two pictures is passed over.
type splitter struct {
	in     *bufio.Reader
	again  []byte // bytes of a broken picture, to be searched for the next one
	fresh  int64  // bytes read from in
	given  int64  // bytes put into again
	opened bool   // the SOI of the next picture is read already
	last   int    // length of the picture before, a guess at the next one's

	data    []byte // the present picture so far
	segment int    // where its last segment begins in data
	loose   []byte // what was read after that and is not in data
	width   int
	height  int
	scanned bool
}

func newSplitter(r io.Reader) *splitter {
	return &splitter{in: bufio.NewReaderSize(r, 64<<10)}
}

// next returns the next picture in memory of its own; io.EOF when there is none,
// a *brokenError for a picture that is not whole, or what reading failed with.
func (s *splitter) next() (picture, error) {
	if err := s.findStart(); err != nil {
		return picture{}, err
	}
	s.data = append(make([]byte, 0, s.last+s.last/8+1024), 0xff, markSOI)
	s.segment, s.loose, s.width, s.height, s.scanned = 2, s.loose[:0], 0, 0, false
	err := s.readPicture()
	if errors.Is(err, io.EOF) {
		err = broken("it ends after %d bytes without an end marker", len(s.data))
	}
	var bad *brokenError
	if errors.As(err, &bad) && !s.opened {
		s.giveBack(append(s.data[s.segment:], s.loose...))
	}
	if err != nil {
		return picture{}, err
	}
	s.last = len(s.data)
	return picture{s.data, s.width, s.height}, nil
}

// maxRereads is how often, on average, a byte may be looked at again.
const maxRereads = 8

// giveBack puts the last segment of a broken picture back in front of the input,
// since a false length may have swallowed the next picture's start. An input made
// to have everything read again and again is read on without.
func (s *splitter) giveBack(segment []byte) {
	if s.given += int64(len(segment)); s.given <= maxRereads*s.fresh {
		s.again = append(segment, s.again...)
		s.data = nil
	}
}

// findStart passes over everything before the next SOI.
func (s *splitter) findStart() error {
	var last byte
	for !s.opened {
		b, err := s.readByte()
		if err != nil {
			return err
		}
		s.opened = last == 0xff && b == markSOI
		last = b
	}
	s.opened = false
	return nil
}

// readPicture reads segments and scans up to the end marker.
func (s *splitter) readPicture() error {
	for {
		mark, err := s.readMarker()
		if err != nil {
			return err
		}
		switch {
		case mark == markEOI:
			return s.complete()
		case mark == markSOI:
			s.opened = true
			return broken("another picture begins after %d bytes", len(s.data))
		case mark == markTEM || mark >= markRST0 && mark <= markRST7 || mark == 0:
			return broken("marker FF%02X is out of place", mark)
		}
		s.segment = len(s.data)
		s.data = append(s.data, 0xff, mark)
		s.loose = s.loose[:0]
		if err := s.readSegment(mark); err != nil {
			return err
		}
		if mark == markSOS {
			if err := s.readScan(); err != nil {
				return err
			}
		}
	}
}

// complete ends the picture, if it has what a picture needs.
func (s *splitter) complete() error {
	if s.width == 0 || !s.scanned {
		return broken("it has no picture data")
	}
	s.data = append(s.data, 0xff, markEOI)
	return nil
}

// readMarker returns the next marker's code. Fill bytes before it are dropped.
func (s *splitter) readMarker() (byte, error) {
	for first := true; ; first = false {
		b, err := s.readByte()
		if err != nil {
			return 0, err
		}
		s.loose = append(s.loose, b)
		if first && b != 0xff {
			return 0, broken("a marker is missing after %d bytes", len(s.data))
		}
		if b != 0xff {
			return b, nil
		}
		if len(s.data)+len(s.loose) > maxPictureBytes {
			return 0, broken("it is longer than %d bytes", maxPictureBytes)
		}
	}
}

// readSegment reads the length and the body of a segment.
func (s *splitter) readSegment(mark byte) error {
	hi, err := s.readByte()
	if err != nil {
		return err
	}
	lo, err := s.readByte()
	if err != nil {
		return err
	}
	s.data = append(s.data, hi, lo)
	length := int(hi)<<8 | int(lo)
	if length < 2 {
		return broken("segment FF%02X has length %d", mark, length)
	}
	for length -= 2; length > 0; {
		chunk, err := s.peek()
		if err != nil {
			return err
		}
		chunk = chunk[:min(length, len(chunk))]
		length -= len(chunk)
		if err := s.take(chunk); err != nil {
			return err
		}
	}
	if mark >= markSOF0 && mark <= 0xcf && mark != markDHT && mark != markJPG && mark != markDAC {
		return s.readFrameHeader(mark)
	}
	return nil
}

// readFrameHeader takes the size from the SOF segment that was read last.
func (s *splitter) readFrameHeader(mark byte) error {
	body := s.data[s.segment+4:]
	switch {
	case mark != markSOF0 && mark != markSOF1:
		return broken("its coding (FF%02X) is not baseline", mark)
	case len(body) < 6 || body[0] != 8:
		return broken("its frame header is damaged")
	case s.width != 0:
		return broken("it has two frame headers")
	}
	s.height = int(binary.BigEndian.Uint16(body[1:]))
	s.width = int(binary.BigEndian.Uint16(body[3:]))
	if s.width < 1 || s.height < 1 || s.width > maxPictureSide || s.height > maxPictureSide {
		return broken("its size %d×%d is out of bounds", s.width, s.height)
	}
	return nil
}

// readScan reads entropy-coded data up to the marker that ends it, which it
// leaves unread. Stuffed zeros and restart markers belong to the data.
func (s *splitter) readScan() error {
	s.scanned = true
	s.segment = len(s.data)
	for {
		chunk, err := s.peek()
		if err != nil {
			return err
		}
		at := bytes.IndexByte(chunk, 0xff)
		if at < 0 {
			at = len(chunk)
		}
		if at > 0 {
			if err := s.take(chunk[:at]); err != nil {
				return err
			}
			continue
		}
		pair, err := s.peekPair()
		if err != nil {
			return err
		}
		switch mark := pair[1]; {
		case mark == 0 || mark >= markRST0 && mark <= markRST7:
			if err := s.take(pair); err != nil {
				return err
			}
		case mark == 0xff: // a fill byte
			if _, err := s.readByte(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// peek returns the bytes that are at hand, at least one.
func (s *splitter) peek() ([]byte, error) {
	if len(s.again) > 0 {
		return s.again, nil
	}
	if _, err := s.in.Peek(1); err != nil {
		return nil, err
	}
	return s.in.Peek(s.in.Buffered())
}

// peekPair returns the next two bytes.
func (s *splitter) peekPair() ([]byte, error) {
	switch len(s.again) {
	case 0:
		return s.in.Peek(2)
	case 1:
		b, err := s.in.Peek(1)
		if err != nil {
			return nil, err
		}
		return []byte{s.again[0], b[0]}, nil
	default:
		return s.again[:2], nil
	}
}

// take moves bytes that were peeked at into the picture.
func (s *splitter) take(chunk []byte) error {
	if len(s.data)+len(chunk) > maxPictureBytes {
		return broken("it is longer than %d bytes", maxPictureBytes)
	}
	s.data = append(s.data, chunk...)
	old := min(len(s.again), len(chunk))
	s.again = s.again[old:]
	s.fresh += int64(len(chunk) - old)
	if _, err := s.in.Discard(len(chunk) - old); err != nil {
		return fmt.Errorf("pass over picture data: %w", err)
	}
	return nil
}

// readByte reads one byte and keeps it out of the picture.
func (s *splitter) readByte() (byte, error) {
	if len(s.again) > 0 {
		b := s.again[0]
		s.again = s.again[1:]
		return b, nil
	}
	s.fresh++
	return s.in.ReadByte()
}
