package scene

import (
	"errors"
	"fmt"
	"io"

	"github.com/Eyevinn/mp4ff/mp4"
)

// readSamples reads where the track's samples are: a table in the moov box, or
// fragments further on in the file.
func (tr *track) readSamples(moov, trak []byte) error {
	for kind, trex := range children(child(moov, "mvex")) {
		if kind != "trex" {
			continue
		}
		defaults, err := decodeBox[*mp4.TrexBox](trex)
		if err != nil {
			return fmt.Errorf("read fragment defaults: %w", err)
		}
		if defaults.TrackID == tr.id {
			tr.fragmented, tr.defaults = true, defaults
			return nil
		}
	}
	table, err := readTable(child(trak, "mdia", "minf", "stbl"))
	if err != nil {
		return fmt.Errorf("read sample table: %w", err)
	}
	tr.table = table
	var length, count uint64
	for i, n := range table.times.SampleCount {
		length += uint64(n) * uint64(table.times.SampleTimeDelta[i])
		count += uint64(n)
	}
	if length > 0 {
		tr.fps = float64(count) * float64(tr.timescale) / float64(length)
	}
	return nil
}

// sampleTable walks the tables of a progressive file (ISO/IEC 14496-12, 8.6 and
// 8.7) from the first sample to the last.
type sampleTable struct {
	times   *mp4.SttsBox
	offsets *mp4.CttsBox // of composition; nil where there are none
	runs    *mp4.StscBox
	sizes   *mp4.StszBox
	chunks  []uint64

	sample uint32 // the next sample, from 0

	chunk  int    // the next chunk, from 0
	run    int    // its entry in runs
	inside uint32 // samples left in the present chunk
	place  int64  // of the next sample

	time     int // the entry in times
	timeUsed uint32
	decode   int64
	offset   int // the entry in offsets
}

func readTable(stbl []byte) (*sampleTable, error) {
	var s sampleTable
	var err error
	if s.times, err = decodeBox[*mp4.SttsBox](child(stbl, "stts")); err != nil {
		return nil, err
	}
	if s.runs, err = decodeBox[*mp4.StscBox](child(stbl, "stsc")); err != nil {
		return nil, err
	}
	if s.sizes, err = decodeBox[*mp4.StszBox](child(stbl, "stsz")); err != nil {
		return nil, err
	}
	if box := child(stbl, "ctts"); box != nil {
		if s.offsets, err = decodeBox[*mp4.CttsBox](box); err != nil {
			return nil, err
		}
	}
	if box := child(stbl, "co64"); box != nil {
		long, err := decodeBox[*mp4.Co64Box](box)
		if err != nil {
			return nil, err
		}
		s.chunks = long.ChunkOffset
		return &s, nil
	}
	short, err := decodeBox[*mp4.StcoBox](child(stbl, "stco"))
	if err != nil {
		return nil, err
	}
	s.chunks = make([]uint64, len(short.ChunkOffset))
	for i, at := range short.ChunkOffset {
		s.chunks[i] = uint64(at)
	}
	return &s, nil
}

func (s *sampleTable) next() (entry, error) {
	if s.sample >= s.sizes.SampleNumber {
		return entry{}, io.EOF
	}
	for s.inside == 0 {
		if s.chunk >= len(s.chunks) || len(s.runs.Entries) == 0 {
			return entry{}, io.EOF
		}
		for s.run+1 < len(s.runs.Entries) && uint32(s.chunk+1) >= s.runs.Entries[s.run+1].FirstChunk {
			s.run++
		}
		s.inside = s.runs.Entries[s.run].SamplesPerChunk
		s.place = int64(min(s.chunks[s.chunk], 1<<62))
		s.chunk++
	}
	e := entry{offset: s.place, size: s.sizes.SampleUniformSize, decode: s.decode}
	if e.size == 0 {
		e.size = s.sizes.SampleSize[s.sample]
	}
	for s.time < len(s.times.SampleCount) && s.timeUsed >= s.times.SampleCount[s.time] {
		s.time, s.timeUsed = s.time+1, 0
	}
	if s.time < len(s.times.SampleCount) {
		e.duration = s.times.SampleTimeDelta[s.time]
		s.timeUsed++
	}
	e.shown = e.decode + int64(s.composition())
	s.inside--
	s.sample++
	s.place += int64(e.size)
	s.decode += int64(e.duration)
	return e, nil
}

// composition returns how much later than it is decoded the sample is shown.
func (s *sampleTable) composition() int32 {
	if s.offsets == nil {
		return 0
	}
	for s.offset < len(s.offsets.SampleOffset) && s.sample >= s.offsets.EndSampleNr[s.offset+1] {
		s.offset++
	}
	if s.offset == len(s.offsets.SampleOffset) {
		return 0
	}
	return s.offsets.SampleOffset[s.offset]
}

// fragments walks the moof boxes of a fragmented file, one at a time.
type fragments struct {
	tape   *mp4Tape
	queue  []entry
	decode int64
}

func (f *fragments) next() (entry, error) {
	for len(f.queue) == 0 {
		moof, at, err := f.tape.find("moof", maxMoofBytes)
		if err != nil {
			return entry{}, err
		}
		for kind, traf := range children(moof) {
			if kind == "traf" {
				if err := f.read(traf, at); err != nil {
					return entry{}, fmt.Errorf("read fragment at %d: %w", at, err)
				}
			}
		}
	}
	e := f.queue[0]
	f.queue = f.queue[1:]
	return e, nil
}

// read queues the samples that a fragment has of the track.
func (f *fragments) read(traf []byte, moofAt int64) error {
	header, err := decodeBox[*mp4.TfhdBox](child(traf, "tfhd"))
	if err != nil {
		return err
	}
	tr := f.tape.track
	if header.TrackID != tr.id {
		return nil
	}
	if box := child(traf, "tfdt"); box != nil {
		begin, err := decodeBox[*mp4.TfdtBox](box)
		if err != nil {
			return err
		}
		f.decode = int64(min(begin.BaseMediaDecodeTime(), 1<<62))
	}
	base := moofAt
	if header.HasBaseDataOffset() {
		base = int64(min(header.BaseDataOffset, 1<<62))
	}
	place := base
	for kind, box := range children(traf) {
		if kind != "trun" {
			continue
		}
		run, err := decodeBox[*mp4.TrunBox](box)
		if err != nil {
			return err
		}
		if run.HasDataOffset() {
			place = base + int64(run.DataOffset)
		}
		run.AddSampleDefaultValues(header, tr.defaults)
		for _, s := range run.Samples {
			if f.decode < 0 {
				return errors.New("its timestamps are out of bounds")
			}
			f.queue = append(f.queue, entry{
				offset: place, size: s.Size, decode: f.decode,
				shown: f.decode + int64(s.CompositionTimeOffset), duration: s.Dur,
			})
			place += int64(s.Size)
			f.decode += int64(s.Dur)
		}
	}
	return nil
}
