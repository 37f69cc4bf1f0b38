package scene

import (
	"image"
	"math"
	"math/rand/v2"
)

// look is how a walker is dressed and built.
type look struct {
	shirt, trousers, skin, hair, shoes rgb
	height                             float64 // a factor around 1
}

func newLook(rng *rand.Rand) look {
	pick := func(of ...rgb) rgb { return of[rng.IntN(len(of))] }
	return look{
		shirt: pick(rgb{176, 52, 48}, rgb{44, 84, 150}, rgb{226, 220, 208}, rgb{54, 110, 70},
			rgb{210, 150, 50}, rgb{60, 56, 66}, rgb{138, 84, 140}),
		trousers: pick(rgb{44, 52, 76}, rgb{58, 54, 52}, rgb{112, 98, 78}, rgb{34, 36, 42}),
		skin:     pick(rgb{228, 184, 156}, rgb{196, 146, 112}, rgb{142, 98, 72}, rgb{96, 66, 50}),
		hair:     pick(rgb{44, 32, 26}, rgb{96, 64, 40}, rgb{150, 116, 70}, rgb{150, 146, 142}),
		shoes:    pick(rgb{40, 34, 32}, rgb{110, 72, 46}, rgb{200, 198, 194}),
		height:   0.92 + 0.16*rng.Float64(),
	}
}

// point is a place in the picture, in pixels.
type point struct{ x, y float64 }

// limb is a tapered capsule: from a (with radius ra) to b (with radius rb).
type limb struct {
	a, b   point
	ra, rb float64
	colour rgb
}

// reach is half the width that a walker and its shadow can take, as a share of
// its height.
const reach = 0.36

// body returns the walker's height and the centre of its feet at a part of its
// way, in pixels, for a picture of the given size.
func (a act) body(part float64, width, height int) (tall float64, feet point) {
	scale := float64(height) / sheetHeight
	tall = (330 + (a.ground-680)*1.1) * a.look.height * scale
	from, to := -reach*tall, float64(width)+reach*tall
	if a.leftwards {
		from, to = to, from
	}
	return tall, point{from + (to-from)*part, a.ground * scale}
}

// limbs poses the walker: furthest first, nearest last.
func (a act) limbs(part, speed float64, width, height int) []limb {
	tall, feet := a.body(part, width, height)
	ahead := 1.0
	if a.leftwards {
		ahead = -1
	}
	stride := 0.62 * tall // of both legs together
	phase := 2 * math.Pi * part * (float64(width) + 2*reach*tall) / stride / 2

	thigh, shin := 0.245*tall, 0.235*tall
	swing := func(from point, length, angle float64) point {
		return point{from.x + ahead*length*math.Sin(angle), from.y + length*math.Cos(angle)}
	}
	leg := func(phase float64) (knee, ankle point) {
		hipAngle := 0.46 * speed * math.Sin(phase)
		bend := speed * (0.12 + 0.85*max(0, math.Cos(phase)))
		knee = swing(point{}, thigh, hipAngle)
		return knee, swing(knee, shin, hipAngle-bend)
	}
	nearKnee, nearAnkle := leg(phase)
	farKnee, farAnkle := leg(phase + math.Pi)
	// The lower foot stands on the ground; the body rises and falls with it.
	hip := point{feet.x, feet.y - 0.035*tall - max(nearAnkle.y, farAnkle.y)}
	move := func(p point) point { return point{hip.x + p.x, hip.y + p.y} }
	neck := point{hip.x + ahead*0.02*tall*speed, hip.y - 0.315*tall}
	head := point{neck.x + ahead*0.012*tall, neck.y - 0.112*tall}

	arm := func(phase float64) (elbow, hand point) {
		angle := 0.5 * speed * math.Sin(phase)
		shoulder := point{neck.x, neck.y + 0.035*tall}
		elbow = swing(shoulder, 0.165*tall, angle)
		return elbow, swing(elbow, 0.15*tall, angle+0.15+0.3*speed)
	}
	shoulder := point{neck.x, neck.y + 0.035*tall}
	limbs := make([]limb, 0, 20)
	addArm := func(phase, dark float64) {
		elbow, hand := arm(phase)
		sleeve, skin := a.look.shirt.times(dark), a.look.skin.times(dark)
		limbs = append(limbs,
			limb{shoulder, elbow, 0.034 * tall, 0.027 * tall, sleeve},
			limb{elbow, hand, 0.026 * tall, 0.020 * tall, sleeve},
			limb{hand, point{hand.x + ahead*0.006*tall, hand.y + 0.024*tall}, 0.020 * tall, 0.017 * tall, skin})
	}
	addLeg := func(knee, ankle point, dark float64) {
		cloth := a.look.trousers.times(dark)
		knee, ankle = move(knee), move(ankle)
		toe := point{ankle.x + ahead*0.062*tall, ankle.y + 0.014*tall}
		limbs = append(limbs,
			limb{point{ankle.x - ahead*0.012*tall, ankle.y + 0.010*tall}, toe, 0.024 * tall, 0.018 * tall, a.look.shoes.times(dark)},
			limb{hip, knee, 0.058 * tall, 0.041 * tall, cloth},
			limb{knee, ankle, 0.041 * tall, 0.028 * tall, cloth})
	}
	addArm(phase, 0.72)
	addLeg(farKnee, farAnkle, 0.74)
	addLeg(nearKnee, nearAnkle, 1)
	waist := point{hip.x, hip.y - 0.03*tall}
	limbs = append(limbs,
		limb{point{hip.x, hip.y - 0.005*tall}, waist, 0.062 * tall, 0.064 * tall, a.look.trousers},
		limb{point{hip.x, hip.y - 0.055*tall}, shoulder, 0.064 * tall, 0.068 * tall, a.look.shirt},
		limb{point{neck.x, neck.y + 0.01*tall}, point{head.x, head.y + 0.03*tall}, 0.026 * tall, 0.026 * tall, a.look.skin.times(0.86)},
		limb{point{head.x - ahead*0.012*tall, head.y - 0.016*tall}, point{head.x - ahead*0.018*tall, head.y + 0.012*tall}, 0.060 * tall, 0.052 * tall, a.look.hair},
		limb{point{head.x + ahead*0.010*tall, head.y - 0.004*tall}, point{head.x + ahead*0.012*tall, head.y + 0.026*tall}, 0.052 * tall, 0.040 * tall, a.look.skin},
		limb{point{head.x + ahead*0.060*tall, head.y + 0.010*tall}, point{head.x + ahead*0.064*tall, head.y + 0.014*tall}, 0.010 * tall, 0.010 * tall, a.look.skin},
		limb{point{head.x - ahead*0.030*tall, head.y - 0.042*tall}, point{head.x + ahead*0.026*tall, head.y - 0.046*tall}, 0.028 * tall, 0.018 * tall, a.look.hair})
	addArm(phase+math.Pi, 1)
	return limbs
}

