package scene

import (
	"image"
	"math"
)

// Where the room's lines are, in units of the sheet.
const (
	floorLine  = 560 // the wall meets the floor
	vanishingX = 800
	vanishingY = 400
)

// paintRoom paints the empty room.
func paintRoom(width, height int) *image.YCbCr {
	c := newCanvas(width, height)
	c.wall()
	c.floor()
	c.window()
	c.door()
	c.wallPicture()
	c.bookShelf()
	c.rug()
	c.sofa()
	c.lamp()
	c.plant()
	c.vignette()
	return c.image()
}

func (c *canvas) wall() {
	whole := region{0, 0, sheetWidth, floorLine}
	paint := rgb{208, 198, 180}
	c.fill(whole, 0, func(x, y float64) (rgb, float64) {
		light := 1.08 - 0.00028*math.Hypot(x-290, 1.3*(y-260))
		grain := 1 + 0.004*texture(x/4, y/4) + 0.012*texture(x/40, y/40)
		return paint.times(light * grain), 1
	})
	c.fill(region{0, floorLine - 26, sheetWidth, floorLine}, 0,
		vertical(floorLine-26, rgb{222, 216, 204}, floorLine, rgb{182, 174, 160}))
	c.fill(region{0, floorLine - 28, sheetWidth, floorLine - 26}, 0, flat(rgb{160, 150, 134}))
}

// floor lays planks that run towards the vanishing point.
func (c *canvas) floor() {
	const plank = 0.42 // width of a plank at one unit's depth
	c.fill(region{0, floorLine, sheetWidth, sheetHeight}, 0, func(x, y float64) (rgb, float64) {
		depth := y - vanishingY
		across := (x - vanishingX) / depth / plank
		row := math.Floor(across)
		along := 900/depth + 0.37*row
		piece := math.Floor(along)
		tone := 0.90 + 0.16*hash(int(row), int(piece))
		grain := 1 + 0.03*texture(across*7+7*row, along*2.5)
		gap := min(across-row, row+1-across) * plank * depth
		end := min(along-piece, piece+1-along) * depth * depth / 900
		line := 1 - 0.28*(1-smooth(min(gap/2.2, end/1.6)))
		light := 0.80 + 0.0007*(y-floorLine) - 0.00013*math.Abs(x-520)
		return rgb{176, 130, 88}.times(tone * grain * line * light), 1
	})
	c.fill(region{0, floorLine, sheetWidth, floorLine + 30}, 0, shadow(func(_, y float64) float64 {
		return 0.25 * (1 - smooth((y-floorLine)/30))
	}))
	// Daylight through the window.
	patch := polygon([2]float64{250, 660}, [2]float64{470, 660}, [2]float64{600, 850}, [2]float64{300, 850})
	c.paint(region{220, 630, 640, 880}, func(x, y float64) float64 { return patch(x, y) / 14 },
		func(x, y float64) (rgb, float64) {
			bar := smooth(math.Abs(x-375-0.36*(y-660))/9) * smooth(math.Abs(y-742)/7)
			return rgb{255, 236, 196}, 0.30 * bar * smooth(-patch(x, y)/16)
		})
}

func (c *canvas) window() {
	frame := region{160, 110, 420, 410}
	c.fill(region{frame.x0 - 14, frame.y0 - 14, frame.x1 + 14, frame.y1 + 14}, 3, flat(rgb{238, 234, 226}))
	c.fill(frame, 2, func(x, y float64) (rgb, float64) {
		sky := rgb{158, 194, 230}.mix(rgb{232, 238, 242}, (y-frame.y0)/260)
		cloud := smooth(texture(x/60, y/26)*1.4 + 0.5*texture(x/22, y/13) - 0.2)
		sky = sky.mix(rgb{250, 250, 250}, 0.7*cloud)
		trees := 330 + 26*texture(x/24, 1) + 12*texture(x/9, 5)
		leaves := rgb{92, 122, 78}.times(0.9 + 0.25*texture(x/7, y/7))
		return sky.mix(leaves, smooth((y-trees)/6)), 1
	})
	for _, bar := range []region{{284, 110, 296, 410}, {160, 254, 420, 266}} {
		c.fill(bar, 0, vertical(110, rgb{236, 232, 224}, 410, rgb{220, 214, 204}))
	}
	c.fill(region{130, 410, 450, 430}, 3, vertical(410, rgb{244, 240, 232}, 430, rgb{190, 182, 168}))
	c.fill(region{70, 70, 510, 80}, 5, flat(rgb{92, 72, 56}))
	for _, curtain := range []region{{84, 80, 168, 520}, {412, 80, 496, 520}} {
		c.fill(curtain, 6, func(x, y float64) (rgb, float64) {
			fold := 0.86 + 0.16*math.Sin((x-curtain.x0)*0.32+0.6*math.Sin(y/90))
			return rgb{172, 92, 74}.times(fold * (1.04 - 0.0004*(y-80))), 1
		})
	}
}

