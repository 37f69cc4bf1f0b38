package scene

import (
	"image"
	"math"
)

// The room is designed on a sheet of 1600×900 units and painted at any size.
const (
	sheetWidth  = 1600
	sheetHeight = 900
)

// rgb is a colour with components from 0 to 255.
type rgb struct{ r, g, b float64 }

// times returns the colour k times as bright.
func (c rgb) times(k float64) rgb { return rgb{c.r * k, c.g * k, c.b * k} }

// mix returns the colour a part of the way to another: 0 is c, 1 is to.
func (c rgb) mix(to rgb, part float64) rgb {
	return rgb{c.r + (to.r-c.r)*part, c.g + (to.g-c.g)*part, c.b + (to.b-c.b)*part}
}

// ycbcr converts to full-range BT.601, as JPEG has it.
func (c rgb) ycbcr() (y, cb, cr float64) {
	y = 0.299*c.r + 0.587*c.g + 0.114*c.b
	return y, 128 + 0.564*(c.b-y), 128 + 0.713*(c.r-y)
}

// region is a part of the sheet, in units.
type region struct{ x0, y0, x1, y1 float64 }

// distance is a shape: the distance of a point from its edge in units, negative
// inside.
type distance func(x, y float64) float64

// shade is a paint: the colour at a point, and how much it covers (0 to 1).
type shade func(x, y float64) (rgb, float64)

// flat is one opaque colour.
func flat(c rgb) shade { return func(_, _ float64) (rgb, float64) { return c, 1 } }

// vertical runs from one opaque colour at y0 to another at y1.
func vertical(y0 float64, top rgb, y1 float64, bottom rgb) shade {
	return func(_, y float64) (rgb, float64) {
		return top.mix(bottom, clamp01((y-y0)/(y1-y0))), 1
	}
}

// shadow darkens: a black that covers by a strength.
func shadow(strength func(x, y float64) float64) shade {
	return func(x, y float64) (rgb, float64) { return rgb{}, strength(x, y) }
}

// box is a rectangle with rounded corners.
func (g region) box(radius float64) distance {
	cx, cy := (g.x0+g.x1)/2, (g.y0+g.y1)/2
	hx, hy := (g.x1-g.x0)/2-radius, (g.y1-g.y0)/2-radius
	return func(x, y float64) float64 {
		dx, dy := math.Abs(x-cx)-hx, math.Abs(y-cy)-hy
		return math.Hypot(max(dx, 0), max(dy, 0)) + min(max(dx, dy), 0) - radius
	}
}

// oval is the ellipse inside the region.
func (g region) oval() distance {
	cx, cy := (g.x0+g.x1)/2, (g.y0+g.y1)/2
	rx, ry := (g.x1-g.x0)/2, (g.y1-g.y0)/2
	return func(x, y float64) float64 {
		return (math.Hypot((x-cx)/rx, (y-cy)/ry) - 1) * min(rx, ry)
	}
}

// polygon is a convex polygon; its corners run clockwise on the screen.
func polygon(corners ...[2]float64) distance {
	return func(x, y float64) float64 {
		d := math.Inf(-1)
		for i, a := range corners {
			b := corners[(i+1)%len(corners)]
			ex, ey := b[0]-a[0], b[1]-a[1]
			d = max(d, ((x-a[0])*ey-(y-a[1])*ex)/math.Hypot(ex, ey))
		}
		return d
	}
}

// canvas is the room while it is painted.
type canvas struct {
	width, height int
	sx, sy        float64   // pixels to a unit
	pix           []float32 // red, green, blue
}

func newCanvas(width, height int) *canvas {
	return &canvas{
		width: width, height: height,
		sx: float64(width) / sheetWidth, sy: float64(height) / sheetHeight,
		pix: make([]float32, width*height*3),
	}
}

// paint covers the shape with the paint, its edge one pixel soft. Only the given
// region is visited.
func (c *canvas) paint(g region, shape distance, with shade) {
	x0, x1 := max(int(g.x0*c.sx)-1, 0), min(int(g.x1*c.sx)+2, c.width)
	y0, y1 := max(int(g.y0*c.sy)-1, 0), min(int(g.y1*c.sy)+2, c.height)
	scale := min(c.sx, c.sy)
	for py := y0; py < y1; py++ {
		y := (float64(py) + 0.5) / c.sy
		for px := x0; px < x1; px++ {
			x := (float64(px) + 0.5) / c.sx
			cover := clamp01(0.5 - shape(x, y)*scale)
			if cover == 0 {
				continue
			}
			colour, alpha := with(x, y)
			alpha *= cover
			p := c.pix[(py*c.width+px)*3:][:3]
			p[0] += float32(alpha * (colour.r - float64(p[0])))
			p[1] += float32(alpha * (colour.g - float64(p[1])))
			p[2] += float32(alpha * (colour.b - float64(p[2])))
		}
	}
}

// fill paints the whole of a region's box with rounded corners.
func (c *canvas) fill(g region, radius float64, with shade) { c.paint(g, g.box(radius), with) }

// image returns the painting as a JPEG encoder wants it.
func (c *canvas) image() *image.YCbCr {
	img := image.NewYCbCr(image.Rect(0, 0, c.width, c.height), image.YCbCrSubsampleRatio420)
	sums := make([]float32, 2*len(img.Cb))
	for py := range c.height {
		for px := range c.width {
			p := c.pix[(py*c.width+px)*3:][:3]
			y, cb, cr := rgb{float64(p[0]), float64(p[1]), float64(p[2])}.ycbcr()
			img.Y[py*img.YStride+px] = level(y)
			at := py/2*img.CStride + px/2
			sums[2*at] += float32(cb) / 4
			sums[2*at+1] += float32(cr) / 4
		}
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = level(float64(sums[2*i])), level(float64(sums[2*i+1]))
	}
	return img
}

// level rounds to a sample.
func level(v float64) uint8 { return uint8(min(max(v+0.5, 0), 255)) }

func clamp01(v float64) float64 { return min(max(v, 0), 1) }

// smooth eases from 0 to 1 as v does.
func smooth(v float64) float64 {
	v = clamp01(v)
	return v * v * (3 - 2*v)
}

// hash scatters a lattice point to a number from 0 to 1.
func hash(x, y int) float64 {
	h := uint32(x)*0x9e3779b1 ^ uint32(y)*0x85ebca77
	h = (h ^ h>>15) * 0x2c1b3c6d
	h = (h ^ h>>12) * 0x297a2d39
	return float64(h^h>>15) / (1 << 32)
}

// texture is smooth value noise of one unit's grain, from -1 to 1.
func texture(x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int(fx), int(fy)
	tx, ty := smooth(x-fx), smooth(y-fy)
	top := hash(ix, iy)*(1-tx) + hash(ix+1, iy)*tx
	bottom := hash(ix, iy+1)*(1-tx) + hash(ix+1, iy+1)*tx
	return 2*(top*(1-ty)+bottom*ty) - 1
}
