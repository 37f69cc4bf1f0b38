package jpegdc

import (
	"bytes"
	"image/jpeg"
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
