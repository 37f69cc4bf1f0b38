//go:build linux

package videodev

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/lensward/lensward/capture/videodev/internal/abi"
)

// PixelFormat is what pictures are made of: the four characters that V4L2 names
// it by, first in the lowest byte.
type PixelFormat uint32

// The pixel formats that are used. The kernel's names are in the comments where
// they differ; those with an M lie in several buffers.
const (
	MJPEG PixelFormat = 'M' | 'J'<<8 | 'P'<<16 | 'G'<<24
	JPEG  PixelFormat = 'J' | 'P'<<8 | 'E'<<16 | 'G'<<24
	H264  PixelFormat = 'H' | '2'<<8 | '6'<<16 | '4'<<24
	YUYV  PixelFormat = 'Y' | 'U'<<8 | 'Y'<<16 | 'V'<<24
	NV12  PixelFormat = 'N' | 'V'<<8 | '1'<<16 | '2'<<24
	NM12  PixelFormat = 'N' | 'M'<<8 | '1'<<16 | '2'<<24 // NV12M
	YU12  PixelFormat = 'Y' | 'U'<<8 | '1'<<16 | '2'<<24 // YUV420
	YM12  PixelFormat = 'Y' | 'M'<<8 | '1'<<16 | '2'<<24 // YUV420M
	GREY  PixelFormat = 'G' | 'R'<<8 | 'E'<<16 | 'Y'<<24
)

// String returns the four characters.
func (p PixelFormat) String() string {
	name := []byte{byte(p), byte(p >> 8), byte(p >> 16), byte(p >> 24)}
	for i, c := range name {
		if c < ' ' || c > '~' {
			name[i] = '?'
		}
	}
	return string(bytes.TrimRight(name, " "))
}

// FormatInfo is a pixel format that a node offers.
type FormatInfo struct {
	PixelFormat PixelFormat
	Text        string
	Compressed  bool
	// Emulated says that software converts it.
	Emulated bool
}

// Limits of what a driver may list.
const (
	maxFormats   = 256
	maxSizes     = 256
	maxIntervals = 256
)

// Formats lists what a queue of the type can be set to.
func (d *Device) Formats(kind BufferType) ([]FormatInfo, error) {
	var formats []FormatInfo
	for i := range maxFormats {
		m := make(abi.Memory, abi.FmtdescBytes)
		m.SetUint32(abi.FmtdescIndex, uint32(i))
		m.SetUint32(abi.FmtdescType, uint32(kind))
		if err := d.ioctl(abi.EnumFormats, m); err != nil {
			return formats, endOfList(err)
		}
		flags := m.Uint32(abi.FmtdescFlags)
		formats = append(formats, FormatInfo{
			PixelFormat: PixelFormat(m.Uint32(abi.FmtdescPixelFormat)),
			Text:        m.Text(abi.FmtdescText, abi.NameChars),
			Compressed:  flags&1 != 0,
			Emulated:    flags&2 != 0,
		})
	}
	return formats, nil
}

// SizeRange is one size, or a range of them with equal steps.
type SizeRange struct {
	MinWidth, MaxWidth, StepWidth    int
	MinHeight, MaxHeight, StepHeight int
}

// Discrete says that the range is one size.
func (r SizeRange) Discrete() bool { return r.MinWidth == r.MaxWidth && r.MinHeight == r.MaxHeight }

// String returns the size, or the ends of the range.
func (r SizeRange) String() string {
	if r.Discrete() {
		return fmt.Sprintf("%d×%d", r.MinWidth, r.MinHeight)
	}
	return fmt.Sprintf("%d×%d to %d×%d", r.MinWidth, r.MinHeight, r.MaxWidth, r.MaxHeight)
}

// Kinds of sizes and intervals.
const (
	discrete   = 1
	continuous = 2
	stepwise   = 3
)

// MaxSide is the longest side of a picture, in pixels, that is believed.
const MaxSide = 16384

