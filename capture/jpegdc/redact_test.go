package jpegdc

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"testing"
)

// coverOf hides the cells that lie under any of the rectangles, in pixels.
func coverOf(rects ...image.Rectangle) Cover {
	return func(width, height, cellWidth, cellHeight int) []bool {
		across, down := (width+cellWidth-1)/cellWidth, (height+cellHeight-1)/cellHeight
		out := make([]bool, across*down)
		for i := range out {
			x, y := i%across*cellWidth, i/across*cellHeight
			for _, r := range rects {
				out[i] = out[i] || r.Overlaps(image.Rect(x, y, x+cellWidth, y+cellHeight))
			}
		}
		return out
	}
}

// samples is one component of a decoded picture, padding included.
type samples struct {
	pix                   []byte
	stride                int
	cellWidth, cellHeight int // pixels under a block
	black                 byte
}

// components returns a picture's components as image/jpeg decodes them: it does no
// smoothing between samples, so that equal coefficients are equal samples.
func components(t testing.TB, data []byte) []samples {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	switch m := img.(type) {
	case *image.Gray:
		return []samples{{m.Pix, m.Stride, 8, 8, 0}}
	case *image.YCbCr:
		// Strides are those of whole MCUs, and tell the subsampling.
		w := 8 * m.YStride / m.CStride
		h := 8 * (len(m.Y) / m.YStride) / (len(m.Cb) / m.CStride)
		return []samples{{m.Y, m.YStride, 8, 8, 0}, {m.Cb, m.CStride, w, h, 128}, {m.Cr, m.CStride, w, h, 128}}
	}
	t.Fatalf("decoded into %T", img)
	return nil
}

// checkRedacted holds that hidden blocks are black and that all others are what they
// were, and returns how many blocks were hidden and not.
func checkRedacted(t testing.TB, before, after []byte, cover Cover) (hidden, kept int) {
	t.Helper()
	width, height, err := Size(before)
	if err != nil {
		t.Fatal(err)
	}
	was, is := components(t, WithTables(before)), components(t, after)
	for c, s := range is {
		across, down := (width+s.cellWidth-1)/s.cellWidth, (height+s.cellHeight-1)/s.cellHeight
		grid := cover(width, height, s.cellWidth, s.cellHeight)
		for y := range len(s.pix) / s.stride {
			for x := range s.stride {
				at := y*s.stride + x
				want := was[c].pix[at]
				if grid[min(y/8, down-1)*across+min(x/8, across-1)] {
					want = s.black
					hidden++
				} else {
					kept++
				}
				if s.pix[at] != want {
					t.Fatalf("component %d, sample %d,%d: %d, want %d (was %d)", c, x, y, s.pix[at], want, was[c].pix[at])
				}
			}
		}
	}
	return hidden / 64, kept / 64
}

// parts are rectangles of the 161×91 test pictures: one within, one at each edge, one
// over all, one nowhere.
func parts() []image.Rectangle {
	return []image.Rectangle{
		image.Rect(40, 20, 70, 50), image.Rect(0, 0, 9, 91), image.Rect(155, 30, 161, 40),
		image.Rect(20, 85, 140, 91), image.Rect(0, 0, 161, 91), {},
	}
}

func TestRedact(t *testing.T) {
	names := []string{
		"444", "422", "440", "420", "411", "grey", "grey-sampling", "420-optimised", "422-optimised-q98",
		"420-restart-blocks", "422-restart-rows",
	}
	var r Redactor // one for all: nothing of one frame may show in the next
	for _, name := range names {
		whole := golden(t, name)
		for kind, data := range map[string][]byte{"": whole, " without tables": withoutTables(t, whole)} {
			if kind != "" && bytes.Contains([]byte(name), []byte("optimised")) {
				continue // its own tables are not the standard ones
			}
			for _, part := range parts() {
				t.Run(fmt.Sprintf("%s%s, %v", name, kind, part), func(t *testing.T) {
					before := bytes.Clone(data)
					out, err := r.Redact(data, coverOf(part))
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(data, before) {
						t.Fatal("the frame given was changed")
					}
					hidden, kept := checkRedacted(t, data, out, coverOf(part))
					if (hidden == 0) != part.Empty() || (kept == 0) != (part.Dx() == 161) {
						t.Fatalf("%d blocks hidden, %d kept", hidden, kept)
					}
					again, err := r.Redact(out, coverOf(part))
					if err != nil || !bytes.Equal(again, out) {
						t.Fatalf("a second time it changes again (%v)", err)
					}
				})
			}
		}
	}
}

