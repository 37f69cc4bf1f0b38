package encode

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/videodev"
)

// hardware is where encoders are looked for. The zero value is this machine.
type hardware struct {
	kernel videodev.Kernel
	nodes  []string
}

// open returns the kernel and the nodes to look at.
func (h hardware) open() (videodev.Kernel, []string) {
	if h.kernel != nil {
		return h.kernel, h.nodes
	}
	// The pattern is a good one, and a directory that cannot be read has no nodes.
	nodes, _ := filepath.Glob("/dev/video[0-9]*")
	return videodev.Linux{}, nodes
}

// findM2M finds a hardware encoder for the pictures that the settings describe, or
// says why there is none.
func findM2M(s Settings) (device, reason string) {
	kernel, nodes := s.hardware.open()
	var passed, forbidden []string
	for _, path := range nodes {
		dev, err := videodev.Open(kernel, path)
		if errors.Is(err, fs.ErrPermission) {
			forbidden = append(forbidden, path)
		}
		if err != nil {
			continue // a node of another kind, or one that went away
		}
		reason, encodes := unfit(dev, s)
		if err := dev.Close(); err != nil && reason == "" {
			reason = err.Error()
		}
		if encodes && reason == "" {
			if reason = startM2M(path, s); reason == "" {
				return path, ""
			}
		}
		if encodes {
			passed = append(passed, fmt.Sprintf("the encoder %s (%s) %s", path, dev.Capability().Card, reason))
		}
	}
	switch {
	case len(passed) > 0:
		return "", strings.Join(passed, ", ")
	case len(forbidden) > 0:
		return "", "no /dev/video* that may be opened encodes H.264 (not permitted: " + strings.Join(forbidden, ", ") +
			"; hint: add the user to the group video)"
	default:
		return "", "no /dev/video* encodes H.264"
	}
}

// startM2M starts an encoder and gives it back: boards with little memory have one
// that cannot be. It says why not.
func startM2M(path string, s Settings) (reason string) {
	s.Log = slog.New(slog.DiscardHandler) // what it refuses is told of when it runs
	trial := &Source{settings: s, choice: Choice{Kind: M2M, Device: path}}
	trial.wishes.bitrate.Store(int64(s.Bitrate))
	session, err := trial.beginM2M()
	if err == nil {
		err = session.close()
	}
	if err != nil {
		return fmt.Sprintf("does not start (%v)", err)
	}
	return ""
}

// unfit says why a node cannot encode the pictures, and whether it is an H.264
// encoder at all.
func unfit(dev *videodev.Device, s Settings) (reason string, encodes bool) {
	if !dev.Capability().Encodes() {
		return "", false
	}
	in, out := queueTypes(dev.Capability())
	gives, err := dev.Formats(out)
	if err != nil || !offers(gives, videodev.H264) {
		return "", false
	}
	if _, err := shapeFor(dev, in, s); err != nil {
		return err.Error(), true
	}
	return "", true
}

// queueTypes are the queues of an encoder: raw pictures in, frames out.
func queueTypes(c videodev.Capability) (in, out videodev.BufferType) {
	const both = videodev.CapturesMultiplanar | videodev.OutputsMultiplanar
	if c.Caps&videodev.M2MMultiplanar != 0 || c.Caps&both == both {
		return videodev.OutputMultiplanar, videodev.CaptureMultiplanar
	}
	return videodev.Output, videodev.Capture
}

func offers(formats []videodev.FormatInfo, p videodev.PixelFormat) bool {
	return slices.ContainsFunc(formats, func(f videodev.FormatInfo) bool { return f.PixelFormat == p })
}

// inputsFor are the pixel formats that a layout can be handed to an encoder in, the
// cheapest to make first.
func inputsFor(l capture.Layout) []videodev.PixelFormat {
	planar := []videodev.PixelFormat{videodev.YU12, videodev.YM12}
	half := []videodev.PixelFormat{videodev.NV12, videodev.NM12}
	switch l {
	case capture.LayoutNV12:
		return slices.Concat(half, planar)
	case capture.LayoutYUYV:
		return slices.Concat([]videodev.PixelFormat{videodev.YUYV}, planar, half)
	default:
		return slices.Concat(planar, half)
	}
}

// shapeFor returns the format of the first queue that suits the settings, as the
// driver would have it.
func shapeFor(dev *videodev.Device, in videodev.BufferType, s Settings) (shape, error) {
	takes, err := dev.Formats(in)
	if err != nil {
		return shape{}, fmt.Errorf("does not say what it takes (%w)", err)
	}
	refused := fmt.Errorf("takes no pictures in %v", s.Layout)
	for _, p := range inputsFor(s.Layout) {
		if !offers(takes, p) {
			continue
		}
		w, h := s.Width&^1, s.Height&^1
		f, err := dev.TryFormat(in, videodev.Format{PixelFormat: p, Width: w, Height: h, Field: videodev.Progressive,
			Planes: make([]videodev.PlaneFormat, planesIn(p))})
		if err != nil {
			refused = fmt.Errorf("refuses %v (%w)", p, err)
			continue
		}
		made, err := newShape(f, p, w, h)
		if err == nil {
			return made, nil
		}
		refused = err
	}
	return shape{}, refused
}
