package hub

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/hub/signin"
	"github.com/lensward/lensward/transport/seal"
)

// viewer is a signed-in client of the viewer API.
type viewer struct {
	hub   *running
	token string
}

// call sends one request and returns its status and body.
func (v *viewer) call(t testing.TB, method, path string, body any) (int, []byte) {
	t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, v.hub.ViewerURL()+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if v.token != "" {
		req.Header.Set("Authorization", "Bearer "+v.token)
	}
	res := do(t, v.hub, req)
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, b
}

// get expects 200 and reads the answer into out.
func (v *viewer) get(t testing.TB, path string, out any) {
	t.Helper()
	status, b := v.call(t, http.MethodGet, path, nil)
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, status, b)
	}
	if err := json.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
}

func challenge(t testing.TB, h *running) signin.Nonce {
	t.Helper()
	var out struct {
		Nonce b64 `json:"nonce"`
	}
	status, b := (&viewer{hub: h}).call(t, http.MethodPost, "/api/v1/challenge", struct{}{})
	if status != http.StatusOK {
		t.Fatalf("challenge: %d %s", status, b)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return signin.Nonce(out.Nonce)
}

// present sends a sign-in statement.
func present(t testing.TB, h *running, statement []byte) (int, *viewer) {
	t.Helper()
	v := &viewer{hub: h}
	status, b := v.call(t, http.MethodPost, "/api/v1/session", map[string]b64{"statement": statement})
	if status == http.StatusOK {
		var out struct {
			Token   string `json:"token"`
			Expires int64  `json:"expires"`
		}
		if err := json.Unmarshal(b, &out); err != nil {
			t.Fatal(err)
		}
		if out.Expires <= time.Now().Unix() {
			t.Errorf("the session is over before it begins")
		}
		v.token = out.Token
	}
	return status, v
}

// trySignIn signs in with this key as a viewer of this owner.
func trySignIn(t testing.TB, h *running, key *ecdsa.PrivateKey, owner seal.ID) (int, *viewer) {
	t.Helper()
	st, err := signin.Sign(key, owner, h.ID(), challenge(t, h))
	if err != nil {
		t.Fatal(err)
	}
	return present(t, h, st)
}

func signIn(t testing.TB, h *running, key *ecdsa.PrivateKey, owner seal.ID) *viewer {
	t.Helper()
	status, v := trySignIn(t, h, key, owner)
	if status != http.StatusOK {
		t.Fatalf("sign in: %d", status)
	}
	return v
}

func (v *viewer) devices(t testing.TB) []deviceRow {
	t.Helper()
	var out struct {
		Devices []deviceRow `json:"devices"`
	}
	v.get(t, "/api/v1/devices", &out)
	return out.Devices
}

// waitOnline waits until the hub says that a device is there or is not.
func (v *viewer) waitOnline(t testing.TB, id seal.ID, want bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, d := range v.devices(t) {
			if d.ID == id && d.Online == want {
				if d.Seen == 0 {
					t.Errorf("device %s was never seen, and is online=%v", id.Short(), want)
				}
				return
			}
		}
	}
	t.Fatalf("device %s does not become online=%v", id.Short(), want)
}

type timelinePage struct {
	Items []timelineRow `json:"items"`
	Next  uint64        `json:"next"`
}

func (v *viewer) timeline(t testing.TB, query string) timelinePage {
	t.Helper()
	var p timelinePage
	v.get(t, "/api/v1/timeline?"+query, &p)
	return p
}

func (v *viewer) item(t testing.TB, ref seal.Ref) (int, []byte) {
	t.Helper()
	return v.call(t, http.MethodGet, fmt.Sprintf("/api/v1/items/%s", ref), nil)
}
