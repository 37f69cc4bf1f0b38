package jpegdc

import (
	"errors"
	"fmt"
)

// Cover says which cells of a picture of width×height pixels are hidden, where a
// cell has cellWidth×cellHeight pixels: row by row, as many in a row as are needed to
// cover the width. A Redactor asks it for each colour component of each frame, only
// reads what it returns, and does not keep it.
type Cover func(width, height, cellWidth, cellHeight int) []bool

// Redactor makes blocks of JPEGs black without decoding the pictures. The zero value
// is ready for use. It keeps its buffers and lookup tables from one frame to the
// next. It is not safe for concurrent use.
type Redactor struct {
	head   header
	tables tableCache
	scan   scan
	plan   redaction
	coded  bitWriter
}

// Redact returns a new JPEG in which the blocks that cover hides are black: their
// luma has nothing but the DC coefficient of black, their colour none at all. A block
// is 8×8 samples of its component, so that one of subsampled colour covers more
// pixels than one of luma. Blocks beyond the picture's edges, which only fill up the
// last MCUs, are hidden where the nearest block of the picture is. All other blocks
// keep their coefficients exactly.
//
// It takes what [Decoder.Decode] takes, and any number of scans that have each
// component once. Huffman tables are written before the scan that uses them, the
// standard ones where they were missing. Of the application's segments only those
// are kept that cannot hold a small picture: JFIF without its thumbnail, AVI1, Adobe
// and colour profiles. What follows the image in jpeg is left out.
//
// An error means that nothing may be shown of the frame: there is no picture then.
func (r *Redactor) Redact(jpeg []byte, cover Cover) ([]byte, error) {
	r.head = header{}
	segs, err := newSegments(jpeg)
	if err != nil {
		return nil, fmt.Errorf("read JPEG header: %w", err)
	}
	out := make([]byte, 0, len(jpeg)+len(jpeg)/16+1024)
	out = append(out, 0xFF, markerSOI)
	var done [3]bool // by component
	for scans := 0; scans == 0 || !segs.ended(); scans++ {
		if out, err = r.copySegments(out, &segs); err != nil {
			return nil, fmt.Errorf("read JPEG header: %w", err)
		}
		for _, c := range r.head.inScan[:r.head.scanned] {
			if done[c] {
				return nil, fmt.Errorf("redact JPEG: component %d has two scans", c)
			}
			done[c] = true
		}
		if out, err = r.copyScan(out, jpeg[segs.pos:], cover); err != nil {
			return nil, fmt.Errorf("redact JPEG scan: %w", err)
		}
		segs.skipScan()
	}
	for c := range r.head.count {
		if !done[c] {
			return nil, fmt.Errorf("redact JPEG: component %d has no scan", c)
		}
	}
	if out = append(out, 0xFF, markerEOI); len(out) > MaxBytes {
		return nil, fmt.Errorf("redact JPEG: it would have %d bytes, the limit is %d", len(out), MaxBytes)
	}
	return out, nil
}

// copySegments copies what may stay of the segments up to the next scan header, the
// scan's Huffman tables, and that header.
func (r *Redactor) copySegments(out []byte, segs *segments) ([]byte, error) {
	h := &r.head
	for {
		seg, err := segs.next()
		if err != nil {
			return nil, err
		}
		if seg.marker != markerSOS {
			if err := h.add(seg); err != nil {
				return nil, err
			}
			out = appendKept(out, seg, segs.data)
			continue
		}
		if err := h.readScan(seg.body); err != nil {
			return nil, err
		}
		if err := r.plan.setCodes(h, &r.tables); err != nil {
			return nil, err
		}
		out = r.plan.appendTables(out)
		return append(out, segs.data[seg.start:seg.end]...), nil
	}
}

// appendKept appends a segment that is not known to be able to hold a picture. The
// Huffman tables are written with the scan that uses them.
func appendKept(out []byte, seg segment, data []byte) []byte {
	switch {
	case seg.marker == markerDQT, seg.marker == markerDRI, seg.marker == markerCOM, isFrameHeader(seg.marker),
		seg.marker == markerAPP0 && hasPrefix(seg.body, "AVI1"),
		seg.marker == markerAPP2 && hasPrefix(seg.body, "ICC_PROFILE\x00"),
		seg.marker == markerAPP14 && hasPrefix(seg.body, "Adobe"):
		return append(out, data[seg.start:seg.end]...)
	case seg.marker == markerAPP0 && hasPrefix(seg.body, "JFIF\x00") && len(seg.body) >= jfifSize:
		// ITU-T T.871, 10.1: the thumbnail's width and height are the last two bytes.
		out = append(out, 0xFF, markerAPP0, 0, jfifSize+2)
		out = append(out, seg.body[:jfifSize-2]...)
		return append(out, 0, 0)
	}
	return out
}

// jfifSize is how many bytes a JFIF segment without a thumbnail has.
const jfifSize = 14

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// copyScan copies the scan that data begins with, its hidden blocks black.
func (r *Redactor) copyScan(out, data []byte, cover Cover) ([]byte, error) {
	p, s := &r.plan, &r.scan
	if err := p.layOut(&r.head, cover); err != nil {
		return nil, err
	}
	err := s.intervals(data, p.mcuX*p.mcuY, r.head.restart, func(first, last int) error {
		if first > 0 {
			count := first/r.head.restart - 1
			out = append(out, 0xFF, byte(markerRST0+count&7))
		}
		r.coded.reset()
		if err := p.interval(&r.coded, s, first, last); err != nil {
			return err
		}
		out = appendStuffed(out, r.coded.finish())
		return nil
	})
	return out, err
}

// errNoRoom is a code that cannot be given the symbols which black takes.
var errNoRoom = errors.New("the Huffman table has no room for the symbols of a black block")
