package clip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/Eyevinn/mp4ff/bits"
	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/lensward/lensward/capture"
)

// Limits of the boxes that Frames takes apart, far above what a Writer makes.
const (
	maxHeadBytes     = 64 << 10
	maxFragmentBytes = 1 << 20
)

// ErrFormat is what Frames reports of bytes that are not a clip of this package's
// making.
var ErrFormat = errors.New("not a clip")

// Frames yields the frames of a clip, given its first parts (or all), joined. They
// come in the order in which they were written, H.264 with the parameter sets
// before each key frame; times are within a tick (1/90000 s) of what they were,
// in UTC. What data the frames can share with the clip, they do.
//
// Bytes that are no clip, or a clip cut off within a part, end the sequence with
// an error ([ErrFormat], or io.ErrUnexpectedEOF) after the frames before. It is
// not a reader of MP4 at large: it wants one track, fragments, and samples of
// JPEG or H.264 with parameter sets in the head.
func Frames(data []byte) iter.Seq2[capture.Frame, error] {
	return func(yield func(capture.Frame, error) bool) {
		r := reader{data: data}
		for r.pos < len(r.data) {
			frames, err := r.box()
			for _, f := range frames {
				if !yield(f, nil) {
					return
				}
			}
			if err != nil {
				yield(capture.Frame{}, fmt.Errorf("read clip at byte %d: %w", r.pos, err))
				return
			}
		}
		switch {
		case r.head == nil:
			yield(capture.Frame{}, fmt.Errorf("read clip: %w: no head", ErrFormat))
		case r.begun:
			yield(capture.Frame{}, fmt.Errorf("read clip: fragment: %w", io.ErrUnexpectedEOF))
		}
	}
}

// reader walks over the top-level boxes of a clip.
type reader struct {
	data []byte
	pos  int    // of the next box
	seq  uint64 // of the next frame

	head    *head
	start   time.Time // when media time is 0,
	at      int64     // or another, in ticks
	begun   bool      // a fragment has, and its samples are still to come
	moof    *mp4.MoofBox
	moofPos int
}

// box reads the next box, and returns the frames that it completes.
func (r *reader) box() ([]capture.Frame, error) {
	rest := r.data[r.pos:]
	if len(rest) < 8 {
		return nil, io.ErrUnexpectedEOF
	}
	size, kind := binary.BigEndian.Uint32(rest), string(rest[4:8])
	if size < 8 || r.pos == 0 && kind != "ftyp" {
		return nil, fmt.Errorf("%w: box %q of %d bytes", ErrFormat, kind, size)
	}
	if uint64(size) > uint64(len(rest)) {
		return nil, fmt.Errorf("box %q of %d bytes: %w", kind, size, io.ErrUnexpectedEOF)
	}
	frames, err := r.take(kind, rest[:size])
	if err != nil {
		return frames, err
	}
	r.pos += int(size)
	return frames, nil
}

func (r *reader) take(kind string, box []byte) ([]capture.Frame, error) {
	switch kind {
	case "moov":
		return nil, r.takeHead(box)
	case "prft":
		r.begun = true
		return nil, r.takeTime(box)
	case "moof":
		moof, err := decode[*mp4.MoofBox](box, maxFragmentBytes)
		r.moof, r.moofPos, r.begun = moof, r.pos, true
		return nil, err
	case "mdat":
		return r.takeSamples(box)
	default:
		return nil, nil
	}
}

