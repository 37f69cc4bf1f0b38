package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// Reasons that only a hub has, beside those of package seal.
const (
	// ReasonWrongSender refuses what another device than the one it names sent.
	ReasonWrongSender seal.Reason = "wrong-sender"
	// ReasonRollBack refuses an ownership record older than one that is stored.
	ReasonRollBack seal.Reason = "roll-back"
)

const (
	receivers     = 8    // messages handled at once
	receiverQueue = 64   // messages waiting for each
	pendingItems  = 4096 // messages waiting before those, at most 512 MiB of them
	pendingMany   = 1024 // so many, and nobody new is let in until half are handled
	handleTimeout = 30 * time.Second
)

// outbox sends control messages to devices.
type outbox interface {
	send(device seal.ID, d down) error
}

// natsOutbox is the outbox of devices whose sessions are the broker's.
type natsOutbox struct{ conn *nats.Conn }

func (o natsOutbox) send(device seal.ID, d down) error {
	b, err := d.encode()
	if err != nil {
		return err
	}
	if err := o.conn.Publish(subjectOf(device, topicDown), b); err != nil {
		return fmt.Errorf("send %s to device %s: %w", d.Type, device.Short(), err)
	}
	return nil
}

// receiver takes what devices send, verifies it, stores it and answers.
type receiver struct {
	store    *store.Store
	out      outbox
	letters  *post
	grants   *granter
	presence *presence
	metrics  *metrics
	log      *slog.Logger
	pulse    *pulse
	// behind is told when more waits than can be handled soon, and when that is over.
	behind func(bool)
	// recordStored is called with the owner of each record that was stored.
	recordStored func(context.Context, seal.ID)
	// revoked says that nothing of a device is taken any more.
	revoked func(device seal.ID) bool
	// answered is called once a device knows whether its record is stored.
	answered func(device seal.ID, stored bool) error
}

// run handles devices' messages until ctx ends, and then what it has begun.
// Messages of one device are handled in the order in which they came. It closes
// receiving once it listens.
func (r *receiver) run(ctx context.Context, conn *nats.Conn, receiving chan<- struct{}) error {
	// One channel for all topics, so that their order is kept. While a queue is full
	// messages wait here, and beyond the limit they are dropped: a device sends again
	// what got no receipt.
	pending := make(chan *nats.Msg, pendingItems)
	var subs []*nats.Subscription
	for _, topic := range upTopics() {
		sub, err := conn.ChanSubscribe(subjectOfAny(topic), pending)
		if err != nil {
			return fmt.Errorf("receive from devices: %w", err)
		}
		subs = append(subs, sub)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("receive from devices: %w", err)
	}
	close(receiving)
	err := r.handleAll(ctx, pending)
	for _, sub := range subs {
		if e := sub.Unsubscribe(); e != nil && !errors.Is(e, nats.ErrConnectionClosed) {
			err = errors.Join(err, fmt.Errorf("stop receiving from devices: %w", e))
		}
	}
	return err
}

// handleAll hands each device's messages to one of several workers, always the same.
func (r *receiver) handleAll(ctx context.Context, pending <-chan *nats.Msg) error {
	var queues [receivers]chan *nats.Msg
	var g errgroup.Group
	for i := range queues {
		q := make(chan *nats.Msg, receiverQueue)
		queues[i] = q
		g.Go(func() error { return r.work(ctx, q) })
	}
	seed := maphash.MakeSeed()
	behind := false
	for ctx.Err() == nil {
		select {
		case m := <-pending:
			if n := len(pending); n > pendingMany && !behind || n < pendingMany/2 && behind {
				behind = !behind
				r.behind(behind)
			}
			device, _, err := parseSubject(m.Subject)
			if err != nil {
				r.log.Warn("message dropped", "err", err)
				continue
			}
			select {
			case queues[maphash.Bytes(seed, device[:])%receivers] <- m:
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
	}
	return g.Wait()
}

// work handles one queue. A message once begun is handled to its end.
func (r *receiver) work(ctx context.Context, q <-chan *nats.Msg) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-q:
			device, topic, err := parseSubject(m.Subject)
			if err != nil {
				continue // cannot be: the subscription looked
			}
			one, cancel := context.WithTimeout(context.WithoutCancel(ctx), handleTimeout)
			r.handle(one, device, topic, m.Data)
			cancel()
		}
	}
}

