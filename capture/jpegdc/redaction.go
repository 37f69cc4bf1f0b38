package jpegdc

import (
	"encoding/binary"
	"fmt"
)

// Limits of what a DC coefficient of black may be worth.
const (
	dcBlack      = -1024 // the lowest dequantised DC coefficient that a picture needs
	maxBlackStep = 4096  // a quantiser above it makes black overflow in common decoders
)

// redaction is the plan for one scan's redaction.
type redaction struct {
	components [3]redactComponent
	n          int
	steps      [10]redactStep // an MCU's blocks
	stepCount  int
	mcuX, mcuY int
}

// redactComponent is a component of the scan.
type redactComponent struct {
	dcID, acID int
	code       *blockCode // what the frame is coded with
	dc, ac     fullCode   // the same, with all symbols that black takes
	black      int32      // DC coefficient of a hidden block

	hidden       []bool // by block, across in a row
	across, down int    // blocks that are in the picture
	h, v         int    // blocks across and down an MCU

	in, out int32 // last DC coefficient read and written
}

// redactStep is one block of an MCU.
type redactStep struct {
	c    *redactComponent
	x, y int // within the MCU
}

// setCodes takes the scan's components and their codes from the header.
func (p *redaction) setCodes(h *header, tables *tableCache) error {
	p.n = h.scanned
	for k, i := range h.inScan[:h.scanned] {
		from, c := &h.components[i], &p.components[k]
		code, err := tables.get(h, from.dc, from.ac)
		if err != nil {
			return err
		}
		c.code, c.dcID, c.acID = code, from.dc, from.ac
		if err := c.dc.complete(code.dc, symbolsDC); err != nil {
			return fmt.Errorf("DC Huffman table %d: %w", from.dc, err)
		}
		if err := c.ac.complete(&code.ac.code, symbolsACEnd); err != nil {
			return fmt.Errorf("AC Huffman table %d: %w", from.ac, err)
		}
		c.black = 0 // colour: none
		if i != 0 {
			continue
		}
		quant := h.dcQuant[from.quant]
		if quant == 0 || quant > maxBlackStep {
			return fmt.Errorf("quantisation table %d: %d cannot give black", from.quant, quant)
		}
		c.black = (dcBlack - quant + 1) / quant // rounded down
	}
	return nil
}

// appendTables appends the codes' tables, each once.
func (p *redaction) appendTables(out []byte) []byte {
	var done [2][4]bool
	for i := range p.components[:p.n] {
		c := &p.components[i]
		if !done[classDC][c.dcID] {
			out = c.dc.appendTable(out, classDC, c.dcID)
		}
		if !done[classAC][c.acID] {
			out = c.ac.appendTable(out, classAC, c.acID)
		}
		done[classDC][c.dcID], done[classAC][c.acID] = true, true
	}
	return out
}

// layOut makes the plan of the scan's blocks, and asks cover which of them to hide.
func (p *redaction) layOut(h *header, cover Cover) error {
	luma := &h.components[0] // the finest: its factors are the largest
	p.stepCount = 0
	for k, i := range h.inScan[:h.scanned] {
		from, c := &h.components[i], &p.components[k]
		if luma.h%from.h != 0 || luma.v%from.v != 0 {
			return fmt.Errorf("%w: sampling factors %d×%d under %d×%d", ErrUnsupported, from.h, from.v, luma.h, luma.v)
		}
		width, height := 8*luma.h/from.h, 8*luma.v/from.v // pixels under a block
		c.across, c.down = (h.width+width-1)/width, (h.height+height-1)/height
		c.hidden = cover(h.width, h.height, width, height)
		if len(c.hidden) != c.across*c.down {
			return fmt.Errorf("a cover of %d cells for %d×%d blocks", len(c.hidden), c.across, c.down)
		}
		c.h, c.v = from.h, from.v
		if h.scanned == 1 { // not interleaved: an MCU is one block, T.81 A.2.2
			c.h, c.v = 1, 1
		}
		for n := range c.h * c.v {
			if p.stepCount == len(p.steps) {
				return fmt.Errorf("an MCU of more than %d blocks", len(p.steps))
			}
			p.steps[p.stepCount] = redactStep{c: c, x: n % c.h, y: n / c.h}
			p.stepCount++
		}
	}
	first := &p.components[0]
	p.mcuX, p.mcuY = (first.across+first.h-1)/first.h, (first.down+first.v-1)/first.v
	if h.scanned > 1 {
		p.mcuX, p.mcuY = (h.width+8*luma.h-1)/(8*luma.h), (h.height+8*luma.v-1)/(8*luma.v)
	}
	return nil
}

