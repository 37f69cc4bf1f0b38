package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

func TestItemIsStoredOnceAndReceiptRepeats(t *testing.T) {
	h := startHub(t, Options{})
	o := newOwner(t)
	c := newCamera(t, o)
	l := attach(t, h, c)
	it := c.sealed(t, seal.KindThumbnail, 20<<10)
	for range 3 {
		l.deliver(t, it)
	}
	v := signIn(t, h, o.key, o.id)
	if p := v.timeline(t, ""); len(p.Items) != 1 || !bytes.Equal(p.Items[0].Envelope, it.Envelope) {
		t.Errorf("the timeline has %d rows, or another envelope", len(p.Items))
	}
	if status, b := v.item(t, it.Header.Ref()); status != 200 || !bytes.Equal(b, it.Bytes()) {
		t.Errorf("item: %d, %d bytes, not the %d that were sent", status, len(b), it.Size())
	}
}

func TestForkIsRefusedAndKept(t *testing.T) {
	h := startHub(t, Options{})
	o := newOwner(t)
	c := newCamera(t, o)
	l := attach(t, h, c)
	place := seal.Link{Chain: 1, Seq: 1, Prev: c.record.Hash()}
	first, second := c.sealedAt(t, seal.KindThumbnail, 100, place), c.sealedAt(t, seal.KindThumbnail, 100, place)
	l.deliver(t, first)
	for range 2 { // the evidence is kept once, the refusal repeats
		if d := l.refused(t, second.Bytes(), seal.ReasonFork); d.Hash != second.Hash() || d.Ref == nil || *d.Ref != second.Header.Ref() {
			t.Errorf("the refusal is for %v %v", d.Ref, d.Hash)
		}
	}
	l.deliver(t, first)
	v := signIn(t, h, o.key, o.id)
	if _, b := v.item(t, first.Header.Ref()); !bytes.Equal(b, first.Bytes()) {
		t.Error("the first item does not stand any more")
	}
	if v.metric(t, `lensward_hub_items_total{reason="fork",result="refused"}`) != 2 {
		t.Error("refusals are not counted")
	}
}

func TestItemIsRefusedWithItsReason(t *testing.T) {
	h := startHub(t, Options{})
	o := newOwner(t)
	c, other := newCamera(t, o), newCamera(t, o)
	l := attach(t, h, c)
	attach(t, h, other)
	good := c.sealed(t, seal.KindThumbnail, 1000)

	flipped := bytes.Clone(good.Bytes())
	flipped[len(flipped)-1] ^= 1
	l.refused(t, flipped, seal.ReasonBodyHash)
	l.refused(t, good.Bytes()[:good.Size()-1], seal.ReasonTruncated)
	l.refused(t, other.sealed(t, seal.KindThumbnail, 1000).Bytes(), ReasonWrongSender)

	junk := []byte{0}
	if d := l.refused(t, junk, seal.ReasonMalformed); d.Ref != nil || d.Hash != sha256.Sum256(junk) {
		t.Errorf("the refusal of junk names %v %v", d.Ref, d.Hash)
	}
	l.refused(t, make([]byte, maxItem+1), seal.ReasonTooLarge)
	l.deliver(t, good)
}

func TestItemNeedsItsRecord(t *testing.T) {
	h := startHub(t, Options{})
	o := newOwner(t)
	c := newCamera(t, o)
	l := connect(t, h, c, enrol(t, h, c.key))
	it := c.sealed(t, seal.KindThumbnail, 1000)
	l.refused(t, it.Bytes(), seal.ReasonUnknownRecord)
	l.publish(t, topicRecord, c.record.Bytes())
	if d := l.next(t); d.Type != downRecordReceipt {
		t.Fatalf("record: %+v", d)
	}
	l.deliver(t, it)

	// Items sealed under a revision may come after the next one's record.
	c.own(t, o, ownership.Record{Epoch: 1, Revision: 2})
	l.publish(t, topicRecord, c.record.Bytes())
	if d := l.next(t); d.Type != downRecordReceipt {
		t.Fatalf("record: %+v", d)
	}
	late := newCameraLike(t, c, o)
	l.refused(t, late.sealed(t, seal.KindThumbnail, 100).Bytes(), seal.ReasonUnknownRecord)
}

// newCameraLike is the same camera under a record that the hub was never given.
func newCameraLike(t *testing.T, c *camera, o *owner) *camera {
	t.Helper()
	twin := &camera{key: c.key, id: c.id, owner: o, record: c.record}
	twin.own(t, o, ownership.Record{Epoch: 1, Revision: 3})
	return twin
}