func (c *canvas) door() {
	c.fill(region{1282, 146, 1500, floorLine}, 4, flat(rgb{226, 220, 208}))
	leaf := region{1298, 162, 1484, floorLine}
	c.fill(leaf, 2, func(x, y float64) (rgb, float64) {
		return rgb{142, 104, 72}.times(0.95 + 0.07*texture(x/3, y/70) - 0.0004*(x-1298)), 1
	})
	for _, panel := range []region{{1320, 186, 1382, 340}, {1400, 186, 1462, 340}, {1320, 372, 1382, 530}, {1400, 372, 1462, 530}} {
		c.fill(panel, 3, flat(rgb{100, 72, 50}))
		inner := region{panel.x0 + 4, panel.y0 + 4, panel.x1 - 4, panel.y1 - 4}
		c.fill(inner, 3, func(x, y float64) (rgb, float64) {
			return rgb{150, 112, 78}.times(0.96 + 0.06*texture(x/3, y/60)), 1
		})
	}
	c.paint(region{1300, 350, 1326, 372}, region{1304, 352, 1320, 368}.oval(), vertical(352, rgb{240, 216, 150}, 368, rgb{130, 104, 60}))
}

func (c *canvas) wallPicture() {
	c.fill(region{652, 146, 880, 306}, 2, shadow(func(_, _ float64) float64 { return 0.22 }))
	c.fill(region{644, 138, 872, 298}, 2, vertical(138, rgb{92, 66, 44}, 298, rgb{62, 44, 30}))
	c.fill(region{654, 148, 862, 288}, 0, flat(rgb{240, 236, 226}))
	c.fill(region{672, 164, 844, 272}, 0, func(x, y float64) (rgb, float64) {
		sky := rgb{238, 180, 120}.mix(rgb{250, 226, 180}, (y-164)/60)
		sky = sky.mix(rgb{255, 246, 214}, smooth((17-math.Hypot(x-790, y-200))/3))
		far := 222 + 12*math.Sin(x/21) + 6*math.Sin(x/9)
		near := 244 + 9*math.Sin(x/31+2)
		sky = sky.mix(rgb{120, 128, 150}, smooth((y-far)/2))
		return sky.mix(rgb{66, 84, 82}, smooth((y-near)/2)), 1
	})
}

func (c *canvas) bookShelf() {
	c.fill(region{960, 296, 1206, 318}, 2, shadow(func(_, y float64) float64 { return 0.3 * (1 - smooth((y-296)/22)) }))
	x := 968.0
	for i := 0; x < 1180; i++ {
		width, height := 11+12*hash(i, 3), 62+30*hash(i, 7)
		cover := rgb{80 + 140*hash(i, 11), 60 + 110*hash(i, 13), 60 + 110*hash(i, 17)}
		book := region{x, 284 - height, x + width - 1, 284}
		c.fill(book, 1, func(bx, by float64) (rgb, float64) {
			round := 1.05 - 0.5*math.Abs((bx-book.x0)/(book.x1-book.x0)-0.4)
			if by-book.y0 > 10 && by-book.y0 < 16 {
				return cover.mix(rgb{230, 210, 150}, 0.6).times(round), 1
			}
			return cover.times(round), 1
		})
		x += width
	}
	c.fill(region{954, 284, 1200, 298}, 1, vertical(284, rgb{170, 128, 88}, 298, rgb{104, 76, 50}))
}

func (c *canvas) rug() {
	rug := region{470, 650, 1130, 810}
	edge := rug.oval()
	c.paint(rug, edge, func(x, y float64) (rgb, float64) {
		in := -edge(x, y)
		colour := rgb{150, 74, 66}
		if in < 52 {
			band := math.Abs(math.Mod(in, 26) - 13)
			colour = colour.mix(rgb{214, 192, 152}, clamp01(4.5-band))
		}
		weave := 1 + 0.02*texture(x/6, y/4)
		return colour.times(weave * (0.86 + 0.0012*(y-rug.y0))), 1
	})
}

