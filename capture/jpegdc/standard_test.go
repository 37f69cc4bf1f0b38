package jpegdc

import (
	"bytes"
	"image/jpeg"
	"testing"
)

// withoutTables returns a JPEG without its Huffman tables, as many USB cameras
// send it.
func withoutTables(t testing.TB, data []byte) []byte {
	t.Helper()
	r, err := newSegments(data)
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(data[:2])
	for {
		seg, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if seg.marker == markerSOS {
			return append(out, data[seg.start:]...)
		}
		if seg.marker != markerDHT {
			out = append(out, data[seg.start:seg.end]...)
		}
	}
}

func TestWithTables(t *testing.T) {
	for _, name := range []string{"420", "422", "444", "grey"} {
		whole := golden(t, name)
		bare := withoutTables(t, whole)
		if _, err := jpeg.Decode(bytes.NewReader(bare)); err == nil {
			t.Fatalf("%s decodes without tables: the test proves nothing", name)
		}
		before := bytes.Clone(bare)
		mended := WithTables(bare)
		if !bytes.Equal(bare, before) {
			t.Errorf("%s: WithTables changed its input", name)
		}
		checkMeans(t, new(Decoder), mended)

		got, err := new(Decoder).Decode(bare)
		if err != nil {
			t.Fatal(err)
		}
		want, err := new(Decoder).Decode(whole)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Luma, want.Luma) {
			t.Errorf("%s: standard tables give other means", name)
		}
	}
}

// TestWithTablesOneMissing holds that tables which are there stay in force.
func TestWithTablesOneMissing(t *testing.T) {
	whole := golden(t, "420")
	dht := bytes.Index(whole, []byte{0xFF, markerDHT})
	end := dht + 2 + int(whole[dht+2])<<8 + int(whole[dht+3])
	part := append(bytes.Clone(whole[:dht]), whole[end:]...)
	mended := WithTables(part)
	if len(mended) != len(whole) {
		t.Errorf("%d bytes with the missing table put back, want %d", len(mended), len(whole))
	}
	checkMeans(t, new(Decoder), mended)
}

// TestWithTablesLeavesAlone holds that whole frames and broken ones come back as
// they are.
func TestWithTablesLeavesAlone(t *testing.T) {
	for name, data := range map[string][]byte{
		"whole":     golden(t, "420-optimised"),
		"broken":    golden(t, "420")[:100],
		"no JPEG":   []byte("hello"),
		"empty":     nil,
		"too large": make([]byte, MaxBytes+1),
	} {
		if got := WithTables(data); !bytes.Equal(got, data) {
			t.Errorf("%s: changed", name)
		}
	}
}
