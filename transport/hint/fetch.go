package hint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/lensward/lensward/transport/statement"
)

const (
	maxRedirects   = 3
	maxHeader      = 16 << 10
	defaultTimeout = 10 * time.Second
)

// FetchOptions say where a hint may be had besides the hub.
type FetchOptions struct {
	// URL is an http or https address. Plain http will do: the hint is signed.
	URL string
	// TLS holds the authorities that sign the server's certificate; nil is the system's.
	TLS *tls.Config
	// Timeout bounds one fetch; default 10 s.
	Timeout time.Duration
	// Dial opens a connection in place of TCP; for tests.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Fetcher gets a hint from a web server. It tries once: when to ask is recovery's to say.
type Fetcher struct {
	url     string
	timeout time.Duration
	client  *http.Client
}

// NewFetcher makes a fetcher.
func NewFetcher(o FetchOptions) (*Fetcher, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("fetch hint from %q: not an http or https URL", o.URL)
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	config := &tls.Config{}
	if o.TLS != nil {
		config = o.TLS.Clone()
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return &Fetcher{url: u.String(), timeout: o.Timeout, client: &http.Client{
		Transport: &http.Transport{ // no proxy: which host is called is the configuration's to say
			DialContext: o.Dial, TLSClientConfig: config,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true,
			DisableKeepAlives:      true, // the next fetch is minutes away
		},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errors.New("too many redirects")
			}
			return nil
		},
	}}, nil
}

// Fetch gets what the address has, at most MaxSize bytes. Nothing has been verified.
func (f *Fetcher) Fetch(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch hint: %w", err)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch hint: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it has been read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch hint from %s: the server answers %d", f.url, resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("fetch hint from %s: %w", f.url, err)
	}
	if len(b) > MaxSize {
		return nil, fmt.Errorf("fetch hint from %s: %w", f.url, statement.ErrTooLarge)
	}
	return b, nil
}
