package lab

import (
	"bytes"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rsc.io/qr"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
	code "github.com/lensward/lensward/capture/qr"
)

// phone is a phone that somebody holds before the camera.
type phone struct {
	x, y  float64 // of its screen's middle, as parts of the picture
	side  float64 // of what it shows, in pixels, where it faces the camera
	turn  float64 // degrees in the picture's plane, and
	tilt  float64 // away from it
	blur  float64 // standard deviation of the lens's blur, in pixels
	noise float64 // of the sensor's noise, in levels
}

// held is a phone in a hand that is not quite still: somewhat more than half of the
// picture's height, off the middle, turned, tilted and out of focus.
func held() []phone {
	var out []phone
	for i := range 6 {
		sway := math.Sin(float64(i) / 6 * 2 * math.Pi)
		out = append(out, phone{x: 0.46 + 0.008*sway, y: 0.53 - 0.006*sway, side: 270 + 3*sway, turn: 7 + sway, tilt: 18 - sway, blur: 1, noise: 3})
	}
	return out
}

// before paints what a camera sees when the phone with this picture is held before a room,
// as a JPEG without Huffman tables.
func (p phone) before(t *testing.T, room []byte, shown *image.Gray, seed uint64) []byte {
	t.Helper()
	decoded, err := jpeg.Decode(bytes.NewReader(jpegdc.WithTables(room)))
	must(t, err)
	img := decoded.(*image.YCbCr)
	size := img.Bounds().Size()
	back := p.plane(size)
	var body image.Rectangle
	light := make([]float64, size.X*size.Y)
	for y := range size.Y {
		for x := range size.X {
			at := y*size.X + x
			light[at] = float64(img.Y[img.YOffset(x, y)])
			if _, inside := front(shown, back(float64(x)+0.5, float64(y)+0.5)); !inside {
				continue
			}
			body = body.Union(image.Rect(x, y, x+1, y+1))
			light[at] = pixel(shown, back, x, y)
			c := img.COffset(x, y)
			img.Cb[c], img.Cr[c] = 128, 128
		}
	}
	blurred(light, size.X, body, p.blur)
	r := rand.New(rand.NewPCG(seed, 5))
	for y := body.Min.Y; y < body.Max.Y; y++ {
		for x := body.Min.X; x < body.Max.X; x++ {
			v := light[y*size.X+x] + p.noise*r.NormFloat64()
			img.Y[img.YOffset(x, y)] = byte(math.Round(min(max(v, 0), 255)))
		}
	}
	var out bytes.Buffer
	must(t, jpeg.Encode(&out, img, &jpeg.Options{Quality: 80}))
	return withoutTables(out.Bytes())
}

// place is a place in the phone's plane: its picture goes from 0 to 1 both ways.
type place struct{ u, v float64 }

// plane gives the way from the camera's picture to the phone's plane. The camera is five
// times as far away as what the phone shows is wide.
func (p phone) plane(size image.Point) func(x, y float64) place {
	turn, tilt := p.turn*math.Pi/180, p.tilt*math.Pi/180
	away := 5 * p.side
	return func(x, y float64) place {
		px, py := x-p.x*float64(size.X), y-p.y*float64(size.Y)
		// The plane is tilted about its vertical axis: where the eye's ray meets it.
		a := px * away / (away*math.Cos(tilt) - px*math.Sin(tilt))
		b := py * (away + a*math.Sin(tilt)) / away
		return place{
			(a*math.Cos(turn)+b*math.Sin(turn))/p.side + 0.5,
			(-a*math.Sin(turn)+b*math.Cos(turn))/p.side + 0.5,
		}
	}
}

// front is the light of a place on the phone's front, and whether it is one: the picture
// in the middle of a white screen in a dark frame.
func front(shown *image.Gray, at place) (level float64, inside bool) {
	const dark, lit = 28, 222
	u, v := at.u, at.v
	switch {
	case u >= 0 && u < 1 && v >= 0 && v < 1:
		b := shown.Bounds()
		grey := shown.Pix[shown.PixOffset(b.Min.X+int(u*float64(b.Dx())), b.Min.Y+int(v*float64(b.Dy())))]
		return dark + (lit-dark)*float64(grey)/255, true
	case u >= -0.04 && u < 1.04 && v >= -0.2 && v < 1.2:
		return lit, true
	default:
		return dark, u >= -0.08 && u < 1.08 && v >= -0.28 && v < 1.28
	}
}

// pixel is the light of a pixel of the phone, the mean of nine places.
func pixel(shown *image.Gray, back func(x, y float64) place, x, y int) float64 {
	const sub = 3
	sum := 0.0
	for i := range sub * sub {
		level, _ := front(shown, back(float64(x)+(float64(i%sub)+0.5)/sub, float64(y)+(float64(i/sub)+0.5)/sub))
		sum += level
	}
	return sum / (sub * sub)
}

// blurred blurs a part of a picture as a lens that is out of focus does, nearly enough: by
// a Gaussian.
func blurred(pix []float64, width int, part image.Rectangle, sigma float64) {
	reach := int(math.Ceil(3 * sigma))
	kernel, sum := make([]float64, 2*reach+1), 0.0
	for i := range kernel {
		d := float64(i - reach)
		kernel[i] = math.Exp(-d * d / (2 * sigma * sigma))
		sum += kernel[i]
	}
	for _, step := range []image.Point{{X: 1}, {Y: 1}} {
		in := slices.Clone(pix)
		for y := part.Min.Y; y < part.Max.Y; y++ {
			for x := part.Min.X; x < part.Max.X; x++ {
				v := 0.0
				for i, k := range kernel {
					d := i - reach
					xx := min(max(x+d*step.X, part.Min.X), part.Max.X-1)
					yy := min(max(y+d*step.Y, part.Min.Y), part.Max.Y-1)
					v += k * in[yy*width+xx]
				}
				pix[y*width+x] = v / sum
			}
		}
	}
}

// drawn is a code's picture, as lensctl draws it.
func drawn(t *testing.T, text string) *image.Gray {
	t.Helper()
	c, err := qr.Encode(text, qr.L)
	must(t, err)
	return decodePNG(t, c.PNG())
}

// decodePNG is a PNG in grey.
func decodePNG(t *testing.T, b []byte) *image.Gray {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(b))
	must(t, err)
	grey := image.NewGray(img.Bounds())
	draw.Draw(grey, grey.Rect, img, img.Bounds().Min, draw.Src)
	return grey
}

// TestPhone has the painted phones read on the host, so that a guest that reads nothing is
// the guest's trouble; and a room without one has no code.
func TestPhone(t *testing.T) {
	const text = "LENSWARD1:ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" +
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	room := walks(t, 640, 480, 10, time.Second)[0]
	reader := code.NewReader("LENSWARD", time.Minute)
	read := func(picture []byte) []string {
		t.Helper()
		frame := capture.Frame{Format: capture.FormatMJPEG, Width: 640, Height: 480, Key: true, Data: jpegdc.WithTables(picture)}
		texts, err := reader.Read(t.Context(), frame)
		must(t, err)
		return texts
	}
	for i, p := range held() {
		if got := read(p.before(t, room, drawn(t, text), uint64(i))); !slices.Equal(got, []string{text}) {
			t.Errorf("phone %d shows %q", i, got)
		}
	}
	if got := read(room); len(got) > 0 {
		t.Errorf("the room shows %q", got)
	}
}
