package annexb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxUnit is the longest access unit that is read, in bytes.
const MaxUnit = 8 << 20

// ErrTooLong says that no picture ended for MaxUnit bytes: what comes is no H.264
// stream.
var ErrTooLong = errors.New("the stream is no H.264, or a picture of it is too long")

// Splitter cuts a byte stream into access units. Where one ends is only seen when
// the next begins, so that each is late by one.
type Splitter struct {
	in   io.Reader
	read []byte    // what Read fills
	buf  []byte    // from the start of the present access unit on
	seen int       // how far buf has been looked through
	at   time.Time // when the present access unit's first bytes came
	now  time.Time // when the last bytes came

	picture bool // the present access unit has a slice
	err     error
}

// Unit is an access unit, in memory of its own.
type Unit struct {
	Data []byte
	// Came is when its first bytes came.
	Came time.Time
	// Ended says that the stream ended behind it: it need not be whole.
	Ended bool
}

// NewSplitter returns a splitter of what r gives.
func NewSplitter(r io.Reader) *Splitter {
	return &Splitter{in: r, read: make([]byte, 64<<10)}
}

// Next returns the next access unit. What stands before the first start code is
// passed over. At the end of the stream comes the last access unit, whole or not,
// then io.EOF.
func (s *Splitter) Next() (Unit, error) {
	for {
		if end := s.search(); end >= 0 {
			return s.cut(end), nil
		}
		if s.err != nil {
			if s.picture {
				u := s.cut(len(s.buf))
				u.Ended = true
				return u, nil
			}
			return Unit{}, s.err
		}
		if len(s.buf) > MaxUnit {
			return Unit{}, fmt.Errorf("%w: %d bytes", ErrTooLong, len(s.buf))
		}
		n, err := s.in.Read(s.read)
		if n > 0 {
			s.now = time.Now()
			if len(s.buf) == 0 {
				s.at = s.now
			}
			s.buf = append(s.buf, s.read[:n]...)
		}
		s.err = err
	}
}

// cut takes the first n bytes as an access unit.
func (s *Splitter) cut(n int) Unit {
	u := Unit{Data: bytes.Clone(s.buf[:n]), Came: s.at}
	s.buf = append(s.buf[:0], s.buf[n:]...)
	s.seen, s.picture, s.at = 0, false, s.now
	return u
}

// search looks through what has come for the start of the next access unit, and
// returns its place; -1 if it is not there yet.
func (s *Splitter) search() int {
	for {
		i := bytes.Index(s.buf[s.seen:], []byte{0, 0, 1})
		if i < 0 {
			s.seen = max(s.seen, len(s.buf)-2)
			return -1
		}
		start, unit := s.seen+i, s.seen+i+3
		if unit+1 >= len(s.buf) { // the unit's type and the bit after it decide
			s.seen = start
			if s.err == nil {
				return -1
			}
			s.seen = unit
			continue
		}
		s.seen = unit
		if first, picture := opens(s.buf[unit], s.buf[unit+1]); first && s.picture {
			if start > 0 && s.buf[start-1] == 0 { // a start code of four bytes
				start--
			}
			return start
		} else if picture {
			s.picture = true
		}
	}
}

// opens says whether a unit that follows a picture begins a new access unit (ITU-T
// H.264, 7.4.1.2.3), and whether it is of a picture. A slice begins one if it has
// the picture's first macroblock: first_mb_in_slice is 0, which is a single bit of
// 1. Streams with slices out of order are none that cameras give.
func opens(header, next byte) (first, picture bool) {
	switch kind := int(header & 0x1f); kind {
	case Slice, PartA, IDR:
		return next&0x80 != 0, true
	case SEI, SPS, PPS, Delimiter:
		return true, false
	default:
		return kind >= prefix && kind <= prefixEnd, false
	}
}
