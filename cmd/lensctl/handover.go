package main

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"github.com/lensward/lensward/transport/hub/front"
)

// handover gives an owner's viewer keys to the page a single time, for a token: so
// they stand in no address, no browser's history and no terminal's scroll-back.
type handover struct {
	token string

	mu   sync.Mutex
	keys []byte // nil once they were given
}

func newHandover(owner string) (*handover, error) {
	k, err := openKeyring(owner)
	if err != nil {
		return nil, err
	}
	e, err := k.Export()
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return &handover{token: rand.Text(), keys: b}, nil
}

// ServeHTTP answers the token's first bearer.
func (h *handover) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	h.mu.Lock()
	keys := h.keys
	right := subtle.ConstantTimeCompare([]byte(token), []byte(h.token)) == 1
	if right {
		h.keys = nil
	}
	h.mu.Unlock()
	if !right || keys == nil {
		front.Refuse(w, http.StatusForbidden, "the link was used before, or is not from here", "start lensctl view again for a new one")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// A page that has gone is its own problem.
	_, _ = w.Write(keys)
}
