package hub

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/time/rate"

	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

const (
	maxStatement     = household.MaxEnvelope + household.MaxKeys
	statementsAtOnce = 50
	statementsBytes  = 3 << 20 // before base64, which makes 4 MiB of them

	boxGets, boxGetsAtOnce = 10, 20 // a second, over all
)

// courier carries what an owner and the household's members exchange, and letters to
// devices. It opens nothing.
type courier struct {
	store *store.Store
	post  *post
	boxes *rate.Limiter
}

func newCourier(st *store.Store, p *post) *courier {
	return &courier{store: st, post: p, boxes: rate.NewLimiter(boxGets, boxGetsAtOnce)}
}

// routes adds the calls to the API's.
func (c *courier) routes(mux *http.ServeMux, a *api) {
	writing := func(call func(http.ResponseWriter, *http.Request, *session) error) http.Handler {
		return a.signedIn(func(w http.ResponseWriter, r *http.Request, s *session) error {
			if !s.writes.Allow() {
				return answer(http.StatusTooManyRequests, "try again later", "too much at once")
			}
			err := call(w, r, s)
			if err == nil {
				w.WriteHeader(http.StatusNoContent)
			}
			return err
		})
	}
	mux.Handle("GET /api/v1/household", a.signedIn(c.statements))
	mux.Handle("POST /api/v1/household", writing(c.putStatement))
	mux.Handle("GET /api/v1/cards", a.signedIn(c.cards))
	mux.Handle("PUT /api/v1/cards", writing(c.putCard))
	mux.Handle("GET /api/v1/boxes/{locator}", a.open(c.box))
	mux.Handle("PUT /api/v1/boxes/{locator}", writing(c.putBox))
	mux.Handle("GET /api/v1/devices/{device}/letters", a.signedIn(c.letters))
	mux.Handle("POST /api/v1/devices/{device}/letters", writing(c.putLetter))
}

// statementHash is the name of a statement by its envelope.
func statementHash(envelope []byte) (seal.Hash, error) {
	st, _, err := statement.Parse(envelope, household.MaxEnvelope)
	if err != nil {
		return seal.Hash{}, err
	}
	return hashOf(st.Payload), nil
}

func (c *courier) putStatement(w http.ResponseWriter, r *http.Request, s *session) error {
	b, err := readBytes(w, r, maxStatement)
	if err != nil {
		return err
	}
	st, err := household.Verify(b, s.owner)
	if err != nil {
		return refused(err, household.ErrOwner)
	}
	h := store.Household{Owner: s.owner, Serial: st.Serial, Hash: st.Hash(), Envelope: st.Envelope()}
	if st.HasKeys() {
		h.Keys = b[len(h.Envelope):]
	}
	err = c.store.PutHousehold(r.Context(), h, func(stands []byte) bool {
		name, err := statementHash(stands)
		return err == nil && name == h.Hash
	})
	switch {
	case errors.Is(err, store.ErrFork):
		return c.fork(r.Context(), s.owner, h)
	case errors.Is(err, store.ErrTooMany):
		return answer(http.StatusForbidden, "", "this owner has too many household statements here")
	}
	return err
}

// fork keeps the proof that an owner signed two statements with one serial.
func (c *courier) fork(ctx context.Context, owner seal.ID, h store.Household) error {
	if err := c.store.PutFork(ctx, owner, h.Hash, h.Envelope); err != nil {
		return err
	}
	c.post.log.Error("household fork kept as evidence", "owner", owner.String(), "serial", h.Serial, "hash", h.Hash.String())
	return answer(http.StatusConflict, "the owner's key signed two histories: see whether it is used in two places",
		"another statement %d of this household is stored", h.Serial)
}

// refused is the answer to what does not verify: 403 to another owner's, else 400.
func refused(err error, foreign ...error) error {
	for _, f := range foreign {
		if errors.Is(err, f) {
			return answer(http.StatusForbidden, "", "%v", err)
		}
	}
	return answer(http.StatusBadRequest, "", "%v", err)
}

func (c *courier) statements(w http.ResponseWriter, r *http.Request, s *session) error {
	after, err := queryNumber(r, "after", 0, 0, statement.MaxInt)
	if err != nil {
		return err
	}
	all, err := c.store.Households(r.Context(), s.owner, after, statementsAtOnce, statementsBytes, statementHash)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Statements []b64 `json:"statements"`
	}{texts(all)})
	return nil
}

// texts are bytes as they are in JSON; none are an empty list.
func texts(all [][]byte) []b64 {
	out := make([]b64, 0, len(all))
	for _, b := range all {
		out = append(out, b)
	}
	return out
}

func (c *courier) putCard(w http.ResponseWriter, r *http.Request, s *session) error {
	b, err := readBytes(w, r, household.MaxCard)
	if err != nil {
		return err
	}
	card, err := household.VerifyCard(b, s.owner)
	if err != nil {
		return refused(err, household.ErrOwner)
	}
	if seal.KeyID(card.Key) != s.viewer {
		return answer(http.StatusForbidden, "", "the card is of another key than the session's")
	}
	err = c.store.PutCard(r.Context(), s.owner, s.viewer, b, func(known []byte) (bool, error) {
		return newerCard(card, known, s.owner)
	})
	if errors.Is(err, store.ErrTooMany) {
		return answer(http.StatusForbidden, "", "this owner has too many cards here")
	}
	return err
}

// newerCard says whether a card takes the place of the one that is known, nil for none.
func newerCard(card *household.Card, known []byte, owner seal.ID) (bool, error) {
	if known == nil {
		return true, nil
	}
	old, err := household.VerifyCard(known, owner)
	if err != nil {
		return false, err
	}
	switch {
	case card.Number > old.Number:
		return true, nil
	case card.Number == old.Number && card.Recipient == old.Recipient:
		return false, nil
	}
	return false, answer(http.StatusConflict, "", "card %d, and card %d of this key is known", card.Number, old.Number)
}

func (c *courier) cards(w http.ResponseWriter, r *http.Request, s *session) error {
	all, err := c.store.Cards(r.Context(), s.owner)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Cards []b64 `json:"cards"`
	}{texts(all)})
	return nil
}

// locator is the box that a request is about.
func locator(r *http.Request) (string, error) {
	l := r.PathValue("locator")
	if !mailbox.IsRendezvous(l) { // of the same form
		return "", answer(http.StatusBadRequest, "32 lower-case hexadecimal digits", "not a locator")
	}
	return l, nil
}

func (c *courier) putBox(w http.ResponseWriter, r *http.Request, _ *session) error {
	at, err := locator(r)
	if err != nil {
		return err
	}
	b, err := readBytes(w, r, household.MaxBox)
	if err != nil {
		return err
	}
	return c.store.PutBox(r.Context(), at, b)
}

// box answers without a session: who restores has nothing but words.
func (c *courier) box(w http.ResponseWriter, r *http.Request) error {
	at, err := locator(r)
	if err != nil {
		return err
	}
	if !c.boxes.Allow() {
		return answer(http.StatusTooManyRequests, "try again later", "too many ask for recovery boxes")
	}
	b, err := c.store.Box(r.Context(), at)
	if errors.Is(err, store.ErrNotFound) {
		return answer(http.StatusNotFound, "", "there is no such box")
	}
	if err != nil {
		return err
	}
	writeBytes(w, b)
	return nil
}
