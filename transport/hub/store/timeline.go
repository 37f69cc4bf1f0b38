package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/transport/seal"
)

// headerOwner is the message header that says whose an item is, as its signed header
// does, so that who follows the stream need not read the items.
const headerOwner = "Ward-Owner"

// Run follows what is stored, at whatever hub, until ctx ends: it keeps the newest part
// of every time line in memory and wakes those who wait for an item. Without it time
// lines are read from the devices' items, which is slow.
func (s *Store) Run(ctx context.Context) error {
	s.tail.following(true)
	defer s.tail.following(false)
	from := jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: s.tail.end() + 1, HeadersOnly: true,
	}
	if err := s.read(ctx, s.items, from, s.follow); err != nil {
		return fmt.Errorf("follow the items: %w", err)
	}
	return nil
}

// read calls take with a stream's messages until ctx ends.
func (s *Store) read(ctx context.Context, st jetstream.Stream, from jetstream.OrderedConsumerConfig, take func(jetstream.Msg)) error {
	// It finds its way by itself when its server is lost.
	var consumer jetstream.Consumer
	err := s.again(ctx, func(ctx context.Context) (err error) {
		consumer, err = st.OrderedConsumer(ctx, from)
		return err
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	name := st.CachedInfo().Config.Name
	reading, err := consumer.Consume(take, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		s.options.Log.Debug("reading a stream", "stream", name, "err", err) // it goes on by itself
	}))
	if err != nil {
		return err
	}
	<-ctx.Done()
	reading.Stop()
	<-reading.Closed()
	return nil
}

// follow takes the next message of the items' stream.
func (s *Store) follow(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		s.options.Log.Warn("item without a cursor", "subject", m.Subject(), "err", err)
		return
	}
	owner, err := seal.ParseID(m.Headers().Get(headerOwner))
	if err != nil {
		s.options.Log.Warn("item without an owner", "subject", m.Subject(), "err", err)
		s.tail.pass(meta.Sequence.Stream)
		return
	}
	if s.tail.add(meta.Sequence.Stream, owner) {
		s.bell.ringFor(owner)
	}
}

// Timeline is up to limit rows of an owner's items after a cursor, in the order in which
// they were stored, and the cursor to go on from: nothing that is stored later stands
// before it. What was acknowledged at any hub before the call is there.
func (s *Store) Timeline(ctx context.Context, owner seal.ID, after uint64, limit int) ([]Row, uint64, error) {
	if len(s.tail.after(owner, after, limit).cursors) == limit {
		return s.fromTail(ctx, owner, after, limit)
	}
	// There are no more, or the tail has not heard of them.
	stored := s.tail.last()
	if s.options.Replicas > 1 {
		st, err := s.itemsState(ctx)
		if err != nil {
			return nil, after, err
		}
		stored = st.LastSeq
	}
	one, cancel := context.WithTimeout(ctx, glance)
	reached := s.tail.reach(one, stored)
	cancel()
	if reached {
		return s.fromTail(ctx, owner, after, limit)
	}
	if ctx.Err() != nil {
		return nil, after, ctx.Err()
	}
	return s.fromDevices(ctx, owner, after, max(stored, after), limit)
}

// itemsState is how the items' stream is at its leader.
func (s *Store) itemsState(ctx context.Context) (jetstream.StreamState, error) {
	info, err := s.info(ctx, s.items)
	if err != nil {
		return jetstream.StreamState{}, fmt.Errorf("read state of stream %s: %w", streamItems, err)
	}
	return info.State, nil
}

// fromTail is Timeline as far as the tail has come.
func (s *Store) fromTail(ctx context.Context, owner seal.ID, after uint64, limit int) ([]Row, uint64, error) {
	for {
		v := s.tail.after(owner, after, limit)
		var rows []Row
		if after < v.floor {
			var err error
			if rows, after, err = s.fromDevices(ctx, owner, after, v.floor, limit); err != nil || len(rows) == limit {
				return rows, after, err
			}
		}
		cursors := v.cursors[:min(len(v.cursors), limit-len(rows))]
		for _, cursor := range cursors {
			row, err := s.rowAt(ctx, owner, cursor)
			if errors.Is(err, ErrNotFound) {
				s.tail.forget(owner, cursor)
				continue
			}
			if err != nil {
				return nil, after, fmt.Errorf("read timeline at %d: %w", cursor, err)
			}
			rows = append(rows, row)
		}
		switch {
		case len(cursors) == 0:
			return rows, max(after, v.upto), nil
		case len(rows) > 0:
			return rows, cursors[len(cursors)-1], nil
		}
		after = cursors[len(cursors)-1] // all of these were deleted
	}
}

