// Package front is the HTTP server that faces viewers and devices: limits,
// timeouts, the headers that keep a page in its place, and a clean end.
//
// It owns how HTTP is served and nothing of what is: the hub and `lensctl view`
// hand in their handlers.
package front

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/netutil"
)

const (
	maxHeader      = 16 << 10 // bytes of a request's header
	maxConnections = 2048
	shutdownGrace  = 10 * time.Second
)

// NewServer is an HTTP server with limits. Requests' contexts end with ctx, so
// that no long poll outlives it.
func NewServer(ctx context.Context, h http.Handler, c *tls.Config, log *slog.Logger) *http.Server {
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

// Serve answers on l until ctx ends, then lets requests come to their end.
func Serve(ctx context.Context, s *http.Server, l net.Listener) error {
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

// contentPolicy lets the page load from its own server alone, and show what it
// has decrypted itself (blob:). Nothing inline runs.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
	"media-src 'self' blob:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Secured sets the headers of every answer to viewers and, on loopback, refuses
// names that are not loopback's: a page elsewhere could point its own name here
// (DNS rebinding).
func Secured(loopback bool, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", contentPolicy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("X-Frame-Options", "DENY")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		if loopback && !IsLoopback(r.Host) {
			Refuse(w, http.StatusForbidden, "this server does not answer to this host name", "use localhost or 127.0.0.1")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Refuse answers with an error in the API's form. Hint may be empty.
func Refuse(w http.ResponseWriter, status int, what, hint string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The caller is gone if this fails: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
	}{what, hint})
}

// IsLoopback tells the loopback's names and addresses, with or without a port.
func IsLoopback(hostport string) bool {
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
