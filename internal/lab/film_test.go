package lab

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
	"github.com/lensward/lensward/capture/scene"
	"github.com/lensward/lensward/internal/lab/usbcam"
)

// film is a run of frames that a camera gives, and then the last one again and
// again. It is a [usbcam.Reel].
type film [][]byte

// Frame is the frame of this number.
func (f film) Frame(_ usbcam.Mode, n uint64) ([]byte, error) {
	return f[min(n, uint64(len(f)-1))], nil
}

// loop is a film that begins again.
type loop [][]byte

// Frame is the frame of this number.
func (l loop) Frame(_ usbcam.Mode, n uint64) ([]byte, error) { return l[n%uint64(len(l))], nil }

// walks are a made-up room's pictures, in which somebody comes in after a second.
// Their Huffman tables are left out, as many USB cameras do.
func walks(t *testing.T, width, height int, fps float64, length time.Duration) [][]byte {
	t.Helper()
	var out [][]byte
	s := scene.New(scene.Settings{Width: width, Height: height, FPS: fps, Seed: 4, Duration: length, Fast: true})
	must(t, s.Run(t.Context(), func(f capture.Frame) { out = append(out, withoutTables(f.Data)) }))
	return out
}

// withoutTables takes the Huffman tables out of a JPEG that uses the standard ones,
// as Go's encoder does.
func withoutTables(b []byte) []byte {
	const (
		start = 0xda // of the scan: the rest is data
		table = 0xc4
	)
	out := append([]byte{}, b[:2]...)
	for at := 2; at+4 <= len(b); {
		length := 2 + int(b[at+2])<<8 + int(b[at+3])
		switch b[at+1] {
		case table:
		case start:
			return append(out, b[at:]...)
		default:
			out = append(out, b[at:at+length]...)
		}
		at += length
	}
	return out
}

// record is what a camera gave: what frames were, whole or not. It is told of them
// by the camera, from its goroutines.
type record struct {
	mu     sync.Mutex
	whole  map[[sha256.Size]byte]bool
	begun  map[[sha256.Size]byte]usbcam.Served // by how they begin: the broken ones, without their bytes
	faults map[usbcam.Fault]int
}

func newRecord() *record {
	return &record{
		whole: map[[sha256.Size]byte]bool{}, begun: map[[sha256.Size]byte]usbcam.Served{}, faults: map[usbcam.Fault]int{},
	}
}

// served notes a frame.
func (r *record) served(s usbcam.Served) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[s.Fault]++
	if s.Fault == usbcam.None || s.Fault == usbcam.MissingEnd { // which the next frame's beginning makes up for
		r.whole[sum(s.Data)] = true
		return
	}
	from := beginning(s.Data)
	s.Data = nil
	r.begun[from] = s
}

// is says that the camera gave this very picture, whole, or else what is known of
// it.
func (r *record) is(picture []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.whole[sum(picture)] {
		return nil
	}
	if s, ok := r.begun[beginning(picture)]; ok {
		return fmt.Errorf("a picture of %d bytes is frame %d, whose fault was: %v", len(picture), s.N, s.Fault)
	}
	return fmt.Errorf("the camera never gave this picture of %d bytes", len(picture))
}

// beginning is what a broken picture has in common with the whole one.
func beginning(frame []byte) [sha256.Size]byte {
	frame = jpegdc.WithTables(frame)
	return sha256.Sum256(frame[:min(len(frame), 4<<10)])
}

// webcam is a usual camera: one node, Motion JPEG in 640×480.
func webcam(reel usbcam.Reel, saw *record) usbcam.Description {
	size := usbcam.Size{Width: 640, Height: 480, Intervals: []time.Duration{time.Second / 30, time.Second / 10}}
	return usbcam.Description{
		VendorID: 0x1209, ProductID: 0xca3e, Name: "Walks", Serial: "0001", Controls: usbcam.DefaultControls(), Served: saw.served,
		Streams: []usbcam.Stream{{Formats: []usbcam.Format{{Encoding: usbcam.MJPEG, Sizes: []usbcam.Size{size}}}, Reel: reel}},
	}
}

// sum is a frame's; of a JPEG, with its tables put back.
func sum(frame []byte) [sha256.Size]byte {
	if isJPEG(frame) {
		return sha256.Sum256(jpegdc.WithTables(frame))
	}
	return unitsSum(frame)
}

// isBars says whether a JPEG is vivid's colour bars, moved sideways by whatever
// amount: each pixel of its rows has to have the colour of its bar, near enough
// for two conversions and a JPEG.
func isBars(picture []byte) error {
	img, err := jpeg.Decode(bytes.NewReader(picture))
	if err != nil {
		return err
	}
	b := img.Bounds()
	for _, y := range []int{b.Dy() / 4, b.Dy() / 2, 3 * b.Dy() / 4} {
		if off := barsOff(img, y); off > maxBarsOff {
			return fmt.Errorf("row %d is %.1f off the colour bars", y, off)
		}
	}
	return nil
}

// maxBarsOff is how far a row may be from the bars, in the mean of its pixels' red,
// green and blue (0 to 255).
const maxBarsOff = 12

// bars are the colours: white, yellow, cyan, green, magenta, red, blue, black, at
// 75 % but for white and black.
func bars() [8][3]float64 {
	const v = 191
	return [8][3]float64{{v, v, v}, {v, v, 0}, {0, v, v}, {0, v, 0}, {v, 0, v}, {v, 0, 0}, {0, 0, v}, {0, 0, 0}}
}

// barsOff is the mean distance of a row from the bars, moved as fits best. Pixels
// beside an edge do not count.
func barsOff(img image.Image, y int) float64 {
	width := img.Bounds().Dx()
	best := math.Inf(1)
	for shift := range width {
		var off, n float64
		for x := 0; x < width; x += 3 {
			at := float64((x+shift)%width) / float64(width) * 8
			if in := at - math.Floor(at); in < 0.1 || in > 0.9 {
				continue
			}
			r, g, b, _ := img.At(x, y).RGBA()
			want := bars()[int(at)]
			off += (math.Abs(float64(r>>8)-want[0]) + math.Abs(float64(g>>8)-want[1]) + math.Abs(float64(b>>8)-want[2])) / 3
			n++
		}
		best = min(best, off/n)
	}
	return best
}
