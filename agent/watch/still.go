package watch

import (
	"errors"
	"image"

	"github.com/lensward/lensward/capture"
	"github.com/lensward/lensward/capture/clip"
)

// previewStill is the picture of a frame that has a preview: the frame itself where
// it is a picture.
func previewStill(f capture.Frame) still {
	switch {
	case f.Format == capture.FormatMJPEG:
		return jpegStill(f.Data)
	case f.Preview.JPEG != nil:
		return jpegStill(f.Preview.JPEG)
	case f.Preview.Image != nil:
		return imageStill{f.Preview.Image}
	default:
		return imageStill{}
	}
}

// jpegStill is a frame that is a JPEG already.
type jpegStill []byte

func (s jpegStill) thumbnail() ([]byte, error) {
	return clip.Thumbnail(s, clip.ThumbnailSettings{})
}

// imageStill is a small picture made from video.
type imageStill struct{ picture image.Image }

func (s imageStill) thumbnail() ([]byte, error) {
	if s.picture == nil {
		return nil, errors.New("make thumbnail: there is no picture of this moment")
	}
	return clip.ThumbnailImage(s.picture, clip.ThumbnailSettings{})
}
