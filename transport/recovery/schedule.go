package recovery

import "time"

// Action is what a camera does next.
type Action uint8

// The actions.
const (
	// Connect to the hub.
	Connect Action = 1
	// FetchHint asks, elsewhere than at the hub, for the newest hint.
	FetchHint Action = 2
)

// Step is an action and how long to wait before it, at least 0.
type Step struct {
	Do   Action
	Wait time.Duration
}

// Schedule is one camera's plan. It is not safe for concurrent use. Its user waits for
// what Next says, does it and reports how it went, again and again.
//
// All times are durations since an origin of the user's choosing, by a clock that never
// goes back (Go's monotonic clock does not).
type Schedule struct {
	set  *Settings
	rand splitmix

	hint   time.Duration // the newest hint's Window; 0 is none
	serial uint64        // the newest hint's
	drain  float64       // the newest hint's

	began time.Duration // when the outage began; moved on by time spent connected
	end   time.Duration // end of the window that holds the slot
	width time.Duration // of that window
	phase float64       // where in its window the slot lies, 0 ≤ phase < 1
	asked time.Duration // narrowest window after answers that asked for fewer connects
	fetch time.Duration // when to fetch a hint

	up        time.Duration // when the session was admitted
	connected bool
	lost      bool  // there was a session before this outage
	local     bool  // the last failure was this machine's own
	flaps     uint8 // sessions of this outage that ended before they were good
}

// New plans from power-up, at time 0. The settings must be valid (Validate) and must
// not change; the seed must differ from camera to camera.
func New(set *Settings, seed uint64) *Schedule {
	s := &Schedule{set: set, rand: splitmix(seed)}
	width := s.law(0)
	if set.Awaited {
		width = min(width, awaited)
	}
	s.redraw(0, width)
	s.fetchWithin(0, s.soon())
	return s
}

// awaited is the first window of a camera before which a person stands.
const awaited = time.Second

// Next says what to do next and when. It changes nothing and may be asked at any time.
func (s *Schedule) Next(now time.Duration) Step {
	slot := s.slot()
	if s.set.Fetch && s.fetch < slot {
		return Step{Do: FetchHint, Wait: max(0, s.fetch-sane(now))}
	}
	return Step{Do: Connect, Wait: max(0, slot-sane(now))}
}

// Window is the width of the window that holds the next slot.
func (s *Schedule) Window() time.Duration { return s.width }

// Drain is how many messages of its backlog this camera may send in a second; 0 is as
// fast as it can.
func (s *Schedule) Drain() float64 { return s.drain }

// Hinted takes a verified hint: a stored one, a fetched one, or one that came in the
// session. Fresh says that it was issued after the last session was lost: only then does
// it speak of this outage, and its Current counts. A hint older than one that was taken
// before changes nothing.
func (s *Schedule) Hinted(now time.Duration, h Hint, fresh bool) {
	now = sane(now)
	s.fetchLater(now)
	if h.Serial < s.serial {
		return
	}
	h = h.Clamp()
	told := h.Serial == s.serial && s.hint != 0
	s.serial, s.hint, s.drain = h.Serial, h.Window, h.Drain
	switch {
	case s.connected || told:
	case fresh:
		s.asked = 0
		s.fit(now, h)
	case !near(h.Window, s.width):
		s.asked = 0
		s.redraw(now, s.law(now))
	}
}

// fit draws the slot anew where the plan is another one than a fresh hint asks for.
func (s *Schedule) fit(now time.Duration, h Hint) {
	current := h.Current
	if !s.local && now-s.began < unnoticed {
		current = max(current, h.Window/8)
	}
	if s.slot()-now <= current && (near(h.Window, s.width) || near(current, s.end-now)) {
		return
	}
	s.redraw(now, current)
}

// unnoticed is for how long a hub may believe that it has the sessions which a dead
// thing between it and its fleet has cost it: a keepalive and a half, twice.
const unnoticed = 2 * time.Minute

// near says that two windows are about the same, so that a redraw would gain nothing.
func near(a, b time.Duration) bool { return a <= b+b/4 && b <= a+a/4 }

// NoHint notes that a fetch came to nothing.
func (s *Schedule) NoHint(now time.Duration) { s.fetchLater(sane(now)) }

// Failed notes that the connect which Next asked for came to nothing.
func (s *Schedule) Failed(now time.Duration, o Outcome) {
	now = sane(now)
	if s.connected {
		return
	}
	own := s.local
	s.local = o == Unreachable
	switch o {
	case Refused:
		s.widen(now, refusedBy, own)
	case Stalled:
		s.widen(now, stalledBy, own)
	default:
		s.advance(now)
	}
	if !s.local {
		s.fetchWithin(now, s.soon())
	}
}

// Admitted notes that a session began: the server let this camera in.
func (s *Schedule) Admitted(now time.Duration) {
	s.up, s.connected, s.local = sane(now), true, false
}

