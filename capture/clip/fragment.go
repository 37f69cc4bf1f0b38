package clip

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/Eyevinn/mp4ff/avc"
	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/lensward/lensward/capture"
)

const (
	// timescale is the ticks of media time in a second.
	timescale = 90_000
	// shortest is the shortest time on the clock that is a tick for certain.
	shortest = 12 * time.Microsecond

	// trackID is the only track's.
	trackID = 1
	// objectTypeJPEG is "Visual ISO/IEC 10918-1" of ISO/IEC 14496-1, table 5.
	objectTypeJPEG = 0x6c
	// prftCaptured marks a time stamp as that of capture (ISO/IEC 14496-12, 8.16.5).
	prftCaptured = mp4.PrftTimeCaptured

	// fragmentOverhead is at least what a fragment takes beside its samples (prft,
	// moof, the header of mdat), sampleOverhead what each sample adds to moof.
	fragmentOverhead = 160
	sampleOverhead   = 16
)

// sample is a frame as it lies in a part.
type sample struct {
	taken time.Time     // wall-clock time, without the monotonic reading
	at    time.Duration // place on the clip's clock
	key   bool
	data  [][]byte // to be joined
	size  int      // of the joined data
}

func ticks(at time.Duration) int64 { return int64(at) * (timescale / 10_000) / 100_000 }
func duration(ticks int64) time.Duration {
	return time.Duration(ticks) * 100_000 / (timescale / 10_000)
}

// head is what a clip's first boxes say of all its samples.
type head struct {
	format        capture.Format
	width, height int
	sets          parameterSets // H.264
	chroma        byte          // H.264: chroma_format_idc,
	depth         [2]byte       // and bit depth of luma and chroma, less 8
}

func newH264Head(sets parameterSets) (*head, error) {
	if err := sets.check(); err != nil {
		return nil, err
	}
	sps, err := avc.ParseSPSNALUnit(sets.sps[0], false)
	if err != nil {
		return nil, fmt.Errorf("%w: H.264 SPS: %w", ErrBadFrame, err)
	}
	if sps.Width < 1 || sps.Height < 1 || sps.Width > MaxSide || sps.Height > MaxSide {
		return nil, fmt.Errorf("%w: H.264 picture of %dx%d, at most %dx%d", ErrBadFrame, sps.Width, sps.Height, MaxSide, MaxSide)
	}
	return &head{
		format: capture.FormatH264, width: int(sps.Width), height: int(sps.Height), sets: sets.clone(),
		chroma: sps.ChromaFormatIDC & 3, depth: [2]byte{byte(sps.BitDepthLumaMinus8) & 7, byte(sps.BitDepthChromaMinus8) & 7},
	}, nil
}

// mediaType names the clip's type and codec (RFC 6381).
func (h *head) mediaType() string {
	if h.format == capture.FormatH264 {
		sps := h.sets.sps[0]
		return fmt.Sprintf(`video/mp4; codecs="avc1.%02x%02x%02x"`, sps[1], sps[2], sps[3])
	}
	return fmt.Sprintf(`video/mp4; codecs="mp4v.%02x"`, objectTypeJPEG)
}

// encode returns the boxes ftyp and moov.
func (h *head) encode(start time.Time) ([]byte, error) {
	init := mp4.NewMP4Init()
	init.AddChild(mp4.NewFtyp("iso6", 0, []string{"iso6", "mp42"}))
	moov := mp4.NewMoovBox()
	init.AddChild(moov)
	moov.AddChild(mp4.CreateMvhd())
	moov.AddChild(mp4.NewMvexBox())
	track := init.AddEmptyTrack(timescale, "video", "und")
	track.Tkhd.Width = mp4.Fixed32(h.width << 16)
	track.Tkhd.Height = mp4.Fixed32(h.height << 16)
	setCreationTime(moov, start)
	entry, err := h.sampleEntry()
	if err != nil {
		return nil, err
	}
	track.Mdia.Minf.Stbl.Stsd.AddChild(entry)
	var buf bytes.Buffer
	if err := init.Encode(&buf); err != nil {
		return nil, fmt.Errorf("encode head of clip: %w", err)
	}
	return buf.Bytes(), nil
}

// setCreationTime states when the clip begins, in whole seconds, where the box can.
func setCreationTime(moov *mp4.MoovBox, start time.Time) {
	seconds := start.Unix()
	if created := seconds + mp4.EpochDiffS; seconds < 0 || created > 1<<32-1 {
		return
	}
	moov.Mvhd.SetCreationTimeS(seconds)
	moov.Mvhd.SetModificationTimeS(seconds)
	moov.Trak.Tkhd.SetCreationTimeS(seconds)
	moov.Trak.Tkhd.SetModificationTimeS(seconds)
	moov.Trak.Mdia.Mdhd.SetCreationTimeS(seconds)
	moov.Trak.Mdia.Mdhd.SetModificationTimeS(seconds)
}

