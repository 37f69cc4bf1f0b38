package encode

import (
	"encoding/binary"
	"fmt"
	"image"
	"math/bits"

	"github.com/lensward/lensward/capture"
)

// maxSide is the longest side of a picture in pixels.
const maxSide = 8192

// samples are one component of a picture, wherever its bytes lie: sample (x, y) is
// data[y*stride+x*step].
type samples struct {
	data          []byte
	stride, step  int
	width, height int
}

// row returns the bytes that hold a row, its first sample first.
func (s samples) row(y int) []byte {
	return s.data[y*s.stride:][:(s.width-1)*s.step+1]
}

// picture is a raw picture, taken apart into components. Grey has no chroma: its
// width there is 0.
type picture struct {
	luma, blue, red samples
}

// takeApart finds a raw picture's components, and refuses one whose planes are
// shorter than its size needs.
func takeApart(r *capture.Raw) (picture, error) {
	w, h := r.Width, r.Height
	if w < 2 || h < 2 || w > maxSide || h > maxSide {
		return picture{}, fmt.Errorf("a raw picture of %d×%d is not from 2×2 to %d×%d", w, h, maxSide, maxSide)
	}
	halfW, halfH := (w+1)/2, (h+1)/2
	part := func(plane, offset, step, width, height int) samples {
		if p := r.Planes[plane]; len(p) >= offset {
			return samples{p[offset:], r.Strides[plane], step, width, height}
		}
		return samples{nil, r.Strides[plane], step, width, height}
	}
	var p picture
	switch r.Layout {
	case capture.LayoutGrey:
		p.luma = part(0, 0, 1, w, h)
	case capture.LayoutI420:
		p = picture{part(0, 0, 1, w, h), part(1, 0, 1, halfW, halfH), part(2, 0, 1, halfW, halfH)}
	case capture.LayoutNV12:
		p = picture{part(0, 0, 1, w, h), part(1, 0, 2, halfW, halfH), part(1, 1, 2, halfW, halfH)}
	case capture.LayoutYUYV: // an odd last column has no chroma of its own
		p = picture{part(0, 0, 2, w, h), part(0, 1, 4, w/2, h), part(0, 3, 4, w/2, h)}
	default:
		return picture{}, fmt.Errorf("a raw picture in %v cannot be read", r.Layout)
	}
	for _, s := range []samples{p.luma, p.blue, p.red} {
		if s.width > 0 && !s.whole() {
			return picture{}, fmt.Errorf("a raw picture in %v of %d×%d is cut short: rows of %d bytes, %d bytes in all",
				r.Layout, w, h, s.stride, len(s.data))
		}
	}
	return p, nil
}

// whole says whether all samples are there. The numbers are small enough for 32
// bits: strides are compared before they are multiplied.
func (s samples) whole() bool {
	row := (s.width-1)*s.step + 1
	if s.stride < row || s.stride > len(s.data) && s.height > 1 {
		return false
	}
	return (len(s.data)-row)/s.stride >= s.height-1 && len(s.data) >= row
}

// plane is one component of a picture that is being made.
type plane struct {
	pix           []byte
	stride        int
	width, height int
}

// planesOf returns a 4:2:0 picture's components.
func planesOf(img *image.YCbCr) (luma, blue, red plane) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	luma = plane{img.Y, img.YStride, w, h}
	blue = plane{img.Cb, img.CStride, (w + 1) / 2, (h + 1) / 2}
	red = plane{img.Cr, img.CStride, (w + 1) / 2, (h + 1) / 2}
	return luma, blue, red
}

// componentsOf reads a 4:2:0 picture that was made before.
func componentsOf(img *image.YCbCr) picture {
	read := func(p plane) samples { return samples{p.pix, p.stride, 1, p.width, p.height} }
	luma, blue, red := planesOf(img)
	return picture{read(luma), read(blue), read(red)}
}

// fill sets all samples.
func (p plane) fill(v byte) {
	for y := range p.height {
		row := p.pix[y*p.stride:][:p.width]
		for x := range row {
			row[x] = v
		}
	}
}

// ranges turns sample values of one range into another's; nil leaves them.
type ranges struct {
	luma, chroma [256]byte
}

// toFull spreads the video range (luma 16 to 235, chroma 16 to 240; ITU-R BT.601)
// to the full range of a JPEG (JFIF 1.02).
func toFull() *ranges {
	r := new(ranges)
	for v := range 256 {
		r.luma[v] = scaled(v-16, 255, 219, 0)
		r.chroma[v] = scaled(v-128, 255, 224, 128)
	}
	return r
}

// toVideo is the reverse of toFull.
func toVideo() *ranges {
	r := new(ranges)
	for v := range 256 {
		r.luma[v] = scaled(v, 219, 255, 16)
		r.chroma[v] = scaled(v-128, 224, 255, 128)
	}
	return r
}

// scaled is v*by/of, rounded half away from 0, from an origin, within a byte.
func scaled(v, by, of, origin int) byte {
	half := of / 2
	if v < 0 {
		half = -half
	}
	return byte(min(max(origin+(v*by+half)/of, 0), 255))
}

// lumaTable and chromaTable give a component's values; nil is all as they are.
func (r *ranges) lumaTable() *[256]byte {
	if r == nil {
		return nil
	}
	return &r.luma
}

func (r *ranges) chromaTable() *[256]byte {
	if r == nil {
		return nil
	}
	return &r.chroma
}

// shrinker makes pictures smaller by means over boxes; a box of one sample copies.
// It keeps the memory that it works in, and is used by one goroutine.
type shrinker struct {
	sums []uint32
}

