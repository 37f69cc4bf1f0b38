// Package control is how a person on the same machine talks to a running agent:
// HTTP over a Unix socket in the state directory, which only its user can reach.
//
// It owns the socket, its server and its client. It never decides anything: the
// device takes or refuses a record, the agent says how it is.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/lensward/lensward/internal/secret"
	"github.com/lensward/lensward/transport/ownership"
)

const (
	socketName = "agent.sock"
	maxStatus  = 1 << 20
	// maxSocketPath is what a Unix socket's address holds, in bytes.
	maxSocketPath = 107
)

// ErrNotRunning means that no agent answers in the state directory.
var ErrNotRunning = errors.New("no agent is running on this state directory")

// Agent is what the server speaks for.
type Agent interface {
	// Status is what is told of the agent, in JSON.
	Status() any
	// DeviceKey is the device's SubjectPublicKeyInfo, DER.
	DeviceKey() []byte
	// Known is the ownership record in force, nil while there is none.
	Known() *ownership.Ownership
	// Pair takes an owner-signed record and countersigns it.
	Pair(*ownership.Signed) (*ownership.Ownership, error)
	// TakeCode begins a pairing with a code.
	TakeCode(context.Context, secret.Text) error
	// Free says how the camera can be taken, 0 where it belongs to somebody.
	Free() ownership.Acquired
	// Reset makes the camera nobody's.
	Reset() error
}

// Server answers on the socket of a state directory.
type Server struct {
	dir   string
	agent Agent
}

// NewServer returns a server for an agent whose state directory is dir. The
// caller holds that directory for itself.
func NewServer(dir string, a Agent) *Server { return &Server{dir: dir, agent: a} }

// Run answers until ctx is done, and returns its error; or the error for which
// the socket cannot be had.
func (s *Server) Run(ctx context.Context) error {
	path := filepath.Join(s.dir, socketName)
	if len(path) > maxSocketPath {
		return fmt.Errorf("open control socket: the path %s is longer than %d bytes", path, maxSocketPath)
	}
	// What a killed agent left behind; the directory is this process's alone.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open control socket: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("open control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("open control socket: %w", err), l.Close())
	}
	srv := &http.Server{
		Handler: s.handler(), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve control socket: %w", err)
	case <-ctx.Done():
	}
	err = srv.Close()
	<-served
	return errors.Join(ctx.Err(), err)
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// A client that has gone is its own problem.
		_ = json.NewEncoder(w).Encode(s.agent.Status())
	})
	mux.HandleFunc("GET /device-key", func(w http.ResponseWriter, _ *http.Request) { write(w, s.agent.DeviceKey()) })
	mux.HandleFunc("GET /ownership", func(w http.ResponseWriter, _ *http.Request) {
		o := s.agent.Known()
		if o == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		write(w, o.Bytes())
	})
	mux.HandleFunc("POST /ownership", s.pair)
	mux.HandleFunc("POST /pairing-code", s.code)
	mux.HandleFunc("GET /free", s.free)
	mux.HandleFunc("POST /reset", s.reset)
	return mux
}

func (s *Server) pair(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, ownership.MaxRecord))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	signed, err := ownership.ParseSigned(b)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	o, err := s.agent.Pair(signed)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	write(w, o.Bytes())
}

func write(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	// A client that has gone is its own problem.
	_, _ = w.Write(b)
}

// Client talks to the agent that runs on a state directory.
type Client struct{ http *http.Client }

// Dial returns a client, or ErrNotRunning.
func Dial(ctx context.Context, dir string) (*Client, error) {
	path := filepath.Join(dir, socketName)
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("reach agent: %w: %w", ErrNotRunning, err)
	}
	if err := conn.Close(); err != nil {
		return nil, fmt.Errorf("reach agent: %w", err)
	}
	return &Client{http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}}, nil
}

// DeviceKey asks for the device's SubjectPublicKeyInfo.
func (c *Client) DeviceKey(ctx context.Context) ([]byte, error) {
	return c.do(ctx, http.MethodGet, "/device-key", nil)
}

// Status asks how the agent is, in JSON.
func (c *Client) Status(ctx context.Context) ([]byte, error) {
	return c.do(ctx, http.MethodGet, "/status", nil)
}

// Known asks for the ownership record in force, nil while there is none.
func (c *Client) Known(ctx context.Context) (*ownership.Ownership, error) {
	b, err := c.do(ctx, http.MethodGet, "/ownership", nil)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	return ownership.Parse(b)
}

// Pair hands an owner-signed record to the device and returns it countersigned.
func (c *Client) Pair(ctx context.Context, s *ownership.Signed) (*ownership.Ownership, error) {
	b, err := c.do(ctx, http.MethodPost, "/ownership", s.Bytes())
	if err != nil {
		return nil, err
	}
	return ownership.Parse(b)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask agent: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask agent: %w", err)
	}
	defer resp.Body.Close() // nothing more is read from it
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus))
	if err != nil {
		return nil, fmt.Errorf("ask agent: %w", err)
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("the agent refused: %s", bytes.TrimSpace(b))
	}
	return b, nil
}