// rowAt is the row at a cursor, or ErrNotFound if there is none of this owner.
func (s *Store) rowAt(ctx context.Context, owner seal.ID, cursor uint64) (Row, error) {
	m, err := s.at(ctx, s.items, cursor)
	if err != nil {
		return Row{}, err
	}
	row, whose, err := readRow(m)
	if err != nil {
		return Row{}, err
	}
	if whose != owner {
		s.options.Log.Error("item under another owner's name", "cursor", cursor, "owner", whose.String())
		return Row{}, ErrNotFound
	}
	return row, nil
}

// source is a device whose items are read one after another.
type source struct {
	filter string
	last   uint64 // the cursor of its newest item
	row    Row    // its next; none at cursor 0
}

// fromDevices is Timeline up to a cursor, read from the items of the owner's devices. At
// the time of the call everything up to that cursor is stored.
func (s *Store) fromDevices(ctx context.Context, owner seal.ID, after, until uint64, limit int) ([]Row, uint64, error) {
	devices, err := s.devicesOf(ctx, owner)
	if err != nil {
		return nil, after, err
	}
	var sources []*source
	for _, d := range devices {
		from := &source{filter: "ward.item." + d + ".>"}
		m, err := s.newest(ctx, s.items, from.filter)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err == nil {
			from.last = m.Sequence
			err = s.advance(ctx, from, owner, after, until)
		}
		if err != nil {
			return nil, after, fmt.Errorf("read timeline of device %s after %d: %w", d, after, err)
		}
		sources = append(sources, from)
	}
	var rows []Row
	for len(rows) < limit {
		sources = slices.DeleteFunc(sources, func(x *source) bool { return x.row.Cursor == 0 })
		if len(sources) == 0 {
			return rows, until, nil
		}
		least := slices.MinFunc(sources, func(x, y *source) int { return cmp.Compare(x.row.Cursor, y.row.Cursor) })
		rows = append(rows, least.row)
		if err := s.advance(ctx, least, owner, least.row.Cursor, until); err != nil {
			return nil, after, fmt.Errorf("read timeline after %d: %w", least.row.Cursor, err)
		}
	}
	return rows, rows[len(rows)-1].Cursor, nil
}

// advance reads a device's next item of this owner.
func (s *Store) advance(ctx context.Context, from *source, owner seal.ID, after, until uint64) error {
	from.row = Row{}
	for after < min(from.last, until) {
		m, err := s.following(ctx, s.items, after+1, from.filter)
		if errors.Is(err, ErrNotFound) || err == nil && m.Sequence > until {
			return nil
		}
		if err != nil {
			return err
		}
		row, whose, err := readRow(m)
		if err != nil {
			return err
		}
		if whose == owner {
			from.row = row
			return nil
		}
		after = m.Sequence
	}
	return nil
}

// readRow is a stored item's row, and whose it is by its signed header.
func readRow(m *jetstream.RawStreamMsg) (Row, seal.ID, error) {
	it, err := parseStored(m.Data)
	if err != nil {
		return Row{}, seal.ID{}, err
	}
	return Row{Cursor: m.Sequence, Envelope: it.Envelope}, it.Header.Owner, nil
}

func ownedSubject(owner, device string) string { return "ward.owned." + owner + "." + device }

// devicesOf are the devices of which an owner may have records and items.
func (s *Store) devicesOf(ctx context.Context, owner seal.ID) ([]string, error) {
	devices, err := s.names(ctx, s.owned, ownedSubject(owner.String(), ""))
	if err != nil {
		return nil, fmt.Errorf("list devices of %s: %w", owner.Short(), err)
	}
	return devices, nil
}
