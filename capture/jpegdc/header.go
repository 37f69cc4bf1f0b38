package jpegdc

import (
	"errors"
	"fmt"
)

// Markers, T.81 table B.1, and Adobe's application segment.
const (
	markerSOF0  = 0xC0 // baseline
	markerSOF1  = 0xC1 // extended sequential, Huffman
	markerSOF2  = 0xC2 // progressive, Huffman
	markerDHT   = 0xC4
	markerJPG   = 0xC8
	markerDAC   = 0xCC
	markerSOF15 = 0xCF
	markerRST0  = 0xD0
	markerRST7  = 0xD7
	markerSOI   = 0xD8
	markerEOI   = 0xD9
	markerSOS   = 0xDA
	markerDQT   = 0xDB
	markerDRI   = 0xDD
	markerDHP   = 0xDE
	markerAPP0  = 0xE0
	markerAPP2  = 0xE2
	markerAPP14 = 0xEE
	markerCOM   = 0xFE
	markerTEM   = 0x01
)

// segment is one marker with its parameters.
type segment struct {
	marker byte
	body   []byte // without the length
	start  int    // offset of the marker's 0xFF
	end    int    // offset behind the segment
}

// segments walks a JPEG's marker segments up to a scan's entropy-coded data.
type segments struct {
	data []byte
	pos  int
}

func newSegments(jpeg []byte) (segments, error) {
	switch {
	case len(jpeg) > MaxBytes:
		return segments{}, fmt.Errorf("%d bytes, the limit is %d", len(jpeg), MaxBytes)
	case len(jpeg) < 4 || jpeg[0] != 0xFF || jpeg[1] != markerSOI:
		return segments{}, errors.New("not a JPEG: it does not begin with SOI")
	}
	return segments{data: jpeg, pos: 2}, nil
}

// next returns the next segment. The end of the image is an error: who asks for
// a segment still needs one.
func (r *segments) next() (segment, error) {
	if r.pos >= len(r.data) {
		return segment{}, errors.New("ends before its scan")
	}
	if r.data[r.pos] != 0xFF {
		return segment{}, fmt.Errorf("no marker at byte %d", r.pos)
	}
	p := r.pos + 1
	for p < len(r.data) && r.data[p] == 0xFF { // fill bytes, T.81 B.1.1.2
		p++
	}
	if p >= len(r.data) {
		return segment{}, errors.New("ends before its scan")
	}
	seg := segment{marker: r.data[p], start: p - 1}
	switch m := seg.marker; {
	case m == 0 || m == markerSOI || m >= markerRST0 && m <= markerRST7:
		return segment{}, fmt.Errorf("marker %#02x at byte %d where a segment should be", m, seg.start)
	case m == markerEOI:
		return segment{}, errors.New("the image ends before its scan")
	case m == markerTEM:
		seg.end = p + 1
		r.pos = seg.end
		return seg, nil
	}
	if p+3 > len(r.data) {
		return segment{}, fmt.Errorf("cut off in segment %#02x", seg.marker)
	}
	n := int(r.data[p+1])<<8 | int(r.data[p+2])
	if n < 2 {
		return segment{}, fmt.Errorf("segment %#02x has length %d", seg.marker, n)
	}
	if n > len(r.data)-(p+1) {
		return segment{}, fmt.Errorf("cut off in segment %#02x", seg.marker)
	}
	seg.body = r.data[p+3 : p+1+n]
	seg.end = p + 1 + n
	r.pos = seg.end
	return seg, nil
}

// skipScan passes over entropy-coded data to the marker behind it.
func (r *segments) skipScan() {
	for ; r.pos+1 < len(r.data); r.pos++ {
		if r.data[r.pos] != 0xFF {
			continue
		}
		if m := r.data[r.pos+1]; m != 0 && m != 0xFF && (m < markerRST0 || m > markerRST7) {
			return
		}
	}
	r.pos = len(r.data)
}

// ended says whether the image, or what there is of it, ends here: behind a scan, a
// missing EOI is no loss.
func (r *segments) ended() bool {
	return r.pos+1 >= len(r.data) || r.data[r.pos+1] == markerEOI
}

// isFrameHeader reports whether m is any of SOF0 to SOF15.
func isFrameHeader(m byte) bool {
	return m >= markerSOF0 && m <= markerSOF15 && m != markerDHT && m != markerJPG && m != markerDAC
}

