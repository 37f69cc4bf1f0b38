package storm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/seal"
)

// Wave connects all devices, as many at once as it is told to and always that many, so
// that the hub has all that it can take. Each does what every device does when it comes:
// it shows its ownership record, says that it is online, and delivers a picture and a
// checkpoint. Wave gives the moments at which the hub admitted them. The sessions stand
// for Begin.
func (w *worker) Wave(parallel int, admitted *[]time.Time) error {
	var mu sync.Mutex
	return w.each(len(w.devices), parallel, func(ctx context.Context, i int) error {
		d := w.devices[i]
		for {
			s, err := d.connect(ctx)
			if err == nil {
				d.dialer = &handover{Dialer: d.dialer, ready: s}
				mu.Lock()
				*admitted = append(*admitted, time.Now())
				mu.Unlock()
				return nil
			}
			var refused *transport.RecordRefused
			if ctx.Err() != nil || errors.As(err, &refused) {
				return fmt.Errorf("connect device %s: %w", d.id.Short(), err)
			}
			if err := wait.For(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	})
}

// connect opens a session and does what every device does first.
func (d *device) connect(ctx context.Context) (transport.Session, error) {
	s, err := d.dialer.Dial(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, transport.DefaultSettings().Receipt)
	defer cancel()
	if err := d.greet(ctx, s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (d *device) greet(ctx context.Context, s transport.Session) error {
	if err := s.PublishRecord(ctx, d.owned.Bytes()); err != nil {
		return err
	}
	m, err := d.answer(ctx, s, d.owned.Hash())
	if err != nil {
		return err
	}
	if m.Type != transport.RecordReceipt {
		return &transport.RecordRefused{Reason: m.Reason, Detail: m.Detail}
	}
	if err := s.PublishStatus(ctx, d.status()); err != nil {
		return err
	}
	if err := errors.Join(d.seal(ctx, 1), d.checkpoint(ctx)); err != nil {
		return err
	}
	for {
		e, ok := d.spool.Next(false, nil)
		if !ok {
			return nil
		}
		b, err := d.spool.Read(e.Ref)
		if err != nil {
			return err
		}
		if err := s.PublishItem(ctx, b); err != nil {
			return err
		}
		if m, err := d.answer(ctx, s, e.Hash); err != nil {
			return err
		} else if m.Type != transport.Receipt {
			return fmt.Errorf("the hub refused item %s: %s", e.Ref, m.Reason)
		}
		if err := d.spool.Forget(e.Ref, e.Hash); err != nil {
			return err
		}
	}
}

// answer waits for what the hub says of something.
func (d *device) answer(ctx context.Context, s transport.Session, h seal.Hash) (transport.Message, error) {
	for {
		select {
		case m := <-s.Down():
			if m.Hash == h {
				return m, nil
			}
		case <-s.Done():
			return transport.Message{}, s.Err()
		case <-ctx.Done():
			return transport.Message{}, ctx.Err()
		}
	}
}
