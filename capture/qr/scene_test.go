package qr_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"rsc.io/qr"

	"github.com/lensward/lensward/capture"
)

// scene is how a phone with a code is before a camera.
type scene struct {
	text          string
	width, height int     // of the picture
	module        float64 // pixels a module where the code faces the camera
	turn, tilt    float64 // degrees: in the picture's plane, and away from it
	blur          float64 // standard deviation of the lens's blur, in pixels
	noise         float64 // standard deviation, in levels
	light, dark   float64 // the screen's levels as the camera sees them
	glare         float64 // levels that a lamp's image on the screen adds in its middle
	quality       int     // of the JPEG
	inverted      bool    // a page in white on black
	mirrored      bool    // a camera that flips
	seed          uint64
}

// codeOf is a text as long as that of a pairing code, which has 150 characters at least:
// 199 and 321 stand for one with a hub, and one with a hub of three addresses and a Wi-Fi.
func codeOf(length int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	r := rand.New(rand.NewPCG(7, uint64(length)))
	b := []byte("LENSWARD1:")
	for len(b) < length {
		b = append(b, alphabet[r.IntN(len(alphabet))])
	}
	return string(b)
}

// shown is a code of that many characters before a camera of 720p in good light.
func shown(length int, module float64) scene {
	return scene{
		text: codeOf(length), width: 1280, height: 720, module: module, turn: 4,
		noise: 2, blur: 0.5, light: 220, dark: 30, quality: 80, seed: 1,
	}
}

