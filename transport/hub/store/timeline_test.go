package store

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// fleet is owners with cameras, some of which change hands.
type fleet struct {
	parties []*party
	seq     map[seal.ID]uint64 // of devices
	record  map[seal.ID]*ownership.Ownership
	stored  []*seal.Item // nil where it was deleted
}

// newFleet has cameras of three owners, two each.
func newFleet(t *testing.T, s *Store) *fleet {
	f := &fleet{seq: map[seal.ID]uint64{}, record: map[seal.ID]*ownership.Ownership{}}
	for range 3 {
		p := newParty(t)
		second := newParty(t)
		second.owner, second.id, second.age = p.owner, p.id, p.age
		f.parties = append(f.parties, p, second)
	}
	for _, p := range f.parties {
		f.own(t, s, p)
	}
	return f
}

// own begins a device's next epoch.
func (f *fleet) own(t *testing.T, s *Store, p *party) {
	t.Helper()
	d, epoch := seal.KeyID(spki(t, p.device)), uint64(1)
	if o := f.record[d]; o != nil {
		epoch = o.Record.Epoch + 1
	}
	f.record[d] = p.record(t, epoch, 1)
	if err := s.PutRecord(t.Context(), f.record[d]); err != nil {
		t.Fatal(err)
	}
}

// store stores an item of one of the devices, or gives the device to another owner.
func (f *fleet) store(t *testing.T, s *Store, r *rand.Rand) {
	t.Helper()
	p := f.parties[r.IntN(len(f.parties))]
	if r.IntN(12) == 0 {
		from := f.parties[r.IntN(len(f.parties))]
		p.owner, p.id, p.age = from.owner, from.id, from.age
		f.own(t, s, p)
	}
	d := seal.KeyID(spki(t, p.device))
	f.seq[d]++
	it := p.itemOf(t, f.record[d], f.seq[d])
	if err := s.PutItem(t.Context(), it); err != nil {
		t.Fatal(err)
	}
	f.stored = append(f.stored, it)
}

func (p *party) itemOf(t testing.TB, o *ownership.Ownership, seq uint64) *seal.Item {
	t.Helper()
	b, err := o.Binding()
	if err != nil {
		t.Fatal(err)
	}
	s, err := seal.NewSealer(seal.Device{Key: p.device, Boot: 1, Firmware: "1", Protection: seal.ProtectionFile}, b)
	if err != nil {
		t.Fatal(err)
	}
	it, err := s.Seal(seal.Draft{
		Kind: seal.KindThumbnail, Event: seal.EventID{1}, Captured: time.UnixMilli(0), Clock: seal.ClockUnset,
		MediaType: seal.KindThumbnail.MediaType(), Body: []byte{1},
	}, seal.Link{Chain: 1, Seq: seq, Prev: b.Record})
	if err != nil {
		t.Fatal(err)
	}
	return it
}

// timelineOf is what was stored of an owner's and is not deleted, in that order.
func (f *fleet) timelineOf(owner seal.ID) (out []seal.Hash) {
	for _, it := range f.stored {
		if it != nil && it.Header.Owner == owner {
			out = append(out, it.Hash())
		}
	}
	return out
}

// check reads every owner's timeline by pages of some size.
func (f *fleet) check(t *testing.T, s *Store, limit int) {
	t.Helper()
	for _, p := range f.parties {
		var got []seal.Hash
		for after := uint64(0); ; {
			rows, next, err := s.Timeline(t.Context(), p.id, after, limit)
			if err != nil || len(rows) > limit || next < after {
				t.Fatalf("%d rows after %d, next %d, %v", len(rows), after, next, err)
			}
			if len(rows) == 0 {
				break
			}
			for _, row := range rows {
				it, err := seal.ParseEnvelope(row.Envelope)
				if err != nil || row.Cursor <= after || row.Cursor > next {
					t.Fatalf("row %d after %d, next %d, %v", row.Cursor, after, next, err)
				}
				got, after = append(got, it.Hash()), row.Cursor
			}
			after = next
		}
		if want := f.timelineOf(p.id); !slices.Equal(got, want) {
			t.Fatalf("%d rows, not the %d that were stored", len(got), len(want))
		}
	}
}

// Whatever is in the tail and whatever is not, over restarts, changes of owner and
// deletions, a timeline is what was stored in its order, and what was just stored is
// in it.
func TestTimelineIsWhatWasStored(t *testing.T) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 2))
		js, _ := broker(t, t.TempDir())
		var f *fleet
		for round := range 4 {
			s, err := Open(t.Context(), js, Options{})
			if err != nil {
				t.Fatal(err)
			}
			st, err := s.itemsState(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.tail = newTail(1 + r.IntN(20)) // as if there were so much
			s.tail.begin(st.FirstSeq, st.LastSeq)
			stop := func() {}
			if round != 2 { // nobody need follow
				stop = running(t, s)
			}
			if f == nil {
				f = newFleet(t, s)
			}
			for range 5 + r.IntN(15) {
				f.store(t, s, r)
				if r.IntN(4) == 0 {
					f.check(t, s, 1+r.IntN(8))
				}
				if i := r.IntN(len(f.stored)); r.IntN(5) == 0 && f.stored[i] != nil {
					f.remove(t, s, i)
				}
			}
			for _, limit := range []int{1, 3, 200} {
				f.check(t, s, limit)
			}
			stop()
		}
	}
}

