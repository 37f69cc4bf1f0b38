package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	return fmt.Sprintf("ward.record.%s.%d.%d.%s.%s", r.Device, r.Epoch, r.Revision, r.Owner, o.Hash())
}

func deviceRecords(device string) string { return "ward.record." + device + ".>" }

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
	p := place{device: f[2], owner: f[5], hash: f[6]}
	var err error
	if p.epoch, err = strconv.ParseUint(f[3], 10, 64); err == nil {
		p.revision, err = strconv.ParseUint(f[4], 10, 64)
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
		newest, err := s.compareRecord(ctx, o)
		if err != nil {
			return fmt.Errorf("store ownership record %s: %w", o.Hash(), err)
		}
		if newest.seq == alreadyStored {
			s.known.put(keyOf(o), struct{}{})
			return nil
		}
		if newest.owner != o.Record.Owner.String() {
			if err := s.putOwned(ctx, o.Record.Owner, o.Record.Device); err != nil {
				return fmt.Errorf("store ownership record %s: %w", o.Hash(), err)
			}
		}
		_, err = s.create(ctx, m, jetstream.WithExpectLastSequenceForSubject(newest.seq, deviceRecords(o.Record.Device.String())))
		if err == nil {
			s.known.put(keyOf(o), struct{}{})
			s.tellRecord(o.Record.Owner)
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

// putOwned has an owner's devices be found by the owner. It is written before the first
// record of the two: what says too much does no harm.
func (s *Store) putOwned(ctx context.Context, owner, device seal.ID) error {
	if _, err := s.publish(ctx, nats.NewMsg(ownedSubject(owner.String(), device.String()))); err != nil {
		return fmt.Errorf("note that device %s is of owner %s: %w", device.Short(), owner.Short(), err)
	}
	return nil
}

// alreadyStored is no sequence number that a stream gives.
const alreadyStored = ^uint64(0)

// newestRecord is where a device's newest record stands.
type newestRecord struct {
	seq   uint64 // in its stream; 0 if there is none
	owner string
}

// compareRecord holds a record against the device's newest.
func (s *Store) compareRecord(ctx context.Context, o *ownership.Ownership) (newestRecord, error) {
	m, err := s.newest(ctx, s.records, deviceRecords(o.Record.Device.String()))
	if errors.Is(err, ErrNotFound) {
		return newestRecord{}, nil
	}
	if err != nil {
		return newestRecord{}, err
	}
	newest, err := parsePlace(m.Subject)
	if err != nil {
		return newestRecord{}, err
	}
	own, err := parsePlace(recordSubject(o))
	if err != nil {
		return newestRecord{}, err
	}
	if own == newest {
		return newestRecord{seq: alreadyStored}, nil
	}
	if own.after(newest) {
		if own.epoch == newest.epoch && own.owner != newest.owner {
			return newestRecord{}, fmt.Errorf("another owner in epoch %d: %w", own.epoch, ErrFork)
		}
		return newestRecord{m.Sequence, newest.owner}, nil
	}
	return newestRecord{}, s.judgeOld(ctx, o, own)
}

// judgeOld tells a stored record that comes again, which is a roll-back like any
// other unless it is the newest, from another one with the same number.
func (s *Store) judgeOld(ctx context.Context, o *ownership.Ownership, own place) error {
	number := fmt.Sprintf("ward.record.%s.%d.%d.*.*", own.device, own.epoch, own.revision)
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

// recordKey is what an item's header says of its record.
type recordKey struct {
	owner, device seal.ID
	epoch         uint64
	hash          seal.Hash
}

func keyOf(o *ownership.Ownership) recordKey {
	return recordKey{o.Record.Owner, o.Record.Device, o.Record.Epoch, o.Hash()}
}

// HasRecord says whether the record that an item's header names is stored, with
// the header's owner, device and epoch. What it says is not there is nowhere in the
// cluster: an item is refused for ever for it.
func (s *Store) HasRecord(ctx context.Context, h seal.Header) (bool, error) {
	key := recordKey{h.Owner, h.Device, h.Epoch, h.Record}
	if _, ok := s.known.get(key); ok { // a record that is stored stays
		return true, nil
	}
	subject := fmt.Sprintf("ward.record.%s.%d.*.%s.%s", h.Device, h.Epoch, h.Owner, h.Record)
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
	s.known.put(key, struct{}{})
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
	records, err := s.listRecords(ctx, owner)
	if err != nil {
		return nil, err
	}
	var out []*ownership.Ownership
	for _, l := range records {
		o, err := s.readRecord(ctx, l)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// Records are the newest records that an owner signed, one for each device and epoch.
func (s *Store) Records(ctx context.Context, owner seal.ID) ([]OwnerRecord, error) {
	records, err := s.listRecords(ctx, owner)
	if err != nil {
		return nil, err
	}
	var out []OwnerRecord
	for i, l := range records {
		if i+1 < len(records) && records[i+1].device == l.device && records[i+1].epoch == l.epoch {
			continue // there is a later revision
		}
		o, err := s.readRecord(ctx, l)
		if err != nil {
			return nil, err
		}
		out = append(out, OwnerRecord{Ownership: o, Newest: l.newest})
	}
	return out, nil
}

// listed is a record of an owner's, by its subject.
type listed struct {
	place
	subject string
	newest  bool // of all records of the device
}

// listRecords lists an owner's records by device, epoch and revision.
func (s *Store) listRecords(ctx context.Context, owner seal.ID) ([]listed, error) {
	devices, err := s.devicesOf(ctx, owner)
	if err != nil {
		return nil, err
	}
	var out []listed
	for _, d := range devices {
		info, err := s.info(ctx, s.records, jetstream.WithSubjectFilter(deviceRecords(d)))
		if err != nil {
			return nil, fmt.Errorf("list ownership records of device %s: %w", d, err)
		}
		var all []listed
		for subject := range info.State.Subjects {
			p, err := parsePlace(subject)
			if err != nil {
				return nil, fmt.Errorf("list ownership records of device %s: %w", d, err)
			}
			all = append(all, listed{place: p, subject: subject})
		}
		slices.SortFunc(all, func(x, y listed) int {
			return cmp.Or(cmp.Compare(x.epoch, y.epoch), cmp.Compare(x.revision, y.revision))
		})
		if len(all) > 0 {
			all[len(all)-1].newest = true
		}
		out = append(out, slices.DeleteFunc(all, func(l listed) bool { return l.owner != owner.String() })...)
	}
	return out, nil
}

// readRecord reads a listed record.
func (s *Store) readRecord(ctx context.Context, l listed) (o *ownership.Ownership, err error) {
	if o, ok := s.parsed.get(l.hash); ok {
		return o, nil
	}
	m, err := s.last(ctx, s.records, l.subject)
	if err == nil {
		o, err = ownership.Parse(m.Data)
	}
	if err != nil {
		return nil, fmt.Errorf("read ownership record %s: %w", l.hash, err)
	}
	s.parsed.put(l.hash, o)
	return o, nil
}
