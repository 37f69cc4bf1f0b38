package capture

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Policy says what becomes of a frame for which a subscriber has no room.
type Policy uint8

// The policies. Only Wait can hold up the source.
const (
	// DropOldest makes room by discarding the frame that has waited longest: for
	// those who want the present, such as a live view.
	DropOldest Policy = 1
	// DropNewest discards the new frame: for those who want an unbroken run of
	// frames for as long as it lasts.
	DropNewest Policy = 2
	// Wait keeps Emit waiting until there is room. It is for media played as fast
	// as they go, where no camera is kept waiting. Whoever stops reading such a
	// subscription must close it, or Emit waits for ever.
	Wait Policy = 3
)

// String returns the policy's name as it appears in logs.
func (p Policy) String() string {
	switch p {
	case DropOldest:
		return "drop-oldest"
	case DropNewest:
		return "drop-newest"
	case Wait:
		return "wait"
	default:
		return "unknown policy"
	}
}

// Fanout hands each frame to all its subscribers. All methods may be called
// from any goroutine; frames keep their order when Emit is called from one, as a
// [Source] does.
type Fanout struct {
	mu     sync.Mutex
	subs   []*Subscription // replaced, never changed: Emit walks it without mu
	closed bool
}

// NewFanout returns a Fanout without subscribers.
func NewFanout() *Fanout { return &Fanout{} }

// Subscription is one subscriber's queue of frames.
type Subscription struct {
	// C gives the frames in order. It is closed by Close and by the fan-out's Close,
	// after which the frames that already wait in it can still be read.
	C <-chan Frame

	name    string
	policy  Policy
	fan     *Fanout
	dropped atomic.Uint64
	done    chan struct{} // closed first: sets a waiting Emit free
	once    sync.Once

	mu     sync.Mutex // held while sending to queue and while closing it
	queue  chan Frame
	closed bool
}

// Subscribe adds a subscriber with room for depth frames (at least one is
// taken). The name is for logs and metrics. A subscription to a closed fan-out
// is closed from the start.
func (f *Fanout) Subscribe(name string, depth int, policy Policy) *Subscription {
	queue := make(chan Frame, max(depth, 1))
	s := &Subscription{
		C:      queue,
		name:   name,
		policy: policy,
		fan:    f,
		done:   make(chan struct{}),
		queue:  queue,
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		s.shut()
		return s
	}
	// Those that may keep Emit waiting come last, so that they delay nobody else.
	at := len(f.subs)
	if policy != Wait {
		at = 0
	}
	f.subs = slices.Insert(slices.Clone(f.subs), at, s)
	return s
}

// Emit hands the frame to every subscriber. It returns at once unless a Wait
// subscriber has no room; then it waits for that subscriber to read or close, or
// for the fan-out to close. After Close it does nothing.
func (f *Fanout) Emit(frame Frame) {
	f.mu.Lock()
	subs := f.subs
	f.mu.Unlock()
	for _, s := range subs {
		s.send(frame)
	}
}

// Close closes every subscription and refuses new ones. It may be called more
// than once and while Emit runs.
func (f *Fanout) Close() {
	f.mu.Lock()
	subs := f.subs
	f.subs = nil
	f.closed = true
	f.mu.Unlock()
	for _, s := range subs {
		s.shut()
	}
}

// Name returns the name given to Subscribe.
func (s *Subscription) Name() string { return s.name }

// Dropped returns how many frames this subscriber has missed for want of room.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// Close ends the subscription and closes C. It may be called more than once and
// while Emit runs.
func (s *Subscription) Close() {
	s.fan.mu.Lock()
	s.fan.subs = slices.DeleteFunc(slices.Clone(s.fan.subs), func(o *Subscription) bool { return o == s })
	s.fan.mu.Unlock()
	s.shut()
}

// shut closes the queue once no send is under way.
func (s *Subscription) shut() {
	s.once.Do(func() { close(s.done) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.queue)
	}
}

// send queues the frame by the subscription's policy.
func (s *Subscription) send(frame Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if s.policy == Wait {
		select {
		case s.queue <- frame:
		case <-s.done:
		}
		return
	}
	for {
		select {
		case s.queue <- frame:
			return
		default:
		}
		if s.policy != DropOldest {
			s.dropped.Add(1)
			return
		}
		select { // the reader may have made room meanwhile
		case <-s.queue:
			s.dropped.Add(1)
		default:
		}
	}
}
