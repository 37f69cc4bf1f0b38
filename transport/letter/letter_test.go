package letter_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/letter"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
	"github.com/lensward/lensward/transport/viewer"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// camera is one behind a hub, and the hub. It answers letters after a while.
type camera struct {
	t     *testing.T
	key   *ecdsa.PrivateKey
	owned *ownership.Ownership
	past  []*ownership.Ownership
	// after is how long it takes to answer, 0 for ever.
	after time.Duration
	// refuse is its reason, boast has the hub say that it took what it never saw.
	refuse  string
	boast   bool
	letters map[seal.Hash]viewer.LetterState
	posted  [][]byte
	full    error
	mu      sync.Mutex // against the timer
}

func newCamera(t *testing.T, k *keyring.Keyring) *camera {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &camera{t: t, key: key, after: 5 * time.Second, letters: map[seal.Hash]viewer.LetterState{}}
	spki, err := statement.SPKI(key.Public())
	must(t, err)
	r, err := k.Draft(spki, nil, time.Now())
	must(t, err)
	s, err := ownership.Sign(k.Root(), r)
	must(t, err)
	c.accept(s)
	must(t, k.Keep(c.owned))
	return c
}

func (c *camera) accept(s *ownership.Signed) {
	c.t.Helper()
	o, err := s.Accept(c.key, ownership.Acceptance{Boot: 1, Protection: seal.ProtectionFile, Accepted: time.Now(), Firmware: "1"})
	must(c.t, err)
	c.owned, c.past = o, append(c.past, o)
}

func (c *camera) PutLetter(_ context.Context, _ seal.ID, b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full != nil {
		return c.full
	}
	c.posted = append(c.posted, b)
	s := viewer.LetterState{Hash: sha256.Sum256(b), Sent: time.Now()}
	c.letters[s.Hash] = s
	if c.after == 0 {
		return nil
	}
	time.AfterFunc(c.after, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		s.Answered, s.OK, s.Reason = time.Now(), c.refuse == "", c.refuse
		if signed, err := ownership.ParseSigned(b); err == nil && s.OK && !c.boast {
			c.accept(signed)
		}
		c.letters[s.Hash] = s
	})
	return nil
}

func (c *camera) Letters(context.Context, seal.ID) ([]viewer.LetterState, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []viewer.LetterState
	for _, s := range c.letters {
		out = append(out, s)
	}
	return out, nil
}

func (c *camera) Records(context.Context) ([]*ownership.Ownership, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.past), nil
}

func newKeys(t *testing.T) *keyring.Keyring {
	t.Helper()
	k, err := keyring.New(filepath.Join(t.TempDir(), "owner"))
	must(t, err)
	return k
}

func TestPush(t *testing.T) {
	for name, change := range map[string]func(c *camera){
		"taken":   func(*camera) {},
		"refused": func(c *camera) { c.refuse = "roll-back" },
		"absent":  func(c *camera) { c.after = 0 },
		"boast":   func(c *camera) { c.boast = true },
		"full":    func(c *camera) { c.full = errors.New("429") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeys(t)
				c := newCamera(t, k)
				change(c)
				_, err := k.Change(household.Change{NewPeriod: true}, time.Now())
				must(t, err)
				began := time.Now()
				out, err := letter.Push(t.Context(), k, c, time.Minute)
				if name == "full" {
					if err == nil || len(out) != 0 {
						t.Errorf("%+v, %v", out, err)
					}
					return
				}
				must(t, err)
				c.mu.Lock()
				want := letter.Outcome{Camera: c.owned.Record.Device, Revision: 2, Taken: name == "taken", Refused: c.refuse}
				c.mu.Unlock()
				if len(out) != 1 || out[0] != want {
					t.Errorf("%+v, want %+v", out, want)
				}
				patient := name == "absent" || name == "boast"
				if took := time.Since(began); patient != (took >= time.Minute) {
					t.Errorf("it took %v", took)
				}
				again, err := k.Outdated()
				must(t, err)
				if (len(again) == 0) != (name == "taken") {
					t.Errorf("%d cameras are still behind", len(again))
				}
				time.Sleep(time.Minute) // the camera's timer
			})
		})
	}
}

// TestPushLearnsFirst has a camera that took a revision of which the keyring does not know,
// as of a page that has the same keys.
func TestPushLearnsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeys(t)
		c := newCamera(t, k)
		_, err := k.Change(household.Change{NewPeriod: true}, time.Now())
		must(t, err)
		r, err := k.Draft(c.owned.Record.DeviceKey, &c.owned.Signed, time.Now())
		must(t, err)
		s, err := ownership.Sign(k.Root(), r)
		must(t, err)
		c.accept(s)
		out, err := letter.Push(t.Context(), k, c, time.Minute)
		must(t, err)
		if len(out) != 0 || len(c.posted) != 0 {
			t.Errorf("%+v was sent to a camera that is up to date", out)
		}
		all, err := k.Ownerships()
		must(t, err)
		if len(all) != 2 {
			t.Errorf("%d records are kept", len(all))
		}
		// A second record in the same place is not kept, and said.
		r.Created = r.Created.Add(time.Second)
		s, err = ownership.Sign(k.Root(), r)
		must(t, err)
		c.accept(s)
		if err := letter.Learn(t.Context(), k, c); !errors.Is(err, ownership.ErrSuccession) {
			t.Errorf("two records in one place: %v", err)
		}
	})
}

func TestRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, heir := newKeys(t), newKeys(t)
		c := newCamera(t, k)
		camera := c.owned.Record.Device
		r, out, err := letter.Release(t.Context(), k, c, camera, heir.Owner(), time.Now().Add(time.Hour), time.Minute)
		must(t, err)
		if !out.Taken || out.Camera != camera || r.To != heir.Owner() || string(c.posted[0]) != string(r.Bytes()) {
			t.Errorf("%+v, %+v", out, r)
		}
		time.Sleep(time.Second) // the camera's timer
		c.mu.Lock()
		must(t, r.Frees(&c.owned.Signed, time.Now()))
		c.mu.Unlock()
		if _, _, err := letter.Release(t.Context(), heir, c, camera, seal.ID{}, time.Now().Add(time.Hour), 0); err == nil {
			t.Error("who does not own a camera released it")
		}
		c.after = 0
		if _, out, err := letter.Release(t.Context(), k, c, camera, seal.ID{}, time.Now().Add(time.Hour), 0); err != nil || out.Taken || out.Refused != "" {
			t.Errorf("a camera that is away: %+v, %v", out, err)
		}
	})
}
