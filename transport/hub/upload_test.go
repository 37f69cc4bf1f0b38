package hub

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/seal"
)

// ask asks for a grant and returns the answer.
func (l *link) ask(t *testing.T, it *seal.Item) down {
	t.Helper()
	b, err := json.Marshal(want{Ref: it.Header.Ref(), Hash: it.Hash(), Size: int64(it.Size())})
	if err != nil {
		t.Fatal(err)
	}
	l.publish(t, topicWant, b)
	return l.next(t)
}

func (l *link) granted(t *testing.T, it *seal.Item) string {
	t.Helper()
	d := l.ask(t, it)
	if d.Type != downGrant || d.Hash != it.Hash() || d.Expires <= time.Now().Unix() {
		t.Fatalf("want is answered with %+v, not a grant", d)
	}
	return d.URL
}

// put uploads a body and returns the status and the error.
func put(t *testing.T, h *running, to string, body io.Reader) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, to, body)
	if err != nil {
		t.Fatal(err)
	}
	res := do(t, h, req)
	var e struct{ Error string }
	if res.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(res.Body).Decode(&e); err != nil || e.Error == "" {
			t.Errorf("%s without a JSON error: %v", res.Status, err)
		}
	}
	return res.StatusCode, e.Error
}

func TestUploadOfAClip(t *testing.T) {
	h := startHub(t, Options{})
	o := newOwner(t)
	c := newCamera(t, o)
	l := attach(t, h, c)
	// The largest there is: many chunks, the last of them short.
	clip := c.sealed(t, seal.KindClip, seal.MaxClipPart)
	to := l.granted(t, clip)
	for range 2 { // a grant may be used again
		if status, msg := put(t, h, to, bytes.NewReader(clip.Bytes())); status != http.StatusNoContent {
			t.Fatalf("upload: %d %s", status, msg)
		}
		if d := l.next(t); d.Type != downReceipt || d.Hash != clip.Hash() || *d.Ref != clip.Header.Ref() {
			t.Errorf("upload is answered with %+v", d)
		}
	}
	if d := l.ask(t, clip); d.Type != downReceipt || d.Hash != clip.Hash() {
		t.Errorf("want of what is stored is answered with %+v", d)
	}
	v := signIn(t, h, o.key, o.id)
	if status, b := v.item(t, clip.Header.Ref()); status != http.StatusOK || !bytes.Equal(b, clip.Bytes()) {
		t.Errorf("the clip comes back as %d with %d bytes, not %d", status, len(b), clip.Size())
	}
	if p := v.timeline(t, ""); len(p.Items) != 1 || !bytes.Equal(p.Items[0].Envelope, clip.Envelope) {
		t.Errorf("the timeline has %d rows, or another envelope", len(p.Items))
	}
}

func TestSmallClipByMQTT(t *testing.T) {
	h := startHub(t, Options{})
	o := newOwner(t)
	c := newCamera(t, o)
	l := attach(t, h, c)
	clip := c.sealed(t, seal.KindClip, 1000)
	l.deliver(t, clip)
	if _, b := signIn(t, h, o.key, o.id).item(t, clip.Header.Ref()); !bytes.Equal(b, clip.Bytes()) {
		t.Error("the clip does not come back")
	}
}

