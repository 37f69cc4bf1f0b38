package clip

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"

	"golang.org/x/image/draw"

	"github.com/lensward/lensward/capture/jpegdc"
)

// MaxThumbnailBytes is the most that a thumbnail ever takes: 96 KB.
const MaxThumbnailBytes = 96_000

// maxThumbnailPixels bounds the picture that a thumbnail is made of, and with it
// the memory that takes: about 1.5 bytes a pixel.
const maxThumbnailPixels = 16 << 20

// ThumbnailSettings say what thumbnails look like. The zero value means the
// defaults.
type ThumbnailSettings struct {
	// MaxWidth is the greatest width in pixels; smaller pictures are not enlarged.
	// Default 640; 16 to MaxSide.
	MaxWidth int
	// Quality is the JPEG quality to begin with, 1 to 100. Default 80.
	Quality int
	// MaxBytes is the greatest size. Default and at most MaxThumbnailBytes; at least
	// 4096.
	MaxBytes int
}

func (s ThumbnailSettings) withDefaults() ThumbnailSettings {
	if s.MaxWidth == 0 {
		s.MaxWidth = 640
	}
	if s.Quality == 0 {
		s.Quality = 80
	}
	if s.MaxBytes == 0 {
		s.MaxBytes = MaxThumbnailBytes
	}
	return s
}

// Validate returns an error that names the first field with an unusable value.
func (s ThumbnailSettings) Validate() error {
	s = s.withDefaults()
	if s.MaxWidth < 16 || s.MaxWidth > MaxSide {
		return fmt.Errorf("thumbnail settings: MaxWidth is %d, want 16 to %d", s.MaxWidth, MaxSide)
	}
	if s.Quality < 1 || s.Quality > 100 {
		return fmt.Errorf("thumbnail settings: Quality is %d, want 1 to 100", s.Quality)
	}
	if s.MaxBytes < 4096 || s.MaxBytes > MaxThumbnailBytes {
		return fmt.Errorf("thumbnail settings: MaxBytes is %d, want 4096 to %d", s.MaxBytes, MaxThumbnailBytes)
	}
	return nil
}

// Thumbnail makes a small JPEG of a camera's frame, whose Huffman tables may be
// missing. A frame that is small enough already, in pixels and bytes, is passed
// through as it is (with its tables). Pictures of more than 16 Mi pixels are
// refused with [ErrFrameTooLarge], what cannot be decoded with [ErrBadFrame].
func Thumbnail(frame []byte, s ThumbnailSettings) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	width, height, err := jpegdc.Size(frame)
	if err != nil {
		return nil, fmt.Errorf("make thumbnail: %w: %w", ErrBadFrame, err)
	}
	if width*height > maxThumbnailPixels {
		return nil, fmt.Errorf("make thumbnail: %w: %dx%d", ErrFrameTooLarge, width, height)
	}
	frame = jpegdc.WithTables(frame)
	picture, err := jpeg.Decode(bytes.NewReader(frame))
	if err != nil {
		return nil, fmt.Errorf("make thumbnail: %w: %w", ErrBadFrame, err)
	}
	if width <= s.MaxWidth && len(frame) <= s.MaxBytes {
		return frame, nil
	}
	return ThumbnailImage(picture, s)
}

// ThumbnailImage makes a small JPEG of a picture, its proportions kept. Where the
// settings' quality takes too many bytes, a lower one is used, and then fewer
// pixels.
func ThumbnailImage(picture image.Image, s ThumbnailSettings) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	if picture.Bounds().Empty() {
		return nil, fmt.Errorf("make thumbnail: %w: empty picture", ErrBadFrame)
	}
	var buf bytes.Buffer
	for width := min(s.MaxWidth, picture.Bounds().Dx()); ; width = width * 3 / 4 {
		small := shrink(picture, max(width, 1))
		for quality := s.Quality; ; quality -= 15 {
			buf.Reset()
			if err := jpeg.Encode(&buf, small, &jpeg.Options{Quality: max(quality, 1)}); err != nil {
				return nil, fmt.Errorf("make thumbnail: %w", err)
			}
			if buf.Len() <= s.MaxBytes {
				return bytes.Clone(buf.Bytes()), nil
			}
			if quality-15 < 35 {
				break
			}
		}
		if width <= 1 {
			return nil, errors.New("make thumbnail: no size fits")
		}
	}
}

// shrink scales a picture down to a width; it returns one that has it as it is.
// It goes by halves as long as it can, so that each pixel counts: the scaler looks
// at no more than four pixels for one.
func shrink(picture image.Image, width int) image.Image {
	from := picture.Bounds()
	full := from.Size()
	for from.Dx() > width {
		size := image.Point{X: (from.Dx() + 1) / 2, Y: (from.Dy() + 1) / 2}
		if size.X <= width {
			size = image.Point{X: width, Y: max((full.Y*width+full.X/2)/full.X, 1)}
		}
		small := image.NewRGBA(image.Rectangle{Max: size})
		draw.ApproxBiLinear.Scale(small, small.Rect, picture, from, draw.Src, nil)
		picture, from = small, small.Rect
	}
	return picture
}
