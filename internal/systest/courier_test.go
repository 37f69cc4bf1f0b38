package systest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/hub/signin"
	"github.com/lensward/lensward/transport/mqtt/mqtttest"
	"github.com/lensward/lensward/transport/ownership"
	"github.com/lensward/lensward/transport/seal"
)

// courier is a hub small enough for a synctest bubble: a test broker, a store in
// memory, and the viewer API over pipes. It speaks docs/ref/hub-protocol.md.
type courier struct {
	broker mqtttest.Broker
	id     seal.ID

	mu      sync.Mutex
	down    bool
	records [][]byte
	items   map[seal.Ref]*seal.Item
	order   []seal.Ref // as they came
	grew    chan struct{}
	nonces  map[signin.Nonce]bool
}

func newCourier() *courier {
	c := &courier{items: make(map[seal.Ref]*seal.Item), grew: make(chan struct{}), nonces: make(map[signin.Nonce]bool), id: seal.ID{1}}
	c.broker.Watch("lensward/1/+/record", c.takeRecord)
	c.broker.Watch("lensward/1/+/item", c.takeItem)
	c.broker.Watch("lensward/1/+/want", c.takeWant)
	return c
}

// dial is a device's way in; there is none while the courier is down.
func (c *courier) dial(ctx context.Context) (net.Conn, error) {
	c.mu.Lock()
	down := c.down
	c.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	return c.broker.Dial(ctx)
}

// fail takes the courier down, or up again.
func (c *courier) fail(device seal.ID, down bool) {
	c.mu.Lock()
	c.down = down
	c.mu.Unlock()
	if down {
		c.broker.Drop(device.String())
	}
}

func (c *courier) answer(device seal.ID, m any) {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // a test's own type
	}
	c.broker.Publish("lensward/1/"+device.String()+"/down", b)
}

func (c *courier) takeRecord(_ string, b []byte) {
	o, err := ownership.Parse(b)
	if err != nil || o.Verify() != nil {
		return
	}
	c.mu.Lock()
	if !slices.ContainsFunc(c.records, func(r []byte) bool { return string(r) == string(b) }) {
		c.records = append(c.records, slices.Clone(b))
	}
	c.mu.Unlock()
	c.answer(o.Record.Device, transport.Message{Type: transport.RecordReceipt, Hash: o.Hash()})
}

func (c *courier) takeItem(_ string, b []byte) {
	if it, err := c.store(b); err == nil {
		c.answer(it.Header.Device, transport.Message{Type: transport.Receipt, Ref: it.Header.Ref(), Hash: it.Hash()})
	}
}

func (c *courier) takeWant(_ string, b []byte) {
	var w transport.Want
	if json.Unmarshal(b, &w) != nil {
		return
	}
	c.answer(w.Ref.Device, transport.Message{Type: transport.Grant, Ref: w.Ref, Hash: w.Hash, URL: "https://courier/" + w.Ref.String()})
}

// Upload is the courier as an uploader: what is put is stored and receipted.
func (c *courier) Upload(_ context.Context, _ string, item []byte) error {
	c.mu.Lock()
	down := c.down
	c.mu.Unlock()
	if down {
		return errors.New("connection refused")
	}
	c.takeItem("", item)
	return nil
}

func (c *courier) store(b []byte) (*seal.Item, error) {
	it, err := seal.Parse(slices.Clone(b))
	if err != nil {
		return nil, err
	}
	if err := it.Verify(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, twice := c.items[it.Header.Ref()]; !twice {
		c.items[it.Header.Ref()] = it
		c.order = append(c.order, it.Header.Ref())
		close(c.grew)
		c.grew = make(chan struct{})
	}
	return it, nil
}

// arrived lists the items' headers in the order in which they came.
func (c *courier) arrived() []seal.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []seal.Header
	for _, r := range c.order {
		out = append(out, c.items[r].Header)
	}
	return out
}

