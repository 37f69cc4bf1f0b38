package transport_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lensward/lensward/transport"
	"github.com/lensward/lensward/transport/recovery"
	"github.com/lensward/lensward/transport/seal"
	"github.com/lensward/lensward/transport/spool"
)

var errLost = fmt.Errorf("the line is dead: %w", io.EOF)

// queue is a spool in memory.
type queue struct {
	mu      sync.Mutex
	items   []item
	aside   map[seal.Ref]string
	changed chan struct{}
	seq     uint64
	// Faults, each asked before or after the deed.
	readFault                 func(seal.Ref) error
	forgetBefore, forgetAfter func(seal.Ref) error
	asideBefore               func(seal.Ref) error
}

type item struct {
	spool.Entry
	body []byte
}

func newQueue() *queue {
	return &queue{changed: make(chan struct{}), aside: map[seal.Ref]string{}}
}

// add appends an item of a kind and says which.
func (q *queue) add(kind seal.Kind) spool.Entry { return q.addSize(kind, 100) }

func (q *queue) addSize(kind seal.Kind, size int) spool.Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seq++
	body := fmt.Appendf(nil, "%s %d ", kind, q.seq)
	body = append(body, make([]byte, size-len(body))...)
	e := spool.Entry{
		Ref:  seal.Ref{Device: seal.ID{1}, Epoch: 1, Chain: 1, Seq: q.seq},
		Hash: sha256.Sum256(body), Kind: kind, Size: int64(size),
	}
	q.items = append(q.items, item{e, body})
	close(q.changed)
	q.changed = make(chan struct{})
	return e
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

func (q *queue) Changed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

func (q *queue) NewestThumbnail() (spool.Entry, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range slices.Backward(q.items) {
		if it.Kind == seal.KindThumbnail {
			return it.Entry, true
		}
	}
	return spool.Entry{}, false
}

func (q *queue) Head() seal.Ref {
	q.mu.Lock()
	defer q.mu.Unlock()
	return ref(q.seq)
}

func (q *queue) Next(parts bool, skip func(seal.Ref) bool) (spool.Entry, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range q.items {
		if (it.Kind == seal.KindClip) == parts && !skip(it.Ref) {
			return it.Entry, true
		}
	}
	return spool.Entry{}, false
}

func (q *queue) find(ref seal.Ref) int {
	return slices.IndexFunc(q.items, func(it item) bool { return it.Ref == ref })
}

func (q *queue) Read(ref seal.Ref) ([]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.readFault != nil {
		if err := q.readFault(ref); err != nil {
			return nil, err
		}
	}
	i := q.find(ref)
	if i < 0 {
		return nil, errors.New("no such item")
	}
	return q.items[i].body, nil
}

func (q *queue) Forget(ref seal.Ref, hash seal.Hash) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.forgetBefore != nil {
		if err := q.forgetBefore(ref); err != nil {
			return err
		}
	}
	i := q.find(ref)
	if i >= 0 {
		if q.items[i].Hash != hash {
			return errors.New("another item's hash")
		}
		q.items = slices.Delete(q.items, i, i+1)
	}
	if q.forgetAfter != nil {
		return q.forgetAfter(ref)
	}
	return nil
}

func (q *queue) SetAside(ref seal.Ref, reason string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.asideBefore != nil {
		if err := q.asideBefore(ref); err != nil {
			return err
		}
	}
	if i := q.find(ref); i >= 0 {
		q.items = slices.Delete(q.items, i, i+1)
		q.aside[ref] = reason
	}
	return nil
}

// sent is one thing that reached the hub.
type sent struct {
	at   time.Duration // since the hub was made
	what string        // "dial", "record", "status", "item 7", "want 8", "put 8"
}

// hub is the other end, honest unless told otherwise.
type hub struct {
	mu    sync.Mutex
	start time.Time
	log   []sent
	store map[seal.Hash]int // what was stored, and how often it came
	dials int
	live  *session
	puts  int // under way
	most  int // puts at once

	// What it does in place of being honest; nil is honest.
	onDial   func(n int) error
	onRecord func(s *session, hash seal.Hash)
	onItem   func(s *session, e spool.Entry)
	onWant   func(s *session, w transport.Want)
	onPut    func(ctx context.Context, hash seal.Hash) error
	// onSend may end a session at its nth publish.
	onSend func(s *session, n int) error
}