// picture paints what the camera sees: the code in its light border on the dark front of a
// phone, before a room with some things in it.
func (s scene) picture(t testing.TB) *image.Gray {
	t.Helper()
	code, err := qr.Encode(s.text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	back := s.plane(float64(code.Size))
	out := make([]float64, s.width*s.height)
	phone := image.Rectangle{}
	for y := range s.height {
		for x := range s.width {
			u, v := back(float64(x)+0.5, float64(y)+0.5)
			if u < -8 || v < -16 || u > float64(code.Size)+8 || v > float64(code.Size)+16 {
				out[y*s.width+x] = s.room(float64(x), float64(y))
				continue
			}
			phone = phone.Union(image.Rect(x, y, x+1, y+1))
			out[y*s.width+x] = s.pixel(code, back, float64(x), float64(y))
		}
	}
	blur(out, s.width, phone, s.blur)
	r := rand.New(rand.NewPCG(s.seed, 3))
	img := image.NewGray(image.Rect(0, 0, s.width, s.height))
	for i, v := range out {
		img.Pix[i] = byte(math.Round(min(max(v+s.noise*r.NormFloat64(), 0), 255)))
	}
	if s.mirrored {
		for y := range s.height {
			row := img.Pix[y*s.width : (y+1)*s.width]
			for i, j := 0, len(row)-1; i < j; i, j = i+1, j-1 {
				row[i], row[j] = row[j], row[i]
			}
		}
	}
	return img
}

// frame is the picture as a camera gives it: grey as YCbCr 4:2:0.
func (s scene) frame(t testing.TB) capture.Frame {
	t.Helper()
	return frameOf(t, s.picture(t), s.quality)
}

func frameOf(t testing.TB, grey *image.Gray, quality int) capture.Frame {
	t.Helper()
	b := grey.Bounds()
	img := image.NewYCbCr(b, image.YCbCrSubsampleRatio420)
	copyRows(img.Y, img.YStride, grey)
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = 128, 128
	}
	var data bytes.Buffer
	if err := jpeg.Encode(&data, img, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return capture.Frame{Format: capture.FormatMJPEG, Width: b.Dx(), Height: b.Dy(), Key: true, Data: data.Bytes()}
}

// decoded is a frame's picture.
func decoded(t testing.TB, f capture.Frame) image.Image {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(f.Data))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func copyRows(to []byte, stride int, img *image.Gray) {
	for y := range img.Rect.Dy() {
		copy(to[y*stride:], img.Pix[y*img.Stride:][:img.Rect.Dx()])
	}
}

// pixel is the light of a pixel, the mean of nine places.
func (s scene) pixel(code *qr.Code, back func(x, y float64) (u, v float64), x, y float64) float64 {
	const sub = 3
	sum := 0.0
	for i := range sub * sub {
		u, v := back(x+(float64(i%sub)+0.5)/sub, y+(float64(i/sub)+0.5)/sub)
		sum += s.phone(code, u, v, x, y)
	}
	return sum / (sub * sub)
}

// phone is the light of a place on the phone; u and v are in modules from the code's
// corner.
func (s scene) phone(code *qr.Code, u, v, x, y float64) float64 {
	size := float64(code.Size)
	level := 0.0
	switch {
	case u >= 0 && v >= 0 && u < size && v < size:
		level = s.light
		if code.Black(int(u), int(v)) != s.inverted {
			level = s.dark
		}
	case u >= -4 && v >= -4 && u < size+4 && v < size+4: // the quiet zone
		level = s.light
		if s.inverted {
			level = s.dark
		}
	case u >= -6 && v >= -14 && u < size+6 && v < size+14:
		level = s.dark * 0.8
	default:
		return s.room(x, y)
	}
	// The lamp's image is round, a quarter of the code's side in radius, off the middle.
	du, dv := (u-size*0.6)/(size/4), (v-size*0.45)/(size/4)
	return level + s.glare*math.Exp(-(du*du+dv*dv))
}

func (s scene) room(x, y float64) float64 {
	room := (s.light + s.dark) / 2.2
	room += (s.light - s.dark) * 0.15 * (wave(x, 280) - wave(y, 220)) / 110
	if int(x)%310 < 24 || int(y)%270 < 12 { // shelves
		room *= 0.6
	}
	if x < 260 && y < 200 && (int(x)/5+int(y)/7)%3 == 0 { // a cloth with a pattern
		room *= 0.7
	}
	return room
}

// wave goes up and down between 0 and half its length.
func wave(x float64, length int) float64 {
	at := int(x) % length
	return float64(min(at, length-at))
}

// plane gives the way from the picture to the code's plane, in modules. The camera is six
// times as far away as the code is wide.
func (s scene) plane(size float64) func(x, y float64) (u, v float64) {
	turn, tilt := s.turn*math.Pi/180, s.tilt*math.Pi/180
	distance := 6 * size * s.module // of the eye, in pixels
	// Off the middle, by parts of a pixel that the seed says.
	cx, cy := float64(s.width)/2+13.3+float64(s.seed)*0.37, float64(s.height)/2-9.7+float64(s.seed)*0.23
	return func(x, y float64) (float64, float64) {
		px, py := x-cx, y-cy
		// The plane is tilted about its vertical axis: where the eye's ray meets it.
		k := distance / (distance*math.Cos(tilt) - px*math.Sin(tilt))
		a := px * k
		b := py * (distance + a*math.Sin(tilt)) / distance
		return (a*math.Cos(turn)+b*math.Sin(turn))/s.module + size/2, (-a*math.Sin(turn)+b*math.Cos(turn))/s.module + size/2
	}
}

// blur is a Gaussian blur of a part of a picture.
func blur(pix []float64, width int, part image.Rectangle, sigma float64) {
	reach := int(math.Ceil(3 * sigma))
	kernel := make([]float64, 2*reach+1)
	sum := 0.0
	for i := range kernel {
		d := float64(i - reach)
		kernel[i] = math.Exp(-d * d / (2 * sigma * sigma))
		sum += kernel[i]
	}
	pass := func(stepX, stepY int) {
		in := slices.Clone(pix)
		for y := part.Min.Y; y < part.Max.Y; y++ {
			for x := part.Min.X; x < part.Max.X; x++ {
				v := 0.0
				for i, k := range kernel {
					d := i - reach
					yy := min(max(y+d*stepY, part.Min.Y), part.Max.Y-1)
					xx := min(max(x+d*stepX, part.Min.X), part.Max.X-1)
					v += k * in[yy*width+xx]
				}
				pix[y*width+x] = v / sum
			}
		}
	}
	pass(1, 0)
	pass(0, 1)
}
