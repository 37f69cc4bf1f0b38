//go:build linux

package rpicam

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/lensward/lensward/capture/jpegdc"
)

// JPEG markers (ITU-T T.81, table B.1) that the splitter needs to know.
const (
	markTEM  = 0x01
	markRST0 = 0xd0
	markRST7 = 0xd7
	markSOI  = 0xd8
	markEOI  = 0xd9
	markSOS  = 0xda
)

// jpegSplitter cuts a byte stream into JPEGs by walking their markers and
// segments: an end marker inside of a segment ends nothing. A picture is there as
// soon as its last byte is.
type jpegSplitter struct {
	in    io.Reader
	read  []byte    // what Read fills
	buf   []byte    // from the start of the present picture on
	begun bool      // buf begins with SOI
	at    int       // where the walk is in buf
	last  int       // where the last segment begins in buf
	scan  bool      // in entropy-coded data
	came  time.Time // when the present picture's first bytes came
	now   time.Time // when the last bytes came
	err   error
}

// jpegPicture is a JPEG from SOI to EOI, in memory of its own.
type jpegPicture struct {
	data []byte
	came time.Time
}

func newJPEGSplitter(r io.Reader) *jpegSplitter {
	return &jpegSplitter{in: r, read: make([]byte, 64<<10)}
}

// next returns the next picture; errBroken is in the error for one that is not
// whole, after which the next may be. Others are what reading failed with.
func (s *jpegSplitter) next() (jpegPicture, error) {
	for {
		if s.begin() {
			whole, err := s.walk()
			if err != nil {
				s.drop(s.at)
				return jpegPicture{}, fmt.Errorf("%w: %w", errBroken, err)
			}
			if whole {
				p := jpegPicture{bytes.Clone(s.buf[:s.at]), s.came}
				s.drop(s.at)
				return p, nil
			}
		}
		if s.err != nil {
			return jpegPicture{}, s.err
		}
		n, err := s.in.Read(s.read)
		if n > 0 {
			s.now = time.Now()
			s.buf = append(s.buf, s.read[:n]...)
		}
		s.err = err
	}
}

// drop forgets the first n bytes, and with them the present picture.
func (s *jpegSplitter) drop(n int) {
	s.buf = append(s.buf[:0], s.buf[n:]...)
	s.begun, s.scan, s.at, s.last = false, false, 0, 0
}

// begin finds the next SOI and forgets what stands before it.
func (s *jpegSplitter) begin() bool {
	if s.begun {
		return true
	}
	i := bytes.Index(s.buf, []byte{0xff, markSOI})
	if i < 0 { // the last byte may be half of one
		s.drop(max(0, len(s.buf)-1))
		return false
	}
	s.drop(i)
	s.begun, s.at, s.came = true, 2, s.now
	return true
}

// walk goes on through the present picture; true is its end. After an error, at is
// where the next picture may begin.
func (s *jpegSplitter) walk() (whole bool, err error) {
	for {
		if len(s.buf) > jpegdc.MaxBytes {
			s.at = len(s.buf)
			return false, fmt.Errorf("a picture of more than %d bytes", jpegdc.MaxBytes)
		}
		if s.scan && !s.skipScan() {
			return false, nil
		}
		if len(s.buf)-s.at < 2 {
			return false, nil
		}
		mark := s.buf[s.at+1]
		switch {
		case s.buf[s.at] != 0xff: // a false length may have swallowed the next picture's start
			at := s.at
			s.at = s.last + 2
			return false, fmt.Errorf("a marker is missing after %d bytes", at)
		case mark == 0xff: // a fill byte
			s.at++
			continue
		case mark == markEOI:
			s.at += 2
			return true, nil
		case mark == markSOI:
			return false, fmt.Errorf("another picture begins after %d bytes", s.at)
		case mark == 0 || mark == markTEM || mark >= markRST0 && mark <= markRST7:
			s.at += 2
			return false, fmt.Errorf("marker FF%02X is out of place", mark)
		}
		if len(s.buf)-s.at < 4 {
			return false, nil
		}
		length := int(s.buf[s.at+2])<<8 | int(s.buf[s.at+3])
		if length < 2 {
			s.at += 2
			return false, fmt.Errorf("segment FF%02X has length %d", mark, length)
		}
		if len(s.buf)-s.at < 2+length {
			return false, nil
		}
		s.last = s.at
		s.at += 2 + length
		s.scan = mark == markSOS
	}
}

// skipScan passes over entropy-coded data; true is at the marker that ends it.
// Stuffed zeros and restart markers belong to the data.
func (s *jpegSplitter) skipScan() bool {
	for {
		i := bytes.IndexByte(s.buf[s.at:], 0xff)
		if i < 0 {
			s.at = len(s.buf)
			return false
		}
		s.at += i
		if len(s.buf)-s.at < 2 {
			return false
		}
		switch mark := s.buf[s.at+1]; {
		case mark == 0 || mark >= markRST0 && mark <= markRST7:
			s.at += 2
		case mark == 0xff:
			s.at++
		default:
			s.scan = false
			return true
		}
	}
}
