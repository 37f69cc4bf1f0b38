// Package child runs the programs that cameras lean on: one that encodes, one that
// decodes, one that films.
//
// It owns one run of a program: its pipes, the end of what it said, and that it is
// gone when its user is. It never starts one again: whoever supervises it does.
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command says what is run. All but Program may be left out.
type Command struct {
	// Program is the file to run, or a name to be looked up in PATH.
	Program string
	// Args are its arguments, without its name.
	Args []string
	// Env is its whole environment; LC_ALL=C is added, so that what it says can be
	// read.
	Env []string
	// Fed is a program that reads pictures: it gets Process.Input.
	Fed bool
	// Second is a program that writes to its descriptor 3 too: Process.Second reads it.
	Second bool
	// Polite is a program that is asked to stop (SIGINT) before it is killed.
	Polite bool
}

// grace is how long a polite program may take to stop, and how long the pipes of
// any program may stay open after it.
const grace = 2 * time.Second

// Process is a running program. It is killed when its ctx is done, and by the
// kernel if this process dies (on Linux).
type Process struct {
	// Input is what the program reads, nil if it is not fed; Output is what it
	// writes, and Second what it writes to its descriptor 3, if that was asked for. All
	// take deadlines.
	Input, Output, Second *os.File

	name string
	cmd  *exec.Cmd
	said tail
}

// Start runs a program. Wait and Close must be called.
func Start(ctx context.Context, c Command) (*Process, error) {
	p := &Process{name: filepath.Base(c.Program), cmd: exec.CommandContext(ctx, c.Program, c.Args...)}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	pipe := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err != nil {
			p.Close()
			return nil, nil, fmt.Errorf("make a pipe for %s: %w", p.name, err)
		}
		return r, w, nil
	}
	output, stdout, err := pipe()
	if err != nil {
		return nil, err
	}
	p.Output, theirs = output, append(theirs, stdout)
	if c.Fed {
		stdin, input, err := pipe()
		if err != nil {
			return nil, err
		}
		p.Input, theirs = input, append(theirs, stdin)
		widen(input)
		p.cmd.Stdin = stdin
	}
	if c.Second {
		second, extra, err := pipe()
		if err != nil {
			return nil, err
		}
		p.Second, theirs = second, append(theirs, extra)
		p.cmd.ExtraFiles = []*os.File{extra}
	}
	p.cmd.Stdout, p.cmd.Stderr = stdout, &p.said
	p.cmd.Env = append(c.Env, "LC_ALL=C")
	p.cmd.WaitDelay = grace
	p.cmd.SysProcAttr = attributes()
	p.cmd.Cancel = func() error {
		// Nobody waits for pipes that something else still holds.
		for _, f := range []*os.File{p.Output, p.Second} {
			if f != nil {
				_ = f.SetDeadline(time.Now().Add(2 * grace))
			}
		}
		if c.Polite {
			return p.signal(syscall.SIGINT)
		}
		return p.signal(syscall.SIGKILL)
	}
	if err := p.cmd.Start(); err != nil {
		p.Close()
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return p, nil
}

// Wait waits for the program to end, and for whatever it started. A failed one's
// error says what it said last.
func (p *Process) Wait() error {
	err := p.cmd.Wait()
	if left := p.signal(syscall.SIGKILL); left != nil && !errors.Is(left, os.ErrProcessDone) {
		return fmt.Errorf("end what %s started: %w", p.name, left)
	}
	if err != nil {
		return p.Explain(fmt.Errorf("%s: %w", p.name, err))
	}
	return nil
}

// Close closes our ends of the pipes.
func (p *Process) Close() {
	for _, f := range []*os.File{p.Input, p.Output, p.Second} {
		if f != nil {
			f.Close()
		}
	}
}

// Said returns the end of what the program wrote to its standard error.
func (p *Process) Said() string { return p.said.String() }

// Explain adds to an error what the program said last, if it said anything.
func (p *Process) Explain(err error) error {
	if said := p.Said(); said != "" {
		return fmt.Errorf("%w; it said %q", err, said)
	}
	return err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

// kept is how much of a program's complaints is remembered, in bytes.
const kept = 1000

// Write takes all, as an io.Writer must.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, b[max(0, len(b)-kept):]...)
	t.data = append(t.data[:0], t.data[max(0, len(t.data)-kept):]...)
	return len(b), nil
}

// String returns the last lines, whole ones where the limit has cut the first.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := string(t.data)
	if len(text) == kept {
		if _, rest, ok := strings.Cut(text, "\n"); ok && strings.TrimSpace(rest) != "" {
			text = rest
		}
	}
	return strings.TrimSpace(strings.ToValidUTF8(text, "?"))
}
