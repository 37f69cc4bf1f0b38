//go:build linux

package v4l2

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/internal/annexb"
	"github.com/lensward/lensward/capture/jpegdc"
)

// jpegs makes frames of Motion JPEG pictures.
type jpegs struct {
	camera *Camera
	emit   func(capture.Frame)
}

func (j *jpegs) take(p *picture) (faulty, err error) {
	data, err := checkJPEG(p.planes[0], p.format.mode)
	if err != nil {
		return err, nil
	}
	j.emit(frame(p, data, true))
	return nil, nil
}

// frame is a picture that is encoded.
func frame(p *picture, data []byte, key bool) capture.Frame {
	m := p.format.mode
	return capture.Frame{
		Seq: p.seq, Time: p.time, Format: m.Encoded, Width: m.Width, Height: m.Height, Key: key, Data: data,
	}
}

// checkJPEG returns a copy of a whole JPEG of the right size. Cameras pad their
// buffers after the end marker.
func checkJPEG(data []byte, mode Mode) ([]byte, error) {
	end := bytes.LastIndex(data, []byte{0xff, 0xd9})
	if end < 0 || !bytes.HasPrefix(data, []byte{0xff, 0xd8}) {
		return nil, fmt.Errorf("%d bytes are not a whole JPEG", len(data))
	}
	data = data[:end+2]
	width, height, err := jpegdc.Size(data)
	if err != nil {
		return nil, err
	}
	if width != mode.Width || height != mode.Height {
		return nil, fmt.Errorf("the picture is %d×%d, not %d×%d", width, height, mode.Width, mode.Height)
	}
	return bytes.Clone(data), nil
}

// keyPatience is how long a camera may give H.264 without a key frame when one is
// needed. To start it anew makes it give one.
const keyPatience = 10 * time.Second

// videos makes frames of H.264: whole access units, with the parameter sets before
// each key frame. What leans on a picture that is missing is left out, up to the
// next key frame: it would show what never was.
type videos struct {
	camera *Camera
	emit   func(capture.Frame)

	parameters []byte    // SPS and PPS with start codes, the latest
	whole      bool      // nothing is missing since the last key frame
	waits      time.Time // since when one is waited for
}

func (v *videos) take(p *picture) (faulty, err error) {
	unit := p.planes[0]
	has := annexb.Look(unit)
	if has.Parameters != nil {
		v.parameters = has.Parameters
	}
	if v.whole && p.gap {
		v.whole, v.waits = false, p.time
	}
	switch {
	case !has.Picture && has.Parameters != nil: // a buffer of headers alone
		return nil, nil
	case !has.Picture:
		return fmt.Errorf("%d bytes are no H.264 picture", len(unit)), nil
	case has.IDR && v.parameters == nil:
		return errors.New("a key frame came before its parameter sets"), nil
	case has.IDR:
		v.whole = true
	}
	if !v.whole {
		return nil, v.skip(p)
	}
	var data []byte
	if has.IDR && has.Parameters == nil {
		data = append(data, v.parameters...)
	}
	v.emit(frame(p, append(data, unit...), has.IDR))
	return nil, nil
}

// skip leaves a picture out that nothing can be made of.
func (v *videos) skip(p *picture) error {
	v.camera.broken.Add(1)
	if v.waits.IsZero() {
		v.waits = p.time
	}
	if p.time.Sub(v.waits) > keyPatience {
		return &capture.FaultError{Fault: capture.FaultBroken, Err: fmt.Errorf("no key frame for %v", keyPatience)}
	}
	return nil
}
