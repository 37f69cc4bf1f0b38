package qr

import (
	"cmp"
	"math"
	"slices"
)

// Limits of the search for finder patterns.
const (
	maxMarks = 250 // that are kept apart
	maxTried = 24  // of which triples are made
	// maxSteps bounds the pixels that are looked at to check what a row shows, for each
	// pixel of the picture.
	maxSteps = 4
)

// point is a place in a picture, in pixels: 0.5, 0.5 is the middle of the first.
type point struct{ x, y float64 }

func (p point) plus(q point) point       { return point{p.x + q.x, p.y + q.y} }
func (p point) minus(q point) point      { return point{p.x - q.x, p.y - q.y} }
func (p point) times(k float64) point    { return point{p.x * k, p.y * k} }
func (p point) length() float64          { return math.Hypot(p.x, p.y) }
func (p point) distance(q point) float64 { return p.minus(q).length() }
func (p point) cross(q point) float64    { return p.x*q.y - p.y*q.x }
func (p point) dot(q point) float64      { return p.x*q.x + p.y*q.y }

// finder is what looks like a finder pattern: dark, light, dark, light, dark in 1:1:3:1:1
// through its middle, both along a row and along a column.
type finder struct {
	at point
	// size is the mean of its widths along a row and a column, in pixels: 7 modules, over
	// the cosine of its turn.
	size  float64
	count int // rows that showed it
}

// scan looks for finder patterns in marked pixels.
type scan struct {
	dark          []byte
	width, height int
	steps         int // that may still be taken
	found         []finder
}

// finders finds what looks like finder patterns, what most rows showed first. The time is
// bounded by the picture's size, whatever is in it.
func finders(dark []byte, width, height int) []finder {
	s := scan{dark: dark, width: width, height: height, steps: maxSteps * width * height}
	s.run()
	slices.SortStableFunc(s.found, func(a, b finder) int { return cmp.Compare(b.count, a.count) })
	return s.found[:min(len(s.found), maxTried)]
}

// run looks at every second row, as long as there are steps left.
func (s *scan) run() {
	for y := 1; y < s.height && s.steps > 0; y += 2 {
		s.line(y)
	}
}

// line looks at one row's runs.
func (s *scan) line(y int) {
	row := s.dark[y*s.width:][:s.width]
	var runs [5]int // the newest last
	start, colour := 0, row[0]
	for x := 1; x <= s.width; x++ {
		if x < s.width && row[x] == colour {
			continue
		}
		runs = [5]int{runs[1], runs[2], runs[3], runs[4], x - start}
		if colour == 1 && pattern(runs) {
			s.check(runs, x, y)
		}
		if x < s.width {
			start, colour = x, row[x]
		}
	}
}

// pattern says whether runs are near 1:1:3:1:1. What is compared is a dark run together
// with the light one beside it, from edge to like edge: blur and a threshold that is off
// make all dark runs longer or shorter, but not these.
func pattern(runs [5]int) bool {
	if runs[0] == 0 {
		return false
	}
	a, b, c, d := runs[0]+runs[1], runs[1]+runs[2], runs[2]+runs[3], runs[3]+runs[4]
	module := a + b + c + d // times 12
	if module < 12 {
		return false
	}
	near := func(pair, modules, slack int) bool { // slack is in tenths of a module
		d := 12*pair - modules*module
		return 10*d <= slack*module && -10*d <= slack*module
	}
	if !near(a, 2, 7) || !near(d, 2, 7) || !near(b, 4, 12) || !near(c, 4, 12) {
		return false
	}
	// No run is out of all proportion to its own length.
	for i, run := range runs {
		modules := 1
		if i == 2 {
			modules = 3
		}
		if !near(run, modules, 8) {
			return false
		}
	}
	return true
}

// check looks along the column, and along the row again where the column says the middle
// is.
func (s *scan) check(runs [5]int, end, y int) {
	total := runs[0] + runs[1] + runs[2] + runs[3] + runs[4]
	x := end - runs[4] - runs[3] - (runs[2]+1)/2
	upright, cy, ok := s.across(x, y, 0, 1, total)
	if !ok {
		return
	}
	level, cx, ok := s.across(x, int(cy), 1, 0, total)
	if !ok {
		return
	}
	if upright*2 > level*3 || level*2 > upright*3 {
		return
	}
	s.add(finder{point{cx, cy}, float64(upright+level) / 2, 1})
}