// TestRedactBeyondGo covers what image/jpeg does not read, by the means of its luma.
func TestRedactBeyondGo(t *testing.T) {
	part := parts()[0]
	for _, name := range []string{"420-scans", "420-quant16"} {
		data := golden(t, name)
		out, err := new(Redactor).Redact(data, coverOf(part))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var before, after Decoder
		was, err := before.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		is, err := after.Decode(out)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, hidden := range coverOf(part)(161, 91, 8, 8) {
			want := was.Luma[i]
			if hidden {
				want = 0
			}
			if is.Luma[i] != want {
				t.Fatalf("%s: block %d has mean %d, want %d", name, i, is.Luma[i], want)
			}
		}
	}
}

// TestRedactNoise hides blocks here and there in pictures of many sizes, so that each
// kind of neighbour meets each other.
func TestRedactNoise(t *testing.T) {
	var r Redactor
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		data := encode(t, picture(1+rnd.IntN(120), 1+rnd.IntN(90), seed), 1+rnd.IntN(100))
		var rects []image.Rectangle
		for range rnd.IntN(20) {
			x, y := rnd.IntN(120), rnd.IntN(90)
			rects = append(rects, image.Rect(x, y, x+1+rnd.IntN(20), y+1+rnd.IntN(20)))
		}
		out, err := r.Redact(data, coverOf(rects...))
		if err != nil {
			t.Fatal(err)
		}
		checkRedacted(t, data, out, coverOf(rects...))
	}
}

// TestRedactCompletesTables holds that a code which lacks what black needs is given
// it, and that its own codes stay.
func TestRedactCompletesTables(t *testing.T) {
	var h header
	if _, err := h.firstScan(golden(t, "420-optimised")); err != nil {
		t.Fatal(err)
	}
	var c code
	if err := c.set(h.huffman[classDC][0], dcSymbol); err != nil {
		t.Fatal(err)
	}
	if c.size == len(symbolsDC) {
		t.Fatal("the table lacks nothing: the test proves nothing")
	}
	var f fullCode
	if err := f.complete(&c, symbolsDC); err != nil {
		t.Fatal(err)
	}
	var full code
	if err := full.set(tableSpec{counts: f.counts[:], values: f.values}, dcSymbol); err != nil {
		t.Fatal(err)
	}
	for size, w := range f.sizes {
		symbol, length := full.lookup(w.bits << (16 - w.n))
		if w.n == 0 || length != w.n || int(symbol) != size {
			t.Errorf("symbol %d has code %b of %d bits, which reads as %d of %d bits", size, w.bits, w.n, symbol, length)
		}
		if was, n := c.lookup(w.bits << (16 - w.n)); n != 0 && (was != symbol || n != length) {
			t.Errorf("symbol %d: the code was that of %d", size, was)
		}
		if w.bits == 1<<w.n-1 {
			t.Errorf("symbol %d has a code of all ones", size)
		}
	}
}

// TestRedactLastCode gives the last free code of 16 bits away, behind others of 16.
func TestRedactLastCode(t *testing.T) {
	counts := []byte(countsACLuma)
	values := bytes.Replace([]byte(valuesACLuma), []byte{0}, []byte{0xF0}, 1) // no end of block
	counts[15]--
	var c code
	if err := c.set(tableSpec{counts: counts, values: values[:len(values)-1]}, acSymbol); err != nil {
		t.Fatal(err)
	}
	var f fullCode
	if err := f.complete(&c, symbolsACEnd); err != nil {
		t.Fatal(err)
	}
	if want := (word{0xFFFE, 16}); f.end != want {
		t.Errorf("the end of a block has code %v, want %v", f.end, want)
	}
}

// TestRedactFullTable holds that a code without room is refused where it lacks a
// symbol.
func TestRedactFullTable(t *testing.T) {
	counts := [16]byte{2} // all codes of one bit: none is left
	var c code
	if err := c.set(tableSpec{counts: counts[:], values: []byte{0, 3}}, dcSymbol); err != nil {
		t.Fatal(err)
	}
	if err := new(fullCode).complete(&c, symbolsDC); !errors.Is(err, errNoRoom) {
		t.Errorf("want no room, got %v", err)
	}
	if err := new(fullCode).complete(&c, symbolsACEnd); err != nil {
		t.Errorf("it lacks nothing: %v", err)
	}
}

