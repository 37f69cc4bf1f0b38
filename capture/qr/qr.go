// Package qr reads QR codes out of frames: small, tilted, blurred, dim, noisy, inverted
// and mirrored ones as far as they can be read.
//
// It owns the ways in which a picture is tried, the finding of a code in it, and the
// limits of both: a hostile picture costs a bounded time and memory, and is no worse than
// a picture without a code. What the modules say (format, error correction, text) is
// gozxing's. It never decides what a text means, and it keeps no picture and no text.
package qr

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
)

// What is read at most.
const (
	// MaxSide is the largest width and height of a picture in pixels. Larger ones are
	// refused.
	MaxSide = 4096
	// MaxText is the longest text in bytes. Longer ones are passed over.
	MaxText = 640
	// maxTexts is how many codes of one picture are read.
	maxTexts = 4
	// maxWhole is the most pixels at which a picture is looked at whole; a larger one is
	// looked at whole at half its size or less, and closely where it has fine detail.
	maxWhole = 1920 * 1200
)

// ErrTooLarge is wrapped by the error for a picture larger than MaxSide.
var ErrTooLarge = errors.New("picture too large")

// ErrNoPicture is wrapped by the error for a frame without a picture that can be read:
// H.264 without a preview.
var ErrNoPicture = errors.New("no picture that codes are read from")

// Reader reads codes. It keeps its buffers, and from one picture to the next which way of
// looking is to be tried next, so that on a slow machine all of them get their turn. Make
// it by NewReader. It is not safe for concurrent use.
//
// Its memory is at most 13 MiB and what the picture takes: 3 bytes a pixel for a JPEG, 1
// for YUYV, none for others.
type Reader struct {
	prefix string
	budget time.Duration
	grids  jpegdc.Decoder
	turn   int // counts the ways that were tried
	left   int // triples of finder patterns that may still be read between
	work   buffers
}

// NewReader returns a reader of texts that begin with prefix. Of one picture it tries as
// many ways as fit into budget, one at least, and goes on with the next picture where it
// ended: one way that was begun is finished. A budget of 0 is 500 ms.
func NewReader(prefix string, budget time.Duration) *Reader {
	if budget <= 0 {
		budget = defaultBudget
	}
	return &Reader{prefix: prefix, budget: budget}
}

const defaultBudget = 500 * time.Millisecond

// Read gives the texts in a frame that begin with the reader's prefix, none being no
// error. It reads a JPEG, or the preview of an H.264 frame. An error is ctx's, or says
// what is wrong with the frame.
func (r *Reader) Read(ctx context.Context, f capture.Frame) ([]string, error) {
	switch p := f.Preview; {
	case f.Format == capture.FormatMJPEG:
		return r.readJPEG(ctx, f.Data)
	case p != nil && p.Image != nil:
		return r.ReadImage(ctx, p.Image)
	case p != nil && p.JPEG != nil:
		return r.readJPEG(ctx, p.JPEG)
	}
	return nil, fmt.Errorf("read QR code: %s without a preview: %w", f.Format, ErrNoPicture)
}

// ReadImage is Read for a picture that was decoded before.
func (r *Reader) ReadImage(ctx context.Context, img *image.YCbCr) ([]string, error) {
	b := img.Bounds()
	at := img.YOffset(b.Min.X, b.Min.Y)
	if at < 0 || at > len(img.Y) {
		return nil, fmt.Errorf("read QR code: a picture that begins at byte %d of %d", at, len(img.Y))
	}
	l, err := ofPlane(b.Dx(), b.Dy(), img.YStride, img.Y[at:])
	if err != nil {
		return nil, fmt.Errorf("read QR code: %w", err)
	}
	return r.read(ctx, l, time.Now())
}

// ReadRaw is Read for a raw picture, whose memory it uses while it runs.
func (r *Reader) ReadRaw(ctx context.Context, p *capture.Raw) ([]string, error) {
	began := time.Now()
	l, err := r.work.ofRaw(p)
	if err != nil {
		return nil, fmt.Errorf("read QR code: %w", err)
	}
	return r.read(ctx, l, began)
}