func TestUploadIsRefused(t *testing.T) {
	h := startHub(t, Options{})
	o := newOwner(t)
	c := newCamera(t, o)
	l := attach(t, h, c)
	clip, other := c.sealed(t, seal.KindClip, 5000), c.sealed(t, seal.KindClip, 5000)
	to := l.granted(t, clip)
	body := clip.Bytes()
	tampered := func(name, value string) string {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set(name, value)
		u.RawQuery = q.Encode()
		return u.String()
	}
	mangled := bytes.Clone(body)
	mangled[len(mangled)-1] ^= 1
	for _, tc := range []struct {
		name   string
		url    string
		body   io.Reader
		status int
		err    string
	}{
		{"another hash", tampered("hash", other.Hash().String()), bytes.NewReader(body), 403, errGrantMAC.Error()},
		{"another size", tampered("size", "9"), strings.NewReader("123456789"), 403, errGrantMAC.Error()},
		{"a later end", tampered("expires", "9999999999"), bytes.NewReader(body), 403, errGrantMAC.Error()},
		{"another place", strings.Replace(to, "/1/1/1?", "/1/1/2?", 1), bytes.NewReader(body), 403, errGrantMAC.Error()},
		{"no MAC", tampered("mac", ""), bytes.NewReader(body), 403, errGrantMAC.Error()},
		{"no number", tampered("size", "+10"), bytes.NewReader(body), 400, errGrantForm.Error()},
		{"no place", h.DeviceURL() + uploadPath + "x", bytes.NewReader(body), 400, errGrantForm.Error()},
		{"too short", to, bytes.NewReader(body[:len(body)-1]), 413, "were granted"},
		{"too long", to, bytes.NewReader(append(bytes.Clone(body), 0)), 413, "were granted"},
		{"no length", to, io.MultiReader(bytes.NewReader(body)), 411, "Content-Length"},
		{"another item", to, bytes.NewReader(other.Bytes()), 400, string(seal.ReasonNotAskedFor)},
		{"a flipped byte", to, bytes.NewReader(mangled), 422, string(seal.ReasonBodyHash)},
		{"junk", to, bytes.NewReader(make([]byte, len(body))), 422, string(seal.ReasonMalformed)},
	} {
		status, msg := put(t, h, tc.url, tc.body)
		if status != tc.status || !strings.Contains(msg, tc.err) {
			t.Errorf("%s: %d %q, not %d %q", tc.name, status, msg, tc.status, tc.err)
		}
	}
	// None of it has made the hub give the item up or take it.
	if status, msg := put(t, h, to, bytes.NewReader(body)); status != http.StatusNoContent {
		t.Errorf("the right upload: %d %s", status, msg)
	}
	if d := l.next(t); d.Type != downReceipt {
		t.Errorf("the device was told %+v", d)
	}
}

func TestUploadOfAFork(t *testing.T) {
	h := startHub(t, Options{})
	c := newCamera(t, newOwner(t))
	l := attach(t, h, c)
	place := seal.Link{Chain: 1, Seq: 1, Prev: c.record.Hash()}
	first, second := c.sealedAt(t, seal.KindClip, 200<<10, place), c.sealedAt(t, seal.KindClip, 200<<10, place)
	for _, tc := range []struct {
		item   *seal.Item
		status int
		answer string
	}{{first, http.StatusNoContent, downReceipt}, {second, http.StatusConflict, downRefusal}} {
		if status, msg := put(t, h, l.granted(t, tc.item), bytes.NewReader(tc.item.Bytes())); status != tc.status {
			t.Errorf("upload: %d %s, not %d", status, msg, tc.status)
		}
		if d := l.next(t); d.Type != tc.answer || d.Hash != tc.item.Hash() {
			t.Errorf("the device was told %+v, not %s", d, tc.answer)
		}
	}
}

func TestWantIsRefused(t *testing.T) {
	h := startHub(t, Options{})
	o := newOwner(t)
	c, other := newCamera(t, o), newCamera(t, o)
	l := attach(t, h, c)
	if d := l.ask(t, other.sealed(t, seal.KindClip, 100)); d.Type != downRefusal || d.Reason != ReasonWrongSender {
		t.Errorf("want for another device: %+v", d)
	}
	b, err := json.Marshal(want{Ref: seal.Ref{Device: c.id, Epoch: 1, Chain: 1, Seq: 1}, Hash: seal.Hash{1}, Size: seal.MaxItem + 1})
	if err != nil {
		t.Fatal(err)
	}
	l.publish(t, topicWant, b)
	if d := l.next(t); d.Type != downRefusal || d.Reason != seal.ReasonTooLarge {
		t.Errorf("want of too much: %+v", d)
	}
}

func TestGrantExpires(t *testing.T) {
	g := &granter{key: []byte("key"), base: "https://hub:1"}
	now := time.Unix(1_700_000_000, 0)
	gr := grant{ref: seal.Ref{Device: seal.ID{1}, Epoch: 1, Chain: 2, Seq: 3}, hash: seal.Hash{4}, size: 5, expires: now.Unix() + 1}
	u, err := url.Parse(g.url(gr))
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(u.Path, uploadPath)
	if got, err := g.parse(path, u.Query(), now); err != nil || got != gr {
		t.Errorf("parsed as %+v, %v", got, err)
	}
	if _, err := g.parse(path, u.Query(), now.Add(time.Second)); err != errGrantExpired {
		t.Errorf("after its end: %v", err)
	}
	if _, err := (&granter{key: []byte("other")}).parse(path, u.Query(), now); err != errGrantMAC {
		t.Errorf("at another hub: %v", err)
	}
}
