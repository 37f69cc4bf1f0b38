package agent

import (
	"os"
	"sync"
	"testing"
)

// TestProcessSeesWhatGrows opens a file, starts a goroutine and keeps memory.
func TestProcessSeesWhatGrows(t *testing.T) {
	before := process()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var more sync.WaitGroup
	for range 16 { // more than what other tests have left to end just now
		more.Go(func() { <-stop })
	}
	kept := make([]byte, 64<<20)
	after := process()
	if after.Files != before.Files+1 {
		t.Errorf("%d files after %d and one more", after.Files, before.Files)
	}
	if after.Goroutines <= before.Goroutines {
		t.Errorf("%d goroutines after %d and 16 more", after.Goroutines, before.Goroutines)
	}
	if grown := after.Heap - before.Heap; after.Heap < before.Heap || grown < 60<<20 {
		t.Errorf("the heap was %d bytes and is %d with 64 MiB more", before.Heap, after.Heap)
	}
	if after.Allocated <= before.Allocated || after.Memory < after.Heap {
		t.Errorf("process %+v", after)
	}
	close(stop)
	more.Wait()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	kept[0] = 1 // or it would be gone by then
}
