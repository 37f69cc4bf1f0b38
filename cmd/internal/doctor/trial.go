package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
	"github.com/lensward/lensward/capture/preview"
	"github.com/lensward/lensward/capture/source"
)

// errSeen ends a trial that has seen enough.
var errSeen = errors.New("seen enough")

// errNothing says that no frame came.
var errNothing = &capture.FaultError{Fault: capture.FaultSilent, Err: fmt.Errorf("no picture within %v", patience)}

// try runs a camera for a moment and writes its last picture to a file, unless path
// is "".
func try(ctx context.Context, opener *source.Opener, name, path string) *Trial {
	t := &Trial{Source: name}
	if err := t.run(ctx, opener, path); err != nil {
		t.Condition, t.Problem = string(capture.FaultOf(err)), err.Error()
	}
	return t
}

func (t *Trial) run(ctx context.Context, opener *source.Opener, path string) error {
	src, info, err := opener.Open(ctx)
	if err != nil {
		return err
	}
	t.Format, t.Width, t.Height, t.FPS, t.Why = info.Format.String(), info.Width, info.Height, info.FPS, info.Why
	w := newWatch(ctx)
	defer w.cancel(nil)
	err = src.Run(w.ctx, w.frame)
	switch cause := context.Cause(w.ctx); {
	case errors.Is(cause, errSeen):
	case cause != nil:
		return cause
	case err != nil:
		return err
	case w.frames == 0:
		return errNothing
	}
	if d := w.last.Sub(w.first).Seconds(); d > 0 {
		t.Measured = float64(w.frames-1) / d
	}
	t.Bytes = w.bytes / w.frames
	if path == "" {
		return nil
	}
	picture, err := w.picture(ctx, info)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, picture, 0o600); err != nil {
		return fmt.Errorf("write picture: %w", err)
	}
	t.Picture = path
	return nil
}

// maxKept bounds the H.264 frames that are kept for a picture.
const maxKept = 240

// watch looks at frames until it has seen enough.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	silent *time.Timer

	frames, bytes int
	first, last   time.Time
	kept          []capture.Frame // since the latest key frame
	preview       *capture.Preview
}

func newWatch(ctx context.Context) *watch {
	w := &watch{}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.silent = time.AfterFunc(patience, func() { w.cancel(errNothing) })
	return w
}

func (w *watch) frame(f capture.Frame) {
	w.silent.Stop()
	now := time.Now()
	if w.frames == 0 {
		w.first = now
	}
	w.frames++
	w.bytes += len(f.Data)
	w.last = now
	if f.Key {
		w.kept = w.kept[:0]
	}
	if len(w.kept) < maxKept {
		w.kept = append(w.kept, f)
	}
	if f.Preview != nil {
		w.preview = f.Preview
	}
	if now.Sub(w.first) >= watched {
		w.cancel(errSeen)
	}
}

// picture is the latest that can be had, as a JPEG.
func (w *watch) picture(ctx context.Context, info source.Info) ([]byte, error) {
	switch {
	case info.Format == capture.FormatMJPEG:
		return jpegdc.WithTables(w.kept[len(w.kept)-1].Data), nil
	case w.preview != nil && w.preview.JPEG != nil:
		return jpegdc.WithTables(w.preview.JPEG), nil
	case w.preview != nil:
		return encodeJPEG(preview.Picture{Image: w.preview.Image})
	default:
		return w.decode(ctx, info)
	}
}

// decode has a helper decode the H.264 that was kept.
func (w *watch) decode(ctx context.Context, info source.Info) ([]byte, error) {
	d, err := preview.New(preview.Settings{Width: info.Width, Height: info.Height, Small: min(info.Width, 1280)})
	if err != nil {
		return nil, fmt.Errorf("make a picture of H.264: %w", err)
	}
	frames := make(chan capture.Frame, len(w.kept))
	for _, f := range w.kept {
		frames <- f
	}
	close(frames)
	var latest preview.Picture
	if err := d.Run(ctx, frames, func(p preview.Picture) { latest = p }); err != nil {
		return nil, fmt.Errorf("make a picture of H.264: %w", err)
	}
	return encodeJPEG(latest)
}

func encodeJPEG(p preview.Picture) ([]byte, error) {
	if p.Image == nil {
		return nil, errors.New("no picture came of the video")
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, p.Image, &jpeg.Options{Quality: 85}); err != nil {
		return nil, fmt.Errorf("make a picture: %w", err)
	}
	return b.Bytes(), nil
}