// frameSize reads the size out of a frame header, T.81 B.2.2.
func frameSize(body []byte) (width, height int, err error) {
	if len(body) < 6 {
		return 0, 0, errors.New("frame header is too short")
	}
	height = int(body[1])<<8 | int(body[2])
	width = int(body[3])<<8 | int(body[4])
	switch {
	case height == 0:
		return 0, 0, fmt.Errorf("%w: height is left to a DNL segment", ErrUnsupported)
	case width == 0:
		return 0, 0, errors.New("width is 0")
	case width > MaxSide || height > MaxSide:
		return 0, 0, fmt.Errorf("%d×%d pixels, the limit is %d×%d", width, height, MaxSide, MaxSide)
	}
	return width, height, nil
}

// component is a colour component as the frame and scan headers describe it.
type component struct {
	id     byte
	h, v   int // sampling factors
	quant  int // quantisation table
	dc, ac int // Huffman tables
}

// tableSpec is a Huffman table as a DHT segment gives it.
type tableSpec struct {
	counts []byte // codes of length 1 to 16
	values []byte // symbols in the order of their codes
}

// Classes of Huffman tables, T.81 B.2.4.2.
const (
	classDC = 0
	classAC = 1
)

// header is what a frame says before the scan that holds luma. Its slices point
// into the frame.
type header struct {
	width, height int
	components    [3]component
	count         int             // components in the frame, luma first
	dcQuant       [4]int32        // quantiser of the DC coefficient, 0 if not given
	huffman       [2][4]tableSpec // by class
	restart       int             // MCUs in a restart interval, 0 for none
	rgb           bool            // an Adobe segment says RGB
	inScan        [3]int          // indices of the scan's components
	scanned       int             // how many of them
}

// read fills h from a frame up to the scan that holds luma, and returns where
// that scan's entropy-coded data begins.
func (h *header) read(jpeg []byte) (int, error) {
	*h = header{}
	r, err := newSegments(jpeg)
	if err != nil {
		return 0, err
	}
	for {
		seg, err := h.readToScan(&r)
		if err != nil {
			return 0, err
		}
		for _, c := range h.inScan[:h.scanned] {
			if c == 0 {
				return seg.end, nil
			}
		}
		r.skipScan()
	}
}

// firstScan fills h from a frame up to its first scan, and returns that scan's
// header.
func (h *header) firstScan(jpeg []byte) (segment, error) {
	r, err := newSegments(jpeg)
	if err != nil {
		return segment{}, err
	}
	return h.readToScan(&r)
}

// readToScan takes in all segments up to the next scan header, and it too.
func (h *header) readToScan(r *segments) (segment, error) {
	for {
		seg, err := r.next()
		if err != nil {
			return segment{}, err
		}
		if seg.marker == markerSOS {
			return seg, h.readScan(seg.body)
		}
		if err := h.add(seg); err != nil {
			return segment{}, err
		}
	}
}

// add takes one segment in.
func (h *header) add(seg segment) error {
	switch m := seg.marker; {
	case m == markerDQT:
		return h.readQuant(seg.body)
	case m == markerDHT:
		return h.readHuffman(seg.body)
	case m == markerDRI:
		if len(seg.body) != 2 {
			return fmt.Errorf("restart interval segment has %d bytes", len(seg.body))
		}
		h.restart = int(seg.body[0])<<8 | int(seg.body[1])
	case m == markerDAC:
		return fmt.Errorf("%w: arithmetic coding", ErrUnsupported)
	case m == markerDHP:
		return fmt.Errorf("%w: hierarchical", ErrUnsupported)
	case m == markerAPP14:
		// Adobe technical note 5116: "Adobe", version, two flags, transform.
		if b := seg.body; len(b) >= 12 && string(b[:5]) == "Adobe" && b[11] == 0 {
			h.rgb = true
		}
	case isFrameHeader(m):
		if err := supported(m); err != nil {
			return err
		}
		return h.readFrame(seg.body)
	}
	return nil
}

// supported names the kinds of frame that are refused.
func supported(m byte) error {
	switch {
	case m == markerSOF0 || m == markerSOF1:
		return nil
	case m == markerSOF2:
		return fmt.Errorf("%w: progressive", ErrUnsupported)
	case m == 0xC3:
		return fmt.Errorf("%w: lossless", ErrUnsupported)
	case m < markerJPG:
		return fmt.Errorf("%w: hierarchical", ErrUnsupported)
	default:
		return fmt.Errorf("%w: arithmetic coding", ErrUnsupported)
	}
}

