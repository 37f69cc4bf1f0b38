package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

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
	if err := s.create(ctx, m); err != nil && !errors.Is(err, ErrFork) {
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
	err := s.create(ctx, m)
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

func seenSubject(device seal.ID) string { return "ward.seen." + device.String() }

// PutSeen notes that a device was heard now.
func (s *Store) PutSeen(ctx context.Context, device seal.ID) error {
	if _, err := s.js.Publish(ctx, seenSubject(device), nil); err != nil {
		return fmt.Errorf("note that device %s was heard: %w", device.Short(), err)
	}
	return nil
}

// Seen is when a device was last noted as heard; the zero time if never.
func (s *Store) Seen(ctx context.Context, device seal.ID) (time.Time, error) {
	m, err := last(ctx, s.seen, seenSubject(device))
	if errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look when device %s was heard: %w", device.Short(), err)
	}
	return m.Time, nil
}
