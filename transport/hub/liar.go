package hub

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/seal"
)

// sampler is where a liar finds other people's items.
type sampler interface {
	Last() uint64
	Sample(ctx context.Context, after uint64) (store.Row, []byte, error)
}

// liar is a shelf that answers as the broken cache did: with some probability
// each row and each item is another owner's or another camera's. It stands
// between the honest hub and its viewers, and touches nothing else.
type liar struct {
	shelf
	stock  sampler
	chance float64

	mu   sync.Mutex
	rand *rand.Rand
}

func newLiar(honest shelf, stock sampler, chance float64, seed uint64) *liar {
	return &liar{shelf: honest, stock: stock, chance: chance, rand: rand.New(rand.NewPCG(seed, seed))}
}

// Timeline is the honest one with rows swapped. Their cursors stay.
func (l *liar) Timeline(ctx context.Context, owner seal.ID, after uint64, limit int) ([]store.Row, uint64, error) {
	rows, next, err := l.shelf.Timeline(ctx, owner, after, limit)
	if err != nil {
		return nil, after, err
	}
	for i := range rows {
		if !l.lies() {
			continue
		}
		it, err := seal.ParseEnvelope(rows[i].Envelope)
		if err != nil {
			return nil, after, err
		}
		other, _, err := l.other(ctx, owner, it.Header.Device)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, after, err
		}
		rows[i].Envelope = other.Envelope
	}
	return rows, next, nil
}

// Item is the one that was asked for, or another.
func (l *liar) Item(ctx context.Context, owner seal.ID, ref seal.Ref) ([]byte, error) {
	if l.lies() {
		_, b, err := l.other(ctx, owner, ref.Device)
		if !errors.Is(err, store.ErrNotFound) {
			return b, err
		}
	}
	return l.shelf.Item(ctx, owner, ref)
}

func (l *liar) lies() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rand.Float64() < l.chance
}

// other draws an item of another owner or device, or ErrNotFound if it meets
// none: then there is nothing to lie with.
func (l *liar) other(ctx context.Context, owner, device seal.ID) (store.Row, []byte, error) {
	last := l.stock.Last()
	if last == 0 {
		return store.Row{}, nil, store.ErrNotFound
	}
	for range 32 {
		l.mu.Lock()
		after := l.rand.Uint64N(last)
		l.mu.Unlock()
		row, b, err := l.stock.Sample(ctx, after)
		if err != nil {
			return store.Row{}, nil, err
		}
		it, err := seal.ParseEnvelope(row.Envelope)
		if err != nil {
			return store.Row{}, nil, err
		}
		if it.Header.Owner != owner || it.Header.Device != device {
			return row, b, nil
		}
	}
	return store.Row{}, nil, store.ErrNotFound
}
