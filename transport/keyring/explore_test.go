package keyring_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lensward/lensward/internal/waystest"
	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/statement"
)

// explorer is a courier that does everything: it gives anybody anything that it ever saw
// or can make, in any order, as often as it likes or never. It walks through all states
// that the parties can be in together until there is no new one. What a party makes of an
// input depends on its own state alone, so each is tried once and remembered; every step
// goes through a restart.
type explorer struct {
	*testing.T
	parties []party
	states  [][]state        // of each party
	known   []map[string]int // of states, by their keys
	msgs    [][]byte
	numbers map[string]int // of msgs
	tried   map[trial]outcome
	spoilt  map[trial]bool // tried in spoilt forms

	// forges gives more messages that the courier can make, once it has seen one.
	forges func(msg []byte) [][]byte
	made   map[int][]int // what it made

	deliveries, refused, forgeries int
}

// party is somebody who keeps a state and takes messages.
type party interface {
	name() string
	// events are what can happen to it besides messages.
	events() []string
	// try is what becomes of a state when an event happens or, without one, a message
	// comes; what it says then; and why it refuses. A state is never changed.
	try(s state, event string, msg []byte) (state, [][]byte, error)
	// step checks one change of its state.
	step(before, after state) error
	// refuses checks that it refuses each of these messages, for a reason, and is not
	// changed.
	refuses(s state, forms [][]byte) error
}

// state is what outlives a restart.
type state interface{ key() string }

type trial struct {
	party, state int
	event        string
	msg          int // without an event
}

type outcome struct {
	state int
	says  []int
}

func newExplorer(t *testing.T, parties ...party) *explorer {
	e := &explorer{T: t, parties: parties, numbers: map[string]int{}, tried: map[trial]outcome{}, spoilt: map[trial]bool{}, made: map[int][]int{}, forges: func([]byte) [][]byte { return nil }}
	for range parties {
		e.states, e.known = append(e.states, nil), append(e.known, map[string]int{})
	}
	return e
}

func (e *explorer) message(msg []byte) int {
	n, ok := e.numbers[string(msg)]
	if !ok {
		n = len(e.msgs)
		e.numbers[string(msg)] = n
		e.msgs = append(e.msgs, msg)
	}
	return n
}

func (e *explorer) state(p int, s state) int {
	n, ok := e.known[p][s.key()]
	if !ok {
		n = len(e.states[p])
		e.known[p][s.key()] = n
		e.states[p] = append(e.states[p], s)
	}
	return n
}

// try finds what becomes of a party.
func (e *explorer) try(tr trial) outcome {
	if o, ok := e.tried[tr]; ok {
		return o
	}
	p, before := e.parties[tr.party], e.states[tr.party][tr.state]
	var msg []byte
	if tr.event == "" {
		msg = e.msgs[tr.msg]
		e.deliveries++
	}
	after, says, err := p.try(before, tr.event, msg)
	if err != nil {
		e.refused++
		if reason(err) == "" {
			e.Errorf("%s refuses without a reason: %v", p.name(), err)
		}
		if tr.event == "" && after.key() != before.key() {
			e.Errorf("%s refuses (%v) and is changed", p.name(), err)
		}
	}
	if err := p.step(before, after); err != nil {
		e.Errorf("%s: %v", p.name(), err)
	}
	o := outcome{state: e.state(tr.party, after)}
	for _, m := range says {
		o.says = append(o.says, e.message(m))
	}
	e.tried[tr] = o
	return o
}

// spoil gives a party in a state messages in spoilt forms, each message once: none may be
// taken.
func (e *explorer) spoil(party, state int, msgs []int) {
	var forms [][]byte
	for _, m := range msgs {
		if tr := (trial{party: party, state: state, msg: m}); !e.spoilt[tr] {
			e.spoilt[tr] = true
			forms = append(forms, e.spoiltForms(e.msgs[m])...)
		}
	}
	if len(forms) == 0 {
		return
	}
	e.forgeries += len(forms)
	if err := e.parties[party].refuses(e.states[party][state], forms); err != nil {
		e.Error(err)
	}
}

// spoiltForms are a message cut, lengthened, doubled, and with one bit changed here and
// there.
func (e *explorer) spoiltForms(msg []byte) [][]byte {
	forms := [][]byte{nil, msg[:len(msg)-1], append(slices.Clone(msg), 0), slices.Concat(msg, msg)}
	for _, at := range []int{0, 20, len(msg) / 2, len(msg) - 1} {
		form := slices.Clone(msg)
		form[at] ^= 1 << (at % 8)
		forms = append(forms, form)
	}
	return slices.DeleteFunc(forms, func(form []byte) bool { _, real := e.numbers[string(form)]; return real })
}