// FrameSizes lists the sizes of a pixel format; none where the driver does not
// say. Sizes that make no sense are left out.
func (d *Device) FrameSizes(p PixelFormat) ([]SizeRange, error) {
	var sizes []SizeRange
	for i := range maxSizes {
		m := make(abi.Memory, abi.FrameSizeBytes)
		m.SetUint32(abi.FrameSizeIndex, uint32(i))
		m.SetUint32(abi.FrameSizePixelFormat, uint32(p))
		if err := d.ioctl(abi.EnumFrameSizes, m); err != nil {
			return sizes, endOfList(err)
		}
		kind := m.Uint32(abi.FrameSizeKind)
		r := SizeRange{MinWidth: side(m, abi.FrameSizeWidth), StepWidth: 1, StepHeight: 1}
		if kind == discrete {
			r.MinHeight = side(m, abi.FrameSizeHeight)
			r.MaxWidth, r.MaxHeight = r.MinWidth, r.MinHeight
		} else {
			r.MaxWidth, r.MinHeight, r.MaxHeight = side(m, abi.FrameSizeMaxWidth), side(m, abi.FrameSizeMinHeight), side(m, abi.FrameSizeMaxHeight)
		}
		if kind == stepwise {
			r.StepWidth, r.StepHeight = max(side(m, abi.FrameSizeStepWidth), 1), max(side(m, abi.FrameSizeStepHeight), 1)
		}
		if r.MinWidth > 0 && r.MinHeight > 0 && r.MinWidth <= r.MaxWidth && r.MinHeight <= r.MaxHeight && r.MaxWidth <= MaxSide && r.MaxHeight <= MaxSide {
			sizes = append(sizes, r)
		}
		if kind != discrete { // such a list has one entry
			break
		}
	}
	return sizes, nil
}

// side reads a length in pixels, cut to just above MaxSide.
func side(m abi.Memory, at int) int { return int(min(m.Uint32(at), MaxSide+1)) }

// Fraction is a time in seconds.
type Fraction struct{ Numerator, Denominator uint32 }

// Rate returns how many a second that is; 0 if it makes no sense.
func (f Fraction) Rate() float64 {
	if f.Numerator == 0 || f.Denominator == 0 {
		return 0
	}
	return float64(f.Denominator) / float64(f.Numerator)
}

// fraction reads two numbers.
func fraction(m abi.Memory, at int) Fraction {
	return Fraction{m.Uint32(at), m.Uint32(at + 4)}
}

// RateRange is one frame rate, or all between two, in frames a second.
type RateRange struct{ Min, Max float64 }

// String returns the rate, or the ends of the range.
func (r RateRange) String() string {
	if r.Min == r.Max {
		return fmt.Sprintf("%.4g", r.Max)
	}
	return fmt.Sprintf("%.4g to %.4g", r.Min, r.Max)
}

// FrameRates lists the rates of a pixel format and size; none where the driver
// does not say. Rates that make no sense are left out.
func (d *Device) FrameRates(p PixelFormat, width, height int) ([]RateRange, error) {
	var rates []RateRange
	for i := range maxIntervals {
		m := make(abi.Memory, abi.FrameIntervalBytes)
		m.SetUint32(abi.FrameIntervalIndex, uint32(i))
		m.SetUint32(abi.FrameIntervalPixelFormat, uint32(p))
		m.SetUint32(abi.FrameIntervalWidth, uint32(width))
		m.SetUint32(abi.FrameIntervalHeight, uint32(height))
		if err := d.ioctl(abi.EnumFrameIntervals, m); err != nil {
			return rates, endOfList(err)
		}
		shortest := fraction(m, abi.FrameIntervalMin)
		longest := shortest
		if m.Uint32(abi.FrameIntervalKind) != discrete {
			longest = fraction(m, abi.FrameIntervalMax)
		}
		r := RateRange{longest.Rate(), shortest.Rate()}
		if r.Min > 0 && r.Max >= r.Min {
			rates = append(rates, r)
		}
		if m.Uint32(abi.FrameIntervalKind) != discrete { // such a list has one entry
			break
		}
	}
	return rates, nil
}

// maxPlanes is how many the kernel's structures have room for.
const maxPlanes = 8

