package control

import (
	"context"
	"io"
	"net/http"

	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/pairing"
)

// code hands the agent a pairing code.
func (s *Server) code(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, pairing.MaxCode))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.agent.TakeCode(r.Context(), secret.Text(b)); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// TakeCode hands the agent a pairing code. Nil means that the pairing has begun.
func (c *Client) TakeCode(ctx context.Context, code secret.Text) error {
	_, err := c.do(ctx, http.MethodPost, "/pairing-code", []byte(code))
	return err
}
