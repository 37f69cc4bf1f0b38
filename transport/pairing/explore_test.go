package pairing_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/pairing"
)

// explorer is a courier that does everything. It walks through all states that an owner,
// a camera and what it knows can be in together, until there is no new one.
// What a party makes of an input depends on its own saved state alone, so each is tried
// once and remembered; every step goes through a restart.
type explorer struct {
	t       *testing.T
	now     time.Time
	parties []party
	msgs    [][]byte       // by number
	numbers map[string]int // of msgs
	tried   map[trial]int  // the party's state after it
	good    map[[2]int]int // by party state and message: how many spoilt forms of it were refused
	// forges gives more messages that the courier can make, once it has seen one.
	forges     func(msg []byte) [][]byte
	forged     map[int][]int // what it made
	deliveries int
}

// party is one side, and every state that it was found in.
type party struct {
	name   string
	owner  *owner  // one of the two is set
	device *device //
	states []condition
	known  map[string]int
	// again makes a camera that lost its state begin anew, once.
	again []byte
}

// condition is what outlives a restart: the pairing's state and, of a device, its
// ownership.
type condition struct {
	state []byte
	owned *ownership.Ownership
	phase pairing.Phase
	out   int // message to send, -1 for none
}

// trial is one thing that can happen to a party in a state. Msg is a message's number, or
// one of the events.
type trial struct {
	party, state, msg int
	saves, accepts    fault
}

const (
	eventExpire = -1 // a year passes
	eventCancel = -2
	eventForget = -3 // the pairing's state is lost, and the same code is before the lens
)

func newExplorer(t *testing.T) *explorer {
	return &explorer{
		t: t, now: time.Now(), numbers: map[string]int{}, tried: map[trial]int{}, good: map[[2]int]int{},
		forged: map[int][]int{}, forges: func([]byte) [][]byte { return nil },
	}
}

// message gives a message its number.
func (e *explorer) message(msg []byte) int {
	if msg == nil {
		return -1
	}
	n, ok := e.numbers[string(msg)]
	if !ok {
		n = len(e.msgs)
		e.numbers[string(msg)] = n
		e.msgs = append(e.msgs, msg)
	}
	return n
}

// condition gives a party's present condition its number.
func (e *explorer) condition(p int, r receiver) int {
	at := &e.parties[p]
	c := condition{phase: r.Phase(), out: e.message(r.Send())}
	key := ""
	if at.owner != nil {
		c.state = at.owner.state
	} else {
		c.state, c.owned = at.device.state, at.device.owned
		if c.owned != nil {
			key = string(c.owned.Bytes())
		}
	}
	key += "|" + string(c.state)
	n, ok := at.known[key]
	if !ok {
		n = len(at.states)
		at.known[key] = n
		at.states = append(at.states, c)
	}
	return n
}

// add makes a party known, in its first state.
func (e *explorer) add(p party, r receiver) {
	p.known = map[string]int{}
	e.parties = append(e.parties, p)
	e.condition(len(e.parties)-1, r)
}

// wake restores a party in one of its states.
func (e *explorer) wake(p, state int) receiver {
	at := e.parties[p]
	c := at.states[state]
	if at.owner != nil {
		at.owner.state, at.owner.saves = c.state, faultNone
		return at.owner.restart(e.t)
	}
	at.device.state, at.device.owned, at.device.saves, at.device.accepts = c.state, c.owned, faultNone, faultNone
	return at.device.restart(e.t, e.now)
}

// try finds what a party's state is after something happened to it.
func (e *explorer) try(tr trial) int {
	if n, ok := e.tried[tr]; ok {
		return n
	}
	e.deliveries++
	at := e.parties[tr.party]
	r := e.wake(tr.party, tr.state)
	if at.owner != nil {
		at.owner.saves = tr.saves
	} else {
		at.device.saves, at.device.accepts = tr.saves, tr.accepts
	}
	switch r := r.(type) {
	case *pairing.Owner:
		e.happen(r, tr, r.Tick, r.Cancel)
	case *pairing.Camera:
		if tr.msg == eventForget {
			at.device.state = at.again
		} else {
			e.happen(r, tr, r.Tick, r.Cancel)
		}
	}
	if at.owner != nil {
		r = at.owner.restart(e.t)
	} else {
		r = at.device.restart(e.t, e.now)
	}
	n := e.condition(tr.party, r)
	e.tried[tr] = n
	return n
}

// happen gives an input to a party. A refusal must have a reason.
func (e *explorer) happen(r receiver, tr trial, tick func(time.Time) error, cancel func() error) {
	var err error
	switch tr.msg {
	case eventExpire:
		err = tick(e.now.AddDate(1, 0, 0))
	case eventCancel:
		err = cancel()
	default:
		err = r.Receive(e.msgs[tr.msg], e.now)
	}
	if err != nil && pairing.ReasonOf(err) == "" && tr.saves == faultNone && tr.accepts == faultNone {
		e.t.Errorf("%s: no reason: %v", e.parties[tr.party].name, err)
	}
}

