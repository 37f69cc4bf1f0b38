package capture

// Flip turns a camera's picture before anything is made of it.
type Flip string

// The flips. The empty one leaves the camera as it is.
const (
	FlipNone       Flip = "none"
	FlipHorizontal Flip = "horizontal"
	FlipVertical   Flip = "vertical"
	FlipBoth       Flip = "both" // a camera that hangs upside down
)

// Known says that it is one of the flips, the empty one among them.
func (f Flip) Known() bool {
	switch f {
	case "", FlipNone, FlipHorizontal, FlipVertical, FlipBoth:
		return true
	}
	return false
}

// Horizontal says that left and right are exchanged.
func (f Flip) Horizontal() bool { return f == FlipHorizontal || f == FlipBoth }

// Vertical says that top and bottom are exchanged.
func (f Flip) Vertical() bool { return f == FlipVertical || f == FlipBoth }
