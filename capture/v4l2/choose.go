//go:build linux

package v4l2

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/videodev"
)

// kindOf says how a pixel format's pictures are read: encoded, or raw by a layout.
func kindOf(p PixelFormat) (encoded capture.Format, layout capture.Layout) {
	switch p {
	case videodev.MJPEG, videodev.JPEG:
		return capture.FormatMJPEG, 0
	case videodev.H264:
		return capture.FormatH264, 0
	case videodev.YUYV:
		return 0, capture.LayoutYUYV
	case videodev.NV12, videodev.NM12:
		return 0, capture.LayoutNV12
	case videodev.YU12, videodev.YM12:
		return 0, capture.LayoutI420
	case videodev.GREY:
		return 0, capture.LayoutGrey
	default:
		return 0, 0
	}
}

// rawFormats are those with colour in the order of how little they have to be
// copied about, then grey.
func rawFormats() []PixelFormat {
	return []PixelFormat{
		videodev.YU12, videodev.YM12, videodev.NV12, videodev.NM12, videodev.YUYV, videodev.GREY,
	}
}

// wanted lists the pixel formats that do, best first; nil for no known wish.
func wanted(w Want) []PixelFormat {
	switch w {
	case WantAuto:
		return slices.Concat([]PixelFormat{videodev.MJPEG, videodev.JPEG}, rawFormats(), []PixelFormat{videodev.H264})
	case WantMJPEG:
		return []PixelFormat{videodev.MJPEG, videodev.JPEG}
	case WantH264:
		return []PixelFormat{videodev.H264}
	case WantRaw:
		return rawFormats()
	case WantYUYV:
		return []PixelFormat{videodev.YUYV}
	case WantNV12:
		return []PixelFormat{videodev.NV12, videodev.NM12}
	case WantI420:
		return []PixelFormat{videodev.YU12, videodev.YM12}
	case WantGrey:
		return []PixelFormat{videodev.GREY}
	default:
		return nil
	}
}

// format is what was agreed on with a driver.
type format struct {
	kind videodev.BufferType
	pix  videodev.Format
	mode Mode
}

// configure chooses the format and agrees with the driver on the rest.
func configure(dev *videodev.Device, s Settings) (format, error) {
	kind, ok := dev.Capability().CaptureType()
	if !ok {
		return format{}, &unsuitableError{"the device gives no pictures; hint: cameras have several /dev/videoN, try the others"}
	}
	has, err := dev.Formats(kind)
	if err != nil {
		return format{}, fmt.Errorf("list formats: %w", err)
	}
	want, why := pick(has, s.Want)
	if want == 0 {
		return format{}, unreadable(has, s.Want)
	}
	pix, err := dev.SetFormat(kind, videodev.Format{PixelFormat: want, Width: s.Width, Height: s.Height, Field: videodev.Progressive})
	if err != nil {
		return format{}, fmt.Errorf("set format %v %d×%d: %w", want, s.Width, s.Height, err)
	}
	if pix.PixelFormat != want {
		return format{}, &unsuitableError{fmt.Sprintf("the camera gives %v instead of %v", pix.PixelFormat, want)}
	}
	rate, err := dev.SetFrameInterval(kind, interval(s.FPS))
	if err != nil {
		return format{}, fmt.Errorf("set frame rate %v: %w", s.FPS, err)
	}
	f := format{kind: kind, pix: pix, mode: Mode{
		PixelFormat: want, Full: pix.FullRange(), Width: pix.Width, Height: pix.Height, FPS: rate.Rate(), Why: why,
	}}
	f.mode.Encoded, f.mode.Layout = kindOf(want)
	return f, f.check()
}

// interval is a rate as the time between two pictures, to a thousandth.
func interval(fps float64) videodev.Fraction {
	return videodev.Fraction{Numerator: 1000, Denominator: uint32(math.Round(fps * 1000))}
}

// check says whether pictures of the format can be read.
func (f format) check() error {
	m := f.mode
	if m.Width < 16 || m.Height < 16 || m.Width > maxSide || m.Height > maxSide {
		return &unsuitableError{fmt.Sprintf("the camera's size %d×%d is out of bounds", m.Width, m.Height)}
	}
	if m.Encoded != 0 {
		return nil
	}
	if f.pix.Field > videodev.Progressive && f.pix.Field != videodev.Interlaced {
		return &unsuitableError{"the camera gives half pictures only"}
	}
	if _, ok := f.planes(); !ok {
		return &unsuitableError{fmt.Sprintf("the camera's rows of %d bytes are too short for %d pixels", f.pix.Planes[0].Stride, m.Width)}
	}
	return nil
}

// pick chooses among what the camera has; 0 if nothing does.
func pick(has []videodev.FormatInfo, w Want) (PixelFormat, string) {
	for _, p := range wanted(w) {
		i := slices.IndexFunc(has, func(f videodev.FormatInfo) bool { return f.PixelFormat == p })
		if i < 0 {
			continue
		}
		return p, reason(p, w, has)
	}
	return 0, ""
}

// reason says for a person why a format was taken.
func reason(p PixelFormat, w Want, has []videodev.FormatInfo) string {
	encoded, _ := kindOf(p)
	var why string
	switch encoded {
	case capture.FormatMJPEG:
		why = fmt.Sprintf("%v: its pictures pass through as they are, and motion is found in them without decoding", p)
	case capture.FormatH264:
		why = fmt.Sprintf("%v: its video passes through as it is; motion is found on small pictures beside it", p)
	default:
		why = fmt.Sprintf("%v: raw pictures, which are encoded here", p)
	}
	if w != WantAuto {
		return why + "; it was asked for"
	}
	var passed []string
	for _, f := range has {
		if f.PixelFormat != p && slices.Contains(wanted(WantAuto), f.PixelFormat) {
			passed = append(passed, f.PixelFormat.String())
		}
	}
	if len(passed) > 0 {
		why += "; passed over: " + strings.Join(passed, ", ")
	}
	return why
}

// unreadable lists the formats of a camera that has none that can be read.
func unreadable(has []videodev.FormatInfo, w Want) error {
	var names []string
	for _, f := range has {
		names = append(names, fmt.Sprintf("%v (%s)", f.PixelFormat, f.Text))
	}
	slices.SortFunc(names, cmp.Compare[string])
	list := strings.Join(names, ", ")
	switch {
	case list == "":
		return &unsuitableError{"the device gives no pictures; hint: cameras have several /dev/videoN, try the others"}
	case onlyBayer(has):
		return &unsuitableError{"the camera gives raw sensor data only: " + list + "; hint: on a Raspberry Pi use the source rpicam:"}
	case w != WantAuto:
		return &unsuitableError{fmt.Sprintf("the camera does not give %s but %s", w, list)}
	default:
		return &unsuitableError{"the camera gives nothing that can be read, but " + list}
	}
}

// onlyBayer says that a camera gives what its sensor sees and nothing else.
func onlyBayer(has []videodev.FormatInfo) bool {
	bayer := false
	for _, f := range has {
		if _, layout := kindOf(f.PixelFormat); layout != 0 {
			return false
		}
		bayer = bayer || strings.Contains(f.Text, "Bayer")
	}
	return bayer
}
