package jpegdc

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// symbolsDC are the DC symbols that any difference can take, symbolsACEnd the AC
// symbol that ends a block.
const (
	symbolsDC    = valuesDC
	symbolsACEnd = "\x00"
)

// word is a symbol's code.
type word struct {
	bits uint32
	n    uint // 1 to 16; 0 where there is none
}

// fullCode is a frame's code with all the symbols that a black block may need. The
// codes that the frame had stay as they were, so that what was coded with them can be
// copied: each symbol that lacked gets a code of 16 bits behind them all. There is
// room for that because a code of all ones may not be given out (T.81 annex C): one
// place of the longest length is always free, unless that is 16 bits itself.
type fullCode struct {
	counts [16]byte
	values []byte
	sizes  [12]word // of the DC symbols
	end    word     // of the AC symbol that ends a block
}

// complete makes f of the code c and the symbols that must be in it.
func (f *fullCode) complete(c *code, symbols string) error {
	f.counts = c.counts
	f.values = append(f.values[:0], c.values[:c.size]...)
	next := c.limit[16] // the first 16-bit code that is free
	for i := range len(symbols) {
		if bytes.IndexByte(c.values[:c.size], symbols[i]) >= 0 {
			continue
		}
		if next >= 0xFFFF || f.counts[15] == 255 || len(f.values) == 256 {
			return errNoRoom
		}
		next++
		f.counts[15]++
		f.values = append(f.values, symbols[i])
	}
	f.sizes, f.end = [12]word{}, word{}
	at, index := uint32(0), 0
	for length := uint(1); length <= 16; length++ {
		for range f.counts[length-1] {
			w := word{at, length}
			if v := f.values[index]; int(v) < len(f.sizes) {
				f.sizes[v] = w
				if v == 0 {
					f.end = w
				}
			}
			at++
			index++
		}
		at <<= 1
	}
	return nil
}

// appendTable appends the code as a DHT segment.
func (f *fullCode) appendTable(out []byte, class, id int) []byte {
	length := 2 + 1 + len(f.counts) + len(f.values)
	out = append(out, 0xFF, markerDHT, byte(length>>8), byte(length), byte(class<<4|id))
	out = append(out, f.counts[:]...)
	return append(out, f.values...)
}

// magnitude is a DC difference's symbol and extra bits, T.81 F.1.2.1.2.
func magnitude(diff int32) (size uint, extra uint32) {
	if diff < 0 {
		size = uint(bits.Len32(uint32(-diff)))
		return size, uint32(diff+1<<size-1) & (1<<size - 1)
	}
	return uint(bits.Len32(uint32(diff))), uint32(diff)
}

// bitWriter collects bits, the first ones highest in each byte.
type bitWriter struct {
	data []byte
	acc  uint64 // the last n bits are still to be written
	n    uint   // less than 32
}

func (w *bitWriter) reset() { w.data, w.acc, w.n = w.data[:0], 0, 0 }

// put appends the last n bits of v, whose other bits are 0. n is at most 32.
func (w *bitWriter) put(v uint64, n uint) {
	w.acc = w.acc<<n | v
	if w.n += n; w.n >= 32 {
		w.n -= 32
		w.data = binary.BigEndian.AppendUint32(w.data, uint32(w.acc>>w.n))
	}
}

// copyBits appends the bits of data from one position to before another, behind which
// data has at least bitPad bytes.
func (w *bitWriter) copyBits(data []byte, from, to uint) {
	for from < to {
		n := min(to-from, 32)
		window := binary.BigEndian.Uint64(data[from>>3:]) << (from & 7)
		w.put(window>>(64-n), n)
		from += n
	}
}

// finish fills the last byte up with ones, as T.81 F.1.2.3 has it, and returns all
// that was written. It is valid until the next reset.
func (w *bitWriter) finish() []byte {
	if fill := -w.n & 7; fill > 0 {
		w.put(1<<fill-1, fill)
	}
	for ; w.n > 0; w.n -= 8 {
		w.data = append(w.data, byte(w.acc>>(w.n-8)))
	}
	return w.data
}

// appendStuffed appends entropy-coded data with a zero byte behind each 0xFF.
func appendStuffed(out, data []byte) []byte {
	for {
		n := bytes.IndexByte(data, 0xFF)
		if n < 0 {
			return append(out, data...)
		}
		out = append(append(out, data[:n+1]...), 0)
		data = data[n+1:]
	}
}
