package jpegdc

import (
	"bytes"
	"errors"
	"fmt"
)

// probeBits is how many bits one look-up sees. More finds longer runs of symbols
// at once; fewer keeps the tables in the first-level cache and makes them
// quicker to build, for cameras that send new tables with every frame.
const probeBits = 12

// An entry of a look-up table says what the symbols do that lie wholly in the
// probed bits. Fields add up when symbols follow one another, which is how the
// tables are built. 0 stands for: no symbol fits, take the slow path.
//
//	bits 0–4    bits to consume; the last symbol's extra bits may reach beyond the probe
//	bits 5–12   coefficients to advance
//	bit  13     an end of block was found; counts as 256 coefficients
//	bits 16–31  difference of the DC coefficient, signed (only where a block begins)
const (
	entryAdvance  = 5
	entryEnd      = 256 << entryAdvance
	entryDC       = 16
	entryBitsMask = 1<<entryAdvance - 1
	entrySkipMask = 511
	endOfBlock    = 256
)

// code is a Huffman code in canonical form (T.81 annex C and F.2.2.3): the slow
// path for codes that are longer than a probe or that end a block early.
type code struct {
	counts [16]byte
	values [256]byte
	size   int // number of codes; 0 if not set
	// version changes with the code, so that tables made from it can be told stale.
	version uint64
	// limit[n] is the first 16-bit window behind the codes of up to n bits, and
	// first[n] turns the leading n bits of one into an index of values.
	limit [17]uint32
	first [17]int32
}

// set makes c the code that spec describes, whose symbols valid lets pass.
func (c *code) set(spec tableSpec, valid func(byte) error) error {
	if c.size > 0 && c.size == len(spec.values) && bytes.Equal(c.counts[:], spec.counts) &&
		bytes.Equal(c.values[:c.size], spec.values) {
		return nil
	}
	c.size = 0
	c.version++
	if len(spec.values) == 0 {
		return errors.New("no codes")
	}
	for _, v := range spec.values {
		if err := valid(v); err != nil {
			return err
		}
	}
	next, index := uint32(0), int32(0)
	for n := 1; n <= 16; n++ {
		count := uint32(spec.counts[n-1])
		c.first[n] = index - int32(next)
		next += count
		index += int32(count)
		if next > 1<<n {
			return fmt.Errorf("too many codes of %d bits", n)
		}
		c.limit[n] = next << (16 - n)
		next <<= 1
	}
	copy(c.counts[:], spec.counts)
	copy(c.values[:], spec.values)
	c.size = len(spec.values)
	return nil
}

// lookup returns the symbol that a 16-bit window begins with and its code's
// length, or length 0 if there is none.
func (c *code) lookup(window uint32) (symbol byte, length uint) {
	for n := 1; n <= 16; n++ {
		if window < c.limit[n] {
			return c.values[int32(window>>(16-n))+c.first[n]], uint(n)
		}
	}
	return 0, 0
}

// dcSymbol and acSymbol say which symbols T.81 F.1.2 has for 8-bit samples. AC
// magnitudes up to 15 bits are let pass: only their length matters here.
func dcSymbol(v byte) error {
	if v > 11 {
		return fmt.Errorf("DC symbol %d", v)
	}
	return nil
}

func acSymbol(v byte) error {
	if v&15 == 0 && v != 0 && v != 0xF0 {
		return fmt.Errorf("AC symbol %#02x", v)
	}
	return nil
}

// acCode is a code for AC coefficients with the tables that skip several at once.
type acCode struct {
	code
	built uint64 // the version that skip was built from
	// skip holds a table for every probe of 0 to probeBits bits: the one for n bits
	// lies at [1<<n, 2<<n). The shorter ones are the tails of longer ones.
	skip [2 << probeBits]uint16
}

// probe returns the table for probes of n bits.
func (c *acCode) probe(n int) []uint16 { return c.skip[1<<n : 2<<n] }

// acEntry is the entry of one AC symbol whose code has n bits.
func acEntry(symbol byte, n int) uint32 {
	if symbol == 0 {
		return uint32(n) | entryEnd
	}
	run, size := int(symbol>>4), int(symbol&15)
	return uint32(n+size) | uint32(run+1)<<entryAdvance
}

// build fills the tables if the code has changed, the short ones first. In each, a symbol's entries are
// the table of what is left of the probe behind the symbol, plus the symbol's own.
func (c *acCode) build() {
	if c.built == c.version {
		return
	}
	c.built = c.version
	clear(c.skip[:2])
	for n := 1; n <= probeBits; n++ {
		table := c.probe(n)
		at, index := 0, 0
		for length := 1; length <= n; length++ {
			for range c.counts[length-1] {
				symbol := c.values[index]
				index++
				span := table[at : at+1<<(n-length)]
				at += len(span)
				left := n - length - int(symbol&15)
				if symbol == 0 || left <= 0 {
					fill(span, uint16(acEntry(symbol, length)))
					continue
				}
				repeat(span, c.probe(left), uint16(acEntry(symbol, length)))
			}
		}
		clear(table[at:])
	}
}

