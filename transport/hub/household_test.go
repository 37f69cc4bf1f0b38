package hub

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
	ownerside "github.com/lensward/lensward/transport/viewer"
)

// family is an owner's side of a household.
type family struct {
	*owner
	chain []*household.Signed
	held  household.Identities
	now   time.Time
}

func cardOf(t testing.TB, key *ecdsa.PrivateKey, owner seal.ID, number uint64) []byte {
	t.Helper()
	id, err := household.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	b, err := household.SignCard(key, household.Card{Owner: owner, Number: number, Recipient: id.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newFamily(t testing.TB) *family {
	t.Helper()
	f := &family{owner: newOwner(t), now: time.UnixMilli(1_771_000_000_000)}
	card, err := household.VerifyCard(cardOf(t, f.key, f.id, 1), f.id)
	if err != nil {
		t.Fatal(err)
	}
	first := household.Invitation{Card: card, Name: "owner", Role: ownership.RoleOwner}
	s, held, err := household.Found(f.key, nil, first, household.Change{}, f.now)
	if err != nil {
		t.Fatal(err)
	}
	f.chain, f.held = append(f.chain, s), held
	return f
}

// next makes the next statement, which begins a period.
func (f *family) next(t testing.TB) *household.Signed {
	t.Helper()
	f.now = f.now.Add(time.Hour)
	s, held, err := f.chain[len(f.chain)-1].Change(f.key, f.held, household.Change{NewPeriod: true}, f.now)
	if err != nil {
		t.Fatal(err)
	}
	f.chain, f.held = append(f.chain, s), held
	return s
}

// courierTo is a courier's client at a hub.
func courierTo(t testing.TB, h *running, owner seal.ID, key *ecdsa.PrivateKey) *ownerside.Courier {
	t.Helper()
	c, err := ownerside.NewCourier(ownerside.CourierOptions{HubURL: h.ViewerURL(), Hub: h.ID(), HTTPClient: h.client(), Owner: owner, Signer: key})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refusedWith expects an error that is an answer with this status.
func refusedWith(t testing.TB, what string, err error, status int) {
	t.Helper()
	var e *ownerside.StatusError
	if !errors.As(err, &e) || e.Status != status {
		t.Errorf("%s: %v, not status %d", what, err, status)
	}
}

// statements are all that a household's reader gets, after a serial.
func statements(t testing.TB, c *ownerside.Courier, after uint64) []*household.Signed {
	t.Helper()
	var out []*household.Signed
	for {
		page, err := c.Statements(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return out
		}
		out = append(out, page...)
		after = page[len(page)-1].Serial
	}
}

func sameChain(t testing.TB, got, want []*household.Signed) {
	t.Helper()
	same := func(a, b *household.Signed) bool { return bytes.Equal(a.Bytes(), b.Bytes()) }
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("%d statements come, not the %d", len(got), len(want))
	}
}

func TestHouseholdCourier(t *testing.T) {
	dir := t.TempDir()
	h := startHub(t, Options{Dir: dir})
	f := newFamily(t)
	c := courierTo(t, h, f.id, f.key)
	for range 3 {
		f.next(t)
	}
	// In whatever order they come, and however often.
	for _, i := range []int{1, 0, 3, 2, 1} {
		if err := c.PutStatement(t.Context(), f.chain[i]); err != nil {
			t.Fatal(err)
		}
	}
	sameChain(t, statements(t, c, 0), f.chain)
	sameChain(t, statements(t, c, 2), f.chain[2:])
	if h.stop(t); t.Failed() {
		t.FailNow()
	}
	h = startHub(t, Options{Dir: dir})
	sameChain(t, statements(t, courierTo(t, h, f.id, f.key), 0), f.chain)

	stranger := newFamily(t)
	other := courierTo(t, h, stranger.id, stranger.key)
	sameChain(t, statements(t, other, 0), nil)
	refusedWith(t, "another owner's statement", other.PutStatement(t.Context(), f.chain[0]), http.StatusForbidden)
}

// A member may bring a statement, without its keys first; whoever brings them adds them.
func TestHouseholdKeysComeLater(t *testing.T) {
	h := startHub(t, Options{})
	f := newFamily(t)
	c := courierTo(t, h, f.id, f.key)
	bare, err := household.Verify(f.chain[0].Envelope(), f.id)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PutStatement(t.Context(), bare); err != nil {
		t.Fatal(err)
	}
	if got := statements(t, c, 0); len(got) != 1 || got[0].HasKeys() {
		t.Fatalf("without keys: %d statements", len(got))
	}
	for _, s := range []*household.Signed{f.chain[0], bare} {
		if err := c.PutStatement(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		sameChain(t, statements(t, c, 0), f.chain)
	}
}

// Two statements with one serial: the first stays, the second is proof.
func TestHouseholdFork(t *testing.T) {
	h := startHub(t, Options{})
	f := newFamily(t)
	c := courierTo(t, h, f.id, f.key)
	twin := *f
	twin.chain = slices.Clone(f.chain)
	f.next(t)
	forked := twin.next(t)
	for _, s := range f.chain {
		if err := c.PutStatement(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		refusedWith(t, "a fork", c.PutStatement(t.Context(), forked), http.StatusConflict)
	}
	sameChain(t, statements(t, c, 0), f.chain)
}

func TestHouseholdRefuses(t *testing.T) {
	h := startHub(t, Options{})
	f := newFamily(t)
	v := signIn(t, h, f.key, f.id)
	good := f.chain[0].Bytes()
	bent := bytes.Clone(good)
	bent[len(f.chain[0].Envelope())-1] ^= 1
	for name, c := range map[string]struct {
		method, path string
		body         []byte
		want         int
	}{
		"nothing":               {"POST", "household", nil, http.StatusBadRequest},
		"junk":                  {"POST", "household", []byte("junk"), http.StatusBadRequest},
		"a broken signature":    {"POST", "household", bent, http.StatusBadRequest},
		"cut keys":              {"POST", "household", good[:len(good)-1], http.StatusBadRequest},
		"too much":              {"POST", "household", make([]byte, maxStatement+1), http.StatusRequestEntityTooLarge},
		"a card as a statement": {"POST", "household", cardOf(t, f.key, f.id, 1), http.StatusBadRequest},
		"a serial that is none": {"GET", "household?after=-1", nil, http.StatusBadRequest},
		"a record as a card":    {"PUT", "cards", newCamera(t, f.owner).record.Signed.Bytes(), http.StatusBadRequest},
		"a large card":          {"PUT", "cards", make([]byte, household.MaxCard+1), http.StatusRequestEntityTooLarge},
		"another owner's card":  {"PUT", "cards", cardOf(t, f.key, seal.ID{1}, 1), http.StatusForbidden},
		"another key's card":    {"PUT", "cards", cardOf(t, newKey(t), f.id, 1), http.StatusForbidden},
		"an empty box":          {"PUT", "boxes/" + rendezvous(1), nil, http.StatusBadRequest},
		"a large box":           {"PUT", "boxes/" + rendezvous(1), make([]byte, household.MaxBox+1), http.StatusRequestEntityTooLarge},
		"no locator":            {"PUT", "boxes/" + strings.Repeat("A", 32), []byte("x"), http.StatusBadRequest},
		"a box at no locator":   {"GET", "boxes/x", nil, http.StatusBadRequest},
		"a box that is not":     {"GET", "boxes/" + rendezvous(2), nil, http.StatusNotFound},
	} {
		if status, body := v.raw(t, c.method, "/api/v1/"+c.path, c.body); status != c.want {
			t.Errorf("%s: %d %s, not %d", name, status, body, c.want)
		}
	}
	if status, _ := v.call(t, http.MethodPost, "/api/v1/household", struct{}{}); status != http.StatusUnsupportedMediaType {
		t.Errorf("JSON as a statement: %d", status)
	}
	out := *v
	out.token = ""
	for _, call := range []string{"GET household", "POST household", "GET cards", "PUT cards", "PUT boxes/" + rendezvous(1)} {
		method, path, _ := strings.Cut(call, " ")
		if status, _ := out.raw(t, method, "/api/v1/"+path, []byte("x")); status != http.StatusUnauthorized {
			t.Errorf("%s without a session: %d", call, status)
		}
	}
	sameChain(t, statements(t, courierTo(t, h, f.id, f.key), 0), nil)
}

func TestCards(t *testing.T) {
	h := startHub(t, Options{})
	o, guest := newOwner(t), newKey(t)
	cam := newCamera(t, o)
	cam.own(t, o, ownership.Record{Epoch: 1, Revision: 2, Viewers: []ownership.Viewer{{Key: spkiOf(t, guest), Name: "guest", Role: ownership.RoleViewer}}})
	attach(t, h, cam)
	c, root := courierTo(t, h, o.id, guest), courierTo(t, h, o.id, o.key)
	first, second, third := cardOf(t, guest, o.id, 1), cardOf(t, guest, o.id, 2), cardOf(t, guest, o.id, 3)
	for _, card := range [][]byte{first, third, third} {
		if err := c.PutCard(t.Context(), card); err != nil {
			t.Fatal(err)
		}
	}
	refusedWith(t, "an older card", c.PutCard(t.Context(), second), http.StatusConflict)
	refusedWith(t, "another card with its number", c.PutCard(t.Context(), cardOf(t, guest, o.id, 3)), http.StatusConflict)
	if err := root.PutCard(t.Context(), cardOf(t, o.key, o.id, 7)); err != nil {
		t.Fatal(err)
	}
	cards, err := root.Cards(t.Context())
	if err != nil || len(cards) != 2 {
		t.Fatalf("%d cards, %v", len(cards), err)
	}
	for _, card := range cards {
		want := uint64(3)
		if seal.KeyID(card.Key) == o.id {
			want = 7
		}
		if card.Number != want {
			t.Errorf("card %d of %s, not %d", card.Number, seal.KeyID(card.Key).Short(), want)
		}
	}
}

func TestBoxes(t *testing.T) {
	dir := t.TempDir()
	h := startHub(t, Options{Dir: dir})
	f := newFamily(t)
	c := courierTo(t, h, f.id, f.key)
	get := func(h *running) ([]byte, error) {
		return ownerside.FetchBox(t.Context(), h.ViewerURL(), h.client(), rendezvous(1))
	}
	_, err := get(h)
	refusedWith(t, "no box", err, http.StatusNotFound)
	var box []byte
	for _, size := range []int{1, household.MaxBox, chunk, chunk + 1, 100} {
		box = bytes.Repeat([]byte{byte(size)}, size)
		if err := c.PutBox(t.Context(), rendezvous(1), box); err != nil {
			t.Fatal(err)
		}
		if got, err := get(h); err != nil || !bytes.Equal(got, box) {
			t.Errorf("a box of %d bytes comes as %d, %v", size, len(got), err)
		}
	}
	h.stop(t)
	h = startHub(t, Options{Dir: dir})
	if got, err := get(h); err != nil || !bytes.Equal(got, box) {
		t.Errorf("after a restart a box of %d bytes comes as %d, %v", len(box), len(got), err)
	}
	for n := 0; ; n++ {
		if n > 10*boxGetsAtOnce {
			t.Fatal("there is no limit on asking for boxes")
		}
		if _, err = get(h); err != nil {
			break
		}
	}
	refusedWith(t, "many boxes", err, http.StatusTooManyRequests)
}

// chunk is what the store writes at once.
const chunk = 128 << 10

// What a session writes is limited, and the others' sessions are not.
func TestCourierWritesAreLimited(t *testing.T) {
	h := startHub(t, Options{})
	f := newFamily(t)
	v := signIn(t, h, f.key, f.id)
	junk := func(v *viewer) int {
		status, _ := v.raw(t, http.MethodPut, "/api/v1/cards", []byte("junk"))
		return status
	}
	n := 0
	for ; junk(v) == http.StatusBadRequest; n++ {
		if n > 4*writeBurst {
			t.Fatal("there is no limit")
		}
	}
	if status := junk(v); status != http.StatusTooManyRequests || n < writeBurst {
		t.Errorf("after %d writes: %d", n, status)
	}
	if status := junk(signIn(t, h, f.key, f.id)); status != http.StatusBadRequest {
		t.Errorf("another session: %d", status)
	}
}

// clusterCarries has what is put at one node be had at another.
func clusterCarries(t *testing.T, hubs []*running) {
	f := newFamily(t)
	at := func(i int) *ownerside.Courier { return courierTo(t, hubs[i], f.id, f.key) }
	f.next(t)
	for i, s := range f.chain {
		if err := at(i).PutStatement(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	sameChain(t, statements(t, at(2), 0), f.chain)
	if err := at(0).PutCard(t.Context(), cardOf(t, f.key, f.id, 1)); err != nil {
		t.Fatal(err)
	}
	if cards, err := at(1).Cards(t.Context()); err != nil || len(cards) != 1 {
		t.Errorf("%d cards, %v", len(cards), err)
	}
	for n := range 2 {
		box := bytes.Repeat([]byte(fmt.Sprint(n)), 150<<10)
		if err := at(n).PutBox(t.Context(), rendezvous(3), box); err != nil {
			t.Fatal(err)
		}
		if got, err := ownerside.FetchBox(t.Context(), hubs[2].ViewerURL(), hubs[2].client(), rendezvous(3)); err != nil || !bytes.Equal(got, box) {
			t.Errorf("the box comes as %d bytes, %v", len(got), err)
		}
	}
}
