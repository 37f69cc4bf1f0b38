package viewer

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/hub/signin"
	"github.com/lensward/lensward/transport/seal"
)

const (
	// requestTime is how long an answer may take before its length is counted.
	requestTime = 30 * time.Second
	// slowest is the speed in bytes a second that an answer must keep up.
	slowest = 16 << 10

	// backoffFirst is the first pause; backoffMost the longest between failures of the
	// hub, askAgainMost that between two wrong answers to one question.
	backoffFirst = 50 * time.Millisecond
	backoffMost  = 30 * time.Second
	askAgainMost = 2 * time.Second
	// maxRetryAfter bounds what a hub may ask for in Retry-After.
	maxRetryAfter = time.Minute
)

// token is a session's bearer token.
type token = secret.Text

// StatusError is an answer with a status other than the expected one.
type StatusError struct {
	// Status is the HTTP status, Text what the hub said, if it said something.
	Status int
	Text   string
	// After is how long the hub asks to wait, at most a minute.
	After time.Duration
}

// Error is the status and the hub's words.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("the hub answered %d %s", e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// isStatus says whether err is an answer with this status.
func isStatus(err error, status int) bool {
	var e *StatusError
	return errors.As(err, &e) && e.Status == status
}

// permanent says that asking again at once is of no use: the hub does not let
// this viewer in, or is not the hub that was pinned.
func permanent(err error) bool {
	return isStatus(err, http.StatusForbidden) || errors.Is(err, ErrHubChanged)
}

// retryAfter is how long the hub asked to wait, if it did.
func retryAfter(err error) time.Duration {
	var e *StatusError
	if errors.As(err, &e) {
		return e.After
	}
	return 0
}

// backoff doubles with each try, counted from 1, up to most. Half of it is
// chance, so that viewers do not ask in step.
func backoff(tries int, most time.Duration) time.Duration {
	d := most
	if tries < 16 {
		d = min(d, backoffFirst<<tries)
	}
	return d/2 + rand.N(d/2+1)
}

// client speaks the viewer API.
type client struct {
	base  *url.URL
	http  *http.Client
	keys  Keys
	token token
}

// newClient uses given's transport and cookie-free settings, never its redirects.
func newClient(base *url.URL, given *http.Client, keys Keys) *client {
	h := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if given != nil {
		h.Transport = given.Transport
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.MaxResponseHeaderBytes = 16 << 10
		h.Transport = t
	}
	return &client{base: base, http: h, keys: keys}
}

// request is one call of the API.
type request struct {
	method, path string
	query        url.Values
	body         any    // sent as JSON, if not nil
	raw          []byte // sent as it is, if not nil
	want         int    // the status that is success
	limit        int    // the largest answer, in bytes
	expect       int    // what an honest answer has at most, in bytes; 0 for limit
	wait         time.Duration
}

// do makes one request. Its time is bounded by the expected size at the slowest
// speed, so that a hub that drips cannot hold a viewer for ever.
func (c *client) do(ctx context.Context, r request) ([]byte, error) {
	if r.expect == 0 {
		r.expect = r.limit
	}
	ctx, cancel := context.WithTimeout(ctx, r.wait+requestTime+time.Duration(r.expect/slowest)*time.Second)
	defer cancel()
	var body io.Reader
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body, r.raw = bytes.NewReader(b), nil
	} else if r.raw != nil {
		body = bytes.NewReader(r.raw)
	}
	u := c.base.JoinPath(r.path)
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	switch {
	case r.raw != nil:
		req.Header.Set("Content-Type", "application/octet-stream")
	case body != nil:
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+string(c.token))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != r.want {
		return nil, statusError(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(r.limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if len(b) > r.limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrAnswer, r.limit)
	}
	return b, nil
}

