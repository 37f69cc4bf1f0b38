//go:build linux

package v4l2

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lensward/lensward/capture/videodev"
)

// Found is a camera that is there.
type Found struct {
	Identity Identity
	// Driver and Bus are as the driver says.
	Driver, Bus string
	// Offers are the formats that the camera has.
	Offers []Offer
	// Controls are what can be set.
	Controls []Control
	// Advice says what to do instead, where this node is of no use by itself.
	Advice string
	// Err is why nothing more is known: no permission, in use.
	Err error
}

// Offer is a format with its sizes.
type Offer struct {
	PixelFormat PixelFormat
	Text        string
	// Usable says that it can be read here.
	Usable bool
	Sizes  []Size
}

// Size is a size, or a range of them, with its frame rates.
type Size struct {
	videodev.SizeRange
	Rates []videodev.RateRange
}

// Bounds of what is listed of one camera.
const maxOffers = 64

// Discover lists the cameras that are there, by node. Nodes that give no pictures
// (metadata, encoders, outputs) are left out.
func Discover() ([]Found, error) { return theSystem().discover() }

func (s system) discover() ([]Found, error) {
	nodes, err := s.nodes()
	if err != nil {
		return nil, err
	}
	var all []Found
	for _, id := range nodes {
		f, isCamera := s.look(id)
		if isCamera {
			all = append(all, f)
		}
	}
	return all, nil
}

// look asks a node what it is; false if it is no camera.
func (s system) look(id Identity) (Found, bool) {
	f := Found{Identity: id}
	dev, err := videodev.Open(s.kernel, id.Node)
	if err != nil {
		f.Err = fault(err)
		return f, !errors.Is(err, videodev.ErrNotVideo)
	}
	c := dev.Capability()
	f.Driver, f.Bus = c.Driver, c.Bus
	kind, ok := c.CaptureType()
	if ok {
		f.Err = s.describe(dev, kind, &f)
	}
	f.Err = errors.Join(f.Err, dev.Close())
	return f, ok
}

// describe lists formats, sizes, rates and controls.
func (s system) describe(dev *videodev.Device, kind videodev.BufferType, f *Found) error {
	has, err := dev.Formats(kind)
	if err != nil {
		return fmt.Errorf("list formats: %w", err)
	}
	if len(has) > maxOffers {
		has = has[:maxOffers]
	}
	for _, info := range has {
		encoded, layout := kindOf(info.PixelFormat)
		o := Offer{PixelFormat: info.PixelFormat, Text: info.Text, Usable: encoded != 0 || layout != 0}
		sizes, err := dev.FrameSizes(info.PixelFormat)
		if err != nil {
			return fmt.Errorf("list sizes of %v: %w", info.PixelFormat, err)
		}
		for _, size := range sizes {
			rates, err := dev.FrameRates(info.PixelFormat, size.MaxWidth, size.MaxHeight)
			if err != nil {
				return fmt.Errorf("list rates of %v: %w", info.PixelFormat, err)
			}
			o.Sizes = append(o.Sizes, Size{size, rates})
		}
		f.Offers = append(f.Offers, o)
	}
	f.Advice = advice(f.Driver, has)
	k, err := s.knobs(dev.Path())
	if err != nil { // a node that the library does not know, such as a multi-planar one
		return nil
	}
	f.Controls = k.list()
	return k.close()
}

// advice says what to do with a node that is of no use as it is.
func advice(driver string, has []videodev.FormatInfo) string {
	pi := slices.Contains([]string{"unicam", "rp1-cfe", "bcm2835-isp", "pispbe"}, strings.TrimSpace(driver))
	switch {
	case pi:
		return "this is part of a Raspberry Pi camera's own processing; use the source rpicam:"
	case onlyBayer(has):
		return "it gives raw sensor data only, which needs libcamera; on a Raspberry Pi use the source rpicam:"
	case !slices.ContainsFunc(has, func(f videodev.FormatInfo) bool {
		encoded, layout := kindOf(f.PixelFormat)
		return encoded != 0 || layout != 0
	}):
		return "none of its formats can be read"
	default:
		return ""
	}
}