// bounds returns the pixels that the limb can touch.
func (l limb) bounds() image.Rectangle {
	r := max(l.ra, l.rb) + 2
	return image.Rect(
		int(math.Floor(min(l.a.x, l.b.x)-r)), int(math.Floor(min(l.a.y, l.b.y)-r)),
		int(math.Ceil(max(l.a.x, l.b.x)+r)), int(math.Ceil(max(l.a.y, l.b.y)+r)))
}

// at returns how much of a pixel the limb covers (0 to 1), and how far to the
// right of its axis the pixel is (-1 to 1), by which the limb is shaded.
func (l limb) at(x, y float64) (cover, side float64) {
	dx, dy := l.b.x-l.a.x, l.b.y-l.a.y
	t := clamp01(((x-l.a.x)*dx + (y-l.a.y)*dy) / max(dx*dx+dy*dy, 1e-9))
	ox, oy := x-l.a.x-t*dx, y-l.a.y-t*dy
	r := l.ra + t*(l.rb-l.ra)
	return clamp01(r - math.Sqrt(ox*ox+oy*oy) + 0.5), max(-1, min(1, ox/r))
}

// blend moves a sample a part of the way to a value.
func blend(sample *uint8, to, part float64) {
	*sample = level(float64(*sample) + (to-float64(*sample))*part)
}

// draw paints the limb; light comes from the left.
func (l limb) draw(img *image.YCbCr) image.Rectangle {
	area := l.bounds().Intersect(img.Rect)
	luma, cb, cr := l.colour.ycbcr()
	for py := area.Min.Y; py < area.Max.Y; py++ {
		for px := area.Min.X; px < area.Max.X; px++ {
			cover, side := l.at(float64(px)+0.5, float64(py)+0.5)
			if cover == 0 {
				continue
			}
			blend(&img.Y[py*img.YStride+px], luma*(1-0.24*side), cover)
			if px&1 == 0 && py&1 == 0 {
				at := py/2*img.CStride + px/2
				blend(&img.Cb[at], cb, cover)
				blend(&img.Cr[at], cr, cover)
			}
		}
	}
	return area
}

// drawWalker paints the walker and its shadow as they are at t, and returns what
// it touched.
func (a act) drawWalker(img *image.YCbCr, part, speed float64) image.Rectangle {
	width, height := img.Rect.Dx(), img.Rect.Dy()
	tall, feet := a.body(part, width, height)
	touched := drawShadow(img, feet, 0.30*tall, 0.045*tall)
	for _, l := range a.limbs(part, speed, width, height) {
		touched = touched.Union(l.draw(img))
	}
	return touched
}

// drawShadow darkens a soft ellipse on the floor.
func drawShadow(img *image.YCbCr, centre point, rx, ry float64) image.Rectangle {
	area := image.Rect(int(centre.x-rx), int(centre.y-ry), int(centre.x+rx)+1, int(centre.y+ry)+1).Intersect(img.Rect)
	for py := area.Min.Y; py < area.Max.Y; py++ {
		for px := area.Min.X; px < area.Max.X; px++ {
			dx, dy := (float64(px)-centre.x)/rx, (float64(py)-centre.y)/ry
			blend(&img.Y[py*img.YStride+px], 0, 0.42*smooth(1-dx*dx-dy*dy))
		}
	}
	return area
}
