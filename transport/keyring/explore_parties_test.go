package keyring_test

import (
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// steady signs deterministically (RFC 6979), so that one message has one form.
type steady struct{ *ecdsa.PrivateKey }

func (s steady) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return s.PrivateKey.Sign(nil, digest, crypto.SHA256)
}

// kept is a keyring's directory, and what its holder has in mind.
type kept struct {
	files map[string]string
	done  int    // of what an owner means to do
	card  string // that came last, and was not used yet
}

func (s *kept) key() string {
	parts := [][]byte{{byte(s.done)}, []byte(s.card)}
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		parts = append(parts, []byte(name), []byte(s.files[name]))
	}
	return digest(parts...)
}

// statements are those in the directory, by their serials, and the newest, nil if there
// is none.
func (r *ring) statements(s *kept) (all map[uint64]*household.Signed, newest *household.Signed) {
	r.Helper()
	all = map[uint64]*household.Signed{}
	for name, b := range s.files {
		if !strings.HasSuffix(name, ".household") {
			continue
		}
		st := r.read[b]
		if st == nil {
			var err error
			st, err = household.Verify([]byte(b), r.owner)
			must(r, err)
			r.read[b] = st
		}
		all[st.Serial] = st
		if newest == nil || st.Serial > newest.Serial {
			newest = st
		}
	}
	return all, newest
}

// holds says whether the identity of a recipient is in the directory.
func (s *kept) holds(t testing.TB, recipient string) bool {
	t.Helper()
	file, there := s.files["household.txt"]
	if !there {
		return false
	}
	ids, err := household.ParseIdentities([]byte(file))
	must(t, err)
	_, ok := ids.For(recipient)
	return ok
}

// ring is somebody with a keyring.
type ring struct {
	testing.TB
	called string
	owner  seal.ID
	now    time.Time
	base   string            // of the directories
	dirs   map[string]string // that have a state, by its key
	read   map[string]*household.Signed
	// plan is what an owner does, each once and in this order; do does it.
	plan []string
	do   func(k *keyring.Keyring, act string, s *kept) ([][]byte, error)
	// more are other events.
	more []string
}

func (r *ring) name() string { return r.called }

func (r *ring) events() []string {
	if len(r.plan) == 0 {
		return r.more
	}
	return append([]string{"next"}, r.more...)
}

// open starts anew on a directory with this state.
func (r *ring) open(s *kept) (*keyring.Keyring, string) {
	r.Helper()
	dir, there := r.dirs[s.key()]
	if !there {
		var err error
		dir, err = os.MkdirTemp(r.base, "")
		must(r, err)
		for name, data := range s.files {
			must(r, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600))
		}
	}
	k, err := keyring.Open(dir)
	must(r, err)
	return k, dir
}

// files are a directory's.
func (r *ring) files(dir string) map[string]string {
	r.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	must(r, err)
	for _, e := range entries {
		if strings.Contains(e.Name(), "lock") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(r, err)
		out[e.Name()] = string(b)
	}
	return out
}

// leave leaves a directory to the next who starts from its state.
func (r *ring) leave(dir string, before *kept, files map[string]string) {
	r.Helper()
	if maps.Equal(before.files, files) {
		r.dirs[before.key()] = dir
		return
	}
	delete(r.dirs, before.key())
	must(r, os.RemoveAll(dir))
}

func (r *ring) try(before state, event string, msg []byte) (state, [][]byte, error) {
	s := before.(*kept)
	after := &kept{done: s.done, card: s.card}
	k, dir := r.open(s)
	says, err := r.happen(k, after, event, msg)
	after.files = r.files(dir)
	r.leave(dir, s, after.files)
	return after, says, err
}

