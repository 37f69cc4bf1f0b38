package jpegdc

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// picture returns a synthetic colour picture that keeps clear of black and
// white, where decoders clamp and means are no longer the DC coefficient.
func picture(width, height int, seed uint64) *image.RGBA {
	r := rand.New(rand.NewPCG(seed, 1))
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			v := 60 + 120*float64(x)/float64(width) + 30*math.Sin(float64(x)/7)*math.Cos(float64(y)/5)
			if (x/37+y/23)%3 == 0 {
				v = 230 - v
			}
			v += 12 * r.Float64()
			img.SetRGBA(x, y, color.RGBA{uint8(v), uint8(v * 0.9), uint8(220 - v*0.8), 255})
		}
	}
	return img
}

func encode(t testing.TB, img image.Image, quality int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".jpg"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decodedMeans returns the block means of the picture as image/jpeg decodes it,
// in the padding too, and which blocks hold a clamped pixel.
func decodedMeans(t testing.TB, data []byte) (width, height int, means []float64, clamped []bool) {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var luma []byte
	var stride int
	switch m := img.(type) {
	case *image.YCbCr:
		luma, stride = m.Y, m.YStride
	case *image.Gray:
		luma, stride = m.Pix, m.Stride
	default:
		t.Fatalf("decoded into %T", img)
	}
	size := img.Bounds().Size()
	width, height = (size.X+7)/8, (size.Y+7)/8
	for by := range height {
		for bx := range width {
			sum, clamp := 0, false
			for y := range 8 {
				for _, v := range luma[(by*8+y)*stride+bx*8:][:8] {
					sum += int(v)
					clamp = clamp || v == 0 || v == 255
				}
			}
			means = append(means, float64(sum)/64)
			clamped = append(clamped, clamp)
		}
	}
	return width, height, means, clamped
}

// checkMeans compares a decoder's grid with the decoded picture's means: within
// 1 where nothing was clamped.
func checkMeans(t *testing.T, d *Decoder, data []byte) {
	t.Helper()
	g, err := d.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	width, height, means, clamped := decodedMeans(t, data)
	if g.Width != width || g.Height != height || len(g.Luma) != width*height {
		t.Fatalf("grid of %d×%d with %d means, want %d×%d", g.Width, g.Height, len(g.Luma), width, height)
	}
	compared := 0
	for i, want := range means {
		if clamped[i] {
			continue
		}
		compared++
		if diff := math.Abs(float64(g.Luma[i]) - want); diff > 1 {
			t.Fatalf("block %d,%d: mean %d, decoded %.2f", i%width, i/width, g.Luma[i], want)
		}
	}
	if compared < len(means)/2 {
		t.Fatalf("only %d of %d blocks could be compared", compared, len(means))
	}
}

func TestMeansOfGoEncoder(t *testing.T) {
	var d Decoder // one for all: nothing of one frame may show in the next
	sizes := []image.Point{{1, 1}, {7, 9}, {8, 8}, {16, 16}, {17, 33}, {160, 96}, {161, 91}, {333, 250}}
	for _, size := range sizes {
		for _, quality := range []int{30, 75, 100} {
			img := picture(size.X, size.Y, uint64(quality))
			checkMeans(t, &d, encode(t, img, quality))
			grey := image.NewGray(img.Bounds())
			for y := range size.Y {
				for x := range size.X {
					grey.Set(x, y, img.At(x, y))
				}
			}
			checkMeans(t, &d, encode(t, grey, quality))
		}
	}
}

func TestMeansOfOtherEncoders(t *testing.T) {
	names := []string{
		"444", "422", "440", "420", "411", "grey", "grey-sampling", "420-optimised", "422-optimised-q98",
		"420-restart-blocks", "422-restart-rows",
	}
	var shared Decoder
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			data := golden(t, name)
			checkMeans(t, new(Decoder), data)
			checkMeans(t, &shared, data)
		})
	}
}

