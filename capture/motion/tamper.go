package motion

import (
	"math"
	"time"
)

// Tamper says what somebody has done to the camera. Values are explicit because
// they appear in logs.
type Tamper uint8

// What can be done to a camera.
const (
	// TamperNone: nothing.
	TamperNone Tamper = 0
	// TamperCovered: the picture has lost what the scene has, and has nothing instead.
	TamperCovered Tamper = 1
	// TamperMoved: the picture shows another scene.
	TamperMoved Tamper = 2
)

// String returns a word for logs.
func (t Tamper) String() string {
	switch t {
	case TamperNone:
		return "none"
	case TamperCovered:
		return "covered"
	case TamperMoved:
		return "moved"
	default:
		return "unknown tampering"
	}
}

// The view is looked at so often, on a grid of cells so coarse.
const (
	viewEvery  = 200 * time.Millisecond
	viewWide   = 32
	viewHigh   = 18
	viewCells  = viewWide * viewHigh
	viewEdge   = 0.15 // step between neighbours, in logarithm, that can be relied on
	viewSame   = 0.3  // part of such a step that must still be there
	viewSteps  = 24   // steps without which a scene is too plain to tell
	viewLost   = 0.4  // share of steps that is left, below which it is not the scene any more
	viewUsual  = 0.6  // and above which it is
	viewSmooth = 0.35 // part of the usual detail below which a picture is a cover's
	viewBlack  = 14   // luma of a picture that shows nothing at all
	viewFloor  = 8    // luma that is added on both sides of a logarithm

	learnView   = 30 * time.Second // time constant of learning the usual view
	tamperAfter = 4 * time.Second  // a view is lost for so long before it is tampering,
	tamperOver  = 2 * time.Second  // and back for so long before it is over
	movedFor    = 10 * time.Second // another scene is the usual one after it
	sweepFor    = 3 * time.Second  // a hand before the lens was seen so lately

	sweepLeast, sweepMost = 0.25, 0.75 // share of cells that a hand may cover on its way
	sweepDark, sweepSame  = 1.2, 0.4   // how much darker they are, and how like the others
)

// view is what the camera usually looks at, whatever the light, and how long it
// has not been.
type view struct {
	known    bool
	next     time.Duration // when it is looked at again
	last     time.Duration // when it was
	usual    [viewCells]float32
	detail   float32
	lost     time.Duration // for so long another thing has been seen,
	back     time.Duration // or for so long the usual one again
	swept    time.Duration // when something last went over the lens
	hasSwept bool
	state    Tamper
	since    time.Duration
	cells    [viewCells]float32 // scratch: logarithms
}

// look takes a frame and says what has been done to the camera.
func (w *view) look(at time.Duration, luma []byte, width int) Tamper {
	if len(luma)/width < viewHigh || width < viewWide {
		return TamperNone // too small to tell
	}
	if w.known && at < w.next && at >= w.last {
		return w.state
	}
	dt := min(max(at-w.last, 0), time.Second)
	w.last, w.next = at, at+viewEvery
	level := w.measure(luma, width)
	detail := detail(luma)
	if !w.known {
		w.known = true
		w.adopt(detail)
		return w.state
	}
	kept, steps := w.kept()
	if steps < viewSteps {
		w.learn(detail, dt)
		return w.state
	}
	if w.sweeps() {
		w.hasSwept, w.swept = true, at
	}
	seen := w.seems(at, kept, level, detail)
	w.settle(at, dt, seen, detail)
	if seen == TamperNone && w.state == TamperNone && kept > viewUsual && level > viewBlack {
		w.learn(detail, dt)
	}
	return w.state
}

// seems says what one frame looks like. Darkness that comes at once is a lamp that
// was switched off; that which something was seen to bring is a cover.
func (w *view) seems(at time.Duration, kept, level, detail float32) Tamper {
	if w.state == TamperCovered && kept < viewLost && (level <= viewBlack || detail < viewSmooth*w.detail) {
		return TamperCovered
	}
	switch {
	case kept >= viewLost:
		return TamperNone
	case level <= viewBlack:
		if w.hasSwept && at-w.swept-w.lost < sweepFor {
			return TamperCovered
		}
		return TamperNone
	case detail < viewSmooth*w.detail:
		return TamperCovered
	default:
		return TamperMoved
	}
}

// settle lets a state begin and end only after a while.
func (w *view) settle(at, dt time.Duration, seen Tamper, detail float32) {
	if seen == TamperNone {
		w.lost = 0
		if w.back += dt; w.back >= tamperOver && w.state != TamperNone {
			w.state = TamperNone
		}
		return
	}
	w.back = 0
	w.lost += dt
	if w.lost >= tamperAfter && w.state != seen {
		w.state, w.since = seen, at
	}
	if w.state == TamperMoved && at-w.since >= movedFor {
		w.state, w.lost, w.hasSwept = TamperNone, 0, false
		w.adopt(detail)
	}
}

// measure fills the cells and returns the picture's mean level.
func (w *view) measure(luma []byte, width int) float32 {
	height := len(luma) / width
	var total int
	for cy := range viewHigh {
		top, bottom := cy*height/viewHigh, (cy+1)*height/viewHigh
		for cx := range viewWide {
			left, right := cx*width/viewWide, (cx+1)*width/viewWide
			sum := 0
			for y := top; y < bottom; y++ {
				for _, v := range luma[y*width+left : y*width+right] {
					sum += int(v)
				}
			}
			total += sum
			cell := float64(sum) / float64((bottom-top)*(right-left))
			w.cells[cy*viewWide+cx] = float32(math.Log(cell + viewFloor))
		}
	}
	return float32(total) / float32(len(luma))
}

// detail is the mean step between neighbours.
func detail(luma []byte) float32 {
	sum := 0
	for i := 2; i < len(luma); i++ {
		step := int(luma[i]) - int(luma[i-2])
		sum += max(step, -step)
	}
	return float32(sum) / float32(len(luma))
}

// kept is the share of the usual view's steps that are there still, and how many
// it has.
func (w *view) kept() (share float32, steps int) {
	same := 0
	for i := range viewCells {
		for _, o := range [2]int{i + 1, i + viewWide} {
			if o >= viewCells || o == i+1 && o%viewWide == 0 {
				continue
			}
			usual := w.usual[i] - w.usual[o]
			if magnitude(usual) < viewEdge {
				continue
			}
			steps++
			if now := w.cells[i] - w.cells[o]; now/usual > viewSame {
				same++
			}
		}
	}
	return float32(same) / float32(max(steps, 1)), steps
}

// sweeps says whether something dark hides a part of the view, and a part only.
func (w *view) sweeps() bool {
	hidden, same := 0, 0
	for i, usual := range w.usual {
		switch off := w.cells[i] - usual; {
		case off < -sweepDark:
			hidden++
		case magnitude(off) < sweepSame:
			same++
		}
	}
	least, most := int(sweepLeast*viewCells), int(sweepMost*viewCells)
	return hidden >= least && hidden <= most && same >= viewCells/8
}

// learn moves the usual view towards the latest.
func (w *view) learn(detail float32, dt time.Duration) {
	part := rate(seconds(dt), seconds(learnView))
	for i, c := range w.cells {
		w.usual[i] += part * (c - w.usual[i])
	}
	w.detail += part * (detail - w.detail)
}

// adopt takes the latest view as the usual one.
func (w *view) adopt(detail float32) { w.usual, w.detail = w.cells, detail }
