package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lensward/lensward/transport/keyring"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/viewer"
)

// oneItemHub lets everybody in and gives everybody one item.
func oneItemHub(t *testing.T, item []byte) string {
	t.Helper()
	it, err := seal.Parse(item)
	must(t, err)
	envelope := base64.RawURLEncoding.EncodeToString(it.Envelope)
	reply := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /api/v1/hub", reply(map[string]any{"name": "one", "version": "1", "id": seal.KeyID([]byte("a hub's key"))}))
	mux.Handle("POST /api/v1/challenge", reply(map[string]string{"nonce": strings.Repeat("A", 43)}))
	mux.Handle("POST /api/v1/session", reply(map[string]any{"token": "t", "expires": 1}))
	mux.Handle("GET /api/v1/records", reply(map[string]any{"records": []string{}}))
	mux.Handle("GET /api/v1/devices", reply(map[string]any{"devices": []string{}}))
	mux.HandleFunc("GET /api/v1/timeline", func(w http.ResponseWriter, r *http.Request) {
		rows := []any{}
		if q := r.URL.Query(); q.Get("after") == "0" && q.Get("limit") != "1" { // asked again, the row is gone
			rows = append(rows, map[string]any{"cursor": 1, "envelope": envelope})
		}
		reply(map[string]any{"items": rows, "next": 1})(w, r)
	})
	mux.HandleFunc("GET /api/v1/items/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(item) })
	mux.HandleFunc("POST /api/v1/reports", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	hub := httptest.NewServer(mux)
	t.Cleanup(hub.Close)
	return hub.URL
}

// Who is given their own is told so; who is given somebody else's is told what the hub
// did, with the proof in a file, and again with the same file the next time.
func TestVerify(t *testing.T) {
	v, err := readVector("good-thumbnail.json")
	must(t, err)
	items, err := v.bytes()
	must(t, err)
	b, url := newBench(t), oneItemHub(t, items[0])
	heads := filepath.Join(b.dir, "heads")
	code, stdout, stderr := lensctl("verify", "--hub", url, "--owner", b.owner, "--export-heads", heads)
	if code != 0 || !strings.Contains(string(stdout), "1 items verified, 1 opened, 0 answers withheld") || !strings.Contains(string(stdout), "findings: 0") {
		t.Fatalf("%d: %s%s", code, stdout, stderr)
	}
	written, err := os.ReadFile(heads)
	must(t, err)
	if m, err := viewer.ParseHeads(written); err != nil || len(m.Envelopes) != 1 {
		t.Errorf("heads %+v, %v", m, err)
	}
	if code, stdout, stderr := lensctl("verify", "--hub", url, "--owner", b.owner, "--heads", heads); code != 0 {
		t.Errorf("with its own heads: %d: %s%s", code, stdout, stderr)
	}

	stranger := filepath.Join(b.dir, "stranger")
	_, err = keyring.New(stranger)
	must(t, err)
	var first verifyReport
	for range 2 {
		code, stdout, stderr := lensctl("verify", "--hub", url, "--owner", stranger, "--json")
		var r verifyReport
		must(t, json.Unmarshal(stdout, &r))
		if code != 3 || len(r.Findings) != 1 || r.Findings[0].Name != viewer.FoundMisrouted || r.Verified != 0 || r.Withheld != 1 {
			t.Fatalf("%d: %+v %s", code, r, stderr)
		}
		if first.Findings != nil && r.Findings[0].File != first.Findings[0].File {
			t.Errorf("the finding has two files: %s and %s", first.Findings[0].File, r.Findings[0].File)
		}
		first = r
	}
	names, err := os.ReadDir(filepath.Join(stranger, verifyDir, findingsDir))
	must(t, err)
	proof, err := os.ReadFile(first.Findings[0].File)
	must(t, err)
	it, err := seal.Parse(items[0])
	must(t, err)
	if len(names) != 1 || !strings.Contains(string(proof), base64.RawURLEncoding.EncodeToString(it.Envelope)) {
		t.Errorf("%d files; proof %s", len(names), proof)
	}
	code, stdout, _ = lensctl("verify", "--hub", url, "--owner", stranger)
	if code != 3 || !strings.Contains(string(stdout), "misrouted: The hub gave you a recording that is not yours.\n  camera ") {
		t.Errorf("%d: %s", code, stdout)
	}
	if code, _, stderr := lensctl("verify", "--hub", url, "--owner", stranger, "--heads", heads); code != 1 || !strings.Contains(stderr, "the heads are those of owner") {
		t.Errorf("another owner's heads: %d: %s", code, stderr)
	}
}

// What cannot be meant is said.
func TestVerifyRefuses(t *testing.T) {
	b := newBench(t)
	bad := filepath.Join(b.dir, "bad")
	must(t, os.WriteFile(bad, []byte("{}"), 0o600))
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{2, "usage: lensctl verify --hub URL --owner DIR", nil},
		{1, "plain http is for loopback addresses alone", []string{"--hub", "http://hub.example", "--owner", b.owner}},
		{1, "is no file of heads that is known", []string{"--hub", "http://127.0.0.1:1", "--owner", b.owner, "--heads", bad}},
		{1, "lensctl owner new DIR", []string{"--hub", "http://127.0.0.1:1", "--owner", filepath.Join(b.dir, "nobody")}},
	} {
		if code, _, stderr := lensctl(append([]string{"verify"}, c.args...)...); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: %d %s", c.args, code, stderr)
		}
	}
	for _, kind := range []string{"fork", "flatter", "replay,"} {
		if code, _, stderr := lensctl("hub", "--state", b.dir, "--lie", kind); code != 2 || !strings.Contains(stderr, "lie") {
			t.Errorf("--lie %s: %d %s", kind, code, stderr)
		}
	}
}