// TestMeansBeyondGo covers what image/jpeg does not read or clamps too much of:
// the picture is the same as in 420.jpg, so its means must be near.
func TestMeansBeyondGo(t *testing.T) {
	want, err := new(Decoder).Decode(golden(t, "420"))
	if err != nil {
		t.Fatal(err)
	}
	// The tolerance is what the quantiser of the DC coefficient leaves open.
	for name, tolerance := range map[string]int{"420-scans": 2, "420-quant16": 34} {
		got, err := new(Decoder).Decode(golden(t, name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range want.Luma {
			if diff := int(got.Luma[i]) - int(want.Luma[i]); diff < -tolerance || diff > tolerance {
				t.Fatalf("%s: block %d has mean %d, want %d ± %d", name, i, got.Luma[i], want.Luma[i], tolerance)
			}
		}
	}
}

// TestBlackAndWhite holds that means are clamped, not wrapped.
func TestBlackAndWhite(t *testing.T) {
	for _, level := range []uint8{0, 255} {
		img := image.NewGray(image.Rect(0, 0, 64, 64))
		for i := range img.Pix {
			img.Pix[i] = level
		}
		g, err := new(Decoder).Decode(encode(t, img, 100))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range g.Luma {
			if v != level {
				t.Fatalf("mean %d of an even %d", v, level)
			}
		}
	}
}

func TestRefusedByName(t *testing.T) {
	twelve := bytes.Clone(golden(t, "420"))
	twelve[bytes.Index(twelve, []byte{0xFF, markerSOF0})+4] = 12
	lossless := bytes.Clone(golden(t, "420"))
	lossless[bytes.Index(lossless, []byte{0xFF, markerSOF0})+1] = 0xC3
	fine := bytes.Clone(golden(t, "444"))
	fine[bytes.Index(fine, []byte{0xFF, markerSOF0})+14] = 0x22 // Cb
	for want, data := range map[string][]byte{
		"progressive":       golden(t, "progressive"),
		"arithmetic":        golden(t, "arithmetic"),
		"12-bit":            twelve,
		"RGB":               golden(t, "rgb"),
		"lossless":          lossless,
		"colour is finer":   fine,
		"four components":   cmyk(t),
		"height is left to": noHeight(t),
	} {
		_, err := new(Decoder).Decode(data)
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("want an unsupported kind with %q, got %v", want, err)
		}
	}
}

// cmyk returns a frame header of four components and nothing behind it.
func cmyk(t *testing.T) []byte {
	t.Helper()
	return []byte{0xFF, markerSOI, 0xFF, markerSOF0, 0, 20, 8, 0, 16, 0, 16, 4,
		1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0, 0xFF, markerEOI}
}

func noHeight(t *testing.T) []byte {
	data := bytes.Clone(golden(t, "420"))
	sof := bytes.Index(data, []byte{0xFF, markerSOF0})
	data[sof+5], data[sof+6] = 0, 0
	return data
}

// TestTruncated holds that a frame cut anywhere is an error, up to the end of
// its scan, and that the decoder then reads a whole frame as before.
func TestTruncated(t *testing.T) {
	for _, name := range []string{"420", "422-restart-rows", "420-optimised", "grey"} {
		data := golden(t, name)
		var d Decoder
		g, err := d.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(g.Luma)
		// The last byte of a scan may be padding in good part: 2 for it, 2 for EOI.
		for n := range len(data) - 4 {
			if _, err := d.Decode(data[:n]); err == nil {
				t.Fatalf("%s cut to %d of %d bytes decoded", name, n, len(data))
			}
		}
		g, err = d.Decode(data)
		if err != nil || !bytes.Equal(g.Luma, want) {
			t.Fatalf("%s decodes differently after bad frames (%v)", name, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	good := golden(t, "420")
	sof := bytes.Index(good, []byte{0xFF, markerSOF0})
	dht := bytes.Index(good, []byte{0xFF, markerDHT})
	dqt := bytes.Index(good, []byte{0xFF, markerDQT})
	sos := bytes.Index(good, []byte{0xFF, markerSOS})
	rst := golden(t, "420-restart-blocks")
	edit := func(data []byte, at int, with ...byte) []byte {
		out := bytes.Clone(data)
		copy(out[at:], with)
		return out
	}
	cases := map[string]struct {
		data []byte
		want string
	}{
		"empty":               {nil, "does not begin with SOI"},
		"not a JPEG":          {[]byte("\x89PNG\r\n\x1a\n"), "does not begin with SOI"},
		"too big":             {make([]byte, MaxBytes+1), "the limit is"},
		"no markers":          {[]byte{0xFF, 0xD8, 0, 0, 0}, "no marker"},
		"ends at once":        {[]byte{0xFF, 0xD8, 0xFF, 0xD9}, "ends before its scan"},
		"only fill bytes":     {[]byte{0xFF, 0xD8, 0xFF, 0xFF, 0xFF}, "ends before its scan"},
		"stray restart":       {[]byte{0xFF, 0xD8, 0xFF, 0xD0, 0, 0}, "where a segment should be"},
		"short segment":       {edit(good, sof+2, 0, 1), "has length 1"},
		"too wide":            {edit(good, sof+7, 0x20, 1), "the limit is 8192"},
		"no width":            {edit(good, sof+7, 0, 0), "width is 0"},
		"two components":      {edit(good, sof+9, 2), "2 components"},
		"sampling 0":          {edit(good, sof+11, 0x02), "sampling factors"},
		"sampling 5":          {edit(good, sof+11, 0x52), "sampling factors"},
		"sampling 4×4":        {edit(good, sof+11, 0x44), "more than 10 blocks"},
		"twice component":     {edit(good, sof+13, 1), "twice"},
		"no such quant":       {edit(good, sof+12, 4), "quantisation table 4"},
		"quant missing":       {edit(good, sof+12, 3), "quantisation table 3 is missing"},
		"quant 0":             {edit(good, dqt+5, 0), "divides by 0"},
		"quant id":            {edit(good, dqt+4, 0x14+3), "quantisation table 0x17"},
		"quant cut off":       {edit(good, dqt+4, 0x10), "quantisation table is cut off"},
		"huffman class":       {edit(good, dht+4, 0x20), "Huffman table 0x20"},
		"huffman too many":    {edit(good, dht+5, 255, 255), "codes"},
		"huffman over-full":   {edit(good, dht+5, 3, 1, 2), "too many codes of 1 bits"},
		"DC symbol":           {edit(good, dht+21, 12), "DC symbol 12"},
		"scan unknown":        {edit(good, sos+5, 9), "component 9"},
		"scan order":          {edit(good, sos+5, 2), "out of order"},
		"scan tables":         {edit(good, sos+6, 0x40), "there are no Huffman tables"},
		"scan huffman 2":      {edit(good, sos+6, 0x20), "DC Huffman table 2: no codes"},
		"scan spectral":       {edit(good, sos+11, 1), "not a sequential one"},
		"scan components":     {edit(good, sos+4, 4), "scan header"},
		"scan without frame":  {append([]byte{0xFF, 0xD8}, good[sos:]...), "before a frame header"},
		"two frames":          {append(bytes.Clone(good[:sos]), good[sof:]...), "more than one frame header"},
		"restart out of step": {bytes.Replace(rst, []byte{0xFF, 0xD1}, []byte{0xFF, 0xD5}, 1), "restart marker 5 where 1"},
		"restart lost":        {bytes.Replace(rst, []byte{0xFF, 0xD1}, []byte{0x12, 0x34}, 1), ""},
		"restart in none":     {edit(good, sos+40, 0xFF, 0xD0), "ends in its scan"},
		"marker in the scan":  {edit(good, sos+400, 0xFF, 0xC4), "ends in its scan"},
		"no code":             {edit(good, sos+14, bytes.Repeat([]byte{0xFF, 0}, 20)...), "no Huffman code"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := new(Decoder).Decode(c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestSize(t *testing.T) {
	for _, name := range []string{"420", "progressive", "arithmetic", "grey"} {
		w, h, err := Size(golden(t, name))
		if w != 161 || h != 91 || err != nil {
			t.Errorf("%s: %d×%d, %v", name, w, h, err)
		}
	}
	if _, _, err := Size([]byte{0xFF, 0xD8, 0xFF, 0xD9}); err == nil {
		t.Error("an image without a frame has a size")
	}
	good := golden(t, "420")
	sos := bytes.Index(good, []byte{0xFF, markerSOS})
	if _, _, err := Size(append([]byte{0xFF, 0xD8}, good[sos:]...)); err == nil {
		t.Error("a scan without a frame has a size")
	}
}

// TestSteadyStateAllocates nothing: neither with fixed nor with changing tables.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	frames := [][]byte{golden(t, "420"), golden(t, "420-optimised"), withoutTables(t, golden(t, "420"))}
	var d Decoder
	all := func() {
		for _, f := range frames {
			if _, err := d.Decode(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	all()
	if n := testing.AllocsPerRun(10, all); n != 0 {
		t.Errorf("%v allocations for three frames", n)
	}
}
