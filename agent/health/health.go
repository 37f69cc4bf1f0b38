// Package health holds the conditions that ail a camera, by name: since when,
// how bad, and why.
//
// It owns the list. It never decides that something is wrong (whoever sees it
// does) and never acts on it.
package health

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// Severity says how bad a condition is.
type Severity string

// The severities.
const (
	// Warning: something is lost or will be, most works.
	Warning Severity = "warning"
	// Failure: the camera does not do its job.
	Failure Severity = "failure"
)

// Condition is one thing that is wrong.
type Condition struct {
	// Name is one word with hyphens, such as "camera-failed".
	Name     string    `json:"name"`
	Severity Severity  `json:"severity"`
	Since    time.Time `json:"since"`
	// Cause is for a person and holds no secret.
	Cause string `json:"cause"`
}

// Board is the list of conditions. The zero value is empty and ready; it is safe
// for concurrent use.
type Board struct {
	mu   sync.Mutex
	list map[string]Condition
}

// Set says that a condition holds, and reports whether it is new. One that holds
// already keeps its beginning and takes the new cause.
func (b *Board) Set(name string, s Severity, cause string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.list == nil {
		b.list = make(map[string]Condition)
	}
	c, held := b.list[name]
	if !held {
		c = Condition{Name: name, Since: time.Now()}
	}
	c.Severity, c.Cause = s, cause
	b.list[name] = c
	return !held
}

// Clear says that a condition no longer holds, and reports whether it did.
func (b *Board) Clear(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, held := b.list[name]
	delete(b.list, name)
	return held
}

// List returns the conditions that hold, by name.
func (b *Board) List() []Condition {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.list), func(x, y Condition) int { return cmp.Compare(x.Name, y.Name) })
}
