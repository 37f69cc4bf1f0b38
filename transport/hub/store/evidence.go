package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lensward/lensward/transport/seal"
)

// headerReason is the message header that holds a report's reason.
const headerReason = "Ward-Reason"

// PutFork keeps what was refused because another stood in its place: an item's
// envelope or a record, under the hash of its signed part. It returns nil if it
// is kept already.
func (s *Store) PutFork(ctx context.Context, device seal.ID, h seal.Hash, signed []byte) error {
	m := nats.NewMsg(fmt.Sprintf("ward.fork.%s.%s", device, h))
	m.Data = signed
	if _, err := s.create(ctx, m); err != nil && !errors.Is(err, ErrFork) {
		return fmt.Errorf("keep fork of device %s: %w", device.Short(), err)
	}
	return nil
}

// PutReport keeps an envelope that was shown to an owner that it does not belong
// to. It says whether the report is new.
func (s *Store) PutReport(ctx context.Context, reporter seal.ID, it *seal.Item, reason seal.Reason) (bool, error) {
	m := nats.NewMsg(fmt.Sprintf("ward.report.%s.%s", reporter, it.Hash()))
	m.Header.Set(headerReason, string(reason))
	m.Data = it.Envelope
	_, err := s.create(ctx, m)
	if errors.Is(err, ErrFork) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("keep report by %s: %w", reporter.Short(), err)
	}
	return true, nil
}

// Evidence is how many forks and reports are kept.
func (s *Store) Evidence(ctx context.Context) (uint64, error) {
	info, err := s.evidence.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read state of stream %s: %w", streamEvidence, err)
	}
	return info.State.Msgs, nil
}

// Probe writes to the store and tells whether it took it. What a probe wrote before is
// replaced.
func (s *Store) Probe(ctx context.Context) error {
	if _, err := s.publish(ctx, nats.NewMsg("ward.body.probe.0")); err != nil {
		return fmt.Errorf("probe store: %w", err)
	}
	return nil
}

// Heard is how many devices were noted as heard within that time.
func (s *Store) Heard(ctx context.Context, within time.Duration) (int, error) {
	since := time.Now().Add(-within)
	// The stream holds one message for each device, in the order of their times: how many
	// a reader from there would get is known without reading them.
	var c jetstream.Consumer
	err := s.again(ctx, func(ctx context.Context) (err error) {
		c, err = s.seen.CreateConsumer(ctx, jetstream.ConsumerConfig{
			FilterSubject: "ward.seen.*", DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
			AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
		})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count devices: %w", err)
	}
	info := c.CachedInfo()
	if err := s.seen.DeleteConsumer(ctx, info.Name); err != nil {
		return 0, fmt.Errorf("count devices: %w", err)
	}
	return int(info.NumPending), nil
}