// readQuant reads quantisation tables, T.81 B.2.4.1; only the DC coefficient's
// quantiser is kept.
func (h *header) readQuant(b []byte) error {
	for len(b) > 0 {
		precision, id := b[0]>>4, b[0]&15
		if precision > 1 || id > 3 {
			return fmt.Errorf("quantisation table %#02x does not exist", b[0])
		}
		n := 1 + 64*(1+int(precision))
		if len(b) < n {
			return errors.New("quantisation table is cut off")
		}
		q := int32(b[1])
		if precision == 1 {
			q = q<<8 | int32(b[2])
		}
		if q == 0 {
			return fmt.Errorf("quantisation table %d divides by 0", id)
		}
		h.dcQuant[id] = q
		b = b[n:]
	}
	return nil
}

// readHuffman notes Huffman tables, T.81 B.2.4.2. They are checked when a scan
// uses them.
func (h *header) readHuffman(b []byte) error {
	for len(b) > 0 {
		class, id := b[0]>>4, b[0]&15
		if class > classAC || id > 3 {
			return fmt.Errorf("there is no Huffman table %#02x", b[0])
		}
		if len(b) < 17 {
			return errors.New("a Huffman table is cut off")
		}
		n := 0
		for _, c := range b[1:17] {
			n += int(c)
		}
		if n > 256 {
			return fmt.Errorf("a Huffman table has %d codes", n)
		}
		if len(b) < 17+n {
			return errors.New("a Huffman table is cut off")
		}
		h.huffman[class][id] = tableSpec{counts: b[1:17], values: b[17 : 17+n]}
		b = b[17+n:]
	}
	return nil
}

// readFrame reads the frame header, T.81 B.2.2.
func (h *header) readFrame(b []byte) error {
	if h.count != 0 {
		return errors.New("more than one frame header")
	}
	width, height, err := frameSize(b)
	if err != nil {
		return err
	}
	if b[0] != 8 {
		return fmt.Errorf("%w: %d-bit samples", ErrUnsupported, b[0])
	}
	n := int(b[5])
	if n == 4 {
		return fmt.Errorf("%w: four components (CMYK)", ErrUnsupported)
	}
	if n != 1 && n != 3 {
		return fmt.Errorf("%d components", n)
	}
	if len(b) != 6+3*n {
		return fmt.Errorf("frame header has %d bytes for %d components", len(b), n)
	}
	for i := range n {
		p := b[6+3*i : 9+3*i]
		c := component{id: p[0], h: int(p[1] >> 4), v: int(p[1] & 15), quant: int(p[2])}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
			return fmt.Errorf("sampling factors %d×%d", c.h, c.v)
		}
		if c.quant > 3 {
			return fmt.Errorf("quantisation table %d does not exist", c.quant)
		}
		for _, other := range h.components[:i] {
			if other.id == c.id {
				return fmt.Errorf("component %d is there twice", c.id)
			}
		}
		h.components[i] = c
	}
	h.width, h.height, h.count = width, height, n
	return h.checkColour()
}

// checkColour holds that the first component is luma and the finest one.
func (h *header) checkColour() error {
	if h.count == 1 {
		return nil
	}
	c := &h.components
	if h.rgb || c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B' {
		return fmt.Errorf("%w: RGB", ErrUnsupported)
	}
	for _, o := range c[1:] {
		if o.h > c[0].h || o.v > c[0].v {
			return fmt.Errorf("%w: colour is finer than luma", ErrUnsupported)
		}
	}
	return nil
}

// readScan reads a scan header, T.81 B.2.3.
func (h *header) readScan(b []byte) error {
	if h.count == 0 {
		return errors.New("the scan comes before a frame header")
	}
	if len(b) < 1 {
		return errors.New("scan header is empty")
	}
	n := int(b[0])
	if n < 1 || n > h.count || len(b) != 4+2*n {
		return fmt.Errorf("scan header has %d bytes for %d components", len(b), n)
	}
	if s := b[1+2*n:]; s[0] != 0 || s[1] != 63 || s[2] != 0 {
		return fmt.Errorf("scan covers coefficients %d to %d, bits %#02x: not a sequential one", s[0], s[1], s[2])
	}
	h.scanned = 0
	next := 0 // components keep the frame's order
	for i := range n {
		id, tables := b[1+2*i], b[2+2*i]
		for next < h.count && h.components[next].id != id {
			next++
		}
		if next == h.count {
			return fmt.Errorf("scan names component %d, which is not there or out of order", id)
		}
		c := &h.components[next]
		c.dc, c.ac = int(tables>>4), int(tables&15)
		if c.dc > 3 || c.ac > 3 {
			return fmt.Errorf("there are no Huffman tables %#02x", tables)
		}
		h.inScan[h.scanned] = next
		h.scanned++
		next++
	}
	return nil
}