// handle deals with one message. The broker's permissions have made sure that
// the topic's device is the one that sent it.
func (r *receiver) handle(ctx context.Context, device seal.ID, topic string, b []byte) {
	r.metrics.bytes.WithLabelValues("mqtt").Add(float64(len(b)))
	r.presence.heard(device, time.Now())
	r.pulse.begin()
	log := r.log.With("device", device.String(), "topic", topic)
	err := errRevoked // its session may outlive its standing
	if !r.revoked(device) {
		err = r.take(ctx, device, topic, b)
	}
	r.pulse.end(err)
	if err != nil {
		r.metrics.dropped.Inc()
		log.Warn("message dropped", "err", err)
	}
}

// take deals with a message of a device that may send it.
func (r *receiver) take(ctx context.Context, device seal.ID, topic string, b []byte) error {
	switch topic {
	case topicRecord:
		return r.record(ctx, device, b)
	case topicItem:
		return r.item(ctx, device, b)
	case topicWant:
		return r.want(ctx, device, b)
	case topicStatus:
		return r.status(ctx, device, b)
	case topicAnswer:
		return r.letters.answer(ctx, device, b)
	}
	return errors.New("unknown topic")
}

// item takes a whole item that came by MQTT and answers with a receipt, a
// refusal, or nothing if it could not be stored just now.
func (r *receiver) item(ctx context.Context, device seal.ID, b []byte) error {
	if len(b) > maxItem {
		return r.refuse(device, nil, sha256.Sum256(b), &seal.Error{
			Reason: seal.ReasonTooLarge, Detail: fmt.Sprintf("%d bytes by MQTT, at most %d", len(b), maxItem),
		})
	}
	it, err := seal.Parse(b)
	if err != nil {
		return r.refuse(device, nil, sha256.Sum256(b), err)
	}
	ref := it.Header.Ref()
	if err := r.admit(ctx, device, it); err != nil {
		return r.refuse(device, &ref, it.Hash(), err)
	}
	return r.out.send(device, down{Type: downReceipt, Ref: &ref, Hash: it.Hash()})
}

// refuse tells a device that an item will never be taken. An err that says
// nothing about the item is returned instead: the device hears nothing, and
// sends the item again.
func (r *receiver) refuse(device seal.ID, ref *seal.Ref, h seal.Hash, err error) error {
	var refusal *seal.Error
	if !errors.As(err, &refusal) {
		r.metrics.items.WithLabelValues("failed", "").Inc()
		return err
	}
	r.metrics.items.WithLabelValues("refused", string(refusal.Reason)).Inc()
	r.log.Warn("item refused", "device", device.String(), "hash", h.String(), "reason", string(refusal.Reason), "detail", refusal.Detail)
	return r.out.send(device, down{Type: downRefusal, Ref: ref, Hash: h, Reason: refusal.Reason, Detail: refusal.Detail})
}

// admit verifies a parsed item and stores it. It returns nil once the item is
// stored, and a *seal.Error for an item that must not be.
func (r *receiver) admit(ctx context.Context, device seal.ID, it *seal.Item) error {
	h := it.Header
	if h.Device != device {
		return &seal.Error{Reason: ReasonWrongSender, Detail: fmt.Sprintf("item of device %s", h.Device.Short())}
	}
	if err := it.Verify(); err != nil {
		return err
	}
	known, err := r.store.HasRecord(ctx, h)
	if err != nil {
		return err
	}
	if !known {
		return &seal.Error{
			Reason: seal.ReasonUnknownRecord,
			Detail: fmt.Sprintf("no ownership record %s of owner %s for epoch %d", h.Record, h.Owner.Short(), h.Epoch),
		}
	}
	err = r.store.PutItem(ctx, it)
	if errors.Is(err, store.ErrFork) {
		return r.fork(ctx, device, it.Hash(), it.Envelope)
	}
	if err != nil {
		return err
	}
	r.metrics.items.WithLabelValues("verified", "").Inc()
	return nil
}

// fork keeps the proof that a device signed two different things for one place,
// and returns the refusal. What could not be kept is not refused yet.
func (r *receiver) fork(ctx context.Context, device seal.ID, h seal.Hash, signed []byte) error {
	if err := r.store.PutFork(ctx, device, h, signed); err != nil {
		return err
	}
	r.log.Error("fork kept as evidence", "device", device.String(), "hash", h.String())
	return &seal.Error{Reason: seal.ReasonFork, Detail: "another stands in this place"}
}