func newHub() *hub { return &hub{start: time.Now(), store: map[seal.Hash]int{}} }

func (h *hub) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, sent{time.Since(h.start), fmt.Sprintf(format, args...)})
}

// clear forgets what was heard.
func (h *hub) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = nil
}

// heard is what the hub heard, one word a piece, of the kinds named.
func (h *hub) heard(kinds ...string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var words []string
	for _, s := range h.log {
		if kind, _, _ := strings.Cut(s.what, " "); len(kinds) == 0 || slices.Contains(kinds, kind) {
			words = append(words, s.what)
		}
	}
	return strings.Join(words, ", ")
}

// times are when the hub heard of one thing.
func (h *hub) times(what string) (at []time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.log {
		if s.what == what {
			at = append(at, s.at)
		}
	}
	return at
}

func (h *hub) stored(e spool.Entry) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.store[e.Hash]
}

// connects is how often it was dialled.
func (h *hub) connects() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dials
}

func (h *hub) Dial(context.Context) (transport.Session, error) {
	h.note("dial")
	h.mu.Lock()
	h.dials++
	n := h.dials
	h.mu.Unlock()
	if h.onDial != nil {
		if err := h.onDial(n); err != nil {
			return nil, err
		}
	}
	s := &session{hub: h, down: make(chan transport.Message, 64), done: make(chan struct{})}
	h.mu.Lock()
	h.live = s
	h.mu.Unlock()
	return s, nil
}

// Upload stores an item by the URL "https://hub/put".
func (h *hub) Upload(ctx context.Context, url string, body []byte) error {
	h.mu.Lock()
	h.puts++
	h.most = max(h.most, h.puts)
	h.mu.Unlock()
	defer func() { h.mu.Lock(); h.puts--; h.mu.Unlock() }()
	if url != "https://hub/put" {
		return errors.New("a URL of another host")
	}
	hash := seal.Hash(sha256.Sum256(body))
	if h.onPut != nil {
		if err := h.onPut(ctx, hash); err != nil {
			return err
		}
	}
	_, seq := name(body)
	h.note("put %d", seq)
	h.mu.Lock()
	h.store[hash]++
	s := h.live
	h.mu.Unlock()
	s.say(transport.Message{Type: transport.Receipt, Ref: ref(seq), Hash: hash})
	return nil
}

func ref(seq uint64) seal.Ref { return seal.Ref{Device: seal.ID{1}, Epoch: 1, Chain: 1, Seq: seq} }

// name reads what add wrote at a body's start.
func name(body []byte) (kind string, seq uint64) {
	if _, err := fmt.Sscanf(string(body[:min(len(body), 40)]), "%s %d", &kind, &seq); err != nil {
		panic(err)
	}
	return kind, seq
}

// session is one connection to the hub.
type session struct {
	hub  *hub
	down chan transport.Message
	mu   sync.Mutex
	n    int
	done chan struct{}
	err  error
}

// say has the hub say something; more than fits loses the session, as in package mqtt.
func (s *session) say(m transport.Message) {
	select {
	case <-s.done:
	case s.down <- m:
	default:
		s.lose(errors.New("flooded"))
	}
}

func (s *session) lose(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.done)
	}
}

func (s *session) Down() <-chan transport.Message { return s.down }
func (s *session) Done() <-chan struct{}          { return s.done }
func (s *session) Err() error                     { s.mu.Lock(); defer s.mu.Unlock(); return s.err }
func (s *session) Close() error                   { s.lose(errors.New("closed")); return nil }

func (s *session) send(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.Err() != nil {
		return s.Err()
	}
	s.n++
	if s.hub.onSend != nil {
		if err := s.hub.onSend(s, s.n); err != nil {
			s.lose(err)
			return err
		}
	}
	return nil
}

