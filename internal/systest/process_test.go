package systest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lensward/lensward/agent/control"
)

// programs are the two programs, built as they ship.
type programs struct{ lensctl, lensward string }

func buildPrograms(t *testing.T) programs {
	t.Helper()
	dir := t.TempDir() + "/"
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", dir, "github.com/lensward/lensward/cmd/...")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the programs: %v\n%s", err, b)
	}
	return programs{dir + "lensctl", dir + "lensward"}
}

// process is a program that runs. What it says goes to a file.
type process struct {
	cmd  *exec.Cmd
	log  *os.File
	said *watchFor
	done chan struct{}
	err  error // of Wait, once done is closed
}

// watchFor is a stdout that waits for a word.
type watchFor struct {
	word []byte
	once sync.Once
	seen chan struct{}
}

// Write looks for the word.
func (w *watchFor) Write(b []byte) (int, error) {
	if bytes.Contains(b, w.word) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(b), nil
}

// startProcess starts a program whose stderr is added to a file.
func startProcess(log, word, program string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{
		cmd: exec.Command(program, args...), log: f, done: make(chan struct{}),
		said: &watchFor{word: []byte(word), seen: make(chan struct{})},
	}
	p.cmd.Stdout, p.cmd.Stderr = p.said, f
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	go func() {
		defer close(p.done)
		p.err = errors.Join(p.cmd.Wait(), f.Close())
	}()
	return p, nil
}

// kill is kill -9. It fails if the program had ended by itself.
func (p *process) kill() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended by itself: %v", p.cmd.Path, p.err)
	default:
	}
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	<-p.done
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("%s ended by itself: %v", p.cmd.Path, p.err)
	}
	return nil
}

// stop asks it to end, and wants it to end well.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.cmd.Path, err)
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		return fmt.Errorf("%s does not end", p.cmd.Path)
	}
}

// discard ends what a failed test has left.
func (p *process) discard() {
	if p != nil {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
	}
}

// ward is a camera's agent as a process, and all that is known of its items.
type ward struct {
	programs
	name, state, config, log string
	hub                      *station
	rand                     *rand.Rand
	proc                     *process
	ledger                   ledger
}

// settings make short events in short parts.
const settings = `
[camera]
source = %q
[event]
pre_roll = "1s"
post_roll = "1s"
merge = "500ms"
longest = "10s"
per_hour = 3600
[clip]
part = "1s"
[state]
dir = %q
[hub]
broker = %q
url = %q
ca_file = %q
connect_window = "0s"
[log]
level = "info"
`

// What a camera looks at.
const (
	// rush is 40 s of visits as fast as they are taken: the disk has something to do all
	// the time. %d is the seed.
	rush = "scene:?width=160&height=96&fps=5&duration=40s&rate=max&seed=%d"
	// live is a room in which somebody comes in after a second.
	live = "scene:?width=320&height=192&fps=10&seed=%d"
	// idle is an empty room.
	idle = "scene:?width=64&height=64&fps=1&empty=true&seed=%d"
)

// start starts the agent before a scene of its own.
func (w *ward) start(scene string) (err error) {
	source := fmt.Sprintf(scene, 1+w.rand.IntN(1_000_000))
	text := fmt.Sprintf(settings, source, w.state, w.hub.mqtt, "https://"+w.hub.devices, filepath.Join(w.hub.dir, "ca.pem"))
	if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
		return err
	}
	w.proc, err = startProcess(w.log, "", w.lensward, "--config", w.config)
	return err
}

func (w *ward) path(name string) string { return filepath.Join(w.state, name) }

// wardStatus is the part of the agent's status that these tests look at.
type wardStatus struct {
	Spool    struct{ Depth int }
	Delivery struct {
		State    string
		InFlight int
	}
}

// status asks the agent how it is.
func (w *ward) status(ctx context.Context) (s wardStatus, err error) {
	c, err := control.Dial(ctx, w.state)
	if err != nil {
		return s, err
	}
	b, err := c.Status(ctx)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}

// stop has the agent end, once it is far enough to hear of it.
func (w *ward) stop(ctx context.Context) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := w.status(ctx); err == nil {
			break
		}
	}
	if err := w.proc.stop(); err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	return nil
}

// drain waits until the agent has delivered all that it has.
func (w *ward) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last wardStatus
	var err error
	for ctx.Err() == nil {
		if last, err = w.status(ctx); err == nil && last.Spool.Depth == 0 && last.Delivery.State == "delivering" {
			return nil
		}
		select {
		case <-w.proc.done:
			return fmt.Errorf("%s ended by itself: %v", w.name, w.proc.err)
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("%s does not deliver what it has: %+v, %v", w.name, last, err)
}

// station is a hub as a process, always at the same addresses.
type station struct {
	programs
	dir, log               string
	mqtt, devices, viewers string
	proc                   *process
}

func newStation(t *testing.T, p programs, dir string) *station {
	t.Helper()
	a := fixedAddresses(t, 3)
	return &station{programs: p, dir: filepath.Join(dir, "hub"), log: filepath.Join(dir, "hub.log"), mqtt: a[0], devices: a[1], viewers: a[2]}
}

func (s *station) start() (err error) {
	s.proc, err = startProcess(s.log, "viewers ", s.lensctl, "hub", "--state", s.dir,
		"--mqtt", s.mqtt, "--devices", s.devices, "--listen", s.viewers, "--log", "warn")
	return err
}

// await waits until the hub can be connected to.
func (s *station) await() error {
	select {
	case <-s.proc.said.seen:
		return nil
	case <-s.proc.done:
		return fmt.Errorf("the hub ended by itself: %v", s.proc.err)
	case <-time.After(patience):
		return errors.New("the hub does not become ready")
	}
}

// fixedAddresses finds addresses that nobody has, below the ports from which
// connections go out: what is free while the hub is dead stays free for it.
func fixedAddresses(t *testing.T, n int) (out []string) {
	t.Helper()
	for range 1000 {
		a := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if l, err := net.Listen("tcp", a); err == nil && !slices.Contains(out, a) {
			must(t, l.Close())
			if out = append(out, a); len(out) == n {
				return out
			}
		}
	}
	t.Fatal("no port is free")
	return nil
}

// lastLines is the end of a file.
func lastLines(name string, n int) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
