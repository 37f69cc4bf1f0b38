package storm

import (
	"slices"
	"sync"
	"time"

	"github.com/lensward/lensward/transport/recovery"
)

// Attempt is one connect of one device, from its first packet to the hub's receipt
// for the ownership record, or to the error.
type Attempt struct {
	Began, Ended time.Time
	// Failure is how it failed; "" is a connect that the hub admitted.
	Failure string
}

// logbook is what a device's connects came to. A connect is over when one of the
// other calls ends it; a later one says nothing.
type logbook struct {
	mu       sync.Mutex
	attempts []Attempt
	backlog  []time.Time // when items of it were sent
	open     time.Time   // when the connect under way began; zero for none
	online   bool
}

// begin notes that a connect begins. One that was never ended has failed.
func (l *logbook) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close(recovery.TimedOut.String())
	l.open = time.Now()
}

// failed notes what the connect under way came to.
func (l *logbook) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close(recovery.Classify(err).String())
}

// admitted notes that the hub took the device in.
func (l *logbook) admitted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close("")
	l.online = true
}

// ended notes that a session is over.
func (l *logbook) ended() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.online = false
}

// close ends the connect under way, if there is one. The lock is held.
func (l *logbook) close(failure string) {
	if l.open.IsZero() {
		return
	}
	l.attempts = append(l.attempts, Attempt{Began: l.open, Ended: time.Now(), Failure: failure})
	l.open = time.Time{}
}

func (l *logbook) isOnline() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.online
}

// sent notes that an item of the backlog goes out.
func (l *logbook) sent() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backlog = append(l.backlog, time.Now())
}

// all gives copies of what was noted.
func (l *logbook) all() (attempts []Attempt, backlog []time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.attempts), slices.Clone(l.backlog)
}
