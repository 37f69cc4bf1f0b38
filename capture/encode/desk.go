package encode

import (
	"context"
	"image"
	"time"

	"github.com/lensward/lensward/capture"
)

// sheets is how many pictures may wait for the encoder. Two would do; the third
// is for when it was held up.
const sheets = 3

// sheet is a 4:2:0 picture on its way from the camera to the encoder.
type sheet struct {
	img     *image.YCbCr
	seq     uint64
	time    time.Time
	preview *capture.Preview
}

// desk is where the camera leaves pictures and the encoder takes them from, each
// on its own goroutine. Its memory goes round: nobody waits for a free sheet, and a
// camera that finds none leaves its picture out.
type desk struct {
	free, full chan *sheet
}

func newDesk(width, height int) *desk {
	d := &desk{free: make(chan *sheet, sheets), full: make(chan *sheet, sheets)}
	for range sheets {
		d.free <- &sheet{img: image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)}
	}
	return d
}

// ready says that there is a free sheet; it stays so until the camera's goroutine
// takes it.
func (d *desk) ready() bool { return len(d.free) > 0 }

// sheet takes a free sheet, after ready.
func (d *desk) sheet() *sheet { return <-d.free }

// hand leaves a picture for the encoder.
func (d *desk) hand(s *sheet) { d.full <- s }

// finish says that no more pictures come.
func (d *desk) finish() { close(d.full) }

// next returns the next picture. No picture and no error is the end of them;
// errGone says that gone was closed first.
func (d *desk) next(ctx context.Context, gone <-chan struct{}) (*sheet, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	select {
	case s := <-d.full:
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-gone:
		return nil, errGone
	}
}

// giveBack frees a sheet.
func (d *desk) giveBack(s *sheet) { d.free <- s }