// serve answers viewers until ctx is done.
func (c *courier) serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: c.api(), BaseContext: func(net.Listener) context.Context { return ctx }, ReadHeaderTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (c *courier) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/hub", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"name": "courier", "version": "test", "id": c.id.String(), "mixup": 0})
	})
	mux.HandleFunc("POST /api/v1/challenge", c.challenge)
	mux.HandleFunc("POST /api/v1/session", c.session)
	mux.HandleFunc("GET /api/v1/records", c.listRecords)
	mux.HandleFunc("GET /api/v1/devices", func(w http.ResponseWriter, _ *http.Request) { reply(w, map[string]any{"devices": []any{}}) })
	mux.HandleFunc("GET /api/v1/timeline", c.timeline)
	mux.HandleFunc("GET /api/v1/items/{device}/{epoch}/{chain}/{seq}", c.item)
	return mux
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a viewer that has gone is its own problem
}

func (c *courier) challenge(w http.ResponseWriter, _ *http.Request) {
	var n signin.Nonce
	_, _ = rand.Read(n[:]) // never fails
	c.mu.Lock()
	c.nonces[n] = true
	c.mu.Unlock()
	reply(w, map[string]string{"nonce": base64.RawURLEncoding.EncodeToString(n[:])})
}

func (c *courier) session(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Statement string `json:"statement"`
	}
	b, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(b, &req)
	}
	raw, decodeErr := base64.RawURLEncoding.DecodeString(req.Statement)
	st, verifyErr := signin.Verify(raw)
	c.mu.Lock()
	known := c.nonces[st.Nonce]
	delete(c.nonces, st.Nonce)
	c.mu.Unlock()
	if err != nil || decodeErr != nil || verifyErr != nil || !known {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	reply(w, map[string]any{"token": st.Owner.String(), "expires": time.Now().Add(time.Hour).Unix()})
}

// owner is who is signed in: the test courier's tokens are the owner's ID.
func owner(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func (c *courier) listRecords(w http.ResponseWriter, r *http.Request) {
	out := []string{}
	c.mu.Lock()
	for _, b := range c.records {
		if o, err := ownership.Parse(b); err == nil && o.Record.Owner.String() == owner(r) {
			out = append(out, base64.RawURLEncoding.EncodeToString(b))
		}
	}
	c.mu.Unlock()
	reply(w, map[string]any{"records": out})
}

func (c *courier) timeline(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.Atoi(r.FormValue("after"))
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	wait, _ := strconv.Atoi(r.FormValue("wait"))
	until := time.After(time.Duration(wait) * time.Second)
	for {
		rows, next, grew := c.rows(owner(r), after, limit)
		if len(rows) > 0 || wait == 0 {
			reply(w, map[string]any{"items": rows, "next": next})
			return
		}
		select {
		case <-grew:
		case <-until:
			wait = 0
		case <-r.Context().Done():
			return
		}
	}
}

func (c *courier) rows(owner string, after, limit int) ([]map[string]any, int, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows, next := []map[string]any{}, after
	for i := after; i < len(c.order) && len(rows) < limit; i++ {
		next = i + 1
		if it := c.items[c.order[i]]; it.Header.Owner.String() == owner {
			rows = append(rows, map[string]any{"cursor": i + 1, "envelope": base64.RawURLEncoding.EncodeToString(it.Envelope)})
		}
	}
	return rows, next, c.grew
}

func (c *courier) item(w http.ResponseWriter, r *http.Request) {
	ref, err := seal.ParseRef(fmt.Sprintf("%s/%s/%s/%s", r.PathValue("device"), r.PathValue("epoch"), r.PathValue("chain"), r.PathValue("seq")))
	c.mu.Lock()
	it := c.items[ref]
	c.mu.Unlock()
	if err != nil || it == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(it.Bytes()) // a viewer that has gone is its own problem
}

// pipes is a listener whose connections are pipes, for a bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

// Accept waits for the next connection.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr is a loopback address: viewers speak plain HTTP to no other.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// client is an HTTP client whose connections lead to the listener.
func (p *pipes) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		here, there := net.Pipe()
		select {
		case p.conns <- there:
			return here, nil
		case <-p.done:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}}
}
