package viewer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// ErrHubChanged means that another hub answers than the one that was pinned.
var ErrHubChanged = errors.New("this is not the hub that was signed in to before")

// errForeign marks a record of another owner.
var errForeign = errors.New("ownership record of another owner")

// errWithheld marks a pinned record that the hub no longer gives.
var errWithheld = errors.New("the hub does not give the ownership record that it gave before")

// signIn makes sure that there is a session, with the hub that is pinned.
func (v *Viewer) signIn(ctx context.Context) error {
	if v.hub.token != "" {
		return nil
	}
	id, retention, err := v.hub.hubID(ctx)
	if err != nil {
		return err
	}
	v.retention = retention
	if v.pins.Hub != (seal.ID{}) && v.pins.Hub != id {
		return fmt.Errorf("sign in: hub %s, pinned %s: %w", id.Short(), v.pins.Hub.Short(), ErrHubChanged)
	}
	if v.pins.Hub != id {
		pins := v.pins
		pins.Hub = id
		if err := v.state.Save(pins); err != nil {
			return err
		}
		v.pins = pins
	}
	return v.hub.signIn(ctx, id)
}

// refresh fetches the ownership records and pins what is new, then the hub's
// word on the cameras, and gives what could not be had another chance.
func (v *Viewer) refresh(ctx context.Context) error {
	given, err := v.hub.records(ctx)
	if err != nil {
		return err
	}
	if err := v.takeRecords(given); err != nil {
		return err
	}
	if err := v.hear(ctx); err != nil {
		return err
	}
	if err := v.lookAtHousehold(ctx); err != nil {
		return err
	}
	v.stale, v.refreshed = false, time.Now()
	v.hearMembers()
	v.secondChance()
	return nil
}

// hear fetches the hub's word on the cameras.
func (v *Viewer) hear(ctx context.Context) error {
	words, err := v.hub.devices(ctx)
	switch {
	case err == nil:
		v.account.hear(words)
		v.words, v.heard = words, time.Now()
	case isTrouble(err):
		return err
	default: // it is only the hub's word
		v.log.Warn("the hub's word on the cameras", "err", err)
	}
	return nil
}

// takeRecords pins the records that are this owner's and new. A record is in
// force only once it is saved: otherwise a crash would let the hub take it back.
func (v *Viewer) takeRecords(given [][]byte) error {
	var good []*ownership.Ownership
	refused := map[seal.ID]error{}
	for _, b := range given {
		o, err := v.checkRecord(b)
		if err != nil {
			var device seal.ID
			if o != nil {
				device = o.Record.Device
			}
			refused[device] = err
			continue
		}
		good = append(good, o)
	}
	slices.SortFunc(good, func(a, b *ownership.Ownership) int {
		return cmp.Or(cmp.Compare(a.Record.Epoch, b.Record.Epoch), cmp.Compare(a.Record.Revision, b.Record.Revision))
	})
	pins := v.pins.clone()
	var fresh []PinnedRecord
	for _, o := range good {
		more, err := pins.follow(o)
		if err != nil {
			refused[o.Record.Device] = err
			v.judgeRecord(o, err)
		}
		fresh = append(fresh, more...)
	}
	if marked := pins.mark(good); len(fresh) > 0 || marked {
		if err := v.state.Save(pins); err != nil {
			return err
		}
		v.pins, v.headsMove = pins, false
		v.policy.Cameras = pins.cameras()
	}
	for _, b := range given {
		v.witness.see(b)
	}
	for device := range v.policy.Cameras {
		top, _ := v.pins.newest(device)
		there := slices.ContainsFunc(good, func(o *ownership.Ownership) bool { return o.Hash() == top.Hash })
		if _, said := refused[device]; !there && !said {
			refused[device] = fmt.Errorf("epoch %d revision %d: %w", top.Epoch, top.Revision, errWithheld)
		}
	}
	v.checkRollBack(good)
	v.tellRecords(fresh, refused)
	return nil
}

// mark notes which records the hub gave, and says whether that is new.
func (p *Pins) mark(given []*ownership.Ownership) bool {
	fresh := false
	for _, o := range given {
		i := p.index(PinnedRecord{Device: o.Record.Device, Epoch: o.Record.Epoch, Revision: o.Record.Revision, Hash: o.Hash()})
		if i >= 0 && !p.Records[i].Given {
			p.Records[i].Given, fresh = true, true
		}
	}
	return fresh
}

// judgeRecord tells a record that contradicts one that is pinned: both sides signed two.
func (v *Viewer) judgeRecord(o *ownership.Ownership, err error) {
	if errors.Is(err, ownership.ErrSuccession) {
		r := o.Record
		v.find(Finding{
			Name: FoundFork, Device: r.Device, Epoch: r.Epoch, From: r.Revision, To: r.Revision, Detail: err.Error(),
		}.with("other-record", o.Bytes()))
	}
}

