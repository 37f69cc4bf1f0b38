// Package capture is what a camera gives: the frame, the source it comes from,
// and the fan-out that hands each frame to everyone who wants it.
//
// It owns the frame's meaning (what is in the bytes, when it was taken) and the
// rule that a camera is never kept waiting. It never looks inside a picture:
// jpegdc, motion and clip do. It knows nothing of keys, owners or networks.
package capture

import (
	"context"
	"image"
	"time"
)

// Format says how a frame's bytes are encoded. Values are explicit because they
// appear in logs and test data.
type Format uint8

// The encodings that a source may give.
const (
	// FormatMJPEG is one whole JPEG image (baseline, SOI to EOI). Its Huffman
	// tables may be missing, as many USB cameras leave them out: see package jpegdc.
	FormatMJPEG Format = 1
	// FormatH264 is one access unit as an Annex B byte stream; an access unit with
	// Key set is an IDR picture with its parameter sets (SPS, PPS) before it.
	FormatH264 Format = 2
)

// String returns the encoding's usual name.
func (f Format) String() string {
	switch f {
	case FormatMJPEG:
		return "MJPEG"
	case FormatH264:
		return "H.264"
	default:
		return "unknown format"
	}
}

// Frame is one picture as the camera encoded it.
//
// A Frame is a value; its Data is shared by everyone who receives it and must
// be neither changed nor reused by anyone, the source included.
type Frame struct {
	// Seq counts the source's frames from 0. A jump is a frame that the camera or
	// its driver lost.
	Seq uint64
	// Time is when the picture was taken. For files and scenes it is the start time
	// plus the position in the medium, so that a file played faster than it was
	// recorded still gives events of the right length.
	Time time.Time
	// Format is the encoding of Data.
	Format Format
	// Width and Height are the picture's size in pixels.
	Width, Height int
	// Key says that the picture can be decoded without an earlier one. Every JPEG can.
	Key bool
	// Data is the encoded picture.
	Data []byte
	// Preview is a small picture of about the same moment, where the source had one
	// at little cost: motion is found on it, and no decoder is needed. A source that
	// gives previews gives one with its first frame, and need not give one with every
	// other: ten a second are enough.
	Preview *Preview
}

// Preview is a small picture of a moment. It is shared as Frame.Data is.
type Preview struct {
	// Grid is the picture's luma, coarse: about as many cells as the whole frame has
	// blocks of 8×8, or fewer.
	Grid Grid
	// Image or JPEG is the picture itself, in colour, of which a thumbnail is made.
	// One of them is set. Image is full range (BT.601), as a JPEG is.
	Image *image.YCbCr
	JPEG  []byte
}

// Source is a camera, or what stands in for one.
type Source interface {
	// Run hands frames to emit, in order and from one goroutine, until the medium
	// ends (nil), ctx is done (its error) or the source fails (an error that says
	// what was being done). It may be called once.
	Run(ctx context.Context, emit func(Frame)) error
}

// Grid is a small grey picture: the mean luma of each 8×8 block of a frame, row
// by row. It is what motion is found on.
type Grid struct {
	// Width and Height are in blocks, rounded up to whole blocks.
	Width, Height int
	// Luma holds Width*Height means, 0 (black) to 255.
	Luma []byte
}
