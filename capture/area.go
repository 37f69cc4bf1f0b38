package capture

import (
	"errors"
	"fmt"
)

// Bounds of an Area.
const (
	minCorners = 3
	maxCorners = 32
)

// Point is a place in a picture as shares of its width and height: 0, 0 is the
// upper left corner, 1, 1 the lower right one.
type Point struct{ X, Y float64 }

// Area is a part of a picture: a polygon given by 3 to 32 corners. Where its
// sides cross, what is inside follows from the even-odd rule.
type Area []Point

// Rectangle returns the area between two corners.
func Rectangle(left, top, right, bottom float64) Area {
	return Area{{left, top}, {right, top}, {right, bottom}, {left, bottom}}
}

// Validate says what is wrong with an area.
func (a Area) Validate() error {
	if len(a) < minCorners || len(a) > maxCorners {
		return fmt.Errorf("an area has %d to %d corners, not %d", minCorners, maxCorners, len(a))
	}
	low, high := a[0], a[0]
	for _, p := range a {
		if !(p.X >= 0 && p.X <= 1 && p.Y >= 0 && p.Y <= 1) { // NaN too
			return fmt.Errorf("corner %v, %v is not within 0 and 1", p.X, p.Y)
		}
		low = Point{min(low.X, p.X), min(low.Y, p.Y)}
		high = Point{max(high.X, p.X), max(high.Y, p.Y)}
	}
	if low.X == high.X || low.Y == high.Y {
		return errors.New("an area has all its corners on one line")
	}
	return nil
}

// Contains says whether a point is inside.
func (a Area) Contains(p Point) bool {
	inside := false
	for i, c := range a {
		d := a[(i+len(a)-1)%len(a)]
		if (c.Y > p.Y) != (d.Y > p.Y) && p.X < (d.X-c.X)*(p.Y-c.Y)/(d.Y-c.Y)+c.X {
			inside = !inside
		}
	}
	return inside
}

// Touches says whether any of a rectangle is inside, its border included.
func (a Area) Touches(left, top, right, bottom float64) bool {
	corners := [4]Point{{left, top}, {right, top}, {right, bottom}, {left, bottom}}
	for _, c := range corners {
		if a.Contains(c) {
			return true
		}
	}
	for i, c := range a {
		if c.X >= left && c.X <= right && c.Y >= top && c.Y <= bottom {
			return true
		}
		d := a[(i+1)%len(a)]
		for k := range corners {
			if cross(c, d, corners[k], corners[(k+1)%4]) {
				return true
			}
		}
	}
	return false
}

// cross says whether two line segments meet.
func cross(a, b, c, d Point) bool {
	if max(a.X, b.X) < min(c.X, d.X) || max(c.X, d.X) < min(a.X, b.X) ||
		max(a.Y, b.Y) < min(c.Y, d.Y) || max(c.Y, d.Y) < min(a.Y, b.Y) {
		return false // on one line they may still lie apart
	}
	side := func(p, q, r Point) float64 { return (q.X-p.X)*(r.Y-p.Y) - (q.Y-p.Y)*(r.X-p.X) }
	return side(a, b, c)*side(a, b, d) <= 0 && side(c, d, a)*side(c, d, b) <= 0
}
