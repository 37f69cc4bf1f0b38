package blob

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// server answers with what its handler says, over TLS, and gives an uploader for it.
func server(t *testing.T, handler http.HandlerFunc) (*httptest.Server, *Uploader) {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	u, err := New(Options{Hosts: []string{s.Listener.Addr().String()}, TLS: &tls.Config{RootCAs: pool}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return s, u
}

func TestUpload(t *testing.T) {
	item := strings.Repeat("item ", 1000)
	s, u := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPut || string(body) != item ||
			r.ContentLength != int64(len(item)) || r.URL.RequestURI() != "/put?grant=secret" {
			t.Errorf("%s %s, %d bytes: %v", r.Method, r.URL, len(body), err)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	if err := u.Upload(t.Context(), s.URL+"/put?grant=secret", []byte(item)); err != nil {
		t.Error(err)
	}
}

func TestAnswers(t *testing.T) {
	for code, want := range map[int]string{
		200: "", 201: "", 204: "",
		400: "status", 401: "status", 403: "status", 404: "status", 408: "status", 413: "status", 429: "status",
		500: "status", 503: "status",
		301: "status", 302: "status", 307: "status", 308: "status",
		409: "rejected", 422: "rejected",
	} {
		calls := 0
		s, u := server(t, func(w http.ResponseWriter, r *http.Request) {
			calls++
			w.Header().Set("Location", "https://"+r.Host+"/elsewhere")
			w.WriteHeader(code)
			if code != 204 {
				_, _ = io.WriteString(w, "no\x00 good\n"+strings.Repeat("x", 10_000))
			}
		})
		err := u.Upload(t.Context(), s.URL+"/put?grant=secret", []byte("item"))
		var status *StatusError
		var rejected *RejectedError
		got := ""
		switch {
		case errors.As(err, &status):
			got = "status"
		case errors.As(err, &rejected):
			got = "rejected"
			if !strings.HasPrefix(rejected.Rejected(), "http-4") {
				t.Errorf("reason %q", rejected.Rejected())
			}
		case err != nil:
			got = err.Error()
		}
		if got != want || calls != 1 {
			t.Errorf("status %d: %q after %d calls, want %q after 1", code, got, calls, want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || len(err.Error()) > 800 || !strings.Contains(err.Error(), "no good")) {
			t.Errorf("status %d: the error says %q", code, err)
		}
	}
}

func TestReason(t *testing.T) {
	for detail, want := range map[string]string{
		`{"error":"body-hash: not what was signed"}`: "body-hash",
		`{"error":"fork"}`:                           "fork",
		`{"error":"Two words: x"}`:                   "http-422",
		`{"error":""}`:                               "http-422",
		`<Error>`:                                    "http-422",
		``:                                           "http-422",
	} {
		if got := (&RejectedError{Code: 422, Detail: detail}).Rejected(); got != want {
			t.Errorf("%s: %q, want %q", detail, got, want)
		}
	}
}

// An error on the way does not hold the grant.
func TestErrorHoldsNoGrant(t *testing.T) {
	s, u := server(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	err := u.Upload(t.Context(), s.URL+"/put?grant=secret", []byte("item"))
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestURLs(t *testing.T) {
	u, err := New(Options{Hosts: []string{"Hub.example", "store.example:8443", "[2001:db8::1]:443"}})
	if err != nil {
		t.Fatal(err)
	}
	for raw, ok := range map[string]bool{
		"https://hub.example/put":                          true,
		"https://HUB.example:443/put":                      true,
		"https://store.example:8443/":                      true,
		"https://[2001:db8::1]/":                           true,
		"http://hub.example/put":                           false,
		"HTTPS://hub.example/put":                          true,
		"https://hub.example:8443/":                        false,
		"https://store.example/":                           false,
		"https://hub.example.evil/":                        false,
		"https://hub.example@evil/":                        false,
		"https://evil@hub.example/":                        false,
		"https://192.168.1.1/":                             false,
		"https:hub.example":                                false,
		"https:///put":                                     false,
		"//hub.example/put":                                false,
		"file:///etc/passwd":                               false,
		"":                                                 false,
		"https://hub.example/" + strings.Repeat("x", 3000): false,
		"https://hub.example/\x7f":                         false,
	} {
		_, _, err := u.judge(raw)
		if (err == nil) != ok || err != nil && !errors.Is(err, ErrURL) {
			t.Errorf("%.60q: %v", raw, err)
		}
	}
}

// With any host allowed, a name that leads into the camera's own network is still not
// called, and a configured one is.
func TestAnyHostMeansPublicHosts(t *testing.T) {
	s, chosen := server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	open, err := New(Options{AnyHost: true, TLS: chosen.opts.TLS})
	if err != nil {
		t.Fatal(err)
	}
	if err := open.Upload(t.Context(), s.URL, []byte("item")); !errors.Is(err, ErrURL) {
		t.Errorf("loopback was called: %v", err)
	}
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	if err := open.Upload(t.Context(), "https://localhost"+port, []byte("item")); !errors.Is(err, ErrURL) {
		t.Errorf("loopback was called by its name: %v", err)
	}
	if err := chosen.Upload(t.Context(), s.URL, []byte("item")); err != nil {
		t.Errorf("the configured host: %v", err)
	}
}

func TestIsPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "::1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "fd00::1": false, "100.64.0.1": false,
		"0.0.0.0": false, "::": false, "224.0.0.1": false, "255.255.255.255": false, "ff02::1": false,
		"::ffff:192.168.1.1": false, "64:ff9b::c0a8:101": false, "2002:c0a8:101::1": false, "198.18.0.1": false,
	} {
		if got := isPublic(netip.MustParseAddr(address)); got != want {
			t.Errorf("isPublic(%s) = %v", address, got)
		}
	}
}

// An upload to a server that says nothing ends after a time that grows with its size.
func TestTimeout(t *testing.T) {
	for size, want := range map[int]time.Duration{16 << 10: 31 * time.Second, 4 << 20: 30*time.Second + 256*time.Second} {
		synctest.Test(t, func(t *testing.T) {
			u, err := New(Options{
				Hosts: []string{"hub"}, Base: 30 * time.Second,
				Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			start := time.Now()
			if err := u.Upload(t.Context(), "https://hub/", make([]byte, size)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if d := time.Since(start); d != want {
				t.Errorf("%d bytes were given %v, want %v", size, d, want)
			}
		})
	}
}

func TestUntrustedServer(t *testing.T) {
	s, _ := server(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") })
	u, err := New(Options{Hosts: []string{s.Listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	var unknown x509.UnknownAuthorityError
	if err := u.Upload(t.Context(), s.URL, []byte("item")); !errors.As(err, &unknown) {
		t.Errorf("got %v", err)
	}
}

func TestNew(t *testing.T) {
	for _, hosts := range [][]string{nil, {""}, {"https://hub"}, {"hub/path"}, {"user@hub"}, {":443"}} {
		if _, err := New(Options{Hosts: hosts}); err == nil {
			t.Errorf("hosts %q were accepted", hosts)
		}
	}
}

// No URL that passes leads anywhere but by https to a configured host.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"https://hub/put?grant=1", "https://hub@evil/", "https://hub:443/", "https://[::1]/", "https://hub\\@evil/", "https:hub"} {
		f.Add(s)
	}
	u, err := New(Options{Hosts: []string{"hub"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, _, err := u.judge(raw)
		if err != nil {
			return
		}
		again, err := url.Parse(target.String()) // what is sent is made of this
		if err != nil || again.Scheme != "https" || !strings.EqualFold(again.Hostname(), "hub") || again.User != nil ||
			again.Port() != "" && again.Port() != "443" {
			t.Errorf("%q passed as %q", raw, target)
		}
	})
}
