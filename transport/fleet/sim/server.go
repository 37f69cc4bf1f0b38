package sim

import (
	"fmt"
	"time"

	"github.com/lensward/lensward/transport/recovery"
)

// Model names what a server does that is asked for more than it can give.
type Model string

// The models.
const (
	// Queue (s1): a FIFO queue of 20,000. Service slows as the queue grows, to a half at
	// 10,000. A request older than 10 s is abandoned by its device, and its work still
	// costs in full.
	Queue Model = "s1"
	// Drop (s2): a FIFO queue of 4,096. What finds it full is dropped silently.
	Drop Model = "s2"
	// Admit (s3): what cannot be admitted now is refused, which costs 2 % of a connect. A
	// quarter of a second's idleness is made up for later.
	Admit Model = "s3"
)

// Models are all of them.
func Models() []Model { return []Model{Queue, Drop, Admit} }

const (
	// Patience is how long a device waits for an answer.
	Patience = 10 * time.Second

	queueLimit  = 20_000
	queueHalves = 10_000 // at so many waiting, service is half as fast
	dropLimit   = 4_096
	refusalCost = 0.02 // of a connect

	// A gate lets so much wait as is served in this time, and refuses the rest.
	gateWait = 2 * time.Second
	// Whom a gate refused a moment ago it drops at once, before it has read a byte.
	gatePenalty = 60 * time.Second
	dropCost    = 0.002 // of a connect
)

// answer is what becomes of a connect at once.
type answer uint8

const (
	dropped  answer = 0
	refused  answer = 1
	admitted answer = 2
	queued   answer = 3
)

// request is a connect in a server's queue.
type request struct {
	device int32
	at     tick
}

// server is a hub's front, by one of the models.
type server struct {
	model  Model
	rate   float64 // connects a second
	limit  int     // of the queue
	budget float64 // work that can be done now, in connects; negative is work that is owed
	gate   []tick  // by device: until when the gate drops it; nil is no gate

	queue   []request // ring
	head    int       // the oldest request
	waiting int       // requests in the ring
	asked   int       // of them, those whose devices still wait; the newest

	used, could float64 // work done, and work possible, since the last sample
	refusals    int
}

func newServer(m Model, rate float64, devices int, gate bool) (*server, error) {
	s := &server{model: m, rate: rate}
	switch m {
	case Queue:
		s.limit = queueLimit
	case Drop:
		s.limit = dropLimit
	case Admit:
	default:
		return nil, fmt.Errorf("no server model is called %q", m)
	}
	if gate {
		s.gate = make([]tick, devices)
		s.limit = min(s.limit, int(rate*gateWait.Seconds()))
	}
	s.queue = make([]request, s.limit)
	return s, nil
}

// start begins anew, with nothing of what was before.
func (s *server) start() {
	s.head, s.waiting, s.asked = 0, 0, 0
	s.budget, s.used, s.could, s.refusals = s.burst(), 0, 0, 0
	clear(s.gate)
}

// ask is a device's connect.
func (s *server) ask(device int32, now tick) answer {
	if s.model == Admit && s.budget >= 1 {
		s.spend(1)
		return admitted
	}
	if s.waiting < s.limit {
		s.queue[(s.head+s.waiting)%s.limit] = request{device, now}
		s.waiting++
		s.asked++
		return queued
	}
	switch {
	case s.gate != nil && now < s.gate[device]:
		s.spend(dropCost)
		s.refusals++
		return refused
	case s.gate != nil:
		s.gate[device] = now + after(gatePenalty)
		fallthrough
	case s.model == Admit:
		s.spend(refusalCost)
		s.refusals++
		return refused
	}
	return dropped
}

// burst is what an idle server may save up, in connects.
func (s *server) burst() float64 {
	if s.model == Admit {
		return max(10, s.rate/4)
	}
	return 1
}

func (s *server) spend(work float64) {
	s.budget -= work
	s.used += work
}

// serve does one tick's work. It calls admit for each device that gets in, and giveUp for
// each that waits no more.
func (s *server) serve(now tick, admit, giveUp func(device int32)) {
	work := s.rate * Tick.Seconds()
	if s.model == Queue {
		work /= 1 + float64(s.waiting)/queueHalves
	}
	s.could += work
	s.budget = min(s.budget+work, s.burst()+work)
	for s.budget >= 1 && s.waiting > 0 {
		r := s.queue[s.head]
		s.head = (s.head + 1) % s.limit
		s.spend(1)
		if s.waiting == s.asked {
			s.asked--
			admit(r.device)
		}
		s.waiting--
	}
	for s.asked > 0 {
		r := s.queue[(s.head+s.waiting-s.asked)%s.limit]
		if r.at+after(Patience) > now {
			break
		}
		s.asked--
		giveUp(r.device)
	}
}

// sample is what the hub measures, once a second.
func (s *server) sample(admitted, fleet, online int) recovery.Sample {
	busy := 0.0
	if s.could > 0 {
		busy = min(1, s.used/s.could)
	}
	sample := recovery.Sample{Admitted: admitted, Refused: s.refusals, Busy: busy, Fleet: fleet, Online: online}
	s.used, s.could, s.refusals = 0, 0, 0
	return sample
}
