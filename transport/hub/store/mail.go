package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// mailNotes is where the hubs of a cluster tell one another of a message.
const mailNotes = "ward.mail."

// MailBox names the newest message of one side of a pairing. Both are made of lower-case
// letters and digits.
type MailBox struct{ Rendezvous, Side string }

func (b MailBox) subject() string { return "ward.pair." + b.Rendezvous + "." + b.Side }

// PutMail makes a message the newest of its side.
func (s *Store) PutMail(ctx context.Context, b MailBox, msg []byte) error {
	m := nats.NewMsg(b.subject())
	m.Data = msg
	if _, err := s.publish(ctx, m); err != nil {
		return fmt.Errorf("keep pairing message of the %s: %w", b.Side, err)
	}
	s.bells.ringFor(b)
	if s.options.Replicas > 1 {
		if err := s.js.Conn().Publish(mailNotes+b.Rendezvous+"."+b.Side, nil); err != nil {
			s.options.Log.Warn("other hubs not told", "what", "pairing message", "err", err) // who waits there asks again
		}
	}
	return nil
}

// Mail is the newest message of a side, or ErrNotFound.
func (s *Store) Mail(ctx context.Context, b MailBox) ([]byte, error) {
	m, err := s.newest(ctx, s.mail, b.subject())
	if errors.Is(err, ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("look for pairing message of the %s: %w", b.Side, err)
	}
	return m.Data, nil
}

// MailChanged returns a channel that is closed when a message of that side is kept, and
// what gives the channel up. Messages that other hubs kept count while ListenMail runs.
func (s *Store) MailChanged(b MailBox) (<-chan struct{}, func()) { return s.bells.wait(b) }

// ListenMail wakes those who wait for a message when another hub of the cluster kept it,
// until ctx ends.
func (s *Store) ListenMail(ctx context.Context) error {
	if s.options.Replicas == 1 {
		<-ctx.Done()
		return nil
	}
	sub, err := s.js.Conn().Subscribe(mailNotes+"*.*", func(m *nats.Msg) {
		rendezvous, side, _ := strings.Cut(strings.TrimPrefix(m.Subject, mailNotes), ".")
		s.bells.ringFor(MailBox{rendezvous, side})
	})
	if err != nil {
		return fmt.Errorf("listen to other hubs for pairing messages: %w", err)
	}
	<-ctx.Done()
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("stop listening to other hubs: %w", err)
	}
	return nil
}
