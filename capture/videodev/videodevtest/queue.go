//go:build linux

package videodevtest

import (
	"time"

	"github.com/lensward/lensward/capture/videodev"
)

// buffer is one of a queue's.
type buffer struct {
	index  int
	base   uint32
	memory [][]byte // by planes
	mapped int

	queued, done bool
	used         []int
	start        []int // data_offset of each plane
	flags        videodev.BufferFlags
	sequence     uint32
	stamp        time.Duration
	lies         bool // index and lengths are out of bounds
}

// offset is where a plane is mapped from.
func (b *buffer) offset(plane int) uint32 { return b.base + uint32(b.index*8+plane)<<12 }

// queue is one side of a node.
type queue struct {
	kind    videodev.BufferType
	format  videodev.Format
	buffers []*buffer
	queued  []*buffer // with the driver
	done    []*buffer // filled, or used up
	on      bool
	failed  bool // the driver has given it up
	ended   bool // its last buffer was taken
}

func (q *queue) output() bool {
	return q.kind == videodev.Output || q.kind == videodev.OutputMultiplanar
}

// allocate makes buffers for the format.
func (q *queue) allocate(count int) {
	q.buffers = nil
	base := uint32(0)
	if !q.output() {
		base = 1 << 30
	}
	for i := range count {
		b := &buffer{index: i, base: base}
		for _, p := range q.format.Planes {
			b.memory = append(b.memory, make([]byte, p.Size))
		}
		b.used, b.start = make([]int, len(b.memory)), make([]int, len(b.memory))
		q.buffers = append(q.buffers, b)
	}
}

// reset gives all buffers back, as STREAMOFF does.
func (q *queue) reset() {
	q.on, q.failed, q.ended = false, false, false
	q.queued, q.done = nil, nil
	for _, b := range q.buffers {
		b.queued, b.done = false, false
	}
}

// next takes the oldest buffer that the program queued; nil if there is none.
func (q *queue) next() *buffer {
	if len(q.queued) == 0 {
		return nil
	}
	b := q.queued[0]
	q.queued = q.queued[1:]
	return b
}

// finish hands a buffer back to the program.
func (q *queue) finish(b *buffer) {
	b.done = true
	q.done = append(q.done, b)
}

// fill copies a picture into a buffer. Bytes beyond it are as they were, and the
// rest of the picture is cut off.
func (b *buffer) fill(planes [][]byte) {
	for i, memory := range b.memory {
		b.used[i], b.start[i] = 0, 0
		if i < len(planes) {
			b.used[i] = copy(memory, planes[i])
		}
	}
}