func (c *canvas) sofa() {
	c.paint(region{540, 590, 1060, 680}, region{540, 600, 1060, 670}.oval(), shadow(func(x, y float64) float64 {
		return 0.45 * smooth(1.2-math.Hypot((x-800)/260, (y-632)/36))
	}))
	cloth := rgb{74, 112, 120}
	fabric := func(top, bottom, y0, y1 float64) shade {
		return func(x, y float64) (rgb, float64) {
			part := smooth((y - y0) / (y1 - y0))
			light := (top + (bottom-top)*part) * (1.06 - 0.00025*(x-570))
			return cloth.times(light * (1 + 0.015*texture(x/4, y/4))), 1
		}
	}
	for _, leg := range []region{{590, 620, 604, 646}, {996, 620, 1010, 646}} {
		c.fill(leg, 2, flat(rgb{54, 38, 26}))
	}
	c.fill(region{580, 412, 1020, 580}, 26, fabric(1.12, 0.80, 412, 580))
	for _, cushion := range []region{{612, 440, 796, 560}, {804, 440, 988, 560}} {
		c.fill(region{cushion.x0 - 3, cushion.y0 - 2, cushion.x1 + 3, cushion.y1}, 22, fabric(0.70, 0.60, 440, 560))
		c.fill(cushion, 22, fabric(1.16, 0.84, 440, 560))
	}
	c.fill(region{596, 532, 1004, 628}, 14, fabric(1.22, 0.64, 532, 628))
	c.fill(region{798, 534, 802, 580}, 0, fabric(0.6, 0.6, 534, 580))
	c.fill(region{596, 576, 1004, 580}, 0, fabric(0.62, 0.62, 576, 580))
	for _, arm := range []region{{556, 478, 618, 632}, {982, 478, 1044, 632}} {
		c.fill(arm, 24, fabric(1.20, 0.66, 478, 632))
	}
	c.fill(region{640, 468, 716, 544}, 16, func(x, y float64) (rgb, float64) {
		band := math.Abs(math.Mod(x+0.4*y, 22) - 11)
		stripe := rgb{226, 190, 96}.mix(rgb{246, 232, 196}, clamp01(3.5-band))
		return stripe.times(1.05 - 0.004*(y-468)), 1
	})
}

func (c *canvas) lamp() {
	c.paint(region{440, 616, 560, 656}, region{446, 618, 556, 654}.oval(), shadow(func(_, _ float64) float64 { return 0.3 }))
	for _, leg := range []region{{466, 552, 472, 636}, {530, 552, 536, 636}} {
		c.fill(leg, 1, flat(rgb{88, 64, 44}))
	}
	c.fill(region{452, 540, 550, 554}, 4, vertical(540, rgb{178, 136, 96}, 554, rgb{110, 80, 54}))
	c.fill(region{496, 440, 504, 530}, 2, flat(rgb{150, 140, 124}))
	c.paint(region{478, 524, 524, 544}, region{480, 526, 522, 544}.oval(), flat(rgb{120, 112, 100}))
	hood := polygon([2]float64{474, 372}, [2]float64{526, 372}, [2]float64{548, 450}, [2]float64{452, 450})
	c.paint(region{450, 370, 550, 452}, hood, func(x, y float64) (rgb, float64) {
		return rgb{246, 228, 186}.times(1.02 - 0.0026*math.Abs(x-490) - 0.001*(y-372)), 1
	})
}

func (c *canvas) plant() {
	c.paint(region{1080, 636, 1200, 690}, region{1084, 640, 1196, 684}.oval(), shadow(func(_, _ float64) float64 { return 0.35 }))
	for i := range 26 {
		angle := -math.Pi/2 + (hash(i, 21)-0.5)*2.3
		length := 90 + 90*hash(i, 23)
		cos, sin := math.Cos(angle), math.Sin(angle)
		cx, cy := 1140+cos*length*0.75, 592+sin*length
		green := rgb{58, 104, 58}.mix(rgb{128, 164, 88}, hash(i, 29))
		leaf := func(x, y float64) float64 {
			u, v := (x-cx)*cos+(y-cy)*sin, -(x-cx)*sin+(y-cy)*cos
			return (math.Hypot(u/46, v/11) - 1) * 11
		}
		c.paint(region{cx - 48, cy - 48, cx + 48, cy + 48}, leaf, func(x, y float64) (rgb, float64) {
			v := -(x-cx)*sin + (y-cy)*cos
			return green.times(1.05 - 0.025*v - 0.15*(1-smooth(math.Abs(v)/1.5))), 1
		})
	}
	pot := polygon([2]float64{1098, 590}, [2]float64{1182, 590}, [2]float64{1170, 668}, [2]float64{1110, 668})
	c.paint(region{1096, 588, 1184, 670}, pot, func(x, y float64) (rgb, float64) {
		return rgb{198, 122, 84}.times(1.1 - 0.007*math.Abs(x-1124) - 0.001*(y-590)), 1
	})
	c.fill(region{1092, 582, 1188, 600}, 4, func(x, _ float64) (rgb, float64) {
		return rgb{210, 134, 94}.times(1.1 - 0.006*math.Abs(x-1124)), 1
	})
}

// vignette darkens the corners as a cheap lens does.
func (c *canvas) vignette() {
	whole := region{0, 0, sheetWidth, sheetHeight}
	c.fill(whole, 0, shadow(func(x, y float64) float64 {
		d := math.Hypot((x-800)/1000, (y-450)/640)
		return 0.30 * smooth(d-0.35)
	}))
}