// checkRollBack looks whether the hub still gives the newest record of each camera that
// it gave before. One that it does not is asked for again before it is told.
func (v *Viewer) checkRollBack(good []*ownership.Ownership) {
	now := time.Now()
	for device := range v.policy.Cameras {
		top, ok := v.pins.newestGiven(device)
		if !ok || slices.ContainsFunc(good, func(o *ownership.Ownership) bool { return o.Hash() == top.Hash }) {
			delete(v.older, device)
			continue
		}
		since, known := v.older[device]
		switch {
		case !known:
			v.older[device] = now
			v.pushOnce(job{kind: jobRecords}, now.Add(staleEvery))
		case now.Sub(since) >= staleEvery:
			v.find(Finding{
				Name: FoundRollBack, Device: device, Epoch: top.Epoch, From: top.Revision, To: top.Revision,
				Detail: fmt.Sprintf("it gave revision %d of epoch %d (%s) before, and gives it no more", top.Revision, top.Epoch, top.Hash),
			})
		}
	}
}

// know pins a record that did not come from the hub.
func (v *Viewer) know(o *ownership.Ownership) error {
	o, err := v.checkRecord(o.Bytes())
	if err != nil {
		return err
	}
	if _, err := v.pins.follow(o); err != nil && !errors.Is(err, ownership.ErrRollBack) {
		return err
	}
	return nil
}

// checkRecord reads a record and checks that both sides signed it and that this
// owner did. The record is returned with the error if it could be read.
func (v *Viewer) checkRecord(b []byte) (*ownership.Ownership, error) {
	o, err := ownership.Parse(b)
	if err != nil {
		return nil, err
	}
	if err := o.Verify(); err != nil {
		return o, err
	}
	if o.Record.Owner != v.keys.Owner {
		return o, fmt.Errorf("owner %s: %w", o.Record.Owner.Short(), errForeign)
	}
	return o, nil
}

// follow adds a verified record to the pins unless it is there, and returns what
// was added. It refuses one that is older than what is pinned, and one that
// contradicts it. The hash of the revision before is taken on the owner's word:
// it is in what the owner signed.
func (p *Pins) follow(o *ownership.Ownership) ([]PinnedRecord, error) {
	r := o.Record
	pin := PinnedRecord{Device: r.Device, Epoch: r.Epoch, Revision: r.Revision, Hash: o.Hash()}
	if p.index(pin) >= 0 {
		return nil, nil
	}
	top, known := p.newest(r.Device)
	switch {
	case !known:
	case r.Epoch < top.Epoch, r.Epoch == top.Epoch && r.Revision < top.Revision:
		return nil, fmt.Errorf("epoch %d revision %d, pinned %d and %d: %w", r.Epoch, r.Revision, top.Epoch, top.Revision, ownership.ErrRollBack)
	case r.Epoch == top.Epoch && r.Revision == top.Revision:
		return nil, fmt.Errorf("two different records for epoch %d revision %d: %w", r.Epoch, r.Revision, ownership.ErrSuccession)
	case r.Epoch == top.Epoch && r.Revision == top.Revision+1 && r.Previous != top.Hash:
		return nil, fmt.Errorf("epoch %d revision %d names another record before it than the pinned one: %w", r.Epoch, r.Revision, ownership.ErrSuccession)
	}
	var added []PinnedRecord
	if r.Revision > 1 {
		before := PinnedRecord{Device: r.Device, Epoch: r.Epoch, Revision: r.Revision - 1, Hash: r.Previous}
		if p.index(before) < 0 {
			added = append(added, before)
		}
	}
	added = append(added, pin)
	p.Records = append(p.Records, added...)
	return added, nil
}

// tellRecords tells what is new. What was refused is told when it changes, not
// at every refresh.
func (v *Viewer) tellRecords(fresh []PinnedRecord, refused map[seal.ID]error) {
	for _, pin := range fresh {
		v.emit(RecordPinned{Pin: pin})
	}
	for device, err := range refused {
		if v.refused[device] != err.Error() {
			v.log.Warn("ownership record not taken", "device", device.Short(), "err", err)
			v.emit(RecordRefused{Device: device, Err: err})
		}
	}
	v.refused = make(map[seal.ID]string, len(refused))
	for device, err := range refused {
		v.refused[device] = err.Error()
	}
}

// saveHeads saves the pins if a head moved since they were saved.
func (v *Viewer) saveHeads() error {
	if !v.headsMove {
		return nil
	}
	if err := v.state.Save(v.pins); err != nil {
		return err
	}
	v.headsMove = false
	return nil
}