// reason is the word by which a refusal is called, "" if it has none.
func reason(err error) string {
	for _, r := range []struct {
		is   error
		word string
	}{
		{household.ErrOwner, "wrong-owner"}, {household.ErrRollBack, "roll-back"}, {household.ErrFork, "fork"},
		{household.ErrGap, "gap"}, {household.ErrSuccession, "bad-succession"}, {household.ErrKeys, "bad-keys"},
		{household.ErrLabel, "unknown-version"}, {household.ErrField, "bad-field"}, {household.ErrLocked, "locked"},
		{statement.ErrFields, "bad-field"}, {errStranger, "stranger"}, {errNotNow, "not-now"},
	} {
		if errors.Is(err, r.is) {
			return r.word
		}
	}
	return ownership.Reason(err)
}

var (
	errStranger = errors.New("of somebody who is not known here")
	errNotNow   = errors.New("not to be done now")
)

// scene is where everybody is, and what the courier has seen.
type scene struct {
	at, seen []int
}

func (w scene) key() string { return fmt.Sprint(w.at, w.seen) }

// see adds a message to what the courier has.
func (w *scene) see(m int) {
	if at, had := slices.BinarySearch(w.seen, m); !had {
		w.seen = slices.Insert(slices.Clone(w.seen), at, m)
	}
}

// forge makes what can be made of a message, once.
func (e *explorer) forge(m int) []int {
	if made, ok := e.made[m]; ok {
		return made
	}
	made := []int{}
	for _, f := range e.forges(e.msgs[m]) {
		made = append(made, e.message(f))
	}
	e.made[m] = made
	return made
}

// node is a scene that was walked through: where its actions lead, and how many change
// nothing.
type node struct {
	next map[string]int
	loop int
}

// explore walks through every scene from the parties' first states, with messages that
// the courier has from the beginning.
func (e *explorer) explore(first []state, old [][]byte, check func(at []state)) map[string]*node {
	start := scene{}
	for p, s := range first {
		start.at = append(start.at, e.state(p, s))
	}
	for _, m := range old {
		start.seen = append(start.seen, e.message(m))
	}
	slices.Sort(start.seen)
	nodes := map[string]*node{start.key(): {}}
	for queue := []scene{start}; len(queue) > 0; queue = queue[1:] {
		w := queue[0]
		n := nodes[w.key()]
		n.next = map[string]int{}
		e.checkAt(w, check)
		for _, to := range e.actions(w) {
			k := to.key()
			if k == w.key() {
				n.loop++
				continue
			}
			n.next[k]++
			if nodes[k] == nil {
				nodes[k] = &node{}
				queue = append(queue, to)
			}
		}
		if e.Failed() {
			e.FailNow()
		}
	}
	return nodes
}

func (e *explorer) checkAt(w scene, check func(at []state)) {
	at := make([]state, len(w.at))
	for p, s := range w.at {
		at[p] = e.states[p][s]
	}
	check(at)
}

// actions are all that can be done in a scene.
func (e *explorer) actions(w scene) []scene {
	var out []scene
	act := func(tr trial) {
		o := e.try(tr)
		to := scene{slices.Clone(w.at), w.seen}
		to.at[tr.party] = o.state
		for _, m := range o.says {
			to.see(m)
			for _, forged := range e.forge(m) {
				to.see(forged)
			}
		}
		out = append(out, to)
	}
	for p, s := range w.at {
		for _, event := range e.parties[p].events() {
			act(trial{party: p, state: s, event: event})
		}
		for _, m := range w.seen {
			act(trial{party: p, state: s, msg: m})
		}
		e.spoil(p, s, w.seen)
	}
	return out
}

// tell prints what was walked through, and the ways of at most depth actions.
func (e *explorer) tell(nodes map[string]*node, depth int) {
	edges := 0
	for _, n := range nodes {
		edges += n.loop
		for _, count := range n.next {
			edges += count
		}
	}
	var states []string
	for p, party := range e.parties {
		states = append(states, fmt.Sprintf("%s %d", party.name(), len(e.states[p])))
	}
	e.Logf("%d scenes, %d actions in them, %v ways of at most %d actions; states: %v; %d messages; %d deliveries to a party in a state, %d refused, each for a reason; %d spoilt messages, all refused",
		len(nodes), edges, waystest.Count(nodes, depth, func(n *node) (int, map[string]int) { return n.loop, n.next }), depth, states, len(e.msgs), e.deliveries, e.refused, e.forgeries)
}

// digest names bytes in a state's key.
func digest(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		s := sha256.Sum256(p)
		h.Write(s[:])
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:12])
}