// decode reads a box of a known type.
func decode[B mp4.Box](box []byte, limit int) (B, error) {
	var none B
	if len(box) > limit {
		return none, fmt.Errorf("%w: box of %d bytes, at most %d", ErrFormat, len(box), limit)
	}
	decoded, err := mp4.DecodeBoxSR(0, bits.NewFixedSliceReader(box))
	if err != nil {
		return none, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	b, ok := decoded.(B)
	if !ok {
		return none, fmt.Errorf("%w: box %q", ErrFormat, decoded.Type())
	}
	return b, nil
}

func (r *reader) takeHead(box []byte) error {
	if r.head != nil {
		return fmt.Errorf("%w: a second head", ErrFormat)
	}
	moov, err := decode[*mp4.MoovBox](box, maxHeadBytes)
	if err != nil {
		return err
	}
	entry, err := videoEntry(moov)
	if err != nil {
		return err
	}
	h := &head{width: int(entry.Width), height: int(entry.Height)}
	switch {
	case entry.Type() == "avc1" && entry.AvcC != nil:
		h.format = capture.FormatH264
		h.sets = parameterSets{sps: entry.AvcC.SPSnalus, pps: entry.AvcC.PPSnalus}
	case entry.Type() == "mp4v" && entry.Esds != nil && entry.Esds.DecConfigDescriptor != nil &&
		entry.Esds.DecConfigDescriptor.ObjectType == objectTypeJPEG:
		h.format = capture.FormatMJPEG
	default:
		return fmt.Errorf("%w: samples %q are neither H.264 nor JPEG", ErrFormat, entry.Type())
	}
	r.head = h
	if moov.Mvhd != nil {
		r.start = time.Unix(moov.Mvhd.CreationTimeS(), 0).UTC()
	}
	return nil
}

// videoEntry finds the sample entry of the only track.
func videoEntry(moov *mp4.MoovBox) (*mp4.VisualSampleEntryBox, error) {
	if len(moov.Traks) != 1 {
		return nil, fmt.Errorf("%w: %d tracks", ErrFormat, len(moov.Traks))
	}
	mdia := moov.Traks[0].Mdia
	if mdia == nil || mdia.Mdhd == nil || mdia.Minf == nil || mdia.Minf.Stbl == nil || mdia.Minf.Stbl.Stsd == nil {
		return nil, fmt.Errorf("%w: incomplete track", ErrFormat)
	}
	if mdia.Mdhd.Timescale != timescale {
		return nil, fmt.Errorf("%w: timescale %d, want %d", ErrFormat, mdia.Mdhd.Timescale, timescale)
	}
	entries := mdia.Minf.Stbl.Stsd.Children
	if len(entries) != 1 {
		return nil, fmt.Errorf("%w: %d sample entries", ErrFormat, len(entries))
	}
	entry, ok := entries[0].(*mp4.VisualSampleEntryBox)
	if !ok {
		return nil, fmt.Errorf("%w: sample entry %q", ErrFormat, entries[0].Type())
	}
	return entry, nil
}

// takeTime reads which wall-clock time a media time is.
func (r *reader) takeTime(box []byte) error {
	prft, err := decode[*mp4.PrftBox](box, 64)
	if err != nil {
		return err
	}
	if prft.MediaTime > 1<<62 {
		return fmt.Errorf("%w: media time %d", ErrFormat, prft.MediaTime)
	}
	r.start, r.at = fromNTP(prft.NTPTimestamp), int64(prft.MediaTime)
	return nil
}

// takeSamples makes frames of the samples that the moof before describes.
func (r *reader) takeSamples(box []byte) ([]capture.Frame, error) {
	if r.head == nil || r.moof == nil {
		return nil, fmt.Errorf("%w: samples without a description", ErrFormat)
	}
	traf := r.moof.Traf
	if len(r.moof.Trafs) != 1 || traf.Tfhd == nil || traf.Tfdt == nil || len(traf.Truns) != 1 {
		return nil, fmt.Errorf("%w: fragment is not one run of one track", ErrFormat)
	}
	trun := traf.Trun
	if !trun.HasDataOffset() || !trun.HasSampleDuration() || !trun.HasSampleSize() || !trun.HasSampleFlags() {
		return nil, fmt.Errorf("%w: incomplete sample table", ErrFormat)
	}
	if traf.Tfdt.BaseMediaDecodeTime() > 1<<62 {
		return nil, fmt.Errorf("%w: decode time %d", ErrFormat, traf.Tfdt.BaseMediaDecodeTime())
	}
	r.moof, r.begun = nil, false
	// The samples must lie in this mdat, behind its header of 8 bytes.
	offset := int64(r.moofPos) + int64(trun.DataOffset) - int64(r.pos)
	if offset < 8 || offset > int64(len(box)) {
		return nil, fmt.Errorf("%w: samples outside their box", ErrFormat)
	}
	rest := box[offset:]
	at := int64(traf.Tfdt.BaseMediaDecodeTime())
	frames := make([]capture.Frame, 0, len(trun.Samples))
	for _, s := range trun.Samples {
		if uint64(s.Size) > uint64(len(rest)) {
			return frames, fmt.Errorf("%w: samples outside their box", ErrFormat)
		}
		if s.Size > MaxPartBytes {
			return frames, fmt.Errorf("%w: sample of %d bytes, at most %d", ErrFormat, s.Size, MaxPartBytes)
		}
		f, err := r.frame(rest[:s.Size:s.Size], at+int64(s.CompositionTimeOffset), s.IsSync())
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
		rest, at = rest[s.Size:], at+int64(s.Dur)
	}
	return frames, nil
}

// frame makes a frame of a sample that is shown at a media time in ticks.
func (r *reader) frame(sample []byte, show int64, key bool) (capture.Frame, error) {
	f := capture.Frame{
		Seq: r.seq, Time: r.start.Add(duration(show - r.at)), Format: r.head.format,
		Width: r.head.width, Height: r.head.height, Key: key, Data: sample,
	}
	r.seq++
	if f.Format != capture.FormatH264 {
		return f, nil
	}
	stream, err := toAnnexB(sample, r.head.sets, key)
	f.Data = stream
	return f, err
}

// toAnnexB turns a sample of units with lengths into a byte stream, for a key
// frame with the parameter sets in front.
func toAnnexB(sample []byte, sets parameterSets, key bool) ([]byte, error) {
	stream := make([]byte, 0, len(sample)+64)
	add := func(unit []byte) { stream = append(append(stream, 0, 0, 0, 1), unit...) }
	if key {
		for _, unit := range sets.sps {
			add(unit)
		}
		for _, unit := range sets.pps {
			add(unit)
		}
	}
	for len(sample) > 0 {
		if len(sample) < 4 {
			return nil, fmt.Errorf("%w: H.264 sample ends within a length", ErrFormat)
		}
		size := uint64(binary.BigEndian.Uint32(sample))
		if size > uint64(len(sample)-4) {
			return nil, fmt.Errorf("%w: H.264 unit of %d bytes in a sample of %d", ErrFormat, size, len(sample))
		}
		add(sample[4 : 4+size])
		sample = sample[4+size:]
	}
	return stream, nil
}
