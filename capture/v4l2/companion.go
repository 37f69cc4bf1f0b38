//go:build linux

package v4l2

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/jpegdc"
)

const (
	previewWidth, previewHeight = 640, 360
	previewFPS                  = 10
	// previewPatience is how long an H.264 camera waits for its first preview.
	previewPatience = 2 * time.Second
)

// errNoCompanion says that the camera has no second node for previews.
var errNoCompanion = errors.New("the camera has no second node with small pictures")

// errNoPreviews says that the second node does not give previews, or not beside
// the first: the camera is filmed without.
var errNoPreviews = errors.New("no previews come from the camera's second node")

// runH264 films H.264, with previews from the camera's second node where it has one
// that gives them.
func (c *Camera) runH264(ctx context.Context, emit func(capture.Frame)) error {
	second, err := c.companion()
	if err == nil {
		err = c.runPair(ctx, second, emit)
		if !errors.Is(err, errNoPreviews) {
			return err
		}
	}
	if !errors.Is(err, errNoCompanion) {
		c.settings.Log.Warn("filming without previews", "camera", c.identity.Node, "error", err)
	}
	return c.stream(ctx, &videos{camera: c, emit: emit})
}

// runPair films both nodes. Either may end it.
func (c *Camera) runPair(outer context.Context, second *Camera, emit func(capture.Frame)) error {
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	latest := make(chan *capture.Preview, 1)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- second.filmPreviews(ctx, latest)
	}()
	frames, err := c.filmWithPreviews(ctx, latest, emit)
	cancel()
	ended := <-done
	switch {
	case outer.Err() != nil:
		return outer.Err()
	case errors.Is(err, context.Canceled): // the second node's end was first
		err = fmt.Errorf("previews from %s: %w", second.identity.Node, ended)
		if frames {
			return fault(err)
		}
		return fmt.Errorf("%w: %w", errNoPreviews, err)
	case errors.Is(err, unix.ENOSPC): // the second node took the bus
		return fmt.Errorf("%w beside the first: %w", errNoPreviews, err)
	default:
		return err
	}
}

// filmWithPreviews attaches the latest preview to the next frame. The first frame
// has one. It returns whether a frame came.
func (c *Camera) filmWithPreviews(ctx context.Context, latest <-chan *capture.Preview, emit func(capture.Frame)) (frames bool, err error) {
	var next *capture.Preview
	patience := time.NewTimer(previewPatience)
	defer patience.Stop()
	select {
	case next = <-latest:
	case <-patience.C:
		return false, fmt.Errorf("%w for %v", errNoPreviews, previewPatience)
	case <-ctx.Done():
		return false, ctx.Err()
	}
	err = c.stream(ctx, &videos{camera: c, emit: func(f capture.Frame) {
		if next == nil {
			select {
			case next = <-latest:
			default:
			}
		}
		f.Preview, next = next, nil
		frames = true
		emit(f)
	}})
	return frames, err
}

// companion is the camera's second node, set to small JPEGs.
func (c *Camera) companion() (*Camera, error) {
	if c.settings.NoPreviews || c.identity.Port == "" {
		return nil, errNoCompanion
	}
	nodes, err := c.settings.system.nodes()
	if err != nil {
		return nil, err
	}
	for _, id := range nodes {
		mine := id.Port == c.identity.Port && id.Serial == c.identity.Serial
		if !mine || id.Node == c.identity.Node || !c.settings.system.gives(id) {
			continue
		}
		second := &Camera{settings: c.settings}
		second.settings.Name, second.settings.Known, second.settings.Want = id.Node, Identity{}, WantMJPEG
		second.settings.Width, second.settings.Height, second.settings.FPS = previewWidth, previewHeight, previewFPS
		second.settings.Controls = Controls{} // they are the camera's, not the node's
		dev, f, err := second.connect()
		var unsuitable *unsuitableError
		if errors.As(err, &unsuitable) {
			continue
		}
		if err != nil {
			return nil, err
		}
		second.mode = f.mode
		return second, dev.Close()
	}
	return nil, errNoCompanion
}

// filmPreviews keeps the latest preview in a channel of one.
func (c *Camera) filmPreviews(ctx context.Context, latest chan *capture.Preview) error {
	var decoder jpegdc.Decoder
	var last time.Time
	return c.Run(ctx, func(f capture.Frame) {
		if f.Time.Sub(last) < time.Second/previewFPS*9/10 { // the driver's rate may be higher
			return
		}
		grid, err := decoder.Decode(f.Data)
		if err != nil {
			c.broken.Add(1)
			return
		}
		last = f.Time
		grid.Luma = append([]byte(nil), grid.Luma...) // the decoder's until its next picture
		p := &capture.Preview{Grid: grid, JPEG: f.Data}
		select {
		case <-latest: // nobody took it
		default:
		}
		select {
		case latest <- p:
		default: // taken in between, and filled by nobody else
		}
	})
}
