package motion

// evidence decides when there has been enough motion: "for so long out of the
// last while", counted in seconds. The time between two frames with motion fills
// it, the time before a frame without drains it at half that speed.
type evidence struct {
	enough float32 // seconds
	level  float32
	hit    bool // the last frame had motion
	moving bool
}

// add counts a frame dt seconds after the last, and reports whether there is
// motion: from when the level reaches enough until it has drained away.
func (e *evidence) add(hit bool, dt float32) bool {
	switch {
	case !hit:
		e.level -= dt / 2
	case e.hit:
		// However far apart frames are, two are never enough: one change would do.
		e.level += min(dt, e.enough*0.6)
	}
	e.hit = hit
	e.level = min(max(e.level, 0), e.enough)
	switch {
	case e.level >= e.enough*0.999: // sums of float32
		e.moving = true
	case e.level <= 0:
		e.moving = false
	}
	return e.moving
}

// reset forgets everything.
func (e *evidence) reset() { e.level, e.hit, e.moving = 0, false, false }