func TestRecordsOnlyGoForward(t *testing.T) {
	h := startHub(t, Options{})
	o, thief := newOwner(t), newOwner(t)
	c := newCamera(t, o)
	l := attach(t, h, c)
	tell := func(want string, reason seal.Reason) {
		t.Helper()
		l.publish(t, topicRecord, c.record.Bytes())
		if d := l.next(t); d.Type != want || d.Reason != reason || d.Hash != c.record.Hash() {
			t.Errorf("record of epoch %d revision %d: %+v, not %s %s",
				c.record.Record.Epoch, c.record.Record.Revision, d, want, reason)
		}
	}
	first := *c
	tell(downRecordReceipt, "")
	c.own(t, o, ownership.Record{Epoch: 1, Revision: 3}) // 2 was never seen here
	tell(downRecordReceipt, "")
	tell(downRecordReceipt, "")
	third := *c
	*c = first
	tell(downRecordRefusal, ReasonRollBack)
	c.own(t, o, ownership.Record{Epoch: 1, Revision: 2})
	tell(downRecordRefusal, ReasonRollBack)
	c.own(t, o, ownership.Record{Epoch: 1, Revision: 3}) // another with that number
	tell(downRecordRefusal, seal.ReasonFork)
	c.own(t, thief, ownership.Record{Epoch: 1, Revision: 4})
	tell(downRecordRefusal, seal.ReasonFork)
	c.own(t, thief, ownership.Record{Epoch: 2, Revision: 1})
	tell(downRecordReceipt, "")
	*c = third
	tell(downRecordRefusal, ReasonRollBack)

	other := newCamera(t, o)
	l.publish(t, topicRecord, other.record.Bytes())
	if d := l.next(t); d.Type != downRecordRefusal || d.Reason != ReasonWrongSender {
		t.Errorf("another device's record: %+v", d)
	}
	bad := bytes.Clone(third.record.Bytes())
	bad[len(bad)-1] ^= 1
	l.publish(t, topicRecord, bad)
	if d := l.next(t); d.Type != downRecordRefusal || d.Reason != seal.ReasonBadSignature {
		t.Errorf("a record with a broken signature: %+v", d)
	}
	l.publish(t, topicRecord, []byte("junk"))
	if d := l.next(t); d.Type != downRecordRefusal || d.Hash != sha256.Sum256([]byte("junk")) {
		t.Errorf("junk as a record: %+v", d)
	}
}

// What is wrong with a record is refused, and what is wrong with the hub is not.
func TestRecordReason(t *testing.T) {
	for _, c := range []struct {
		err  error
		want seal.Reason
	}{
		{store.ErrRollBack, ReasonRollBack}, {ownership.ErrInvalid, seal.ReasonBadField}, {ownership.ErrSignature, seal.ReasonBadSignature},
		{statement.ErrFields, seal.ReasonBadField}, {statement.ErrNotCanonical, seal.ReasonNotCanonical},
		{&seal.Error{Reason: seal.ReasonFork}, seal.ReasonFork}, {context.DeadlineExceeded, ""},
	} {
		if got := recordReason(fmt.Errorf("take record: %w", c.err)); got != c.want {
			t.Errorf("%v is refused as %q, not %q", c.err, got, c.want)
		}
	}
}

func TestNonsenseIsDroppedAndCounted(t *testing.T) {
	h := startHub(t, Options{})
	o := newOwner(t)
	c := newCamera(t, o)
	l := attach(t, h, c)
	for _, b := range []string{"", "{", "[]", `{"ref":"x"}`, `{"ref":"` + c.id.String() + `/1/1/1","size":-1}`} {
		l.publish(t, topicWant, []byte(b))
	}
	l.publish(t, topicStatus, []byte(`{"online":"perhaps"}`))
	l.publish(t, topicStatus, bytes.Repeat([]byte(" "), maxControl+1))
	l.deliver(t, c.sealed(t, seal.KindEvent, 100))
	v := signIn(t, h, o.key, o.id)
	if n := v.metric(t, "lensward_hub_dropped_messages_total"); n != 7 {
		t.Errorf("%v messages dropped, not 7", n)
	}
}

// A hub that has more waiting than it can handle soon says so, and when that is over.
func TestBehindIsSaid(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var said []bool
	r := &receiver{log: slog.New(slog.DiscardHandler), behind: func(b bool) {
		said = append(said, b)
		if !b {
			cancel()
		}
	}}
	pending := make(chan *nats.Msg, pendingItems)
	for range pendingMany + 10 {
		pending <- &nats.Msg{Subject: "nobody's"}
	}
	if err := r.handleAll(ctx, pending); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(said, []bool{true, false}) || len(pending) >= pendingMany/2 {
		t.Errorf("it said %v with %d messages waiting", said, len(pending))
	}
}
