//go:build linux

package rpicam

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/Eyevinn/mp4ff/avc"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/internal/annexb"
	"github.com/lensward/lensward/capture/jpegdc"
)

// errBroken says that the stream's pictures are not whole.
var errBroken = errors.New("the pictures are broken")

// read cuts the program's output into frames, until it ends (io.EOF) or makes no
// sense.
func (c *Camera) read(output io.Reader, emit func(capture.Frame)) error {
	if c.choice.Format == capture.FormatH264 {
		return c.readH264(output, emit)
	}
	return c.readJPEGs(output, emit)
}

// readH264 begins with the first key frame: what stands before it cannot be
// decoded.
func (c *Camera) readH264(output io.Reader, emit func(capture.Frame)) error {
	var parameters []byte
	width, height, before := 0, 0, 0
	units := annexb.NewSplitter(output)
	for seq := uint64(0); ; {
		u, err := units.Next()
		switch {
		case errors.Is(err, annexb.ErrTooLong):
			return fmt.Errorf("%w: %w", errBroken, err)
		case err != nil:
			return err
		case u.Ended: // cut off where the program was
			continue
		}
		has := annexb.Look(u.Data)
		data := u.Data
		if has.Parameters != nil {
			parameters = has.Parameters
			w, h, err := pictureSize(parameters)
			if err != nil {
				return fmt.Errorf("%w: %w", errBroken, err)
			}
			if width != 0 && (w != width || h != height) {
				return fmt.Errorf("the picture is %d×%d now, and was %d×%d before", w, h, width, height)
			}
			width, height = w, h
		} else if has.IDR && parameters != nil {
			data = slices.Concat(parameters, data)
		}
		if parameters == nil || seq == 0 && !has.IDR {
			c.broken.Add(1)
			if before++; before == maxBroken {
				return fmt.Errorf("%w: no key frame with its parameter sets among the first %d", errBroken, before)
			}
			continue
		}
		emit(capture.Frame{
			Seq: seq, Time: u.Came, Format: capture.FormatH264,
			Width: width, Height: height, Key: has.IDR, Data: data,
		})
		seq++
	}
}

// pictureSize reads the size out of the first SPS.
func pictureSize(parameters []byte) (width, height int, err error) {
	for unit := range annexb.Units(parameters) {
		if annexb.Type(unit) != annexb.SPS {
			continue
		}
		if len(unit) < 4 || len(unit) > 1024 {
			return 0, 0, fmt.Errorf("a sequence parameter set of %d bytes", len(unit))
		}
		sps, err := avc.ParseSPSNALUnit(unit, false)
		if err != nil {
			return 0, 0, fmt.Errorf("read a sequence parameter set: %w", err)
		}
		if sps.Width < 16 || sps.Height < 16 || sps.Width > 8192 || sps.Height > 8192 {
			return 0, 0, fmt.Errorf("a picture of %d×%d", sps.Width, sps.Height)
		}
		return int(sps.Width), int(sps.Height), nil
	}
	return 0, 0, errors.New("no sequence parameter set")
}

// readJPEGs leaves out pictures that are not whole; Frame.Seq then jumps.
func (c *Camera) readJPEGs(output io.Reader, emit func(capture.Frame)) error {
	width, height, bad := 0, 0, 0
	pictures := newJPEGSplitter(output)
	for seq := uint64(0); ; seq++ {
		p, err := pictures.next()
		if err == nil {
			var w, h int
			if w, h, err = jpegdc.Size(p.data); err == nil && width != 0 && (w != width || h != height) {
				return fmt.Errorf("the picture is %d×%d now, and was %d×%d before", w, h, width, height)
			}
			if err == nil {
				width, height, bad = w, h, 0
				emit(capture.Frame{
					Seq: seq, Time: p.came, Format: capture.FormatMJPEG,
					Width: w, Height: h, Key: true, Data: p.data,
				})
				continue
			}
		} else if !errors.Is(err, errBroken) {
			return err
		}
		if c.broken.Add(1) == 1 {
			c.settings.Log.Warn("broken picture left out", "camera", c.settings.Camera, "reason", err)
		}
		if bad++; bad == maxBroken {
			return fmt.Errorf("%w: %d one after another: %w", errBroken, bad, err)
		}
	}
}
