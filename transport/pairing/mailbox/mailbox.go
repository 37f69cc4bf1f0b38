// Package mailbox is how the two sides of a pairing exchange messages by way of a hub:
// each puts its newest, and gets the other's. docs/ref/hub-protocol.md, "The pairing
// mailbox", is the specification.
//
// It owns the requests and what a camera that has only a code asks of a hub first: its
// certificate and where its broker is. It never reads a message, never tries again by
// itself, and trusts a hub with nothing but to carry.
package mailbox

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lensward/lensward/transport/pairing"
)

// Side is who puts a message. The values are in paths.
type Side string

// The sides of a pairing.
const (
	SideCamera Side = "camera"
	SideOwner  Side = "owner"
)

// other is the side that a side hears.
func (s Side) other() Side {
	if s == SideCamera {
		return SideOwner
	}
	return SideCamera
}

const (
	// MaxWait is how long a hub may be asked to wait for a message.
	MaxWait = 55 * time.Second

	defaultWait = 25 * time.Second
	// requestTime bounds a request, without what the hub was asked to wait.
	requestTime = 30 * time.Second
	maxError    = 4 << 10
	maxAfter    = time.Minute
)

// The paths of the two listeners' mailboxes, after the base URL.
const (
	// DevicePath is that of the HTTPS listener for devices.
	DevicePath = "/pair"
	// ViewerPath is that of the viewer API.
	ViewerPath = "/api/v1/pair"
)

// StatusError is an answer other than the one that was asked for.
type StatusError struct {
	// Status is the HTTP status.
	Status int
	// After is how long the hub asks to wait, at most a minute; 0 if it does not.
	After time.Duration
}

// Error names the status.
func (e *StatusError) Error() string {
	return fmt.Sprintf("the hub answered %d %s", e.Status, http.StatusText(e.Status))
}

// ErrAnswer means that a hub's answer is not what the protocol says.
var ErrAnswer = errors.New("the hub's answer makes no sense")

// Options say where a hub's mailboxes are, and who asks.
type Options struct {
	// URL is the hub's base URL: https://host:port of its listener for devices, or that
	// of its viewer API.
	URL string
	// Path is DevicePath or ViewerPath, by which of the two it is.
	Path string
	// Side is who this is.
	Side Side
	// Wait is how long the hub is asked to wait for a message, at most MaxWait, in whole
	// seconds; zero is 25 s, and below zero it does not wait.
	Wait time.Duration
	// HTTP makes the requests. It must have no timeout shorter than a wait; nil is
	// http.DefaultTransport's. No redirect is followed.
	HTTP *http.Client
}

// Mailbox is one side's access to the messages of pairings. Its methods may be called at
// once from many goroutines. It is an exchange.Carrier.
type Mailbox struct {
	base *url.URL
	side Side
	wait time.Duration
	http *http.Client
}

// New makes a mailbox; nothing is asked yet.
func New(o Options) (*Mailbox, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("open pairing mailbox at %q: not an http or https URL", o.URL)
	}
	if o.Path != DevicePath && o.Path != ViewerPath {
		return nil, fmt.Errorf("open pairing mailbox: no path %q", o.Path)
	}
	if o.Side != SideCamera && o.Side != SideOwner {
		return nil, fmt.Errorf("open pairing mailbox: no side %q", o.Side)
	}
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	wait := min(max(o.Wait, 0), MaxWait).Truncate(time.Second)
	return &Mailbox{base: u.JoinPath(o.Path), side: o.Side, wait: wait, http: still(o.HTTP)}, nil
}

// at is where a side's message is.
func (m *Mailbox) at(rendezvous string, side Side) (*url.URL, error) {
	if !IsRendezvous(rendezvous) {
		return nil, errors.New("the rendezvous is not 32 hexadecimal digits")
	}
	return m.base.JoinPath(rendezvous, string(side)), nil
}

// IsRendezvous says whether s is 32 lower-case hexadecimal digits.
func IsRendezvous(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}

// still is a client with given's transport that follows no redirect.
func still(given *http.Client) *http.Client {
	h := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if given != nil {
		h.Transport, h.Timeout = given.Transport, given.Timeout
	}
	return h
}

// Put makes msg this side's newest message. A *StatusError is the hub's refusal; after
// any error it may be put again.
func (m *Mailbox) Put(ctx context.Context, rendezvous string, msg []byte) error {
	if err := m.put(ctx, rendezvous, msg); err != nil {
		return fmt.Errorf("put pairing message: %w", err)
	}
	return nil
}

func (m *Mailbox) put(ctx context.Context, rendezvous string, msg []byte) error {
	to, err := m.at(rendezvous, m.side)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, to.String(), bytes.NewReader(msg))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	_, err = ask(m.http, req, http.StatusNoContent, 0)
	return err
}

// Get is the other side's newest message, if its SHA-256 is not have, which is nil where
// none was got yet. Otherwise the hub waits for another, and nil without an error means
// that none came.
func (m *Mailbox) Get(ctx context.Context, rendezvous string, have []byte) ([]byte, error) {
	b, err := m.get(ctx, rendezvous, have)
	var other *StatusError
	if errors.As(err, &other) && other.Status == http.StatusNoContent {
		return nil, nil
	}
	if err == nil && len(b) == 0 {
		err = fmt.Errorf("%w: it is empty", ErrAnswer)
	}
	if err != nil {
		return nil, fmt.Errorf("get pairing message: %w", err)
	}
	return b, nil
}

func (m *Mailbox) get(ctx context.Context, rendezvous string, have []byte) ([]byte, error) {
	from, err := m.at(rendezvous, m.side.other())
	if err != nil {
		return nil, err
	}
	q := url.Values{"wait": {strconv.Itoa(int(m.wait / time.Second))}}
	if have != nil {
		q.Set("not", hex.EncodeToString(have))
	}
	from.RawQuery = q.Encode()
	ctx, cancel := context.WithTimeout(ctx, m.wait+requestTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
	if err != nil {
		return nil, err
	}
	return ask(m.http, req, http.StatusOK, pairing.MaxMessage)
}

// ask makes a request and reads an answer of at most limit bytes with the status that is
// wanted.
func ask(client *http.Client, req *http.Request, want, limit int) ([]byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		e := &StatusError{Status: resp.StatusCode}
		if n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil {
			e.After = min(time.Duration(n)*time.Second, maxAfter)
		}
		// What is left of an error's text lets the connection be used again.
		_, _ = io.CopyN(io.Discard, resp.Body, maxError)
		return nil, e
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrAnswer, limit)
	}
	return b, nil
}

// isAddress says whether s is host:port.
func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, e := strconv.ParseUint(port, 10, 16)
	return err == nil && e == nil && n != 0 && host != "" && len(s) <= 255
}
