package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// Row is one line of an owner's timeline.
type Row struct {
	// Cursor grows from row to row and has holes.
	Cursor uint64
	// Envelope is the item's signed header, without its body.
	Envelope []byte
}

// itemSubject is an item's place.
func itemSubject(r seal.Ref) string {
	return fmt.Sprintf("ward.item.%s.%d.%d.%d", r.Device, r.Epoch, r.Chain, r.Seq)
}

// itemMessage is an item as it stands in its place: a clip without its body.
func itemMessage(it *seal.Item) *nats.Msg {
	m := nats.NewMsg(itemSubject(it.Header.Ref()))
	m.Header.Set(headerOwner, it.Header.Owner.String())
	m.Data = it.Envelope
	if it.Header.Kind != seal.KindClip {
		m.Data = it.Bytes()
	}
	return m
}

func bodySubject(h seal.Hash, n int) string { return fmt.Sprintf("ward.body.%s.%d", h, n) }

// PutItem stores a verified item in its place, once. It returns nil if the same
// item stands there already, and ErrFork if another does: that other stays.
func (s *Store) PutItem(ctx context.Context, it *seal.Item) error {
	ref, m := it.Header.Ref(), itemMessage(it)
	if it.Header.Kind == seal.KindClip {
		// A device sends what it was not told of as stored: look before writing it all again.
		if held, err := s.Holds(ctx, ref, it.Hash()); err != nil || held {
			return err
		}
		if err := s.putBody(ctx, it); err != nil {
			return fmt.Errorf("store body of item %s: %w", ref, err)
		}
	}
	cursor, err := s.createOnce(ctx, m, func() (bool, error) {
		stands, err := s.standing(ctx, ref)
		return stands == it.Hash(), err
	})
	if err != nil {
		return fmt.Errorf("store item %s: %w", ref, err)
	}
	s.tail.note(cursor)
	return nil
}

// putBody writes a clip's body in chunks under the item's hash. Writing it again
// replaces each chunk by the same bytes.
func (s *Store) putBody(ctx context.Context, it *seal.Item) error {
	h := it.Hash()
	for n, body := 0, it.Body; len(body) > 0; n++ {
		chunk := body[:min(len(body), chunkSize)]
		body = body[len(chunk):]
		m := nats.NewMsg(bodySubject(h, n))
		m.Data = chunk
		if _, err := s.publish(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// Holds says whether this very item stands in its place, whoever its owner.
func (s *Store) Holds(ctx context.Context, ref seal.Ref, h seal.Hash) (bool, error) {
	stands, err := s.standing(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && stands == h, err
}

// standing is the hash of the item that stands in a place, or ErrNotFound.
func (s *Store) standing(ctx context.Context, ref seal.Ref) (seal.Hash, error) {
	m, err := s.last(ctx, s.items, itemSubject(ref))
	if err != nil {
		return seal.Hash{}, fmt.Errorf("look for item %s: %w", ref, err)
	}
	it, err := parseStored(m.Data)
	if err != nil {
		return seal.Hash{}, fmt.Errorf("look for item %s: %w", ref, err)
	}
	s.tail.note(m.Sequence)
	return it.Hash(), nil
}

// Item is an item's bytes, envelope and body, or ErrNotFound: so it is as well if another
// owner's item stands in that place.
func (s *Store) Item(ctx context.Context, owner seal.ID, ref seal.Ref) ([]byte, error) {
	m, err := s.last(ctx, s.items, itemSubject(ref))
	if err != nil {
		return nil, fmt.Errorf("read item %s: %w", ref, err)
	}
	it, err := parseStored(m.Data)
	if err == nil && it.Header.Owner != owner {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read item %s: %w", ref, err)
	}
	b, err := s.whole(ctx, it, m.Data)
	if err != nil {
		return nil, fmt.Errorf("read item %s: %w", ref, err)
	}
	return b, nil
}

// whole adds a clip's body to its stored envelope.
func (s *Store) whole(ctx context.Context, it *seal.Item, data []byte) ([]byte, error) {
	if it.Header.Kind != seal.KindClip {
		return data, nil
	}
	h, size := it.Hash(), len(it.Envelope)+int(it.Header.BodySize) // at most MaxItem
	b := append(make([]byte, 0, size), it.Envelope...)
	for n := 0; len(b) < size; n++ {
		m, err := s.last(ctx, s.bodies, bodySubject(h, n))
		if err != nil {
			return nil, fmt.Errorf("body chunk %d: %w", n, err)
		}
		if len(m.Data) == 0 {
			return nil, fmt.Errorf("body chunk %d is empty", n)
		}
		b = append(b, m.Data...)
	}
	return b, nil
}

// Sample is the first stored item after a cursor, of whatever owner: its row and
// its whole bytes. It returns ErrNotFound after the last.
func (s *Store) Sample(ctx context.Context, after uint64) (Row, []byte, error) {
	m, err := s.following(ctx, s.items, after+1, ">")
	if err != nil {
		return Row{}, nil, fmt.Errorf("read item after cursor %d: %w", after, err)
	}
	it, err := parseStored(m.Data)
	if err != nil {
		return Row{}, nil, fmt.Errorf("read item at cursor %d: %w", m.Sequence, err)
	}
	b, err := s.whole(ctx, it, m.Data)
	if err != nil {
		return Row{}, nil, fmt.Errorf("read item at cursor %d: %w", m.Sequence, err)
	}
	return Row{Cursor: m.Sequence, Envelope: it.Envelope}, b, nil
}

// Last is the cursor of the newest item of all that this node knows of, 0 if there is none.
func (s *Store) Last() uint64 { return s.tail.last() }

// parseStored reads the envelope at the front of a stored message.
func parseStored(data []byte) (*seal.Item, error) {
	st, _, err := statement.Parse(data, seal.MaxEnvelope)
	if err != nil {
		return nil, err
	}
	return seal.ParseEnvelope(st.Envelope)
}
