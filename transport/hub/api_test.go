package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/lensward/lensward/transport/hub/signin"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// metric is a figure from /metrics, 0 if it is not there.
func (v *viewer) metric(t *testing.T, name string) float64 {
	t.Helper()
	_, b := v.call(t, http.MethodGet, "/metrics", nil)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	return 0
}

func TestSignInIsRefused(t *testing.T) {
	h := startHub(t, Options{})
	o, stranger := newOwner(t), newOwner(t)
	attach(t, h, newCamera(t, o))
	sign := func(key *owner, as, hub seal.ID, n signin.Nonce) []byte {
		t.Helper()
		b, err := signin.Sign(key.key, as, hub, n)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	used := challenge(t, h)
	if status, _ := present(t, h, sign(o, o.id, h.ID(), used)); status != http.StatusOK {
		t.Fatalf("the owner's own sign-in: %d", status)
	}
	broken := sign(o, o.id, h.ID(), challenge(t, h))
	broken[len(broken)-1] ^= 1
	for name, st := range map[string][]byte{
		"a stranger's key":   sign(stranger, o.id, h.ID(), challenge(t, h)),
		"a nonce again":      sign(o, o.id, h.ID(), used),
		"a nonce of its own": sign(o, o.id, h.ID(), signin.Nonce{1}),
		"another hub's ID":   sign(o, o.id, seal.ID{1}, challenge(t, h)),
		"a broken signature": broken,
		"junk":               []byte("junk"),
		"nothing":            nil,
	} {
		if status, v := present(t, h, st); status != http.StatusForbidden || v.token != "" {
			t.Errorf("%s: %d", name, status)
		}
	}
	for _, path := range []string{"records", "devices", "timeline", "items/x/1/1/1"} {
		for _, token := range []string{"", "x", strings.Repeat("A", 43)} {
			if status, _ := (&viewer{hub: h, token: token}).call(t, http.MethodGet, "/api/v1/"+path, nil); status != http.StatusUnauthorized {
				t.Errorf("%s with token %q: %d", path, token, status)
			}
		}
	}
}

func TestListedViewerIsAdmittedUntilTakenOff(t *testing.T) {
	h := startHub(t, Options{})
	o, guest := newOwner(t), newKey(t)
	c := newCamera(t, o)
	l := attach(t, h, c)
	if status, _ := trySignIn(t, h, guest, o.id); status != http.StatusForbidden {
		t.Fatalf("a viewer that is not listed: %d", status)
	}
	tell := func(r ownership.Record) {
		t.Helper()
		c.own(t, o, r)
		l.publish(t, topicRecord, c.record.Bytes())
		if d := l.next(t); d.Type != downRecordReceipt {
			t.Fatalf("record: %+v", d)
		}
	}
	listed := []ownership.Viewer{{Key: spkiOf(t, guest), Name: "phone", Role: ownership.RoleViewer}}
	tell(ownership.Record{Epoch: 1, Revision: 2, Viewers: listed})
	v := signIn(t, h, guest, o.id)
	root := signIn(t, h, o.key, o.id)
	if d := v.devices(t); len(d) != 1 || d[0].ID != c.id {
		t.Errorf("devices: %+v", d)
	}
	tell(ownership.Record{Epoch: 1, Revision: 3})
	if status, _ := v.call(t, http.MethodGet, "/api/v1/devices", nil); status != http.StatusUnauthorized {
		t.Errorf("the session of a viewer that was taken off: %d", status)
	}
	if status, _ := trySignIn(t, h, guest, o.id); status != http.StatusForbidden {
		t.Errorf("a viewer that was taken off: %d", status)
	}
	root.devices(t)

	// A record of the past lists the viewer, but the camera is another's by now.
	tell(ownership.Record{Epoch: 1, Revision: 4, Viewers: listed})
	signIn(t, h, guest, o.id)
	buyer := newOwner(t)
	c.own(t, buyer, ownership.Record{Epoch: 2, Revision: 1})
	l.publish(t, topicRecord, c.record.Bytes())
	if d := l.next(t); d.Type != downRecordReceipt {
		t.Fatalf("record: %+v", d)
	}
	if status, _ := trySignIn(t, h, guest, o.id); status != http.StatusForbidden {
		t.Errorf("a viewer listed for a camera that was sold: %d", status)
	}
	root.devices(t)
}

func TestGuestsSessionEndsWithItsDate(t *testing.T) {
	h := startHub(t, Options{})
	o, guest := newOwner(t), newKey(t)
	c := newCamera(t, o)
	until := time.Now().Add(time.Hour)
	c.own(t, o, ownership.Record{Epoch: 1, Revision: 2, Viewers: []ownership.Viewer{
		{Key: spkiOf(t, guest), Name: "guest", Role: ownership.RoleGuest, Until: until.UnixMilli()},
	}})
	attach(t, h, c)
	st, err := signin.Sign(guest, o.id, h.ID(), challenge(t, h))
	if err != nil {
		t.Fatal(err)
	}
	status, b := (&viewer{hub: h}).call(t, http.MethodPost, "/api/v1/session", map[string]b64{"statement": st})
	var out struct{ Expires int64 }
	if err := json.Unmarshal(b, &out); err != nil || status != http.StatusOK || out.Expires != until.Unix() {
		t.Errorf("session: %d %s (%v), not until %d", status, b, err, until.Unix())
	}
}

func TestOwnersSeeOnlyTheirOwn(t *testing.T) {
	h := startHub(t, Options{})
	a, b := newOwner(t), newOwner(t)
	ca, cb := newCamera(t, a), newCamera(t, b)
	la, lb := attach(t, h, ca), attach(t, h, cb)
	ia, ib := ca.sealed(t, seal.KindThumbnail, 100), cb.sealed(t, seal.KindThumbnail, 100)
	la.deliver(t, ia)
	lb.deliver(t, ib)
	v := signIn(t, h, a.key, a.id)
	if p := v.timeline(t, ""); len(p.Items) != 1 || !bytes.Equal(p.Items[0].Envelope, ia.Envelope) {
		t.Errorf("A's timeline: %+v", p)
	}
	if status, _ := v.item(t, ib.Header.Ref()); status != http.StatusNotFound {
		t.Errorf("B's item for A: %d", status)
	}
	var out struct{ Records []b64 }
	v.get(t, "/api/v1/records", &out)
	if len(out.Records) != 1 || !bytes.Equal(out.Records[0], ca.record.Bytes()) {
		t.Errorf("A's records: %d", len(out.Records))
	}

	// The camera changes hands: its past stays A's, its future is B's.
	ca.own(t, b, ownership.Record{Epoch: 2, Revision: 1})
	la.publish(t, topicRecord, ca.record.Bytes())
	la.next(t)
	la.deliver(t, ca.sealed(t, seal.KindThumbnail, 100))
	if p := v.timeline(t, ""); len(p.Items) != 1 {
		t.Errorf("A's timeline after the camera was sold has %d rows", len(p.Items))
	}
	if d := v.devices(t); len(d) != 0 {
		t.Errorf("A's devices after the camera was sold: %+v", d)
	}
	if p := signIn(t, h, b.key, b.id).timeline(t, ""); len(p.Items) != 2 {
		t.Errorf("B's timeline has %d rows, not 2", len(p.Items))
	}
}

func TestTimelinePagesAndWaits(t *testing.T) {
	h := startHub(t, Options{})
	o := newOwner(t)
	c := newCamera(t, o)
	l := attach(t, h, c)
	noise := newCamera(t, newOwner(t))
	ln := attach(t, h, noise)
	var want [][]byte
	for range 7 {
		it := c.sealed(t, seal.KindThumbnail, 100)
		l.deliver(t, it)
		ln.deliver(t, noise.sealed(t, seal.KindThumbnail, 100))
		want = append(want, it.Envelope)
	}
	v := signIn(t, h, o.key, o.id)
	var got [][]byte
	after := uint64(0)
	for {
		p := v.timeline(t, fmt.Sprintf("after=%d&limit=3", after))
		if len(p.Items) == 0 {
			if p.Next != 14 { // the other owner's last item is not to be looked at again
				t.Errorf("an empty page moves the cursor from %d to %d", after, p.Next)
			}
			break
		}
		for _, row := range p.Items {
			if row.Cursor <= after {
				t.Errorf("cursor %d after %d", row.Cursor, after)
			}
			after = row.Cursor
			got = append(got, row.Envelope)
		}
		if p.Next != after {
			t.Errorf("next is %d, the last row's cursor %d", p.Next, after)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows, not %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("row %d is another", i)
		}
	}

	// A long poll is answered by the next item of this owner, not by another's.
	answered := make(chan timelinePage, 1)
	go func() {
		var p timelinePage
		status, b := v.call(t, http.MethodGet, fmt.Sprintf("/api/v1/timeline?after=%d&wait=55", after), nil)
		if err := json.Unmarshal(b, &p); err != nil || status != http.StatusOK {
			t.Errorf("long poll: %d %v", status, err)
		}
		answered <- p
	}()
	ln.deliver(t, noise.sealed(t, seal.KindThumbnail, 100))
	it := c.sealed(t, seal.KindThumbnail, 100)
	l.deliver(t, it)
	select {
	case p := <-answered:
		if len(p.Items) != 1 || !bytes.Equal(p.Items[0].Envelope, it.Envelope) {
			t.Errorf("the long poll got %+v", p)
		}
	case <-time.After(patience):
		t.Fatal("the long poll is not answered")
	}
	if p := v.timeline(t, fmt.Sprintf("after=%d&wait=1", uint64(1<<53-1))); len(p.Items) != 0 {
		t.Errorf("rows after the last: %+v", p)
	}
}

func TestAPILimits(t *testing.T) {
	h := startHub(t, Options{Page: fstest.MapFS{"index.html": {Data: []byte("page")}}})
	o := newOwner(t)
	v := signIn(t, h, o.key, o.id)
	for path, want := range map[string]int{
		"/api/v1/timeline?limit=0":                   400,
		"/api/v1/timeline?limit=201":                 400,
		"/api/v1/timeline?wait=56":                   400,
		"/api/v1/timeline?after=-1":                  400,
		"/api/v1/timeline?after=9007199254740992":    400,
		"/api/v1/items/x/1/1/1":                      400,
		"/api/v1/items/" + o.id.String() + "/01/1/1": 400,
		"/api/v1/items/" + o.id.String() + "/1/1/1":  404,
		"/api/v1/nothing":                            404,
		"/api/v1/hub":                                200,
		"/":                                          200,
		"/../ca-key.pem":                             404,
		"/api/v1/timeline?after=1&x=" + strings.Repeat("y", 100): 200,
	} {
		if status, b := v.call(t, http.MethodGet, path, nil); status != want {
			t.Errorf("GET %s: %d %s, not %d", path, status, b, want)
		}
	}
	post := func(contentType, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.ViewerURL()+"/api/v1/session", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		return do(t, h, req).StatusCode
	}
	for _, tc := range []struct {
		contentType, body string
		want              int
	}{
		{"text/plain", "{}", 415},
		{"application/json", "{", 400},
		{"application/json", `{"statement":"a+b/"}`, 400},
		{"application/json", `{"statement":"` + strings.Repeat("A", maxRequest) + `"}`, 413},
		{"application/json; charset=utf-8", "{}", 403},
	} {
		if got := post(tc.contentType, tc.body); got != tc.want {
			t.Errorf("POST %s %.40s: %d, not %d", tc.contentType, tc.body, got, tc.want)
		}
	}
}

func TestViewerHeaders(t *testing.T) {
	h := startHub(t, Options{Page: fstest.MapFS{"index.html": {Data: []byte("page")}}})
	for _, path := range []string{"/", "/api/v1/hub", "/api/v1/timeline", "/nothing"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.ViewerURL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		head := do(t, h, req).Header
		if csp := head.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") ||
			!strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: content security policy %q", path, csp)
		}
		if head.Get("X-Content-Type-Options") != "nosniff" || head.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", path, head)
		}
		if strings.HasPrefix(path, "/api/") && head.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", path)
		}
	}
	for host, want := range map[string]int{"evil.example": 403, "localhost": 200, "127.0.0.1:99": 200, "[::1]:99": 200, "localhost.evil.example:80": 403} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.ViewerURL()+"/api/v1/hub", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		if got := do(t, h, req).StatusCode; got != want {
			t.Errorf("host %s: %d, not %d", host, got, want)
		}
	}
}

