package viewer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lensward/lensward/transport/hub/signin"
	"github.com/lensward/lensward/transport/seal"
)

// fakeHub keeps the protocol's promises, except where a test has it lie.
type fakeHub struct {
	t  testing.TB
	id seal.ID

	mu      sync.Mutex
	items   []*seal.Item // item i stands in row i+1
	records [][]byte
	tokens  map[string]seal.ID // a session's owner
	nonce   signin.Nonce
	changed chan struct{}
	asked   map[string]int // requests by path, without the query
	reports []fakeReport

	// The lies. Each may be nil.
	lieRow    func(cursor uint64, it *seal.Item) *seal.Item     // what stands in a row; nil leaves it out
	lieItem   func(ref seal.Ref, it *seal.Item) []byte          // the answer for an item; nil is 404
	lieAnswer func(w http.ResponseWriter, r *http.Request) bool // the whole answer; false leaves it honest
}

type fakeReport struct {
	owner    seal.ID
	envelope []byte
	reason   seal.Reason
}

func newFakeHub(t testing.TB) *fakeHub {
	return &fakeHub{
		t: t, id: seal.KeyID([]byte("a hub's key")), tokens: map[string]seal.ID{},
		changed: make(chan struct{}), asked: map[string]int{},
	}
}

// take stores items, as if they had just been delivered.
func (h *fakeHub) take(items ...*seal.Item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.items = append(h.items, items...)
	close(h.changed)
	h.changed = make(chan struct{})
}

// count says how often paths with this prefix were asked for.
func (h *fakeHub) count(prefix string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for p, c := range h.asked {
		if strings.HasPrefix(p, prefix) {
			n += c
		}
	}
	return n
}

func (h *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked[r.URL.Path]++
	lie := h.lieAnswer
	h.mu.Unlock()
	if lie != nil && lie(w, r) {
		return
	}
	switch {
	case r.URL.Path == "/api/v1/hub":
		answer(w, map[string]any{"name": "fake", "version": "1", "id": h.id, "mixup": 0})
	case r.URL.Path == "/api/v1/challenge":
		h.mu.Lock()
		h.nonce[0]++
		nonce := h.nonce
		h.mu.Unlock()
		answer(w, map[string]string{"nonce": base64.RawURLEncoding.EncodeToString(nonce[:])})
	case r.URL.Path == "/api/v1/session":
		h.session(w, r)
	default:
		h.mu.Lock()
		owner, ok := h.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		h.mu.Unlock()
		if !ok {
			refuse(w, http.StatusUnauthorized, "no session")
			return
		}
		h.signedIn(w, r, owner)
	}
}

func (h *fakeHub) session(w http.ResponseWriter, r *http.Request) {
	var said struct{ Statement string }
	if err := json.NewDecoder(r.Body).Decode(&said); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	b, err := base64.RawURLEncoding.DecodeString(said.Statement)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	st, err := signin.Verify(b)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || st.Hub != h.id || st.Nonce != h.nonce {
		refuse(w, http.StatusForbidden, fmt.Sprintf("not let in: %v", err))
		return
	}
	token := fmt.Sprintf("token-%d", len(h.tokens))
	h.tokens[token] = st.Owner
	answer(w, map[string]any{"token": token, "expires": 1})
}

