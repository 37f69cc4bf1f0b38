package hint_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/statement"
)

func fetcher(t testing.TB, o hint.FetchOptions) *hint.Fetcher {
	t.Helper()
	f, err := hint.NewFetcher(o)
	must(t, err)
	return f
}

// serve answers every request with what handle does.
func serve(t testing.TB, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.URL
}

func TestFetch(t *testing.T) {
	want := newIssuer(t).sign(t, plausible(1))
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(want) }
	got, err := fetcher(t, hint.FetchOptions{URL: serve(t, answer) + "/hint"}).Fetch(t.Context())
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("another hint than the server has")
	}

	s := httptest.NewTLSServer(http.HandlerFunc(answer))
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	if _, err := fetcher(t, hint.FetchOptions{URL: s.URL, TLS: &tls.Config{RootCAs: roots}}).Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := fetcher(t, hint.FetchOptions{URL: s.URL, TLS: &tls.Config{RootCAs: x509.NewCertPool()}}).Fetch(t.Context()); err == nil {
		t.Error("a server with a certificate of nobody's was believed")
	}
}

func TestFetchLimits(t *testing.T) {
	big := make([]byte, hint.MaxSize+1)
	got, err := fetcher(t, hint.FetchOptions{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(big[1:]) })}).Fetch(t.Context())
	if err != nil || len(got) != hint.MaxSize {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_, err = fetcher(t, hint.FetchOptions{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(big) })}).Fetch(t.Context())
	if !errors.Is(err, statement.ErrTooLarge) {
		t.Errorf("a byte too many: %v", err)
	}
	for name, handle := range map[string]http.HandlerFunc{
		"not found":  http.NotFound,
		"no content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"headers":    func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Much", strings.Repeat("x", 1<<16)) },
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(big[:10])
		},
	} {
		if b, err := fetcher(t, hint.FetchOptions{URL: serve(t, handle)}).Fetch(t.Context()); err == nil {
			t.Errorf("%s: %q", name, b)
		}
	}
}

// Three redirects are followed, and a circle is left.
func TestFetchRedirects(t *testing.T) {
	hops := 0
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if hops == 0 {
			_, _ = w.Write([]byte("here"))
			return
		}
		hops--
		http.Redirect(w, r, "/", http.StatusFound)
	})
	f := fetcher(t, hint.FetchOptions{URL: url})
	hops = 3
	if b, err := f.Fetch(t.Context()); err != nil || string(b) != "here" {
		t.Errorf("after three redirects: %q, %v", b, err)
	}
	hops = 4
	if b, err := f.Fetch(t.Context()); err == nil {
		t.Errorf("after four redirects: %q", b)
	}
}

// A server that says nothing costs no more than the timeout.
func TestFetchTimeout(t *testing.T) {
	release := make(chan struct{})
	url := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	if _, err := fetcher(t, hint.FetchOptions{URL: url, Timeout: 10 * time.Millisecond}).Fetch(t.Context()); err == nil {
		t.Error("an answer of a server that gave none")
	}
}

// The environment's proxies are not asked.
func TestFetchTakesNoProxy(t *testing.T) {
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") })
	t.Setenv("http_proxy", proxy)
	t.Setenv("HTTP_PROXY", proxy)
	if _, err := fetcher(t, hint.FetchOptions{URL: "http://hub.invalid/hint", Timeout: time.Second}).Fetch(t.Context()); err == nil {
		t.Error("a host that does not exist answered")
	}
}

func TestFetchOptions(t *testing.T) {
	for _, bad := range []string{"", "hub.example/hint", "ftp://hub.example/hint", "http://user@hub.example/hint", "http://", "http://[::1"} {
		if _, err := hint.NewFetcher(hint.FetchOptions{URL: bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