// into makes img, a 4:2:0 picture, of p: each pixel the mean of factor×factor of
// p's. Both sizes agree, as [smallSize] makes them.
func (s *shrinker) into(img *image.YCbCr, p picture, factor int, r *ranges) {
	luma, blue, red := planesOf(img)
	s.shrink(luma, p.luma, factor, factor, r.lumaTable())
	if p.blue.width == 0 {
		blue.fill(128)
		red.fill(128)
		return
	}
	down := factor
	if p.blue.height == p.luma.height { // 4:2:2: twice the rows
		down = 2 * factor
	}
	s.shrink(blue, p.blue, factor, down, r.chromaTable())
	s.shrink(red, p.red, factor, down, r.chromaTable())
}

// shrink sets each sample of dst to the mean of a box of src, across×down large,
// and less at an edge. Samples of dst beyond src's end repeat the last.
func (s *shrinker) shrink(dst plane, src samples, across, down int, table *[256]byte) {
	whole := src.width / across // boxes of full width
	for y := range dst.height {
		row := dst.pix[y*dst.stride:][:dst.width]
		top := min(y*down, src.height-1)
		rows := min(down, src.height-top)
		n := min(whole, len(row))
		switch {
		case across == 1 && rows == 1:
			gather(row[:n], src.row(top), src.step)
		case across == 1 && rows == 2:
			average(row[:n], src.row(top), src.row(top+1), src.step)
		default:
			s.means(row[:n], src, top, rows, across)
		}
		edge(row, n, src, top, rows, across)
		if table != nil {
			for x, v := range row {
				row[x] = table[v]
			}
		}
	}
}

// gather copies samples.
func gather(dst, src []byte, step int) {
	switch step {
	case 1:
		copy(dst, src)
	case 2:
		for x := 0; x < len(dst) && 2*x < len(src); x++ {
			dst[x] = src[2*x]
		}
	default:
		for x, i := 0, 0; x < len(dst) && i < len(src); x, i = x+1, i+step {
			dst[x] = src[i]
		}
	}
}

// average copies the means of two rows, rounded up.
func average(dst, above, below []byte, step int) {
	below = below[:len(above)]
	for x, i := 0, 0; x < len(dst) && i < len(above); x, i = x+1, i+step {
		dst[x] = byte((uint(above[i]) + uint(below[i]) + 1) / 2)
	}
}

// means sets dst to means of boxes, rounded to the nearest.
func (s *shrinker) means(dst []byte, src samples, top, rows, across int) {
	if cap(s.sums) < len(dst) {
		s.sums = make([]uint32, len(dst))
	}
	sums := s.sums[:len(dst)]
	clear(sums)
	for y := top; y < top+rows; y++ {
		row := src.row(y)
		switch {
		case src.step == 1 && across == 2:
			addPairs(sums, row)
		case src.step == 2 && across == 2:
			addSpacedPairs(sums, row)
		case src.step == 1 && across == 4:
			for x := range sums {
				sums[x] += sum4(binary.LittleEndian.Uint32(row[4*x:]))
			}
		case src.step == 1 && across == 8:
			for x := range sums {
				eight := row[8*x : 8*x+8]
				sums[x] += sum4(binary.LittleEndian.Uint32(eight)) + sum4(binary.LittleEndian.Uint32(eight[4:]))
			}
		default:
			addBoxes(sums, row, src.step, across)
		}
	}
	area := uint32(across * rows)
	if area&(area-1) == 0 {
		shift := bits.TrailingZeros32(area)
		for x, sum := range sums {
			dst[x] = byte((sum + area/2) >> shift)
		}
		return
	}
	for x, sum := range sums {
		dst[x] = byte((sum + area/2) / area)
	}
}

// sum4 adds up four bytes, two at a time.
func sum4(v uint32) uint32 {
	v = v&0x00ff00ff + v>>8&0x00ff00ff
	return (v + v>>16) & 0xffff
}

// addPairs adds each two samples of a row to a sum.
func addPairs(sums []uint32, row []byte) {
	x := 0
	for ; x+1 < len(sums); x += 2 {
		v := binary.LittleEndian.Uint32(row[2*x:])
		v = v&0x00ff00ff + v>>8&0x00ff00ff
		sums[x] += v & 0xffff
		sums[x+1] += v >> 16
	}
	if x < len(sums) {
		sums[x] += uint32(row[2*x]) + uint32(row[2*x+1])
	}
}

// addSpacedPairs is addPairs for samples with another component's between them.
func addSpacedPairs(sums []uint32, row []byte) {
	whole := min(len(sums), len(row)/4) // the last pair's four bytes may not all be there
	for x := range sums[:whole] {
		v := binary.LittleEndian.Uint32(row[4*x:])
		sums[x] += v&0xff + v>>16&0xff
	}
	if whole < len(sums) {
		addBoxes(sums[whole:], row[4*whole:], 2, 2)
	}
}

// addBoxes adds each across samples of a row to a sum.
func addBoxes(sums []uint32, row []byte, step, across int) {
	i := 0
	for x := range sums {
		sum := uint32(0)
		for range across {
			sum += uint32(row[i])
			i += step
		}
		sums[x] += sum
	}
}

// edge sets what is right of the n boxes of full width: the mean of what is left
// of src, and that again.
func edge(dst []byte, n int, src samples, top, rows, across int) {
	if n < len(dst) && n*across < src.width {
		sum, count := 0, 0
		for y := top; y < top+rows; y++ {
			row := src.row(y)
			for x := n * across; x < src.width; x++ {
				sum += int(row[x*src.step])
				count++
			}
		}
		dst[n] = byte((sum + count/2) / count)
		n++
	}
	for x := n; x < len(dst); x++ {
		dst[x] = dst[n-1]
	}
}