// fill sets every element of dst to v.
func fill(dst []uint16, v uint16) {
	for i := range dst {
		dst[i] = v
	}
}

// repeat fills dst with copies of src to whose elements v is added.
func repeat(dst, src []uint16, v uint16) {
	for len(dst) > 0 {
		part := dst[:len(src)]
		for i, s := range src {
			part[i] = s + v
		}
		dst = dst[len(src):]
	}
}

// blockCode is a pair of codes for a component's blocks, with the table for
// probes at a block's beginning: the DC coefficient and as many AC coefficients
// as fit.
type blockCode struct {
	dc    *code
	ac    *acCode
	start [1 << probeBits]uint32

	dcBuilt, acBuilt uint64 // the versions that start was built from
}

// build fills the table if either code has changed.
func (b *blockCode) build() {
	if b.dcBuilt == b.dc.version && b.acBuilt == b.ac.version {
		return
	}
	b.dcBuilt, b.acBuilt = b.dc.version, b.ac.version
	at, index := 0, 0
	for length := 1; length <= probeBits; length++ {
		for range b.dc.counts[length-1] {
			size := int(b.dc.values[index])
			index++
			span := b.start[at : at+1<<(probeBits-length)]
			at += len(span)
			left := probeBits - length - size
			if left < 0 {
				clear(span)
				continue
			}
			tail := b.ac.probe(left)
			for extra := range 1 << size {
				v := uint32(length+size) + uint32(extend(uint32(extra), uint(size)))<<entryDC
				part := span[extra<<left : (extra+1)<<left]
				for i, s := range tail {
					part[i] = uint32(s) + v
				}
			}
		}
	}
	clear(b.start[at:])
}

// extend is T.81 figure F.12: the signed value of a coefficient's extra bits.
func extend(extra uint32, size uint) int32 {
	if size > 0 && extra < 1<<(size-1) {
		return int32(extra) - 1<<size + 1
	}
	return int32(extra)
}

// tableCache holds the codes in use by class and number, and their look-up
// tables, from one frame to the next: they are built again only when a frame's
// tables differ.
type tableCache struct {
	dc       [4]code
	ac       [4]acCode
	blocks   [4][4]*blockCode // by DC and AC table, made when first used
	standard [2][2]tableSpec  // by class and number, made when first used
}

// get returns the look-up tables for DC table dc and AC table ac of a frame.
func (t *tableCache) get(h *header, dc, ac int) (*blockCode, error) {
	if err := t.dc[dc].set(t.spec(h, classDC, dc), dcSymbol); err != nil {
		return nil, fmt.Errorf("DC Huffman table %d: %w", dc, err)
	}
	if err := t.ac[ac].set(t.spec(h, classAC, ac), acSymbol); err != nil {
		return nil, fmt.Errorf("AC Huffman table %d: %w", ac, err)
	}
	t.ac[ac].build()
	b := t.blocks[dc][ac]
	if b == nil {
		b = &blockCode{dc: &t.dc[dc], ac: &t.ac[ac]}
		t.blocks[dc][ac] = b
	}
	b.build()
	return b, nil
}

// spec returns a frame's Huffman table, or the standard one where it has none.
func (t *tableCache) spec(h *header, class, id int) tableSpec {
	if s := h.huffman[class][id]; s.counts != nil || id > 1 {
		return s
	}
	s := &t.standard[class][id]
	if s.counts == nil {
		counts, values := standard(class, id)
		s.counts, s.values = []byte(counts), []byte(values)
	}
	return *s
}

// dcSlow decodes a DC coefficient alone: the bits it takes and its difference.
func (b *blockCode) dcSlow(window uint64) (bits uint, diff int32, err error) {
	size, length := b.dc.lookup(uint32(window >> 48))
	if length == 0 {
		return 0, 0, errBadCode
	}
	extra := uint32(window << length >> (64 - uint(size)))
	return length + uint(size), extend(extra, uint(size)), nil
}

// slow returns the entry of a single AC symbol at coefficient z.
func (c *acCode) slow(window uint64, z uint) (uint, error) {
	symbol, length := c.lookup(uint32(window >> 48))
	if length == 0 {
		return 0, errBadCode
	}
	e := uint(acEntry(symbol, int(length)))
	if next := z + e>>entryAdvance; next > 64 && next-endOfBlock >= 64 {
		return 0, errTooLong
	}
	return e, nil
}
