package storm

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/lensward/lensward/transport/hint"
	"github.com/lensward/lensward/transport/recovery"
)

// hintServer is the web server that carries a hub's hint, dead or alive.
type hintServer struct {
	url  string
	file string
	http *http.Server
	done chan error // takes one
}

// serveHint serves the hint in a hub's directory.
func serveHint(dir string) (*hintServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve hint: %w", err)
	}
	s := &hintServer{url: "http://" + l.Addr().String(), file: filepath.Join(dir, "hint"), done: make(chan error, 1)}
	s.http = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, s.file)
	})}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

func (s *hintServer) close() error {
	err := s.http.Close()
	if e := <-s.done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// read gives the hint that the hub published last.
func (s *hintServer) read(hub Hub) (recovery.Hint, error) {
	b, err := os.ReadFile(s.file)
	if err != nil {
		return recovery.Hint{}, fmt.Errorf("read the hub's hint: %w", err)
	}
	st, err := hint.Verify(b, hub.ID)
	if err != nil {
		return recovery.Hint{}, fmt.Errorf("read the hub's hint: %w", err)
	}
	return st.Hint, nil
}
