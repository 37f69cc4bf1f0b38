package agent

import (
	"os"
	"runtime"
	"runtime/metrics"
)

// Process is what the program takes, so that something that grows over months
// shows.
type Process struct {
	Goroutines int `json:"goroutines"`
	// Files counts open file descriptors; -1 where that cannot be told.
	Files int `json:"files"`
	// Heap is the memory of Go's objects in bytes, Memory all that the runtime has from
	// the system; neither counts the camera's buffers.
	Heap   uint64 `json:"heap_bytes"`
	Memory uint64 `json:"memory_bytes"`
	// Allocated counts objects since the start.
	Allocated uint64 `json:"allocated_objects"`
}

func process() Process {
	p := Process{Goroutines: runtime.NumGoroutine(), Files: -1}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		p.Files = len(fds) - 1 // one is of the reading itself
	}
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/gc/heap/allocs:objects"},
	}
	metrics.Read(samples)
	p.Heap = samples[0].Value.Uint64()
	p.Memory = samples[1].Value.Uint64() - samples[2].Value.Uint64()
	p.Allocated = samples[3].Value.Uint64()
	return p
}
