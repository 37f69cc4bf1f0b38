package viewer

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lensward/lensward/internal/wait"
	"github.com/lensward/lensward/transport/household"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

const (
	// pageStatements is how many household statements a hub gives at once, at most.
	pageStatements = 50
	// maxHousehold and maxCards bound the hub's answers, in bytes.
	maxHousehold = 5 << 20
	maxCards     = 2 << 20
	// courierTries is how often a request is made while the hub is too busy for it.
	courierTries = 6
)

// CourierOptions say for whom a Courier asks, and where.
type CourierOptions struct {
	// HubURL is the hub's address; plain http is taken for loopback addresses alone.
	HubURL string
	// Hub is the hub's ID; zero takes the one that the hub gives.
	Hub seal.ID
	// HTTPClient makes the requests; nil is a client of its own. No redirect is followed.
	HTTPClient *http.Client
	// Owner is whose household it is, Signer the owner's root key or a listed viewer's.
	Owner  seal.ID
	Signer crypto.Signer
}

// Courier has a hub carry what an owner and a household's members exchange, and letters
// to cameras. What it gives out is verified as far as one thing alone can be; whether it
// follows from what is known is the caller's to check. Its methods may be called at once
// from many goroutines, and sign in as needed; a *StatusError is the hub's refusal.
type Courier struct {
	owner  seal.ID
	hub    seal.ID
	turn   sync.Mutex // the client's token is guarded by it
	client *client
}

// NewCourier returns a Courier that has not spoken to the hub yet.
func NewCourier(o CourierOptions) (*Courier, error) {
	base, err := checkURL(o.HubURL)
	if err != nil {
		return nil, fmt.Errorf("make courier: hub address %q: %w", o.HubURL, err)
	}
	if o.Owner.IsZero() || o.Signer == nil {
		return nil, errors.New("make courier: no owner, or no key to sign in with")
	}
	return &Courier{owner: o.Owner, hub: o.Hub, client: newClient(base, o.HTTPClient, Keys{Owner: o.Owner, Signer: o.Signer})}, nil
}

// call makes one request in a session, and again where that has ended or the hub is busy.
func (c *Courier) call(ctx context.Context, r request) ([]byte, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	signedIn := false
	for tries := 1; ; tries++ {
		var b []byte
		var err error
		if c.client.token == "" {
			signedIn, err = true, c.signIn(ctx)
		}
		if err == nil {
			b, err = c.client.call(ctx, r)
		}
		switch {
		case err == nil:
			return b, nil
		case isStatus(err, http.StatusUnauthorized) && !signedIn:
			continue
		case tries == courierTries || !isStatus(err, http.StatusTooManyRequests) && !isStatus(err, http.StatusServiceUnavailable):
			return nil, err
		}
		if e := wait.For(ctx, max(retryAfter(err), backoff(tries, backoffMost))); e != nil {
			return nil, e
		}
	}
}

func (c *Courier) signIn(ctx context.Context) error {
	if c.hub.IsZero() {
		word, err := c.client.word(ctx)
		if err != nil {
			return err
		}
		c.hub = word.ID
	}
	return c.client.signIn(ctx, c.hub)
}

// Statements are the next of the household's statements with a serial above after, with
// their keys as far as the hub has them: verified, the owner's, their serials growing. No
// statement means that there are no more; else ask again after the last.
func (c *Courier) Statements(ctx context.Context, after uint64) ([]*household.Signed, error) {
	q := url.Values{"after": {strconv.FormatUint(after, 10)}}
	b, err := c.call(ctx, request{method: http.MethodGet, path: "/api/v1/household", query: q, want: http.StatusOK, limit: maxHousehold})
	var out []*household.Signed
	if err == nil {
		out, err = parseStatements(b, c.owner, after)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch household statements: %w", err)
	}
	return out, nil
}