// Ended notes that the admitted session is over and says whether it was good. A good one
// had ended the outage, and the next begins. Another counts as a connect that came to
// nothing, and keeps its phase: cameras that were let in when the server fell over again
// are those whose slots came first, and would crowd the others' if they drew anew. From
// the fourth on it also asks for a wider window, as a refusal does. Local says that this
// machine's own link went down.
func (s *Schedule) Ended(now time.Duration, local bool) (good bool) {
	now = sane(now)
	if !s.connected {
		return false
	}
	s.connected, s.local, s.lost = false, local, true
	lasted := max(0, now-s.up)
	good = lasted >= s.set.Good
	if good {
		s.began, s.asked, s.flaps = now, 0, 0
		s.redraw(now, s.law(now))
	} else {
		s.began += lasted // time spent connected is not part of the outage
		if s.flaps++; s.flaps > patience {
			s.flaps = patience
			s.ask(now, refusedBy)
		}
		s.advance(now)
	}
	s.fetchWithin(now, s.soon())
	return good
}

// lostFirsts is how many times as wide as after power-up a window is after a lost session,
// without a hint. Power comes back to a street, a hub to a whole fleet.
const lostFirsts = 8

// patience is how many sessions of an outage may end early before the windows widen.
const patience = 3

// How much wider a window gets for an answer that asks for it.
const (
	refusedBy = 1.25 // cheap for the server, and who is in asks no more
	stalledBy = 4    // its work was done and thrown away
)

// law is the width of a window that begins at start.
func (s *Schedule) law(start time.Duration) time.Duration {
	age := max(0, start-s.began)
	w := max(s.hint, age/2000)
	if s.hint == 0 {
		w = max(s.set.First, alone(age))
		if s.lost {
			w = max(w, lostFirsts*s.set.First)
		}
	}
	w = max(w, s.asked)
	if s.local {
		w = min(w, max(10*time.Second, w/8))
	}
	return w
}

// alone is the window of who knows nothing but the outage's age.
func alone(age time.Duration) time.Duration { return max(min(age/2, 6*time.Minute), age/10) }

// widen answers a server that cannot take the rate. The window grows from the one that was
// too narrow, which a fresh hint may have given; from the law's where that knew nothing
// of the server's load: without a hint, and where the trouble was thought to be our own.
func (s *Schedule) widen(now time.Duration, by float64, own bool) {
	s.ask(now, by)
	w := s.asked
	if s.hint == 0 || own {
		w = s.law(now)
	}
	s.redraw(now, w)
}

// ask makes the windows to come wider. What stands in for a dead server, a load balancer
// say, can ask for it too, for as long as the outage lasts. So no window gets wider than
// the outage is old; with a hint, than half of that or four hints.
func (s *Schedule) ask(now time.Duration, by float64) {
	age := max(0, now-s.began)
	most := max(s.set.First, age)
	if s.hint != 0 {
		most = max(4*s.hint, age/2)
	}
	s.asked = min(max(scale(s.width, by), s.asked), most)
}

// redraw takes a new slot in a window that begins now.
func (s *Schedule) redraw(now, width time.Duration) {
	s.phase = s.rand.share()
	s.open(now, width)
}

// open begins a window.
func (s *Schedule) open(start, width time.Duration) {
	s.width = min(width, s.set.Cap)
	s.end = start + s.width
}

// slot is when to connect.
func (s *Schedule) slot() time.Duration { return s.end - s.width + scale(s.width, s.phase) }

// advance lets windows follow one another until a slot lies ahead.
func (s *Schedule) advance(now time.Duration) {
	if s.local && s.width > s.law(now) {
		s.open(now-s.width, s.width) // the rest of a wide window is not waited for
	}
	for s.slot() <= now {
		start := s.end
		if behind := now - start; behind > s.width {
			start += behind - behind%s.width // whole windows, so that the phase is kept
		}
		s.open(start, s.law(start))
	}
}

// soon is the window in which a camera asks for a hint when it has reason to.
func (s *Schedule) soon() time.Duration {
	if s.local {
		return 10 * time.Second
	}
	return max(10*time.Second, s.width/16)
}

// fetchLater plans the next fetch after one.
func (s *Schedule) fetchLater(now time.Duration) {
	every := max(time.Minute, s.width/8)
	s.fetch = now + every/2 + scale(every, s.rand.share())
}

// fetchWithin plans a fetch in the window that begins now, unless one comes sooner.
func (s *Schedule) fetchWithin(now, width time.Duration) {
	at := now + scale(width, s.rand.share())
	if s.fetch < now || at < s.fetch {
		s.fetch = at
	}
}

// sane keeps a time in a range in which sums of times do not overflow.
func sane(t time.Duration) time.Duration { return min(max(t, 0), 1<<61) }

// scale is a share of d, kept from overflowing.
func scale(d time.Duration, by float64) time.Duration {
	return time.Duration(min(float64(d)*by, float64(1<<61)))
}

// splitmix is Vigna's SplitMix64: one word of state, so that the simulator can have a
// generator for each of ten million cameras.
type splitmix uint64

// share is uniform in [0, 1).
func (s *splitmix) share() float64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}
