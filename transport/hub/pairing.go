package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/lensward/lensward/transport/hub/store"
	"github.com/lensward/lensward/transport/pairing"
	"github.com/lensward/lensward/transport/pairing/mailbox"
	"github.com/lensward/lensward/transport/seal"
)

// Limits of the mailboxes, over all of them.
const (
	mailPuts, mailPutsAtOnce = 50, 500   // a second
	mailGets, mailGetsAtOnce = 500, 5000 // a second
	mailWaiting              = 1024
)

// mailroom is the mailboxes through which a camera and its owner pair. It reads no
// message.
type mailroom struct {
	store   *store.Store
	puts    *rate.Limiter
	gets    *rate.Limiter
	waiting *semaphore.Weighted
}

func newMailroom(st *store.Store) *mailroom {
	return &mailroom{
		store: st, puts: rate.NewLimiter(mailPuts, mailPutsAtOnce), gets: rate.NewLimiter(mailGets, mailGetsAtOnce),
		waiting: semaphore.NewWeighted(mailWaiting),
	}
}

// mailbox is the mailboxes' routes below a path. Both listeners have them.
func (a *api) mailbox(mux *http.ServeMux, path string) {
	mux.Handle("PUT "+path+"/{rendezvous}/{side}", a.open(a.mail.put))
	mux.Handle("GET "+path+"/{rendezvous}/{side}", a.open(a.mail.get))
}

func (m *mailroom) box(r *http.Request) (store.MailBox, error) {
	b := store.MailBox{Rendezvous: r.PathValue("rendezvous"), Side: r.PathValue("side")}
	side := mailbox.Side(b.Side)
	if !mailbox.IsRendezvous(b.Rendezvous) || side != mailbox.SideCamera && side != mailbox.SideOwner {
		return b, answer(http.StatusNotFound, "", "there is no such mailbox")
	}
	return b, nil
}

func (m *mailroom) put(w http.ResponseWriter, r *http.Request) error {
	box, err := m.box(r)
	if err != nil {
		return err
	}
	if !m.puts.Allow() {
		return answer(http.StatusTooManyRequests, "try again later", "too many pairing messages")
	}
	msg, err := readBytes(w, r, pairing.MaxMessage)
	if err != nil {
		return err
	}
	// A side that repeats itself costs no write.
	held, err := m.store.Mail(r.Context(), box)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if held == nil || sha256.Sum256(held) != sha256.Sum256(msg) {
		if err := m.store.PutMail(r.Context(), box, msg); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (m *mailroom) get(w http.ResponseWriter, r *http.Request) error {
	box, err := m.box(r)
	if err != nil {
		return err
	}
	not, err := queryHash(r, "not")
	if err != nil {
		return err
	}
	wait, err := queryNumber(r, "wait", 0, 0, maxWait)
	if err != nil {
		return err
	}
	if !m.gets.Allow() {
		return answer(http.StatusTooManyRequests, "try again later", "too many requests for pairing messages")
	}
	msg, err := m.await(r.Context(), box, not, time.Duration(wait)*time.Second)
	if err != nil {
		return err
	}
	if msg == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	writeBytes(w, msg)
	return nil
}

// await is a side's newest message whose hash is another than not, or nil if none comes
// within the time given.
func (m *mailroom) await(ctx context.Context, box store.MailBox, not seal.Hash, wait time.Duration) (msg []byte, err error) {
	if wait > 0 {
		if !m.waiting.TryAcquire(1) {
			return nil, answer(http.StatusTooManyRequests, "try again later", "too many wait for pairing messages")
		}
		defer m.waiting.Release(1)
	}
	changed := func() (<-chan struct{}, func()) { return m.store.MailChanged(box) }
	err = longPoll(ctx, wait, changed, func() (found bool, err error) {
		newest, err := m.store.Mail(ctx, box)
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		if err != nil || hashOf(newest) == not {
			return false, err
		}
		msg = newest
		return true, nil
	})
	return msg, err
}

// queryHash reads a hash from the query, zero where there is none.
func queryHash(r *http.Request, name string) (seal.Hash, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return seal.Hash{}, nil
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != sha256.Size || hex.EncodeToString(b) != s {
		return seal.Hash{}, answer(http.StatusBadRequest, "64 lower-case hexadecimal digits", "%s is not a hash", name)
	}
	return seal.Hash(b), nil
}

// certificate answers a camera that has only a code, and checks the answer by it.
func (h *Hub) certificate(w http.ResponseWriter, _ *http.Request) {
	pem := h.CAPEM()
	w.Header().Set("Content-Type", "application/x-pem-file")
	w.Header().Set("Content-Length", strconv.Itoa(len(pem)))
	// The caller is gone if this fails: there is nobody to tell.
	_, _ = w.Write(pem)
}

// whereabouts says where devices connect to.
func (h *Hub) whereabouts(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		ID   seal.ID `json:"id"`
		MQTT string  `json:"mqtt"`
	}{h.ID(), h.mqttAddr})
}
