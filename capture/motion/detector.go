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
	// Moving says that somebody is there: something that has moved for long enough to
	// count and can still be told from the scene, be it moving or standing still.
	Moving bool
	// Score is the share of the picture that they take up in this very frame, 0 to 1.
	Score float64
	// Box encloses them, in blocks; empty if none are seen in this frame.
	Box image.Rectangle
	// Zones has a bit for each of the settings' zones, the lowest for the first, that
	// is set if they are in it.
	Zones uint32
	// Tamper says what has been done to the camera, if anything.
	Tamper Tamper
	// Relearned says that the background was learnt anew from this frame: it is the
	// first, its size is another, time jumped, or the whole scene changed.
	Relearned bool
}

// Times that are no settings: they follow from how cameras and lights behave.
const (
	lag        = 250 * time.Millisecond // a thing moves if it looks different from so long ago
	stirAge    = time.Second            // and stirs if it does from so long ago, be it a little
	settle     = 600 * time.Millisecond // a changed scene that lasts so long is the new one
	longestGap = 10 * time.Second       // between frames; behind it, everything is new
	slowFrames = 0.13                   // seconds between frames from which all of the background is updated with each
	longestDt  = time.Second            // what one frame may count for
)

// Shares of the picture.
const (
	sceneShare = 0.5 // more than this changed may be another scene,
	sceneJump  = 0.4 // if it came at once,
	sceneAlike = 0.6 // and its structure is not more alike than this
)

// Detector finds motion in one camera's frames. It is not safe for concurrent use.
type Detector struct {
	settings Settings

	width, height int
	smallest      int // blocks
	last          time.Duration
	background    background
	finder        finder
	presence      presence
	evidence      evidence
	flux          flux
	view          view
	lamp          lamp
	spare         []float32  // scratch
	due           [4]float32 // seconds since each part of the background was updated
	turn          int        // the part that is next

	learning float32 // seconds for which nothing is reported yet
	unsure   float32 // seconds for which what changes may be light
	upset    float32 // seconds for which the whole scene has been another
	usual    float32 // share of the picture that is changed, smoothed
}

// New returns a detector. Settings that Validate refuses give a detector that
// works by the nearest sensible ones.
func New(s Settings) *Detector {
	s = s.withDefaults()
	s.Confirm = min(max(s.Confirm, shortestConfirm), longestTime)
	s.Stand = min(max(s.Stand, shortestStand), longestStand)
	s.Learn = min(max(s.Learn, 0), longestTime)
	s.Zones = s.Zones[:min(len(s.Zones), maxZones)]
	return &Detector{settings: s, evidence: evidence{enough: seconds(s.Confirm)}}
}

// Feed takes the next frame's grid, with the time at which it was taken on any
// scale that rises, and says what moves. It keeps nothing of g.
//
// A grid whose Luma does not fit its size says nothing and is passed over.
func (d *Detector) Feed(at time.Duration, g capture.Grid) Result {
	if g.Width <= 0 || g.Height <= 0 || len(g.Luma) != g.Width*g.Height {
		return Result{Tamper: d.view.state}
	}
	r := d.feed(at, g)
	if d.view.known || d.learning <= 0 {
		r.Tamper = d.view.look(at, g.Luma, g.Width)
	}
	return r
}

