package viewer

import (
	"fmt"
	"slices"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// maxReports bounds how many reports are remembered as made.
const maxReports = 10_000

// takeRow looks at a row of the time line: an envelope that may be anybody's.
// One that passes is the promise of an item, which is then fetched. After one
// that does not the row is asked for again.
func (v *Viewer) takeRow(r row) {
	it, err := v.checkEnvelope(r)
	if err != nil && v.tooSoon(err, r.Cursor) {
		v.askRow(r.Cursor)
		return
	}
	if err != nil {
		v.withhold(err, Withheld{Cursor: r.Cursor}, it)
		if worthAsking(err, v.doubts[r.Cursor]) {
			v.askRow(r.Cursor)
		}
		return
	}
	ref, hash := it.Header.Ref(), it.Hash()
	if err := v.add(it); err != nil {
		v.takeKnown(err, it, r.Cursor)
		return
	}
	v.settle(r.Cursor, ref)
	v.fetch(ref, hash, it.Size()+int(it.Header.BodySize))
}

// add takes an item into the account. Its errors are those of seal.Audit.Add; an item
// that is refused changes nothing.
func (v *Viewer) add(it *seal.Item) error {
	h := it.Header
	if _, _, taken := v.audit.At(h.Ref()); !taken {
		if err := v.fits(it); err != nil {
			return err
		}
	}
	if err := v.audit.Add(h, it.Hash()); err != nil {
		return err
	}
	v.kept.add(h.Ref(), it.Envelope)
	v.arrived[h.Device], v.tookSome = time.Now(), true
	if h.Kind == seal.KindGap {
		v.gaps[h.Ref()] = true
	}
	v.headSeen(it)
	return nil
}

// tooSoon says that an answer may be the owner's own by a record that is newer than
// those that are known: they are fetched before it counts as anybody else's.
func (v *Viewer) tooSoon(err error, cursor uint64) bool {
	switch seal.ReasonOf(err) {
	case seal.ReasonUnknownDevice, seal.ReasonWrongEpoch, seal.ReasonUnknownRecord:
	default:
		return false
	}
	came, known := v.unsure[cursor]
	if !known && len(v.unsure) < maxDoubts {
		came, known = time.Now(), true
		v.unsure[cursor] = came
	}
	if !known || v.refreshed.After(came) || v.doubts[cursor] >= maxTries {
		return false
	}
	v.stale = true
	return true
}

// checkEnvelope reads a row and checks all that can be checked of it. The item
// is returned with the error where its signature verifies.
func (v *Viewer) checkEnvelope(r row) (*seal.Item, error) {
	b, err := r.envelope()
	if err != nil {
		return nil, err
	}
	it, err := seal.ParseEnvelope(b)
	if err != nil {
		return nil, err
	}
	if err := it.VerifyEnvelope(); err != nil {
		return nil, err
	}
	return it, v.policy.Check(it.Header)
}

// takeKnown handles an item of the owner's own that does not fit the account. A
// fork or a broken chain is the camera's own contradiction. An item that was
// taken before may stand in two rows: then one of the two rows was swapped, and
// both are asked for again.
func (v *Viewer) takeKnown(err error, it *seal.Item, cursor uint64) {
	ref := it.Header.Ref()
	home := v.homes[ref]
	switch {
	case seal.ReasonOf(err) != seal.ReasonReplayed:
		v.withhold(err, Withheld{Cursor: cursor}, it)
	case home == cursor:
	case home == 0: // it came by name or in a swapped row, and here is its own
		v.settle(cursor, ref)
	default:
		v.withhold(err, Withheld{Cursor: cursor}, it)
		v.askRow(cursor)
		v.askRow(home)
	}
}

// settle notes that an item stands in a row. What was thought to stand there has
// its row elsewhere.
func (v *Viewer) settle(cursor uint64, ref seal.Ref) {
	if before, ok := v.rows[cursor]; ok && before != ref && v.homes[before] == cursor {
		v.homes[before] = 0
	}
	v.rows[cursor], v.homes[ref] = ref, cursor
}

// takeBody looks at the answer for an item that was asked for: by its hash where
// a row promised it, else by its place alone. An error says that the item was
// not had, and again that another answer may be the right one.
func (v *Viewer) takeBody(b []byte, j job) (again bool, err error) {
	it, err := v.checkItem(b, j)
	if err != nil {
		v.withhold(err, Withheld{Asked: &j.ref}, it)
		return worthAsking(err, j.tries), err
	}
	if !j.listed {
		if err := v.add(it); err != nil {
			if seal.ReasonOf(err) != seal.ReasonReplayed { // its row may have come in the meantime
				v.withhold(err, Withheld{Asked: &j.ref}, it)
			}
			return false, nil
		}
	}
	v.account.add(&v.account.sum.Verified)
	v.open(it, b)
	return false, nil
}

// checkItem reads an answer and checks it in the order of docs/ref/sealed-item.md.
// The item is returned with the error where it verifies as somebody's.
func (v *Viewer) checkItem(b []byte, j job) (*seal.Item, error) {
	it, err := seal.Parse(b)
	if err != nil {
		return nil, err
	}
	if err := it.Verify(); err != nil {
		return nil, err
	}
	if it.Header.Ref() != j.ref || j.listed && it.Hash() != j.hash {
		return it, &seal.Error{
			Reason: seal.ReasonNotAskedFor,
			Detail: fmt.Sprintf("asked for %s, got an item of camera %s of owner %s", j.ref, it.Header.Device.Short(), it.Header.Owner.Short()),
		}
	}
	return it, v.policy.Check(it.Header)
}

// open decrypts an item that passed every check, and hands it out. b is the
// item's bytes, for the witness.
func (v *Viewer) open(it *seal.Item, b []byte) {
	ref := it.Header.Ref()
	plain, err := it.Open(v.keys.Identities...)
	if err != nil {
		v.withhold(err, Withheld{Asked: &ref}, it)
		return
	}
	o := Opened{Header: it.Header, Hash: it.Hash(), Body: plain}
	if err := v.readBody(&o, b); err != nil {
		v.withhold(err, Withheld{Asked: &ref}, it)
		return
	}
	if v.witness.wrong(b) {
		v.log.Error("an item was shown that should not have been", "ref", ref.String())
		v.account.add(&v.account.sum.WronglyShown)
	}
	v.emit(o)
}

// readBody reads the body of an item that speaks to programs, and takes what a
// gap item explains into account. b is the whole item.
func (v *Viewer) readBody(o *Opened, b []byte) error {
	var err error
	switch o.Header.Kind {
	case seal.KindEvent:
		var e seal.Event
		e, err = seal.ParseEvent(o.Body)
		o.Event = &e
	case seal.KindCheckpoint:
		var c seal.Checkpoint
		if c, err = seal.ParseCheckpoint(o.Body); err == nil {
			v.hearCheckpoint(o.Header, c, b)
		}
		o.Checkpoint = &c
	case seal.KindGap:
		var g seal.Gap
		if g, err = seal.ParseGap(o.Body); err == nil {
			o.Gap, v.tookSome = &g, true
			delete(v.gaps, o.Header.Ref())
			return v.audit.Explain(o.Header, g)
		}
	}
	if err != nil {
		return &seal.Error{Reason: seal.ReasonMalformed, Detail: err.Error()}
	}
	return nil
}

// withhold records an answer that is not shown. it is given where its signature
// verifies: its header is then proof, and if it is somebody else's it is
// reported to the hub's operator.
func (v *Viewer) withhold(err error, w Withheld, it *seal.Item) {
	w.At, w.Reason, w.Detail = time.Now(), seal.ReasonOf(err), err.Error()
	if it != nil {
		h := it.Header
		w.Proof, w.Header = slices.Clone(it.Envelope), &h
		switch why := seal.ReasonOf(v.policy.Check(h)); why {
		case seal.ReasonUnknownRecord:
			v.stale = true // the owner's own, sealed under a record that may be new
		case seal.ReasonWrongOwner, seal.ReasonUnknownDevice, seal.ReasonWrongEpoch:
			v.stale = v.stale || why != seal.ReasonWrongOwner
			w.Misrouted = why
			v.queueReport(it, why)
		}
	}
	v.log.Info("withheld", "reason", string(w.Reason), "detail", w.Detail)
	v.emit(w)
	v.judge(w, it)
}

// queueReport has a misrouted header handed back, once.
func (v *Viewer) queueReport(it *seal.Item, why seal.Reason) {
	hash := it.Hash()
	if v.reports[hash] || len(v.reports) >= maxReports {
		return
	}
	v.reports[hash] = true
	v.push(job{kind: jobReport, envelope: slices.Clone(it.Envelope), reason: why})
}

// headSeen remembers how far a chain has come, from one run to the next.
func (v *Viewer) headSeen(it *seal.Item) {
	r := it.Header.Ref()
	v.tops[chainOf(r)] = max(v.tops[chainOf(r)], r.Seq)
	if v.pins.seen(it) {
		v.headsMove = true
	}
}

// worthAsking says whether a wrong answer may be followed by the right one.
func worthAsking(err error, tries int) bool {
	switch seal.ReasonOf(err) {
	case seal.ReasonUnknownRecord, seal.ReasonUnknownDevice, seal.ReasonWrongEpoch:
		return tries < fewTries // what the records say decides, and they were fetched again
	}
	return tries < maxTries
}
