package jpegdc

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// shrink turns a JPEG into one of 32×16 pixels out of the same blocks: the fuzzer
// gets nowhere with seeds of many kilobytes.
func shrink(data []byte) []byte {
	out := bytes.Clone(data)
	for _, sof := range []byte{markerSOF0, markerSOF1, markerSOF2, 0xC9} {
		if i := bytes.Index(out, []byte{0xFF, sof}); i > 0 {
			copy(out[i+5:], []byte{0, 16, 0, 32})
		}
	}
	if i := bytes.Index(out, []byte{0xFF, markerSOS}); i > 0 && i+400 < len(out) {
		out = append(out[:i+400], 0xFF, markerEOI)
	}
	return out
}

// FuzzDecode holds for any input that nothing panics, that a grid has the size
// its header says, that a decoder which saw the input before, or another frame,
// says the same, and that putting tables in changes no grid.
func FuzzDecode(f *testing.F) {
	names, err := filepath.Glob("testdata/*.jpg")
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(shrink(data))
	}
	f.Add(encode(f, picture(17, 9, 1), 50))
	f.Add(shrink(withoutTables(f, golden(f, "420"))))
	other := shrink(golden(f, "420-optimised"))

	f.Fuzz(func(t *testing.T, data []byte) {
		var d Decoder
		g, err := d.Decode(data)
		luma := bytes.Clone(g.Luma)
		mended := WithTables(data)
		width, height, sizeErr := Size(data)
		if err == nil {
			if sizeErr != nil || g.Width != blocks(width) || g.Height != blocks(height) {
				t.Fatalf("grid of %d×%d for a picture of %d×%d (%v)", g.Width, g.Height, width, height, sizeErr)
			}
			if len(luma) != g.Width*g.Height {
				t.Fatalf("%d means for %d×%d blocks", len(luma), g.Width, g.Height)
			}
		}
		if _, err := d.Decode(other); err != nil {
			t.Fatalf("a good frame after it: %v", err)
		}
		again, errAgain := d.Decode(data)
		if (err == nil) != (errAgain == nil) || !bytes.Equal(again.Luma, luma) {
			t.Fatalf("decodes differently the second time: %v, then %v", err, errAgain)
		}
		after, errAfter := d.Decode(mended)
		if len(mended) <= MaxBytes && ((err == nil) != (errAfter == nil) || !bytes.Equal(after.Luma, luma)) {
			t.Fatalf("decodes differently with its tables put in: %v, then %v", err, errAfter)
		}
	})
}

// FuzzMeans encodes noise of any size and quality and compares with image/jpeg.
func FuzzMeans(f *testing.F) {
	f.Add(uint16(16), uint16(16), uint8(75), uint64(1))
	f.Add(uint16(33), uint16(70), uint8(95), uint64(2))
	f.Fuzz(func(t *testing.T, width, height uint16, quality uint8, seed uint64) {
		img := picture(1+int(width)%100, 1+int(height)%100, seed)
		data := encode(t, img, 1+int(quality)%100)
		if _, err := jpeg.DecodeConfig(bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		g, err := new(Decoder).Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		w, h, means, clamped := decodedMeans(t, data)
		if g.Width != w || g.Height != h {
			t.Fatalf("grid of %d×%d, want %d×%d", g.Width, g.Height, w, h)
		}
		for i, want := range means {
			if diff := float64(g.Luma[i]) - want; !clamped[i] && (diff < -1 || diff > 1) {
				t.Fatalf("block %d: mean %d, decoded %.2f", i, g.Luma[i], want)
			}
		}
	})
}

// FuzzRedact holds for any input that it is refused, or that what comes out reads as
// before with the hidden blocks black, for this package and for image/jpeg.
func FuzzRedact(f *testing.F) {
	names, err := filepath.Glob("testdata/*.jpg")
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for i, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(shrink(data), uint8(i), uint8(3), uint8(8), uint8(9))
	}
	f.Add(encode(f, picture(33, 17, 1), 50), uint8(8), uint8(0), uint8(40), uint8(40))
	f.Add(shrink(withoutTables(f, golden(f, "420"))), uint8(0), uint8(0), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, x, y, width, height uint8) {
		checkAny(t, data, image.Rect(int(x), int(y), int(x)+int(width), int(y)+int(height)))
	})
}

// checkAny redacts what may be no JPEG at all.
func checkAny(t *testing.T, data []byte, part image.Rectangle) (redacted bool) {
	t.Helper()
	out, err := new(Redactor).Redact(data, coverOf(part))
	if err != nil {
		if out != nil {
			t.Fatalf("%d bytes with an error: %v", len(out), err)
		}
		return false
	}
	var before, after Decoder
	was, errBefore := before.Decode(data)
	is, err := after.Decode(out)
	if (errBefore != nil || err != nil) && !errors.Is(errBefore, errDCRange) {
		t.Fatalf("reads with %v, read with %v", err, errBefore)
	}
	if err == nil {
		for i, hidden := range coverOf(part)(8*is.Width, 8*is.Height, 8, 8) {
			if hidden && is.Luma[i] != 0 {
				t.Fatalf("block %d has mean %d, want black", i, is.Luma[i])
			}
			if !hidden && errBefore == nil && is.Luma[i] != was.Luma[i] {
				t.Fatalf("block %d has mean %d, want %d", i, is.Luma[i], was.Luma[i])
			}
		}
	}
	if _, err := jpeg.Decode(bytes.NewReader(WithTables(data))); err == nil {
		checkRedacted(t, data, out, coverOf(part))
	}
	return true
}

// TestRedactMutated redacts pictures with a few bytes changed, most of them in the
// entropy-coded data, where the fuzzer seldom gets anything that reads.
func TestRedactMutated(t *testing.T) {
	names := []string{"444", "420", "422-restart-rows", "420-optimised", "440", "grey", "420-scans"}
	redacted := 0
	for seed := range uint64(1000) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		data := shrink(golden(t, names[rnd.IntN(len(names))]))
		from := 2
		if rnd.IntN(4) > 0 {
			from = bytes.Index(data, []byte{0xFF, markerSOS})
		}
		for range 1 + rnd.IntN(4) {
			data[from+rnd.IntN(len(data)-from)] = byte(rnd.Uint32())
		}
		x, y := rnd.IntN(32), rnd.IntN(16)
		if checkAny(t, data, image.Rect(x, y, x+rnd.IntN(20), y+rnd.IntN(10))) {
			redacted++
		}
	}
	if redacted < 200 {
		t.Errorf("only %d pictures could still be read: the test proves little", redacted)
	}
}