// interval copies the MCUs from the first to before the last, which are what s.bits
// holds, to w. Blocks that stay as they are, one after the other, are copied at once:
// the bits from copied to pos are those that are still to be copied.
func (p *redaction) interval(w *bitWriter, s *scan, first, last int) error {
	for i := range p.components[:p.n] {
		p.components[i].in, p.components[i].out = 0, 0
	}
	var pos, copied uint // in bits
	for mcu := first; mcu < last; mcu++ {
		x, y := mcu%p.mcuX, mcu/p.mcuX
		for i := range p.steps[:p.stepCount] {
			st := &p.steps[i]
			c := st.c
			end, diff, err := s.block(c.code, pos)
			if err != nil {
				return err
			}
			before := c.in
			c.in += diff
			switch {
			case c.hides(x*c.h+st.x, y*c.v+st.y):
				w.copyBits(s.bits, copied, pos)
				copied = end
				err = c.putBlack(w)
			case c.out == before:
				c.out = c.in // the difference stays the same, and all of the block
			default:
				w.copyBits(s.bits, copied, pos)
				copied = pos + c.code.dcBits(s.bits, pos)
				err = c.putDC(w, c.in)
			}
			if err != nil {
				return err
			}
			pos = end
		}
	}
	if pos > 8*uint(len(s.bits)-bitPad) {
		return errEndsEarly
	}
	w.copyBits(s.bits, copied, pos)
	return nil
}

// hides says whether the block in column x and row y is hidden. Blocks beyond the
// picture repeat its edge.
func (c *redactComponent) hides(x, y int) bool {
	return c.hidden[min(y, c.down-1)*c.across+min(x, c.across-1)]
}

// putBlack writes a hidden block.
func (c *redactComponent) putBlack(w *bitWriter) error {
	if err := c.putDC(w, c.black); err != nil {
		return err
	}
	w.put(uint64(c.ac.end.bits), c.ac.end.n)
	return nil
}

// putDC writes a DC coefficient, T.81 F.1.2.1.
func (c *redactComponent) putDC(w *bitWriter, value int32) error {
	diff := value - c.out
	c.out = value
	size, extra := magnitude(diff)
	if size >= uint(len(c.dc.sizes)) {
		return errDCRange
	}
	code := c.dc.sizes[size]
	w.put(uint64(code.bits)<<size|uint64(extra), code.n+size)
	return nil
}

// block finds the end of the block that begins pos bits into s.bits, and its DC
// difference.
func (s *scan) block(code *blockCode, pos uint) (end uint, diff int32, err error) {
	p := pos >> 3
	if p+8 > uint(len(s.bits)) {
		return 0, 0, errEndsEarly
	}
	window := binary.BigEndian.Uint64(s.bits[p:]) << (pos & 7)
	e := code.start[window>>(64-probeBits)]
	if wholeBlock(1 + uint(e)>>entryAdvance&entrySkipMask) {
		return pos + uint(e&entryBitsMask), int32(e) >> entryDC, nil
	}
	return s.rest(code, e, window, pos, windowBits)
}

// dcBits is how many bits the DC coefficient takes that begins pos bits into data, and
// is known to be whole.
func (b *blockCode) dcBits(data []byte, pos uint) uint {
	window := binary.BigEndian.Uint64(data[pos>>3:]) << (pos & 7)
	size, length := b.dc.lookup(uint32(window >> 48))
	return length + uint(size)
}