// spoilt tries every spoilt form of a message on a party: none may change anything.
func (e *explorer) spoilt(p, state, msg int) int {
	key := [2]int{p<<16 | state, msg}
	if n, ok := e.good[key]; ok {
		return n
	}
	forms := spoil(e.msgs[msg])
	for _, other := range e.msgs[:min(len(e.msgs), 24)] { // the MAC of another
		forms = append(forms, slices.Concat(e.msgs[msg][:len(e.msgs[msg])-32], other[len(other)-32:]))
	}
	r := e.wake(p, state)
	n := 0
	for _, form := range forms {
		if _, real := e.numbers[string(form)]; real {
			continue
		}
		n++
		e.deliveries++
		if err := r.Receive(form, e.now); pairing.ReasonOf(err) == "" {
			e.t.Errorf("%s took a spoilt message: %v", e.parties[p].name, err)
		}
		if n%50 == 0 {
			r = e.wake(p, state) // before it has had too many
		}
	}
	if got := e.condition(p, e.wake(p, state)); got != state {
		e.t.Errorf("%s was changed by spoilt messages", e.parties[p].name)
	}
	e.good[key] = n
	return n
}

// spoil gives a message cut, lengthened, and with single bits of each part changed.
func spoil(msg []byte) [][]byte {
	forms := [][]byte{nil, msg[:1], msg[:32], msg[:33], msg[:len(msg)-1], msg[:len(msg)-32], msg[1:], append(slices.Clone(msg), 0), slices.Concat(msg, msg)}
	for _, at := range []int{0, 2, 10, len(msg) / 4, len(msg) / 2, len(msg) - 97, len(msg) - 40, len(msg) - 33, len(msg) - 32, len(msg) - 1} {
		form := slices.Clone(msg)
		form[at] ^= 1 << (at % 8)
		forms = append(forms, form)
	}
	return forms
}

// world is the state of all parties, and which messages the courier has seen.
type world struct {
	at   string // party states and seen messages, as a key
	next map[string]int
	loop int // actions that change nothing
}

// explore walks through every world and returns them. Check is called for each.
func (e *explorer) explore(old [][]byte, check func(at []int)) map[string]*world {
	var seen []int
	for _, m := range old {
		seen = append(seen, e.message(m))
	}
	start := make([]int, len(e.parties))
	worlds := map[string]*world{}
	queue := []placed{e.place(start, seen)}
	worlds[queue[0].key()] = &world{}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		w := worlds[p.key()]
		w.at, w.next = p.key(), map[string]int{}
		check(p.at)
		e.actions(p, func(to placed) {
			k := to.key()
			if k == w.at {
				w.loop++
				return
			}
			w.next[k]++
			if worlds[k] == nil {
				worlds[k] = &world{}
				queue = append(queue, to)
			}
		}, func(n int) { w.loop += n })
	}
	return worlds
}

// placed is where everybody is.
type placed struct {
	at   []int
	seen []int
}

func (p placed) key() string { return fmt.Sprint(p.at, p.seen) }

// place adds what the parties say, and what can be made of it, to what was seen.
func (e *explorer) place(at, seen []int) placed {
	out := slices.Clone(seen)
	for p, s := range at {
		m := e.parties[p].states[s].out
		if m < 0 || slices.Contains(out, m) {
			continue
		}
		out = append(append(out, m), e.forge(m)...)
	}
	slices.Sort(out)
	return placed{at, out}
}

// forge makes what can be made of a message, once.
func (e *explorer) forge(m int) []int {
	if made, ok := e.forged[m]; ok {
		return made
	}
	var made []int
	for _, f := range e.forges(e.msgs[m]) {
		made = append(made, e.message(f))
	}
	e.forged[m] = made
	return made
}

// actions does everything that can be done in a place.
func (e *explorer) actions(p placed, to func(placed), same func(int)) {
	for who, state := range p.at {
		act := func(tr trial) {
			at := slices.Clone(p.at)
			at[who] = e.try(tr)
			to(e.place(at, p.seen))
		}
		events := []int{eventExpire, eventCancel}
		if e.parties[who].again != nil && e.parties[who].states[state].phase == pairing.PhaseBegun {
			events = append(events, eventForget)
		}
		for _, ev := range events {
			act(trial{party: who, state: state, msg: ev})
		}
		for _, m := range p.seen {
			for _, f := range [][2]fault{{}, {faultLost, 0}, {faultKept, 0}, {0, faultLost}, {0, faultKept}} {
				act(trial{who, state, m, f[0], f[1]})
			}
			same(e.spoilt(who, state, m))
		}
	}
}
