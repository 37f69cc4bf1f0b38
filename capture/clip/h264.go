package clip

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/Eyevinn/mp4ff/avc"

	"github.com/lensward/lensward/capture/internal/annexb"
)

// Limits of an H.264 stream's parameter sets, far above what cameras send.
const (
	maxParameterSets     = 16
	maxParameterSetBytes = 1024
)

// parameterSets are the SPS and PPS units that a clip's head carries, so that its
// samples need not.
type parameterSets struct {
	sps, pps [][]byte
}

// accessUnit is an H.264 picture, taken apart.
type accessUnit struct {
	sets   parameterSets
	sample [][]byte // lengths and units by turns, to be joined
	size   int      // of the joined sample
	idr    bool
}

// splitAccessUnit takes an Annex B access unit apart. The sample is what ISO/IEC
// 14496-15 wants for "avc1": units with four-byte lengths, without parameter sets,
// delimiters and filler. It refers to the stream's bytes.
func splitAccessUnit(stream []byte) (accessUnit, error) {
	var au accessUnit
	var picture bool
	for unit := range annexb.Units(stream) {
		switch avc.GetNaluType(unit[0]) {
		case avc.NALU_SPS:
			au.sets.sps = append(au.sets.sps, unit)
			continue
		case avc.NALU_PPS:
			au.sets.pps = append(au.sets.pps, unit)
			continue
		case avc.NALU_AUD, avc.NALU_EO_SEQ, avc.NALU_EO_STREAM, avc.NALU_FILL:
			continue
		case avc.NALU_IDR:
			au.idr, picture = true, true
		case avc.NALU_NON_IDR, 2: // 2 is a slice's data partition A
			picture = true
		}
		au.sample = append(au.sample, binary.BigEndian.AppendUint32(nil, uint32(len(unit))), unit)
		au.size += 4 + len(unit)
	}
	if !picture {
		return accessUnit{}, fmt.Errorf("%w: no H.264 slice in %d bytes", ErrBadFrame, len(stream))
	}
	return au, nil
}

// check returns an error for sets that no clip can be made with.
func (p parameterSets) check() error {
	if len(p.sps) == 0 || len(p.pps) == 0 {
		return fmt.Errorf("%w: H.264 key frame without its SPS and PPS", ErrBadFrame)
	}
	if len(p.sps) > maxParameterSets || len(p.pps) > maxParameterSets {
		return fmt.Errorf("%w: %d SPS and %d PPS, at most %d of each", ErrBadFrame, len(p.sps), len(p.pps), maxParameterSets)
	}
	for _, unit := range slices.Concat(p.sps, p.pps) {
		if len(unit) < 4 && avc.GetNaluType(unit[0]) == avc.NALU_SPS || len(unit) > maxParameterSetBytes {
			return fmt.Errorf("%w: H.264 parameter set of %d bytes", ErrBadFrame, len(unit))
		}
	}
	return nil
}

// contains reports whether each of the other sets is one of these.
func (p parameterSets) contains(other parameterSets) bool {
	return containsAll(p.sps, other.sps) && containsAll(p.pps, other.pps)
}

func containsAll(known, units [][]byte) bool {
	for _, unit := range units {
		if !slices.ContainsFunc(known, func(k []byte) bool { return bytes.Equal(k, unit) }) {
			return false
		}
	}
	return true
}

// clone copies the sets, so that they do not keep a whole frame in memory, and
// leaves out repeated ones.
func (p parameterSets) clone() parameterSets {
	return parameterSets{sps: cloneUnits(p.sps), pps: cloneUnits(p.pps)}
}

func cloneUnits(units [][]byte) [][]byte {
	var out [][]byte
	for _, unit := range units {
		if !containsAll(out, [][]byte{unit}) {
			out = append(out, bytes.Clone(unit))
		}
	}
	return out
}
