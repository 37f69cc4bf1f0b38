package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lensward/lensward/transport/keyring"
)

// TestProxyLetsNothingThroughThatRuns has a hub that answers with a page, a
// script, cookies and a redirection.
func TestProxyLetsNothingThroughThatRuns(t *testing.T) {
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Content-Security-Policy", "default-src *")
		switch r.URL.Path {
		case "/api/v1/hub":
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			_, _ = io.WriteString(w, `{"name":"x","served_by":"hub"}`)
		case "/api/v1/moved":
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		default:
			w.Header().Set("Content-Type", r.URL.Query().Get("type"))
			_, _ = io.WriteString(w, "alert(1)")
		}
	}))
	defer hub.Close()
	h, err := newProxy(hub.URL, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	for _, kind := range []string{"text/html", "text/javascript", "application/json2", "image/svg+xml", ""} {
		w := ask("/api/v1/x?type=" + kind)
		if got := w.Header().Get("Content-Type"); got != "application/octet-stream" {
			t.Errorf("%q comes through as %q", kind, got)
		}
		for _, name := range []string{"Set-Cookie", "Content-Security-Policy"} {
			if v := w.Header().Get(name); v != "" {
				t.Errorf("the hub's %s comes through: %s", name, v)
			}
		}
	}
	var about map[string]any
	if err := json.Unmarshal(ask("/api/v1/hub").Body.Bytes(), &about); err != nil || about["served_by"] != "view" || about["name"] != "x" {
		t.Errorf("the hub's description is %v, %v", about, err)
	}
	if w := ask("/api/v1/moved"); w.Code != http.StatusBadGateway || w.Header().Get("Location") != "" {
		t.Errorf("a redirection gives %d to %q", w.Code, w.Header().Get("Location"))
	}
}

func TestViewTakesOnlySafeAddresses(t *testing.T) {
	for _, bad := range []string{"", "hub", "http://hub.example", "ftp://127.0.0.1", "https://user@hub.example", "http://127.0.0.1.evil.example"} {
		if _, err := newProxy(bad, "", slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%q was taken as a hub's address", bad)
		}
	}
}

func TestKeysAreHandedOverOnce(t *testing.T) {
	dir := t.TempDir()
	k, err := keyring.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHandover(dir)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/local/keys", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, wrong := range []string{"", "x", h.token + "x"} {
		if w := ask(wrong); w.Code != http.StatusForbidden {
			t.Errorf("token %q is answered with %d", wrong, w.Code)
		}
	}
	var e keyring.Export
	if err := json.Unmarshal(ask(h.token).Body.Bytes(), &e); err != nil || e.Owner != k.Owner().String() || e.OwnerPrivateKey != "" {
		t.Errorf("handed over %v, %v", e, err)
	}
	if w := ask(h.token); w.Code != http.StatusForbidden {
		t.Errorf("handed over twice: %d", w.Code)
	}
}
