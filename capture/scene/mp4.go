package scene

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/bits"
	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/lensward/lensward/capture"
)

// Limits of an MP4 file's structure (ISO/IEC 14496-12).
const (
	maxMoovBytes = 32 << 20
	maxMoofBytes = 4 << 20
	maxStsdBytes = 64 << 10
	maxTopBoxes  = 1 << 20 // passed over in search of the next that counts
	maxLength    = 366 * 24 * time.Hour
)

// mp4Tape is the first video track of an MP4 file.
type mp4Tape struct {
	file  io.ReaderAt
	close func() error
	size  int64
	pos   int64 // of the next box at the top of the file

	track   track
	entries entrySource // where the sample entries come from
	began   bool
	first   entry // the first sample: its times are the tape's beginning
	end     time.Duration
}

// entry is one sample's place in the file and in time (in units of the track's
// timescale).
type entry struct {
	offset   int64
	size     uint32
	decode   int64
	shown    int64
	duration uint32
}

// entrySource gives a track's samples in order of decoding, io.EOF at the end.
type entrySource interface {
	next() (entry, error)
}

// track is what the moov box says of the video.
type track struct {
	id        uint32
	timescale uint32
	format    capture.Format
	fps       float64

	width, height int
	parameters    [][]byte // H.264: SPS and PPS, without start codes
	prefix        []byte   // Motion JPEG: what comes before each sample's bytes

	fragmented bool
	defaults   *mp4.TrexBox
	table      *sampleTable
}

func newMP4Tape(file *os.File) (*mp4Tape, error) {
	stat, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the size of an MP4: %w", err)
	}
	t, err := readMP4(file, stat.Size())
	if err != nil {
		return nil, err
	}
	t.close = file.Close
	return t, nil
}

// readMP4 reads an MP4's description of its video.
func readMP4(file io.ReaderAt, size int64) (*mp4Tape, error) {
	t := &mp4Tape{file: file, size: size, close: func() error { return nil }}
	moov, _, err := t.find("moov", maxMoovBytes)
	if errors.Is(err, io.EOF) {
		return nil, errors.New("not an MP4: it has no moov box")
	}
	if err != nil {
		return nil, err
	}
	if t.track, err = readTrack(moov); err != nil {
		return nil, err
	}
	if t.track.fragmented {
		t.entries = &fragments{tape: t}
	} else {
		t.entries = t.track.table
	}
	return t, nil
}

// find returns the next box of a name at the top of the file, header included,
// and its offset. It is io.EOF when there is none, or when the file ends inside
// it, as a recording does that a power cut ended.
func (t *mp4Tape) find(name string, limit int64) ([]byte, int64, error) {
	for range maxTopBoxes {
		var header [16]byte
		if n, err := t.file.ReadAt(header[:min(16, max(0, t.size-t.pos))], t.pos); n < 8 {
			if err == nil || errors.Is(err, io.EOF) {
				return nil, 0, io.EOF
			}
			return nil, 0, fmt.Errorf("read MP4 box header: %w", err)
		}
		length, least := int64(binary.BigEndian.Uint32(header[:])), int64(8)
		switch length {
		case 0:
			length = t.size - t.pos
		case 1:
			length, least = int64(min(binary.BigEndian.Uint64(header[8:]), math.MaxInt64)), 16
		}
		at, kind := t.pos, string(header[4:8])
		if length < least {
			return nil, 0, fmt.Errorf("MP4 box %q at %d has length %d", kind, at, length)
		}
		if length > t.size-at {
			t.pos = t.size
			return nil, 0, io.EOF
		}
		t.pos = at + length
		if kind != name {
			continue
		}
		if length > limit {
			return nil, 0, fmt.Errorf("MP4 box %q has %d bytes, more than %d", kind, length, limit)
		}
		box := make([]byte, length)
		if _, err := t.file.ReadAt(box, at); err != nil {
			return nil, 0, fmt.Errorf("read MP4 box %q: %w", kind, err)
		}
		return box[least-8:], at, nil
	}
	return nil, 0, fmt.Errorf("MP4 has more than %d boxes and no %q among them", maxTopBoxes, name)
}