// record takes an ownership record.
func (r *receiver) record(ctx context.Context, device seal.ID, b []byte) error {
	var h seal.Hash = sha256.Sum256(b)
	o, err := ownership.Parse(b)
	if err == nil {
		h = o.Hash()
		err = r.admitRecord(ctx, device, o)
	}
	if err == nil {
		r.metrics.records.WithLabelValues("stored", "").Inc()
		r.recordStored(ctx, o.Record.Owner)
		return errors.Join(r.out.send(device, down{Type: downRecordReceipt, Hash: h}), r.answered(device, true), r.letters.deliver(ctx, o))
	}
	reason := recordReason(err)
	if reason == "" {
		r.metrics.records.WithLabelValues("failed", "").Inc()
		return err
	}
	r.metrics.records.WithLabelValues("refused", string(reason)).Inc()
	r.log.Warn("ownership record refused", "device", device.String(), "hash", h.String(), "reason", string(reason), "err", err)
	return errors.Join(r.out.send(device, down{Type: downRecordRefusal, Hash: h, Reason: reason, Detail: err.Error()}),
		r.answered(device, false))
}

func (r *receiver) admitRecord(ctx context.Context, device seal.ID, o *ownership.Ownership) error {
	if o.Record.Device != device {
		return &seal.Error{Reason: ReasonWrongSender, Detail: fmt.Sprintf("record of device %s", o.Record.Device.Short())}
	}
	if err := o.Verify(); err != nil {
		return err
	}
	err := r.store.PutRecord(ctx, o)
	if errors.Is(err, store.ErrFork) {
		return r.fork(ctx, device, o.Hash(), o.Bytes())
	}
	return err
}

// recordReason names what is wrong with a record, or "" if nothing is and the
// hub failed.
func recordReason(err error) seal.Reason {
	for _, c := range []struct {
		is     error
		reason seal.Reason
	}{
		{store.ErrRollBack, ReasonRollBack},
		{ownership.ErrSignature, seal.ReasonBadSignature},
		{ownership.ErrInvalid, seal.ReasonBadField},
	} {
		if errors.Is(err, c.is) {
			return c.reason
		}
	}
	if r := statement.Reason(err); r != "" {
		return seal.Reason(r)
	}
	return seal.ReasonOf(err)
}

// want answers with a receipt for what is stored already, a grant, or a refusal.
func (r *receiver) want(ctx context.Context, device seal.ID, b []byte) error {
	w, err := parseWant(b)
	if err != nil {
		return err
	}
	if w.Ref.Device != device {
		return r.refuse(device, &w.Ref, w.Hash, &seal.Error{Reason: ReasonWrongSender, Detail: "an upload for another device"})
	}
	if w.Size > seal.MaxItem {
		return r.refuse(device, &w.Ref, w.Hash, &seal.Error{
			Reason: seal.ReasonTooLarge, Detail: fmt.Sprintf("%d bytes, at most %d", w.Size, seal.MaxItem),
		})
	}
	held, err := r.store.Holds(ctx, w.Ref, w.Hash)
	if err != nil {
		return err
	}
	if held {
		return r.out.send(device, down{Type: downReceipt, Ref: &w.Ref, Hash: w.Hash})
	}
	g := grant{ref: w.Ref, hash: w.Hash, size: w.Size, expires: time.Now().Add(grantLifetime).Unix()}
	return r.out.send(device, down{Type: downGrant, Ref: &w.Ref, Hash: w.Hash, URL: r.grants.url(g), Expires: g.expires})
}

// status notes whether a device is there.
func (r *receiver) status(ctx context.Context, device seal.ID, b []byte) error {
	s, err := parseStatus(b)
	if err != nil {
		return err
	}
	after := r.presence.set(device, s.Online, time.Now())
	if s.Online {
		after = 0 // whoever said what before
	}
	r.log.Info("device status", "device", device.String(), "online", s.Online, "firmware", s.Firmware, "conditions", s.Conditions)
	note, err := r.store.PutSeen(ctx, device, s.Online, after)
	if err != nil {
		return err
	}
	r.presence.noted(device, s.Online, note)
	return nil
}
