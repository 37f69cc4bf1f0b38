package durabletest

import (
	"sync"

	"github.com/lensward/lensward/internal/durable"
)

// Fault is a disk error at one step: at a durable.Before step nothing was done,
// at a durable.After step it was done although it failed.
type Fault struct {
	Index int
	Step  durable.Step
}

// Faulter counts steps and makes one of them fail. The zero value only counts.
type Faulter struct {
	mu    sync.Mutex
	count int
	at    int
	err   error
	hit   *Fault
}

// FailAt returns a Faulter that fails with err at step index, counted from 0.
func FailAt(index int, err error) *Faulter { return &Faulter{at: index, err: err} }

// Hook goes to durable.WithHook.
func (f *Faulter) Hook(s durable.Step) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if f.err == nil || f.count-1 != f.at {
		return nil
	}
	f.hit = &Fault{Index: f.at, Step: s}
	return f.err
}

// Steps returns how many steps there were.
func (f *Faulter) Steps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Hit returns the fault, or nil if the step was not reached.
func (f *Faulter) Hit() *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}
