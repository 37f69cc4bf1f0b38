// Package clip keeps encoded pictures as they came from the camera: a ring of
// the newest ones for the pre-roll, a writer that makes them a fragmented MP4 in
// parts that can be sent while the clip still runs, a reader of such files, and
// thumbnails.
//
// It owns the clip's container format (docs/ref/clip.md) and the limits of parts
// and thumbnails. It never re-encodes video, decides when a clip begins or ends,
// or touches a disk, key or network.
package clip

import (
	"errors"
	"fmt"
	"time"
)

// Limits of a clip.
const (
	// MaxPartBytes is the most that one part ever holds, and so, less about 1 KiB,
	// the largest frame that a clip takes.
	MaxPartBytes = 4 << 20
	// MaxSide is the greatest width and height of a picture, in pixels.
	MaxSide = 8192

	// maxSamples bounds the frames of one part, whatever their times say.
	maxSamples = 4096
	// maxGap is the longest pause between two frames that is kept as such.
	maxGap = 10 * time.Second
)

// Settings say where a [Writer] cuts. The zero value means the defaults.
type Settings struct {
	// PartDuration is how long a part is: a part is cut at the first frame at or
	// after it, in H.264 at the first key frame, or, where none comes, at any frame
	// at twice this duration. Default 4 s; 100 ms to 1 minute.
	PartDuration time.Duration
	// PartBytes is how large a part may get before it is cut at any frame; only a
	// single frame that is larger yet makes a larger part. Default 2 MiB; 64 KiB to
	// MaxPartBytes.
	PartBytes int
}

func (s Settings) withDefaults() Settings {
	if s.PartDuration == 0 {
		s.PartDuration = 4 * time.Second
	}
	if s.PartBytes == 0 {
		s.PartBytes = 2 << 20
	}
	return s
}

// Validate returns an error that names the first field with an unusable value.
func (s Settings) Validate() error {
	s = s.withDefaults()
	if s.PartDuration < 100*time.Millisecond || s.PartDuration > time.Minute {
		return fmt.Errorf("clip settings: PartDuration is %v, want 100ms to 1m", s.PartDuration)
	}
	if s.PartBytes < 64<<10 || s.PartBytes > MaxPartBytes {
		return fmt.Errorf("clip settings: PartBytes is %d, want %d to %d", s.PartBytes, 64<<10, MaxPartBytes)
	}
	return nil
}

// Part is a piece of a clip. Parts 0 to n, joined in order, are a whole MP4 file
// for every n.
type Part struct {
	// Index counts the clip's parts from 0.
	Index uint32
	// Last marks the clip's last part.
	Last bool
	// Start is when the part's first frame was taken, by the frame's own time.
	Start time.Time
	// Duration is how long the part plays.
	Duration time.Duration
	// MediaType is the clip's, with its codec as in RFC 6381; the same for each part.
	MediaType string
	// Data is the part. It belongs to whoever receives it.
	Data []byte
}

// Errors of [Writer.Write]. None of them harms the clip: the frame is left out.
var (
	// ErrNoKeyFrame: a clip begins with a key frame, and this frame is none.
	ErrNoKeyFrame = errors.New("clip has no key frame yet")
	// ErrBadFrame: the frame is not what its format says.
	ErrBadFrame = errors.New("broken frame")
	// ErrFrameTooLarge: the frame does not fit in a part.
	ErrFrameTooLarge = errors.New("frame too large for a clip")
	// ErrClosed: the clip has been closed.
	ErrClosed = errors.New("clip is closed")
)

// ChangedError says that a frame does not fit into the clip since its format,
// size or H.264 parameter sets are others than the clip's. The frame is left out;
// close the clip and begin another with it.
type ChangedError struct {
	// What has changed, and from what to what.
	What string
}

// Error names what has changed.
func (e *ChangedError) Error() string { return "clip cannot go on: " + e.What }
