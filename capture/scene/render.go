package scene

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// Sensor noise: a strip of samples from which each row of each picture takes
// another stretch.
const (
	noiseStrip = 1 << 16
	noiseSigma = 1.1
	noiseLimit = 15
	quality    = 66 // of the JPEG
)

// renderer makes pictures one after the other. It is not concurrent.
type renderer struct {
	settings Settings
	plan     *schedule
	now      act

	room  *image.YCbCr    // the empty room
	stage *image.YCbCr    // the room with who is in it
	dirty image.Rectangle // where stage differs from room
	out   *image.YCbCr    // what the sensor makes of stage; chroma is stage's
	noise []int8

	clock     *image.Alpha
	clockText string
	buf       bytes.Buffer
}

func newRenderer(s Settings) *renderer {
	r := &renderer{settings: s, plan: newSchedule(s), room: paintRoom(s.Width, s.Height)}
	r.now = r.plan.act()
	r.stage = image.NewYCbCr(r.room.Rect, r.room.SubsampleRatio)
	r.dirty = r.room.Rect
	r.out = image.NewYCbCr(r.room.Rect, r.room.SubsampleRatio)
	r.out.Cb, r.out.Cr = r.stage.Cb, r.stage.Cr
	rng := rand.New(rand.NewPCG(uint64(s.Seed), 0x6e6f697365))
	r.noise = make([]int8, noiseStrip+s.Width)
	for i := range r.noise {
		r.noise[i] = int8(max(-noiseLimit, min(noiseLimit, rng.NormFloat64()*noiseSigma)))
	}
	return r
}

// render returns the picture at t after the scene's start, as a JPEG of its own
// memory. Calls go forward in time.
func (r *renderer) render(seq uint64, t time.Duration) ([]byte, error) {
	for t >= r.now.end {
		r.now = r.plan.act()
	}
	r.wipe()
	if !r.settings.Empty && t >= r.now.Enter && t < r.now.Leave {
		part, speed := r.now.way(t)
		r.dirty = r.now.drawWalker(r.stage, part, speed)
	}
	r.expose(seq, r.now.light(t))
	r.drawClock(t)
	r.buf.Reset()
	if err := jpeg.Encode(&r.buf, r.out, &jpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("encode picture %d of the scene: %w", seq, err)
	}
	return bytes.Clone(r.buf.Bytes()), nil
}

// wipe makes stage the empty room again.
func (r *renderer) wipe() {
	d := r.dirty.Intersect(r.room.Rect)
	r.dirty = image.Rectangle{}
	for y := d.Min.Y; y < d.Max.Y; y++ {
		at := y * r.room.YStride
		copy(r.stage.Y[at+d.Min.X:at+d.Max.X], r.room.Y[at+d.Min.X:])
	}
	for y := d.Min.Y / 2; y < (d.Max.Y+1)/2; y++ {
		from, to := y*r.room.CStride+d.Min.X/2, y*r.room.CStride+(d.Max.X+1)/2
		copy(r.stage.Cb[from:to], r.room.Cb[from:])
		copy(r.stage.Cr[from:to], r.room.Cr[from:])
	}
}

// expose fills out from stage under the given light, with sensor noise.
func (r *renderer) expose(seq uint64, gain float64) {
	// The curve has room on both sides for the noise.
	var curve [256]int
	for i := range curve {
		curve[i] = noiseLimit + int(level(float64(i)*gain))
	}
	var clip [256 + 2*noiseLimit]uint8
	for i := range clip {
		clip[i] = level(float64(i - noiseLimit))
	}
	pick := seq*0x9e3779b97f4a7c15 + uint64(r.settings.Seed)
	width := r.settings.Width
	for y := range r.settings.Height {
		pick ^= pick << 13
		pick ^= pick >> 7
		pick ^= pick << 17
		noise := r.noise[pick%noiseStrip:][:width]
		in := r.stage.Y[y*r.stage.YStride:][:width]
		out := r.out.Y[y*r.out.YStride:][:width]
		for x, v := range in {
			out[x] = clip[curve[v]+int(noise[x])]
		}
	}
}

// drawClock burns the time since the scene's start into the picture, as cameras
// do. It changes once a second.
func (r *renderer) drawClock(t time.Duration) {
	seconds := int64(t / time.Second)
	text := fmt.Sprintf("SCENE %d  %02d:%02d:%02d", r.settings.Seed, seconds/3600, seconds/60%60, seconds%60)
	face := basicfont.Face7x13
	if text != r.clockText {
		r.clockText = text
		r.clock = image.NewAlpha(image.Rect(0, 0, len(text)*face.Advance, face.Height))
		drawer := font.Drawer{Dst: r.clock, Src: image.Opaque, Face: face, Dot: fixed.P(0, face.Ascent)}
		drawer.DrawString(text)
	}
	zoom := max(1, r.settings.Height/360)
	left, top := 8*zoom, 6*zoom
	for y := range face.Height * zoom {
		for x := range r.clock.Rect.Dx() * zoom {
			if top+y < r.settings.Height && left+x < r.settings.Width && r.clock.AlphaAt(x/zoom, y/zoom).A > 127 {
				r.out.Y[(top+y)*r.out.YStride+left+x] = 245
			}
		}
	}
}