func (h *head) sampleEntry() (*mp4.VisualSampleEntryBox, error) {
	name, config := "mp4v", mp4.Box(jpegConfig())
	if h.format == capture.FormatH264 {
		avcC, err := mp4.CreateAvcC(h.sets.sps, h.sets.pps, true)
		if err != nil {
			return nil, fmt.Errorf("%w: H.264 parameter sets: %w", ErrBadFrame, err)
		}
		avcC.ChromaFormat, avcC.BitDepthLumaMinus1, avcC.BitDepthChromaMinus1 = h.chroma, h.depth[0], h.depth[1]
		name, config = "avc1", avcC
	}
	entry := mp4.CreateVisualSampleEntryBox(name, uint16(h.width), uint16(h.height), config)
	entry.CompressorName = ""
	return entry, nil
}

// jpegConfig makes the elementary stream descriptor by which an "mp4v" track is
// JPEG.
func jpegConfig() *mp4.EsdsBox {
	esds := mp4.CreateEsdsBox(nil)
	esds.EsID = trackID
	esds.DecConfigDescriptor = &mp4.DecoderConfigDescriptor{
		ObjectType: objectTypeJPEG,
		StreamType: mp4.StreamTypeVisual<<2 | 1,
	}
	return esds
}

// layout is when the samples of a part are decoded and shown, in ticks.
type layout struct {
	decode []int64 // one for each sample, rising
	show   []int64
	end    int64 // when the next part's first sample is decoded
}

// layOut places the samples of a part that begins at a given media time. Decode
// times are the times of showing in rising order, so that they are the same
// where pictures are shown as they come. The last sample lasts until next; where
// no next comes (0), as long as the one before it, or as the fallback.
func layOut(samples []sample, begin, next, fallback int64) layout {
	l := layout{show: make([]int64, len(samples))}
	for i, s := range samples {
		l.show[i] = ticks(s.at)
	}
	l.decode = slices.Clone(l.show)
	slices.Sort(l.decode)
	l.decode[0] = begin
	for i := 1; i < len(l.decode); i++ {
		l.decode[i] = max(l.decode[i], l.decode[i-1]+1)
	}
	last := len(l.decode) - 1
	if next == 0 {
		interval := ticks(defaultInterval)
		switch {
		case last > 0:
			interval = min(l.decode[last]-l.decode[last-1], timescale)
		case fallback > 0:
			interval = min(fallback, timescale)
		}
		next = l.decode[last] + interval
	}
	l.end = max(next, l.decode[last]+1)
	return l
}

// encodeFragment returns a part: the head, if it is not nil, and one fragment.
func encodeFragment(head []byte, number uint32, samples []sample, times layout) ([]byte, error) {
	fragment, err := mp4.CreateFragment(number, trackID)
	if err != nil {
		return nil, fmt.Errorf("make fragment: %w", err)
	}
	fragment.Moof.Traf.Tfdt.SetBaseMediaDecodeTime(uint64(times.decode[0]))
	trun := fragment.Moof.Traf.Trun
	decode := append(times.decode, times.end)
	for i, s := range samples {
		flags := mp4.SetNonSyncSampleFlags(0)
		if s.key {
			flags = mp4.SetSyncSampleFlags(0)
		}
		trun.AddSample(mp4.NewSample(flags, uint32(decode[i+1]-decode[i]), uint32(s.size), int32(times.show[i]-decode[i])))
		for _, piece := range s.data {
			fragment.Mdat.AddSampleDataPart(piece)
		}
	}
	reference := mp4.CreatePrftBox(1, prftCaptured, trackID, toNTP(samples[0].taken), uint64(times.show[0]))
	size := uint64(len(head)) + reference.Size() + fragment.Size()
	buf := bytes.NewBuffer(make([]byte, 0, size))
	buf.Write(head)
	if err := reference.Encode(buf); err != nil {
		return nil, fmt.Errorf("encode time reference: %w", err)
	}
	if err := fragment.Encode(buf); err != nil {
		return nil, fmt.Errorf("encode fragment: %w", err)
	}
	return buf.Bytes(), nil
}

// toNTP and fromNTP convert to and from the 64-bit time stamps of RFC 5905: seconds
// since 1900 in the upper half, which start again from 0 in 2036, and their
// fraction in the lower. Those in the upper half of an era are taken for 1968 to
// 2036, those in the lower for 2036 to 2104.
func toNTP(t time.Time) mp4.NTP64 {
	seconds := uint32(t.Unix() + mp4.NTPEpochOffset)
	fraction := (uint64(t.Nanosecond())<<32 + 999_999_999) / 1_000_000_000
	return mp4.NTP64(uint64(seconds)<<32 | min(fraction, 1<<32-1))
}

func fromNTP(n mp4.NTP64) time.Time {
	seconds := int64(uint64(n) >> 32)
	if seconds < 1<<31 {
		seconds += 1 << 32
	}
	nanoseconds := int64((uint64(n) & (1<<32 - 1)) * 1_000_000_000 >> 32)
	return time.Unix(seconds-mp4.NTPEpochOffset, nanoseconds).UTC()
}
