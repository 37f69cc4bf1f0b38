package hub

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/net/netutil"
)

const (
	maxRequest     = 64 << 10 // bytes of an API request's body
	maxHeader      = 16 << 10
	maxConnections = 2048
	shutdownGrace  = 10 * time.Second
)

// newServer is an HTTP server with limits. Requests' contexts end with ctx, so
// that no long poll outlives the hub.
func newServer(ctx context.Context, h http.Handler, c *tls.Config, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		TLSConfig:         c,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      2 * time.Minute, // above the longest poll
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serve answers on l until ctx ends, then lets requests come to their end.
func serve(ctx context.Context, s *http.Server, l net.Listener) error {
	l = netutil.LimitListener(l, maxConnections)
	if s.TLSConfig != nil {
		l = tls.NewListener(l, s.TLSConfig)
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := s.Shutdown(grace); err != nil {
		_ = s.Close() // what is left is cut off
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	}
	return nil
}

// apiError is an answer other than the one that was asked for.
type apiError struct {
	status int
	msg    string
	hint   string
}

func (e *apiError) Error() string { return e.msg }

func answer(status int, hint, format string, args ...any) *apiError {
	return &apiError{status: status, hint: hint, msg: fmt.Sprintf(format, args...)}
}

// writeError answers with an error. What is no *apiError is the hub's own
// failure, and is not told to the caller.
func writeError(w http.ResponseWriter, err error) int {
	var e *apiError
	if !errors.As(err, &e) {
		e = answer(http.StatusServiceUnavailable, "try again later", "the hub could not do this just now")
	}
	if e.status == http.StatusServiceUnavailable || e.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "2")
	}
	writeJSON(w, e.status, struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
	}{e.msg, e.hint})
	return e.status
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The caller is gone if this fails: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(v)
}

// readJSON reads a request's body.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return answer(http.StatusUnsupportedMediaType, "send Content-Type: application/json", "the request is not JSON")
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return answer(http.StatusRequestEntityTooLarge, "", "the request is larger than %d bytes", maxRequest)
	}
	if err != nil {
		return answer(http.StatusBadRequest, "", "the request was cut off")
	}
	if err := json.Unmarshal(b, v); err != nil {
		return answer(http.StatusBadRequest, "", "the request is not the JSON that is asked for: %v", err)
	}
	return nil
}

// queryNumber reads a number from the query, def where there is none.
func queryNumber(r *http.Request, name string, def, low, high uint64) (uint64, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return def, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n < low || n > high {
		return 0, answer(http.StatusBadRequest, fmt.Sprintf("a number from %d to %d", low, high), "%s is out of range", name)
	}
	return n, nil
}

// b64 is bytes as base64url without padding in JSON.
type b64 []byte

// MarshalText writes base64url.
func (b b64) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads what MarshalText writes, and only that.
func (b *b64) UnmarshalText(s []byte) error {
	out, err := base64.RawURLEncoding.Strict().AppendDecode(nil, s)
	if err == nil && bytes.ContainsAny(s, "\r\n") {
		err = errors.New("it holds line breaks") // which the library would skip
	}
	if err != nil {
		return fmt.Errorf("not base64url without padding: %w", err)
	}
	*b = out
	return nil
}

// contentPolicy lets the page load from the hub alone, and show what it has
// decrypted itself (blob:). Nothing inline runs.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
	"media-src 'self' blob:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// secured sets the headers of every answer on the viewer listener and, on
// loopback, refuses names that are not loopback's: a page elsewhere could point
// its own name here (DNS rebinding).
func secured(loopback bool, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", contentPolicy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("X-Frame-Options", "DENY")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		if loopback && !isLoopbackName(r.Host) {
			writeError(w, answer(http.StatusForbidden, "use localhost or 127.0.0.1", "the hub does not answer to this host name"))
			return
		}
		h.ServeHTTP(w, r)
	})
}

// isLoopbackName tells the loopback's names, with or without a port.
func isLoopbackName(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