func parseStatements(b []byte, owner seal.ID, after uint64) ([]*household.Signed, error) {
	var page struct {
		Statements []string `json:"statements"`
	}
	if err := decode(b, &page); err != nil {
		return nil, err
	}
	if n := len(page.Statements); n > pageStatements {
		return nil, fmt.Errorf("%w: %d statements, at most %d", ErrAnswer, n, pageStatements)
	}
	var out []*household.Signed
	for _, text := range page.Statements {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("%w: a statement is not base64url", ErrAnswer)
		}
		s, err := household.Verify(raw, owner)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
		if s.Serial <= after {
			return nil, fmt.Errorf("%w: statement %d after %d", ErrAnswer, s.Serial, after)
		}
		out, after = append(out, s), s.Serial
	}
	return out, nil
}

// PutStatement has the hub keep a household statement with its keys. Status 409 means
// that the hub has another with its serial.
func (c *Courier) PutStatement(ctx context.Context, s *household.Signed) error {
	return c.put(ctx, "household statement", http.MethodPost, "/api/v1/household", s.Bytes())
}

// PutCard has the hub keep this key's card.
func (c *Courier) PutCard(ctx context.Context, card []byte) error {
	return c.put(ctx, "card", http.MethodPut, "/api/v1/cards", card)
}

// PutBox has the hub keep a recovery box in the place of the one before.
func (c *Courier) PutBox(ctx context.Context, locator string, box []byte) error {
	return c.put(ctx, "recovery box", http.MethodPut, "/api/v1/boxes/"+url.PathEscape(locator), box)
}

// PutLetter has the hub bring a camera a letter: the next record's envelope, without an
// acceptance, or a release. Status 409 means that the camera's newest record is further
// on.
func (c *Courier) PutLetter(ctx context.Context, device seal.ID, letter []byte) error {
	return c.put(ctx, "letter", http.MethodPost, lettersPath(device), letter)
}

func (c *Courier) put(ctx context.Context, what, method, path string, b []byte) error {
	if b == nil {
		b = []byte{} // nothing, and still bytes
	}
	if _, err := c.call(ctx, request{method: method, path: path, raw: b, want: http.StatusNoContent, limit: maxControl}); err != nil {
		return fmt.Errorf("hand the hub a %s: %w", what, err)
	}
	return nil
}

// Cards are the members' newest cards that the hub has. Those that do not verify for this
// owner are left out.
func (c *Courier) Cards(ctx context.Context) ([]*household.Card, error) {
	b, err := c.call(ctx, request{method: http.MethodGet, path: "/api/v1/cards", want: http.StatusOK, limit: maxCards})
	var out []*household.Card
	if err == nil {
		out, err = parseCards(b, c.owner)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch cards: %w", err)
	}
	return out, nil
}

func parseCards(b []byte, owner seal.ID) ([]*household.Card, error) {
	var list struct {
		Cards []string `json:"cards"`
	}
	if err := decode(b, &list); err != nil {
		return nil, err
	}
	var out []*household.Card
	for _, text := range list.Cards {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if err != nil {
			continue
		}
		if card, err := household.VerifyCard(raw, owner); err == nil {
			out = append(out, card)
		}
	}
	return out, nil
}

// Records are the owner's ownership records that the hub has. Those that do not verify,
// or are another owner's, are left out.
func (c *Courier) Records(ctx context.Context) ([]*ownership.Ownership, error) {
	b, err := c.call(ctx, request{method: http.MethodGet, path: "/api/v1/records", want: http.StatusOK, limit: maxRecords})
	if err != nil {
		return nil, fmt.Errorf("fetch ownership records: %w", err)
	}
	raw, err := parseRecords(b)
	if err != nil {
		return nil, fmt.Errorf("fetch ownership records: %w", err)
	}
	var out []*ownership.Ownership
	for _, r := range raw {
		o, err := ownership.Parse(r)
		if err == nil && o.Record.Owner == c.owner && o.Verify() == nil {
			out = append(out, o)
		}
	}
	return out, nil
}

// LetterState is what the hub says of a letter. Nothing proves it.
type LetterState struct {
	// Kind is "record" or "release"; Hash is SHA-256 of the letter's bytes.
	Kind string
	Hash seal.Hash
	// Sent is when the hub took it, Answered when the camera answered; zero if it has not.
	Sent, Answered time.Time
	// OK says that the camera took it, else Reason is why it did not.
	OK     bool
	Reason string
}