func (h *fakeHub) signedIn(w http.ResponseWriter, r *http.Request, owner seal.ID) {
	switch {
	case r.URL.Path == "/api/v1/records":
		h.mu.Lock()
		list := []string{}
		for _, b := range h.records {
			list = append(list, base64.RawURLEncoding.EncodeToString(b))
		}
		h.mu.Unlock()
		answer(w, map[string]any{"records": list})
	case r.URL.Path == "/api/v1/devices":
		answer(w, map[string]any{"devices": []any{}})
	case r.URL.Path == "/api/v1/timeline":
		h.timeline(w, r, owner)
	case r.URL.Path == "/api/v1/reports":
		var said struct {
			Envelope string
			Reason   seal.Reason
		}
		err := json.NewDecoder(r.Body).Decode(&said)
		b, err64 := base64.RawURLEncoding.DecodeString(said.Envelope)
		if err != nil || err64 != nil {
			refuse(w, http.StatusBadRequest, "no report")
			return
		}
		h.mu.Lock()
		h.reports = append(h.reports, fakeReport{owner, b, said.Reason})
		h.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	case strings.HasPrefix(r.URL.Path, "/api/v1/items/"):
		h.item(w, strings.TrimPrefix(r.URL.Path, "/api/v1/items/"), owner)
	default:
		refuse(w, http.StatusNotFound, "no such path")
	}
}

func (h *fakeHub) timeline(w http.ResponseWriter, r *http.Request, owner seal.ID) {
	q := r.URL.Query()
	after, err1 := strconv.ParseUint(q.Get("after"), 10, 53)
	limit, err2 := strconv.Atoi(q.Get("limit"))
	wait, err3 := strconv.Atoi(q.Get("wait"))
	if err1 != nil || err2 != nil || err3 != nil || limit < 1 || limit > 200 || wait < 0 || wait > 55 {
		h.t.Errorf("bad time line request: %s", r.URL.RawQuery)
	}
	until := time.NewTimer(time.Duration(wait) * time.Second)
	defer until.Stop()
	for {
		h.mu.Lock()
		changed := h.changed
		rows := []map[string]any{}
		next := after
		for i, it := range h.items {
			cursor := uint64(i + 1)
			if cursor <= after || it.Header.Owner != owner || len(rows) == limit {
				continue
			}
			next = cursor
			if h.lieRow != nil {
				it = h.lieRow(cursor, it)
			}
			if it != nil {
				rows = append(rows, map[string]any{"cursor": cursor, "envelope": base64.RawURLEncoding.EncodeToString(it.Envelope)})
			}
		}
		h.mu.Unlock()
		if len(rows) > 0 || wait == 0 {
			answer(w, map[string]any{"items": rows, "next": next})
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-until.C:
			wait = 0
		}
	}
}

func (h *fakeHub) item(w http.ResponseWriter, name string, owner seal.ID) {
	ref, err := seal.ParseRef(name)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	h.mu.Lock()
	i := slices.IndexFunc(h.items, func(it *seal.Item) bool { return it.Header.Owner == owner && it.Header.Ref() == ref })
	var it *seal.Item
	var b []byte
	if i >= 0 {
		it = h.items[i]
		b = it.Bytes()
	}
	if h.lieItem != nil {
		b = h.lieItem(ref, it)
	}
	h.mu.Unlock()
	if b == nil {
		refuse(w, http.StatusNotFound, "no such item")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(b) //nolint:errcheck // the viewer may have left
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the viewer may have left
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": text}) //nolint:errcheck // the viewer may have left
}

// direct is a transport that hands requests to a handler in this process, so
// that a whole exchange can run in a synctest bubble. The answer streams.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	w := &directWriter{pipe: pw, header: http.Header{}, ready: make(chan struct{})}
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(ctx, func() { pw.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer cancel()
		req := r.Clone(ctx)
		if req.Body == nil {
			req.Body = http.NoBody
		}
		d.handler.ServeHTTP(w, req)
		stop()
		w.WriteHeader(http.StatusOK)
		pw.Close()
	}()
	select {
	case <-w.ready:
		return &http.Response{
			StatusCode: w.status, Header: w.header, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			ContentLength: -1, Body: &directBody{pr, cancel},
		}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

type directBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *directBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

type directWriter struct {
	pipe   *io.PipeWriter
	header http.Header
	once   sync.Once
	status int
	ready  chan struct{}
}

func (w *directWriter) Header() http.Header { return w.header }

func (w *directWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status = status
		close(w.ready)
	})
}

func (w *directWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(b)
}