func (s *session) PublishRecord(ctx context.Context, b []byte) error {
	if err := s.send(ctx); err != nil {
		return err
	}
	s.hub.note("record")
	if hash := seal.Hash(sha256.Sum256(b)); s.hub.onRecord != nil {
		s.hub.onRecord(s, hash)
	} else {
		s.say(transport.Message{Type: transport.RecordReceipt, Hash: hash})
	}
	return nil
}

func (s *session) PublishStatus(ctx context.Context, st transport.Status) error {
	if err := s.send(ctx); err != nil {
		return err
	}
	s.hub.note("status")
	if !st.Online {
		return errors.New("the device says that it is offline")
	}
	return nil
}

func (s *session) PublishAnswer(ctx context.Context, a transport.Answer) error {
	if err := s.send(ctx); err != nil {
		return err
	}
	what := "took"
	if !a.OK {
		what = a.Reason
	}
	s.hub.note("answer %s %s", what, a.Hash.String()[:8])
	return nil
}

func (s *session) PublishItem(ctx context.Context, body []byte) error {
	if err := s.send(ctx); err != nil {
		return err
	}
	_, seq := name(body)
	s.hub.note("item %d", seq)
	e := spool.Entry{Ref: ref(seq), Hash: sha256.Sum256(body)}
	if s.hub.onItem != nil {
		s.hub.onItem(s, e)
		return nil
	}
	s.receipt(e)
	return nil
}

// receipt stores an item and says so.
func (s *session) receipt(e spool.Entry) {
	s.hub.mu.Lock()
	s.hub.store[e.Hash]++
	s.hub.mu.Unlock()
	s.say(transport.Message{Type: transport.Receipt, Ref: e.Ref, Hash: e.Hash})
}

func (s *session) PublishWant(ctx context.Context, w transport.Want) error {
	if err := s.send(ctx); err != nil {
		return err
	}
	s.hub.note("want %d", w.Ref.Seq)
	if s.hub.onWant != nil {
		s.hub.onWant(s, w)
		return nil
	}
	s.say(transport.Message{Type: transport.Grant, Ref: w.Ref, Hash: w.Hash, URL: "https://hub/put"})
	return nil
}

// rig is a delivery loop between a queue and a hub.
type rig struct {
	t *testing.T
	q *queue
	h *hub
	d *transport.Delivery

	stop func() // ends the loop and waits for it
}

// quick are recovery settings that connect within a second of anything.
func quick() recovery.Settings {
	set := recovery.DefaultSettings()
	set.First, set.Cap = time.Second, time.Second
	return set
}

func recoverBy(set recovery.Settings) *recovery.Schedule {
	return recovery.New(&set, 1)
}

// newRig makes the loop; run starts it. It must be made in a synctest bubble.
func newRig(t *testing.T, change ...func(*transport.Options)) *rig {
	t.Helper()
	r := &rig{t: t, q: newQueue(), h: newHub()}
	opts := transport.Options{
		Dialer: r.h, Queue: r.q, Uploader: r.h, Schedule: recoverBy(quick()),
		Record: func() transport.Record {
			return transport.Record{Bytes: []byte("record"), Hash: sha256.Sum256([]byte("record"))}
		},
		Checkpoint: func(context.Context) error { return nil },
		Settings:   transport.DefaultSettings(),
	}
	for _, c := range change {
		c(&opts)
	}
	var err error
	if r.d, err = transport.New(opts); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.d.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			r.t.Errorf("Run ended with %v", err)
		}
	})
}

// empty checks that all that was ever queued is in the hub and nothing is queued.
func (r *rig) empty(all ...spool.Entry) {
	r.t.Helper()
	if n := r.q.len(); n != 0 {
		r.t.Errorf("%d items are still queued", n)
	}
	for _, e := range all {
		if r.h.stored(e) == 0 {
			r.t.Errorf("item %d was lost", e.Ref.Seq)
		}
	}
}

// pass lets time go by, and everything happen that happens meanwhile.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
