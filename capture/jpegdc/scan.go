package jpegdc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// What goes wrong in entropy-coded data.
var (
	errEndsEarly = errors.New("the frame ends in its scan")
	errBadCode   = errors.New("bits that are no Huffman code")
	errTooLong   = errors.New("a block of more than 64 coefficients")
	errDCRange   = errors.New("DC coefficient out of range")
)

// step is one block of an MCU.
type step struct {
	code   *blockCode
	luma   bool
	offset int // of a luma block within the MCU's part of the grid
}

// scan is the plan for a frame's entropy-coded data, and its buffer.
type scan struct {
	steps        [10]step // an MCU's blocks, T.81 B.2.3
	n            int
	mcuX, mcuY   int // MCUs across and down
	mcuW, mcuH   int // luma blocks across and down an MCU
	stride, rows int // of the grid, which holds whole MCUs
	restart      int // MCUs in a restart interval, 0 for none
	quant        int32

	// bits is the current interval without byte stuffing, and bitPad zero bytes.
	bits []byte
}

// bitPad is how far behind the interval's end a load may reach: the end is
// looked for after each interval, not at each symbol.
const bitPad = 16

// A window is 64 bits of s.bits from the byte that holds the current position, of
// which windowBits are sure to lie behind it. The longest code needs symbolBits, a DC
// coefficient with its extra bits dcBits, which is the most that one look-up uses up.
const (
	windowBits = 64 - 7
	symbolBits = 16
	dcBits     = symbolBits + 11
)

// prepare makes the plan for the header's scan.
func (d *Decoder) prepare() error {
	h, s := &d.head, &d.scan
	luma := &h.components[0]
	s.quant = h.dcQuant[luma.quant]
	if s.quant == 0 {
		return fmt.Errorf("quantisation table %d is missing", luma.quant)
	}
	s.restart = h.restart
	s.mcuW, s.mcuH = luma.h, luma.v
	if h.scanned == 1 { // not interleaved: an MCU is one block, T.81 A.2.2
		s.mcuW, s.mcuH = 1, 1
	}
	s.mcuX = (blocks(h.width) + s.mcuW - 1) / s.mcuW
	s.mcuY = (blocks(h.height) + s.mcuH - 1) / s.mcuH
	s.stride, s.rows = s.mcuX*s.mcuW, s.mcuY*s.mcuH
	s.n = 0
	for _, i := range h.inScan[:h.scanned] {
		c := &h.components[i]
		code, err := d.tables.get(h, c.dc, c.ac)
		if err != nil {
			return err
		}
		count := c.h * c.v
		if h.scanned == 1 {
			count = 1
		}
		if s.n+count > len(s.steps) {
			return fmt.Errorf("an MCU of more than %d blocks", len(s.steps))
		}
		for k := range count {
			st := step{code: code, luma: i == 0}
			if st.luma {
				st.offset = k/s.mcuW*s.stride + k%s.mcuW
			}
			s.steps[s.n] = st
			s.n++
		}
	}
	return nil
}

// decode reads the scan in data, which begins behind the scan header, and writes
// the means of all its luma blocks.
func (s *scan) decode(data, luma []byte) error {
	return s.intervals(data, s.mcuX*s.mcuY, s.restart, func(first, last int) error {
		return s.interval(luma, first, last)
	})
}

// intervals loads one restart interval after the other of a scan of total MCUs, which
// lie in data, and hands to read which MCUs are in s.bits: from the first to before
// the last. With restart 0 all the scan is one interval.
func (s *scan) intervals(data []byte, total, restart int, read func(first, last int) error) error {
	if restart == 0 {
		restart = total
	}
	for done, count := 0, 0; done < total; count++ {
		if count > 0 {
			want := byte(markerRST0 + (count-1)&7)
			if len(data) < 2 || data[1] < markerRST0 || data[1] > markerRST7 {
				return errEndsEarly
			}
			if data[1] != want {
				return fmt.Errorf("restart marker %d where %d should be", data[1]-markerRST0, want-markerRST0)
			}
			data = data[2:]
		}
		data = data[s.load(data):]
		end := min(done+restart, total)
		if err := read(done, end); err != nil {
			return err
		}
		done = end
	}
	return nil
}

// load copies one interval of entropy-coded data into s.bits, without the zero
// bytes that stuff 0xFF (T.81 F.1.2.3), and returns the offset of the marker
// that ends it, or of the data's end.
func (s *scan) load(data []byte) int {
	if need := len(data) + bitPad; cap(s.bits) < need {
		s.bits = make([]byte, 0, need+need/4)
	}
	bits := s.bits[:0]
	at := 0
	for {
		n := bytes.IndexByte(data[at:], 0xFF)
		if n < 0 {
			bits = append(bits, data[at:]...)
			at = len(data)
			break
		}
		bits = append(bits, data[at:at+n]...)
		at += n
		for at+1 < len(data) && data[at+1] == 0xFF { // fill bytes before a marker
			at++
		}
		if at+1 >= len(data) {
			at = len(data)
			break
		}
		if data[at+1] != 0 {
			break
		}
		bits = append(bits, 0xFF)
		at += 2
	}
	s.bits = append(bits, make([]byte, bitPad)...)
	return at
}

