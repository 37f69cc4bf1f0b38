package control

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/lensward/lensward/transport/ownership"
)

// free says how the camera can be taken.
func (s *Server) free(w http.ResponseWriter, _ *http.Request) {
	write(w, strconv.AppendUint(nil, uint64(s.agent.Free()), 10))
}

// Free asks how the camera can be taken, 0 where it belongs to somebody.
func (c *Client) Free(ctx context.Context) (ownership.Acquired, error) {
	b, err := c.do(ctx, http.MethodGet, "/free", nil)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(b), 10, 8)
	if err != nil || n > uint64(ownership.AcquiredReset) {
		return 0, fmt.Errorf("ask agent: it is free in way %.20q, which is not known", b)
	}
	return ownership.Acquired(n), nil
}

// reset does what holding the camera's button does.
func (s *Server) reset(w http.ResponseWriter, _ *http.Request) {
	if err := s.agent.Reset(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// Reset makes the camera nobody's, as holding its button does. Nil means that it is on
// the camera's disk.
func (c *Client) Reset(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodPost, "/reset", nil)
	return err
}