func TestReports(t *testing.T) {
	h := startHub(t, Options{})
	a, b := newOwner(t), newOwner(t)
	it := newCamera(t, b).sealed(t, seal.KindThumbnail, 100)
	v := signIn(t, h, a.key, a.id)
	report := func(envelope []byte, reason seal.Reason) int {
		t.Helper()
		status, _ := v.call(t, http.MethodPost, "/api/v1/reports", map[string]any{"envelope": b64(envelope), "reason": reason})
		return status
	}
	forged := bytes.Clone(it.Envelope)
	forged[len(forged)-1] ^= 1
	for _, tc := range []struct {
		name     string
		envelope []byte
		reason   seal.Reason
		want     int
	}{
		{"a misrouted one", it.Envelope, seal.ReasonWrongOwner, 204},
		{"the same again", it.Envelope, seal.ReasonWrongOwner, 204},
		{"a forged one", forged, seal.ReasonWrongOwner, 400},
		{"junk", []byte("junk"), seal.ReasonWrongOwner, 400},
		{"an invented reason", it.Envelope, "because", 400},
	} {
		if got := report(tc.envelope, tc.reason); got != tc.want {
			t.Errorf("%s: %d, not %d", tc.name, got, tc.want)
		}
	}
	if n := v.metric(t, `lensward_hub_reports_total{reason="wrong-owner"}`); n != 1 {
		t.Errorf("%v reports counted, not 1", n)
	}
}