// child returns the first box of a name inside a container box, or nil. Several
// names lead downwards.
func child(box []byte, names ...string) []byte {
	for _, name := range names {
		var found []byte
		for kind, b := range children(box) {
			if kind == name {
				found = b
				break
			}
		}
		if found == nil {
			return nil
		}
		box = found
	}
	return box
}

// children walks the boxes inside a container box, headers included. A damaged
// box ends the walk.
func children(box []byte) func(yield func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for rest := box[min(8, len(box)):]; len(rest) >= 8; {
			length := binary.BigEndian.Uint32(rest)
			if length < 8 || uint64(length) > uint64(len(rest)) {
				return
			}
			if !yield(string(rest[4:8]), rest[:length:length]) {
				return
			}
			rest = rest[length:]
		}
	}
}

// decodeBox decodes a box that holds no further containers: mp4ff descends
// without a limit of depth, and a file may nest as deep as it is long.
func decodeBox[T mp4.Box](box []byte) (T, error) {
	var none T
	if box == nil {
		return none, errors.New("a box is missing")
	}
	b, err := mp4.DecodeBoxSR(0, bits.NewFixedSliceReader(box))
	if err != nil {
		return none, fmt.Errorf("decode MP4 box: %w", err)
	}
	decoded, ok := b.(T)
	if !ok {
		return none, fmt.Errorf("MP4 box %q is not what it should be", b.Type())
	}
	return decoded, nil
}

// readTrack reads the first video track.
func readTrack(moov []byte) (track, error) {
	var codec string
	for kind, trak := range children(moov) {
		if kind != "trak" {
			continue
		}
		handler, err := decodeBox[*mp4.HdlrBox](child(trak, "mdia", "hdlr"))
		if err != nil || handler.HandlerType != "vide" {
			continue
		}
		tr, name, err := readVideo(trak)
		if err != nil {
			return track{}, err
		}
		if name != "" {
			codec = name
			continue
		}
		return tr, tr.readSamples(moov, trak)
	}
	if codec != "" {
		return track{}, fmt.Errorf("its video is %q: H.264 and Motion JPEG can be played", codec)
	}
	return track{}, errors.New("it has no video track")
}

// readVideo reads a video track's headers. A codec that cannot be played is
// named.
func readVideo(trak []byte) (tr track, codec string, err error) {
	header, err := decodeBox[*mp4.TkhdBox](child(trak, "tkhd"))
	if err != nil {
		return tr, "", fmt.Errorf("read track header: %w", err)
	}
	media, err := decodeBox[*mp4.MdhdBox](child(trak, "mdia", "mdhd"))
	if err != nil {
		return tr, "", fmt.Errorf("read media header: %w", err)
	}
	if media.Timescale == 0 {
		return tr, "", errors.New("its timescale is 0")
	}
	stsd := child(trak, "mdia", "minf", "stbl", "stsd")
	if len(stsd) > maxStsdBytes {
		return tr, "", fmt.Errorf("its sample description has %d bytes, more than %d", len(stsd), maxStsdBytes)
	}
	description, err := decodeBox[*mp4.StsdBox](stsd)
	if err != nil {
		return tr, "", fmt.Errorf("read sample description: %w", err)
	}
	if len(description.Children) != 1 {
		return tr, "", fmt.Errorf("it has %d sample descriptions, not 1", len(description.Children))
	}
	tr.id, tr.timescale = header.TrackID, media.Timescale
	switch d := description; {
	case d.AvcX != nil && d.AvcX.AvcC != nil:
		err = tr.setH264(d.AvcX)
	case d.Mjpg != nil:
		err = tr.setMJPEG(d.Mjpg)
	case d.Jpeg != nil:
		err = tr.setMJPEG(d.Jpeg)
	case d.Mp4v != nil && isJPEG(d.Mp4v.Esds):
		err = tr.setMJPEG(d.Mp4v)
	default:
		return tr, d.Children[0].Type(), nil
	}
	return tr, "", err
}

