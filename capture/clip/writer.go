package clip

import (
	"errors"
	"fmt"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
)

// Writer makes frames a clip and emits it part by part. It holds on to the frames
// of one part, at most MaxPartBytes, and makes each part in one piece; a clip that
// is never closed leaves the parts that were emitted, which are a valid file.
//
// A frame is shown until the next one; frames that the camera lost leave the
// picture standing. A time that goes backwards, or forwards by more than 10 s,
// does not show in the media's time: the frame follows the one before after the
// usual interval, in a new part, which states the new wall-clock time.
//
// A Writer is not safe for concurrent use.
type Writer struct {
	settings Settings
	emit     func(Part) error

	clock     clock
	head      *head // nil until the first frame
	headBytes []byte
	samples   []sample // of the part in the making
	size      int      // of the part in the making, boxes included
	group     int      // what its last group of pictures adds to size
	next      uint32   // index of the part in the making
	end       int64    // media time at which it begins, in ticks
	lastTicks int64    // how long the last frame of the part before is shown
	reordered bool     // pictures have come in another order than they are shown in
	err       error    // after which nothing more is done
}

// NewWriter returns a writer whose parts go to emit, one after another, from
// within Write and Close. If emit fails, the clip is over: its error is returned
// by that call and each later one.
func NewWriter(s Settings, emit func(Part) error) (*Writer, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return &Writer{settings: s.withDefaults(), emit: emit, clock: clock{maxGap: maxGap}}, nil
}

// Write adds the next frame, in the order in which they came from the camera. Its
// data is referred to until the part that holds it has been emitted. Width,
// height and whether it is a key frame are read from the data itself.
//
// It returns [ErrNoKeyFrame], [ErrBadFrame] or [ErrFrameTooLarge] (wrapped) for a
// frame that is left out, a [*ChangedError] for one that needs another clip,
// [ErrClosed] after Close, or what emit returned.
func (w *Writer) Write(f capture.Frame) error {
	if w.err != nil {
		return w.err
	}
	s, h, err := inspect(f, w.head)
	if err != nil {
		return fmt.Errorf("write frame %d to clip: %w", f.Seq, err)
	}
	if w.head == nil {
		err = w.begin(h, s)
	} else {
		err = w.fits(w.headBytes, s)
	}
	if err != nil {
		return fmt.Errorf("write frame %d to clip: %w", f.Seq, err)
	}
	f.Key = s.key
	var stepped bool
	s.at, stepped = w.clock.place(f)
	w.reordered = w.reordered || s.at < w.clock.at
	if stepped || w.cutBefore(s) {
		if err := w.cut(w.nextTicks(s), false); err != nil {
			return err
		}
	}
	w.add(s)
	return nil
}

// Close emits the last part, marked as such. A clip without frames has no parts.
// Closing again does nothing.
func (w *Writer) Close() error {
	if errors.Is(w.err, ErrClosed) {
		return nil
	}
	if w.err != nil {
		return w.err
	}
	err := w.cut(0, true)
	if err == nil {
		w.err = ErrClosed
	}
	return err
}

// inspect turns a frame into a sample, and checks it against the clip's head, if
// there is one. For a clip's first frame it returns the head that fits.
func inspect(f capture.Frame, clip *head) (sample, *head, error) {
	if clip != nil && clip.format != f.Format {
		return sample{}, nil, &ChangedError{What: fmt.Sprintf("format %v, then %v", clip.format, f.Format)}
	}
	s := sample{taken: f.Time.Round(0)}
	switch f.Format {
	case capture.FormatMJPEG:
		width, height, err := jpegdc.Size(f.Data)
		if err != nil {
			return sample{}, nil, fmt.Errorf("%w: %w", ErrBadFrame, err)
		}
		if clip != nil && (clip.width != width || clip.height != height) {
			return sample{}, nil, &ChangedError{What: fmt.Sprintf("size %dx%d, then %dx%d", clip.width, clip.height, width, height)}
		}
		picture := jpegdc.WithTables(f.Data)
		s.key, s.data, s.size = true, [][]byte{picture}, len(picture)
		return s, &head{format: f.Format, width: width, height: height}, nil
	case capture.FormatH264:
		au, err := splitAccessUnit(f.Data)
		if err != nil {
			return sample{}, nil, err
		}
		s.key, s.data, s.size = au.idr, au.sample, au.size
		h, err := inspectSets(au, clip)
		return s, h, err
	default:
		return sample{}, nil, fmt.Errorf("%w: %v", ErrBadFrame, f.Format)
	}
}

