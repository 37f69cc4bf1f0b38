package viewer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/lensward/lensward/transport/hub/signin"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/statement"
)

// Limits on the hub's answers, in bytes.
const (
	maxControl  = 4 << 10   // hub, challenge, session, errors
	maxTimeline = 512 << 10 // pageRows rows of 2 KiB in base64, with room
	maxRecords  = 12 << 20  // about 130 records of the largest size
	maxDevices  = 256 << 10
)

// ErrAnswer means that a hub's answer is not what the protocol says.
var ErrAnswer = errors.New("the hub's answer makes no sense")

// row is one entry of the time line, as the hub gave it.
type row struct {
	Cursor   uint64 `json:"cursor"`
	Envelope string `json:"envelope"`
}

// envelope decodes the row's envelope. What is not base64url is no envelope.
func (r row) envelope() ([]byte, error) {
	if base64.RawURLEncoding.DecodedLen(len(r.Envelope)) > seal.MaxEnvelope {
		return nil, &seal.Error{Reason: seal.ReasonTooLarge, Detail: fmt.Sprintf("envelope of %d characters", len(r.Envelope))}
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(r.Envelope)
	if err != nil {
		return nil, &seal.Error{Reason: seal.ReasonMalformed, Detail: "not base64url"}
	}
	return b, nil
}

// decode reads one JSON value and nothing after it.
func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: something follows the JSON", ErrAnswer)
	}
	return nil
}

// parseTimeline reads a page asked for with after and limit. Cursors must grow:
// one that does not would make a viewer go round in circles.
func parseTimeline(b []byte, after uint64, limit int) (rows []row, next uint64, err error) {
	var page struct {
		Items []row   `json:"items"`
		Next  *uint64 `json:"next"`
	}
	if err := decode(b, &page); err != nil {
		return nil, 0, err
	}
	if page.Next == nil || *page.Next > statement.MaxInt {
		return nil, 0, fmt.Errorf("%w: no next cursor, or out of range", ErrAnswer)
	}
	if len(page.Items) > limit {
		return nil, 0, fmt.Errorf("%w: %d rows, %d were asked for", ErrAnswer, len(page.Items), limit)
	}
	last := after
	for _, r := range page.Items {
		if r.Cursor <= last || r.Cursor > statement.MaxInt {
			return nil, 0, fmt.Errorf("%w: cursor %d after %d", ErrAnswer, r.Cursor, last)
		}
		last = r.Cursor
	}
	return page.Items, *page.Next, nil
}

// parseRecords reads the list of ownership records. A string that is not
// base64url becomes an empty record, which no check passes.
func parseRecords(b []byte) ([][]byte, error) {
	var list struct {
		Records []string `json:"records"`
	}
	if err := decode(b, &list); err != nil {
		return nil, err
	}
	out := make([][]byte, 0, len(list.Records))
	for _, s := range list.Records {
		r, err := base64.RawURLEncoding.Strict().DecodeString(s)
		if err != nil {
			r = nil
		}
		out = append(out, r)
	}
	return out, nil
}

// deviceWord is what the hub says of a camera. Nothing proves it.
type deviceWord struct {
	ID     seal.ID `json:"id"`
	Online bool    `json:"online"`
	Seen   int64   `json:"seen"`
}

func parseDevices(b []byte) ([]deviceWord, error) {
	var list struct {
		Devices []deviceWord `json:"devices"`
	}
	if err := decode(b, &list); err != nil {
		return nil, err
	}
	return list.Devices, nil
}

// maxRetention is the longest retention that is believed of a hub, in seconds: a century.
const maxRetention = 100 * 366 * 24 * 3600

// parseHub gives a hub's ID, and how long it says that it keeps items, 0 for ever.
func parseHub(b []byte) (seal.ID, time.Duration, error) {
	var hub struct {
		ID        seal.ID `json:"id"`
		Retention int64   `json:"retention"`
	}
	if err := decode(b, &hub); err != nil {
		return seal.ID{}, 0, err
	}
	if hub.ID == (seal.ID{}) {
		return seal.ID{}, 0, fmt.Errorf("%w: the hub has no ID", ErrAnswer)
	}
	if hub.Retention < 0 || hub.Retention > maxRetention {
		return seal.ID{}, 0, fmt.Errorf("%w: a retention of %d s", ErrAnswer, hub.Retention)
	}
	return hub.ID, time.Duration(hub.Retention) * time.Second, nil
}

func parseChallenge(b []byte) (nonce signin.Nonce, err error) {
	var c struct {
		Nonce string `json:"nonce"`
	}
	if err := decode(b, &c); err != nil {
		return nonce, err
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(c.Nonce)
	if err != nil || len(raw) != len(nonce) {
		return nonce, fmt.Errorf("%w: not a challenge of %d bytes", ErrAnswer, len(nonce))
	}
	return signin.Nonce(raw), nil
}

func parseSession(b []byte) (token, error) {
	var s struct {
		Token string `json:"token"`
	}
	if err := decode(b, &s); err != nil {
		return "", err
	}
	if s.Token == "" || len(s.Token) > 512 || strings.ContainsFunc(s.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%w: not a token", ErrAnswer)
	}
	return token(s.Token), nil
}

// parseError gives an error answer's text, fit for a terminal: it is a
// stranger's text.
func parseError(b []byte) string {
	var e struct {
		Error string `json:"error"`
		Hint  string `json:"hint"`
	}
	if err := json.Unmarshal(b, &e); err != nil || e.Error == "" {
		return ""
	}
	text := e.Error
	if e.Hint != "" {
		text += " (hint: " + e.Hint + ")"
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	const limit = 300
	if r := []rune(text); len(r) > limit {
		text = string(r[:limit]) + "…"
	}
	return text
}
