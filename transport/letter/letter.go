// Package letter brings an owner's cameras, by way of a hub, what the owner has to tell
// them: the next revision of their record, or a release.
//
// It owns what is signed and sent, the wait for what becomes of it, and the fetching of
// the records that cameras accepted. It never believes a hub: that a record was accepted
// says the camera's signature. docs/ref/hub-protocol.md has the letters, docs/ref/ownership.md
// what a camera makes of them.
package letter

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

// askEvery is the pause between two questions whether a camera has answered.
const askEvery = time.Second

// Hub is what is needed of a hub; *viewer.Courier is one.
type Hub interface {
	PutLetter(ctx context.Context, device seal.ID, letter []byte) error
	Letters(ctx context.Context, device seal.ID) ([]viewer.LetterState, error)
	Records(ctx context.Context) ([]*ownership.Ownership, error)
}

// Outcome is what became of a letter.
type Outcome struct {
	Camera seal.ID
	// Revision is of the record that was sent, 0 of a release.
	Revision uint64
	// Taken says that the camera took it: of a record its signature says so, of a release
	// the hub.
	Taken bool
	// Refused is the camera's reason for refusing it, by the hub's word; "" where it did
	// not. With neither the hub keeps the letter for when the camera comes.
	Refused string
}

// Learn keeps the records of the owner's cameras that the hub has and the keyring has not.
// Two records in one place are an error, ErrSuccession: someone has the root key who made
// the other one.
func Learn(ctx context.Context, k *keyring.Keyring, hub Hub) error {
	theirs, err := hub.Records(ctx)
	if err != nil {
		return err
	}
	ours, err := k.Ownerships()
	if err != nil {
		return err
	}
	for _, o := range theirs {
		i := slices.IndexFunc(ours, func(p *ownership.Ownership) bool {
			return p.Record.Device == o.Record.Device && p.Record.Epoch == o.Record.Epoch && p.Record.Revision == o.Record.Revision
		})
		switch {
		case i < 0:
			if err := k.Keep(o); err != nil {
				return err
			}
			ours = append(ours, o)
		case ours[i].Hash() != o.Hash():
			return fmt.Errorf("learn records of camera %s: two of epoch %d, revision %d: %w",
				o.Record.Device.Short(), o.Record.Epoch, o.Record.Revision, ownership.ErrSuccession)
		}
	}
	return nil
}

// Push sends each camera that records for the household as it was the next revision of its
// record, and waits at most so long for them to accept it. What they accepted is kept in
// the keyring. There is an outcome for each letter that the hub took, also with an error.
func Push(ctx context.Context, k *keyring.Keyring, hub Hub, patience time.Duration) ([]Outcome, error) {
	if err := Learn(ctx, k, hub); err != nil {
		return nil, err
	}
	outdated, err := k.Outdated()
	if err != nil {
		return nil, err
	}
	var sent []posted
	var errs []error
	for _, o := range outdated {
		p, err := revise(ctx, k, hub, o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sent = append(sent, p)
	}
	slices.SortFunc(sent, func(a, b posted) int { return cmp.Compare(a.Camera.String(), b.Camera.String()) })
	err = settle(ctx, k, hub, sent, patience)
	out := make([]Outcome, len(sent))
	for i, p := range sent {
		out[i] = p.Outcome
	}
	return out, errors.Join(append(errs, err)...)
}

// posted is a letter that the hub took.
type posted struct {
	Outcome
	letter [sha256.Size]byte
	record seal.Hash // zero of a release
}

func (p *posted) settled() bool { return p.Taken || p.Refused != "" }

// revise signs a camera's next revision and has the hub take it.
func revise(ctx context.Context, k *keyring.Keyring, hub Hub, known *ownership.Ownership) (posted, error) {
	draft, err := k.Draft(known.Record.DeviceKey, &known.Signed, time.Now())
	if err != nil {
		return posted{}, err
	}
	s, err := ownership.Sign(k.Root(), draft)
	if err != nil {
		return posted{}, err
	}
	if err := hub.PutLetter(ctx, draft.Device, s.Bytes()); err != nil {
		return posted{}, fmt.Errorf("send camera %s its record: %w", draft.Device.Short(), err)
	}
	return posted{
		Outcome: Outcome{Camera: draft.Device, Revision: draft.Revision},
		letter:  sha256.Sum256(s.Bytes()), record: s.Hash(),
	}, nil
}

// Release signs that a camera may become another owner's, anyone's if to is zero, until
// expires, sends it, and waits at most so long for the camera to take it.
func Release(ctx context.Context, k *keyring.Keyring, hub Hub, camera, to seal.ID, expires time.Time, patience time.Duration) (*ownership.Release, Outcome, error) {
	if err := Learn(ctx, k, hub); err != nil {
		return nil, Outcome{}, err
	}
	r, err := k.Release(camera, to, expires)
	if err != nil {
		return nil, Outcome{}, err
	}
	if err := hub.PutLetter(ctx, camera, r.Bytes()); err != nil {
		return nil, Outcome{}, fmt.Errorf("send camera %s its release: %w", camera.Short(), err)
	}
	sent := []posted{{Outcome: Outcome{Camera: camera}, letter: sha256.Sum256(r.Bytes())}}
	err = settle(ctx, k, hub, sent, patience)
	return r, sent[0].Outcome, err
}

// settle waits until all letters are settled, at most for patience. That time passes is
// no error.
func settle(ctx context.Context, k *keyring.Keyring, hub Hub, sent []posted, patience time.Duration) error {
	for end := time.Now().Add(patience); ; {
		if err := look(ctx, k, hub, sent); err != nil {
			return err
		}
		open := slices.ContainsFunc(sent, func(p posted) bool { return !p.settled() })
		if !open || !time.Now().Before(end) {
			return nil
		}
		if err := wait.For(ctx, askEvery); err != nil {
			return err
		}
	}
}

// look asks once what has become of letters.
func look(ctx context.Context, k *keyring.Keyring, hub Hub, sent []posted) error {
	records := false
	for i := range sent {
		p := &sent[i]
		if p.settled() {
			continue
		}
		states, err := hub.Letters(ctx, p.Camera)
		if err != nil {
			return err
		}
		j := slices.IndexFunc(states, func(s viewer.LetterState) bool { return s.Hash == p.letter && !s.Answered.IsZero() })
		switch {
		case j < 0:
		case !states[j].OK:
			p.Refused = cmp.Or(states[j].Reason, "unknown")
		case p.record.IsZero():
			p.Taken = true
		default:
			records = true // which must be there, signed by the camera
		}
	}
	if !records {
		return nil
	}
	if err := Learn(ctx, k, hub); err != nil {
		return err
	}
	ours, err := k.Ownerships()
	if err != nil {
		return err
	}
	for i := range sent {
		p := &sent[i]
		p.Taken = p.Taken || slices.ContainsFunc(ours, func(o *ownership.Ownership) bool { return o.Hash() == p.record })
	}
	return nil
}