func inspectSets(au accessUnit, clip *head) (*head, error) {
	if clip != nil {
		if !clip.sets.contains(au.sets) {
			return nil, &ChangedError{What: "H.264 parameter sets"}
		}
		return nil, nil
	}
	if !au.idr {
		return nil, ErrNoKeyFrame
	}
	return newH264Head(au.sets)
}

// begin makes the head, which part 0 begins with.
func (w *Writer) begin(h *head, first sample) error {
	encoded, err := h.encode(first.taken)
	if err != nil {
		return err
	}
	if err := w.fits(encoded, first); err != nil {
		return err
	}
	w.head, w.headBytes = h, encoded
	w.size = len(encoded) + fragmentOverhead
	return nil
}

// fits checks that a sample can be a part by itself.
func (*Writer) fits(head []byte, s sample) error {
	if len(head)+fragmentOverhead+sampleOverhead+s.size > MaxPartBytes {
		return fmt.Errorf("%w: %d bytes", ErrFrameTooLarge, s.size)
	}
	return nil
}

// cutBefore reports whether the part in the making ends before that sample.
func (w *Writer) cutBefore(s sample) bool {
	if len(w.samples) == 0 {
		return false
	}
	if len(w.samples) == maxSamples || w.size+sampleOverhead+s.size > w.settings.PartBytes {
		return true
	}
	length := s.at - w.samples[0].at
	if s.at < w.clock.at {
		return false // shown before one that is in the part
	}
	if !s.key {
		return length >= 2*w.settings.PartDuration
	}
	// The next group will be about as large as the last: rather than in the middle
	// of it, cut before it.
	full := len(w.samples) > 1 && w.size+w.group > w.settings.PartBytes
	return length >= w.settings.PartDuration || full
}

func (w *Writer) add(s sample) {
	if s.key {
		w.group = 0
	}
	w.samples = append(w.samples, s)
	w.size += sampleOverhead + s.size
	w.group += sampleOverhead + s.size
}

// nextTicks is the media time at which the part after that which ends before s
// begins, 0 where only the part in the making can tell: pictures that are shown
// before s may yet follow it.
func (w *Writer) nextTicks(s sample) int64 {
	if w.reordered && !s.key {
		return 0
	}
	return ticks(s.at)
}

// cut emits the part in the making. next is the media time of the frame after it,
// or 0 for the usual interval after the part's last.
func (w *Writer) cut(next int64, last bool) error {
	if len(w.samples) == 0 {
		return nil
	}
	times := layOut(w.samples, w.end, next, w.lastTicks)
	fragment, err := encodeFragment(w.headBytes, w.next+1, w.samples, times)
	if err != nil {
		w.err = fmt.Errorf("make part %d of clip: %w", w.next, err)
		return w.err
	}
	part := Part{
		Index: w.next, Last: last, Start: w.samples[0].taken, Duration: duration(times.end - w.end),
		MediaType: w.head.mediaType(), Data: fragment,
	}
	w.lastTicks = times.end - times.decode[len(times.decode)-1]
	clear(w.samples)
	w.samples, w.headBytes = w.samples[:0], nil
	w.size, w.group = fragmentOverhead, 0
	w.next, w.end = w.next+1, times.end
	if err := w.emit(part); err != nil {
		w.err = fmt.Errorf("emit part %d of clip: %w", part.Index, err)
		return w.err
	}
	return nil
}
