package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

func recordSubject(o *ownership.Ownership) string {
	r := o.Record
	return fmt.Sprintf("ward.record.%s.%s.%d.%d.%s", r.Owner, r.Device, r.Epoch, r.Revision, o.Hash())
}

func deviceRecords(device seal.ID) string { return fmt.Sprintf("ward.record.*.%s.>", device) }

// place is what a record's subject says.
type place struct {
	owner, device, hash string
	epoch, revision     uint64
}

func parsePlace(subject string) (place, error) {
	f := strings.Split(subject, ".")
	if len(f) != 7 {
		return place{}, fmt.Errorf("record at subject %q", subject)
	}
	p := place{owner: f[2], device: f[3], hash: f[6]}
	var err error
	if p.epoch, err = strconv.ParseUint(f[4], 10, 64); err == nil {
		p.revision, err = strconv.ParseUint(f[5], 10, 64)
	}
	if err != nil {
		return place{}, fmt.Errorf("record at subject %q: %w", subject, err)
	}
	return p, nil
}

// after says that p's number is higher than q's.
func (p place) after(q place) bool {
	return p.epoch > q.epoch || p.epoch == q.epoch && p.revision > q.revision
}

// PutRecord stores a verified record. It returns nil if it is stored already,
// ErrRollBack if the device has a newer one, and ErrFork if another record has
// its number, or another owner its epoch.
func (s *Store) PutRecord(ctx context.Context, o *ownership.Ownership) error {
	m := nats.NewMsg(recordSubject(o))
	m.Data = o.Bytes()
	for range 8 { // only another hub of the same cluster makes a second round needed
		seq, err := s.compareRecord(ctx, o)
		if err != nil {
			return fmt.Errorf("store ownership record %s: %w", o.Hash(), err)
		}
		if seq == alreadyStored {
			return nil
		}
		newest := deviceRecords(o.Record.Device)
		err = s.create(ctx, m, jetstream.WithExpectLastSequenceForSubject(seq, newest))
		if err == nil {
			s.tell(noteRecord, o.Record.Owner)
			return nil
		}
		if !errors.Is(err, ErrFork) {
			return fmt.Errorf("store ownership record %s: %w", o.Hash(), err)
		}
		if err := wait.For(ctx, pause); err != nil {
			return fmt.Errorf("store ownership record %s: %w", o.Hash(), err)
		}
	}
	return fmt.Errorf("store ownership record %s: the device's newest record keeps changing", o.Hash())
}

// alreadyStored is no sequence number that a stream gives.
const alreadyStored = ^uint64(0)

// compareRecord holds a record against the device's newest, and returns that
// one's sequence number, 0 if there is none.
func (s *Store) compareRecord(ctx context.Context, o *ownership.Ownership) (uint64, error) {
	m, err := s.newest(ctx, s.records, deviceRecords(o.Record.Device))
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	newest, err := parsePlace(m.Subject)
	if err != nil {
		return 0, err
	}
	own, err := parsePlace(recordSubject(o))
	if err != nil {
		return 0, err
	}
	if own == newest {
		return alreadyStored, nil
	}
	if own.after(newest) {
		if own.epoch == newest.epoch && own.owner != newest.owner {
			return 0, fmt.Errorf("another owner in epoch %d: %w", own.epoch, ErrFork)
		}
		return m.Sequence, nil
	}
	return 0, s.judgeOld(ctx, o, own)
}

// judgeOld tells a stored record that comes again, which is a roll-back like any
// other unless it is the newest, from another one with the same number.
func (s *Store) judgeOld(ctx context.Context, o *ownership.Ownership, own place) error {
	number := fmt.Sprintf("ward.record.*.%s.%d.%d.*", own.device, own.epoch, own.revision)
	m, err := s.last(ctx, s.records, number)
	if errors.Is(err, ErrNotFound) {
		return ErrRollBack
	}
	if err != nil {
		return err
	}
	if m.Subject != recordSubject(o) {
		return ErrFork
	}
	return ErrRollBack
}

