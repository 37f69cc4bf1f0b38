package store

import (
	"errors"
	"testing"

	"github.com/lensward/lensward/transport/seal"
)

// A power cut between the two writes of a first record leaves a device under an owner
// that has no record of it, which does no harm.
func TestOwnedWithoutRecord(t *testing.T) {
	dir := t.TempDir()
	s, _, stop := open(t, dir)
	p := newParty(t)
	o := p.record(t, 1, 1)
	if err := s.putOwned(t.Context(), p.id, o.Record.Device); err != nil { // and then the power went
		t.Fatal(err)
	}
	stop()
	s, _, _ = open(t, dir)
	if got, err := s.History(t.Context(), p.id); len(got) != 0 || err != nil {
		t.Errorf("%d records, %v", len(got), err)
	}
	if rows, _, err := s.fromDevices(t.Context(), p.id, 0, 100, 10); len(rows) != 0 || err != nil {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	if err := s.PutRecord(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Records(t.Context(), p.id); len(got) != 1 || err != nil {
		t.Errorf("%d records, %v", len(got), err)
	}
}

// A device that changes hands, and comes back, is in the history of both, with the records
// that each signed, and its items are each one's own.
func TestRecordsOfADeviceThatChangesHands(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	a := newParty(t)
	b := newParty(t)
	b.device = a.device
	for epoch, p := range []*party{a, b, a} {
		o := p.record(t, uint64(epoch)+1, 1)
		if err := s.PutRecord(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		it := p.itemOf(t, o, uint64(epoch)+1)
		if known, err := s.HasRecord(t.Context(), it.Header); !known || err != nil {
			t.Errorf("the record of epoch %d is stored: %v, %v", epoch+1, known, err)
		}
		if err := s.PutItem(t.Context(), it); err != nil {
			t.Fatal(err)
		}
		for _, other := range []*party{a, b} {
			if _, err := s.Item(t.Context(), other.id, it.Header.Ref()); (err == nil) != (other == p) || err != nil && !errors.Is(err, ErrNotFound) {
				t.Errorf("the item of epoch %d: %v", epoch+1, err)
			}
		}
	}
	for p, want := range map[*party][]uint64{a: {1, 3}, b: {2}} {
		all, err := s.History(t.Context(), p.id)
		if err != nil || len(all) != len(want) {
			t.Fatalf("%d records, not %d, %v", len(all), len(want), err)
		}
		for i, o := range all {
			if o.Record.Epoch != want[i] || o.Record.Owner != p.id {
				t.Errorf("record %d is of epoch %d", i, o.Record.Epoch)
			}
		}
		newest, err := s.Records(t.Context(), p.id)
		if err != nil || len(newest) != len(want) || newest[len(want)-1].Newest != (p == a) || len(want) > 1 && newest[0].Newest {
			t.Errorf("%+v, %v", newest, err)
		}
	}
}

// That a record is not there is not remembered.
func TestHasRecordOnceItComes(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	p := newParty(t)
	o := p.record(t, 1, 1)
	h := p.itemOf(t, o, 1).Header
	for range 2 {
		if known, err := s.HasRecord(t.Context(), h); known || err != nil {
			t.Fatalf("%v, %v", known, err)
		}
	}
	if err := s.PutRecord(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	s.known = memo[recordKey, struct{}]{most: 1} // as after a restart
	for range 2 {
		if known, err := s.HasRecord(t.Context(), h); !known || err != nil {
			t.Fatalf("%v, %v", known, err)
		}
	}
	for _, wrong := range []func(*seal.Header){
		func(h *seal.Header) { h.Epoch++ },
		func(h *seal.Header) { h.Owner[0]++ },
		func(h *seal.Header) { h.Device[0]++ },
		func(h *seal.Header) { h.Record[0]++ },
	} {
		other := h
		wrong(&other)
		if known, err := s.HasRecord(t.Context(), other); known || err != nil {
			t.Errorf("%+v is known, %v", other, err)
		}
	}
}
