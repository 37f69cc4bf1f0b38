//go:build linux

package source

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/encode"
	"github.com/lensward/lensward/capture/mask"
	"github.com/lensward/lensward/capture/rpicam"
	"github.com/lensward/lensward/capture/v4l2"
)

// openV4L2 opens a camera, and puts an encoder behind it if its pictures are raw.
func (o *Opener) openV4L2(ctx context.Context) (capture.Source, Info, error) {
	p := o.url.params
	s := v4l2.Settings{
		Name: o.url.path, Known: o.known, FPS: p.number("fps"), Want: v4l2.Want(p.word("format", "auto", "mjpeg", "h264", "raw", "yuyv", "nv12", "i420", "grey")),
		Controls: o.opts.Controls, Log: o.opts.Log,
	}
	s.Width, s.Height = p.size()
	e := encode.Settings{Want: encode.Kind(p.word("encode", "auto", "h264", "m2m", "ffmpeg", "mjpeg")), Bitrate: p.integer("bitrate"), Log: o.opts.Log}
	if p.err != nil {
		return nil, Info{}, p.err
	}
	cam, err := v4l2.Open(s)
	if err != nil {
		return nil, Info{}, err
	}
	o.known = cam.Identity()
	m := cam.Mode()
	info := Info{Format: m.Encoded, Width: m.Width, Height: m.Height, FPS: m.FPS, Why: m.Why, Live: true}
	if m.Encoded != 0 {
		return o.masked(cam, info, nil)
	}
	return o.encoded(ctx, cam, m, e, info)
}

// encoded puts masks before, and an encoder behind, raw pictures.
func (o *Opener) encoded(ctx context.Context, raw capture.RawSource, m v4l2.Mode, e encode.Settings, info Info) (capture.Source, Info, error) {
	if len(o.opts.Masks) > 0 {
		masked, err := mask.NewRawSource(raw, o.opts.Masks, o.opts.Log)
		if err != nil {
			return nil, Info{}, err
		}
		raw = masked
	}
	e.Width, e.Height, e.Layout, e.FPS = m.Width, m.Height, m.Layout, m.FPS
	src, err := encode.New(ctx, raw, e)
	if errors.Is(err, encode.ErrNoEncoder) {
		return nil, Info{}, &capture.FaultError{Fault: capture.FaultUnsuitable, Err: err}
	}
	if err != nil {
		return nil, Info{}, err
	}
	info.Format, info.Why = src.Format(), info.Why+"; "+src.Choice().Why
	info.Width, info.Height = src.Size()
	return src, info, nil
}

// openRpicam opens a Raspberry Pi camera module.
func openRpicam(u sourceURL, opts Options) (capture.Source, Info, error) {
	p := u.params
	s := rpicam.Settings{
		FPS: p.number("fps"), Codec: rpicam.Codec(p.word("format", "auto", "h264", "mjpeg")), Bitrate: p.integer("bitrate"),
		Flip: opts.Controls.Flip, Exposure: opts.Controls.Exposure, Gain: float64(opts.Controls.Gain), Log: opts.Log,
	}
	s.Width, s.Height = p.size()
	if p.err != nil {
		return nil, Info{}, p.err
	}
	if u.path != "" {
		number, err := strconv.ParseUint(u.path, 10, 8)
		if err != nil {
			return nil, Info{}, fmt.Errorf("rpicam: %q is no camera's number; hint: rpicam:0 is the first", u.path)
		}
		s.Camera = int(number)
	}
	why := ""
	if s.Codec == rpicam.Auto {
		if why = noH264(opts); why != "" {
			s.Codec = rpicam.MJPEG
		}
	}
	cam, err := rpicam.Open(s)
	if errors.Is(err, rpicam.ErrNoProgram) {
		return nil, Info{}, &capture.FaultError{Fault: capture.FaultUnsuitable, Err: err}
	}
	if err != nil {
		return nil, Info{}, err
	}
	c := cam.Choice()
	info := Info{Format: c.Format, Width: s.Width, Height: s.Height, FPS: s.FPS, Why: c.Why + why, Live: true}
	if info.Width == 0 {
		info.Width, info.Height = 1280, 720
	}
	if info.FPS == 0 {
		info.FPS = 15
	}
	return cam, info, nil
}

// noH264 says why video that passes through is of no use; "" if it is.
func noH264(opts Options) string {
	if len(opts.Masks) > 0 {
		return "; MJPEG, since masks cannot be put on video that passes through"
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		return "; MJPEG, since motion in H.264 needs ffmpeg, which is not installed"
	}
	return ""
}