// across goes from a dark pixel both ways, over two borders each, and gives the pattern's
// length and its middle, if it is one. No run may be longer than most.
func (s *scan) across(x, y, dx, dy, most int) (total int, middle float64, ok bool) {
	var runs [5]int
	step := dy*s.width + dx
	from := y*s.width + x
	if s.dark[from] == 0 {
		return 0, 0, false
	}
	place, length := x, s.width
	if dy == 1 {
		place, length = y, s.height
	}
	back := 0 // pixels of the middle run, before the first and with it
	walk := func(sign, limit int) bool {
		at, left := from, limit
		for part := range 3 {
			n := 0
			for left > 0 && s.dark[at] == byte(1-part&1) {
				n++
				left--
				at += sign * step
				if n > most {
					break
				}
			}
			s.steps -= n
			if n == 0 || n > most {
				return false
			}
			runs[2+sign*part] += n
			if part == 0 && sign < 0 {
				back = n
			}
		}
		return true
	}
	if !walk(-1, place+1) || !walk(1, length-place) {
		return 0, 0, false
	}
	runs[2]-- // the first pixel was counted both ways
	if !pattern(runs) {
		return 0, 0, false
	}
	begin := place - back + 1
	total = runs[0] + runs[1] + runs[2] + runs[3] + runs[4]
	// The mean of the middle run's middle and the whole's: blur moves both, not alike.
	whole := float64(begin-runs[1]-runs[0]) + float64(total)/2
	return total, (float64(begin) + float64(runs[2])/2 + whole) / 2, true
}

// add counts a finder, with one that was found before if it is the same.
func (s *scan) add(f finder) {
	for i := range s.found {
		g := &s.found[i]
		if math.Abs(f.at.x-g.at.x) > g.size/4 || math.Abs(f.at.y-g.at.y) > g.size/4 || f.size > 1.5*g.size || g.size > 1.5*f.size {
			continue
		}
		n := float64(g.count)
		g.at = g.at.times(n).plus(f.at).times(1 / (n + 1))
		g.size = (g.size*n + f.size) / (n + 1)
		g.count++
		return
	}
	if len(s.found) < maxMarks {
		s.found = append(s.found, f)
	}
}

// triple is three finder patterns as a code has them: the one in the corner between the
// two others first.
type triple struct {
	corner, right, below finder
	odd                  float64 // how far from three corners of a square: 0 is one
}

const (
	minSpan    = 14 // modules between two finder patterns, of version 1
	maxSpan    = 90 // of version 20
	maxTriples = 8
)

// triples are the likeliest choices of three, the best first.
func triples(found []finder) []triple {
	var out []triple
	for i := range found {
		for j := range i {
			for k := range j {
				if t, ok := ordered(found[i], found[j], found[k]); ok {
					out = append(out, t)
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b triple) int { return cmp.Compare(a.odd, b.odd) })
	return out[:min(len(out), maxTriples)]
}

// ordered makes a triple of three finder patterns, if a code could have them so.
func ordered(a, b, c finder) (triple, bool) {
	if small, large := min(a.size, b.size, c.size), max(a.size, b.size, c.size); large > 1.7*small {
		return triple{}, false
	}
	// The longest side lies opposite the corner.
	ab, bc, ca := a.at.distance(b.at), b.at.distance(c.at), c.at.distance(a.at)
	switch {
	case ab >= bc && ab >= ca:
		a, c = c, a
	case ca >= ab && ca >= bc:
		a, b = b, a
	}
	u, v := b.at.minus(a.at), c.at.minus(a.at)
	if u.cross(v) < 0 {
		b, c, u, v = c, b, v, u
	}
	t := triple{a, b, c, 0}
	long, short := max(u.length(), v.length()), min(u.length(), v.length())
	skew := math.Abs(u.dot(v)) / (u.length()*v.length() + 1e-9)
	if long > 2.2*short || skew > 0.6 {
		return triple{}, false
	}
	if span := (long + short) / 2 / t.module(); span < minSpan*0.7 || span > maxSpan*1.2 {
		return triple{}, false
	}
	sizes := max(a.size, b.size, c.size)/min(a.size, b.size, c.size) - 1
	counts := 1/float64(a.count) + 1/float64(b.count) + 1/float64(c.count)
	t.odd = long/short - 1 + 2*skew + 2*sizes + counts
	return t, true
}

// module is about a module's side in pixels. A finder pattern that is turned is longer
// along rows and columns, by the cosine of its turn.
func (t triple) module() float64 {
	u := t.right.at.minus(t.corner.at)
	turn := math.Mod(math.Atan2(u.y, u.x)+2*math.Pi, math.Pi/2)
	if turn > math.Pi/4 {
		turn = math.Pi/2 - turn
	}
	return (t.corner.size + t.right.size + t.below.size) / 21 * math.Cos(turn)
}

// dimensions are the sides in modules that a triple's code may have, the likeliest first.
func (t triple) dimensions() []int {
	span := (t.corner.at.distance(t.right.at) + t.corner.at.distance(t.below.at)) / 2 / t.module()
	var out []int
	for version := 1; version <= 20; version++ {
		if d := 17 + 4*version; math.Abs(float64(d-7)-span) < 3+span/6 {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b int) int {
		return cmp.Compare(math.Abs(float64(a-7)-span), math.Abs(float64(b-7)-span))
	})
	return out[:min(len(out), 5)]
}