// Format is how a queue's pictures lie in memory.
type Format struct {
	PixelFormat   PixelFormat
	Width, Height int // pixels
	// Field says how the picture was scanned: [Progressive], or another of the
	// kernel's numbers.
	Field uint32
	// Colorspace, Encoding, Quantization and Transfer are the kernel's numbers; 0 is
	// the driver's choice.
	Colorspace, Encoding, Quantization, Transfer uint32
	// Planes says how long the rows and the buffers of each plane are, in bytes. A
	// queue with one plane has one, even if the picture's own planes lie in it one
	// after another.
	Planes []PlaneFormat
}

// PlaneFormat is the shape of one plane in memory, in bytes.
type PlaneFormat struct{ Stride, Size int }

// Values of Format.Field.
const (
	// Progressive is a whole picture, scanned at once.
	Progressive = 1
	// Interlaced is a whole picture of two fields, row by row in turns.
	Interlaced = 4
)

// FullRange says that samples use all values from 0 to 255, by the kernel's rules
// for what is left open.
func (f Format) FullRange() bool {
	const full, limited, jpeg = 1, 2, 7
	return f.Quantization == full || f.Quantization != limited && f.Colorspace == jpeg
}

// Format reads the format that is set.
func (d *Device) Format(kind BufferType) (Format, error) {
	m := make(abi.Memory, d.abi.FormatBytes())
	m.SetUint32(abi.FormatType, uint32(kind))
	if err := d.ioctl(abi.GetFormat, m); err != nil {
		return Format{}, err
	}
	return d.decodeFormat(kind, m)
}

// SetFormat asks for a format and returns what the driver made of it. Buffers must
// not be requested yet. Of the planes, sizes alone are asked for, where they are
// given: an encoder's output needs it.
func (d *Device) SetFormat(kind BufferType, f Format) (Format, error) {
	m, err := d.encodeFormat(kind, f)
	if err != nil {
		return Format{}, err
	}
	if err := d.ioctl(abi.SetFormat, m); err != nil {
		return Format{}, err
	}
	return d.decodeFormat(kind, m)
}

// TryFormat is SetFormat without any effect.
func (d *Device) TryFormat(kind BufferType, f Format) (Format, error) {
	m, err := d.encodeFormat(kind, f)
	if err != nil {
		return Format{}, err
	}
	if err := d.ioctl(abi.TryFormat, m); err != nil {
		return Format{}, err
	}
	return d.decodeFormat(kind, m)
}

func (d *Device) encodeFormat(kind BufferType, f Format) (abi.Memory, error) {
	if f.Width < 0 || f.Height < 0 || f.Width > MaxSide || f.Height > MaxSide || len(f.Planes) > maxPlanes {
		return nil, fmt.Errorf("set format on %s: %d×%d in %d planes is out of bounds", d.path, f.Width, f.Height, len(f.Planes))
	}
	m := make(abi.Memory, d.abi.FormatBytes())
	m.SetUint32(abi.FormatType, uint32(kind))
	u := m[d.abi.FormatUnion():]
	u.SetUint32(abi.PixWidth, uint32(f.Width)) // the first four fields of both forms
	u.SetUint32(abi.PixHeight, uint32(f.Height))
	u.SetUint32(abi.PixPixelFormat, uint32(f.PixelFormat))
	u.SetUint32(abi.PixField, f.Field)
	if kind.Multiplanar() {
		u.SetUint32(abi.MPlaneColorspace, f.Colorspace)
		u[abi.MPlaneCount] = byte(len(f.Planes))
		u[abi.MPlaneEncoding], u[abi.MPlaneQuantization], u[abi.MPlaneTransfer] = byte(f.Encoding), byte(f.Quantization), byte(f.Transfer)
		for i, p := range f.Planes {
			u.SetUint32(abi.MPlanePlanes+i*abi.PlanePixBytes+abi.PlanePixSizeImage, uint32(p.Size))
			u.SetUint32(abi.MPlanePlanes+i*abi.PlanePixBytes+abi.PlanePixBytesPerRow, uint32(p.Stride))
		}
		return m, nil
	}
	u.SetUint32(abi.PixColorspace, f.Colorspace)
	u.SetUint32(abi.PixPriv, pixelFormatMagic)
	u.SetUint32(abi.PixEncoding, f.Encoding)
	u.SetUint32(abi.PixQuantization, f.Quantization)
	u.SetUint32(abi.PixTransfer, f.Transfer)
	if len(f.Planes) > 0 {
		u.SetUint32(abi.PixSizeImage, uint32(f.Planes[0].Size))
		u.SetUint32(abi.PixBytesPerLine, uint32(f.Planes[0].Stride))
	}
	return m, nil
}

