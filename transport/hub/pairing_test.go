package hub

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
)

// client is an HTTP client that trusts the hub's CA.
func (r *running) client() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.CAPool()}, DisableKeepAlives: true}}
}

// mailboxes are both sides' at a hub: the camera's at the listener for devices, the
// owner's at the viewers'.
func mailboxes(t testing.TB, cameraAt, ownerAt *running, wait time.Duration) (camera, owner *mailbox.Mailbox) {
	t.Helper()
	camera, err := mailbox.New(mailbox.Options{URL: cameraAt.DeviceURL(), Path: mailbox.DevicePath, Side: mailbox.SideCamera, Wait: wait, HTTP: cameraAt.client()})
	if err == nil {
		owner, err = mailbox.New(mailbox.Options{URL: ownerAt.ViewerURL(), Path: mailbox.ViewerPath, Side: mailbox.SideOwner, Wait: wait, HTTP: ownerAt.client()})
	}
	if err != nil {
		t.Fatal(err)
	}
	return camera, owner
}

func hashOfMail(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

func rendezvous(n int) string { return fmt.Sprintf("%032x", n) }

func TestMailbox(t *testing.T) {
	h := startHub(t, Options{})
	camera, owner := mailboxes(t, h, h, -1)
	talk(t, camera, owner, rendezvous(1))

	// The newest of each side alone is there, and another rendezvous has nothing.
	ctx := t.Context()
	for _, msg := range []string{"first", "second", "second"} {
		if err := camera.Put(ctx, rendezvous(2), []byte(msg)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := owner.Get(ctx, rendezvous(2), nil); err != nil || string(got) != "second" {
		t.Errorf("the newest is %q, %v", got, err)
	}
	if got, err := owner.Get(ctx, rendezvous(2), hashOfMail([]byte("second"))); err != nil || got != nil {
		t.Errorf("what one has comes again: %q, %v", got, err)
	}
	if got, err := owner.Get(ctx, rendezvous(3), nil); err != nil || got != nil {
		t.Errorf("nobody's mailbox has %q, %v", got, err)
	}
	largest := bytes.Repeat([]byte{7}, pairing.MaxMessage)
	if err := owner.Put(ctx, rendezvous(2), largest); err != nil {
		t.Fatal(err)
	}
	if got, err := camera.Get(ctx, rendezvous(2), nil); err != nil || !bytes.Equal(got, largest) {
		t.Errorf("the largest message comes as %d bytes, %v", len(got), err)
	}
}

// talk has each side hear the other, and wait for what comes later.
func talk(t *testing.T, camera, owner *mailbox.Mailbox, at string) {
	t.Helper()
	ctx := t.Context()
	if err := camera.Put(ctx, at, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got, err := owner.Get(ctx, at, nil); err != nil || string(got) != "hello" {
		t.Fatalf("the owner hears %q, %v", got, err)
	}
	if err := owner.Put(ctx, at, []byte("offer")); err != nil {
		t.Fatal(err)
	}
	if got, err := camera.Get(ctx, at, nil); err != nil || string(got) != "offer" {
		t.Fatalf("the camera hears %q, %v", got, err)
	}
}

func TestMailboxWaits(t *testing.T) {
	h := startHub(t, Options{})
	camera, owner := mailboxes(t, h, h, 30*time.Second)
	comes(t, camera, owner, rendezvous(1))
}

// comes puts messages while the owner waits for each: it hears all of them, in order.
func comes(t *testing.T, camera, owner *mailbox.Mailbox, at string) {
	t.Helper()
	heard := make(chan string, 3)
	failed := make(chan error, 1)
	go func() {
		var have []byte
		for range 3 {
			b, err := owner.Get(t.Context(), at, have)
			if err != nil {
				failed <- err
				return
			}
			have = hashOfMail(b)
			heard <- string(b)
		}
	}()
	for _, msg := range []string{"one", "two", "three"} {
		if err := camera.Put(t.Context(), at, []byte(msg)); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-heard:
			if got != msg {
				t.Fatalf("heard %q, not %q", got, msg)
			}
		case err := <-failed:
			t.Fatal(err)
		case <-time.After(patience):
			t.Fatalf("%q is not heard", msg)
		}
	}
}

func TestMailboxRefuses(t *testing.T) {
	h := startHub(t, Options{})
	ok := rendezvous(1)
	for _, base := range []string{h.DeviceURL() + mailbox.DevicePath, h.ViewerURL() + mailbox.ViewerPath} {
		for _, c := range []struct {
			method, path, kind string
			body               []byte
			want               int
		}{
			{"PUT", "/" + ok + "/owner", octets, nil, http.StatusBadRequest},
			{"PUT", "/" + ok + "/owner", octets, make([]byte, pairing.MaxMessage+1), http.StatusRequestEntityTooLarge},
			{"PUT", "/" + ok + "/owner", "application/json", []byte("{}"), http.StatusUnsupportedMediaType},
			{"PUT", "/" + ok + "/hub", octets, []byte("x"), http.StatusNotFound},
			{"PUT", "/" + ok[1:] + "/owner", octets, []byte("x"), http.StatusNotFound},
			{"PUT", "/" + strings.Repeat("A", 32) + "/owner", octets, []byte("x"), http.StatusNotFound},
			{"PUT", "/" + strings.Repeat("*", 32) + "/owner", octets, []byte("x"), http.StatusNotFound},
			{"GET", "/" + strings.Repeat(".", 32) + "/owner", "", nil, http.StatusNotFound},
			{"GET", "/" + ok + "/owner?wait=56", "", nil, http.StatusBadRequest},
			{"GET", "/" + ok + "/owner?not=" + strings.Repeat("A", 64), "", nil, http.StatusBadRequest},
			{"GET", "/" + ok + "/owner?not=00", "", nil, http.StatusBadRequest},
			{"GET", "/" + ok + "/owner", "", nil, http.StatusNoContent},
		} {
			req, err := http.NewRequestWithContext(t.Context(), c.method, base+c.path, bytes.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", c.kind)
			if res := do(t, h, req); res.StatusCode != c.want {
				t.Errorf("%s %s with %d bytes: %d, not %d", c.method, c.path, len(c.body), res.StatusCode, c.want)
			}
		}
	}
}

// Beyond the rates a caller is told to come back, and the messages that were there stay.
func TestMailboxRates(t *testing.T) {
	h := startHub(t, Options{})
	camera, owner := mailboxes(t, h, h, -1)
	var refused *mailbox.StatusError
	var kept []byte
	for n := 0; refused == nil; n++ {
		if n > 4*mailPutsAtOnce {
			t.Fatal("there is no limit")
		}
		msg := fmt.Appendf(nil, "message %d", n)
		err := camera.Put(t.Context(), rendezvous(1), msg)
		switch {
		case err == nil:
			kept = msg
		case !errors.As(err, &refused):
			t.Fatal(err)
		}
	}
	if refused.Status != http.StatusTooManyRequests || refused.After == 0 {
		t.Errorf("refused by %v, to come back after %v", refused, refused.After)
	}
	if got, err := owner.Get(t.Context(), rendezvous(1), nil); err != nil || !bytes.Equal(got, kept) {
		t.Errorf("%q is there, not %q: %v", got, kept, err)
	}
}

// Those who wait are limited, and those who ask.
func TestMailboxReaders(t *testing.T) {
	m := newMailroom(nil)
	if !m.waiting.TryAcquire(mailWaiting) {
		t.Fatal("not as many may wait as should")
	}
	_, err := m.await(t.Context(), store.MailBox{Rendezvous: rendezvous(1), Side: "owner"}, seal.Hash{}, time.Second)
	var known *apiError
	if !errors.As(err, &known) || known.status != http.StatusTooManyRequests {
		t.Errorf("one more waits: %v", err)
	}
	m.gets = rate.NewLimiter(0, 0)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetPathValue("rendezvous", rendezvous(1))
	r.SetPathValue("side", "owner")
	if err := m.get(httptest.NewRecorder(), r); !errors.As(err, &known) || known.status != http.StatusTooManyRequests {
		t.Errorf("one more asks: %v", err)
	}
}

// A restart of the hub loses no message.
func TestMailboxOutlivesTheHub(t *testing.T) {
	dir := t.TempDir()
	h := startHub(t, Options{Dir: dir})
	camera, _ := mailboxes(t, h, h, -1)
	if err := camera.Put(t.Context(), rendezvous(1), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	h.stop(t)
	h = startHub(t, Options{Dir: dir})
	_, owner := mailboxes(t, h, h, -1)
	if got, err := owner.Get(t.Context(), rendezvous(1), nil); err != nil || string(got) != "hello" {
		t.Errorf("after a restart: %q, %v", got, err)
	}
}

func TestHubTellsACameraWhereItIs(t *testing.T) {
	h := startHub(t, Options{})
	var about about
	(&viewer{hub: h}).get(t, "/api/v1/hub", &about)
	if u, err := url.Parse(h.DeviceURL()); err != nil || !slices.Equal(about.Devices, []string{u.Host}) {
		t.Fatalf("devices are told %v, the listener is at %s (%v)", about.Devices, h.DeviceURL(), err)
	}
	ca, err := mailbox.FetchCA(t.Context(), nil, about.Devices[0], about.ID)
	if err != nil || !bytes.Equal(ca, h.CAPEM()) {
		t.Fatalf("the CA is %q, %v", ca, err)
	}
	w, err := mailbox.FetchWhere(t.Context(), nil, about.Devices[0], ca)
	if err != nil || w.Broker != h.MQTTAddr() {
		t.Errorf("the broker is at %q, not %s: %v", w.Broker, h.MQTTAddr(), err)
	}

	// Another hub in its place is found out before anything is sent to it.
	other := startHub(t, Options{})
	at := strings.TrimPrefix(other.DeviceURL(), "https://")
	if _, err := mailbox.FetchCA(t.Context(), nil, at, about.ID); !errors.Is(err, mailbox.ErrWrongHub) {
		t.Errorf("another hub's certificate: %v", err)
	}
	if _, err := mailbox.FetchWhere(t.Context(), nil, at, ca); err == nil {
		t.Error("another hub is asked where the broker is")
	}
}

func TestDeviceAddresses(t *testing.T) {
	for _, c := range []struct {
		listen string
		hosts  []string
		url    string
		want   []string
	}{
		{"127.0.0.1:8443", []string{"hub.example"}, "https://127.0.0.1:8443", []string{"127.0.0.1:8443"}},
		{"192.0.2.1:8443", nil, "https://192.0.2.1:8443", []string{"192.0.2.1:8443"}},
		{"192.0.2.1:0", []string{"hub.example", "2001:db8::1"}, "https://hub.example:9443", []string{"hub.example:9443", "[2001:db8::1]:9443", "192.0.2.1:9443"}},
		{"192.0.2.1:1", []string{"a", "b", "c", "d", "e"}, "https://a:1", []string{"a:1", "b:1", "c:1", "d:1"}},
	} {
		h := &Hub{options: Options{DeviceListen: c.listen, Hosts: c.hosts}, deviceURL: c.url}
		if got := h.deviceAddresses(); !slices.Equal(got, c.want) {
			t.Errorf("%s with %v: %v, not %v", c.listen, c.hosts, got, c.want)
		}
	}
}

func FuzzMailboxQuery(f *testing.F) {
	f.Add("wait=55&not=" + strings.Repeat("0f", 32))
	f.Add("not=" + strings.Repeat("0F", 32))
	f.Add("not=&wait=")
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{URL: &url.URL{RawQuery: query}}
		not, err := queryHash(r, "not")
		if s := r.URL.Query().Get("not"); err == nil && s != "" && s != hex.EncodeToString(not[:]) {
			t.Fatalf("%q is read as %s", s, not)
		}
		if n, err := queryNumber(r, "wait", 0, 0, maxWait); err == nil && n > maxWait {
			t.Fatalf("waits %d s", n)
		}
	})
}

// clusterPairs has a camera and an owner pair at two nodes.
func clusterPairs(t *testing.T, hubs []*running) {
	camera, owner := mailboxes(t, hubs[0], hubs[1], 30*time.Second)
	talk(t, camera, owner, rendezvous(1))
	comes(t, camera, owner, rendezvous(2))
}

func readAll(t testing.TB, res *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// raw sends one request whose body is bytes.
func (v *viewer) raw(t testing.TB, method, path string, body []byte) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, v.hub.ViewerURL()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", octets)
	if v.token != "" {
		req.Header.Set("Authorization", "Bearer "+v.token)
	}
	res := do(t, v.hub, req)
	return res.StatusCode, readAll(t, res)
}
