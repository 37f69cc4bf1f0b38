// Package blob puts one item to one URL that a hub granted: HTTPS PUT, and nothing else.
//
// It owns the question which URLs a camera may call. A hub is not trusted: it must not
// be able to send a camera's requests to a neighbour in the camera's own network. It
// never follows a redirect, never tries again, and success is not a receipt.
package blob

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

const (
	maxURL    = 2 << 10
	maxDetail = 256      // of an answer, kept for a person
	maxHeader = 16 << 10 // of an answer
	maxDrain  = 4 << 10  // of an answer, to have the connection again
)

// ErrURL is a URL that a camera does not call.
var ErrURL = errors.New("not a URL that may be called")

// Options say where items may be put. Zero durations and rates take their defaults.
type Options struct {
	// Hosts are the hosts that may be called, each "name" or "name:port" (443 if none is
	// given): the hub's own, or a store on the camera's network. Whatever address they
	// have is fine: the owner of the configuration chose them.
	Hosts []string
	// AnyHost allows every other host too, if its address is a public one, for
	// S3-compatible stores that the hub chooses.
	AnyHost bool
	// TLS holds the authorities that sign the servers' certificates, and the device's own
	// certificate if the hub wants it. Versions below 1.2 are not taken.
	TLS *tls.Config
	// Base and Rate bound an upload in time: Base and the size at Rate bytes a second.
	// Default 30 s and 16 KiB a second: less than five minutes for 4 MiB.
	Base time.Duration
	Rate float64
	// Dial opens a connection in place of TCP; for tests. The addresses of AnyHost are
	// not checked then.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Uploader puts items. It may be used by several goroutines.
type Uploader struct {
	opts   Options
	hosts  map[string]bool // with port
	chosen *http.Client    // for Hosts
	public *http.Client    // for the rest
}

// New makes an uploader.
func New(opts Options) (*Uploader, error) {
	if len(opts.Hosts) == 0 && !opts.AnyHost {
		return nil, errors.New("make uploader: no host may be called")
	}
	if opts.Base <= 0 {
		opts.Base = 30 * time.Second
	}
	if opts.Rate <= 0 {
		opts.Rate = 16 << 10
	}
	u := &Uploader{opts: opts, hosts: map[string]bool{}}
	for _, h := range opts.Hosts {
		host, err := withPort(h)
		if err != nil {
			return nil, fmt.Errorf("make uploader: host %q: %w", h, err)
		}
		u.hosts[host] = true
	}
	u.chosen = client(opts, &net.Dialer{})
	u.public = client(opts, &net.Dialer{Control: publicOnly})
	return u, nil
}

// withPort is a host in lower case with its port.
func withPort(h string) (string, error) {
	parsed, err := url.Parse("https://" + h)
	if err != nil {
		return "", err
	}
	if parsed.Host != h || parsed.Hostname() == "" {
		return "", errors.New("not a host name and port")
	}
	return hostPort(parsed), nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func client(opts Options, dialer *net.Dialer) *http.Client {
	dial := opts.Dial
	if dial == nil {
		dial = dialer.DialContext
	}
	config := &tls.Config{}
	if opts.TLS != nil {
		config = opts.TLS.Clone()
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return &http.Client{
		// No proxy: which host is called is decided here.
		Transport: &http.Transport{
			DialContext:            dial,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    opts.Base,
			MaxIdleConns:           2,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close lets go of idle connections.
func (u *Uploader) Close() {
	u.chosen.CloseIdleConnections()
	u.public.CloseIdleConnections()
}

// StatusError is an answer after which the upload may be tried again, with a new grant.
type StatusError struct {
	// Code is the HTTP status.
	Code int
	// Detail is the start of what the server said, for a person.
	Detail string
}

// Error gives the status and the detail.
func (e *StatusError) Error() string { return describe(e.Code, e.Detail) }

// RejectedError is an answer that refuses the item itself: trying again is in vain.
type RejectedError StatusError

// Error gives the status and the detail.
func (e *RejectedError) Error() string { return describe(e.Code, e.Detail) }

// Rejected is the reason with which a hub's error begins, else "http-" and the status.
func (e *RejectedError) Rejected() string {
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal([]byte(e.Detail), &answer) == nil {
		word, _, _ := strings.Cut(answer.Error, ":")
		if word != "" && len(word) <= 64 && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" {
			return word
		}
	}
	return fmt.Sprintf("http-%d", e.Code)
}

func describe(code int, detail string) string {
	text := fmt.Sprintf("the server answers %d %s", code, http.StatusText(code))
	if detail != "" {
		text += ": " + detail
	}
	return text
}

// Upload puts an item. It returns nil when the server says that it took it; an ErrURL, a
// *StatusError, a *RejectedError, or what went wrong on the way. The URL, which is a
// capability, is in none of them.
func (u *Uploader) Upload(ctx context.Context, rawURL string, item []byte) error {
	target, client, err := u.judge(rawURL)
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, u.opts.Base+time.Duration(float64(len(item))/u.opts.Rate*float64(time.Second)))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target.String(), bytes.NewReader(item))
	if err != nil {
		return fmt.Errorf("upload to %s: %w", target.Host, bare(err))
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("upload to %s: %w", target.Host, bare(err))
	}
	defer func() { _ = resp.Body.Close() }() // the status has been read
	if err := classify(resp); err != nil {
		return fmt.Errorf("upload to %s: %w", target.Host, err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain) // it does not matter what it says
	return nil
}

// judge says whether a URL may be called, and by whom.
func (u *Uploader) judge(rawURL string) (*url.URL, *http.Client, error) {
	if len(rawURL) > maxURL {
		return nil, nil, fmt.Errorf("%w: %d bytes long", ErrURL, len(rawURL))
	}
	target, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%w: it cannot be read", ErrURL)
	case target.Scheme != "https" || target.Opaque != "" || target.Hostname() == "":
		return nil, nil, fmt.Errorf("%w: not https", ErrURL)
	case target.User != nil:
		return nil, nil, fmt.Errorf("%w: it names a user", ErrURL)
	case u.hosts[hostPort(target)]:
		return target, u.chosen, nil
	case u.opts.AnyHost:
		return target, u.public, nil
	}
	return nil, nil, fmt.Errorf("%w: host %q is not a configured one", ErrURL, target.Host)
}

// classify reads an answer (docs/ref/hub-protocol.md, Uploads). A status that a server
// gives for an expired or another grant counts against the grant, not the item.
func classify(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusNoContent, http.StatusOK, http.StatusCreated: // S3 says 200
		return nil
	}
	start, err := io.ReadAll(io.LimitReader(resp.Body, maxDetail))
	if err != nil {
		start = nil // the status is what counts
	}
	detail := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, string(start))
	switch resp.StatusCode {
	case http.StatusConflict, http.StatusUnprocessableEntity:
		return &RejectedError{Code: resp.StatusCode, Detail: detail}
	}
	return &StatusError{Code: resp.StatusCode, Detail: detail}
}

// bare takes the URL out of an error.
func bare(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		return withURL.Err
	}
	return err
}