// TestRedactSegments holds that nothing which may hold a small picture stays.
func TestRedactSegments(t *testing.T) {
	data := golden(t, "420")
	segment := func(marker byte, body string) []byte {
		return append([]byte{0xFF, marker, byte((len(body) + 2) >> 8), byte(len(body) + 2)}, body...)
	}
	jfif := "JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x01\x01" // one pixel of thumbnail
	in := bytes.Clone(data[:2])
	for _, s := range [][]byte{
		segment(markerAPP0, jfif+"abc"), segment(markerAPP0, "JFXX\x00\x10secret"), segment(markerAPP0, "AVI1\x00keep"),
		segment(0xE1, "Exif\x00\x00secret"), segment(0xE1, "http://ns.adobe.com/xap/1.0/\x00secret"),
		segment(markerAPP2, "MPF\x00secret"), segment(markerAPP2, "ICC_PROFILE\x00keep"), segment(0xED, "Photoshop 3.0\x00secret"),
		segment(0xEB, "secret"), segment(markerCOM, "keep"), segment(markerAPP14, "Adobe\x00\x64\x00\x00\x00\x00\x01keep"),
		segment(0xDC, "secret"), segment(0xF0, "secret"),
	} {
		in = append(in, s...)
	}
	in = append(in, data[2:]...)
	in = append(in, "secret"...)
	in = append(in, data...) // a second image, as MPF has it
	out, err := new(Redactor).Redact(in, coverOf(parts()[0]))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(out, []byte("secret")); n != 0 {
		t.Errorf("%d segments are still there", n)
	}
	if n := bytes.Count(out, []byte("keep")); n != 4 {
		t.Errorf("%d segments were kept, want 4", n)
	}
	if !bytes.Contains(out, []byte(jfif[:12]+"\x00\x00\xFF")) {
		t.Error("JFIF is not there without its thumbnail")
	}
	if n := bytes.Count(out, []byte{0xFF, markerSOI}); n != 1 {
		t.Errorf("%d images, want 1", n)
	}
	checkRedacted(t, data, out, coverOf(parts()[0]))
}

// TestRedactRefuses holds that a frame which cannot be redacted gives nothing.
func TestRedactRefuses(t *testing.T) {
	twice := golden(t, "420-scans")
	first := bytes.Index(twice, []byte{0xFF, markerSOS})
	second := first + 2 + bytes.Index(twice[first+2:], []byte{0xFF, markerSOS})
	steep := bytes.Clone(golden(t, "420-quant16"))
	dqt := bytes.Index(steep, []byte{0xFF, markerDQT})
	steep[dqt+5] = 0x20
	frames := map[string][]byte{
		"progressive": golden(t, "progressive"), "arithmetic": golden(t, "arithmetic"), "rgb": golden(t, "rgb"),
		"empty": nil, "no JPEG": []byte("hello"), "too large": make([]byte, MaxBytes+1),
		"a scan is missing": append(bytes.Clone(twice[:second]), 0xFF, markerEOI),
		"a scan is twice":   append(bytes.Clone(twice[:second]), twice[first:]...),
		"steep quantiser":   steep,
	}
	whole := golden(t, "422-restart-rows")
	for n := 0; n < len(whole)-4; n += 7 {
		frames[fmt.Sprintf("cut to %d bytes", n)] = whole[:n]
	}
	// The last byte of a scan may be padding in good part: 2 for it, 2 for EOI.
	for whole, n := golden(t, "420"), 1; n < 40; n++ {
		frames[fmt.Sprintf("without %d bytes at the end", 4+n)] = whole[:len(whole)-4-n]
	}
	var r Redactor
	for name, data := range frames {
		if out, err := r.Redact(data, coverOf(parts()[0])); err == nil || out != nil {
			t.Errorf("%s: %d bytes, error %v", name, len(out), err)
		}
	}
	if _, err := r.Redact(whole, func(_, _, _, _ int) []bool { return nil }); err == nil {
		t.Error("a cover of no cells was taken")
	}
}

// TestRedactWithoutEnd holds that a frame without EOI, as some cameras send it, gets
// one.
func TestRedactWithoutEnd(t *testing.T) {
	data := golden(t, "420")
	want, err := new(Redactor).Redact(data, coverOf(parts()[0]))
	if err != nil {
		t.Fatal(err)
	}
	got, err := new(Redactor).Redact(data[:len(data)-2], coverOf(parts()[0]))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("it differs (%v)", err)
	}
}