// readJPEG looks first at the small picture, which costs little and shows a code that
// fills a large one.
func (r *Reader) readJPEG(ctx context.Context, data []byte) ([]string, error) {
	began := time.Now()
	grid, err := r.grids.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("read QR code: %w", err)
	}
	r.left = maxTriples
	if texts := r.look(luma{grid.Width, grid.Height, grid.Width, grid.Luma}, false); len(texts) > 0 {
		return texts, nil
	}
	l, err := ofJPEG(data)
	if err != nil {
		return nil, fmt.Errorf("read QR code: %w", err)
	}
	return r.read(ctx, l, began)
}

// way is one way of looking at a picture.
type way struct {
	shrink   int   // the whole picture at 1/shrink of its size; 0: closely, at twice its size
	sharpen  int32 // so many times; -1: smoothed
	inverted bool
}

// ways are all of them, in their order: what reads most codes at the least cost comes
// first.
func ways() []way {
	return []way{
		{shrink: 1},
		{},
		{shrink: 2},
		{sharpen: 4},
		{shrink: 2, sharpen: 4},
		{shrink: 1, inverted: true},
		{sharpen: -1},
		{shrink: 4},
		{sharpen: 4, inverted: true},
		{shrink: 2, inverted: true},
	}
}

// read tries one way after another from where the last picture's budget ended. A picture
// that is looked at in all ways is done.
func (r *Reader) read(ctx context.Context, l luma, began time.Time) ([]string, error) {
	p := picture{whole: l}
	list := ways()
	for i := range list {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read QR code: %w", err)
		}
		if i > 0 && time.Since(began) >= r.budget {
			break
		}
		w, round := list[r.turn%len(list)], r.turn/len(list)
		if texts := r.try(&p, w, round); len(texts) > 0 {
			return texts, nil // and the next picture begins with what worked
		}
		r.turn = (r.turn + 1) % (len(list) * rounds)
	}
	return nil, nil
}

// rounds is after how many rounds of all ways the reader begins anew: a multiple of all
// numbers of groups that a picture may have.
const rounds = 27720

// picture is one picture and what was found out about it.
type picture struct {
	whole  luma
	groups [][]image.Rectangle // parts that are looked at closely, those of one way together
	parted bool                // groups were made
}

// try looks at a picture in one way.
func (r *Reader) try(p *picture, w way, round int) []string {
	r.left = maxTriples
	if w.shrink > 0 {
		least := 1
		for p.whole.width/least*(p.whole.height/least) > maxWhole {
			least++
		}
		return r.look(r.work.sharpened(r.work.shrunk(p.whole, w.shrink*least), w.sharpen), w.inverted)
	}
	if !p.parted {
		p.groups, p.parted = grouped(p.whole.busy()), true
	}
	if len(p.groups) == 0 {
		return nil
	}
	// With many groups, each picture of a row shows another.
	group := p.groups[round%len(p.groups)]
	for _, box := range group {
		r.left = max(maxTriples/len(group), 2)
		l := r.work.sharpened(p.whole.part(box), w.sharpen)
		if texts := r.look(r.work.doubled(l), w.inverted); len(texts) > 0 {
			return texts
		}
	}
	return nil
}

// look gives the texts with the prefix of the codes that are seen in a picture as it is.
func (r *Reader) look(l luma, inverted bool) []string {
	const least = 21 // pixels that version 1 has at least
	if l.width < least || l.height < least {
		return nil
	}
	found := finders(r.work.marked(l, inverted), l.width, l.height)
	var texts []string
	var done []point // corners of codes that were read
	for _, t := range triples(found) {
		if slices.ContainsFunc(done, func(p point) bool {
			return p == t.corner.at || p == t.right.at || p == t.below.at
		}) {
			continue
		}
		if r.left == 0 {
			break
		}
		r.left--
		text, ok := t.read(l, inverted)
		if !ok {
			continue
		}
		done = append(done, t.corner.at, t.right.at, t.below.at)
		fits := len(text) <= MaxText && utf8.ValidString(text) && strings.HasPrefix(text, r.prefix)
		if fits && !slices.Contains(texts, text) && len(texts) < maxTexts {
			texts = append(texts, text)
		}
	}
	return texts
}