// HasRecord says whether the record that an item's header names is stored, with
// the header's owner, device and epoch. What it says is not there is nowhere in the
// cluster: an item is refused for ever for it.
func (s *Store) HasRecord(ctx context.Context, h seal.Header) (bool, error) {
	subject := fmt.Sprintf("ward.record.%s.%s.%d.*.%s", h.Owner, h.Device, h.Epoch, h.Record)
	_, err := s.last(ctx, s.records, subject)
	if errors.Is(err, ErrNotFound) && s.options.Replicas > 1 {
		if err = s.Probe(ctx); err == nil {
			_, err = s.newest(ctx, s.records, subject)
		}
	}
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for ownership record %s: %w", h.Record, err)
	}
	return true, nil
}

// OwnerRecord is a record with what the hub knows of it.
type OwnerRecord struct {
	*ownership.Ownership
	// Newest says that the device has no newer record, of this owner or another.
	Newest bool
}

// History is every record that an owner signed, whatever came after: items that
// were sealed under an old revision are verified by it.
func (s *Store) History(ctx context.Context, owner seal.ID) ([]*ownership.Ownership, error) {
	subjects, err := s.recordSubjects(ctx, owner)
	if err != nil {
		return nil, err
	}
	var out []*ownership.Ownership
	for _, p := range slices.SortedFunc(maps.Keys(subjects), comparePlaces) {
		m, err := s.last(ctx, s.records, subjects[p])
		if err != nil {
			return nil, fmt.Errorf("read ownership record %s: %w", p.hash, err)
		}
		o, err := ownership.Parse(m.Data)
		if err != nil {
			return nil, fmt.Errorf("read ownership record %s: %w", p.hash, err)
		}
		out = append(out, o)
	}
	return out, nil
}

func comparePlaces(x, y place) int {
	return cmp.Or(cmp.Compare(x.device, y.device), cmp.Compare(x.epoch, y.epoch), cmp.Compare(x.revision, y.revision))
}

// recordSubjects lists where an owner's records are.
func (s *Store) recordSubjects(ctx context.Context, owner seal.ID) (map[place]string, error) {
	info, err := s.records.Info(ctx, jetstream.WithSubjectFilter("ward.record."+owner.String()+".>"))
	if err != nil {
		return nil, fmt.Errorf("list ownership records of %s: %w", owner.Short(), err)
	}
	subjects := make(map[place]string)
	for subject := range info.State.Subjects {
		p, err := parsePlace(subject)
		if err != nil {
			return nil, fmt.Errorf("list ownership records: %w", err)
		}
		subjects[p] = subject
	}
	return subjects, nil
}

// Records are the newest records that an owner signed, one for each device and epoch.
func (s *Store) Records(ctx context.Context, owner seal.ID) ([]OwnerRecord, error) {
	subjects, err := s.recordSubjects(ctx, owner)
	if err != nil {
		return nil, err
	}
	type ofEpoch struct {
		device string
		epoch  uint64
	}
	newest := make(map[ofEpoch]place)
	for p := range subjects {
		k := ofEpoch{p.device, p.epoch}
		if q, ok := newest[k]; !ok || p.after(q) {
			newest[k] = p
		}
	}
	var out []OwnerRecord
	for _, p := range newest {
		r, err := s.ownerRecord(ctx, subjects[p])
		if err != nil {
			return nil, fmt.Errorf("read ownership record %s: %w", p.hash, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func (s *Store) ownerRecord(ctx context.Context, subject string) (OwnerRecord, error) {
	m, err := s.last(ctx, s.records, subject)
	if err != nil {
		return OwnerRecord{}, err
	}
	o, err := ownership.Parse(m.Data)
	if err != nil {
		return OwnerRecord{}, err
	}
	top, err := s.newest(ctx, s.records, deviceRecords(o.Record.Device))
	if err != nil {
		return OwnerRecord{}, err
	}
	return OwnerRecord{Ownership: o, Newest: top.Subject == subject}, nil
}