func (d *Detector) feed(at time.Duration, g capture.Grid) Result {
	step := at - d.last
	if g.Width != d.width || g.Height != d.height || step < 0 || step > longestGap {
		d.last = at
		d.resize(g)
		d.relearn(g.Luma)
		return Result{Relearned: true}
	}
	d.last = at
	dt := seconds(min(step, longestDt))

	b := &d.background
	if b.light.far() {
		b.rebase()
	}
	shift := b.find(g.Luma, dt)
	changed := b.compare(g.Luma, b.past.before(at, lag))
	if d.lit(at, g.Luma, changed) {
		changed = b.relight(g.Luma, d.presence.guard)
	}
	share := float32(changed) / float32(len(g.Luma))
	jump := d.flux.add(shift, dt)
	other := share > sceneShare && share-d.usual > sceneJump
	if jump || other {
		if other && b.alike(g.Luma, d.presence.guard) < sceneAlike {
			return d.anotherScene(g.Luma, dt)
		}
		changed = b.relight(g.Luma, d.presence.guard)
		share = float32(changed) / float32(len(g.Luma))
	}
	d.upset = 0
	d.usual += (share - d.usual) * rate(dt, 0.5)
	return d.observe(at, g.Luma, changed, dt)
}

// observe says what moves, once the light is known.
func (d *Detector) observe(at time.Duration, luma []byte, changed int, dt float32) Result {
	b, p := &d.background, &d.presence
	var r Result
	var s sight
	if changed >= d.smallest/2 && d.learning <= 0 {
		s = p.find(&d.finder, b, luma, d.smallest, b.past.before(at, stirAge), d.unsure > 0, dt)
		r.Box, r.Zones = s.box, s.zones
		r.Score = float64(s.there) / float64(len(luma))
	}
	b.past.remember(at, b.diff)
	d.update(luma, dt)
	d.learning = max(d.learning-dt, 0)
	d.unsure = max(d.unsure-dt, 0)
	was := p.here
	r.Moving = p.settle(s, d.evidence.add(s.moving > 0, dt), dt)
	if was && !r.Moving {
		d.evidence.reset() // the next one has to move for as long as this one had to
	}
	return r
}

// update moves the background towards the frame: at many frames a second, a part
// of it with each.
func (d *Detector) update(luma []byte, dt float32) {
	parts := len(d.due)
	if d.learning > 0 || dt >= slowFrames {
		parts = 1
	}
	for i := range d.due {
		d.due[i] += dt
	}
	if parts == 1 {
		d.background.update(luma, d.presence.guard, 0, 1, dt, d.learning > 0)
		clear(d.due[:])
		return
	}
	d.background.update(luma, d.presence.guard, d.turn, parts, d.due[d.turn], false)
	d.due[d.turn] = 0
	d.turn = (d.turn + 1) % parts
}

// anotherScene deals with a frame most of which is different at once. A camera's
// flash or a lightning passes; what stays is learnt.
func (d *Detector) anotherScene(luma []byte, dt float32) Result {
	d.upset += dt
	if d.upset < seconds(settle) {
		d.evidence.add(false, dt)
		return Result{Moving: d.presence.here}
	}
	d.relearn(luma)
	return Result{Relearned: true}
}

// relearn takes a frame as the background.
func (d *Detector) relearn(luma []byte) {
	d.background.reset(luma)
	d.presence.reset()
	d.evidence.reset()
	d.flux = flux{}
	d.learning = seconds(d.settings.Learn)
	d.upset, d.usual = 0, 0
}

// resize prepares for grids of g's size.
func (d *Detector) resize(g capture.Grid) {
	if g.Width == d.width && g.Height == d.height {
		return
	}
	d.width, d.height = g.Width, g.Height
	d.smallest = d.settings.blocks(g.Height)
	n := g.Width * g.Height
	zone, least := d.settings.zones(g.Width, g.Height)
	d.background = newBackground(least, g.Width)
	d.finder = newFinder(g.Width, g.Height)
	d.view = view{}
	d.lamp = newLamp(n, d.background.stride)
	d.spare = make([]float32, n)
	d.presence = newPresence(seconds(d.settings.Confirm), seconds(d.settings.Stand), zone)
}

// seconds turns a duration into what the arithmetic here uses.
func seconds(d time.Duration) float32 { return float32(d.Seconds()) }

// rate is the part by which an average with time constant tau seconds moves in
// dt seconds.
func rate(dt, tau float32) float32 { return dt / (tau + dt) }
