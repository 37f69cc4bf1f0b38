package storm

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lensward/lensward/transport/seal"
)

// startTime is how long a hub may take until it can be connected to.
const startTime = 2 * time.Minute

// child is a process of this storm's. It does not outlive the storm, whatever ends it.
type child struct {
	name string
	cmd  *exec.Cmd
	said lastWords
	done chan struct{}
	err  error // of Wait, once done is closed
}

// start starts a program. The kernel kills it if the calling thread ends, so the
// caller's goroutine must be locked to it.
func (c *child) start(name, program string, args ...string) error {
	c.name = name
	c.cmd.Path, c.cmd.Args = program, append([]string{program}, args...)
	c.cmd.Stderr = &c.said
	// A Ctrl-C is the storm's alone: it ends its children in its own order.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		c.err = c.cmd.Wait()
	}()
	return nil
}

// kill is kill -9. It is over when it returns.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.done
}

// ended says why the child is no more.
func (c *child) ended() error {
	return fmt.Errorf("%s ended by itself: %v\n%s", c.name, c.err, c.said.String())
}

// lastWords keeps the end of what a child says on stderr.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

// Write keeps the last 4 KiB.
func (l *lastWords) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	l.text = l.text[max(0, len(l.text)-4<<10):]
	return len(b), nil
}

// String is what was kept.
func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// usage is what a process has taken.
type usage struct {
	cpu time.Duration // user and system
	rss int64         // bytes
}

// usage reads a process's CPU time and memory (proc(5), stat: the 14th, 15th and 24th
// field).
func (c *child) usage() (u usage, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return u, fmt.Errorf("read usage of %s: %w", c.name, err)
	}
	// The second field, the name, may hold spaces; it ends with the last parenthesis.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 22 {
		return u, fmt.Errorf("read usage of %s: %d fields", c.name, len(f))
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Linux runs
	for _, i := range []int{11, 12} {
		n, e := strconv.ParseInt(f[i], 10, 64)
		u.cpu, err = u.cpu+time.Duration(n)*tick, errors.Join(err, e)
	}
	pages, e := strconv.ParseInt(f[21], 10, 64)
	u.rss = pages * int64(os.Getpagesize())
	return u, errors.Join(err, e)
}

// hubProcess is `lensctl hub`, always on the same directory and at the same addresses.
type hubProcess struct {
	child
	program, dir           string
	mixup                  float64
	mqtt, devices, viewers string
}

func newHubProcess(program, dir string, mixup float64) (*hubProcess, error) {
	a, err := freeAddresses(3)
	return &hubProcess{program: program, dir: dir, mixup: mixup, mqtt: a[0], devices: a[1], viewers: a[2]}, err
}

// freeAddresses finds loopback addresses below the ports from which connections go out:
// what is free while the hub is dead stays free for it.
func freeAddresses(n int) (out []string, err error) {
	for range 1000 {
		a := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		l, err := net.Listen("tcp", a)
		if err != nil || slices.Contains(out, a) {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("find free address: %w", err)
		}
		if out = append(out, a); len(out) == n {
			return out, nil
		}
	}
	return make([]string, n), errors.New("find free address: no port is free")
}

// run starts the hub and returns once it can be connected to.
func (h *hubProcess) run(ctx context.Context) error {
	ready := make(chan struct{})
	h.child = child{cmd: &exec.Cmd{Stdout: &awaited{word: "viewers ", seen: sync.OnceFunc(func() { close(ready) })}}}
	err := h.start("hub", h.program, "hub", "--state", h.dir, "--log", "warn", "--mixup", fmt.Sprint(h.mixup),
		"--mqtt", h.mqtt, "--devices", h.devices, "--listen", h.viewers, "--enrol-rate", "1000000", "--enrol", "open")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	select {
	case <-ready:
		return nil
	case <-h.done:
		return h.ended()
	case <-ctx.Done():
		return fmt.Errorf("wait for the hub: %w", ctx.Err())
	}
}

// stop has the hub end by itself.
func (h *hubProcess) stop(ctx context.Context) error {
	_ = h.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-h.done:
		return h.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// where says where the hub is, once it has run.
func (h *hubProcess) where() (Hub, error) {
	out := Hub{MQTT: h.mqtt, Devices: "https://" + h.devices, Viewers: "http://" + h.viewers}
	var err error
	if out.CA, err = os.ReadFile(filepath.Join(h.dir, "ca.pem")); err != nil {
		return out, fmt.Errorf("read hub's CA: %w", err)
	}
	block, _ := pem.Decode(out.CA)
	if block == nil {
		return out, errors.New("read hub's CA: not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return out, fmt.Errorf("read hub's CA: %w", err)
	}
	out.ID, err = seal.IDOf(cert.PublicKey)
	return out, err
}

// awaited is a stdout that waits for a word.
type awaited struct {
	word string
	text []byte
	seen func()
}

// Write looks for the word, among the first 64 KiB.
func (a *awaited) Write(b []byte) (int, error) {
	if len(a.text) < 64<<10 {
		if a.text = append(a.text, b...); bytes.Contains(a.text, []byte(a.word)) {
			a.seen()
		}
	}
	return len(b), nil
}

// workerProcess is a worker in a process of its own.
type workerProcess struct {
	child
	client *rpc.Client
	dir    string // its own
	count  int    // its devices
}

// run starts the n-th worker.
func (w *workerProcess) run(program string, n int) error {
	w.child = child{cmd: &exec.Cmd{}}
	in, err := w.cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	w.client = rpc.NewClient(pipes{out, in})
	return w.start(fmt.Sprintf("worker %d", n), program, "fleet", "storm-worker", w.dir)
}

// pipes are a child's stdout and stdin as one connection.
type pipes struct {
	io.ReadCloser
	in io.WriteCloser
}

// Write writes to the child's stdin.
func (p pipes) Write(b []byte) (int, error) { return p.in.Write(b) }

// Close closes both.
func (p pipes) Close() error { return errors.Join(p.in.Close(), p.ReadCloser.Close()) }

// ask has the worker do something and waits for its answer.
func ask[A, R any](ctx context.Context, w *workerProcess, method string, arg A) (R, error) {
	var answer R
	call := w.client.Go("Worker."+method, arg, &answer, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		if call.Error == nil {
			return answer, nil
		}
		var said rpc.ServerError
		if errors.As(call.Error, &said) {
			return answer, fmt.Errorf("%s: %w", w.name, call.Error)
		}
		w.kill()
		return answer, w.ended()
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

// askAll has all workers do the same and gives their answers in order.
func askAll[A, R any](ctx context.Context, workers []*workerProcess, method string, arg func(i int) A) ([]R, error) {
	answers := make([]R, len(workers))
	g, ctx := errgroup.WithContext(ctx)
	for i, w := range workers {
		g.Go(func() (err error) {
			answers[i], err = ask[A, R](ctx, w, method, arg(i))
			return err
		})
	}
	return answers, g.Wait()
}