// pixelFormatMagic says that the fields after priv mean something.
const pixelFormatMagic = 0xfeedcafe

// maxImageBytes is the largest buffer that is believed.
const maxImageBytes = 1 << 28

// errSense is for what no driver should say.
var errSense = errors.New("the driver's answer makes no sense")

func (d *Device) decodeFormat(kind BufferType, m abi.Memory) (Format, error) {
	u := m[d.abi.FormatUnion():]
	f := Format{
		PixelFormat: PixelFormat(u.Uint32(abi.PixPixelFormat)),
		Width:       side(u, abi.PixWidth),
		Height:      side(u, abi.PixHeight),
		Field:       u.Uint32(abi.PixField),
	}
	if kind.Multiplanar() {
		f.Colorspace = u.Uint32(abi.MPlaneColorspace)
		f.Encoding, f.Quantization, f.Transfer = uint32(u[abi.MPlaneEncoding]), uint32(u[abi.MPlaneQuantization]), uint32(u[abi.MPlaneTransfer])
		if n := u[abi.MPlaneCount]; n < 1 || n > maxPlanes {
			return Format{}, fmt.Errorf("format of %s: %w: %d planes", d.path, errSense, n)
		}
		for i := range int(u[abi.MPlaneCount]) {
			p := u[abi.MPlanePlanes+i*abi.PlanePixBytes:]
			f.Planes = append(f.Planes, planeFormat(p.Uint32(abi.PlanePixBytesPerRow), p.Uint32(abi.PlanePixSizeImage)))
		}
	} else {
		f.Colorspace = u.Uint32(abi.PixColorspace)
		if u.Uint32(abi.PixPriv) == pixelFormatMagic { // else a driver from before 2014
			f.Encoding, f.Quantization, f.Transfer = u.Uint32(abi.PixEncoding), u.Uint32(abi.PixQuantization), u.Uint32(abi.PixTransfer)
		}
		f.Planes = []PlaneFormat{planeFormat(u.Uint32(abi.PixBytesPerLine), u.Uint32(abi.PixSizeImage))}
	}
	if f.Width < 1 || f.Height < 1 || f.Width > MaxSide || f.Height > MaxSide {
		return Format{}, fmt.Errorf("format of %s: %w: a picture of %d×%d", d.path, errSense, f.Width, f.Height)
	}
	return f, nil
}

// planeFormat keeps what a driver says within what an int holds everywhere.
func planeFormat(stride, size uint32) PlaneFormat {
	return PlaneFormat{Stride: int(min(stride, maxImageBytes)), Size: int(min(size, maxImageBytes))}
}

// FrameInterval reads the time from one picture to the next; false where the
// driver has none that can be set.
func (d *Device) FrameInterval(kind BufferType) (Fraction, bool, error) {
	m := make(abi.Memory, abi.StreamParmBytes)
	m.SetUint32(abi.StreamParmType, uint32(kind))
	if err := d.ioctl(abi.GetParameters, m); err != nil {
		return Fraction{}, false, endOfList(err)
	}
	const timePerFrame = 0x1000
	return fraction(m, abi.StreamParmInterval), m.Uint32(abi.StreamParmCapability)&timePerFrame != 0, nil
}

// SetFrameInterval asks for the time from one picture to the next, and returns
// what the driver made of it. A driver without a settable rate changes nothing,
// and what it has is returned.
func (d *Device) SetFrameInterval(kind BufferType, f Fraction) (Fraction, error) {
	m := make(abi.Memory, abi.StreamParmBytes)
	m.SetUint32(abi.StreamParmType, uint32(kind))
	m.SetUint32(abi.StreamParmInterval, f.Numerator)
	m.SetUint32(abi.StreamParmInterval+4, f.Denominator)
	if err := d.ioctl(abi.SetParameters, m); err != nil {
		if endOfList(err) != nil {
			return Fraction{}, err
		}
		has, _, err := d.FrameInterval(kind)
		return has, err
	}
	return fraction(m, abi.StreamParmInterval), nil
}
