// Package motion finds motion on the grid of a picture's 8×8 block means, without
// ever seeing the picture.
//
// It owns what counts as motion: light changes of the whole picture, flashes and
// the switch to infra-red are none; a thing that moves is, until it stays still
// for long enough to belong to the background. It never decides how long an
// event lasts (agent/event does) and never reads a clock: time is what comes with
// the frames, and results do not depend on how many of them come in a second.
//
// docs/design/motion.md says why it works as it does.
package motion

import (
	"image"
	"time"

	"github.com/lensward/lensward/capture"
)

// Result is what one frame says.
type Result struct {
	// Moving says that something has been moving for long enough to count.
	Moving bool
	// Score is the share of the picture that moves in this very frame, 0 to 1.
	Score float64
	// Box encloses all that moves in this frame, in blocks; empty if nothing does.
	Box image.Rectangle
	// Relearned says that the background was learnt anew from this frame: it is the
	// first, its size is another, time jumped, or the whole scene changed.
	Relearned bool
}

// Times that are no settings: they follow from how cameras and lights behave.
const (
	lag        = 250 * time.Millisecond // a thing moves if it looks different from so long ago
	settle     = 600 * time.Millisecond // a changed scene that lasts so long is the new one
	longestGap = 10 * time.Second       // between frames; behind it, everything is new
	longestDt  = time.Second            // what one frame may count for
)

// Shares of the picture.
const (
	sceneShare = 0.5 // more than this changed may be another scene,
	sceneJump  = 0.4 // if it came at once
)

// Detector finds motion in one camera's frames. It is not safe for concurrent use.
type Detector struct {
	settings Settings

	width, height int
	smallest      int // blocks
	last          time.Duration
	background    background
	blobs         blobs
	evidence      evidence

	learning float32 // seconds for which nothing is reported yet
	upset    float32 // seconds for which the whole scene has been another
	usual    float32 // share of the picture that is changed, smoothed
}

// New returns a detector. Settings that Validate refuses give a detector that
// works by the nearest sensible ones.
func New(s Settings) *Detector {
	s = s.withDefaults()
	s.Sensitivity = min(max(s.Sensitivity, 0), 1)
	s.Confirm = min(max(s.Confirm, shortestConfirm), longestTime)
	s.Absorb = min(max(s.Absorb, s.Confirm), longestTime)
	s.Learn = min(max(s.Learn, 0), longestTime)
	return &Detector{settings: s, evidence: evidence{enough: seconds(s.Confirm)}}
}

// Feed takes the next frame's grid, with the time at which it was taken on any
// scale that rises, and says what moves. It keeps nothing of g.
//
// A grid whose Luma does not fit its size says nothing and is passed over.
func (d *Detector) Feed(at time.Duration, g capture.Grid) Result {
	if g.Width <= 0 || g.Height <= 0 || len(g.Luma) != g.Width*g.Height {
		return Result{}
	}
	step := at - d.last
	if g.Width != d.width || g.Height != d.height || step < 0 || step > longestGap {
		d.last = at
		d.resize(g)
		d.relearn(g.Luma)
		return Result{Relearned: true}
	}
	d.last = at
	dt := seconds(min(step, longestDt))

	light := d.background.light(g.Luma)
	changed := d.background.compare(g.Luma, light, at)
	share := float32(changed) / float32(len(g.Luma))
	if share > sceneShare && share-d.usual > sceneJump {
		return d.anotherScene(g.Luma, dt)
	}
	d.upset = 0
	d.usual += (share - d.usual) * rate(dt, 0.5)

	var r Result
	cells := 0
	if changed >= d.smallest && d.learning <= 0 {
		cells, r.Box = d.blobs.find(d.background.marks, d.width, d.smallest, d.evidence.moving)
		r.Score = float64(cells) / float64(len(g.Luma))
	}
	d.background.update(g.Luma, dt, d.learning > 0)
	d.learning = max(d.learning-dt, 0)
	r.Moving = d.evidence.add(cells > 0, dt)
	return r
}

// anotherScene deals with a frame most of which is different at once. A camera's
// flash or a lightning passes; what stays is learnt.
func (d *Detector) anotherScene(luma []byte, dt float32) Result {
	d.upset += dt
	if d.upset < seconds(settle) {
		return Result{Moving: d.evidence.add(false, dt)}
	}
	d.relearn(luma)
	return Result{Relearned: true}
}

// relearn takes a frame as the background.
func (d *Detector) relearn(luma []byte) {
	d.background.reset(luma)
	d.evidence.reset()
	d.learning = seconds(d.settings.Learn)
	d.upset, d.usual = 0, 0
}

// resize prepares for grids of g's size.
func (d *Detector) resize(g capture.Grid) {
	if g.Width == d.width && g.Height == d.height {
		return
	}
	d.width, d.height = g.Width, g.Height
	n := g.Width * g.Height
	d.smallest = max(4, int(d.settings.Smallest*float64(n)+0.5))
	d.background = newBackground(d.settings, g.Width, g.Height)
	d.blobs = blobs{stack: make([]int32, 0, n)}
}

// seconds turns a duration into what the arithmetic here uses.
func seconds(d time.Duration) float32 { return float32(d.Seconds()) }

// rate is the part by which an average with time constant tau seconds moves in
// dt seconds.
func rate(dt, tau float32) float32 { return dt / (tau + dt) }