// Letters are the newest letters of this owner to a camera, one of each kind at most.
func (c *Courier) Letters(ctx context.Context, device seal.ID) ([]LetterState, error) {
	b, err := c.call(ctx, request{method: http.MethodGet, path: lettersPath(device), want: http.StatusOK, limit: maxControl})
	var out []LetterState
	if err == nil {
		out, err = parseLetters(b)
	}
	if err != nil {
		return nil, fmt.Errorf("ask for letters to camera %s: %w", device.Short(), err)
	}
	return out, nil
}

func lettersPath(device seal.ID) string { return "/api/v1/devices/" + device.String() + "/letters" }

func parseLetters(b []byte) ([]LetterState, error) {
	var list struct {
		Letters []struct {
			Kind     string    `json:"kind"`
			Hash     seal.Hash `json:"hash"`
			Sent     int64     `json:"sent"`
			Answered int64     `json:"answered"`
			OK       bool      `json:"ok"`
			Reason   string    `json:"reason"`
		} `json:"letters"`
	}
	if err := decode(b, &list); err != nil {
		return nil, err
	}
	var out []LetterState
	for _, l := range list.Letters {
		if l.Kind != "record" && l.Kind != "release" {
			continue // of a later version
		}
		// The word comes from a camera by way of the hub, and goes to a terminal.
		if len(l.Reason) > 64 || strings.Trim(l.Reason, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return nil, fmt.Errorf("%w: the reason is not one word", ErrAnswer)
		}
		s := LetterState{Kind: l.Kind, Hash: l.Hash, OK: l.OK, Reason: l.Reason, Sent: time.Unix(l.Sent, 0).UTC()}
		if l.Answered != 0 {
			s.Answered = time.Unix(l.Answered, 0).UTC()
		}
		out = append(out, s)
	}
	return out, nil
}

// HubWord is what a hub says of itself to anybody.
type HubWord struct {
	ID seal.ID
	// Devices are host:port of its HTTPS listener for devices, as a pairing code holds
	// them; none if the hub did not say.
	Devices []string
}

// AskHub asks a hub who it is. Nothing proves the answer.
func AskHub(ctx context.Context, hubURL string, given *http.Client) (HubWord, error) {
	c, err := stranger(hubURL, given)
	if err != nil {
		return HubWord{}, fmt.Errorf("ask the hub who it is: %w", err)
	}
	return c.word(ctx)
}

// word asks the hub who it is.
func (c *client) word(ctx context.Context) (HubWord, error) {
	b, err := c.do(ctx, request{method: http.MethodGet, path: "/api/v1/hub", want: http.StatusOK, limit: maxControl})
	var w HubWord
	if err == nil {
		w, err = parseHubWord(b)
	}
	if err != nil {
		return HubWord{}, fmt.Errorf("ask the hub who it is: %w", err)
	}
	return w, nil
}

func parseHubWord(b []byte) (HubWord, error) {
	var said struct {
		ID      seal.ID  `json:"id"`
		Devices []string `json:"devices"`
	}
	if err := decode(b, &said); err != nil {
		return HubWord{}, err
	}
	if said.ID.IsZero() {
		return HubWord{}, fmt.Errorf("%w: the hub has no ID", ErrAnswer)
	}
	return HubWord{ID: said.ID, Devices: said.Devices}, nil
}

// FetchBox gets the recovery box at a locator, without signing in: who restores has
// nothing but words. It is to be opened with the sheet's secret, which proves it. Status
// 404 means that the hub has none.
func FetchBox(ctx context.Context, hubURL string, given *http.Client, locator string) ([]byte, error) {
	c, err := stranger(hubURL, given)
	var b []byte
	if err == nil {
		b, err = c.do(ctx, request{
			method: http.MethodGet, path: "/api/v1/boxes/" + url.PathEscape(locator), want: http.StatusOK, limit: household.MaxBox,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("fetch recovery box: %w", err)
	}
	return b, nil
}

// stranger is a client without keys.
func stranger(hubURL string, given *http.Client) (*client, error) {
	base, err := checkURL(hubURL)
	if err != nil {
		return nil, fmt.Errorf("hub address %q: %w", hubURL, err)
	}
	return newClient(base, given, Keys{}), nil
}