// interval decodes the MCUs from the first to before the last out of s.bits.
func (s *scan) interval(luma []byte, first, last int) error {
	var (
		pos  uint // in bits
		dc   int32
		err  error
		x    = first % s.mcuX
		base = first/s.mcuX*s.mcuH*s.stride + x*s.mcuW
		row  = s.mcuH*s.stride - s.mcuX*s.mcuW // from behind a row of MCUs to the next
	)
	for range last - first {
		if pos, dc, err = s.mcu(luma, base, pos, dc); err != nil {
			return err
		}
		base += s.mcuW
		if x++; x == s.mcuX {
			x = 0
			base += row
		}
	}
	if pos > 8*uint(len(s.bits)-bitPad) {
		return errEndsEarly
	}
	return nil
}

// mcu decodes the MCU that begins pos bits into s.bits, with dc the last luma DC
// coefficient, and returns both as they are behind it.
func (s *scan) mcu(luma []byte, base int, pos uint, dc int32) (uint, int32, error) {
	var window uint64 // what begins at pos, of which left bits are sure
	var left uint
	for i := range s.steps[:s.n] {
		st := &s.steps[i]
		if left < dcBits {
			p := pos >> 3
			if p+8 > uint(len(s.bits)) {
				return 0, 0, errEndsEarly
			}
			window = binary.BigEndian.Uint64(s.bits[p:]) << (pos & 7)
			left = windowBits
		}
		e := st.code.start[window>>(64-probeBits)]
		diff := int32(e) >> entryDC
		if wholeBlock(1 + uint(e)>>entryAdvance&entrySkipMask) { // as is the rule
			n := uint(e & entryBitsMask)
			pos += n
			window <<= n
			left -= n
		} else {
			var err error
			if pos, diff, err = s.rest(st.code, e, window, pos, left); err != nil {
				return 0, 0, err
			}
			left = 0
		}
		if !st.luma {
			continue
		}
		dc += diff
		mean := (dc*s.quant+4)>>3 + 128
		if uint32(mean) > 255 {
			if dc < -1<<14 || dc >= 1<<14 {
				return 0, 0, errDCRange
			}
			mean = min(max(mean, 0), 255)
		}
		luma[base+st.offset] = byte(mean)
	}
	return pos, dc, nil
}

// wholeBlock says whether a block whose coefficients up to z have been found has no
// more: it has 64, or an end of block within them.
func wholeBlock(z uint) bool { return z-endOfBlock < 64 || z == 64 }

// rest reads a block for which one look-up, of entry e, was not enough. The window
// holds what begins pos bits into s.bits, where the block does, and left bits of it are
// sure, at least dcBits. It returns where the block ends, and its DC difference.
func (s *scan) rest(code *blockCode, e uint32, window uint64, pos, left uint) (uint, int32, error) {
	diff := int32(e) >> entryDC
	n := uint(e & entryBitsMask)
	z := 1 + uint(e)>>entryAdvance&entrySkipMask
	if n == 0 || z > 64 {
		var err error
		if n, diff, err = code.dcSlow(window); err != nil {
			return 0, 0, err
		}
		z = 1
	}
	end, err := s.skipAC(code.ac, window<<n, pos+n, pos+left-symbolBits, z)
	return end, diff, err
}

// skipAC passes over the rest of a block from coefficient z on, which begins pos
// bits into s.bits. The window holds what is there, up to position end and at
// least symbolBits more.
func (s *scan) skipAC(ac *acCode, window uint64, pos, end, z uint) (uint, error) {
	table := ac.skip[1<<probeBits:]
	for {
		for pos <= end {
			e := uint(table[window>>(64-probeBits)])
			next := z + e>>entryAdvance
			if e == 0 || next > 64 && next-endOfBlock >= 64 {
				var err error
				if e, err = ac.slow(window, z); err != nil {
					return 0, err
				}
				next = z + e>>entryAdvance
			}
			n := e & entryBitsMask
			pos += n
			z = next
			if z >= 64 {
				return pos, nil
			}
			window <<= n
		}
		p := pos >> 3
		if p+8 > uint(len(s.bits)) {
			return 0, errEndsEarly
		}
		window = binary.BigEndian.Uint64(s.bits[p:]) << (pos & 7)
		end = pos + windowBits - symbolBits
	}
}