func (r *ring) refuses(before state, forms [][]byte) error {
	s := before.(*kept)
	after := &kept{done: s.done, card: s.card}
	k, dir := r.open(s)
	for _, form := range forms {
		if err := r.receive(k, after, form); err == nil || reason(err) == "" {
			return fmt.Errorf("%s takes a spoilt message: %v", r.called, err)
		}
	}
	after.files = r.files(dir)
	r.leave(dir, s, after.files)
	if after.key() != s.key() {
		return fmt.Errorf("%s is changed by spoilt messages", r.called)
	}
	return nil
}

func (r *ring) happen(k *keyring.Keyring, s *kept, event string, msg []byte) ([][]byte, error) {
	switch event {
	case "":
		return nil, r.receive(k, s, msg)
	case "next":
		if s.done == len(r.plan) {
			return nil, fmt.Errorf("nothing is left to do: %w", errNotNow)
		}
		says, err := r.do(k, r.plan[s.done], s)
		s.card = "" // used, or found to be of no use
		if err == nil {
			s.done++
		}
		return says, err
	default:
		return r.do(k, event, s)
	}
}

// receive takes what it can be: an ownership, a card, a statement.
func (r *ring) receive(k *keyring.Keyring, s *kept, msg []byte) error {
	if o, err := ownership.Parse(msg); err == nil {
		if err := o.Verify(); err != nil {
			return err
		}
		if o.Record.Owner != r.owner {
			return fmt.Errorf("an ownership of another: %w", household.ErrOwner)
		}
		return k.Keep(o)
	}
	if k.Root() == nil {
		_, err := k.Take(msg, r.now)
		return err
	}
	card, err := household.VerifyCard(msg, r.owner)
	if err != nil {
		return err
	}
	if k.Newest() == nil {
		return fmt.Errorf("a card, and no household: %w", errNotNow)
	}
	if _, member := k.Newest().Member(card.Key); !member {
		return fmt.Errorf("a card: %w", errStranger) // a person would have to bring it
	}
	s.card = string(msg)
	return nil
}

// step checks that what is kept never goes back and never changes hands.
func (r *ring) step(before, after state) error {
	_, b := r.statements(before.(*kept))
	_, a := r.statements(after.(*kept))
	switch {
	case b == nil || a != nil && a.Hash() == b.Hash():
		return nil
	case a == nil:
		return errors.New("it lost its statements")
	case a.Serial <= b.Serial:
		return fmt.Errorf("from statement %d to %d", b.Serial, a.Serial)
	}
	return nil
}

// camera is a device as docs/ref/ownership.md has it.
type camera struct {
	testing.TB
	device *ecdsa.PrivateKey
	id     seal.ID
	now    time.Time
	// buyers may hold a code before its lens; button says that somebody may hold its
	// button.
	buyers map[string]*keyring.Keyring
	button bool
}

// cameraState is what a camera keeps.
type cameraState struct {
	owned   *ownership.Ownership
	release *ownership.Release // nil: none
	reset   bool
	pressed bool // once, whatever came of it
	later   bool // a year has passed
}

func (s *cameraState) key() string {
	h := s.owned.Hash()
	var r []byte
	if s.release != nil {
		r = s.release.Bytes()
	}
	return digest(h[:], r) + fmt.Sprint(s.reset, s.pressed, s.later)
}

func (c *camera) name() string { return "camera" }

func (c *camera) events() []string {
	events := append([]string{"year"}, slices.Sorted(maps.Keys(c.buyers))...)
	if c.button {
		events = append(events, "button")
	}
	return events
}

func (c *camera) clock(s *cameraState) time.Time {
	if s.later {
		return c.now.AddDate(1, 0, 0)
	}
	return c.now
}

func (c *camera) try(before state, event string, msg []byte) (state, [][]byte, error) {
	s := *before.(*cameraState)
	switch event {
	case "":
		said, err := c.letter(&s, msg)
		return &s, said, err
	case "button":
		if s.pressed {
			return &s, nil, fmt.Errorf("the button was held before: %w", errNotNow) // or there is no end
		}
		s.pressed, s.reset, s.release = true, true, nil
		return &s, nil, nil
	case "year":
		s.later = true
		return &s, nil, nil
	default:
		said, err := c.pair(&s, c.buyers[event])
		return &s, said, err
	}
}