func statusError(resp *http.Response) error {
	e := &StatusError{Status: resp.StatusCode}
	if b, err := io.ReadAll(io.LimitReader(resp.Body, maxControl)); err == nil {
		e.Text = parseError(b)
	}
	if n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil {
		e.After = min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	return e
}

// hubID asks the hub who it is, and for how long it keeps items.
func (c *client) hubID(ctx context.Context) (seal.ID, time.Duration, error) {
	b, err := c.do(ctx, request{method: http.MethodGet, path: "/api/v1/hub", want: http.StatusOK, limit: maxControl})
	if err != nil {
		return seal.ID{}, 0, fmt.Errorf("ask for the hub's ID: %w", err)
	}
	return parseHub(b)
}

// signIn gets a session at the hub with this ID.
func (c *client) signIn(ctx context.Context, hub seal.ID) error {
	c.token = ""
	b, err := c.do(ctx, request{method: http.MethodPost, path: "/api/v1/challenge", body: struct{}{}, want: http.StatusOK, limit: maxControl})
	if err != nil {
		return fmt.Errorf("ask for a challenge: %w", err)
	}
	nonce, err := parseChallenge(b)
	if err != nil {
		return fmt.Errorf("read challenge: %w", err)
	}
	st, err := signin.Sign(c.keys.Signer, c.keys.Owner, hub, nonce)
	if err != nil {
		return err
	}
	said := map[string]string{"statement": base64.RawURLEncoding.EncodeToString(st)}
	b, err = c.do(ctx, request{method: http.MethodPost, path: "/api/v1/session", body: said, want: http.StatusOK, limit: maxControl})
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	if c.token, err = parseSession(b); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	return nil
}

// call is do, and forgets a session that the hub no longer knows: the next round
// signs in again.
func (c *client) call(ctx context.Context, r request) ([]byte, error) {
	b, err := c.do(ctx, r)
	if isStatus(err, http.StatusUnauthorized) {
		c.token = ""
	}
	return b, err
}

// timeline fetches the rows after a cursor; the hub may wait for one.
func (c *client) timeline(ctx context.Context, after uint64, limit int, wait time.Duration) ([]row, uint64, error) {
	q := url.Values{}
	q.Set("after", strconv.FormatUint(after, 10))
	q.Set("limit", strconv.Itoa(limit))
	q.Set("wait", strconv.Itoa(int(wait/time.Second)))
	b, err := c.call(ctx, request{
		method: http.MethodGet, path: "/api/v1/timeline", query: q,
		want: http.StatusOK, limit: maxTimeline, wait: wait,
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read time line: %w", err)
	}
	rows, next, err := parseTimeline(b, after, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("read time line: %w", err)
	}
	return rows, next, nil
}

// item fetches an item's bytes, which should be at most expect. Another item in
// its place may be larger, and is read whole: it is proof.
func (c *client) item(ctx context.Context, ref seal.Ref, expect int) ([]byte, error) {
	b, err := c.call(ctx, request{
		method: http.MethodGet, path: "/api/v1/items/" + ref.String(), want: http.StatusOK,
		limit: seal.MaxItem, expect: expect,
	})
	if err != nil {
		return nil, fmt.Errorf("fetch item %s: %w", ref, err)
	}
	return b, nil
}

// records fetches the owner's ownership records.
func (c *client) records(ctx context.Context) ([][]byte, error) {
	b, err := c.call(ctx, request{method: http.MethodGet, path: "/api/v1/records", want: http.StatusOK, limit: maxRecords})
	if err != nil {
		return nil, fmt.Errorf("fetch ownership records: %w", err)
	}
	return parseRecords(b)
}

// devices fetches the hub's word on which cameras are there.
func (c *client) devices(ctx context.Context) ([]deviceWord, error) {
	b, err := c.call(ctx, request{method: http.MethodGet, path: "/api/v1/devices", want: http.StatusOK, limit: maxDevices})
	if err != nil {
		return nil, fmt.Errorf("fetch the cameras' state: %w", err)
	}
	return parseDevices(b)
}

// report hands a misrouted envelope back.
func (c *client) report(ctx context.Context, envelope []byte, why seal.Reason) error {
	said := map[string]string{"envelope": base64.RawURLEncoding.EncodeToString(envelope), "reason": string(why)}
	_, err := c.call(ctx, request{
		method: http.MethodPost, path: "/api/v1/reports", body: said, want: http.StatusNoContent, limit: maxControl,
	})
	if err != nil {
		return fmt.Errorf("report a misrouted item: %w", err)
	}
	return nil
}