// isJPEG reads the object type that MPEG-4 systems gives to JPEG (ISO/IEC
// 14496-1, table 5).
func isJPEG(esds *mp4.EsdsBox) bool {
	const objectTypeJPEG = 0x6c
	return esds != nil && esds.DecConfigDescriptor != nil && esds.DecConfigDescriptor.ObjectType == objectTypeJPEG
}

func (tr *track) setMJPEG(e *mp4.VisualSampleEntryBox) error {
	tr.format = capture.FormatMJPEG
	if e.JpgC != nil {
		tr.prefix = e.JpgC.JpegPrefix
	}
	return nil
}

func (tr *track) setH264(e *mp4.VisualSampleEntryBox) error {
	tr.format = capture.FormatH264
	tr.width, tr.height = int(e.Width), int(e.Height)
	for _, sps := range e.AvcC.SPSnalus {
		parsed, err := avc.ParseSPSNALUnit(sps, false)
		if err != nil {
			return fmt.Errorf("read its H.264 parameters: %w", err)
		}
		tr.width, tr.height = int(parsed.Width), int(parsed.Height)
	}
	if tr.width < 2 || tr.height < 2 || tr.width > maxPictureSide || tr.height > maxPictureSide {
		return fmt.Errorf("its size %d×%d is out of bounds", tr.width, tr.height)
	}
	tr.parameters = append(append(tr.parameters, e.AvcC.SPSnalus...), e.AvcC.PPSnalus...)
	return nil
}

// next reads the next sample.
func (t *mp4Tape) next() (sample, error) {
	e, err := t.entries.next()
	if err != nil {
		return sample{}, err
	}
	if !t.began {
		t.began, t.first = true, e
	}
	s := sample{width: t.track.width, height: t.track.height}
	if s.at, err = t.track.time(e.shown - t.first.shown); err != nil {
		return sample{}, err
	}
	if s.due, err = t.track.time(e.decode - t.first.decode); err != nil {
		return sample{}, err
	}
	if t.end, err = t.track.time(e.decode - t.first.decode + int64(e.duration)); err != nil {
		return sample{}, err
	}
	if e.size > maxPictureBytes {
		return sample{}, broken("it has %d bytes, more than %d", e.size, maxPictureBytes)
	}
	if e.offset < 0 || e.offset > t.size-int64(e.size) {
		return sample{}, broken("the file ends inside it")
	}
	data := make([]byte, len(t.track.prefix)+int(e.size))
	copy(data, t.track.prefix)
	if _, err := t.file.ReadAt(data[len(t.track.prefix):], e.offset); err != nil {
		return sample{}, fmt.Errorf("read picture at %d: %w", e.offset, err)
	}
	if t.track.format == capture.FormatH264 {
		s.data, s.key, err = annexB(data, t.track.parameters)
		return s, err
	}
	p, err := (&splitter{in: emptyReader(), again: data}).next()
	if errors.Is(err, io.EOF) {
		err = broken("it is not a JPEG")
	}
	s.data, s.key, s.width, s.height = p.data, true, p.width, p.height
	return s, err
}

// time converts from the track's timescale.
func (tr *track) time(units int64) (time.Duration, error) {
	scale := int64(tr.timescale)
	seconds, rest := units/scale, units%scale
	if seconds > int64(maxLength/time.Second) || seconds < -int64(maxLength/time.Second) {
		return 0, fmt.Errorf("a timestamp is %d s after the first one", seconds)
	}
	return time.Duration(seconds)*time.Second + time.Duration(rest*int64(time.Second)/scale), nil
}

func (t *mp4Tape) length() time.Duration { return t.end }

func (t *mp4Tape) info() FileInfo {
	info := FileInfo{Format: t.track.format, FPS: t.track.fps}
	if info.FPS == 0 && t.first.duration > 0 {
		info.FPS = float64(t.track.timescale) / float64(t.first.duration)
	}
	return info
}

func (t *mp4Tape) Close() error { return t.close() }