// letter takes what its owner tells it by way of the courier.
func (c *camera) letter(s *cameraState, msg []byte) ([][]byte, error) {
	if r, err := ownership.ParseRelease(msg); err == nil {
		if s.reset {
			return nil, fmt.Errorf("it was reset: %w", ownership.ErrRight)
		}
		if err := r.Frees(&s.owned.Signed, c.clock(s)); err != nil {
			return nil, err
		}
		s.release = r
		return nil, nil
	}
	r, err := ownership.ParseSigned(msg)
	if err == nil {
		err = r.Verify()
	}
	switch {
	case err != nil:
		return nil, err
	case r.Hash() == s.owned.Hash():
		return [][]byte{s.owned.Bytes()}, nil
	case r.Record.Device == c.id && r.Record.Epoch > s.owned.Record.Epoch, s.reset:
		return nil, fmt.Errorf("not by a pairing: %w", ownership.ErrRight)
	}
	return c.accept(s, r, ownership.Right{})
}

// pair is what a pairing does once both have proved that they have the code: the camera
// looks for one while it is free.
func (c *camera) pair(s *cameraState, by *keyring.Keyring) ([][]byte, error) {
	how := ownership.AcquiredReleased
	switch {
	case s.reset:
		how = ownership.AcquiredReset
	case s.release == nil || s.release.Frees(&s.owned.Signed, c.clock(s)) != nil:
		return nil, fmt.Errorf("it has an owner and looks for no code: %w", errNotNow)
	}
	r, err := by.Draft(s.owned.Record.DeviceKey, nil, c.now)
	must(c, err)
	r.Epoch, r.Previous, r.Acquired = s.owned.Record.Epoch+1, s.owned.Hash(), how
	signed, err := ownership.Sign(steady{by.Root()}, r)
	must(c, err)
	said, err := c.accept(s, signed, ownership.Right{Release: s.release, Reset: s.reset})
	// The courier has the record in any case: it was offered.
	return append(said, signed.Bytes()), err
}

func (c *camera) accept(s *cameraState, r *ownership.Signed, by ownership.Right) ([][]byte, error) {
	if err := r.Succeeds(&s.owned.Signed, by, c.clock(s)); err != nil {
		return nil, err
	}
	o, err := r.Accept(steady{c.device}, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: c.now, Firmware: "1.0"})
	if err != nil {
		return nil, err
	}
	s.owned, s.release, s.reset = o, nil, false
	return [][]byte{o.Bytes()}, nil
}

func (c *camera) refuses(before state, forms [][]byte) error {
	for _, form := range forms {
		after, _, err := c.try(before, "", form)
		if err == nil || reason(err) == "" || after.key() != before.key() {
			return fmt.Errorf("the camera takes a spoilt message: %v", err)
		}
	}
	return nil
}

// step checks that the record in force never goes back.
func (c *camera) step(before, after state) error {
	b, a := before.(*cameraState), after.(*cameraState)
	was, is := b.owned.Record, a.owned.Record
	switch {
	case a.owned.Hash() == b.owned.Hash():
		return nil
	case is.Epoch == was.Epoch && is.Revision == was.Revision+1 && is.Owner == was.Owner:
		return nil
	case is.Epoch != was.Epoch+1 || is.Revision != 1:
		return fmt.Errorf("from epoch %d revision %d to %d and %d", was.Epoch, was.Revision, is.Epoch, is.Revision)
	case !b.reset && (b.release == nil || !b.release.To.IsZero() && b.release.To != is.Owner):
		return fmt.Errorf("it became owner %s's, who had no right", is.Owner.Short())
	}
	return nil
}