// remove deletes an item, as retention does.
func (f *fleet) remove(t *testing.T, s *Store, i int) {
	t.Helper()
	m, err := s.items.GetLastMsgForSubject(t.Context(), itemSubject(f.stored[i].Header.Ref()))
	if err == nil {
		err = s.items.DeleteMsg(t.Context(), m.Sequence)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.stored[i] = nil
}

// More rows than a page that are all deleted do not hide those after them.
func TestTimelineSkipsWhatIsDeleted(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	p := newParty(t)
	o := p.record(t, 1, 1)
	var last *seal.Item
	for seq := uint64(1); seq <= 10; seq++ {
		last = p.itemOf(t, o, seq)
		if err := s.PutItem(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	if !s.tail.reach(t.Context(), 10) {
		t.Fatal("nobody follows")
	}
	if err := s.items.Purge(t.Context(), jetstream.WithPurgeSequence(10)); err != nil {
		t.Fatal(err)
	}
	rows, next, err := s.Timeline(t.Context(), p.id, 0, 2)
	if err != nil || len(rows) != 1 || rows[0].Cursor != 10 || next != 10 || !bytes.Equal(rows[0].Envelope, last.Envelope) {
		t.Errorf("%+v, next %d, %v", rows, next, err)
	}
	if v := s.tail.after(p.id, 0, 10); !slices.Equal(v.cursors, []uint64{10}) {
		t.Errorf("the tail still has %v", v.cursors)
	}
}

// An owner without items is given a cursor that spares looking again at what is not
// theirs, and their first item still stands after it.
func TestCursorOfAnEmptyTimeline(t *testing.T) {
	s, _, _ := open(t, t.TempDir())
	a, b := newParty(t), newParty(t)
	for seq := uint64(1); seq <= 5; seq++ {
		if err := s.PutItem(t.Context(), a.item(t, seal.KindThumbnail, 10, seq)); err != nil {
			t.Fatal(err)
		}
	}
	rows, next, err := s.Timeline(t.Context(), b.id, 0, 10)
	if len(rows) != 0 || next != 5 || err != nil {
		t.Fatalf("%d rows, next %d, %v", len(rows), next, err)
	}
	if err := s.PutItem(t.Context(), b.item(t, seal.KindThumbnail, 10, 1)); err != nil {
		t.Fatal(err)
	}
	if rows, next, err = s.Timeline(t.Context(), b.id, next, 10); len(rows) != 1 || next != 6 || err != nil {
		t.Errorf("%d rows, next %d, %v", len(rows), next, err)
	}
}

// What stands under another owner's name in a message's header is shown to neither.
func TestOnlyTheSignedHeaderSaysWhose(t *testing.T) {
	s, js, _ := open(t, t.TempDir())
	a, b := newParty(t), newParty(t)
	it := a.item(t, seal.KindThumbnail, 10, 1)
	m := itemMessage(it)
	m.Header.Set(headerOwner, b.id.String())
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if !s.tail.reach(t.Context(), 1) {
		t.Fatal("nobody follows")
	}
	if rows, _, err := s.Timeline(t.Context(), b.id, 0, 10); len(rows) != 0 || err != nil {
		t.Errorf("B is shown %d rows, %v", len(rows), err)
	}
	if _, err := s.Item(t.Context(), b.id, it.Header.Ref()); !errors.Is(err, ErrNotFound) {
		t.Errorf("B is given the item: %v", err)
	}
	if got, err := s.Item(t.Context(), a.id, it.Header.Ref()); !bytes.Equal(got, it.Bytes()) {
		t.Errorf("A is not given the item: %v", err)
	}
}

// A message without an owner holds nobody up.
func TestItemWithoutOwnerIsPassed(t *testing.T) {
	s, js, _ := open(t, t.TempDir())
	p := newParty(t)
	m := itemMessage(p.item(t, seal.KindThumbnail, 10, 1))
	m.Header.Del(headerOwner)
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := s.PutItem(t.Context(), p.item(t, seal.KindThumbnail, 10, 2)); err != nil {
		t.Fatal(err)
	}
	if rows, _, err := s.Timeline(t.Context(), p.id, 0, 10); len(rows) != 1 || err != nil {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// A row that was stored at one node rings at the others and is in their timelines.
func clusterRings(t *testing.T, nodes []*node) {
	for i := range nodes {
		p := newParty(t)
		var rung []<-chan struct{}
		for _, n := range nodes {
			c, leave := n.Changed(p.id)
			defer leave()
			rung = append(rung, c)
		}
		if err := nodes[i].PutItem(t.Context(), p.item(t, seal.KindThumbnail, 10, 1)); err != nil {
			t.Fatal(err)
		}
		for j, n := range nodes {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			select {
			case <-rung[j]:
			case <-ctx.Done():
				t.Errorf("node %d is not told of what was stored at %d", j, i)
			}
			if rows, _, err := n.fromTail(ctx, p.id, 0, 10); len(rows) != 1 || err != nil {
				t.Errorf("node %d has %d rows of what was stored at %d, %v", j, len(rows), i, err)
			}
			cancel()
		}
	}
}

// A node whose follower hangs reads from the devices' items, and misses nothing.
func clusterWithoutFollower(t *testing.T, nodes []*node) {
	p := newParty(t)
	n, err := Open(t.Context(), nodes[1].js, nodes[1].options)
	if err != nil {
		t.Fatal(err)
	}
	n.tail.following(true) // by nobody
	if err := nodes[0].PutRecord(t.Context(), p.record(t, 1, 1)); err != nil {
		t.Fatal(err)
	}
	var cursor uint64
	for seq := uint64(1); seq <= 3; seq++ {
		if err := nodes[2].PutItem(t.Context(), p.item(t, seal.KindThumbnail, 10, seq)); err != nil {
			t.Fatal(err)
		}
		rows, next, err := n.Timeline(t.Context(), p.id, cursor, 10)
		if len(rows) != 1 || err != nil {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		cursor = next
	}
}
