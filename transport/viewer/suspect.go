package viewer

import (
	"fmt"
	"slices"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

const (
	// confirmAfter is how long what is missing has before it is asked for again and then
	// counts as kept back.
	confirmAfter = 10 * time.Second
	// confirmAsks is how often it is asked for then, where the hub answers with errors.
	confirmAsks = 3
	// clockSlack is how much clocks may differ.
	clockSlack = 5 * time.Minute
	// maxSuspects bounds how many runs are looked into at once.
	maxSuspects = 64
)

// suspect is a run of missing items that the hub has to account for.
type suspect struct {
	since  time.Time
	asks   int
	denied bool // asked for again, and not given
}

// run is a part of a chain that is kept back, and what says so.
type run struct {
	name FindingName
	seal.Missing
	detail string
	proof  []Evidence
}

func (r run) last() seal.Ref {
	return seal.Ref{Device: r.Device, Epoch: r.Epoch, Chain: r.Chain, Seq: r.To}
}

// settling is how far a checkpoint says that its chain was delivered.
type settling struct {
	upTo uint64
	item []byte // the checkpoint's, whole
}

// chainOf is the chain of an item: its place with number 0.
func chainOf(r seal.Ref) seal.Ref {
	r.Seq = 0
	return r
}

// hearCheckpoint takes what a camera says of its chain into account. b is the item.
func (v *Viewer) hearCheckpoint(h seal.Header, c seal.Checkpoint, b []byte) {
	chain := chainOf(h.Ref())
	if c.Cause == "periodic" {
		v.beats[chain] = true
	}
	if c.Settled < h.Seq && c.Settled > v.settled[chain].upTo {
		v.settled[chain] = settling{c.Settled, slices.Clone(b)}
	}
}

// examine looks, at the time line's end, for what is missing and should not be. What
// it finds it has asked for again, and tells only after that.
func (v *Viewer) examine() {
	if slices.ContainsFunc(v.jobs, func(j job) bool { return j.kind == jobRow }) {
		return // a row that was swapped may yet give it
	}
	v.listen()
	now, open := time.Now(), map[seal.Ref]*suspect{}
	for _, r := range v.owing() {
		if v.toldRun(r) || len(open) >= maxSuspects {
			continue
		}
		ref := r.last()
		s := v.suspects[ref]
		if s == nil {
			s = &suspect{since: now}
		}
		open[ref] = s
		switch {
		case v.asksFor(ref):
		case s.denied:
			v.runs = append(v.runs, r)
			v.find(Finding{
				Name: r.name, Device: r.Device, Epoch: r.Epoch, Chain: r.Chain, From: r.From, To: r.To,
				Detail: r.detail, Proof: r.proof,
			})
		case s.asks < confirmAsks:
			s.asks++
			v.pushAt(job{kind: jobItem, ref: ref, size: seal.MaxItem, confirm: true}, now.Add(confirmAfter))
		}
	}
	v.suspects = open
	if len(v.jobs) == 0 {
		v.noteHoles()
	}
}

// asksFor says whether an item is still to be asked for.
func (v *Viewer) asksFor(r seal.Ref) bool {
	return slices.ContainsFunc(v.jobs, func(j job) bool { return j.kind == jobItem && j.ref == r })
}

// toldRun says whether a run, or one that overlaps it, was told already.
func (v *Viewer) toldRun(r run) bool {
	return len(v.runs) >= maxFindings || slices.ContainsFunc(v.runs, func(t run) bool {
		return t.name == r.name && t.Device == r.Device && t.Epoch == r.Epoch && t.Chain == r.Chain && t.From <= r.To && r.From <= t.To
	})
}

// owing lists what is missing though the hub has to have it.
func (v *Viewer) owing() []run {
	var out []run
	for _, m := range v.allMissing() {
		if m.Dropped || v.mayBeExplained(m) {
			continue
		}
		chain := seal.Ref{Device: m.Device, Epoch: m.Epoch, Chain: m.Chain}
		if m.From > v.tops[chain] {
			out = append(out, v.tail(m)...)
			continue
		}
		if s := v.settled[chain]; s.upTo >= m.From && v.mustKeep(m) {
			settled := m
			settled.To = min(m.To, s.upTo)
			r := v.middle(settled, fmt.Sprintf("items %d to %d are missing, and a checkpoint says that they were delivered", settled.From, settled.To))
			r.proof = append(r.proof, Evidence{"checkpoint", s.item})
			out = append(out, r)
			continue
		}
		for _, lost := range v.hadBefore(m) {
			out = append(out, v.middle(lost, fmt.Sprintf("items %d to %d are missing, and were there before", lost.From, lost.To)))
		}
	}
	return out
}

// mayBeExplained says whether a gap item that was not opened stands after a run: it may
// be the one that names it.
func (v *Viewer) mayBeExplained(m seal.Missing) bool {
	for g := range v.gaps {
		if g.Device == m.Device && g.Epoch == m.Epoch && (g.Chain > m.Chain || g.Chain == m.Chain && g.Seq > m.From) {
			return true
		}
	}
	return false
}

// middle is a run that is missing between others, with its neighbours.
func (v *Viewer) middle(m seal.Missing, detail string) run {
	at := seal.Ref{Device: m.Device, Epoch: m.Epoch, Chain: m.Chain, Seq: m.From - 1}
	f := Finding{}.with("before", v.kept.envelope(at))
	at.Seq = m.To + 1
	f = f.with("after", v.kept.envelope(at))
	return run{name: FoundDropped, Missing: m, detail: detail, proof: f.Proof}
}

// tail is a run that ends at a head that is known, from before or from a member.
func (v *Viewer) tail(m seal.Missing) []run {
	at := seal.Ref{Device: m.Device, Epoch: m.Epoch, Chain: m.Chain, Seq: m.From - 1}
	f := Finding{}.with("before", v.kept.envelope(at))
	for _, h := range v.knownHeads() {
		if chainOf(h.Ref()) != chainOf(at) || h.Seq < m.To {
			continue
		}
		if it, err := seal.ParseEnvelope(h.Envelope); v.retention > 0 && (err != nil || !v.keeps(it.Header)) {
			continue
		}
		f = f.with("head", h.Envelope)
		return []run{{
			name: FoundTail, Missing: m, proof: f.Proof,
			detail: fmt.Sprintf("item %d is known to exist, and the hub gives none after %d", h.Seq, m.From-1),
		}}
	}
	return nil
}

// knownHeads are the heads that the hub is held to.
func (v *Viewer) knownHeads() []Head { return append(slices.Clone(v.pins.Heads), v.told...) }

// mustKeep says whether a hub must still have a run, by its retention.
func (v *Viewer) mustKeep(m seal.Missing) bool {
	if v.retention == 0 {
		return true
	}
	h, ok := v.kept.header(seal.Ref{Device: m.Device, Epoch: m.Epoch, Chain: m.Chain, Seq: m.From - 1})
	return ok && v.keeps(h)
}

// keeps says whether a hub must still have what was captured at the time of h or after.
func (v *Viewer) keeps(h seal.Header) bool {
	return v.retention == 0 || h.Clock == seal.ClockNetwork && time.Since(h.Captured) < v.retention-clockSlack
}

// hadBefore gives the parts of a run that were there, or explained, at an earlier visit.
func (v *Viewer) hadBefore(m seal.Missing) []seal.Missing {
	h := v.pins.head(m.Device, m.Epoch)
	if h == nil || h.Chain != m.Chain || v.retention > 0 {
		return nil
	}
	return without(m, h)
}

// without cuts a run at what a head knows: what is left is up to its Through and no hole.
func without(m seal.Missing, h *Head) []seal.Missing {
	m.To = min(m.To, h.Through)
	var out []seal.Missing
	for _, hole := range h.Holes {
		if m.From > m.To || hole[0] > m.To {
			break
		}
		if hole[1] < m.From {
			continue
		}
		if hole[0] > m.From {
			part := m
			part.To = hole[0] - 1
			out = append(out, part)
		}
		m.From = hole[1] + 1
	}
	if m.From <= m.To {
		out = append(out, m)
	}
	return out
}

// noteHoles remembers what is missing, so that what is not can be asked for the next time.
// What was there once stays owed.
func (v *Viewer) noteHoles() {
	if !v.tookSome {
		return
	}
	v.tookSome = false
	missing := v.allMissing()
	for i := range v.pins.Heads {
		h := &v.pins.Heads[i]
		holes := h.missingNow(missing)
		if len(holes) > maxHoles || h.Through == h.Seq && slices.Equal(holes, h.Holes) {
			continue
		}
		h.Through, h.Holes = h.Seq, holes
		v.headsMove = true
	}
}

// missingNow gives the holes of a head's chain: the old ones that are still missing, and
// those beyond what was known.
func (h *Head) missingNow(missing []seal.Missing) [][2]uint64 {
	var holes [][2]uint64
	add := func(from, to uint64) {
		if n := len(holes); n > 0 && holes[n-1][1]+1 == from {
			holes[n-1][1] = to
		} else if from <= to {
			holes = append(holes, [2]uint64{from, to})
		}
	}
	for _, m := range missing {
		if m.Device != h.Device || m.Epoch != h.Epoch || m.Chain != h.Chain || m.Dropped || m.From > h.Seq {
			continue
		}
		to := min(m.To, h.Seq)
		for _, old := range h.Holes {
			if old[0] <= to && m.From <= old[1] {
				add(max(m.From, old[0]), min(to, old[1]))
			}
		}
		if to > h.Through {
			add(max(m.From, h.Through+1), to)
		}
	}
	return holes
}
